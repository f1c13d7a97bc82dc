//! What holds for the readers of all formats.

use std::io::Cursor;

use encoding_rs::{ISO_2022_JP, SHIFT_JIS, UTF_8, WINDOWS_1252};

use super::*;

const CSV: Csv = Csv {
    delimiter: Some(b';'),
    quote: Quote::Sign(b'"'),
    header: true,
    skip: 0,
    pad: false,
    trailer: None,
};

/// A record as a test sees it: line, byte, its only text or its fault, and its warning.
type Seen = (u64, u64, String, Option<String>);

fn read(format: Format, encoding: impl Into<Encoding>, bytes: &[u8]) -> Result<Vec<Seen>, Unsound> {
    let dialect = Dialect { format, encoding: encoding.into() };
    let input = Box::new(Cursor::new(bytes.to_vec()));
    let mut reader = Reader::open(&dialect, &["A".to_owned()], input)?;
    let mut record = Record::default();
    let mut all = Vec::new();
    while reader.next(&mut record)? {
        let text = match record.faults.first() {
            Some(fault) => format!("{}, {}: {}", fault.rule, fault.value, fault.advice),
            None => record.texts(0).collect(),
        };
        let warning = record.warnings.first().map(|w| format!("{}: {}", w.value, w.advice));
        all.push((record.place.line, record.place.byte, text, warning));
    }
    Ok(all)
}

#[test]
fn undecodable_bytes_are_a_fault_of_their_line_and_the_file_goes_on() {
    let told = "encoding, byte FC: line 3, byte 10: byte FC is not UTF-8 here; if the file is \
                written in windows-1252, name that as its encoding under [input] in the mapping; \
                else correct what stands here";
    let csv = b"A;B\n1;2\nM\xFCl;\xFC\n3;4\n";
    let ndjson = b"{\"A\":1}\n\n{\xFC}\n{\"A\":3}\n";
    for (format, bytes, last) in [(Format::Csv(CSV), &csv[..], 14), (Format::Ndjson, ndjson, 13)] {
        let read = read(format, UTF_8, bytes).unwrap();
        let told = told.replace("byte 10", if bytes == csv { "byte 9" } else { "byte 10" });
        assert_eq!((read[0].0, read[0].2.as_str()), (if bytes == csv { 2 } else { 1 }, "1"));
        assert_eq!((read[1].0, &read[1].2), (3, &told));
        assert_eq!((read[2].0, read[2].1, read[2].2.as_str()), (4, last, "3"));
    }
}

#[test]
fn a_fixed_line_whose_kind_is_lost_is_a_faulty_record_and_other_lines_are_passed() {
    let fixed = Fixed {
        columns: vec![Column { name: "A".to_owned(), span: Span { start: 3, length: 2 } }],
        header: Vec::new(),
        records: vec!["21".to_owned()],
        trailer: None,
        skip: 0,
        pad: true,
    };
    let bytes = b"10\xFC\n21aa\n\xFC1bb\n21cc\n21\xFCd\n";
    let read = read(Format::Fixed(fixed), UTF_8, bytes).unwrap();
    let texts: Vec<_> = read.iter().map(|r| (r.0, r.2.starts_with("encoding"))).collect();
    assert_eq!(texts, [(2, false), (3, true), (4, false), (5, true)]);
}

#[test]
fn undecodable_bytes_above_the_records_that_name_nothing_are_passed_over() {
    let skip = Format::Csv(Csv { skip: 1, ..CSV });
    let read = read(skip, UTF_8, b"\xDCbersicht\nA;B\n1;2\n").unwrap();
    assert_eq!((read.len(), read[0].2.as_str()), (1, "1"));
}

#[test]
fn undecodable_bytes_in_the_header_or_in_a_document_make_the_file_unsound() {
    let json = Json { records: String::new() };
    for (format, bytes) in
        [(Format::Csv(CSV), &b"A;\xFC\n1;2\n"[..]), (Format::Json(json), b"[{\"A\":\"\xFC\"}]")]
    {
        let unsound = read(format, UTF_8, bytes).unwrap_err();
        assert_eq!((unsound.rule, unsound.line), ("encoding", 1));
        assert!(unsound.advice.contains("windows-1252"), "{}", unsound.advice);
    }
}

#[test]
fn dos_letters_in_a_windows_file_are_a_fault_and_utf_8_is_a_warning() {
    let bytes = "A;B\nMüller;1\nM\u{81}ller;2\nM\u{C3}\u{BC}ller;3\n";
    let bytes: Vec<u8> = bytes.chars().map(|c| c as u8).collect();
    let read = read(Format::Csv(CSV), WINDOWS_1252, &bytes).unwrap();
    assert_eq!((read[0].2.as_str(), &read[0].3), ("Müller", &None));
    assert!(read[1].2.contains("cp850"), "{}", read[1].2);
    assert_eq!(read[2].2, "MÃ¼ller");
    let warning = read[2].3.as_deref().unwrap();
    assert!(warning.starts_with("Ã¼: in UTF-8 this is ü"), "{warning}");
}

#[test]
fn marks_stand_where_bytes_mean_something_by_themselves() {
    let input = |bytes: &[u8]| Box::new(Cursor::new(bytes.to_vec()));
    let bytes = b"A;B\n\x1b$B\x45\x6c\x1b(B;1\n";
    let dialect = Dialect { format: Format::Csv(CSV), encoding: ISO_2022_JP.into() };
    let mut reader = Reader::open(&dialect, &["A".to_owned()], input(bytes)).unwrap();
    let mut record = Record::default();
    assert!(reader.next(&mut record).unwrap());
    assert_eq!(record.texts(0).collect::<Vec<_>>(), ["東"]);
    assert!(!reader.resumable());

    let bytes = b"A;B\n\x93\x8c;1\n\x8b\x9e;2\n";
    let dialect = Dialect { format: Format::Csv(CSV), encoding: SHIFT_JIS.into() };
    let mut reader = Reader::open(&dialect, &["A".to_owned()], input(bytes)).unwrap();
    let layout = reader.layout();
    assert!(reader.next(&mut record).unwrap() && reader.next(&mut record).unwrap());
    assert!(reader.resumable());
    assert_eq!((record.place.line, record.place.byte), (3, 9));
    let mark = Mark { ordinal: 2, line: 3, byte: 9 };
    let selectors = ["A".to_owned()];
    let mut reader =
        Reader::resume(&dialect, &selectors, &layout, mark, input(&bytes[9..])).unwrap();
    assert!(reader.next(&mut record).unwrap());
    assert_eq!(record.texts(0).collect::<Vec<_>>(), ["京"]);
}
