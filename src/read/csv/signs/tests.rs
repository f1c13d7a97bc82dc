//! What is found from the head of a CSV file.

use proptest::prelude::*;

use super::*;
use crate::read::bounded::pieces::text;

const AUTO: Csv =
    Csv { delimiter: None, quote: Quote::Auto, header: true, skip: 0, pad: false, trailer: None };

fn found(dialect: &Csv, file: &str) -> Result<(char, Option<char>), Unsound> {
    let mut text = text(file.as_bytes(), &[]).unwrap();
    let signs = find(&mut text, dialect, None)?;
    assert_eq!(text.byte(), 0, "the text stands where it stood");
    Ok((char::from(signs.delimiter), signs.quote.map(char::from)))
}

#[track_caller]
fn finds(file: &str, delimiter: char, quote: Option<char>) {
    assert_eq!(found(&AUTO, file), Ok((delimiter, quote)), "{file:?}");
}

#[track_caller]
fn leaves_open(dialect: &Csv, file: &str, what: &str, advice: &str) {
    let fault = found(dialect, file).unwrap_err();
    assert_eq!(fault.rule, "dialect");
    assert!(fault.what.contains(what), "{}", fault.what);
    assert!(fault.advice.contains(advice), "{}", fault.advice);
}

#[test]
fn the_delimiter_parts_the_header() {
    finds("A;B\n1,5;2,5\n", ';', Some('"'));
    finds("A,B\n1;5,2;5\n", ',', Some('"'));
    finds("A\tB\n1,2;3\t4|5\n", '\t', Some('"'));
    finds("\n|\nA|B\n", '|', Some('"'));
    finds("\"A,B\";\"C\"\n\"1,2\";\"3\"\n", ';', Some('"'));
}

#[test]
fn of_several_that_part_the_header_the_rows_decide() {
    // A comma stands in one name, and in no row.
    finds("A;B;C, D\n1;2;3\n4;5;6\n", ';', Some('"'));
    // It stands in each row, too, but parts into fewer columns.
    finds("A;B;C, D\n1;2;3,5\n4;5;6,5\n", ';', Some('"'));
    leaves_open(&AUTO, "A;B,C\n1;2,5\n", "\";\" and \",\" fit alike", "set delimiter");
}

#[test]
fn a_single_column_needs_no_delimiter() {
    finds("CONT\nCSQU3054383\nMSKU4733980\n", ';', Some('"'));
    finds("GROSS\n1;5\n2;5\n", ',', Some('"'));
    leaves_open(&AUTO, "A\n1;2,3\t4|5\n", "cannot be told", "set delimiter");
}

#[test]
fn without_a_header_all_rows_must_speak_for_one() {
    let bare = Csv { header: false, ..AUTO };
    assert_eq!(found(&bare, "1;x\n2;y,z\n"), Ok((';', Some('"'))));
    assert_eq!(found(&bare, "1;x,y\n2;y,z\n3;y\n"), Ok((';', Some('"'))));
    leaves_open(&bare, "1;1,5\n2;2,5\n", "\";\" and \",\" fit alike", "set delimiter");
}

#[test]
fn a_quote_is_one_that_opens_and_closes_fields() {
    finds("A;B\n1;\"x;y\"\n", ';', Some('"'));
    finds("A;B\n1;'x;y'\n2;it's\n", ';', Some('\''));
    // Nothing speaks for a quote, and nothing against the usual one.
    finds("A;B\n1;2\" pipe\n", ';', Some('"'));
    finds("A;B\n't Zand;'s Gravenhage\n", ';', Some('"'));
    // It opens fields and never closes one.
    finds("A;B\n1;\"2 pipe\n2;\"3 pipe\n", ';', None);
    finds(&format!("A;B\n1;\"2 pipe\n{}", "2;3\n".repeat(20_000)), ';', None);
    // Most are sound: the others are faults of their records.
    finds("\"A\";\"B\"\n\"1\";\"2\" pipe\"\n", ';', Some('"'));
    finds("A;B\n1;\"one\" \n2;\"cut", ';', Some('"'));
}

#[test]
fn quotes_that_are_sound_and_unsound_alike_are_left_open() {
    for file in ["A;B\n1;\"2\" pipe\"\n2;3\n", "A;B\n\"1\";\"2\"x\n\"2\"x;\"3\"x\n"] {
        leaves_open(&AUTO, file, "quotes that are not doubled", "quote = \"none\"");
    }
}

#[test]
fn what_the_mapping_says_is_not_looked_for() {
    let told = Csv { delimiter: Some(b','), ..AUTO };
    assert_eq!(found(&told, "A;B\n1;2\n"), Ok((',', Some('"'))));
    let told = Csv { quote: Quote::None, ..AUTO };
    assert_eq!(found(&told, "\"A\";B\n1;2\n"), Ok((';', None)));
    let told = Csv { quote: Quote::Sign(b'|'), ..AUTO };
    assert_eq!(found(&told, "|A,B|;C\n|1|;2\n"), Ok((';', Some('|'))));
}

#[test]
fn a_line_for_excel_names_the_delimiter() {
    for (line, sign) in [
        ("sep=;", Some(b';')),
        ("SEP=,", Some(b',')),
        ("\"sep=|\"", Some(b'|')),
        ("sep=\t", Some(b'\t')),
        ("sep=", None),
        ("sep=a", None),
        ("separator;", None),
        ("", None),
    ] {
        assert_eq!(named(line), sign, "{line:?}");
    }
}

proptest! {
    #[test]
    fn the_same_bytes_give_the_same_signs_in_any_pieces(
        file in "([ab\"';,\t|\n]|é){0,200}",
        cuts in prop::collection::vec(1_usize..9, 1..20),
        header in any::<bool>(),
    ) {
        let dialect = Csv { header, ..AUTO };
        let mut whole = text(file.as_bytes(), &[]).unwrap();
        let mut pieces = text(file.as_bytes(), &cuts).unwrap();
        prop_assert_eq!(find(&mut whole, &dialect, None), find(&mut pieces, &dialect, None));
    }

    #[test]
    fn what_another_writer_wrote_is_told_from_its_head(
        rows in prop::collection::vec(prop::collection::vec("[a-z,;|\t\"\n é]{0,6}", 2), 0..20),
        delimiter in prop::sample::select(DELIMITERS.to_vec()),
        always in any::<bool>(),
    ) {
        let style = if always { ::csv::QuoteStyle::Always } else { ::csv::QuoteStyle::Necessary };
        let mut writer =
            ::csv::WriterBuilder::new().delimiter(delimiter).quote_style(style).from_writer(vec![]);
        writer.write_record(["A", "B", "C"]).unwrap();
        for row in &rows {
            writer.write_record(["1", row[0].as_str(), row[1].as_str()]).unwrap();
        }
        let file = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        prop_assert_eq!(found(&AUTO, &file), Ok((char::from(delimiter), Some('"'))));
    }
}
