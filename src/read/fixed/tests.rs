//! What a fixed-width reader promises.

use encoding_rs::{Encoding, UTF_8, UTF_16LE, WINDOWS_1252};
use proptest::prelude::*;

use super::super::bounded::pieces::{Taken, take, text, text_at};
use super::*;
use crate::read::{Column, Dialect, Format, Reader, Trailer};

fn column(name: &str, start: usize, length: usize) -> Column {
    Column { name: name.to_owned(), span: Span { start, length } }
}

/// Three columns, with a gap of one character before the last.
fn plain() -> Fixed {
    Fixed {
        columns: vec![column("KIND", 1, 1), column("CONT", 2, 4), column("TOWN", 7, 5)],
        header: Vec::new(),
        records: Vec::new(),
        trailer: None,
        skip: 0,
        pad: false,
    }
}

fn starts(with: &[&str]) -> Vec<String> {
    with.iter().map(|start| (*start).to_owned()).collect()
}

fn trailer(start: &str, count: Option<(usize, usize)>) -> Option<Trailer<Span>> {
    let count = count.map(|(start, length)| Span { start, length });
    Some(Trailer { starts_with: starts(&[start]), count })
}

fn read_in(fixed: &Fixed, bytes: &[u8], cuts: &[usize]) -> Result<Vec<Taken>, Unsound> {
    let selectors = starts(&["TOWN", "CONT"]);
    let mut reader = FixedReader::open(text(bytes, cuts)?.lenient(), fixed, &selectors)?;
    let taken = take(2, |record| reader.next(record))?;
    assert!(!reader.next(&mut Record::default()).unwrap(), "the end is told again");
    Ok(taken)
}

/// TOWN and CONT of each record.
fn texts(fixed: &Fixed, file: &str) -> Vec<String> {
    let taken = read_in(fixed, file.as_bytes(), &[]).unwrap();
    taken.iter().map(|taken| taken.texts.concat().join("|")).collect()
}

fn refusal(fixed: &Fixed, file: &str) -> Unsound {
    read_in(fixed, file.as_bytes(), &[]).unwrap_err()
}

#[test]
fn a_column_is_its_characters_without_the_blanks_that_fill_it() {
    assert_eq!(texts(&plain(), "1ABCDxGENT \n1  7 x  01\n"), ["GENT|ABCD", "01|7"]);
}

#[test]
fn characters_are_counted_and_not_bytes() {
    assert_eq!(
        texts(&plain(), "1ÄÖÜ€ Liège\r\n1\u{1F6A2}b   é\r\n"),
        ["Liège|ÄÖÜ€", "é|\u{1F6A2}b"]
    );
    let fixed = plain();
    let dialect = Dialect { format: Format::Fixed(fixed), encoding: WINDOWS_1252.into() };
    let bytes = b"1\xC4\xD6\xDC\x80 Li\xE8ge\r\n";
    let input = Box::new(&bytes[..]);
    let mut reader = Reader::open(&dialect, &starts(&["TOWN", "CONT"]), input).unwrap();
    let mut record = Record::default();
    assert!(reader.next(&mut record).unwrap());
    assert_eq!(record.texts(0).chain(record.texts(1)).collect::<Vec<_>>(), ["Liège", "ÄÖÜ€"]);
    assert_eq!(record.place, Place { line: 1, byte: 0, length: 13 });
}

#[test]
fn what_a_line_lacks_is_empty() {
    assert_eq!(texts(&plain(), "1ABCDxGE\n1AB\n1\n"), ["GE|ABCD", "|AB", "|"]);
}

#[test]
fn a_line_with_text_behind_its_columns_is_faulty() {
    let file = "1ABCDxGENT \n1ABCDxGENTOX\n1ABCDxGENT    \n1ABCDxLiège é\n";
    let taken = read_in(&plain(), file.as_bytes(), &[]).unwrap();
    let faults: Vec<_> =
        taken.iter().map(|t| t.faults.first().map(|f| (f.rule, f.value.as_str()))).collect();
    assert_eq!(
        faults,
        [None, Some(("ragged", "12 characters")), None, Some(("ragged", "13 characters"))]
    );
    assert!(taken[1].faults[0].advice.starts_with("the columns end with character 11; "));
    assert_eq!(taken[1].texts, vec![Vec::<String>::new(); 2]);
    let pad = Fixed { pad: true, ..plain() };
    assert_eq!(texts(&pad, "1ABCDxGENTOX\n"), ["GENTO|ABCD"]);
}

#[test]
fn a_record_is_placed_by_its_true_line_and_bytes() {
    let taken = read_in(&plain(), b"\r\n1A\r1B\n   \n1C\r\n\x1A", &[1, 2]).unwrap();
    let places: Vec<_> = taken.iter().map(|t| (t.line, t.byte, t.length)).collect();
    assert_eq!(places, [(2, 2, 3), (3, 5, 3), (5, 12, 4)]);
}

#[test]
fn header_lines_stand_above_the_records() {
    let fixed = Fixed { header: starts(&["0", "H"]), skip: 1, ..plain() };
    assert_eq!(
        texts(&fixed, "preamble\n\n0one\nHtwo\n1ABCD GENT\n0EFGH LIER\n"),
        ["GENT|ABCD", "LIER|EFGH"]
    );
    assert_eq!(texts(&fixed, "preamble\n0one"), [""; 0]);
    assert_eq!(texts(&fixed, ""), [""; 0]);
    let fault = refusal(&fixed, "preamble\n1ABCD GENT\n");
    assert_eq!((fault.rule, fault.line, fault.byte), ("header", 2, 9));
    assert!(fault.what.ends_with("does not start with \"0\" or \"H\""), "{}", fault.what);
}

#[test]
fn lines_of_other_kinds_are_no_records() {
    let fixed = Fixed { records: starts(&["1", "2A"]), ..plain() };
    let file = "0HEAD\n1AAAA GENT\n2B\n2AB   LIER\n3\n1CCCC MECH";
    let taken = read_in(&fixed, file.as_bytes(), &[]).unwrap();
    assert_eq!(
        taken.iter().map(|t| (t.ordinal, t.line)).collect::<Vec<_>>(),
        [(1, 2), (2, 4), (3, 6)]
    );
}

#[test]
fn a_trailer_counts_the_records() {
    let fixed = Fixed { header: starts(&["0"]), trailer: trailer("9", Some((2, 6))), ..plain() };
    let file = |count: &str| format!("0\n1ABCD GENT\n9EFGH LIER\n9{count}\n\n\x1A");
    for count in ["000002", "     2", "2", "2     ABC"] {
        assert_eq!(texts(&fixed, &file(count)), ["GENT|ABCD", "LIER|EFGH"], "{count:?}");
    }
    let fault = refusal(&fixed, &file("000003"));
    assert_eq!((fault.rule, fault.line, fault.byte), ("trailer", 4, 25));
    assert_eq!(fault.what, "the trailer counts 3 records, but the file holds 2");
    assert!(fault.advice.contains("counts 3 records and the file holds 2"), "{}", fault.advice);
    let fault = refusal(&fixed, &file("      2"));
    assert_eq!(fault.what, "the trailer has no count at characters 2 to 7");
    assert_eq!(
        refusal(&fixed, &file("2x")).what,
        "the trailer's count is \"2x\", which is no number"
    );
    assert_eq!(texts(&fixed, "0\n9000000\n"), [""; 0]);
}

#[test]
fn a_missing_trailer_is_told_with_the_records_that_are_there() {
    let fixed = Fixed { trailer: trailer("9", None), ..plain() };
    assert_eq!(texts(&fixed, "1ABCD GENT\n9"), ["GENT|ABCD"]);
    let fault = refusal(&fixed, "1ABCD GENT\n9\n1ABCD LIER\n");
    assert_eq!((fault.rule, fault.line, fault.byte), ("trailer", 4, 24));
    assert!(fault.advice.starts_with("3 records stand in the file"), "{}", fault.advice);
    assert_eq!(refusal(&fixed, "").rule, "trailer");
}

#[test]
fn a_line_above_the_limit_is_unsound() {
    let mut file = vec![b'x'; super::super::RECORD_LIMIT + 1];
    file.splice(0..0, *b"1A\n");
    let read = read_in(&plain(), &file, &[]);
    assert!(read.is_err_and(|f| (f.rule, f.line, f.byte) == ("size", 2, 3)));
}

proptest! {
    #[test]
    fn written_columns_read_back_from_any_mark(
        rows in prop::collection::vec(("[ -~é€\u{1F6A2}]{4}", "[ -~éÿ]{0,5}", 0_usize..4), 0..12),
        cuts in prop::collection::vec(1_usize..9, 0..20),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        trailer_width in 0_usize..4,
    ) {
        let mut fixed = Fixed { header: starts(&["0"]), records: starts(&["1"]), ..plain() };
        let mut file = format!("0 head{end}");
        for (cont, town, behind) in &rows {
            file += &format!("1{cont} {town}{end}{}", ["", end, "2 other\n", "  \r\n"][*behind]);
        }
        if trailer_width > 0 {
            fixed.trailer = trailer("9", Some((3, 10)));
            file += &format!("9 {:0trailer_width$}", rows.len());
        }
        let taken = read_in(&fixed, file.as_bytes(), &cuts).unwrap();
        prop_assert_eq!(taken.len(), rows.len());
        let selectors = starts(&["TOWN", "CONT"]);
        for (n, (one, (cont, town, _))) in taken.iter().zip(&rows).enumerate() {
            let expected = [town, cont].map(|text| vec![text.trim_matches(' ').to_owned()]);
            prop_assert_eq!(&one.texts, &expected);
            let written = format!("1{cont} {town}{end}");
            prop_assert_eq!(&file.as_bytes()[one.range()], written.as_bytes());
            let text = text_at(file.as_bytes(), one.mark(), &cuts);
            let mut reader = FixedReader::resume(text, &fixed, &selectors, one.mark()).unwrap();
            prop_assert_eq!(&take(2, |record| reader.next(record)).unwrap(), &taken[n..]);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        which in 0_usize..3,
        header in any::<bool>(),
    ) {
        let encoding: &'static Encoding = [UTF_8, WINDOWS_1252, UTF_16LE][which];
        let mut fixed = Fixed { trailer: trailer("9", Some((2, 3))), ..plain() };
        if header {
            fixed.header = starts(&["0", "a"]);
        }
        let dialect = Dialect { format: Format::Fixed(fixed), encoding: encoding.into() };
        let Ok(mut reader) = Reader::open(&dialect, &starts(&["TOWN"]), Box::new(std::io::Cursor::new(bytes))) else {
            return Ok(());
        };
        while reader.next(&mut Record::default()).unwrap_or(false) {}
    }
}
