//! Any file reads as the csv crate reads it, in any pieces and from any mark.

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use proptest::prelude::*;

use super::*;

fn encode(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    match encoding.name() {
        "UTF-16LE" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "UTF-16BE" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => encoding.encode(text).0.into_owned(),
    }
}

/// What the csv crate makes of the rows below a header of eight columns, without the lines that
/// hold only separators; and whether the file ends inside quotes.
fn by_the_csv_crate(text: &str) -> (Vec<Vec<String>>, bool) {
    let read = |text: &str| -> Vec<(usize, Vec<String>)> {
        let mut builder = ::csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(b';');
        let rows = builder.from_reader(text.as_bytes()).into_records().map(Result::unwrap);
        rows.map(|row| {
            let start = row.position().unwrap().byte() as usize;
            (start, row.iter().map(str::to_owned).collect())
        })
        .collect()
    };
    // Further line ends become text only where a quote is open.
    let length = |rows: Vec<(usize, Vec<String>)>| {
        rows.last().map_or(0, |(_, row)| row.last().map_or(0, String::len))
    };
    let open = length(read(&format!("{text}\n\n"))) > length(read(&format!("{text}\n")));
    let rows = read(text);
    let ends = rows.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
    let kept = rows.iter().zip(ends).filter(|((start, _), end)| {
        !text[*start..*end].chars().all(|c| [';', ' ', '\t', '\r', '\n'].contains(&c))
    });
    (kept.map(|((_, row), _)| row.clone()).collect(), open)
}

/// Whether a field of a row is closed by a quote and goes on behind it, letter by letter.
fn has_loose_quote(row: &str) -> bool {
    let mut before = ';';
    for c in row.trim_end_matches(['\r', '\n']).chars() {
        before = match (before, c) {
            // Inside quotes, after one that may close them, and after blanks behind it.
            (';', '"') | ('c', '"') => 'q',
            ('q', '"') => 'c',
            ('q', _) => 'q',
            ('c' | 'b', ' ') => 'b',
            ('c' | 'b', ';') => ';',
            ('c' | 'b', _) => return true,
            (_, ';') => ';',
            _ => 'x',
        };
    }
    false
}

/// A field that some writer must quote or not, and that is not blank.
const FIELD: &str = "[a-zé;,|\t\"' \r\n\u{1F6A2}]{0,8}";

proptest! {
    #[test]
    fn what_the_csv_crate_wrote_reads_back_in_any_pieces_and_from_any_mark(
        rows in proptest::collection::vec(proptest::collection::vec(FIELD, 2), 0..12),
        delimiter in proptest::sample::select(vec![b';', b',', b'\t', b'|', b'~']),
        quote in proptest::sample::select(vec![b'"', b'\'']),
        end in proptest::sample::select(vec![
            ::csv::Terminator::CRLF,
            ::csv::Terminator::Any(b'\n'),
            ::csv::Terminator::Any(b'\r'),
        ]),
        style in proptest::sample::select(vec![
            ::csv::QuoteStyle::Always,
            ::csv::QuoteStyle::Necessary,
            ::csv::QuoteStyle::NonNumeric,
        ]),
        cuts in proptest::collection::vec(1_usize..9, 0..20),
        last_end in any::<bool>(),
        header in any::<bool>(),
        counted in any::<bool>(),
    ) {
        let mut builder = ::csv::WriterBuilder::new();
        builder.delimiter(delimiter).quote(quote).terminator(end).quote_style(style);
        let mut writer = builder.from_writer(Vec::new());
        if header {
            writer.write_record(["1", "2", "3"]).unwrap();
        }
        for (n, row) in rows.iter().enumerate() {
            writer.write_record([&n.to_string(), &row[0], &row[1]]).unwrap();
        }
        let mut csv =
            Csv { delimiter: Some(delimiter), quote: Quote::Sign(quote), header, ..PLAIN };
        if counted {
            csv.trailer = Some(Trailer { starts_with: vec!["END".to_owned()], count: Some(3) });
            writer.write_record(["END", "", &format!("{:03}", rows.len())]).unwrap();
        }
        let mut bytes = writer.into_inner().unwrap();
        while !last_end && matches!(bytes.last(), Some(b'\r' | b'\n')) {
            bytes.pop();
        }

        let names = selectors(&["1", "2", "3"]);
        let names = if rows.is_empty() { &names[..0] } else { &names[..] };
        let mut reader =
            CsvReader::open(pieces::text(&bytes, &cuts).unwrap(), &csv, names).unwrap();
        let taken = pieces::take(3, |record| reader.next(record)).unwrap();
        prop_assert_eq!(taken.len(), rows.len());
        for (n, (one, row)) in taken.iter().zip(&rows).enumerate() {
            let expected = [n.to_string(), row[0].clone(), row[1].clone()].map(|text| vec![text]);
            prop_assert_eq!(&one.texts, &expected);
            prop_assert_eq!(&one.faults, &[]);
            let text = pieces::text_at(&bytes, one.mark(), &cuts);
            let mut resumed =
                CsvReader::resume(text, &csv, names, &reader.layout(), one.mark()).unwrap();
            let again = pieces::take(3, |record| resumed.next(record)).unwrap();
            prop_assert_eq!(&again, &taken[n..]);
        }
    }

    #[test]
    fn any_file_reads_as_the_csv_crate_reads_it_and_from_any_mark(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "b;", "é", "ÿ€", ";", ";", "\"", "\"\"", "\"x\"", ";\"y;\r\nz\";", " ", "\n",
                "\r\n", "\r", "a;b\n", "long text without any end; ",
            ]),
            0..60,
        ),
        which in 0_usize..4,
    ) {
        const HEADER: &str = "1;2;3;4;5;6;7;8\r\n";
        let encoding = [UTF_8, WINDOWS_1252, UTF_16LE, UTF_16BE][which];
        let rows = parts.concat();
        let bytes = encode(&format!("{HEADER}{rows}"), encoding);
        let (expected, open) = by_the_csv_crate(&rows);
        let names = selectors(&["1", "2", "3", "4", "5", "6", "7", "8"]);

        let dialect = dialect(Csv { pad: true, ..PLAIN }, encoding);
        let mut reader = Reader::open(&dialect, &names, input(&bytes)).unwrap();
        let layout = reader.layout();
        let read = rest(&mut reader, 8);
        if open {
            prop_assert_eq!(read.unwrap_err().rule, "truncated");
            return Ok(());
        }
        let read = read.unwrap();
        prop_assert_eq!(read.len(), expected.len());
        let mut behind = encode(HEADER, encoding).len();
        for (at, ((line, byte, length, texts, faults), expected)) in read.iter().zip(&expected).enumerate() {
            let texts: Vec<String> = texts.iter().flatten().cloned().collect();
            let (start, end) = (*byte as usize, (*byte + *length) as usize);
            let decoded = |range| encoding.decode_without_bom_handling(&bytes[range]).0.into_owned();
            let loose = has_loose_quote(&decoded(start..end));
            prop_assert_eq!(faults.len(), usize::from(loose));
            let expected = if loose { &[] } else { &expected[..expected.len().min(8)] };
            prop_assert_eq!(&texts, expected);

            let between = decoded(behind..start);
            prop_assert!(between.chars().all(|c| "; \t\r\n".contains(c)), "{:?}", between);
            let before = decoded(0..start).replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(*line, 1 + before.matches('\n').count() as u64);
            behind = end;

            let mark = Mark { ordinal: at as u64 + 1, line: *line, byte: *byte };
            let tail = input(&bytes[start..]);
            let mut resumed = Reader::resume(&dialect, &names, &layout, mark, tail).unwrap();
            prop_assert_eq!(&rest(&mut resumed, 8).unwrap(), &read[at..]);
        }
        let after = encoding.decode_without_bom_handling(&bytes[behind..]).0.into_owned();
        prop_assert!(after.chars().all(|c| "; \t\r\n".contains(c)), "{:?}", after);

        // The same records, with their true number of fields, and their places alone.
        let strict = Dialect { format: Format::Csv(PLAIN), encoding: encoding.into() };
        let faults = rest(&mut Reader::open(&strict, &names, input(&bytes)).unwrap(), 8).unwrap();
        for ((_, byte, length, _, faults), expected) in faults.iter().zip(&expected) {
            let row = &bytes[*byte as usize..(*byte + *length) as usize];
            if has_loose_quote(&encoding.decode_without_bom_handling(row).0) {
                continue;
            }
            let fault = match expected.len() {
                8 => vec![],
                1 => vec!["1 field".to_owned()],
                count => vec![format!("{count} fields")],
            };
            prop_assert_eq!(faults, &fault);
        }
        let bare = rest(&mut Reader::open(&strict, &[], input(&bytes)).unwrap(), 0).unwrap();
        let places = |all: &[Seen]| all.iter().map(|s| (s.0, s.1, s.2)).collect::<Vec<_>>();
        prop_assert_eq!(places(&bare), places(&read));
    }
}
