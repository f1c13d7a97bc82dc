//! What a mapping promises as a whole: from TOML, tables and a record to what is sent, or problems.

use jiff::civil::date;

use super::*;
use crate::read::{Column, Csv, Fixed, Format, Json, Quote, Span, Trailer, Xml};

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
fn each_dialect_is_compiled() {
    let dialect = |input: &str| {
        let from = if input.contains("xml") { "o:A" } else { "1" };
        let text = format!("[input]\n{input}\n[[fields]]\nto = \"a\"\nfrom = \"{from}\"\n");
        sound(&bundle(&text, &[])).dialect
    };
    let plain = Csv {
        delimiter: Some(b';'),
        quote: Quote::Sign(b'"'),
        header: true,
        skip: 0,
        pad: false,
        trailer: None,
    };
    assert_eq!(dialect("format = \"csv\"").format, Format::Csv(plain.clone()));
    assert_eq!(
        dialect("format = \"csv\"\ndelimiter = \"auto\"\nquote = \"auto\"").format,
        Format::Csv(Csv { delimiter: None, quote: Quote::Auto, ..plain })
    );
    assert_eq!(
        dialect(
            "format = \"csv\"\ndelimiter = \"\\t\"\nquote = \"none\"\nheader = false\nskip = 3\n\
             ragged = \"pad\"\nencoding = \"latin1\""
        ),
        Dialect {
            format: Format::Csv(Csv {
                delimiter: Some(b'\t'),
                quote: Quote::None,
                header: false,
                skip: 3,
                pad: true,
                trailer: None,
            }),
            encoding: encoding_rs::WINDOWS_1252.into(),
        }
    );
    assert_eq!(
        dialect("format = \"xml\"\nrecords = \"o:Orders/o:Order\"\nnamespaces = { o = \"urn:x\" }"),
        Dialect {
            format: Format::Xml(Xml {
                records: "o:Orders/o:Order".to_owned(),
                namespaces: vec![("o".to_owned(), "urn:x".to_owned())],
            }),
            encoding: encoding_rs::UTF_8.into(),
        }
    );
    assert_eq!(
        dialect("format = \"json\"\nrecords = \"data.items\"").format,
        Format::Json(Json { records: "data.items".to_owned() })
    );
    assert_eq!(dialect("format = \"ndjson\"\nencoding = \"UTF-16\"").format, Format::Ndjson);
    for (label, name) in [("CP850", "cp850"), ("shift_jis", "Shift_JIS"), ("latin2", "ISO-8859-2")]
    {
        let dialect = dialect(&format!("format = \"csv\"\nencoding = \"{label}\""));
        assert_eq!(dialect.encoding.name(), name);
    }
}

#[test]
fn a_fixed_dialect_is_compiled_with_its_columns_in_order() {
    let text = "[input]\nformat = \"fixed\"\nskip = 1\nragged = \"pad\"\n\
                header = { starts_with = \"0\" }\nrecords = { starts_with = [\"21\", \"22\"] }\n\
                trailer = { starts_with = \"9\", count = { start = 17, length = 6 } }\n\
                columns = [{ name = \"B\", start = 4, length = 2 },\n\
                           { name = \"A\", start = 1, length = 3 }]\n\
                [[fields]]\nto = \"a\"\nfrom = \"A\"\n";
    let column =
        |name: &str, start, length| Column { name: name.to_owned(), span: Span { start, length } };
    assert_eq!(
        sound(&bundle(text, &[])).dialect.format,
        Format::Fixed(Fixed {
            columns: vec![column("A", 1, 3), column("B", 4, 2)],
            header: vec!["0".to_owned()],
            records: vec!["21".to_owned(), "22".to_owned()],
            trailer: Some(Trailer {
                starts_with: vec!["9".to_owned()],
                count: Some(Span { start: 17, length: 6 }),
            }),
            skip: 1,
            pad: true,
        })
    );
}

#[test]
fn a_path_that_no_xml_record_can_have_is_a_fault_with_its_line() {
    let faults = |input: &str, from: &str| {
        let text =
            format!("[input]\nformat = \"xml\"\n{input}\n[[fields]]\nto = \"a\"\nfrom = {from}\n");
        compile(&bundle(&text, &[])).1.join("; ")
    };
    let idoc = "records = \"ORDERS05/IDOC\"";
    for from in ["'K[Q=\"SP\"]/P'", "\"../EDI_DC40/DOCNUM\"", "\"./_-BIC_-X\"", "\"n:a/@n:b\""] {
        assert_eq!(faults(idoc, from), "", "{from}");
    }
    assert_eq!(
        faults(idoc, "\"E1EDKA1[PARVW=SP]/PARTN\""),
        "m.toml:6: \"E1EDKA1[PARVW=SP]/PARTN\" cannot be followed: write the value of a test in \
         quotes, as [CODE='SP']"
    );
    assert_eq!(
        faults(idoc, "\"../../X\""),
        "m.toml:6: \"../../X\" cannot be followed: it goes up 2 elements from the record, which \
         has 1 around it"
    );
    assert_eq!(
        faults("records = \"**/IDOC\"\nnamespaces = { o = \"urn:o\" }", "\"o:a/x:b\""),
        "m.toml:7: \"o:a/x:b\" cannot be followed: the prefix x is not in the mapping's `namespaces`"
    );
    assert_eq!(
        faults("records = \"ORDERS05//IDOC\"", "\"a\""),
        "m.toml:3: records cannot be followed: two / stand together: write ** for any depth"
    );
    assert_eq!(
        faults("records = \"a/b\"\nnamespaces = { \"x:y\" = \"urn:o\" }", "\"a\""),
        "m.toml:4: namespaces gives each prefix its namespace, as { o = \"urn:orders\" }"
    );
}

#[test]
fn faults_of_a_fixed_dialect_are_told_with_their_line() {
    let faults = |input: &str| {
        let text =
            format!("[input]\nformat = \"fixed\"\n{input}\n[[fields]]\nto = \"a\"\nfrom = \"A\"\n");
        let (mapping, faults) = compile(&bundle(&text, &[]));
        assert!(mapping.is_none());
        faults.join("; ")
    };
    let a = "{ name = \"A\", start = 1, length = 3 }";
    for (input, fault) in [
        ("".to_owned(), "m.toml:1: [input] lacks \"columns\""),
        ("columns = []".to_owned(), "m.toml:3: columns names no column"),
        (
            format!("columns = [{a},\n  {{ name = \"B\", start = 3, length = 1 }}]"),
            "m.toml:4: the column \"B\" at characters 3 to 3 overlaps \"A\" at 1 to 3",
        ),
        (
            format!("columns = [{a},\n  {{ name = \"A\", start = 4, length = 1 }}]"),
            "m.toml:4: there is a column \"A\" already",
        ),
        (
            format!("columns = [{a},\n  {{ name = \"B\", start = 0, length = 1 }}]"),
            "m.toml:4: start is 0, but must be a whole number from 1 to 1000000",
        ),
        (
            format!("columns = [{a},\n  {{ name = \"B\", begin = 4, length = 1 }}]"),
            "m.toml:4: [input.columns] lacks \"start\"; m.toml:4: unknown key \"begin\" in \
             [input.columns]: known here are length, name, start",
        ),
        (
            "columns = [{ name = \"AB\", start = 1, length = 3 }]".to_owned(),
            "m.toml:6: there is no column \"A\": did you mean \"AB\"?",
        ),
        (
            format!("columns = [{a}]\nheader = true"),
            "m.toml:4: header is true or false, but must be a table",
        ),
        (
            format!("columns = [{a}]\nrecords = {{ starts_with = \"\" }}"),
            "m.toml:4: starts_with is empty: every line starts so",
        ),
        (
            format!("columns = [{a}]\ntrailer = {{ starts_with = \"9\", count = \"2\" }}"),
            "m.toml:4: count is a text, but must be a table",
        ),
        (
            format!("columns = [{a}]\ndelimiter = \";\""),
            "m.toml:4: delimiter goes with the format csv",
        ),
    ] {
        assert_eq!(faults(&input), fault, "{input}");
    }
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

#[test]
fn faults_of_a_dialect_are_told_with_their_line() {
    let faults = |input: &str| {
        let text = format!("[input]\n{input}\n[[fields]]\nto = \"a\"\nfrom = \"A\"\n");
        let (mapping, faults) = compile(&bundle(&text, &[]));
        assert!(mapping.is_none());
        faults.join("; ")
    };
    for (input, fault) in [
        ("format = \"fixed\"", "m.toml:1: [input] lacks \"columns\""),
        (
            "format = \"csv\"\ntrailer = { starts_with = \"99\", count = \"B\" }",
            "m.toml:3: count is \"B\", but must be a column's number, such as \"2\"",
        ),
        (
            "format = \"csv\"\ntrailer = { count = \"2\" }",
            "m.toml:3: [input.trailer] lacks \"starts_with\"",
        ),
        ("format = \"csv\"\ncolumns = []", "m.toml:3: columns goes with the format fixed"),
        ("format = \"jsn\"", "m.toml:2: unknown format \"jsn\": did you mean \"json\"?"),
        ("", "m.toml:1: [input] lacks \"format\""),
        (
            "format = \"xml\"\nrecords = \"\"",
            "m.toml:3: records cannot be followed: it names no element, as Orders/Order does",
        ),
        ("format = \"xml\"", "m.toml:1: [input] lacks \"records\""),
        ("format = \"json\"\ndelimiter = \";\"", "m.toml:3: delimiter goes with the format csv"),
        (
            "format = \"csv\"\nrecords = \"a/b\"",
            "m.toml:3: records goes with the format xml, json, fixed",
        ),
        (
            "format = \"csv\"\ndelimiter = \"ab\"",
            "m.toml:3: delimiter is \"ab\", but must be one ASCII sign, such as \";\"",
        ),
        (
            "format = \"csv\"\ndelimiter = \"'\"\nquote = \"'\"",
            "m.toml:4: quote and delimiter are the same",
        ),
        (
            "format = \"csv\"\nheader = false",
            "m.toml:6: \"A\" is no column: without a header the columns are \"1\", \"2\", …",
        ),
        (
            "format = \"csv\"\nragged = \"drop\"",
            "m.toml:3: ragged is \"drop\", but must be \"reject\" or \"pad\"",
        ),
        (
            "format = \"csv\"\nencoding = \"windows1252\"",
            "m.toml:3: unknown encoding \"windows1252\": did you mean \"windows-1252\"?",
        ),
        (
            "format = \"csv\"\nencoding = \"replacement\"",
            "m.toml:3: no file is written in the encoding \"replacement\": known are utf-8, \
             utf-16le, utf-16be, windows-1252, iso-8859-15, cp850, cp437, cp858 and the other \
             WHATWG labels",
        ),
        ("format = \"csv\"\nonly = { field = \"A\" }", "m.toml:3: [input.only] lacks \"is\""),
        (
            "format = \"csv\"\nonly = { field = \"A\", is = [] }",
            "m.toml:3: is lists nothing, so that it never holds",
        ),
        (
            "format = \"csv\"\ndelimeter = \";\"",
            "m.toml:3: unknown key \"delimeter\" in [input]: did you mean \"delimiter\"?",
        ),
    ] {
        assert_eq!(faults(input), fault, "{input}");
    }
}

#[test]
fn faults_of_the_output_are_told() {
    let faults = |output: &str| {
        let text = format!("{CSV}[output]\n{output}\n[[fields]]\nto = \"a\"\nfrom = \"A\"\n");
        compile(&bundle(&text, &[])).1.join("; ")
    };
    assert_eq!(faults("format = \"ndjson\""), "");
    assert_eq!(faults("format = \"csv\""), "");
    assert_eq!(faults("format = \"xml\"\nroot = \"Orders\"\nrecord = \"Order\""), "");
    assert_eq!(faults("format = \"xml\"\nroot = \"R\""), "m.toml:3: [output] lacks \"record\"");
    assert_eq!(
        faults("format = \"xml\"\nroot = \"o:R\"\nrecord = \"1\"\nnamespace = \"\\u0001\""),
        "m.toml:5: root is \"o:R\", which cannot be the name of an XML element; m.toml:6: record is \
         \"1\", which cannot be the name of an XML element; m.toml:7: namespace holds a character \
         that XML does not know"
    );
    assert_eq!(
        faults("root = \"R\"\nnamespace = \"urn:x\""),
        "m.toml:4: root goes with the format xml; m.toml:5: namespace goes with the format xml"
    );
    assert_eq!(
        faults("format = \"yaml\""),
        "m.toml:4: unknown format \"yaml\": known are json, ndjson, xml, csv"
    );
}

#[test]
fn a_name_that_the_output_cannot_write_is_told() {
    let fault = |output: &str, to: &str| {
        let text = format!(
            "{CSV}[output]\n{output}\n[[fields]]\nto = \"b\"\nfrom = \"B\"\n[[fields]]\nto = \
             \"{to}\"\nfrom = \"A\"\n"
        );
        compile(&bundle(&text, &[])).1.join("; ")
    };
    const XML: &str = "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"";
    for to in ["a[]", "a.c", "@id", "a.@id", "b.@id", "É.c-1"] {
        assert_eq!(fault(XML, to), "", "{to}");
    }
    for (to, why) in [
        ("a b", "\"a b\" cannot be the name of an XML element"),
        ("a.1", "\"1\" cannot be the name of an XML element"),
        ("a:b", "\"a:b\" cannot be the name of an XML element"),
        ("@", "\"\" cannot be the name of an XML attribute"),
        ("@1", "\"1\" cannot be the name of an XML attribute"),
        ("@a.b", "an attribute holds nothing else"),
        ("a.@b[]", "an attribute cannot stand several times"),
        ("@xmlns", "namespace of [output] says what xmlns says"),
    ] {
        assert_eq!(fault(XML, to), format!("m.toml:11: to is \"{to}\": {why}"));
    }
    assert_eq!(
        fault(XML, "b.c"),
        "m.toml:11: \"b\" cannot be a value and hold \"b.c\" too (see line 8)"
    );
    assert_eq!(
        fault("format = \"csv\"", "a[]"),
        "m.toml:9: to is \"a[]\": a CSV field holds one value; let the field say join or take = \
         \"first\""
    );
    assert!(fault("format = \"json\"", "b.@id").contains("cannot be a value and hold"));
    assert_eq!(fault("format = \"csv\"", "any, name"), "");
}

/// What an output of this format writes of a record with these texts.
fn written(output: &str, fields: &str, texts: &[(&str, &str)]) -> String {
    let mapping = sound(&bundle(&format!("{CSV}[output]\n{output}\n{fields}"), &[]));
    let (mapped, out, problems) = apply(&mapping, texts);
    assert_eq!((mapped, problems), (Mapped::Ready, vec![]));
    out
}

#[test]
fn xml_nests_repeats_and_has_attributes() {
    let output = "format = \"xml\"\nroot = \"Orders\"\nrecord = \"Order\"";
    let fields = r#"
[[fields]]
to     = "container.number"
from   = "CONT"
[[fields]]
to     = "seal[]"
from   = ["S1", "S2", "S3"]
[[fields]]
to     = "container.weight"
from   = "KG"
number = { decimal = "," }
[[fields]]
to     = "container.weight.@unit"
value  = "KGM"
[[fields]]
to     = "@id"
from   = "ID"
[[fields]]
to     = "seal.@by"
from   = "BY"
"#;
    assert_eq!(
        written(
            output,
            fields,
            &[
                ("CONT", "A<B"),
                ("S1", "x"),
                ("S2", " "),
                ("S3", "y"),
                ("KG", "1,50"),
                ("ID", "\"7\""),
                ("BY", "CUS")
            ]
        ),
        "<Order id=\"&quot;7&quot;\"><container><number>A&lt;B</number><weight unit=\"KGM\">1.50\
         </weight></container><seal by=\"CUS\">x</seal><seal by=\"CUS\">y</seal></Order>"
    );
    // A unit without a weight speaks of nothing.
    assert_eq!(written(output, fields, &[("BY", "CUS")]), "<Order/>");
    assert_eq!(written(output, fields, &[("ID", "7")]), "<Order id=\"7\"/>");
}

#[test]
fn an_attribute_alone_makes_its_element() {
    let output = "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"";
    let fields = "[[fields]]\nto = \"a.b.@c\"\nfrom = \"X\"\n[[fields]]\nto = \"d\"\nfrom = \"Y\"";
    assert_eq!(written(output, fields, &[("X", "1")]), "<O><a><b c=\"1\"/></a></O>");
    assert_eq!(written(output, fields, &[("Y", "1")]), "<O><d>1</d></O>");
}

#[test]
fn a_character_that_xml_does_not_know_rejects_the_record() {
    let text = format!(
        "{CSV}[output]\nformat = \"xml\"\nroot = \"R\"\nrecord = \"O\"\n[[fields]]\nto = \
         \"@a\"\nfrom = \"A\"\n[[fields]]\nto = \"b[]\"\nfrom = \"B\"\nrequired = true\n"
    );
    let mapping = sound(&bundle(&text, &[]));
    let advice = "XML does not know the character U+0001; take it out, in the file or with clean = \
                  [{ remove = \"\\u0001\" }]";
    assert_eq!(
        problems(&mapping, &[("A", "x\u{1}"), ("B", "y"), ("B", "\u{1}z")]),
        [format!("xml | A | x\u{1} | {advice}"), format!("xml | B | \u{1}z | {advice}")]
    );
}

#[test]
fn csv_has_a_column_for_every_field_in_the_order_of_the_mapping() {
    let fields = r#"
[[fields]]
to    = "container.number"
from  = "CONT"
[[fields]]
to    = "remark, free"
from  = "TEXT"
[[fields]]
to    = "container.kind"
value = "FULL"
when  = { field = "KIND", is = "F" }
[[fields]]
to    = "container.kind"
value = "EMPTY"
when  = { field = "KIND", is = "E" }
"#;
    let csv = |texts| written("format = \"csv\"", fields, texts);
    assert_eq!(
        csv(&[("CONT", "CSQU3054383"), ("TEXT", "a, \"b\""), ("KIND", "E")]),
        "CSQU3054383,\"a, \"\"b\"\"\",EMPTY"
    );
    assert_eq!(csv(&[]), ",,");
    let mapping = sound(&bundle(&format!("{CSV}[output]\nformat = \"csv\"\n{fields}"), &[]));
    assert_eq!(mapping.frame(1).head, b"container.number,\"remark, free\",container.kind\r\n");
    let one = "[[fields]]\nto = \"a\"\nfrom = \"A\"";
    assert_eq!(written("format = \"csv\"", one, &[]), "\"\"");
}

#[test]
fn faults_of_a_field_are_told_with_their_line() {
    let faults = |field: &str| {
        let text = format!("{CSV}[[fields]]\n{field}\n");
        let (mapping, faults) = compile(&bundle(&text, &[("t", "alias,code\na,b\n")]));
        assert!(mapping.is_none(), "{field}");
        faults.join("; ")
    };
    for (field, fault) in [
        ("from = \"A\"", "m.toml:3: [fields] lacks \"to\""),
        ("to = \"a\"", "m.toml:4: the field needs from or value"),
        ("to = \"a\"\nfrom = 5", "m.toml:5: from is 5, but must be a list of texts"),
        ("to = \"a..b\"\nfrom = \"A\"", "m.toml:4: to is \"a..b\": a name is empty"),
        ("to = \"a[].b\"\nfrom = \"A\"", "m.toml:4: to is \"a[].b\": [] may stand at its end only"),
        (
            "to = \"a\"\nvalue = 5\nunknown = \"keep\"\naka = 1",
            "m.toml:5: value is 5, but must be a text in quotes; \
             m.toml:7: aka is 1, but must be a text or a table",
        ),
        ("to = \"a\"\nfrom = []", "m.toml:5: from is empty"),
        ("to = \"a\"\nfrom = \"A\"\nvalue = \"b\"", "m.toml:6: a field has either from or value"),
        (
            "to = \"a\"\nfrom = [\"A\", \"B\"]",
            "m.toml:5: from is a list: say how its texts become one, with join = \" \" or take = \
             \"first\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\njoin = \"\"\ntake = \"first\"",
            "m.toml:7: a field has either join or take",
        ),
        (
            "to = \"a[]\"\nfrom = \"A\"\njoin = \"\"",
            "m.toml:6: join does not go with a `to` that ends in []",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\ntake = \"last\"",
            "m.toml:6: take is \"last\", but must be \"first\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\nclean = [\"trimm\"]",
            "m.toml:6: clean does not know \"trimm\": known are trim, uppercase, lowercase and { \
             remove = \"…\" }",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\ncheck = \"iso6364\"",
            "m.toml:6: unknown check \"iso6364\": did you mean \"iso6346\"?",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\ncheck = { rule = \"imo\", level = \"error\" }",
            "m.toml:6: level is \"error\", but must be \"off\", \"warn\" or \"reject\"",
        ),
        ("to = \"a\"\nfrom = \"A\"\nunknown = \"keep\"", "m.toml:6: unknown goes with aka"),
        (
            "to = \"a\"\nfrom = \"A\"\naka = \"t\"\nunknown = \"drop\"",
            "m.toml:7: unknown is \"drop\", but must be \"quarantine\", \"keep\" or { use = \"…\" }",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\naka = { table = \"t\", case = \"fold\" }",
            "m.toml:6: case is \"fold\", but must be \"ignore\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\nnumber = { decimal = \",\", group = \",\" }",
            "m.toml:6: decimal and group are both \",\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\nreqired = true",
            "m.toml:6: unknown key \"reqired\" in [fields]: did you mean \"required\"?",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\n[[fields]]\nto = \"a\"\nfrom = \"B\"\n\
             when = { field = \"A\", is = \"1\" }",
            "m.toml:7: \"a\" is set on line 4 already: one of them must go, or each needs a `when`",
        ),
        (
            "to = \"a.b\"\nfrom = \"A\"\n[[fields]]\nto = \"a\"\nfrom = \"B\"",
            "m.toml:7: \"a\" cannot be a value and hold \"a.b\" too (see line 4)",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\n[[fields]]\nto = \"a.b\"\nfrom = \"B\"",
            "m.toml:7: \"a\" cannot be a value and hold \"a.b\" too (see line 4)",
        ),
    ] {
        assert_eq!(faults(field), fault, "{field}");
    }
}

#[test]
fn all_faults_of_mapping_and_tables_are_told_at_once() {
    let text = "[input]\nformat = \"csv\"\nskipp = 1\n\
                [[fields]]\nto = \"a\"\nfrom = \"A\"\naka = \"t\"\n\
                [[fields]]\nto = \"b\"\nfrom = \"A\"\naka = { table = \"t\", case = \"ignore\" }\n\
                [other]\n";
    let (mapping, faults) = compile(&bundle(text, &[("t", "alias,code\na,1\na,2\nb\n")]));
    assert!(mapping.is_none());
    assert_eq!(
        faults,
        [
            "m.toml:3: unknown key \"skipp\" in [input]: did you mean \"skip\"?",
            "m.toml:12: unknown key \"other\": known here are fields, input, output",
            "mappings/aka/t.csv:3: \"a\" is 2 here, but 1 on line 2: correct one, or give them \
             days that do not overlap",
            "mappings/aka/t.csv:4: the header has 2 columns, but the row has 1",
        ]
    );
    let (mapping, faults) = compile(&bundle("[input\n", &[]));
    assert!(mapping.is_none());
    assert_eq!(faults.len(), 1);
    assert_eq!(
        compile(&bundle("", &[])).1,
        ["m.toml:1: \"input\" is missing", "m.toml:1: a mapping needs at least one [[fields]]"]
    );
}

#[test]
fn a_warning_does_not_stop_a_mapping_nor_do_the_faults_of_another() {
    let faults = Faults::default();
    faults.error(Path::new("other.toml"), 1, "elsewhere");
    let text = format!(
        "{CSV}[[fields]]\nto = \"a\"\nfrom = \"A\"\n\
         date = {{ read = \"%FT%TZ\", timezone = \"UTC\" }}\n"
    );
    assert!(Mapping::compile(&bundle(&text, &[]), &environments(), &faults).is_some());
    assert_eq!(faults.take().len(), 2);
}

#[test]
fn a_bundle_is_read_from_the_folder_of_mappings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("aka")).unwrap();
    std::fs::write(path.join("releases.toml"), RELEASES).unwrap();
    std::fs::write(path.join("aka/terminals.csv"), TERMINALS).unwrap();
    let faults = Faults::default();
    let load = |name: &str| Bundle::load(path, name, &environments(), &faults);
    let told = || {
        let root = format!("{}/", path.display());
        let told: Vec<String> =
            faults.take().iter().map(|fault| fault.to_string().replace(&root, "")).collect();
        told.join("; ")
    };

    let bundle = load("releases").unwrap();
    assert_eq!(told(), "");
    assert_eq!(bundle.text, RELEASES);
    assert_eq!(bundle.tables["terminals"], (path.join("aka/terminals.csv"), TERMINALS.to_owned()));

    let mut elsewhere = bundle.clone();
    elsewhere.file = PathBuf::from("elsewhere.toml");
    assert_eq!(bundle.hash(), elsewhere.hash());
    assert_eq!(bundle.hash().len(), 64);
    elsewhere.tables.get_mut("terminals").unwrap().1.push('\n');
    assert_ne!(bundle.hash(), elsewhere.hash());

    assert!(load("release").is_none());
    assert_eq!(told(), "release.toml: there is no mapping \"release\": did you mean \"releases\"?");
    assert!(load("zzz").is_none());
    assert_eq!(told(), "zzz.toml: there is no mapping \"zzz\": known are releases");
    assert!(load("../releases").is_none());
    assert!(told().contains("is no name of a mapping"));

    let wrong =
        format!("{CSV}skipp = 1\n[[fields]]\nto = \"a\"\nfrom = \"A\"\naka = \"terminal\"\n");
    std::fs::write(path.join("wrong.toml"), wrong).unwrap();
    assert!(load("wrong").is_none());
    assert_eq!(
        told(),
        "wrong.toml:3: unknown key \"skipp\" in [input]: did you mean \"skip\"?; \
         wrong.toml:7: there is no table \"terminal\": did you mean \"terminals\"?"
    );
    std::fs::write(path.join("aka/terminals.csv"), b"alias,code\nCaf\xe9,1\n").unwrap();
    assert!(load("releases").is_none());
    assert_eq!(told(), "aka/terminals.csv:2: is not UTF-8: save it as UTF-8");
}

mod read_back;

mod any_text {
    use proptest::prelude::*;

    use super::*;

    const EVERYTHING: &str = "\
        [[fields]]\nto = \"o.clean\"\nfrom = \"A\"\n\
        clean = [\"trim\", \"uppercase\", { remove = \"- \" }, \"lowercase\"]\n\
        [[fields]]\nto = \"o.aka\"\nfrom = \"A\"\n\
        aka = { table = \"t\", within = \"B\", case = \"ignore\" }\nunknown = \"keep\"\n\
        [[fields]]\nto = \"o.list[]\"\nfrom = [\"A\", \"B\"]\n\
        [[fields]]\nto = \"joined\"\nfrom = [\"A\", \"B\"]\njoin = \"\\\"\"\n\
        check = { rule = \"iso6346\", level = \"warn\" }\n\
        [[fields]]\nto = \"first\"\nfrom = [\"B\", \"A\"]\ntake = \"first\"\n\
        check = { rule = \"regex:[^x]*\", level = \"warn\" }\n";

    proptest! {
        #[test]
        fn gives_json_that_can_be_read(a in ".*", b in "(?s).{0,40}") {
            let mapping = fields(EVERYTHING, &[("t", "alias,code\né,1\nK,\"2\"\"\"\n")]);
            let (mapped, out, _) = apply(&mapping, &[("A", &a), ("B", &b)]);
            prop_assert_eq!(mapped, Mapped::Ready);
            let read: serde_json::Value = serde_json::from_str(&out).unwrap();
            let list: Vec<&str> =
                [&a, &b].into_iter().map(String::as_str).filter(|t| !t.trim().is_empty()).collect();
            let found: Vec<&str> = read["o"]["list"]
                .as_array()
                .map(|list| list.iter().filter_map(|text| text.as_str()).collect())
                .unwrap_or_default();
            prop_assert_eq!(found, list);
        }

        #[test]
        fn breaks_no_rule(text in r"[0-9A-Za-z\pL +.,:/\-]{0,24}") {
            let rules = "check = \"iso6346\"|check = \"size-type\"|check = \"unlocode\"|\
                check = \"imo\"|check = \"eni\"|check = \"be-vat\"|check = \"scac\"|\
                check = \"max-length:5\"|number = { decimal = \",\", group = \".\" }|number = {}|\
                date = { read = [\"%d/%m/%Y %H:%M\", \"%d%m%y\", \"%d-%b-%Y\", \"%F%z\"], timezone = \"Europe/Brussels\" }|\
                date = { read = \"%s\", timezone = \"Europe/Brussels\", write = \"%c %Z\" }|\
                values = { A = \"b\" }|aka = \"t\"";
            for rule in rules.split('|') {
                let mapping = fields(
                    &format!("[[fields]]\nto = \"a\"\nfrom = \"A\"\n{rule}\n"),
                    &[("t", "alias,code\né,1\n")],
                );
                let (mapped, out, problems) = apply(&mapping, &[("A", &text)]);
                match mapped {
                    Mapped::Ready => {
                        prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
                    }
                    _ => prop_assert_eq!(problems.len(), 1),
                }
            }
        }

        #[test]
        fn of_a_number_becomes_the_same_number(
            whole in "(0|[1-9][0-9]{0,30})", fraction in "([0-9]{0,20})", minus in any::<bool>(),
        ) {
            let mapping = fields(
                "[[fields]]\nto = \"n\"\nfrom = \"N\"\nnumber = { decimal = \",\", group = \".\" }\n",
                &[],
            );
            let sign = if minus { "-" } else { "" };
            let mut grouped = String::new();
            for (place, digit) in whole.chars().enumerate() {
                if place > 0 && (whole.len() - place).is_multiple_of(3) {
                    grouped.push('.');
                }
                grouped.push(digit);
            }
            let (read, wanted) = match fraction.as_str() {
                "" => (format!("{sign}{grouped}"), format!("{sign}{whole}")),
                digits => (format!("{sign}{grouped},{digits}"), format!("{sign}{whole}.{digits}")),
            };
            prop_assert_eq!(json(&mapping, &[("N", &read)]), format!("{{\"n\":{wanted}}}"));
        }

        #[test]
        fn in_place_of_a_part_of_a_mapping_is_told(
            start in 0..RELEASES.len(), length in 0_usize..12, text in "[a-z\\[\\]{}\"=.,0-9 \n%]{0,6}",
        ) {
            prop_assume!(RELEASES.is_char_boundary(start));
            let end = (start + length).min(RELEASES.len());
            let changed = format!("{}{text}{}", &RELEASES[..start], &RELEASES[end..]);
            let (mapping, faults) = compile(&bundle(&changed, &[("terminals", TERMINALS)]));
            prop_assert_eq!(mapping.is_none(), faults.iter().any(|fault| !fault.contains("warning")));
        }

        #[test]
        fn as_a_mapping_or_table_is_told_and_never_panics(text in "(?s).{0,200}", lines in "([a-z_]{1,8}|,|\"|\n|20[0-9]{2}-0[1-9]-[0-3][0-9]){0,40}") {
            let _ = compile(&bundle(&text, &[]));
            let mapping = format!("{CSV}[[fields]]\nto = \"a\"\nfrom = \"A\"\naka = \"t\"\n");
            let _ = compile(&bundle(&mapping, &[("t", &lines)]));
            let _ = compile(&bundle(&mapping, &[("t", &format!("alias,code,valid_from\n{lines}"))]));
        }
    }
}
