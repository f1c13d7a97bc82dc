//! The way out: from a document of the outbox to the bytes of a file for the customer's system.

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::*;
use crate::read::Reader;

const OUT: &str = "direction = \"out\"\n";

fn out(output: &str, fields: &str, tables: &[(&str, &str)]) -> Mapping {
    sound(&bundle(&format!("{OUT}[output]\n{output}\n{fields}"), tables))
}

fn field(to: &str, from: &str, rest: &str) -> String {
    format!("[[fields]]\nto = \"{to}\"\nfrom = \"{from}\"\n{rest}\n")
}

/// What is written of a document, in the file's own bytes, and the problems.
fn write(mapping: &Mapping, document: &str) -> (Mapped, Vec<u8>, Vec<Problem>) {
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let mapped = mapping.write(document.as_bytes(), 17, &context(), &mut out, &mut problems);
    (mapped, out, problems)
}

/// What is written of a document that has no problem, where the file is in UTF-8.
fn written(mapping: &Mapping, document: &str) -> String {
    let (mapped, out, problems) = write(mapping, document);
    assert_eq!((mapped, problems), (Mapped::Ready, vec![]));
    String::from_utf8(out).unwrap()
}

/// The problems of a document: level, rule, field, value, advice.
fn told(mapping: &Mapping, document: &str) -> (Mapped, Vec<String>) {
    let (mapped, _, problems) = write(mapping, document);
    let tell = |problem: &Problem| {
        assert_eq!(problem.record, 17);
        let Problem { level, rule, field, value, advice, .. } = problem;
        format!("{} | {rule} | {field} | {value} | {advice}", level.word())
    };
    (mapped, problems.iter().map(tell).collect())
}

/// A whole file of these documents.
fn file(mapping: &Mapping, documents: &[&str]) -> Vec<u8> {
    let frame = mapping.frame(2);
    let mut file = frame.head.clone();
    for (at, document) in documents.iter().enumerate() {
        if at > 0 {
            file.extend_from_slice(&frame.between);
        }
        let (mapped, record, _) = write(mapping, document);
        assert_eq!(mapped, Mapped::Ready, "{document}");
        file.extend_from_slice(&record);
        file.extend_from_slice(&frame.behind);
    }
    file.extend_from_slice(&frame.foot);
    file
}

const RELEASE: &str = r#"{"sequence":17,"event":"greenlights","received":"2026-11-22T13:20:00.250Z",
    "customer":"acme","release":{"release_data":{
      "billOfLading":{"blNumber":"007"},
      "container":{"containerNumber":"CSQU3054383","pickupLocation":"0S913",
        "validUntil":"2023-07-10 13:00","weightKg":24500.5}},
      "conditions":["a","b"],"blocked":false,"gateOut":null}}"#;

#[test]
fn an_event_becomes_a_line_of_the_customers_own_dialect() {
    let fields = [
        field("NR", "sequence", ""),
        field("CONT", "release.release_data.container.containerNumber", "check = \"iso6346\""),
        field("BL", "release.release_data.billOfLading.blNumber", "required = true"),
        field("TERM", "release.release_data.container.pickupLocation", "aka = \"terminals\""),
        field(
            "TOT",
            "release.release_data.container.validUntil",
            "date = { read = [\"rfc3339\", \"%Y-%m-%d %H:%M\"], timezone = \"Europe/Brussels\", \
             write = \"%d/%m/%Y %H:%M\" }",
        ),
        field(
            "AM",
            "received",
            "date = { timezone = \"Europe/Brussels\", write = \"%d/%m/%Y %H:%M\" }",
        ),
        field(
            "KG",
            "release.release_data.container.weightKg",
            "number = { decimal = \",\", group = \".\" }",
        ),
        field("EVENT", "event", "values = { greenlights = \"LICHT\" }"),
        field("COND", "release.conditions", "join = \"/\""),
        field("UIT", "release.gateOut", ""),
        field("STOP", "release.blocked", "values = { true = \"J\", false = \"N\" }"),
    ]
    .concat();
    let output = "format = \"csv\"\ndelimiter = \";\"\nencoding = \"windows-1252\"\nline_end = \
                  \"lf\"";
    let mapping = out(output, &fields, &[("terminals", "alias,code\nNoordzee,0S913\n")]);
    assert_eq!((mapping.direction, mapping.output), (Direction::Out, Output::Csv));
    assert_eq!(
        String::from_utf8(file(&mapping, &[RELEASE])).unwrap(),
        "NR;CONT;BL;TERM;TOT;AM;KG;EVENT;COND;UIT;STOP\n\
         17;CSQU3054383;007;Noordzee;10/07/2023 13:00;22/11/2026 14:20;24.500,5;LICHT;a/b;;N\n"
    );
}

#[test]
fn tables_are_read_from_code_to_alias() {
    let table = "alias,code,within,customer\nA1,X,BEANR,\nA2,X,,\nOURS,Y,,acme\nY1,Y,,\n\
                 Other,Z,,noord\n";
    let mapping = |rest: &str| {
        let fields = field("t", "code", &format!("aka = {{ table = \"t\"{rest}"));
        out("format = \"json\"", &fields, &[("t", table)])
    };
    let plain = mapping(" }");
    assert_eq!(written(&plain, r#"{"code":" X"}"#), "{\"t\":\"A1\"}");
    assert_eq!(written(&plain, r#"{"code":"Y"}"#), "{\"t\":\"OURS\"}");
    assert_eq!(
        told(&plain, r#"{"code":"Z"}"#),
        (
            Mapped::Rejected,
            vec![
                "reject | aka | code | Z | no row for the code \"Z\" in table t; add one to \
                 mappings/aka/t.csv"
                    .to_owned()
            ]
        )
    );
    assert_eq!(told(&plain, r#"{"code":"x"}"#).0, Mapped::Rejected);
    assert_eq!(written(&mapping(", case = \"ignore\" }"), r#"{"code":"x"}"#), "{\"t\":\"A1\"}");
    let within = mapping(", within = \"port\" }");
    let document = |port: &str| format!(r#"{{"code":"X","port":"{port}"}}"#);
    assert_eq!(written(&within, &document("BEANR")), "{\"t\":\"A1\"}");
    assert_eq!(written(&within, &document("NLRTM")), "{\"t\":\"A2\"}");
    let always = mapping(", within = { value = \"NLRTM\" } }");
    assert_eq!(written(&always, r#"{"code":"X"}"#), "{\"t\":\"A2\"}");
    assert!(told(&always, r#"{"code":"Q"}"#).1[0].contains("\"Q\" within \"NLRTM\" in table t"));
    let keep = mapping(" }\nunknown = \"keep\"");
    assert_eq!(written(&keep, r#"{"code":"Z"}"#), "{\"t\":\"Z\"}");
    let instead = mapping(" }\nunknown = { use = \"?\" }");
    assert_eq!(written(&instead, r#"{"code":"Z"}"#), "{\"t\":\"?\"}");
}

#[test]
fn a_character_that_the_encoding_lacks_is_told_replaced_or_refused() {
    let output = "format = \"csv\"\nencoding = \"cp850\"\nheader = false";
    let mapping = out(output, &field("a", "a", ""), &[]);
    let (mapped, out, problems) = write(&mapping, r#"{"a":"Świt’s 5€ ü"}"#);
    assert_eq!((mapped, out.as_slice()), (Mapped::Ready, &b"Swit's 5EUR \x81"[..]));
    let Problem { level, rule, field, value, advice, .. } = &problems[0];
    assert_eq!((*level, rule.as_str(), field.as_str()), (Level::Warn, "encoding", "a"));
    assert_eq!(value, "Świt’s 5€ ü");
    assert_eq!(advice, "cp850 has no \"Ś\", \"’\", \"€\"; written as \"Swit's 5EUR ü\"");
    assert_eq!(
        told(&mapping, r#"{"a":"x 港"}"#),
        (
            Mapped::Rejected,
            vec![
                "reject | encoding | a | x 港 | cp850 has no \"港\" (U+6E2F), nor a letter near to \
                 it; take it out with clean = [{ remove = \"港\" }], or name another encoding \
                 under [output], such as utf-8"
                    .to_owned()
            ]
        )
    );
    assert!(mapping.frame(2).head.is_empty());
}

#[test]
fn json_and_xml_write_what_the_encoding_lacks_as_references() {
    let fields = field("naam", "a", "");
    let json = out("format = \"json\"\nencoding = \"windows-1252\"", &fields, &[]);
    let (_, bytes, problems) = write(&json, r#"{"a":"é港😀\u0085"}"#);
    assert_eq!(bytes, b"{\"naam\":\"\xe9\\u6e2f\\ud83d\\ude00\\u0085\"}");
    assert_eq!(problems, []);
    let xml = "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"\nencoding = \"iso-8859-15\"\n\
               namespace = \"urn:港\"";
    let xml = out(xml, &fields, &[]);
    let head = b"<?xml version=\"1.0\" encoding=\"ISO-8859-15\"?>\n<R xmlns=\"urn:&#28207;\">\n";
    assert_eq!(xml.frame(2).head, head);
    let (_, bytes, problems) = write(&xml, r#"{"a":"é港€"}"#);
    assert_eq!(bytes, b"<O><naam>\xe9&#28207;\xa4</naam></O>");
    assert_eq!(problems, []);
}

#[test]
fn a_byte_order_mark_stands_once_in_front() {
    let head = |output: &str| out(output, &field("é", "a", ""), &[]).frame(2).head;
    assert_eq!(head("format = \"csv\"\nencoding = \"utf-16le\""), b"\xff\xfe\xe9\0\r\0\n\0");
    assert_eq!(head("format = \"csv\"\nencoding = \"utf-16be\"\nbom = false"), b"\0\xe9\0\r\0\n");
    assert_eq!(head("format = \"csv\"\nbom = true\nheader = false"), b"\xef\xbb\xbf");
    assert_eq!(head("format = \"csv\"\nheader = false"), b"");
    let json = out("format = \"json\"\nbom = true", &field("a", "a", ""), &[]);
    assert_eq!(json.frame(1).head, b"\xef\xbb\xbf");
    assert_eq!(json.frame(2).head, b"\xef\xbb\xbf[");
    let xml = "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"\nencoding = \"utf-16le\"";
    let head = head(xml);
    let text = encoding_rs::UTF_16LE.decode_with_bom_removal(&head).0.into_owned();
    assert_eq!(text, "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<R>\n");
}

#[test]
fn without_quotes_what_would_need_them_is_refused() {
    let output = "format = \"csv\"\ndelimiter = \"|\"\nquote = \"none\"\nline_end = \"lf\"";
    let mapping = out(output, &field("a", "a", ""), &[]);
    assert_eq!(file(&mapping, &[r#"{"a":"5\" x"}"#]), b"a\n5\" x\n");
    for text in [r#"{"a":"x|y"}"#, r#"{"a":"x\ny"}"#, r#"{"a":null}"#] {
        let (mapped, told) = told(&mapping, text);
        assert!(mapped == Mapped::Rejected && told[0].contains("| csv |"), "{told:?}");
    }
}

#[test]
fn a_document_that_cannot_be_read_is_told() {
    let mapping = out("format = \"json\"", &field("a", "a", ""), &[]);
    for document in ["", "{", "[]", "nul", "[1]", "{\"a\":1,\"a\":2}"] {
        let (mapped, problems) = told(&mapping, document);
        assert_eq!((mapped, problems.len()), (Mapped::Rejected, 1), "{document}");
        assert!(problems[0].contains("json") || problems[0].contains("truncated"), "{problems:?}");
    }
}

#[test]
fn faults_of_a_mapping_on_the_way_out_are_told() {
    let faults = |text: &str| compile(&bundle(text, &[])).1.join("; ");
    let out = |output: &str, rest: &str| {
        faults(&format!("{OUT}[output]\n{output}\n{}", field("a", "a", rest)))
    };
    assert_eq!(faults(&format!("{OUT}{}", field("a", "a", ""))), "");
    assert_eq!(
        faults(&format!("direction = \"back\"\n{CSV}{}", field("a", "A", ""))),
        "m.toml:1: direction is \"back\", but must be \"in\" or \"out\""
    );
    assert_eq!(
        faults(&format!("{OUT}{CSV}{}", field("a", "a", ""))),
        "m.toml:2: a mapping with direction = \"out\" has no [input]: it reads the events of an \
         outbox, by paths into their JSON"
    );
    assert_eq!(
        faults(&format!(
            "{CSV}[output]\nformat = \"csv\"\nencoding = \"cp850\"\nheader = false\n{}",
            field("a", "A", "")
        )),
        "m.toml:5: encoding goes with direction = \"out\", at the file's top; m.toml:6: header \
         goes with direction = \"out\", at the file's top"
    );
    assert_eq!(
        out("delimiter = \";\"\nbom = true\nencoding = \"cp850\"", ""),
        "m.toml:3: delimiter goes with the format csv; m.toml:4: cp850 has no byte order mark"
    );
    assert_eq!(
        out("format = \"csv\"\nquote = \";\"\ndelimiter = \";\"", ""),
        "m.toml:4: quote and delimiter are the same"
    );
    assert_eq!(
        out("format = \"csv\"\nline_end = \"cr\"", ""),
        "m.toml:4: line_end is \"cr\", but must be \"crlf\" or \"lf\": did you mean \"crlf\"?"
    );
    assert_eq!(
        out("", "date = { write = \"%d/%m/%Y\" }"),
        "m.toml:7: timezone is missing: what is read has an offset, and what is written has none"
    );
    assert_eq!(
        out("", "number = { decimal = \",\" }"),
        "m.toml:7: a number in JSON has a point and no groups (RFC 8259, section 6)"
    );
    let named = |output: &str, to: &str| {
        faults(&format!("{OUT}[output]\n{output}\n{}", field(to, "a", "")))
    };
    let cp850 = "encoding = \"cp850\"";
    assert_eq!(
        named(&format!("format = \"csv\"\n{cp850}"), "prijs €"),
        "m.toml:6: to is \"prijs €\": cp850 has no \"€\""
    );
    assert_eq!(named(&format!("format = \"csv\"\nheader = false\n{cp850}"), "prijs €"), "");
    assert_eq!(named(cp850, "prijs €"), "");
    let quoteless = named("format = \"csv\"\nquote = \"none\"", "a,b");
    assert!(quoteless.contains("the value holds a line end or the delimiter"), "{quoteless}");
    let xml = format!("format = \"xml\"\nroot = \"Ş\"\nrecord = \"é\"\n{cp850}");
    assert_eq!(
        named(&xml, "ş"),
        "m.toml:4: root is \"Ş\": cp850 has no \"Ş\"; m.toml:8: to is \"ş\": cp850 has no \"ş\""
    );
}

#[test]
fn the_wrong_direction_is_told_with_what_to_do() {
    let out = out("format = \"json\"", &field("a", "a", ""), &[]);
    let into = fields("[[fields]]\nto = \"a\"\nfrom = \"A\"\n", &[]);
    assert_eq!(out.wrong_way(Direction::Out), None);
    assert_eq!(into.wrong_way(Direction::In), None);
    assert!(out.wrong_way(Direction::In).unwrap().contains("writes files for an outbox"));
    assert!(into.wrong_way(Direction::Out).unwrap().contains("direction = \"out\""));
}

/// Encodings of every kind.
const ENCODINGS: [&str; 14] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "windows-1252",
    "iso-8859-15",
    "iso-8859-2",
    "windows-1251",
    "cp437",
    "cp850",
    "cp858",
    "shift_jis",
    "iso-2022-jp",
    "euc-kr",
    "gb18030",
];

/// A text that is not blank, of what an ERP might hold and what means something to one format.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z]([A-Za-z0-9 ]{0,8}[a-z0-9])?",
        "[éèüßÉŚłж港€’“½~¥\\\\]{1,5}",
        "x[;,|\"'<>&\r\n\t é\\[\\]{}]{0,6}x",
        "y[\\PC&&[^\u{feff}]]{0,6}y",
    ]
}

/// The texts that our own reader finds in each record of a file.
fn read_back(input: &str, columns: &[&str], bytes: Vec<u8>) -> Vec<Vec<Vec<String>>> {
    let fields: String = columns.iter().map(|name| field(name, name, "")).collect();
    let mapping = sound(&bundle(&format!("[input]\n{input}\n{fields}"), &[]));
    let bytes = Box::new(std::io::Cursor::new(bytes));
    let mut reader = Reader::open(&mapping.dialect, &mapping.selectors, bytes).unwrap();
    let (mut record, mut records) = (Record::default(), Vec::new());
    while reader.next(&mut record).unwrap() {
        assert_eq!(record.faults, []);
        let texts = (0..columns.len()).map(|slot| record.texts(slot).map(str::to_owned).collect());
        records.push(texts.collect());
    }
    records
}

proptest! {
    /// What is written is read back as it was, in every format and encoding; what an encoding lacks
    /// in CSV is told.
    #[test]
    fn what_goes_out_is_read_back_by_our_own_reader(
        rows in proptest::collection::vec((any_value(), any_value()), 1..4),
        encoding in proptest::sample::select(&ENCODINGS[..]),
        bom in any::<bool>(),
        delimiter in proptest::sample::select(vec![";", "|", "\t", ","]),
        line_end in proptest::sample::select(vec!["crlf", "lf"]),
    ) {
        let fields = [field("een", "a", ""), field("twee", "b.c", "")].concat();
        let unicode = encoding.starts_with("utf");
        let bom = if bom && unicode { "bom = true" } else { "" };
        let documents: Vec<String> = rows
            .iter()
            .map(|(a, b)| serde_json::json!({ "a": a, "b": { "c": b } }).to_string())
            .collect();
        let encoded = format!("encoding = \"{encoding}\"");
        let wanted: Vec<Vec<Vec<String>>> =
            rows.iter().map(|(a, b)| vec![vec![a.clone()], vec![b.clone()]]).collect();

        for format in ["json", "ndjson"] {
            let mapping = out(&format!("format = \"{format}\"\n{encoded}\n{bom}"), &fields, &[]);
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            let input = format!("format = \"{format}\"\n{encoded}");
            let read = read_back(&input, &["een", "twee"], file(&mapping, &documents));
            prop_assert_eq!(&read, &wanted, "{}", format);
        }

        let output = format!(
            "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"\n{encoded}\n{bom}"
        );
        let mapping = out(&output, &fields, &[]);
        let (documents_xml, wanted_xml): (Vec<&str>, Vec<_>) = documents
            .iter()
            .zip(&wanted)
            .filter(|(document, _)| write(&mapping, document).0 == Mapped::Ready)
            .map(|(document, wanted)| (document.as_str(), wanted.clone()))
            .unzip();
        let read = read_back(
            "format = \"xml\"\nrecords = \"R/O\"",
            &["een", "twee"],
            file(&mapping, &documents_xml),
        );
        prop_assert_eq!(read, wanted_xml, "xml");

        let signs = format!("delimiter = {delimiter:?}\n");
        let output =
            format!("format = \"csv\"\n{encoded}\n{bom}\n{signs}line_end = \"{line_end}\"");
        let mapping = out(&output, &fields, &[]);
        let input = format!("format = \"csv\"\n{encoded}\n{signs}");
        for (document, wanted) in documents.iter().zip(&wanted) {
            let (mapped, _, problems) = write(&mapping, document);
            let told = problems.iter().any(|problem| problem.rule == "encoding");
            match mapped {
                Mapped::Ready => {
                    let read = read_back(&input, &["een", "twee"], file(&mapping, &[document]));
                    let same = read[0]
                        .iter()
                        .flatten()
                        .zip(wanted.iter().flatten())
                        .all(|(read, wanted)| read.nfc().eq(wanted.nfc()));
                    prop_assert!(same || (told && !unicode), "{read:?} {wanted:?}");
                }
                _ => prop_assert!(told && !unicode, "{problems:?}"),
            }
        }
    }

    /// Alias to code to alias: what is unambiguous comes back, and else the first row of the file
    /// whose alias means the code.
    #[test]
    fn what_went_out_through_a_table_comes_back_as_the_erps_own_code(
        rows in proptest::collection::btree_map("[A-D][0-9]", "[X-Z][0-4]", 1..12),
        order in any::<proptest::sample::Index>(),
    ) {
        let mut rows: Vec<(String, String)> = rows.into_iter().collect();
        let turn = order.index(rows.len());
        rows.rotate_left(turn);
        let table: String =
            rows.iter().map(|(alias, code)| format!("{alias},{code}\n")).collect();
        let tables = [("t", &*format!("alias,code\n{table}"))];
        let into = fields("[[fields]]\nto = \"c\"\nfrom = \"A\"\naka = \"t\"\n", &tables);
        let back = out("format = \"json\"", &field("a", "c", "aka = \"t\""), &tables);
        for (alias, code) in &rows {
            let sent = json(&into, &[("A", alias)]);
            prop_assert_eq!(&sent, &format!("{{\"c\":\"{code}\"}}"));
            let came = written(&back, &sent);
            let (first, _) = rows.iter().find(|(_, other)| other == code).unwrap();
            prop_assert_eq!(&came, &format!("{{\"a\":\"{first}\"}}"));
            let again = json(&into, &[("A", first)]);
            prop_assert_eq!(again, sent);
        }
    }
}
