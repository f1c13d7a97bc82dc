//! What a mapping promises as a whole: from TOML, tables and a record to what is sent, or problems.

mod any_text;
mod dialects;
mod faults;
mod out;
mod outgoing;
mod outputs;
mod read_back;
mod shipped;

use jiff::civil::date;

use super::*;

const CSV: &str = "[input]\nformat = \"csv\"\n";

fn bundle(text: &str, tables: &[(&str, &str)]) -> Bundle {
    let tables = tables
        .iter()
        .map(|(name, text)| {
            let file = PathBuf::from(format!("mappings/aka/{name}.csv"));
            ((*name).to_owned(), (file, (*text).to_owned()))
        })
        .collect();
    Bundle { name: "m".to_owned(), file: PathBuf::from("m.toml"), text: text.to_owned(), tables }
}

fn environments() -> Environments {
    Environments {
        names: vec!["uat".to_owned(), "production".to_owned()],
        current: "uat".to_owned(),
    }
}

fn compile(bundle: &Bundle) -> (Option<Mapping>, Vec<String>) {
    let faults = Faults::default();
    let mapping = Mapping::compile(bundle, &environments(), &faults);
    (mapping, faults.take().iter().map(ToString::to_string).collect())
}

fn sound(bundle: &Bundle) -> Mapping {
    let (mapping, faults) = compile(bundle);
    assert_eq!(faults, Vec::<String>::new());
    mapping.unwrap()
}

/// A mapping of CSV with these `[[fields]]`.
fn fields(fields: &str, tables: &[(&str, &str)]) -> Mapping {
    sound(&bundle(&format!("{CSV}{fields}"), tables))
}

fn record(mapping: &Mapping, texts: &[(&str, &str)]) -> Record {
    let mut record = Record::default();
    record.start(7);
    record.place.line = 9;
    for (selector, text) in texts {
        let slot = mapping.selectors.iter().position(|known| known == selector);
        record.push(slot.expect(selector), text);
    }
    record
}

fn context() -> Context {
    Context { customer: "acme".to_owned(), date: date(2026, 11, 22) }
}

fn apply(mapping: &Mapping, texts: &[(&str, &str)]) -> (Mapped, String, Vec<Problem>) {
    let (mut out, mut problems) = (b"[".to_vec(), Vec::new());
    let mapped = mapping.apply(&record(mapping, texts), &context(), &mut out, &mut problems);
    if mapped != Mapped::Ready {
        assert_eq!(out, b"[", "nothing is appended");
    }
    (mapped, String::from_utf8(out[1..].to_vec()).unwrap(), problems)
}

/// The output of a record that has no problem.
fn json(mapping: &Mapping, texts: &[(&str, &str)]) -> String {
    let (mapped, out, problems) = apply(mapping, texts);
    assert_eq!((mapped, problems), (Mapped::Ready, Vec::new()));
    out
}

/// The problems of a record that is rejected: rule, field, value, advice.
fn problems(mapping: &Mapping, texts: &[(&str, &str)]) -> Vec<String> {
    let (mapped, _, problems) = apply(mapping, texts);
    assert_eq!(mapped, Mapped::Rejected);
    problems
        .iter()
        .map(|problem| {
            assert_eq!((problem.record, problem.line, problem.level), (7, 9, Level::Reject));
            let Problem { rule, field, value, advice, .. } = problem;
            format!("{rule} | {field} | {value} | {advice}")
        })
        .collect()
}

const RELEASES: &str = r#"
[input]
format    = "csv"
delimiter = ";"
encoding  = "windows-1252"
only      = { field = "KIND", is = ["IMP", "TRS"] }

[output]
format = "json"

[[fields]]
to       = "container.containerNumber"
from     = "CONT_NO"
clean    = ["trim", "uppercase", { remove = "- " }]
check    = "iso6346"
required = true

[[fields]]
to      = "container.pickupLocation"
from    = "TERMINAL"
aka     = { table = "terminals", within = "PORT", case = "ignore" }
unknown = "quarantine"

[[fields]]
to   = "container.validUntil"
from = "VALID_TO"
date = { read = ["%d/%m/%Y %H:%M", "%d/%m/%Y"], timezone = "Europe/Brussels", write = "rfc3339" }

[[fields]]
to     = "container.weightKg"
from   = "GROSS"
number = { decimal = ",", group = "." }

[[fields]]
to     = "action"
from   = "TYP"
values = { T = "assign", A = "unassign" }

[[fields]]
to    = "billOfLading.agent"
value = "ACME"
when  = { field = "KIND", is = ["IMP"] }
"#;

const TERMINALS: &str = "alias,code,within\nK913,0S913,BEANR\nGateway,01700,BEANR\n";

fn releases() -> Mapping {
    sound(&bundle(RELEASES, &[("terminals", TERMINALS)]))
}

#[test]
fn the_mapping_of_the_design_does_what_the_design_says() {
    let mapping = releases();
    assert_eq!(
        mapping.selectors,
        ["KIND", "CONT_NO", "TERMINAL", "PORT", "VALID_TO", "GROSS", "TYP"]
    );
    assert_eq!(mapping.output, Output::Json);
    assert_eq!(mapping.dialect.encoding, encoding_rs::WINDOWS_1252.into());
    assert_eq!(
        json(
            &mapping,
            &[
                ("KIND", " IMP "),
                ("CONT_NO", " csqu 305438-3 "),
                ("TERMINAL", "gateway"),
                ("PORT", "beanr"),
                ("VALID_TO", "01/03/2026 12:30"),
                ("GROSS", "24.500,5"),
                ("TYP", "A"),
            ]
        ),
        "{\"container\":{\"containerNumber\":\"CSQU3054383\",\"pickupLocation\":\"01700\",\
         \"validUntil\":\"2026-03-01T12:30:00+01:00\",\"weightKg\":24500.5},\
         \"action\":\"unassign\",\"billOfLading\":{\"agent\":\"ACME\"}}"
    );
}

#[test]
fn what_is_empty_is_left_out_and_so_are_empty_objects() {
    let mapping = releases();
    assert_eq!(
        json(&mapping, &[("KIND", "TRS"), ("CONT_NO", "CSQU3054383"), ("GROSS", "  ")]),
        "{\"container\":{\"containerNumber\":\"CSQU3054383\"}}"
    );
    let mapping = fields("[[fields]]\nto = \"a.b.c\"\nfrom = \"X\"\n", &[]);
    assert_eq!(json(&mapping, &[]), "{}");
    assert_eq!(json(&mapping, &[("X", "1")]), "{\"a\":{\"b\":{\"c\":\"1\"}}}");
}

#[test]
fn every_problem_of_a_record_is_told() {
    assert_eq!(
        problems(
            &releases(),
            &[
                ("KIND", "TRS"),
                ("CONT_NO", " csqu 305438-4"),
                ("TERMINAL", "K999"),
                ("PORT", "BEANR"),
                ("VALID_TO", "2026-03-01"),
                ("GROSS", "24.5"),
                ("TYP", "X"),
            ]
        ),
        [
            "iso6346 | CONT_NO |  csqu 305438-4 | check digit should be 3",
            "aka | TERMINAL | K999 | no row for \"K999\" within \"BEANR\" in table terminals; \
             add one to mappings/aka/terminals.csv",
            "date | VALID_TO | 2026-03-01 | dates look like 31/12/2026 23:59 or 31/12/2026",
            "number | GROSS | 24.5 | numbers look like 1234,5 or 1.234,5",
            "values | TYP | X | \"X\" is not in values: known are A, T",
        ]
    );
}

#[test]
fn a_missing_value_is_required_only() {
    let mapping = releases();
    let advice = "required | CONT_NO |  | CONT_NO is missing or empty; give it a value";
    assert_eq!(problems(&mapping, &[("KIND", "IMP")]), [advice]);
    assert_eq!(problems(&mapping, &[("KIND", "IMP"), ("CONT_NO", "")]), [advice]);
    assert_eq!(
        problems(&mapping, &[("KIND", "IMP"), ("CONT_NO", " - ")]),
        ["required | CONT_NO |  -  | CONT_NO is missing or empty; give it a value"]
    );
}

#[test]
fn records_that_are_not_wanted_are_discarded() {
    let mapping = releases();
    for kind in [&[("KIND", "EXP")][..], &[], &[("KIND", "imp")]] {
        let (mapped, out, problems) = apply(&mapping, kind);
        assert_eq!((mapped, out.as_str(), problems.len()), (Mapped::Discarded, "", 0));
    }
}

#[test]
fn what_the_reader_found_rejects_the_record_without_a_further_look() {
    let mapping = releases();
    let mut record = record(&mapping, &[("KIND", "EXP")]);
    record.faults.push(crate::model::record::Fault {
        rule: "ragged",
        value: "a;b".to_owned(),
        advice: "7 fields are wanted".to_owned(),
    });
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let mapped = mapping.apply(&record, &context(), &mut out, &mut problems);
    assert_eq!((mapped, out.len(), problems.len()), (Mapped::Rejected, 0, 1));
    let problem = &problems[0];
    assert_eq!((problem.rule.as_str(), problem.value.as_str()), ("ragged", "a;b"));
    assert_eq!((problem.record, problem.line, problem.level), (7, 9, Level::Reject));
}

#[test]
fn several_hits_are_a_problem_unless_the_field_says_what_to_do() {
    let hits = [("R", "one"), ("R", ""), ("R", " two ")];
    let field = |rest: &str, to: &str| {
        fields(&format!("[[fields]]\nto = \"{to}\"\nfrom = \"R\"\n{rest}"), &[])
    };
    assert_eq!(
        problems(&field("required = true", "r"), &hits),
        ["several | R | one, ,  two  | R stands there 3 times; send one, or let the field say \
          join, take = \"first\", or a `to` that ends in []"]
    );
    assert_eq!(json(&field("join = \", \"", "r"), &hits), "{\"r\":\"one,  two \"}");
    assert_eq!(json(&field("join = \", \"\nclean = \"trim\"", "r"), &hits), "{\"r\":\"one, two\"}");
    assert_eq!(json(&field("take = \"first\"", "r"), &hits), "{\"r\":\"one\"}");
    assert_eq!(
        json(&field("clean = \"trim\"", "r.list[]"), &hits),
        "{\"r\":{\"list\":[\"one\",\"two\"]}}"
    );
    assert_eq!(json(&field("", "r[]"), &[("R", " ")]), "{}");
    assert_eq!(json(&field("number = {}", "r[]"), &[("R", "01"), ("R", "2")]), "{\"r\":[1,2]}");
    let checked = field("check = \"scac\"", "r[]");
    assert_eq!(problems(&checked, &[("R", "AB"), ("R", "x"), ("R", "y")]).len(), 2);
    let required = field("required = true", "r[]");
    assert_eq!(problems(&required, &[("R", " "), ("R", "")]).len(), 1);
}

#[test]
fn a_list_of_selectors_joins_what_is_not_empty() {
    let joined = fields(
        "[[fields]]\nto = \"name\"\nfrom = [\"LAST\", \"MIDDLE\", \"FIRST\"]\njoin = \" \"\n\
         clean = \"trim\"\ncheck = \"max-length:12\"\n",
        &[],
    );
    assert_eq!(
        json(&joined, &[("LAST", "Peeters  "), ("MIDDLE", "  "), ("FIRST", "An")]),
        "{\"name\":\"Peeters An\"}"
    );
    assert_eq!(
        problems(&joined, &[("LAST", "Vandenbroucke"), ("FIRST", "An")]),
        ["max-length | LAST+MIDDLE+FIRST | Vandenbroucke An | has 16 characters, at most 12 fit"]
    );
    let first = fields("[[fields]]\nto = \"a\"\nfrom = [\"X\", \"Y\"]\ntake = \"first\"\n", &[]);
    assert_eq!(json(&first, &[("X", ""), ("Y", "2")]), "{\"a\":\"2\"}");
}

#[test]
fn a_check_may_warn_or_be_off_by_environment() {
    let mapping = fields(
        "[[fields]]\nto = \"a\"\nfrom = \"A\"\n\
         check = { rule = \"imo\", level = { uat = \"warn\", production = \"reject\" } }\n\
         [[fields]]\nto = \"b\"\nfrom = \"B\"\ncheck = { rule = \"imo\", level = \"off\" }\n",
        &[],
    );
    let (mapped, out, problems) = apply(&mapping, &[("A", "9319467"), ("B", "x")]);
    assert_eq!((mapped, out.as_str()), (Mapped::Ready, "{\"a\":\"9319467\",\"b\":\"x\"}"));
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].level, problems[0].rule.as_str()), (Level::Warn, "imo"));
}

#[test]
fn an_unknown_alias_is_quarantined_kept_or_replaced() {
    let field = |rest: &str| {
        let text = format!("[[fields]]\nto = \"t\"\nfrom = \"T\"\n{rest}");
        fields(&text, &[("terminals", "alias,code,valid_until\nK913,0S913,\nOld,1,2020-01-01\n")])
    };
    let plain = field("aka = \"terminals\"\n");
    assert_eq!(json(&plain, &[("T", " K913")]), "{\"t\":\"0S913\"}");
    assert_eq!(
        problems(&plain, &[("T", "K912")]),
        ["aka | T | K912 | no row for \"K912\" in table terminals; add one to \
          mappings/aka/terminals.csv; the nearest is \"K913\""]
    );
    assert_eq!(
        problems(&plain, &[("T", "Old")]),
        ["aka | T | Old | no row for \"Old\" in table terminals is valid on 2026-11-22; see \
          mappings/aka/terminals.csv"]
    );
    let keep = field("aka = \"terminals\"\nunknown = \"keep\"\n");
    assert_eq!(json(&keep, &[("T", "K912")]), "{\"t\":\"K912\"}");
    let instead = field("aka = { table = \"terminals\" }\nunknown = { use = \"UNKNOWN\" }\n");
    assert_eq!(json(&instead, &[("T", "K912")]), "{\"t\":\"UNKNOWN\"}");
    assert_eq!(json(&instead, &[("T", "")]), "{}");
}

#[test]
fn the_second_key_of_a_table_is_a_column_of_the_record() {
    let field = |within: &str| {
        let text = format!(
            "[[fields]]\nto = \"t\"\nfrom = \"T\"\naka = {{ table = \"terminals\"{within} }}\n"
        );
        fields(&text, &[("terminals", "alias,code,within\nT1,A1,BEANR\nT1,R1,NLRTM\n")])
    };
    let within = field(", within = \"PORT\"");
    assert_eq!(json(&within, &[("T", "T1"), ("PORT", "NLRTM ")]), "{\"t\":\"R1\"}");
    assert_eq!(
        json(&within, &[("T", "T1"), ("PORT", "BEANR"), ("PORT", "BEANR")]),
        "{\"t\":\"A1\"}"
    );
    assert_eq!(
        problems(&within, &[("T", "T1"), ("PORT", "BEANR"), ("PORT", "NLRTM")]),
        ["several | T | T1 | PORT, the second key of the table, has different values"]
    );
    assert_eq!(
        problems(&within, &[("T", "T1")]),
        ["aka | T | T1 | no row for \"T1\" without a value in PORT in table terminals; add one \
          to mappings/aka/terminals.csv"]
    );
    assert_eq!(
        problems(&field(""), &[("T", "T1")]),
        ["aka | T | T1 | \"T1\" has different codes within \"BEANR\" and \"NLRTM\" in table \
          terminals; let the field's aka say within"]
    );
}

#[test]
fn rules_work_in_their_order() {
    let mapping = fields(
        "[[fields]]\nto = \"a\"\nfrom = [\"A\", \"B\"]\njoin = \"-\"\n\
         clean = [{ remove = \"-\" }, \"uppercase\"]\nvalues = { XY = \"day\" }\naka = \"days\"\n\
         date = { read = \"%d.%m.%Y\", write = \"%Y%m%d\" }\nnumber = {}\ncheck = \"max-length:8\"\n",
        &[("days", "alias,code\nday,01.03.2026\n")],
    );
    assert_eq!(json(&mapping, &[("A", "x"), ("B", "y")]), "{\"a\":20260301}");
}

#[test]
fn the_first_field_that_applies_wins() {
    let mapping = fields(
        "[[fields]]\nto = \"a\"\nfrom = \"X\"\nwhen = { field = \"K\", is = \"1\" }\n\
         [[fields]]\nto = \"a\"\nvalue = \"two\"\nwhen = { field = \"K\", is = [\"1\", \"2\"] }\n\
         [[fields]]\nto = \"b\"\nfrom = \"X\"\nrequired = true\nwhen = { field = \"K\", is = \"3\" }\n",
        &[],
    );
    assert_eq!(json(&mapping, &[("K", "1"), ("X", "x")]), "{\"a\":\"x\"}");
    assert_eq!(json(&mapping, &[("K", "1")]), "{}");
    assert_eq!(json(&mapping, &[("K", "2 "), ("X", "x")]), "{\"a\":\"two\"}");
    assert_eq!(json(&mapping, &[("X", "x")]), "{}");
    assert_eq!(problems(&mapping, &[("K", "3")]).len(), 1);
}

#[test]
fn members_of_one_object_stand_together() {
    let mapping = fields(
        "[[fields]]\nto = \"a.x\"\nvalue = \"1\"\n[[fields]]\nto = \"b\"\nvalue = \"2\"\n\
         [[fields]]\nto = \"a.\\\"y\"\nvalue = \"3\"\n[[fields]]\nto = \"c[]\"\nvalue = \"4\"\n",
        &[],
    );
    let out = json(&mapping, &[]);
    assert_eq!(out, "{\"a\":{\"x\":\"1\",\"\\\"y\":\"3\"},\"b\":\"2\",\"c\":[\"4\"]}");
}

#[test]
fn a_mapping_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&releases());
}

#[test]
fn a_long_value_is_cut_in_a_problem() {
    let mapping = fields("[[fields]]\nto = \"a\"\nfrom = \"A\"\nvalues = { x = \"y\" }\n", &[]);
    let (_, _, problems) = apply(&mapping, &[("A", &"é".repeat(5000))]);
    assert_eq!(problems[0].value.chars().count(), 1001);
    assert!(problems[0].advice.chars().count() < 120);
}

#[test]
fn a_missing_value_from_above_the_record_is_told_as_one() {
    let text = "[input]\nformat = \"xml\"\nrecords = \"r/o\"\n[[fields]]\nto = \"a\"\n\
                from = \"../h\"\nrequired = true\n";
    let mapping = compile(&bundle(text, &[])).0.unwrap();
    let mut record = Record::default();
    record.start(1);
    let mut problems = Vec::new();
    let mapped = mapping.apply(&record, &context(), &mut Vec::new(), &mut problems);
    assert_eq!(mapped, Mapped::Rejected);
    assert_eq!(
        problems[0].advice,
        "../h is missing or empty above the record; give it a value there (what stands below the \
         record is not read for it)"
    );
}
