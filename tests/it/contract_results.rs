//! The files that a user gets back (design, section 4.5): archive, rejects in the input's own
//! dialect and encoding, problems, receipts, and the names they share.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::*;

/// A shop whose customer sends every file through this mapping.
fn mapped(fake: &Fake, mapping: &str) -> Provider {
    let provider = shop(fake);
    provider.mapping("plain", mapping);
    acme(&provider, &releases("").replace("\"*.csv\"", "\"*\""));
    provider
}

/// `[input]` with these lines, and ID, required, and WEIGHT, a number.
fn mapping(input: &str) -> String {
    format!(
        "[input]\n{input}\n\n[output]\nformat = \"json\"\n\n[[fields]]\nto = \"id\"\nfrom = \"ID\"\nrequired = true\n\n[[fields]]\nto = \"weight\"\nfrom = \"WEIGHT\"\nnumber = {{ decimal = \",\" }}\n"
    )
}

#[track_caller]
fn rejects(provider: &Provider, name: &str) -> Vec<u8> {
    provider.rejects("acme", name).unwrap_or_else(|| {
        panic!("no rejects {name}; there are {:?}", provider.names("acme", "rejects"))
    })
}

/// Drops one file, runs, and gives back what was rejected.
#[track_caller]
fn rejected(mapping: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let fake = Fake::willing();
    let provider = mapped(&fake, mapping);
    provider.drop_file("acme", name, bytes);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let archived = provider.archived("acme", name);
    assert_eq!(archived.as_deref(), Some(bytes), "the archive holds the file as it came");
    provider.check_ledger();
    rejects(&provider, name)
}

#[test]
fn rejects_of_windows_1252_csv_are_the_original_bytes_with_preamble_and_header() {
    let input = "format = \"csv\"\ndelimiter = \";\"\nencoding = \"windows-1252\"\nskip = 1";
    let file = b"Liste f\xFCr M\xFCller\r\nID;WEIGHT;NOTE\r\n001;1,5;caf\xE9\r\n002;heavy;\x80 5\r\n003;2,5;\"a;\"\"b\"\"\r\nc\"\r\n;4;x\r\n005;x;\"q\r\nr\"\r\n";
    assert_eq!(
        rejected(&mapping(input), "A.csv", file),
        b"Liste f\xFCr M\xFCller\r\nID;WEIGHT;NOTE\r\n002;heavy;\x80 5\r\n;4;x\r\n005;x;\"q\r\nr\"\r\n"
    );
}

#[test]
fn rejects_without_a_header_a_final_newline_or_ascii_keep_them_so() {
    // No header, LF, and no line end behind the last.
    let input = "format = \"csv\"\ndelimiter = \",\"\nheader = false";
    let by_number = mapping(input).replace("\"ID\"", "\"1\"").replace("\"WEIGHT\"", "\"2\"");
    assert_eq!(rejected(&by_number, "A.csv", b"1,2\n2,x\n3,y"), b"2,x\n3,y");
    assert_eq!(rejected(&by_number, "A.csv", b"1,x\n2,2"), b"1,x\n");
    // UTF-8 with a BOM.
    let input = "format = \"csv\"\ndelimiter = \";\"";
    assert_eq!(
        rejected(&mapping(input), "A.csv", b"\xEF\xBB\xBFID;WEIGHT\n1;1\n2;x\n"),
        b"\xEF\xBB\xBFID;WEIGHT\n2;x\n"
    );
    // UTF-16, both ways round.
    let input = "format = \"csv\"\ndelimiter = \"\\t\"";
    let text = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{FEFF}{text}").encode_utf16().flat_map(bytes).collect()
    };
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        assert_eq!(
            rejected(
                &mapping(input),
                "A.csv",
                &text("ID\tWEIGHT\r\n1\t1\r\né2\tx\r\n3\t3\r\n", bytes)
            ),
            text("ID\tWEIGHT\r\né2\tx\r\n", bytes)
        );
    }
    // CR alone ends lines.
    let input = "format = \"csv\"\ndelimiter = \";\"";
    assert_eq!(
        rejected(&mapping(input), "A.csv", b"ID;WEIGHT\r1;1\r2;x\r3;3\r"),
        b"ID;WEIGHT\r2;x\r"
    );
}

#[test]
fn rejects_of_xml_keep_the_enclosing_elements() {
    let input = "format = \"xml\"\nrecords = \"Orders/Order\"";
    let file = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- from the ERP -->\n<Orders xmlns:x=\"urn:x\" run='7'>\n  <Order nr=\"1\"><ID>1</ID><WEIGHT>1,5</WEIGHT></Order>\n  <Order nr=\"2\"><ID>2</ID><WEIGHT>h&amp;y</WEIGHT></Order>\n  <Order nr=\"3\"><ID/><WEIGHT>3</WEIGHT></Order>\n</Orders>\n";
    let rejects = rejected(&mapping(input), "A.xml", file.as_bytes());
    let text = String::from_utf8(rejects.clone()).unwrap();
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{text}");
    assert!(text.contains("<Orders xmlns:x=\"urn:x\" run='7'>"), "{text}");
    assert!(text.contains("<Order nr=\"2\"><ID>2</ID><WEIGHT>h&amp;y</WEIGHT></Order>"), "{text}");
    assert!(text.contains("<Order nr=\"3\"><ID/><WEIGHT>3</WEIGHT></Order>"), "{text}");
    assert!(!text.contains("nr=\"1\"") && text.trim_end().ends_with("</Orders>"), "{text}");
    // Corrected and dropped again, it goes through.
    corrected(input, "A.xml", &text.replace("h&amp;y", "2").replace("<ID/>", "<ID>3</ID>"), 2);
}

#[test]
fn rejects_of_json_keep_the_envelope() {
    let input = "format = \"json\"\nrecords = \"data.orders\"";
    let file = r#"{"sender": "x", "data": {"orders": [ {"ID": "1", "WEIGHT": "1,5"}, {"ID": "2",  "WEIGHT": "é"} ,{"ID": "3", "WEIGHT": "3"}, {"WEIGHT": "4"}]}, "count": 4}"#;
    let rejects = rejected(&mapping(input), "A.json", file.as_bytes());
    let text = String::from_utf8(rejects).unwrap();
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(
        value["data"]["orders"],
        serde_json::json!([{"ID": "2", "WEIGHT": "é"}, {"WEIGHT": "4"}])
    );
    assert_eq!(value["sender"], "x");
    assert!(text.contains("{\"ID\": \"2\",  \"WEIGHT\": \"é\"}"), "{text}");
    corrected(
        input,
        "A.json",
        &text.replace("\"é\"", "\"2\"").replace("{\"WEIGHT\"", "{\"ID\":\"4\",\"WEIGHT\""),
        2,
    );
}

#[test]
fn rejects_of_ndjson_and_of_a_single_object_are_their_own() {
    let input = "format = \"ndjson\"";
    assert_eq!(
        rejected(&mapping(input), "A.ndjson", b"{\"ID\":\"1\",\"WEIGHT\":\"1\"}\n{\"ID\":\"2\",\"WEIGHT\":\"x\"}\n\n{\"ID\":\"3\",\"WEIGHT\":\"3\"}\n"),
        b"{\"ID\":\"2\",\"WEIGHT\":\"x\"}\n"
    );
    let input = "format = \"json\"";
    assert_eq!(
        rejected(&mapping(input), "A.json", b"{ \"ID\": \"2\", \"WEIGHT\": \"x\" }\n"),
        b"{ \"ID\": \"2\", \"WEIGHT\": \"x\" }\n"
    );
    let array = rejected(
        &mapping(input),
        "A.json",
        b"[{\"ID\":\"1\",\"WEIGHT\":\"1\"},\n{\"ID\":\"2\",\"WEIGHT\":\"x\"}]",
    );
    let value: Value = serde_json::from_slice(&array).unwrap();
    assert_eq!(value, serde_json::json!([{"ID": "2", "WEIGHT": "x"}]));
}

#[track_caller]
fn corrected(input: &str, name: &str, text: &str, records: u64) {
    let fake = Fake::willing();
    let provider = mapped(&fake, &mapping(input));
    provider.drop_file("acme", name, text);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}\n{text}");
    assert_eq!(provider.records("acme", "delivered"), records);
}

#[test]
fn the_problems_file_has_one_row_a_problem_with_line_field_value_rule_and_advice() {
    let fake = Fake::willing();
    let input = "format = \"csv\"\ndelimiter = \";\"";
    let text = mapping(input)
        + "\n[[fields]]\nto = \"c\"\nfrom = \"CONT\"\nclean = [\"trim\", \"uppercase\", { remove = \"- \" }]\ncheck = \"iso6346\"\n\n[[fields]]\nto = \"t\"\nfrom = \"TERM\"\naka = \"terminals\"\n\n[[fields]]\nto = \"v\"\nfrom = \"DATE\"\ndate = { read = [\"%d/%m/%Y\"], timezone = \"Europe/Brussels\", write = \"rfc3339\" }\n\n[[fields]]\nto = \"a\"\nfrom = \"TYP\"\nvalues = { T = \"assign\" }\n";
    let provider = mapped(&fake, &text);
    provider.aka("terminals", "alias,code\nPSA,K913\n");
    provider.drop_file(
        "acme",
        "A.csv",
        "ID;WEIGHT;CONT;TERM;DATE;TYP;NOTE\n1;1;csqu 305438-3;PSA;31/12/2025;T;\"two\nlines\"\n;x; csqu3054384;PSAX;31/02/2025;t;\n3;;;;;;\n",
    );
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let sent = fake.to("/ingestion")[0].json();
    assert_eq!(
        sent,
        serde_json::json!([
            {"id": "1", "weight": 1, "c": "CSQU3054383", "t": "K913", "v": "2025-12-31T00:00:00+01:00", "a": "assign"},
            {"id": "3"},
        ])
    );
    let bytes =
        std::fs::read_to_string(provider.inbox("acme").join("rejects/A.csv.problems.csv")).unwrap();
    assert_eq!(bytes.lines().next(), Some("record,line,level,field,value,rule,advice"));
    let problems = provider.problems("acme", "A.csv");
    let rows: Vec<(u64, u64, &str, &str, &str, &str)> = problems
        .iter()
        .map(|row| {
            (
                row.record,
                row.line,
                row.level.as_str(),
                row.field.as_str(),
                row.value.as_str(),
                row.rule.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            (2, 4, "reject", "ID", "", "required"),
            (2, 4, "reject", "WEIGHT", "x", "number"),
            (2, 4, "reject", "CONT", " csqu3054384", "iso6346"),
            (2, 4, "reject", "TERM", "PSAX", "aka"),
            (2, 4, "reject", "DATE", "31/02/2025", "date"),
            (2, 4, "reject", "TYP", "t", "values"),
        ]
    );
    assert!(problems.iter().all(|row| !row.advice.is_empty()));
    assert!(problems[3].advice.contains("PSA"), "the nearest alias: {:?}", problems[3]);
}

#[test]
fn a_warning_is_told_and_the_record_goes_out() {
    let fake = Fake::willing();
    let text = mapping("format = \"csv\"\ndelimiter = \";\"").replace(
        "required = true",
        "check = { rule = \"iso6346\", level = { uat = \"warn\", production = \"reject\" } }",
    );
    let provider = mapped(&fake, &text);
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\nCSQU3054384;1\nCSQU3054383;2\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let problems = provider.problems("acme", "A.csv");
    assert_eq!(problems.len(), 1);
    assert_eq!(
        (problems[0].level.as_str(), problems[0].rule.as_str(), problems[0].line),
        ("warn", "iso6346", 2)
    );
    assert_eq!(provider.rejects("acme", "A.csv"), None, "no record failed");
    assert_eq!(provider.records("acme", "delivered"), 2);
    let receipt = provider.receipt("acme", "A.csv");
    assert!(receipt["problems"].as_str().unwrap().ends_with("A.csv.problems.csv"), "{receipt}");
    // In the other environment it is refused.
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\nCSQU3054384;1\nCSQU3054383;2\n");
    let run = provider.run(&["run", "--once", "--environment", "production"]);
    assert_eq!(run.code, 3, "{run}");
}

#[test]
fn a_receipt_has_every_field_of_the_contract() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases("batch = { records = 2, bytes = \"1 MiB\" }"));
    let bytes = b"ID;WEIGHT\n1;1\n;2\n3;3\n4;4\n";
    provider.drop_file("acme", "A.csv", bytes);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let receipt = provider.receipt("acme", "A.csv");
    assert_eq!(receipt["file"], "A.csv");
    assert_eq!(receipt["identity"], blake3::hash(bytes).to_hex().as_str());
    assert_eq!(receipt["arrival"], 1);
    assert_eq!((&receipt["customer"], &receipt["source"]), (&"acme".into(), &"erp".into()));
    assert_eq!((&receipt["mapping"], &receipt["channel"]), (&"plain".into(), &"releases".into()));
    for time in ["picked_up", "answered", "settled"] {
        let text = receipt[time].as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{time}: {error}"));
    }
    let expected = serde_json::json!({
        "total": 4, "pending": 0, "in_flight": 0, "deferred": 0, "parked": 0,
        "delivered": 3, "quarantined": 1, "superseded": 0, "discarded": 0
    });
    assert_eq!(receipt["records"], expected);
    assert_eq!(receipt["messages"], 2);
    assert!(
        receipt["problems"].as_str().unwrap().ends_with("rejects/A.csv.problems.csv"),
        "{receipt}"
    );
    assert!(
        receipt.as_object().unwrap().contains_key("repeat_of") && receipt["repeat_of"].is_null()
    );
}

#[test]
fn all_results_of_a_file_share_one_suffix_and_nothing_is_overwritten() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases(""));
    let inbox = provider.inbox("acme");
    // Only one of the names is taken.
    std::fs::create_dir_all(inbox.join("rejects")).unwrap();
    std::fs::write(inbox.join("rejects/A.csv.problems.csv"), "mine").unwrap();
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n;2\n");
    provider.run_once(&[]).ended(3);
    assert_eq!(std::fs::read_to_string(inbox.join("rejects/A.csv.problems.csv")).unwrap(), "mine");
    assert!(!inbox.join("rejects/A.csv").exists());
    let of = |folder: &str| provider.names("acme", folder);
    let receipts = of("receipts");
    assert_eq!(receipts.len(), 1);
    let name = receipts[0].strip_suffix(".receipt.json").unwrap().to_owned();
    assert_ne!(name, "A.csv");
    assert!(
        of("rejects").contains(&name) && of("rejects").contains(&format!("{name}.problems.csv")),
        "{:?}",
        of("rejects")
    );
    let days = of("archive");
    assert_eq!(of(&format!("archive/{}", days[0])), [name]);
    // Twice more.
    for (text, count) in [("ID;WEIGHT\n2;1\n;2\n", 2), ("ID;WEIGHT\n3;1\n;2\n", 3)] {
        provider.drop_file("acme", "A.csv", text);
        provider.run_once(&[]).ended(3);
        assert_eq!(of("receipts").len(), count);
        assert_eq!(of("rejects").len(), 2 * count + 1);
    }
}

#[test]
fn results_are_0640_and_the_state_is_0700() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.drop_file("acme", "B.csv", "ID;WEIGHT\n1;1\n;2\n");
    provider.drop_file("acme", "C.nothing", "ID;WEIGHT\n1;1\n;2\n");
    provider.run_once(&[]).ended(3);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let inbox = provider.inbox("acme");
    let mut results = Vec::new();
    for folder in ["archive", "rejects", "receipts"] {
        results.extend(files_below(&inbox.join(folder)));
    }
    assert!(results.len() >= 8, "{results:?}");
    for path in results {
        assert_eq!(mode(&path), 0o640, "{}", path.display());
    }
    assert_eq!(mode(&provider.path("state/uat")), 0o700);
    assert_eq!(mode(&provider.path("state")), 0o700);
}

#[test]
fn an_empty_file_is_settled_with_no_records_and_a_warning() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases(""));
    provider.drop_file("acme", "A.csv", "");
    provider.drop_file("acme", "B.csv", "ID;WEIGHT\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    for name in ["A.csv", "B.csv"] {
        let receipt = provider.receipt("acme", name);
        assert_eq!(receipt["records"]["total"], 0, "{receipt}");
        assert!(receipt["settled"].is_string());
        assert!(receipt.to_string().contains("no records"), "{receipt}");
        assert!(provider.archived("acme", name).is_some());
    }
    assert_eq!(fake.seen().len(), 0);
    assert_eq!(provider.status()["customers"]["acme"]["files"]["settled"], 2);
}

#[test]
fn a_file_without_a_route_lies_whole_in_the_rejects_with_the_nearest_routes() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases("").replace("*.csv", "RELEASE_*.csv"));
    provider.drop_file("acme", "RELESE_1.csv", "ID;WEIGHT\n1;1\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(rejects(&provider, "RELESE_1.csv"), b"ID;WEIGHT\n1;1\n");
    let problems = provider.problems("acme", "RELESE_1.csv");
    assert_eq!(problems.len(), 1);
    assert_eq!(
        (problems[0].record, problems[0].line, problems[0].level.as_str()),
        (0, 0, "reject")
    );
    assert!(problems[0].advice.contains("RELEASE_*.csv"), "{problems:?}");
    let receipt = provider.receipt("acme", "RELESE_1.csv");
    assert!(receipt["mapping"].is_null() && receipt["channel"].is_null(), "{receipt}");
    assert!(receipt["settled"].is_string(), "{receipt}");
    assert_eq!(provider.archived("acme", "RELESE_1.csv"), None, "it lies in the rejects");
    let status = provider.status();
    assert_eq!(status["customers"]["acme"]["files"]["quarantined"], 1, "{status}");
    // It is not tried again by itself, and no new run counts it as new.
    provider.run_once(&[]).ended(0);
}

#[test]
fn undecodable_bytes_in_one_row_set_that_row_aside_and_never_become_u_fffd() {
    let fake = Fake::willing();
    let provider = mapped(&fake, &mapping("format = \"csv\"\ndelimiter = \";\""));
    provider.drop_file("acme", "A.csv", b"ID;WEIGHT\n1;1\n2\xFC;2\n3;3\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    // Nothing else lets U+FFFD in: `text` demands UTF-8.
    let sent: Vec<String> = fake.to("/").iter().map(|seen| seen.text()).collect();
    assert!(sent.iter().any(|body| body.contains("\"3\"")), "{sent:?}");
    assert!(!sent.iter().any(|body| body.contains('\u{FFFD}')), "{sent:?}");
    assert_eq!(rejects(&provider, "A.csv"), b"ID;WEIGHT\n2\xFC;2\n");
    let problems = provider.problems("acme", "A.csv");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].line), (2, 3), "{problems:?}");
    assert_eq!(problems[0].rule, "encoding");
    assert!(problems[0].advice.contains("line 3, byte 15"), "{problems:?}");
    assert!(problems[0].advice.contains("windows-1252"), "{problems:?}");
}

#[test]
fn an_unsound_file_is_set_aside_whole_with_the_place_and_nothing_of_it_is_sent() {
    let csv = "format = \"csv\"\ndelimiter = \";\"";
    let xml = "format = \"xml\"\nrecords = \"Orders/Order\"";
    let json = "format = \"json\"";
    let many: String = (0..2000).map(|n| format!("{n};1\n")).collect();
    let cases: [(&str, &str, Vec<u8>, &str); 8] = [
        (csv, "A.csv", b"ID;WEIGHT\xFF\n1;1\n2;2\n".to_vec(), "line 1, byte 9"),
        (
            csv,
            "B.csv",
            format!("ID;WEIGHT\n{many}2001;\"never closed\n3;3\n").into_bytes(),
            "line 2002",
        ),
        (xml, "C.xml", b"<Orders>\n<Order><ID>1</ID></Order>\n<Order><ID>2".to_vec(), "line 3"),
        (xml, "D.xml", b"<Orders>\n<Order><ID>1</ID></Order>\n".to_vec(), "line"),
        (json, "E.json", b"[{\"ID\":\"1\"},\n{\"ID\":".to_vec(), "line 2"),
        (json, "F.json", b"not json at all".to_vec(), "line 1"),
        (csv, "G.csv", b"IDX;WEIGHT\n1;1\n".to_vec(), "ID"),
        (xml, "H.xml", b"ID;WEIGHT\n1;1\n".to_vec(), "line 1"),
    ];
    for (input, name, bytes, place) in cases {
        let fake = Fake::willing();
        let provider = mapped(&fake, &mapping(input));
        provider.drop_file("acme", name, &bytes);
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 3, "{name}: {run}");
        assert_eq!(fake.seen().len(), 0, "{name}");
        assert_eq!(rejects(&provider, name), bytes, "{name}");
        let problems = provider.problems("acme", name);
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert_eq!((problems[0].record, problems[0].line), (0, 0), "{name}: {problems:?}");
        assert!(
            problems[0].advice.contains(place) || problems[0].value.contains(place),
            "{name}: {problems:?}"
        );
        let status = provider.status();
        assert_eq!(status["customers"]["acme"]["files"]["quarantined"], 1, "{name}: {status}");
        // Dropped again it is tried again: a file set aside whole is not remembered.
        provider.drop_file("acme", name, &bytes);
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 3, "{name}: {run}");
        let receipts = provider.receipts("acme");
        assert_eq!(receipts.len(), 2, "{name}");
        assert!(
            receipts.values().all(|receipt| receipt["repeat_of"].is_null()),
            "{name}: {receipts:?}"
        );
        provider.check_ledger();
    }
}
