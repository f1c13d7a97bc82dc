//! Cuts: where messages begin and end, and that a restart finds the same places.

use std::io::Write;

use jiff::civil::date;
use serde_json::{Value, json};

use super::*;
use crate::config::{Environments, Faults};
use crate::inspect::inspect;
use crate::map::Bundle;
use crate::model::Identity;

/// A file whose records are one column, which must be a number, and a cursor over it.
struct Scene {
    file: tempfile::NamedTempFile,
    cursor: Cursor,
}

fn scene(rows: &[String], output: &str, records: u64, bytes: u64) -> Scene {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "N;KIND").unwrap();
    for row in rows {
        writeln!(file, "{row}").unwrap();
    }
    let text = format!(
        r#"
[input]
format = "csv"
only   = {{ field = "KIND", is = ["", "x"] }}
[output]
format = "{output}"
[[fields]]
to     = "n"
from   = "N"
number = {{ decimal = "," }}
"#
    );
    let (name, tables) = ("m".to_owned(), Default::default());
    let bundle = Bundle { name, file: "m.toml".into(), text, tables };
    let faults = Faults::default();
    let mapping = Mapping::compile(&bundle, &Environments::default(), &faults);
    let mapping = mapping.unwrap_or_else(|| panic!("{:?}", faults.take()));
    let (_, inspection) = inspect(file.path(), &mapping.dialect, &mapping.selectors).unwrap();
    let inspection = inspection.unwrap();
    let pinned = Pinned {
        identity: Identity([0; 32]),
        total: inspection.records,
        mapping: "m".to_owned(),
        bundle: String::new(),
        channel: "c".to_owned(),
        batch_records: records,
        batch_bytes: bytes,
        date: date(2026, 11, 22),
        generation: 0,
        repeat_of: None,
    };
    let cursor = Cursor::new(
        file.path().to_owned(),
        Arc::new(inspection),
        Arc::new(mapping),
        "acme",
        &pinned,
        Arc::default(),
    );
    Scene { file, cursor }
}

fn numbers(count: u64) -> Vec<String> {
    (1..=count).map(|n| format!("{n};")).collect()
}

fn body(piece: &Piece) -> Value {
    serde_json::from_slice(&piece.body).unwrap()
}

/// All pieces from `start` on.
fn pieces(cursor: &mut Cursor, start: u64) -> Vec<Piece> {
    let mut next = start;
    let mut pieces = Vec::new();
    loop {
        let piece = cursor.cut(next).unwrap();
        next = cursor.position();
        let ended = piece.ended;
        pieces.push(piece);
        if ended {
            return pieces;
        }
    }
}

fn ranges(pieces: &[Piece]) -> Vec<Vec<(u64, u64)>> {
    pieces.iter().map(|piece| piece.records.clone()).collect()
}

#[test]
fn a_message_holds_as_many_records_as_it_may() {
    let mut scene = scene(&numbers(5), "json", 2, 1 << 20);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(ranges(&pieces), [vec![(1, 2)], vec![(3, 4)], vec![(5, 5)]]);
    assert_eq!(body(&pieces[1]), json!([{ "n": 3 }, { "n": 4 }]));
    assert_eq!(body(&pieces[2]), json!([{ "n": 5 }]));
    assert_eq!((pieces[0].line, pieces[1].line), (2, 4));
}

#[test]
fn a_record_that_does_not_fit_opens_the_next_message() {
    // Two records with brackets and comma take 17 bytes.
    let mut scene = scene(&numbers(5), "json", 100, 17);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(ranges(&pieces), [vec![(1, 2)], vec![(3, 4)], vec![(5, 5)]]);
    assert_eq!(pieces[0].body, br#"[{"n":1},{"n":2}]"#);
    assert_eq!(pieces[1].body, br#"[{"n":3},{"n":4}]"#);
    assert_eq!((pieces[1].line, pieces[2].line), (4, 6));
}

#[test]
fn where_only_like_goes_with_like_a_restart_cuts_at_the_same_places() {
    // By tens: 1 and 2, 11 and 12 …; what is above 90 goes alone.
    let alike: Alike = |body| {
        let n = serde_json::from_slice::<Value>(body).unwrap()["n"].as_u64().unwrap();
        (n < 90).then(|| (n / 10).to_string())
    };
    let rows = ["1;", "2;", "11;", "x;", "12;", "91;", "92;", "13;", "14;", "15;", "16;"];
    let rows = rows.map(str::to_owned);
    let open = || {
        let Scene { file, cursor } = scene(&rows, "json", 3, 1 << 20);
        (file, cursor.keeping_apart(Some(alike)))
    };
    let (_file, mut cursor) = open();
    let all = pieces(&mut cursor, 1);
    let expected: [&[(u64, u64)]; 6] =
        [&[(1, 2)], &[(3, 3), (5, 5)], &[(6, 6)], &[(7, 7)], &[(8, 10)], &[(11, 11)]];
    assert_eq!(ranges(&all), expected);
    let lines: Vec<&[u64]> = all.iter().map(|piece| piece.lines.as_slice()).collect();
    let expected: [&[u64]; 6] = [&[2, 3], &[4, 6], &[7], &[8], &[9, 10, 11], &[12]];
    assert_eq!(lines, expected);
    for (at, piece) in all.iter().enumerate() {
        let (_file, mut cursor) = open();
        assert_eq!(ranges(&pieces(&mut cursor, piece.start)), ranges(&all[at..]));
    }
}

#[test]
fn a_record_larger_than_a_message_goes_alone() {
    let mut scene = scene(&numbers(3), "json", 100, 1);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(ranges(&pieces), [[(1, 1)], [(2, 2)], [(3, 3)]]);
    assert_eq!(body(&pieces[2]), json!([{ "n": 3 }]));
}

#[test]
fn a_message_of_one_record_is_an_object() {
    let mut scene = scene(&numbers(2), "json", 1, 1 << 20);
    assert_eq!(scene.cursor.cut(1).unwrap().body, br#"{"n":1}"#);
    assert_eq!(scene.cursor.cut(2).unwrap().body, br#"{"n":2}"#);
}

#[test]
fn ndjson_ends_every_record_with_a_line_end() {
    let mut scene = scene(&numbers(3), "ndjson", 100, 16);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(pieces[0].body, b"{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(pieces[1].body, b"{\"n\":3}\n");
}

#[test]
fn every_message_in_xml_is_a_document_of_its_own() {
    const XML: &str = "xml\"\nroot = \"Ns\"\nrecord = \"N\"\nnamespace = \"urn:n?a&b";
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Ns xmlns=\"urn:n?a&amp;b\">\n";
    let text = |records: &str| format!("{head}{records}</Ns>\n");
    let limit = text("<N><n>1</n></N>\n<N><n>2</n></N>\n").len() as u64;
    let mut scene = scene(&numbers(3), XML, 100, limit - 1);
    assert_eq!(ranges(&pieces(&mut scene.cursor, 1)), [[(1, 1)], [(2, 2)], [(3, 3)]]);
    let mut scene = self::scene(&numbers(3), XML, 100, limit);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(ranges(&pieces), [[(1, 2)], [(3, 3)]]);
    let body = |piece: &Piece| String::from_utf8(piece.body.clone()).unwrap();
    assert_eq!(body(&pieces[0]), text("<N><n>1</n></N>\n<N><n>2</n></N>\n"));
    assert_eq!(body(&pieces[1]), text("<N><n>3</n></N>\n"));
}

#[test]
fn every_message_in_csv_has_a_header_of_its_own() {
    let mut scene = scene(&numbers(3), "csv", 100, 8);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(pieces[0].body, b"n\r\n1\r\n");
    let mut scene = self::scene(&numbers(3), "csv", 100, 9);
    assert_eq!(self::pieces(&mut scene.cursor, 1)[0].body, b"n\r\n1\r\n2\r\n");
    // A message of one record is framed too.
    let mut scene = self::scene(&numbers(3), "csv", 1, 1 << 20);
    assert_eq!(scene.cursor.cut(2).unwrap().body, b"n\r\n2\r\n");
}

#[test]
fn a_message_without_a_record_has_no_frame() {
    let mut scene = scene(&["a;".to_owned(), "b;".to_owned()], "csv", 100, 1 << 20);
    let piece = scene.cursor.cut(1).unwrap();
    assert_eq!((piece.body.len(), piece.rejected), (0, vec![(1, 2)]));
}

#[test]
fn what_is_rejected_or_not_wanted_leaves_no_trace_in_the_body() {
    let rows = ["a;", "1;", "2;y", "b;", "c;", "3;x"].map(str::to_owned);
    let mut scene = scene(&rows, "json", 2, 1 << 20);
    let piece = scene.cursor.cut(1).unwrap();
    assert_eq!(body(&piece), json!([{ "n": 1 }, { "n": 3 }]));
    assert_eq!(piece.records, [(2, 2), (6, 6)]);
    assert_eq!(piece.rejected, [(1, 1), (4, 5)]);
    assert_eq!(piece.unwanted, [(3, 3)]);
    let told: Vec<u64> = piece.problems.iter().map(|problem| problem.record).collect();
    assert_eq!((told, piece.line), (vec![1, 4, 5], 3));
}

#[test]
fn a_file_of_nothing_but_faulty_records_is_cut_too() {
    let rows = vec!["a;".to_owned(); REACH as usize + 5];
    let mut scene = scene(&rows, "json", 1000, 1 << 20);
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].rejected, [(1, REACH)]);
    assert_eq!(pieces[1].rejected, [(REACH + 1, REACH + 5)]);
    assert!(pieces.iter().all(|piece| piece.body.is_empty() && piece.records.is_empty()));
}

#[test]
fn a_restart_cuts_at_the_same_places() {
    let count = 2 * STRIDE + 100;
    let cut = |start: u64| {
        let mut scene = scene(&numbers(count), "json", 1000, 9_000);
        pieces(&mut scene.cursor, start)
    };
    let whole = cut(1);
    for from in [1, whole.len() / 3, whole.len() - 1] {
        let again = cut(whole[from].start);
        assert_eq!(ranges(&again), ranges(&whole[from..]));
        assert!(again.iter().zip(&whole[from..]).all(|(a, b)| a.body == b.body));
    }
    let carried: u64 = whole.iter().map(Piece::count).sum();
    assert_eq!(carried, count);
}

/// Records as a file of many may have them: some are rejected, some not wanted.
fn mixed(count: u64) -> Vec<String> {
    let row = |n: u64| match n % 97 {
        13 => format!("x{n};"),
        29 => format!("{n};y"),
        _ => format!("{n};"),
    };
    (1..=count).map(row).collect()
}

/// Everything about a piece that the server or the ledger sees.
type Told<'p> = (u64, u64, &'p [(u64, u64)], &'p [u8], usize, bool);

fn told(pieces: &[Piece]) -> Vec<Told<'_>> {
    let told = pieces.iter().map(|piece| {
        let Piece { start, line, body, records, problems, ended, .. } = piece;
        (*start, *line, records.as_slice(), body.as_slice(), problems.len(), *ended)
    });
    told.collect()
}

mod whatever_happens {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// A crash may come behind any piece, and the limits are what the claim pinned. The
        /// `Idempotency-Key` hashes the first and the last ordinal.
        #[test]
        fn a_restart_cuts_the_same_records_and_bodies(
            count in 1..3 * STRIDE,
            output in prop::sample::select(vec!["json", "ndjson", "csv"]),
            records in 1_u64..3000, bytes in 1_u64..60_000,
            crashes in prop::collection::vec(any::<prop::sample::Index>(), 3),
        ) {
            let rows = mixed(count);
            let mut plain = scene(&rows, output, records, bytes);
            let whole = pieces(&mut plain.cursor, 1);
            for crash in crashes {
                let from = crash.index(whole.len());
                let mut again = scene(&rows, output, records, bytes);
                let rest = pieces(&mut again.cursor, whole[from].start);
                prop_assert!(told(&rest) == told(&whole[from..]));
            }
        }
    }
}

#[test]
fn a_warning_goes_with_the_message_that_carries_its_record() {
    let mut scene = scene(
        &numbers(4),
        "json\"\n[[fields]]\nto = \"w\"\nfrom = \"N\"\ncheck = { \
        rule = \"scac\", level = \"warn\" }\n#",
        100,
        34,
    );
    let pieces = pieces(&mut scene.cursor, 1);
    assert_eq!(ranges(&pieces), [vec![(1, 2)], vec![(3, 4)]]);
    for piece in &pieces {
        let told: Vec<u64> = piece.problems.iter().map(|problem| problem.record).collect();
        assert_eq!(told, [piece.start, piece.start + 1]);
    }
}

#[test]
fn records_that_waited_are_mapped_again_as_one_message() {
    let mut scene = scene(&numbers(10), "json", 3, 20);
    scene.cursor.cut(1).unwrap();
    let piece = scene.cursor.again(4, 9, |ordinal| ordinal % 2 == 0).unwrap();
    assert_eq!(piece.records, [(4, 4), (6, 6), (8, 8)]);
    assert_eq!(body(&piece), json!([{ "n": 4 }, { "n": 6 }, { "n": 8 }]));
    assert_eq!(piece.line, 5);
    assert_eq!(body(&scene.cursor.cut(2).unwrap()), json!([{ "n": 2 }, { "n": 3 }]));
}

#[test]
fn a_file_that_lost_records_is_not_taken_for_its_end() {
    let mut scene = scene(&numbers(3), "json", 2, 1 << 20);
    scene.file.as_file().set_len("N;KIND\n1;\n2;\n".len() as u64).unwrap();
    assert_eq!(scene.cursor.cut(1).unwrap().records, [(1, 2)]);
    let unsound = scene.cursor.cut(3).unwrap_err();
    assert_eq!((unsound.rule, unsound.byte), ("changed", 13));
}
