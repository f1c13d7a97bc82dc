//! Readers: bytes to records, format by format. All files hold the same records of four values.

use std::io::Cursor;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use lighterman::model::Record;
use lighterman::read::Reader;

const RECORDS: usize = 10_000;

fn read(bencher: Bencher<'_, '_>, input: &str, bytes: String) {
    let fields = ["ID", "CONT", "TERMINAL", "NAME"]
        .map(|name| format!("[[fields]]\nto = \"{name}\"\nfrom = \"{name}\"\n"));
    let mapping = super::compile(&format!("[input]\n{input}\n{}", fields.concat()));
    let bytes = bytes.into_bytes();
    bencher
        .counter(ItemsCount::new(RECORDS))
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| Box::new(Cursor::new(bytes.clone())))
        .bench_values(|input| {
            let mut reader = Reader::open(&mapping.dialect, &mapping.selectors, input)
                .unwrap_or_else(|unsound| panic!("{unsound}"));
            let mut record = Record::default();
            let mut count = 0;
            while reader.next(&mut record).unwrap_or_else(|unsound| panic!("{unsound}")) {
                count += 1;
            }
            assert_eq!(count, RECORDS);
        });
}

/// Every record written by `row`, with what stands before and behind them all.
fn file(before: &str, row: impl Fn(usize, &str) -> String, behind: &str) -> String {
    let rows = (0..RECORDS).map(|n| row(n, &format!("CSQU{:07}", n * 31)));
    before.to_owned() + &rows.collect::<String>() + behind
}

#[divan::bench]
fn csv(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| format!("{n:08};{cont};QUAY {};HALLE TRADING NV\n", 100 + n % 120);
    read(bencher, "format = \"csv\"", file("ID;CONT;TERMINAL;NAME\n", row, ""));
}

#[divan::bench]
fn csv_with_quotes(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| {
        format!("\"{n:08}\";\"{cont}\";\"QUAY {}\";\"HALLE \"\"TRADING\"\" NV\"\n", 100 + n % 120)
    };
    read(bencher, "format = \"csv\"", file("ID;CONT;TERMINAL;NAME\n", row, ""));
}

#[divan::bench]
fn csv_in_windows_1252(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| format!("{n:08};{cont};QUAY {};HALLE TRADING NV\n", 100 + n % 120);
    let input = "format = \"csv\"\nencoding = \"windows-1252\"";
    read(bencher, input, file("ID;CONT;TERMINAL;NAME\n", row, ""));
}

#[divan::bench]
fn fixed(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| format!("{n:08}{cont}QUAY {}HALLE TRADING NV\n", 100 + n % 120);
    let input = "format = \"fixed\"\ncolumns = [{ name = \"ID\", start = 1, length = 8 }, { name = \
                 \"CONT\", start = 9, length = 11 }, { name = \"TERMINAL\", start = 20, length = 8 }, \
                 { name = \"NAME\", start = 28, length = 16 }]";
    read(bencher, input, file("", row, ""));
}

#[divan::bench]
fn xml(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| {
        let terminal = 100 + n % 120;
        format!(
            "<O><ID>{n:08}</ID><CONT>{cont}</CONT><TERMINAL>QUAY {terminal}</TERMINAL>\
             <NAME>HALLE &amp; CO</NAME></O>\n"
        )
    };
    read(bencher, "format = \"xml\"\nrecords = \"Os/O\"", file("<Os>\n", row, "</Os>\n"));
}

fn object(n: usize, cont: &str) -> String {
    let terminal = 100 + n % 120;
    format!(
        "{{\"ID\":\"{n:08}\",\"CONT\":\"{cont}\",\"TERMINAL\":\"QUAY {terminal}\",\"NAME\":\"HALLE \
         TRADING NV\"}}"
    )
}

#[divan::bench]
fn json(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| format!("{}{}", if n == 0 { "" } else { ",\n" }, object(n, cont));
    read(bencher, "format = \"json\"", file("[", row, "]\n"));
}

#[divan::bench]
fn ndjson(bencher: Bencher<'_, '_>) {
    let row = |n, cont: &str| object(n, cont) + "\n";
    read(bencher, "format = \"ndjson\"", file("", row, ""));
}
