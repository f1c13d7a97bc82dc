//! Read back: what a mapping writes is what another library reads, in every format and of any text.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Texts with what means something to one format or the other.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "(?s).{0,12}",
        "[ <>&\"',;\\]\\[\r\n\t\\\\]{0,8}",
        "[a\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffd}-\u{ffff}\u{10000}]{0,6}",
    ]
}

fn mapping(output: &str, fields: &[(&str, &str)]) -> Mapping {
    let field =
        |(to, from): &(&str, &str)| format!("[[fields]]\nto = \"{to}\"\nfrom = \"{from}\"\n");
    let fields: String = fields.iter().map(field).collect();
    sound(&bundle(&format!("{CSV}[output]\n{output}\n{fields}"), &[]))
}

/// The message of one record; none if the record is rejected.
fn message(mapping: &Mapping, texts: &[(&str, &str)]) -> Result<Vec<u8>, Vec<Problem>> {
    let (mapped, record, problems) = apply(mapping, texts);
    let frame = mapping.frame(2);
    match mapped {
        Mapped::Ready => {
            Ok([&frame.head, record.as_bytes(), &frame.behind, frame.foot.as_slice()].concat())
        }
        _ => Err(problems),
    }
}

fn is_blank(text: &&str) -> bool {
    text.trim().is_empty()
}

/// Whether a document can hold the text (XML 1.0, section 2.2, "Char").
fn is_xml(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    })
}

proptest! {
    #[test]
    fn as_json(a in text(), b in text(), list in vec(text(), 0..4)) {
        let mapping = mapping("format = \"json\"", &[("a", "A"), ("b.c", "B"), ("list[]", "L")]);
        let mut texts = vec![("A", a.as_str()), ("B", b.as_str())];
        texts.extend(list.iter().map(|text| ("L", text.as_str())));
        let read: Value = serde_json::from_slice(&message(&mapping, &texts).unwrap()).unwrap();
        let mut wanted = json!({});
        if !is_blank(&a.as_str()) {
            wanted["a"] = json!(a);
        }
        if !is_blank(&b.as_str()) {
            wanted["b"]["c"] = json!(b);
        }
        let list: Vec<&str> =
            list.iter().map(String::as_str).filter(|text| !is_blank(text)).collect();
        if !list.is_empty() {
            wanted["list"] = json!(list);
        }
        prop_assert_eq!(read, json!([wanted]));
    }

    #[test]
    fn as_csv(texts in vec(text(), 1..5)) {
        let names = ["a.b", "c, d", "e", "f"];
        let columns: Vec<(&str, &str)> =
            names.iter().zip(["A", "B", "C", "D"]).take(texts.len()).map(|(t, f)| (*t, f)).collect();
        let mapping = mapping("format = \"csv\"", &columns);
        let record: Vec<(&str, &str)> =
            columns.iter().zip(&texts).map(|((_, from), text)| (*from, text.as_str())).collect();
        let body = message(&mapping, &record).unwrap();
        let mut reader = csv::Reader::from_reader(body.as_slice());
        let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        prop_assert_eq!(header, names[..texts.len()].to_vec());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        prop_assert_eq!(rows.len(), 1);
        let wanted: Vec<&str> = texts
            .iter()
            .map(|text| if is_blank(&text.as_str()) { "" } else { text.as_str() })
            .collect();
        prop_assert_eq!(rows[0].iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn as_xml(a in text(), b in text(), id in text(), list in vec(text(), 0..4)) {
        let mapping = mapping(
            "format = \"xml\"\nroot = \"R\"\nrecord = \"O\"\nnamespace = \"urn:<x>\"",
            &[("a", "A"), ("b.c", "B"), ("l[]", "L"), ("@id", "I")],
        );
        let mut texts = vec![("A", a.as_str()), ("B", b.as_str()), ("I", id.as_str())];
        texts.extend(list.iter().map(|text| ("L", text.as_str())));
        let there = |text: &&str| !is_blank(text);
        let body = match message(&mapping, &texts) {
            Ok(body) => body,
            Err(problems) => {
                prop_assert!(problems.iter().all(|problem| problem.rule == "xml"));
                prop_assert!(texts.iter().any(|(_, text)| !is_xml(text)));
                return Ok(());
            }
        };
        prop_assert!(texts.iter().all(|(_, text)| is_blank(text) || is_xml(text)));
        let body = String::from_utf8(body).unwrap();
        let document = roxmltree::Document::parse(&body).unwrap();
        let root = document.root_element();
        prop_assert_eq!(root.tag_name(), ("urn:<x>", "R").into());
        let record = root.first_element_child().unwrap();
        prop_assert_eq!(record.attribute("id"), Some(id.as_str()).filter(there));
        let mut read = BTreeMap::<&str, Vec<&str>>::new();
        for node in record.descendants().filter(|node| node.is_element()) {
            if let Some(text) = node.text() {
                read.entry(node.tag_name().name()).or_default().push(text);
            }
        }
        let mut wanted = BTreeMap::<&str, Vec<&str>>::new();
        for (name, text) in [("a", &a), ("c", &b)].into_iter().chain(list.iter().map(|t| ("l", t))) {
            if there(&text.as_str()) {
                wanted.entry(name).or_default().push(text);
            }
        }
        prop_assert_eq!(read, wanted);
    }
}
