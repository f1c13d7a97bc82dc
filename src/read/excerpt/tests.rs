//! What an excerpt promises.

use std::io::Cursor;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use proptest::prelude::*;

use super::*;
use crate::read::{Column, Csv, Fixed, Json, Quote, Span, Trailer, Xml};

fn csv(skip: u64) -> Format {
    Format::Csv(Csv {
        delimiter: Some(b';'),
        quote: Quote::Sign(b'"'),
        header: true,
        skip,
        pad: true,
        trailer: None,
    })
}

/// Rows below two columns, above a trailer.
fn counted() -> Format {
    let trailer = Some(Trailer { starts_with: vec!["99".to_owned()], count: Some(2) });
    let Format::Csv(csv) = csv(0) else { unreachable!() };
    Format::Csv(Csv { header: true, trailer, ..csv })
}

/// Rows whose signs are found.
fn auto() -> Format {
    let Format::Csv(csv) = csv(1) else { unreachable!() };
    Format::Csv(Csv { delimiter: None, quote: Quote::Auto, ..csv })
}

/// One column of six characters, between header and trailer, among lines of another kind.
fn fixed() -> Format {
    Format::Fixed(Fixed {
        columns: vec![Column { name: "A".to_owned(), span: Span { start: 2, length: 6 } }],
        header: vec!["0".to_owned()],
        records: vec!["1".to_owned()],
        trailer: Some(Trailer {
            starts_with: vec!["9".to_owned()],
            count: Some(Span { start: 3, length: 5 }),
        }),
        skip: 0,
        pad: true,
    })
}

fn json(records: &str) -> Format {
    Format::Json(Json { records: records.to_owned() })
}

fn xml(records: &str) -> Format {
    Format::Xml(Xml { records: records.to_owned(), namespaces: Vec::new() })
}

fn excerpt_of(dialect: &Dialect, file: &[u8], keep: impl Fn(u64) -> bool) -> (Vec<u8>, u64) {
    let mut out = Vec::new();
    let input = || Ok(Box::new(Cursor::new(file.to_vec())) as Box<dyn Read + Send>);
    let kept = excerpt(dialect, input, &mut |ordinal| keep(ordinal), &mut out).unwrap();
    (out, kept)
}

/// The excerpt of a UTF-8 file with the records of these ordinals.
fn kept(format: Format, file: &str, ordinals: &[u64]) -> String {
    let dialect = Dialect { format, encoding: UTF_8.into() };
    let (out, kept) = excerpt_of(&dialect, file.as_bytes(), |n| ordinals.contains(&n));
    assert_eq!(kept, ordinals.len() as u64);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_csv_excerpt_has_preamble_header_and_rows() {
    let file = "\u{feff}Report\r\nA;B\r\n1;a\r\n\r\n\"2\r\n\";b\r\n;\r\n3;c";
    assert_eq!(kept(csv(1), file, &[2]), "\u{feff}Report\r\nA;B\r\n\"2\r\n\";b\r\n");
    assert_eq!(kept(csv(1), file, &[1, 3]), "\u{feff}Report\r\nA;B\r\n1;a\r\n;\r\n3;c");
    assert_eq!(kept(csv(1), file, &[]), "\u{feff}Report\r\nA;B\r\n");
}

#[test]
fn a_trailer_counts_again() {
    let file = "A;B\r\n1;a\r\n2;b\r\n3;c\r\n99;003;\"x\"\r\n";
    assert_eq!(kept(counted(), file, &[2]), "A;B\r\n2;b\r\n99;001;\"x\"\r\n");
    assert_eq!(kept(counted(), file, &[]), "A;B\r\n99;000;\"x\"\r\n");
    assert_eq!(kept(counted(), "A;B\n1;a\n99;\"1\"", &[]), "A;B\n99;\"0\"");
}

#[test]
fn a_fixed_excerpt_keeps_all_lines_that_are_no_records() {
    let file = "0 head\n1one   \n2 of 1\n\n1two\n1three\n8\n9     3 sum\n";
    let expect = |records: &str| format!("0 head\n{records}8\n9     ");
    assert_eq!(kept(fixed(), file, &[1]), expect("1one   \n2 of 1\n\n") + "1 sum\n");
    assert_eq!(kept(fixed(), file, &[2, 3]), expect("2 of 1\n\n1two\n1three\n") + "2 sum\n");
    assert_eq!(kept(fixed(), file, &[]), expect("2 of 1\n\n") + "0 sum\n");
}

#[test]
fn a_json_excerpt_stays_one_document() {
    let file = "{\"n\": 3, \"orders\": [\n  {\"a\":1},\n  {\"a\":2},{\"a\":3}\n], \"z\": 0}\n";
    let head = "{\"n\": 3, \"orders\": [\n  ";
    let tail = "\n], \"z\": 0}\n";
    let expect = |orders: &str| format!("{head}{orders}{tail}");
    assert_eq!(kept(json("orders"), file, &[1]), expect("{\"a\":1}"));
    assert_eq!(kept(json("orders"), file, &[3]), expect("{\"a\":3}"));
    assert_eq!(kept(json("orders"), file, &[1, 3]), expect("{\"a\":1},{\"a\":3}"));
    assert_eq!(kept(json("orders"), file, &[1, 2]), expect("{\"a\":1},\n  {\"a\":2}"));
    assert_eq!(kept(json("orders"), file, &[]), expect(""));
}

#[test]
fn an_xml_excerpt_keeps_the_elements_around() {
    let file = "<?xml version=\"1.0\"?>\n<R>\n <G n=\"1\">\n  <O>1</O>\n  <O>2</O>\n </G>\n \
                <G n=\"2\"><O>3</O><!-- four --><O>4</O></G>\n</R>\n";
    let head = "<?xml version=\"1.0\"?>\n<R>\n <G n=\"1\">\n  ";
    let between = "\n </G>\n <G n=\"2\">";
    let tail = "</G>\n</R>\n";
    let format = || xml("R/G/O");
    assert_eq!(
        kept(format(), file, &[2, 4]),
        format!("{head}<O>2</O>{between}<!-- four --><O>4</O>{tail}")
    );
    assert_eq!(
        kept(format(), file, &[1, 3]),
        format!("{head}<O>1</O>{between}<O>3</O><!-- four -->{tail}")
    );
    assert_eq!(kept(format(), file, &[]), format!("{head}{between}<!-- four -->{tail}"));
}

#[test]
fn an_xml_excerpt_keeps_what_stands_above_the_records() {
    let file = "<M>\n<IDOC N='1'><C><D>01</D></C><P>1</P><P>2</P><S>x</S></IDOC>\n<IDOC><C/><P>3</P>\
                </IDOC>\n<IDOC N='3'><C><D>03</D></C><P>4</P></IDOC>\n</M>\n";
    assert_eq!(
        kept(xml("M/IDOC/P"), file, &[2, 4]),
        "<M>\n<IDOC N='1'><C><D>01</D></C><P>2</P><S>x</S></IDOC>\n<IDOC><C/></IDOC>\n<IDOC N='3'>\
         <C><D>03</D></C><P>4</P></IDOC>\n</M>\n"
    );
}

#[test]
fn long_filler_is_not_held_whole() {
    let blanks = " ".repeat(3 * HELD);
    let file = format!("[1,{blanks}2,{blanks}3]");
    assert_eq!(kept(json(""), &file, &[1, 3]), format!("[1,{blanks}3]"));
    assert_eq!(kept(json(""), &file, &[2]), "[2]");
}

#[test]
fn an_unsound_file_or_a_failing_disk_is_an_error() {
    let dialect = Dialect { format: csv(0), encoding: UTF_8.into() };
    let open = |file: &'static [u8]| move || Ok(Box::new(file) as Box<dyn Read + Send>);
    let error = excerpt(&dialect, open(b"A\n\"1"), &mut |_| true, &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").starts_with("line 2, byte 2: "), "{error:#}");
    let first = std::cell::Cell::new(true);
    let shrinks = || {
        let file: &[u8] = if first.take() { b"A\n1\n2\n" } else { b"A\n1" };
        Ok(Box::new(file) as Box<dyn Read + Send>)
    };
    let error = excerpt(&dialect, shrinks, &mut |_| true, &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").contains("ends at byte 3"), "{error:#}");
}

fn encode(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    let text = &format!("\u{feff}{text}");
    match encoding.name() {
        "UTF-16LE" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "UTF-16BE" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "UTF-8" => text.as_bytes().to_vec(),
        _ => encoding.encode(&text["\u{feff}".len()..]).0.into_owned(),
    }
}

/// The texts of all records.
fn texts(dialect: &Dialect, selector: &str, file: &[u8]) -> Vec<String> {
    slots(dialect, &[selector.to_owned()], file).into_iter().map(|record| record.concat()).collect()
}

/// The texts of all records by slot.
fn slots(dialect: &Dialect, selectors: &[String], file: &[u8]) -> Vec<Vec<String>> {
    let input = Box::new(Cursor::new(file.to_vec()));
    let mut reader = Reader::open(dialect, selectors, input).unwrap();
    let mut record = Record::default();
    let mut all = Vec::new();
    while reader.next(&mut record).unwrap() {
        let slots = 0..selectors.len();
        all.push(slots.map(|n| record.texts(n).collect::<Vec<_>>().join("|")).collect());
    }
    all
}

/// The bytes of all records.
fn slices(dialect: &Dialect, file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(dialect, &[], Box::new(Cursor::new(file.to_vec()))).unwrap();
    let mut record = Record::default();
    let mut all = Vec::new();
    while reader.next(&mut record).unwrap() {
        let start = record.place.byte as usize;
        all.push(file[start..start + record.place.length as usize].to_vec());
    }
    all
}

/// XML of records, headers and groups in any order, and how many records it has.
fn any_tree() -> impl Strategy<Value = (String, u64)> {
    let leaf = ("[ghop]", "[ab]", "[0-9]").prop_map(|(name, key, text)| match name.as_str() {
        "o" => (format!("<o n='{text}'/>"), 1),
        name => (format!("<{name} k='{key}'><q>{key}</q>{text}</{name}>"), 0),
    });
    let inner = leaf.prop_recursive(4, 40, 6, |inner| {
        ("[ghp]", "[ab]", proptest::collection::vec(inner, 0..6)).prop_map(
            |(name, key, children)| {
                let records = children.iter().map(|(_, records)| records).sum();
                let children: String = children.into_iter().map(|(text, _)| text).collect();
                (format!("<{name} k='{key}'>{children}</{name}>\n"), records)
            },
        )
    });
    proptest::collection::vec(inner, 0..8).prop_map(|trees| {
        let records = trees.iter().map(|(_, records)| records).sum();
        let trees: String = trees.into_iter().map(|(text, _)| text).collect();
        (format!("<r k='r'>{trees}</r>"), records)
    })
}

/// Selectors above a record at any depth in those trees.
fn above() -> Vec<String> {
    let above = ["@n", "../@k", "../h", "../../g/h", "../../h[q='a']/q", "../p[@k='b']/g/h/@k"];
    above.map(str::to_owned).to_vec()
}

/// A file of each format, with records and what may stand between them, and its selector.
fn file(which: usize, records: &[(String, usize)]) -> (Format, &'static str, String) {
    let (format, selector, head, tail) = match which {
        0 => (csv(1), "A", "Report\nA;B\r\n", ";\r\n\n"),
        1 => (Format::Ndjson, "a", "\n", "\n \n"),
        6 => (auto(), "A", "Report\nA;B\r\n", ";\r\n\n"),
        4 => (counted(), "A", "A;B\n", &*format!("99;{:03};\"x\"\n", records.len())),
        5 => (fixed(), "A", "0\n", &*format!("9 {:5}", records.len())),
        2 => (json("x/y"), "a", "{\"x\":{\"n\":[1],\"y\": [\r\n ", "\n]},\"z\":[{\"a\":\"-\"}]}"),
        _ => (xml("R/**/O"), "@a", "<R>\r\n<G>", "</G>\n</R>\n"),
    };
    let mut text = head.to_owned();
    for (at, (value, between)) in records.iter().enumerate() {
        if at > 0 {
            text += match which {
                0 | 1 | 4 | 6 => ["", "", "\n", "\r\n\n"][*between],
                5 => ["", "2\n", "\n", "3\r\n\n"][*between],
                2 => [",", ",\n ", "\r\n,", " , "][*between],
                _ => ["", "\n ", "</G>\n<G n='2'>", "<!-- - --> <E>-</E>"][*between],
            };
        }
        text += &match which {
            0 | 4 | 6 => format!("\"{value}\";{value}\r\n"),
            5 => format!("1{value}\r\n"),
            1 => format!("{{\"a\": \"{value}\"}}\r\n"),
            2 => format!("{{\"a\": \"{value}\"}}"),
            _ => format!("<O a=\"{value}\">{value}</O>"),
        };
    }
    (format, selector, text + tail)
}

proptest! {
    #[test]
    fn xml_records_map_the_same_from_an_excerpt(
        (file, records) in any_tree(),
        picks in proptest::collection::vec(any::<bool>(), 1..9),
    ) {
        let dialect = Dialect { format: xml("**/o"), encoding: UTF_8.into() };
        let whole = slots(&dialect, &above(), file.as_bytes());
        prop_assert_eq!(whole.len() as u64, records, "{}", file);
        let keep = |ordinal: u64| picks[ordinal as usize % picks.len()];
        let (some, _) = excerpt_of(&dialect, file.as_bytes(), keep);
        let kept: Vec<_> = (1..).zip(whole).filter(|(n, _)| keep(*n)).map(|(_, one)| one).collect();
        prop_assert_eq!(slots(&dialect, &above(), &some), kept, "{}", file);
    }

    #[test]
    fn xml_records_map_the_same_from_any_mark((file, _) in any_tree()) {
        let dialect = Dialect { format: xml("**/o"), encoding: UTF_8.into() };
        let whole = slots(&dialect, &above(), file.as_bytes());
        let asked = dialect.format.above(&above());
        let open = || Box::new(Cursor::new(file.clone().into_bytes()));
        let mut reader = Reader::open(&dialect, &asked, open()).unwrap();
        let mut layout = crate::read::Layout { asked, ..reader.layout() };
        let mut record = Record::default();
        let mut marks = Vec::new();
        while reader.next(&mut record).unwrap() {
            if reader.resumable() {
                layout.note_above(record.ordinal, reader.above());
                let (ordinal, place) = (record.ordinal, record.place);
                marks.push(crate::read::Mark { ordinal, line: place.line, byte: place.byte });
            }
        }
        for mark in marks {
            let mut rest = open();
            rest.set_position(mark.byte);
            let mut reader = Reader::resume(&dialect, &above(), &layout, mark, rest).unwrap();
            for expected in &whole[mark.ordinal as usize - 1..] {
                prop_assert!(reader.next(&mut record).unwrap());
                let texts: Vec<_> = (0..expected.len())
                    .map(|n| record.texts(n).collect::<Vec<_>>().join("|"))
                    .collect();
                prop_assert_eq!(&texts, expected, "from {:?} of {}", mark, file);
            }
            prop_assert!(!reader.next(&mut record).unwrap());
        }
    }

    #[test]
    fn an_excerpt_reads_back_as_the_kept_records_and_a_whole_one_is_the_file(
        records in proptest::collection::vec(
            ("[ab,;é€ÿ]{0,6}", 0_usize..4, any::<bool>()),
            0..12,
        ),
        which in 0_usize..7,
        encoding in proptest::sample::select(vec![UTF_8, WINDOWS_1252, UTF_16LE, UTF_16BE]),
    ) {
        let keep = |ordinal: u64| records[ordinal as usize - 1].2;
        let written: Vec<_> = records.iter().map(|(v, between, _)| (v.clone(), *between)).collect();
        let (format, selector, text) = file(which, &written);
        let file = encode(&text, encoding);
        let dialect = Dialect { format, encoding: encoding.into() };

        let values: Vec<_> = records.iter().map(|record| record.0.clone()).collect();
        prop_assert_eq!(texts(&dialect, selector, &file), values, "{}", text);
        let (whole, all) = excerpt_of(&dialect, &file, |_| true);
        prop_assert_eq!(all, records.len() as u64);
        prop_assert_eq!(whole, file.clone());

        let (some, _) = excerpt_of(&dialect, &file, keep);
        let values: Vec<_> =
            records.iter().filter(|record| record.2).map(|record| record.0.clone()).collect();
        prop_assert_eq!(texts(&dialect, selector, &some), values);
        let wanted: Vec<_> = slices(&dialect, &file)
            .into_iter()
            .zip(&records)
            .filter_map(|(slice, record)| record.2.then_some(slice))
            .collect();
        prop_assert_eq!(slices(&dialect, &some), wanted);
    }
}
