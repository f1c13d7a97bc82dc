//! What a CSV reader promises.

mod written;

use std::io::{Cursor, Read};

use encoding_rs::{Encoding, UTF_8};

use super::*;
use crate::read::bounded::pieces;
use crate::read::{Dialect, Format, Quote, Reader};

const PLAIN: Csv = Csv {
    delimiter: Some(b';'),
    quote: Quote::Sign(b'"'),
    header: true,
    skip: 0,
    pad: false,
    trailer: None,
};

fn input(bytes: &[u8]) -> Box<dyn Read + Send> {
    Box::new(Cursor::new(bytes.to_vec()))
}

fn dialect(csv: Csv, encoding: &'static Encoding) -> Dialect {
    Dialect { format: Format::Csv(csv), encoding: encoding.into() }
}

fn selectors(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A record as a test sees it: line, byte, length, the first text of each slot, the faults' values.
type Seen = (u64, u64, u64, Vec<Option<String>>, Vec<String>);

fn seen(record: &Record, slots: usize) -> Seen {
    let Place { line, byte, length } = record.place;
    let texts = (0..slots).map(|slot| record.texts(slot).next().map(str::to_owned)).collect();
    (line, byte, length, texts, record.faults.iter().map(|fault| fault.value.clone()).collect())
}

fn rest(reader: &mut Reader, slots: usize) -> Result<Vec<Seen>, Unsound> {
    let mut record = Record::default();
    let mut all = Vec::new();
    while reader.next(&mut record)? {
        all.push(seen(&record, slots));
    }
    Ok(all)
}

fn read_as(csv: Csv, names: &[&str], bytes: &[u8]) -> Result<Vec<Seen>, Unsound> {
    let dialect = dialect(csv, UTF_8);
    rest(&mut Reader::open(&dialect, &selectors(names), input(bytes))?, names.len())
}

/// The texts of each record, empty and missing ones alike.
fn texts(csv: Csv, names: &[&str], bytes: &str) -> Vec<Vec<String>> {
    let seen = read_as(csv, names, bytes.as_bytes()).unwrap();
    seen.into_iter().map(|(.., texts, _)| texts.into_iter().flatten().collect()).collect()
}

fn refusal(csv: Csv, names: &[&str], bytes: &str) -> Unsound {
    read_as(csv, names, bytes.as_bytes()).unwrap_err()
}

#[test]
fn a_selector_gets_the_text_of_its_column() {
    let rows = texts(PLAIN, &["B", "A"], "A;B;C\n01700; x ;\n;y;2\n");
    assert_eq!(rows, [[" x ", "01700"], ["y", ""]]);
}

#[test]
fn a_record_is_placed_by_its_true_line_and_bytes() {
    let file = "A;B\r\n1;2\r\n\r\n\"x\r\ny\";3\r\n4;\"5\"";
    let places: Vec<_> = read_as(PLAIN, &["A"], file.as_bytes())
        .unwrap()
        .into_iter()
        .map(|(line, byte, length, ..)| (line, byte, length))
        .collect();
    assert_eq!(places, [(2, 5, 5), (4, 12, 10), (6, 22, 5)]);
}

#[test]
fn cr_alone_ends_a_row() {
    let rows = read_as(PLAIN, &["A", "B"], b"A;B\r1;2\r\"3\";4\r").unwrap();
    let places: Vec<_> =
        rows.iter().map(|(line, byte, length, ..)| (*line, *byte, *length)).collect();
    assert_eq!(places, [(2, 4, 4), (3, 8, 6)]);
}

#[test]
fn a_quoted_line_break_is_one_record() {
    let rows = texts(PLAIN, &["A", "B"], "A;B\n\"one\ntwo; \"\"three\"\"\";4\n5;6\n");
    assert_eq!(rows, [["one\ntwo; \"three\"", "4"], ["5", "6"]]);
}

#[test]
fn a_quote_inside_an_unquoted_field_is_text() {
    assert_eq!(texts(PLAIN, &["A", "B"], "A;B\n2\" pipe;x\n"), [["2\" pipe", "x"]]);
}

/// The faults of each record, as rule, value and advice.
fn faults(csv: Csv, file: &str) -> Vec<Vec<(&'static str, String, String)>> {
    let mut reader =
        Reader::open(&dialect(csv, UTF_8), &selectors(&["A"]), input(file.as_bytes())).unwrap();
    let mut record = Record::default();
    let mut all = Vec::new();
    while reader.next(&mut record).unwrap() {
        let faults = record.faults.drain(..).map(|f| (f.rule, f.value, f.advice));
        all.push(faults.collect());
    }
    all
}

#[test]
fn a_quote_inside_quotes_that_is_not_doubled_is_a_fault_with_its_place() {
    for (row, place) in [
        ("\"2\" pipe\";x", "line 2, column 3:"),
        ("é;\"ü\"x", "line 2, column 5:"),
        ("\"a\"\"\"b\";\"c\"", "line 2, column 5:"),
        ("\"a\r\nb\"\"c\r\néé\"x\";", "line 4, column 3:"),
        ("\"a\" \"b\";c", "line 2, column 3:"),
    ] {
        let all = faults(PLAIN, &format!("A;B\r\n{row}\r\n1;2\r\n"));
        assert_eq!(all.len(), 2, "{row:?}");
        assert_eq!(all[1], []);
        let (rule, value, advice) = &all[0][0];
        assert_eq!((*rule, all[0].len()), ("quote", 1));
        assert_eq!(*value, row.replace(['\r', '\n'], " "));
        assert!(advice.starts_with(place), "{row:?}: {advice}");
    }
    // Blanks behind the closing quote are none, nor is a quote inside a field without quotes.
    for row in ["\"a\" ;b", "\"a\";\"b\"\t", "2\"x;3\"", "\"\";\"\"\"\"", "\"a\";"] {
        let all = faults(PLAIN, &format!("A;B\n{row}\n"));
        assert_eq!(all, [vec![]], "{row:?}");
    }
}

#[test]
fn signs_that_are_found_are_kept_for_reading_on() {
    let csv = Csv { delimiter: None, quote: Quote::Auto, ..PLAIN };
    let file = b"A,B\n1,'x,y'\n2,x\"\n";
    let dialect = dialect(csv, UTF_8);
    let names = selectors(&["B"]);
    let mut reader = Reader::open(&dialect, &names, input(file)).unwrap();
    let signs = Signs { delimiter: b',', quote: Some(b'\'') };
    assert_eq!(reader.layout().signs, Some(signs));
    let all = rest(&mut reader, 1).unwrap();
    let texts: Vec<_> = all.iter().map(|seen| seen.3[0].as_deref()).collect();
    assert_eq!(texts, [Some("x,y"), Some("x\"")]);
    let mark = Mark { ordinal: 2, line: 3, byte: 12 };
    let mut resumed =
        Reader::resume(&dialect, &names, &reader.layout(), mark, input(&file[12..])).unwrap();
    assert_eq!(rest(&mut resumed, 1).unwrap(), all[1..]);
}

#[test]
fn a_line_for_excel_above_the_header_names_the_delimiter() {
    for (file, skip) in [
        ("sep=,\r\nA,B\r\n1,2;3\r\n", 0),
        ("\u{feff}\"sep=,\"\nA,B\n1,2;3\n", 1),
        ("sep=,\nTitle\nA,B\n1,2;3\n", 2),
    ] {
        let csv = Csv { skip, ..PLAIN };
        assert_eq!(texts(csv, &["B"], file), [["2;3"]], "{file:?}");
    }
}

#[test]
fn without_quoting_a_quote_is_text() {
    let csv = Csv { quote: Quote::None, ..PLAIN };
    assert_eq!(texts(csv, &["A", "B"], "A;B\n\"1;2\"\n\";3\n"), [["\"1", "2\""], ["\"", "3"]]);
}

#[test]
fn another_delimiter_and_quote_part_and_quote() {
    let csv = Csv { delimiter: Some(b'\t'), quote: Quote::Sign(b'\''), ..PLAIN };
    assert_eq!(texts(csv, &["A", "B"], "A\tB\n'1\t2'\t\"3\"\n"), [["1\t2", "\"3\""]]);
}

#[test]
fn columns_without_a_header_are_numbered() {
    let csv = Csv { header: false, ..PLAIN };
    assert_eq!(texts(csv.clone(), &["3", "1"], "a;b;c\nd;e;f\n"), [["c", "a"], ["f", "d"]]);
    let fault = refusal(csv, &["1", "4"], "a;b;c\n");
    assert_eq!((fault.rule, fault.what.as_str()), ("header", "there is no column \"4\""));
    assert!(fault.advice.contains("named 1 to 3"), "{}", fault.advice);
}

#[test]
fn lines_above_the_header_are_skipped() {
    let csv = Csv { skip: 2, ..PLAIN };
    let rows = read_as(csv, &["B"], b"Report \"of\r\n\r\nA;B\r\n1;2\r\n").unwrap();
    assert_eq!(rows, [(4, 19, 5, vec![Some("2".to_owned())], vec![])]);
}

#[test]
fn empty_lines_and_lines_of_separators_are_no_records() {
    let rows = texts(PLAIN, &["A", "B"], "\n;\nA;B\n\n;\n1;\n ; \n;;;\n;2\n;\n;");
    assert_eq!(rows, [["1", ""], ["", "2"]]);
}

#[test]
fn a_file_without_rows_has_no_records() {
    for (bytes, skip) in [("", 0), ("", 3), ("\n\n", 1), ("A;B", 0), ("A;B\n", 0), ("\u{feff}", 0)]
    {
        let csv = Csv { skip, ..PLAIN };
        assert_eq!(read_as(csv, &["A"], bytes.as_bytes()), Ok(vec![]), "{bytes:?}");
    }
    let fault = refusal(Csv { skip: 3, ..PLAIN }, &["A"], "Report\n\n");
    assert_eq!((fault.rule, fault.line), ("header", 3));
}

#[test]
fn names_are_compared_trimmed_and_composed() {
    let rows = texts(PLAIN, &["Ge\u{301}wicht", "Ort"], "\u{feff} Géwicht ;Ort\u{a0}\n1;2\n");
    assert_eq!(rows, [["1", "2"]]);
}

#[test]
fn a_ragged_row_is_faulty_and_the_file_goes_on() {
    let rows = read_as(PLAIN, &["A"], b"A;B;C\n1;2\n1;2;3\n1\n1;2;3;4\n").unwrap();
    let faults: Vec<_> = rows.iter().map(|(.., faults)| faults.join(",")).collect();
    assert_eq!(faults, ["2 fields", "", "1 field", "4 fields"]);
    let texts: Vec<_> = rows.iter().map(|(_, _, _, texts, _)| texts[0].as_deref()).collect();
    assert_eq!(texts, [None, Some("1"), None, None]);
    let mut reader =
        Reader::open(&dialect(PLAIN, UTF_8), &selectors(&["A"]), input(b"A;B;C\n1;2\n")).unwrap();
    let mut record = Record::default();
    assert!(reader.next(&mut record).unwrap());
    assert_eq!(record.faults[0].rule, "ragged");
    assert!(record.faults[0].advice.starts_with("the header has 3 columns; correct the row"));
}

#[test]
fn a_padded_row_lacks_its_last_texts_and_drops_what_is_too_much() {
    let csv = Csv { pad: true, ..PLAIN };
    let rows = read_as(csv, &["A", "C"], b"A;B;C\n1;2\n1;2;3;4\n").unwrap();
    let one = || Some("1".to_owned());
    assert_eq!(rows[0].3, [one(), None]);
    assert_eq!(rows[1].3, [one(), Some("3".to_owned())]);
    assert!(rows.iter().all(|(.., faults)| faults.is_empty()));
}

#[test]
fn all_missing_columns_are_named_with_the_nearest() {
    let fault = refusal(PLAIN, &["CONT", "WEIGHT", "CONT_NO"], "\nCONT_NO;GROSS\n1;2\n");
    assert_eq!((fault.rule, fault.line, fault.byte), ("header", 2, 1));
    assert_eq!(fault.what, "there is no column \"CONT\", \"WEIGHT\"");
    assert!(fault.advice.contains("the nearest to \"CONT\" is \"CONT_NO\""), "{}", fault.advice);
    let fault = refusal(PLAIN, &["A"], "A,B\n1,2\n");
    assert_eq!(
        fault.advice,
        "the whole header is one column, so the delimiter may be another; correct the header or \
         the mapping"
    );
    let auto = Csv { delimiter: None, ..PLAIN };
    let fault = refusal(auto, &["X"], "A,B\n1,2\n");
    assert!(fault.advice.ends_with("; the delimiter was found to be \",\""), "{}", fault.advice);
}

#[test]
fn a_repeated_column_is_refused_where_a_selector_uses_it() {
    assert_eq!(texts(PLAIN, &["B"], "A;A;B\n1;2;3\n"), [["3"]]);
    let fault = refusal(PLAIN, &["A", "X"], "A;A;B\n1;2;3\n");
    assert_eq!(fault.rule, "header");
    assert_eq!(fault.what, "there is no column \"X\" and there is more than one column \"A\"");
}

#[test]
fn an_unclosed_quote_is_told_where_it_was_opened() {
    let fault = refusal(PLAIN, &["A"], "A;B\r\n1;2\r\n3;\"x\"\"\r\n5;6\r\n");
    assert_eq!((fault.rule, fault.line, fault.byte), ("truncated", 3, 12));
    assert_eq!(refusal(PLAIN, &[], "A;B\n1;\"").rule, "truncated");
    assert_eq!(refusal(PLAIN, &[], "\"A;B\n1;2").rule, "truncated");
}

#[test]
fn a_row_above_the_limit_is_unsound() {
    let row = "x".repeat(RECORD_LIMIT);
    for file in [format!("A\n1\n{row}x\n"), format!("A\n1\n\"{row}"), format!("A\n1\n{row}xx")] {
        // Not `unwrap_err`, which would show what was read.
        let read = read_as(PLAIN, &["A"], file.as_bytes());
        assert!(read.is_err_and(|f| (f.rule, f.line, f.byte) == ("size", 3, 4)));
    }
}

#[test]
fn a_fault_is_told_again_when_asked_again() {
    for bytes in [&b"A\n1\n\xE2\x82"[..], b"A\n1\n\"2\n"] {
        let dialect = dialect(PLAIN, UTF_8);
        let mut reader = Reader::open(&dialect, &selectors(&["A"]), input(bytes)).unwrap();
        let mut record = Record::default();
        assert!(reader.next(&mut record).unwrap());
        let first = reader.next(&mut record).unwrap_err();
        assert_eq!(first.line, 3);
        assert_eq!(reader.next(&mut record).unwrap_err(), first);
    }
}

#[test]
fn a_dialect_that_cannot_be_is_refused() {
    for (delimiter, quote) in [(b'"', Quote::Sign(b'"')), (0xA7, Quote::None), (b'\n', Quote::None)]
    {
        let fault = refusal(Csv { delimiter: Some(delimiter), quote, ..PLAIN }, &[], "A;B\n");
        assert_eq!(fault.rule, "dialect");
    }
}

/// A dialect with a trailer that counts in its second column.
fn counted() -> Csv {
    let starts_with = vec!["99".to_owned()];
    Csv { trailer: Some(Trailer { starts_with, count: Some(2) }), ..PLAIN }
}

#[test]
fn a_trailer_counts_the_rows() {
    for end in
        ["99;2", "99;0002;x;;\r\n", "99; 2 \n\n;\n\x1A", "\"99\";\"2\"\n", "99;\"2\";\"a;b\"\n"]
    {
        let file = format!("A;B\n1;2\n\n99;4\n{end}");
        assert_eq!(texts(counted(), &["A", "B"], &file), [["1", "2"], ["99", "4"]], "{end:?}");
    }
    let without_header = Csv { header: false, ..counted() };
    assert_eq!(texts(without_header.clone(), &["1"], "1;2\n99;1\n"), [["1"]]);
    assert_eq!(texts(without_header, &["3"], "99;0\n"), [[""; 0]; 0]);
    assert_eq!(texts(counted(), &["A"], "A;B\n99;0\n"), [[""; 0]; 0]);
}

#[test]
fn a_trailer_that_disagrees_or_is_missing_is_told_with_both_numbers() {
    let fault = refusal(counted(), &["A"], "A;B\r\n1;2\r\n3;4;5\r\n99;0003\r\n");
    assert_eq!((fault.rule, fault.line, fault.byte), ("trailer", 4, 20));
    assert_eq!(fault.what, "the trailer counts 3 records, but the file holds 2");
    assert!(fault.advice.contains("counts 3 records and the file holds 2"), "{}", fault.advice);
    for file in ["A;B\n1;2\n", "A;B\n99;1\n1;2\n", "A;B\n1;99\n"] {
        let fault = refusal(counted(), &["A"], file);
        assert_eq!(fault.rule, "trailer");
        assert!(fault.what.ends_with("it does not start with \"99\""), "{}", fault.what);
        assert!(fault.advice.contains(" records stand in the file"), "{}", fault.advice);
    }
    for (end, what) in [
        ("99\n", "the trailer has no column 2"),
        ("99;\n", "the trailer's count is \"\", which is no number"),
        ("99;\"x\";1\n", "the trailer's count is \"x\", which is no number"),
        ("99;-1\n", "the trailer's count is \"-1\", which is no number"),
    ] {
        assert_eq!(refusal(counted(), &["A"], &format!("A;B\n1;2\n{end}")).what, what);
    }
}

#[test]
fn a_trailer_without_a_count_must_be_there_all_the_same() {
    let csv = Csv {
        trailer: Some(Trailer { starts_with: vec!["END".to_owned()], count: None }),
        ..PLAIN
    };
    assert_eq!(texts(csv.clone(), &["A"], "A;B\n1;2\nEND OF FILE\n"), [["1"]]);
    assert_eq!(refusal(csv, &["A"], "A;B\n1;2\n").rule, "trailer");
}
