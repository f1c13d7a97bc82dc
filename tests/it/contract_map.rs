//! Mappings and AKA tables (design, section 4.2) in all formats, as the channel sees the result.

use serde_json::{Value, json};

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::*;

/// What was sent of one file with this mapping, all messages together, and what was wrong:
/// record, line, field, rule.
struct Result {
    sent: Vec<Value>,
    wrong: Vec<(u64, u64, String, String)>,
    provider: Provider,
    fake: Fake,
}

fn through(mapping: &str, name: &str, bytes: impl AsRef<[u8]>) -> Result {
    through_with(mapping, &[], name, bytes)
}

#[track_caller]
fn through_with(
    mapping: &str,
    tables: &[(&str, &str)],
    name: &str,
    bytes: impl AsRef<[u8]>,
) -> Result {
    let fake = Fake::willing();
    let provider = shop(&fake);
    provider.mapping("plain", mapping);
    for (name, text) in tables {
        provider.aka(name, text);
    }
    acme(&provider, &releases("").replace("\"*.csv\"", "\"*\""));
    provider.drop_file("acme", name, bytes);
    let run = provider.run_once(&[]);
    let whole = provider.status()["customers"]["acme"]["files"]["quarantined"].as_u64().unwrap();
    assert!([0, 3].contains(&run.code), "{run}");
    provider.check_ledger();
    let mut sent = Vec::new();
    for call in fake.to("/ingestion") {
        sent.extend(call.json().as_array().unwrap().clone());
    }
    let wrong = provider
        .problems("acme", name)
        .into_iter()
        .map(|problem| (problem.record, problem.line, problem.field, problem.rule))
        .collect::<Vec<_>>();
    assert!(whole == 0 || sent.is_empty());
    Result { sent, wrong, provider, fake }
}

const CSV: &str = "[input]\nformat = \"csv\"\ndelimiter = \";\"\n[output]\nformat = \"json\"\n";

/// One field more.
fn field(lines: &str) -> String {
    format!("\n[[fields]]\n{lines}\n")
}

fn row(record: u64, line: u64, field: &str, rule: &str) -> (u64, u64, String, String) {
    (record, line, field.to_owned(), rule.to_owned())
}

#[test]
fn codes_keep_their_zeros_and_nothing_is_guessed_to_be_a_number() {
    let mapping = CSV.to_owned()
        + &field("to = \"a.b.c\"\nfrom = \"A\"")
        + &field("to = \"a.b.d\"\nfrom = \"B\"")
        + &field("to = \"e\"\nfrom = \"C\"");
    let result = through(&mapping, "A.csv", "A;B;C\n01700;06912345;1e5\ntrue;null;-0\n");
    assert_eq!(
        result.sent,
        [
            json!({"a": {"b": {"c": "01700", "d": "06912345"}}, "e": "1e5"}),
            json!({"a": {"b": {"c": "true", "d": "null"}}, "e": "-0"}),
        ]
    );
}

#[test]
fn csv_is_read_as_it_comes_from_real_systems() {
    let both = field("to = \"a\"\nfrom = \"A\"") + &field("to = \"b\"\nfrom = \"B\"");
    let with = |lines: &str| CSV.replace("delimiter = \";\"", lines) + &both;
    let expected = [json!({"a": "1", "b": "x"}), json!({"a": "2", "b": "y"})];
    // Empty lines, CRLF, a BOM, and no final newline.
    let result = through(&with("delimiter = \";\""), "A.csv", b"\xEF\xBB\xBFA;B\r\n\r\n1;x\r\n2;y");
    assert_eq!(result.sent, expected);
    for delimiter in [",", "\\t", "|"] {
        let text = "A;B\n1;x\n2;y\n".replace(';', &delimiter.replace("\\t", "\t"));
        let result = through(&with(&format!("delimiter = \"{delimiter}\"")), "A.csv", text);
        assert_eq!(result.sent, expected, "{delimiter:?}");
    }
    // Quotes are ordinary characters.
    let result =
        through(&with("delimiter = \";\"\nquote = \"none\""), "A.csv", "A;B\n\"1;x\"\n2;y\n");
    assert_eq!(result.sent[0], json!({"a": "\"1", "b": "x\""}));
    // Another quote.
    let result = through(&with("delimiter = \";\"\nquote = \"'\""), "A.csv", "A;B\n'1';'x;''y'\n");
    assert_eq!(result.sent, [json!({"a": "1", "b": "x;'y"})]);
    // Lines above the header.
    let result =
        through(&with("delimiter = \";\"\nskip = 2"), "A.csv", "Report\n\"odd\nA;B\n1;x\n2;y\n");
    assert_eq!(result.sent, expected);
    // No header.
    let mapping = with("delimiter = \";\"\nheader = false")
        .replace("\"A\"", "\"1\"")
        .replace("\"B\"", "\"2\"");
    let result = through(&mapping, "A.csv", "1;x\n2;y\n");
    assert_eq!(result.sent, expected);
}

#[test]
fn ragged_rows_are_rejected_or_padded() {
    let both = field("to = \"a\"\nfrom = \"A\"") + &field("to = \"b\"\nfrom = \"B\"");
    let text = "A;B\n1;x\n2\n3;z;more\n4;w\n";
    let result = through(&(CSV.to_owned() + &both), "A.csv", text);
    assert_eq!(result.sent, [json!({"a": "1", "b": "x"}), json!({"a": "4", "b": "w"})]);
    let places: Vec<(u64, u64)> = result.wrong.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(places, [(2, 3), (3, 4)], "{:?}", result.wrong);
    assert_eq!(result.provider.rejects("acme", "A.csv").unwrap(), b"A;B\n2\n3;z;more\n");
    let padded = CSV.replace("delimiter", "ragged = \"pad\"\ndelimiter") + &both;
    let result = through(&padded, "A.csv", "A;B\n1;x\n2\n");
    assert_eq!(result.sent, [json!({"a": "1", "b": "x"}), json!({"a": "2"})]);
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let mapping = CSV.to_owned() + &field("to = \"a\"\nfrom = \"A\"\nrequired = true");
    for newline in ["\n", "\r\n", "\r"] {
        let text = "A;B\n1;\"two\nlines\"\n\n;x\n;\"a\n\n\nb\"\n;y\n".replace('\n', newline);
        let result = through(&mapping, "A.csv", text);
        let expected =
            [row(2, 5, "A", "required"), row(3, 6, "A", "required"), row(4, 10, "A", "required")];
        assert_eq!(result.wrong, expected, "{newline:?}");
    }
}

#[test]
fn every_encoding_arrives_as_utf_8() {
    let both = field("to = \"a\"\nfrom = \"Größe\"");
    let with = |encoding: &str| CSV.replace("delimiter", &format!("{encoding}delimiter")) + &both;
    let expected = [json!({"a": "Łódź €"})];
    let latin = [json!({"a": "Café €"})];
    let result = through(
        &with("encoding = \"windows-1252\"\n"),
        "A.csv",
        b"Gr\xF6\xDFe;B\nCaf\xE9 \x80;1\n",
    );
    assert_eq!(result.sent, latin);
    let result = through(&with(""), "A.csv", "Größe;B\nŁódź €;1\n");
    assert_eq!(result.sent, expected);
    // A BOM wins over what the mapping says.
    let result =
        through(&with("encoding = \"windows-1252\"\n"), "A.csv", "\u{FEFF}Größe;B\nŁódź €;1\n");
    assert_eq!(result.sent, expected);
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let text: Vec<u8> =
            "\u{FEFF}Größe;B\r\nŁódź €;1\r\n".encode_utf16().flat_map(bytes).collect();
        let result = through(&with(""), "A.csv", text);
        assert_eq!(result.sent, expected);
    }
    let result =
        through(&with("encoding = \"latin2\"\n"), "A.csv", b"Gr\xF6\xDFe;B\n\xA3\xF3d\xBC;1\n");
    assert_eq!(result.sent, [json!({"a": "Łódź"})]);
}

#[test]
fn xml_is_read_by_paths_attributes_and_namespaces() {
    let mapping = "[input]\nformat = \"xml\"\nrecords = \"**/o:Order\"\nnamespaces = { o = \"urn:o\" }\n[output]\nformat = \"json\"\n".to_owned()
        + &field("to = \"nr\"\nfrom = \"@nr\"\nrequired = true")
        + &field("to = \"city\"\nfrom = \"o:To/o:City\"")
        + &field("to = \"kind\"\nfrom = \"o:To/@kind\"")
        + &field("to = \"codes\"\nfrom = \"o:Code\"\njoin = \", \"")
        + &field("to = \"first\"\nfrom = \"o:Code\"\ntake = \"first\"")
        + &field("to = \"list[]\"\nfrom = \"o:Code\"");
    let text = "<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ELEMENT x ANY>]>\n<x xmlns=\"urn:o\"><in><Order nr=\"007\">\n<To kind=\"a&amp;b\"><City>A &lt;&#66;&gt; <![CDATA[& C]]></City></To><Code>01</Code><Code>02</Code></Order>\n<!-- <Order/> --></in><y:Order xmlns:y=\"urn:o\" nr=\"8\"/><Order xmlns=\"urn:other\"/>\n<Order/></x>\n";
    let result = through(&mapping, "A.xml", text);
    assert_eq!(
        result.sent,
        [
            json!({"nr": "007", "city": "A <B> & C", "kind": "a&b", "codes": "01, 02", "first": "01", "list": ["01", "02"]}),
            json!({"nr": "8"}),
        ]
    );
    assert_eq!(result.wrong, [row(3, 6, "@nr", "required")]);
}

#[test]
fn a_path_that_hits_several_times_is_a_violation_unless_the_field_says_what_to_do() {
    let mapping =
        "[input]\nformat = \"xml\"\nrecords = \"Orders/Order\"\n[output]\nformat = \"json\"\n"
            .to_owned()
            + &field("to = \"c\"\nfrom = \"Code\"");
    let result = through(
        &mapping,
        "A.xml",
        "<Orders><Order><Code>1</Code><Code>2</Code></Order><Order><Code>3</Code></Order></Orders>",
    );
    assert_eq!(result.sent, [json!({"c": "3"})]);
    assert_eq!(result.wrong.len(), 1);
    assert_eq!((result.wrong[0].0, result.wrong[0].2.as_str()), (1, "Code"));
}

#[test]
fn json_is_read_as_an_array_at_a_path_one_object_or_lines() {
    let fields = field("to = \"id\"\nfrom = \"id\"")
        + &field("to = \"name\"\nfrom = \"party.name\"")
        + &field("to = \"weight\"\nfrom = \"weight\"\nnumber = {}");
    let head = |input: &str| format!("[input]\n{input}\n[output]\nformat = \"json\"\n{fields}");
    let one = r#"{"id": "01", "party": {"name": "A \"B\" é\n"}, "weight": 12.50, "other": [1, {"id": 5}]}"#;
    let two = r#"{"id": 2, "party": null, "weight": "7"}"#;
    let expected =
        json!([{"id": "01", "name": "A \"B\" é\n", "weight": 12.5}, {"id": "2", "weight": 7}]);
    let both = expected.as_array().unwrap().clone();
    let result = through(
        &head("format = \"json\"\nrecords = \"data.list\""),
        "A.json",
        format!("{{\"list\": 3, \"data\": {{\"list\": [{one},\n{two}]}}}}"),
    );
    assert_eq!(result.sent, both);
    let result = through(&head("format = \"json\""), "A.json", format!("[{one},{two}]"));
    assert_eq!(result.sent, both);
    let result = through(&head("format = \"json\""), "A.json", one);
    assert_eq!(result.sent, both[..1]);
    let result = through(&head("format = \"ndjson\""), "A.ndjson", format!("{one}\r\n\r\n{two}"));
    assert_eq!(result.sent, both);
}

#[test]
fn a_list_of_columns_is_joined() {
    let mapping = CSV.to_owned()
        + &field(
            "to = \"when\"\nfrom = [\"DAY\", \"TIME\"]\njoin = \" \"\ndate = { read = [\"%Y%m%d %H%M%S\"], timezone = \"Europe/Brussels\", write = \"rfc3339\" }",
        )
        + &field("to = \"both\"\nfrom = [\"DAY\", \"TIME\"]\njoin = \"/\"");
    let result = through(&mapping, "A.csv", "DAY;TIME\n20260701;083000\n");
    assert_eq!(
        result.sent,
        [json!({"when": "2026-07-01T08:30:00+02:00", "both": "20260701/083000"})]
    );
}

#[test]
fn dates_know_zones_gaps_and_folds() {
    let mapping = CSV.to_owned()
        + &field(
            "to = \"d\"\nfrom = \"D\"\ndate = { read = [\"%d/%m/%Y %H:%M\", \"%d/%m/%Y\"], timezone = \"Europe/Brussels\", write = \"rfc3339\" }",
        )
        + &field(
            "to = \"w\"\nfrom = \"W\"\ndate = { read = [\"%d.%m.%y\"], timezone = \"UTC\", write = \"%Y-%m-%d\" }",
        );
    let result = through(
        &mapping,
        "A.csv",
        "D;W\n15/01/2026 08:00;01.02.26\n15/07/2026;\n29/03/2026 02:30;\n25/10/2026 02:30;\n31/06/2026;\n2026-01-15;\n29/02/2028 23:59;29.02.28\n",
    );
    assert_eq!(
        result.sent,
        [
            json!({"d": "2026-01-15T08:00:00+01:00", "w": "2026-02-01"}),
            json!({"d": "2026-07-15T00:00:00+02:00"}),
            json!({"d": "2028-02-29T23:59:00+01:00", "w": "2028-02-29"}),
        ]
    );
    let rejected: Vec<u64> = result.wrong.iter().map(|row| row.0).collect();
    assert_eq!(rejected, [3, 4, 5, 6], "{:?}", result.wrong);
    assert!(result.wrong.iter().all(|row| row.2 == "D" && row.3 == "date"));
}

#[test]
fn numbers_become_json_numbers_exactly() {
    let mapping = CSV.to_owned()
        + &field("to = \"n\"\nfrom = \"N\"\nnumber = { decimal = \",\", group = \".\" }");
    let result = through(
        &mapping,
        "A.csv",
        "N\n24.350,5\n1.234.567\n-0,10\n007\n12345678901234567890,123\n1,2,3\nx\n1 000\n1.2\n+5\n",
    );
    let body = result.fake.to("/ingestion")[0].text();
    for number in ["24350.5", "1234567", "-0.1", "7", "12345678901234567890.123"] {
        assert!(body.contains(&format!("\"n\":{number}")), "{number}: {body}");
    }
    let rejected: Vec<u64> = result.wrong.iter().map(|row| row.0).collect();
    for bad in [6, 7, 8, 9] {
        assert!(rejected.contains(&bad), "{bad}: {:?} {body}", result.wrong);
    }
}

#[test]
fn tables_translate_with_within_customer_validity_and_case() {
    let terminals = "alias,code,within,customer,valid_from,valid_until\n\
        PSA,K913,BEANR,,,\n\
        PSA,ROT1,NLRTM,,,\n\
        PSA,OURS,BEANR,acme,,\n\
        Gate,01700,,,,\n\
        Old,X1,,,,2020-12-31\n\
        Old,X2,,,2021-01-01,\n\
        Caf\u{e9},C1,,,,\n\
        Other,O1,,bolt,,\n";
    let mapping = CSV.to_owned()
        + &field(
            "to = \"t\"\nfrom = \"T\"\naka = { table = \"terminals\", within = \"P\", case = \"ignore\" }",
        );
    let result = through_with(
        &mapping,
        &[("terminals", terminals)],
        "A.csv",
        "T;P\nPSA;BEANR\npsa;NLRTM\n gate ;\nOld;\nCafe\u{301};\nOther;\nPSA;DEHAM\n",
    );
    let codes: Vec<&str> = result.sent.iter().map(|record| record["t"].as_str().unwrap()).collect();
    assert_eq!(codes, ["OURS", "ROT1", "01700", "X2", "C1"]);
    assert_eq!(result.wrong, [row(6, 7, "T", "aka"), row(7, 8, "T", "aka")]);
}

#[test]
fn case_matters_unless_it_is_said_not_to_and_unknown_may_be_kept_or_replaced() {
    let tables = [("terminals", "alias,code\nPSA,K913\n")];
    for (more, expected) in [
        ("", vec!["K913"]),
        ("\nunknown = \"quarantine\"", vec!["K913"]),
        ("\nunknown = \"keep\"", vec!["K913", "psa"]),
        ("\nunknown = { use = \"UNKNOWN\" }", vec!["K913", "UNKNOWN"]),
    ] {
        let mapping = CSV.to_owned()
            + &field(&format!("to = \"t\"\nfrom = \"T\"\naka = \"terminals\"{more}"));
        let result = through_with(&mapping, &tables, "A.csv", "T;P\nPSA;1\npsa;2\n");
        let codes: Vec<&str> =
            result.sent.iter().map(|record| record["t"].as_str().unwrap()).collect();
        assert_eq!(codes, expected, "{more}");
    }
}

#[test]
fn cleaning_comes_before_checks_and_the_value_is_told_as_read() {
    let mapping = CSV.to_owned()
        + &field(
            "to = \"c\"\nfrom = \"C\"\nclean = [\"trim\", \"uppercase\", { remove = \"- \" }]\ncheck = \"iso6346\"\nrequired = true",
        );
    let result = through(
        &mapping,
        "A.csv",
        "C\n csqu 305438-3 \ncsqu-3054384\n\"  \"\nСSQU3054383\nCSQU305438\u{FF13}\n",
    );
    assert_eq!(result.sent, [json!({"c": "CSQU3054383"})]);
    assert_eq!(
        result.wrong,
        [
            row(2, 3, "C", "iso6346"),
            row(3, 4, "C", "required"),
            row(4, 5, "C", "iso6346"),
            row(5, 6, "C", "iso6346")
        ]
    );
    let problems = result.provider.problems("acme", "A.csv");
    assert_eq!(problems[0].value, "csqu-3054384");
}

#[test]
fn every_check_of_the_contract_is_there() {
    for (check, good, bad) in [
        ("iso6346", "MSKU4733980", "MSKA4733980"),
        ("size-type", "L5G1", "40HC0"),
        ("unlocode", "AMA3A", "BEA0R"),
        ("imo", "9319466", "9319465"),
        ("eni", "02054020", "2054020"),
        ("be-vat", "BE0403019261", "BE0161023354"),
        ("scac", "MSCU", "MSCU1"),
        ("max-length:3", "äöü", "äöüx"),
        ("regex:^[0-9]{2}$", "07", "7a"),
    ] {
        let mapping =
            CSV.to_owned() + &field(&format!("to = \"v\"\nfrom = \"V\"\ncheck = '{check}'"));
        let result = through(&mapping, "A.csv", format!("V;W\n{good};1\n{bad};2\n"));
        assert_eq!(result.sent, [json!({"v": good})], "{check}");
        assert_eq!(result.wrong.len(), 1, "{check}");
        assert!(check.starts_with(result.wrong[0].3.as_str()), "{check}: {:?}", result.wrong);
    }
}

#[test]
fn constants_conditions_small_tables_and_only() {
    let mapping = CSV
        .replace("[output]", "only = { field = \"KIND\", is = [\"IMP\", \"TRS\"] }\n[output]")
        + &field("to = \"id\"\nfrom = \"ID\"")
        + &field("to = \"agent\"\nvalue = \"ACME\"\nwhen = { field = \"KIND\", is = [\"IMP\"] }")
        + &field("to = \"action\"\nfrom = \"TYP\"\nvalues = { T = \"assign\", A = \"unassign\" }");
    let result =
        through(&mapping, "A.csv", "ID;KIND;TYP\n1;IMP;T\n2;EXP;?\n3;TRS;A\n4;IMP;X\n5;TRS;\n");
    assert_eq!(
        result.sent,
        [
            json!({"id": "1", "agent": "ACME", "action": "assign"}),
            json!({"id": "3", "action": "unassign"}),
            json!({"id": "5"}),
        ]
    );
    assert_eq!(result.wrong, [row(4, 5, "TYP", "values")]);
    let receipt = result.provider.receipt("acme", "A.csv");
    assert_eq!(receipt["records"]["discarded"], 1, "{receipt}");
    assert_eq!(receipt["records"]["quarantined"], 1, "{receipt}");
}

#[test]
fn a_column_that_no_record_can_have_sets_the_file_aside() {
    for lines in [
        "to = \"x\"\nfrom = \"NOPE\"",
        "to = \"x\"\nvalue = \"1\"\nwhen = { field = \"NOPE\", is = [\"1\"] }",
    ] {
        let mapping = CSV.to_owned() + &field("to = \"a\"\nfrom = \"A\"") + &field(lines);
        let result = through(&mapping, "A.csv", "A;B\n1;2\n");
        assert!(result.sent.is_empty(), "{:?}", result.sent);
        assert_eq!(
            (result.wrong.len(), result.wrong[0].0, result.wrong[0].1),
            (1, 0, 0),
            "{:?}",
            result.wrong
        );
        let told = format!("{:?}", result.provider.problems("acme", "A.csv"));
        assert!(told.contains("NOPE"), "{told}");
    }
}

#[test]
fn messages_are_cut_by_records_and_by_bytes() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases("concurrency = 1\nbatch = { records = 3, bytes = \"100 KiB\" }"));
    let text: String = (1..=8).map(|n| format!("{n};{n}\n")).collect();
    provider.drop_file("acme", "A.csv", format!("ID;WEIGHT\n{text}"));
    provider.run_once(&[]).ended(0);
    let sizes: Vec<usize> =
        fake.to("/ingestion").iter().map(|call| call.json().as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 3, 2]);
    assert_eq!(provider.receipt("acme", "A.csv")["messages"], 3);

    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases("batch = { records = 500, bytes = \"1 KiB\" }"));
    let text: String = (1..=100).map(|n| format!("{n};{}\n", "w".repeat(80))).collect();
    provider.drop_file("acme", "A.csv", format!("ID;WEIGHT\n{text}"));
    provider.run_once(&[]).ended(0);
    let calls = fake.to("/ingestion");
    assert!(calls.len() >= 10, "{}", calls.len());
    assert!(calls.iter().all(|call| call.body.len() <= 1024));
    assert_eq!(provider.records("acme", "delivered"), 100);
}

#[test]
fn ndjson_goes_out_as_lines_under_its_own_media_type() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    provider.mapping("plain", &PLAIN.replace("format = \"json\"", "format = \"ndjson\""));
    acme(&provider, &releases("").replace("application/json", "application/x-ndjson"));
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n2;2\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let call = &fake.to("/ingestion")[0];
    assert_eq!(call.header("content-type"), "application/x-ndjson");
    assert_eq!(call.text(), "{\"id\":\"1\",\"weight\":\"1\"}\n{\"id\":\"2\",\"weight\":\"2\"}\n");
}

#[test]
fn an_output_that_does_not_fit_the_media_type_is_a_config_error() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.mapping("plain", &PLAIN.replace("format = \"json\"", "format = \"ndjson\""));
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("media_type") || run.stderr.contains("application/json"), "{run}");
}

#[test]
fn what_a_claim_pinned_outlasts_a_change_of_the_mapping() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 0 => answer(503, ""),
        _ => answer(200, ""),
    });
    let provider = ready(&fake, QUICK);
    provider.run_once(&[]).ended(75);
    provider.mapping("plain", &PLAIN.replace("to       = \"id\"", "to = \"changed\""));
    let text = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file(
        "customers/acme.toml",
        text.replace(QUICK, &format!("{QUICK}\nbatch = {{ records = 1, bytes = \"1 MiB\" }}")),
    );
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to("/ingestion");
    assert_eq!(calls.len(), 2);
    assert_eq!(
        (calls[0].text(), calls[0].header("idempotency-key")),
        (calls[1].text(), calls[1].header("idempotency-key"))
    );
}
