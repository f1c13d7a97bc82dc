//! What JSON documents read as, and what is refused.

use encoding_rs::{UTF_8, UTF_16LE, WINDOWS_1252};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::bounded::pieces::{Taken, take, text, text_at};
use super::*;

fn json_at(records: &str) -> Json {
    Json { records: records.to_owned() }
}

fn owned(selectors: &[&str]) -> Vec<String> {
    selectors.iter().map(|s| s.to_string()).collect()
}

fn read(bytes: &[u8], records: &str, selectors: &[&str]) -> Result<Vec<Taken>, Unsound> {
    read_cut(bytes, records, selectors, &[])
}

fn read_cut(
    bytes: &[u8],
    records: &str,
    selectors: &[&str],
    cuts: &[usize],
) -> Result<Vec<Taken>, Unsound> {
    let mut reader = JsonReader::open(text(bytes, cuts)?, &json_at(records), &owned(selectors))?;
    take(selectors.len(), |record| reader.next(record))
}

fn refused(document: &str, records: &str) -> (&'static str, u64, u64, String) {
    let unsound = read(document.as_bytes(), records, &[]).unwrap_err();
    (unsound.rule, unsound.line, unsound.byte, unsound.what)
}

#[test]
fn the_elements_of_the_array_at_the_path_are_the_records() {
    let document = "{\"head\": {\"x\": [1, {}]},\r\n \"data\": {\"orders\": [\n  {\"no\": \"1\"},\n  \
                    {\"no\": 2.50}\n]}, \"count\": 2}\n";
    for path in ["data.orders", "data/orders", "/data/orders"] {
        let taken = read(document.as_bytes(), path, &["no"]).unwrap();
        let places: Vec<_> = taken.iter().map(|t| (t.line, t.byte, t.length)).collect();
        assert_eq!(places, [(3, 50, 11), (4, 65, 12)]);
        assert_eq!(taken[0].texts, [["1"]]);
        assert_eq!(taken[1].texts, [["2.50"]]);
        assert_eq!(&document[taken[1].range()], "{\"no\": 2.50}");
    }
}

#[test]
fn the_document_itself_may_be_the_array_or_one_object() {
    assert_eq!(read(b" [ {\"a\":1} , {\"a\":2} ] ", "", &["a"]).unwrap().len(), 2);
    let taken = read(b"\n {\"a\":{\"b\":\"x\"}}\n", "", &["a.b"]).unwrap();
    assert_eq!((taken[0].line, taken[0].byte, taken[0].length), (2, 2, 15));
    assert_eq!(taken[0].texts, [["x"]]);
    assert_eq!(taken.len(), 1);
    assert_eq!(read(b"{\"a\":{\"b\":\"x\"}}", "a", &["b"]).unwrap()[0].texts, [["x"]]);
}

#[test]
fn an_empty_array_a_null_and_an_empty_file_have_no_records() {
    for (document, path) in
        [("[]", ""), ("[ ]", ""), ("{\"a\":[],\"b\":1}", "a"), ("{\"a\":null}", "a"), ("", "a")]
    {
        assert_eq!(read(document.as_bytes(), path, &["x"]).unwrap(), [], "{document}");
    }
}

#[test]
fn an_element_that_is_no_object_is_a_faulty_record() {
    let taken = read(b"[1, {\"a\":2}, [3], null, \"x\"]", "", &["a"]).unwrap();
    let faulty: Vec<_> =
        taken.iter().map(|t| t.faults.first().map(|f| (f.rule, f.value.as_str()))).collect();
    assert_eq!(
        faulty,
        [
            Some(("json", "1")),
            None,
            Some(("json", "[3]")),
            Some(("json", "null")),
            Some(("json", "\"x\""))
        ]
    );
    assert_eq!(taken[1].texts, [["2"]]);
}

#[test]
fn text_that_is_not_unicode_is_a_faulty_record() {
    let taken = read(br#"[{"a":"\ud83d"},{"a":"ok"}]"#, "", &["a"]).unwrap();
    assert_eq!(taken[0].faults[0].rule, "json");
    assert_eq!(taken[1].texts, [["ok"]]);
}

#[test]
fn a_path_that_is_not_there_is_told_with_the_keys_that_are() {
    assert_eq!(
        refused("{\"a\": 1, \"data\": {\"lines\": [], \"x\": 1}}", "data.orders"),
        (
            "json",
            1,
            37,
            "there is no data.orders in the document; the keys are lines, x".to_owned()
        )
    );
    assert_eq!(refused("{}", "a").3, "there is no a in the document; there are no keys");
    assert_eq!(refused("[1]", "a").3, "the document is an array, not an object");
    assert_eq!(refused("{\"a\":\"x\"}", "a").3, "a is a string, not an array or an object");
    assert_eq!(refused("5", "").3, "the document is a number, not an array or an object");
}

#[test]
fn what_stands_around_the_records_must_be_sound_too() {
    for (document, path, place) in [
        ("[{} {}]", "", (1, 4)),
        ("[{},]", "", (1, 4)),
        ("[{}]]", "", (1, 4)),
        ("[{}]\n{}", "", (2, 5)),
        ("{\"a\":[{}],}", "a", (1, 10)),
        ("{\"a\":[{}] \"b\":1}", "a", (1, 10)),
        ("{\"a\":[{}],\"b\":tru}", "a", (1, 17)),
        ("{\"a\":[{}]},", "a", (1, 10)),
        ("{\"b\":01,\"a\":[{}]}", "a", (1, 6)),
        ("{b:1,\"a\":[{}]}", "a", (1, 1)),
        ("<a/>", "", (1, 0)),
        ("{\"a\":[{\"x\":tru}]}", "a", (1, 14)),
        ("{\"a\":[{\"x\":\"\t\"}]}", "a", (1, 12)),
    ] {
        let (rule, line, byte, what) = refused(document, path);
        assert_eq!((rule, line, byte), ("json", place.0, place.1), "{document}: {what}");
    }
    assert_eq!(refused("{\"a\":[{}],\"a\":[{}]}", "a").3, "a is there twice");
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let deep = |n: usize| format!("[{}{}]", "[".repeat(n), "]".repeat(n));
    assert!(read(deep(127).as_bytes(), "", &[]).is_ok());
    assert_eq!(refused(&deep(128), "").0, "json");
    let keyed = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let path = vec!["a"; 199].join(".");
    assert!(read(keyed.as_bytes(), &path, &[]).is_err());
}

#[test]
fn a_document_cut_at_any_byte_is_refused_as_truncated() {
    let document = "{\"h\": {\"é\": [1, \"\\u00e9\"]}, \"o\": [{\"a\": \"x\"}, {\"a\": -1.5e3}], \
                    \"t\": null}";
    for cut in 1..document.len() {
        let unsound = read(&document.as_bytes()[..cut], "o", &["a"]).unwrap_err();
        if document.is_char_boundary(cut) {
            assert_eq!((unsound.rule, unsound.byte), ("truncated", cut as u64));
        }
    }
}

#[test]
fn other_encodings_tell_places_in_the_files_own_bytes() {
    let document = "{\"ä\": [{\"a\": \"€ü\"}, {\"a\": \"😀\"}]}";
    let mut utf16 = vec![0xFF, 0xFE];
    utf16.extend(document.encode_utf16().flat_map(u16::to_le_bytes));
    let taken = read(&utf16, "ä", &["a"]).unwrap();
    assert_eq!((taken[0].byte, taken[0].length), (2 + 2 * 7, 2 * 11));
    assert_eq!(taken[1].texts, [["😀"]]);
    let (slice, _) = UTF_16LE.decode_without_bom_handling(&utf16[taken[1].range()]);
    assert_eq!(slice, "{\"a\": \"😀\"}");

    let (bytes, ..) = WINDOWS_1252.encode("{\"ä\": [{\"a\": \"€ü\"}]}");
    let text =
        Text::open(WINDOWS_1252, Box::new(std::io::Cursor::new(bytes.into_owned()))).unwrap();
    let mut reader = JsonReader::open(text, &json_at("ä"), &owned(&["a"])).unwrap();
    let taken = take(1, |record| reader.next(record)).unwrap();
    assert_eq!((taken[0].byte, taken[0].length), (7, 11));
    assert_eq!(taken[0].texts, [["€ü"]]);
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_a_huge_neighbour_is_not() {
    let huge = "x".repeat(crate::read::RECORD_LIMIT + 1);
    let (rule, line, byte, _) = refused(&format!("[\n{{\"a\":\"{huge}\"}}]"), "");
    assert_eq!((rule, line, byte), ("size", 2, 2));
    let document = format!("{{\"h\":\"{huge}\",\"o\":[{{\"a\":1}}],\"t\":\"{huge}\"}}");
    assert_eq!(read(document.as_bytes(), "o", &["a"]).unwrap()[0].texts, [["1"]]);
}

#[test]
fn the_layout_holds_what_stands_open_around_the_records() {
    let open = |document: &str, path| {
        let text = text(document.as_bytes(), &[]).unwrap();
        JsonReader::open(text, &json_at(path), &[]).unwrap().layout()
    };
    assert_eq!(
        open("{\"x\":1,\"d\":{\"o\\\"\":[{}]}}", "d.o\"").around,
        ["{\"d\":", "{\"o\\\"\":", "["]
    );
    assert_eq!(open("{\"d\":{\"o\":{}}}", "d.o").around, ["{\"d\":", "{\"o\":"]);
    assert_eq!(open("{}", "").around, [""; 0]);
    assert_eq!(open("[]", "").encoding, UTF_8.name());
}

#[test]
fn what_stands_above_the_records_is_read_and_kept_with_a_mark() {
    let document = r#"{"sender": "X", "d": {"customer": {"id": 7, "tags": ["a", "b"]}, "no": 1.10,
        "orders": [{"no": 1}, {"no": 2}], "late": "z"}}"#;
    let selectors =
        ["no", "../customer/id", "../customer.tags", "../../sender", "../late", "../no"];
    let taken = read(document.as_bytes(), "d.orders", &selectors).unwrap();
    let above = |no: &str| {
        [vec![no], vec!["7"], vec!["a", "b"], vec!["X"], vec![], vec!["1.10"]]
            .map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(taken[0].texts, above("1"));
    assert_eq!(taken[1].texts, above("2"));

    let asked: Vec<String> = selectors[1..].iter().map(|s| s.to_string()).collect();
    let dialect = json_at("d.orders");
    let reader =
        JsonReader::open(text(document.as_bytes(), &[]).unwrap(), &dialect, &asked).unwrap();
    let mut layout = Layout { asked, ..reader.layout() };
    layout.note_above(1, reader.above());
    let mark = taken[1].mark();
    let text = text_at(document.as_bytes(), mark, &[]);
    let mut reader = JsonReader::resume(text, &dialect, &owned(&selectors), &layout, mark).unwrap();
    assert_eq!(take(selectors.len(), |record| reader.next(record)).unwrap(), taken[1..]);
}

#[test]
fn a_selector_that_goes_up_too_far_or_asks_for_too_much_is_refused() {
    let refused = read(b"{\"o\":[{}]}", "o", &["../../a"]).unwrap_err();
    assert_eq!(refused.what, "it goes up 2 objects from the record, which has 1 around it");
    assert!(check_selector(&json_at("o"), "../a").is_ok());
    assert!(check_selector(&json_at(""), "../a").is_err());
    assert!(check_records(&json_at("../a")).is_err());
    let document = format!("{{\"a\":\"{}\",\"o\":[{{}}]}}", "x".repeat(65 * 1024));
    assert_eq!(read(document.as_bytes(), "o", &["../a"]).unwrap_err().rule, "size");
    assert_eq!(
        read(br#"{"a":{"b":1,"b":2},"o":[{}]}"#, "o", &["../a/b"]).unwrap_err().rule,
        "json"
    );
}

#[test]
fn a_key_twice_in_a_record_is_a_fault_of_it_alone() {
    let taken = read(br#"[{"a":1,"a":2},{"a":3}]"#, "", &["a"]).unwrap();
    assert_eq!(taken[0].faults[0].value, "a");
    assert_eq!(
        taken[0].faults[0].advice,
        "the key \"a\" is there twice in one object: write it once"
    );
    assert_eq!((taken[1].faults.len(), &taken[1].texts), (0, &vec![vec!["3".to_owned()]]));
}

/// Any JSON value, with the numbers as integers so that their spelling is certain.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[ab\\PC]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What a one-key selector hits in a value, told by another reader.
fn hit(value: &Value, key: &str) -> Vec<String> {
    fn texts(value: &Value) -> Vec<String> {
        match value {
            Value::Null => vec![],
            Value::String(text) => vec![text.clone()],
            Value::Array(values) => values.iter().flat_map(texts).collect(),
            other => vec![other.to_string()],
        }
    }
    value.get(key).map(texts).unwrap_or_default()
}

proptest! {
    #[test]
    fn what_another_writer_wrote_reads_back_from_any_mark(
        records in prop::collection::vec(
            (any_value(), any_value()).prop_map(|(a, b)| json!({"a": a, "b": b})), 0..6),
        around in any_value(),
        path in prop::sample::select(vec!["", "o", "d.o"]),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(1usize..9, 0..20),
    ) {
        let document = match path {
            "" => Value::from(records.clone()),
            "o" => json!({"h": around.clone(), "o": records.clone(), "z": around}),
            _ => json!({"d": {"a": 1, "o": records.clone(), "z": around.clone()}, "e": around}),
        };
        let file = match pretty {
            true => serde_json::to_string_pretty(&document),
            false => serde_json::to_string(&document),
        }
        .unwrap();
        let taken = read_cut(file.as_bytes(), path, &["a", "b"], &cuts).unwrap();
        prop_assert_eq!(taken.len(), records.len());
        let layout = JsonReader::open(text(file.as_bytes(), &[]).unwrap(), &json_at(path), &[])
            .unwrap()
            .layout();
        for (n, (one, record)) in taken.iter().zip(&records).enumerate() {
            prop_assert_eq!(&one.texts, &[hit(record, "a"), hit(record, "b")]);
            let alone: Value = serde_json::from_slice(&file.as_bytes()[one.range()]).unwrap();
            prop_assert_eq!(&alone, record);
            let mark = one.mark();
            let text = text_at(file.as_bytes(), mark, &cuts);
            let selectors = owned(&["a", "b"]);
            let mut reader =
                JsonReader::resume(text, &json_at(path), &selectors, &layout, mark).unwrap();
            prop_assert_eq!(&reader.layout(), &layout);
            prop_assert_eq!(&take(2, |record| reader.next(record)).unwrap(), &taken[n..]);
        }
        let line = file.as_bytes();
        for one in &taken {
            let before = line[..one.byte as usize].iter().filter(|b| **b == b'\n').count();
            prop_assert_eq!(one.line, before as u64 + 1);
        }
    }

    #[test]
    fn any_text_is_judged_as_serde_json_judges_it(
        text in "[\\[{][\\[\\]{}:,\"a0 ]{0,12}", cuts in prop::collection::vec(1usize..4, 0..5)
    ) {
        let judged = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(read_cut(text.as_bytes(), "", &["a"], &cuts).is_ok(), judged, "{}", text);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        text in "[\\[\\]{}:,\"ao\\\\u0 ]{0,40}",
        cuts in prop::collection::vec(1usize..9, 0..20),
    ) {
        for path in ["", "o", "o.a"] {
            let _ = read_cut(&bytes, path, &["a", "b.c"], &cuts);
            let _ = read_cut(text.as_bytes(), path, &["a", "b.c"], &cuts);
        }
    }
}
