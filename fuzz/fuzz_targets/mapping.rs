//! Any text as a mapping and as its table: compiled or told what is wrong, always the same; and what
//! is compiled maps any record to JSON.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;

use lighterman::config::{Environments, Faults, Weight};
use lighterman::map::{Bundle, Context, Mapped, Mapping, Output};
use lighterman::model::Record;
use lighterman::read::Reader;
use lighterman_fuzz::pieces;

libfuzzer_sys::fuzz_target!(|data: &str| {
    let mut parts = data.splitn(3, '\u{0}');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (text, table, file) = (part(), part(), part());
    let bundle = Bundle {
        name: "m".to_owned(),
        file: PathBuf::from("m.toml"),
        text,
        tables: BTreeMap::from([("t".to_owned(), (PathBuf::from("t.csv"), table))]),
    };
    let compile = || {
        let faults = Faults::default();
        let mapping = Mapping::compile(&bundle, &Environments::default(), &faults);
        (mapping, faults.take())
    };
    let (mapping, faults) = compile();
    assert_eq!(compile().1, faults);
    let wrong = faults.iter().any(|fault| fault.weight == Weight::Error);
    assert_eq!(mapping.is_none(), wrong, "{faults:?}");
    let lines = bundle.text.lines().count().max(bundle.tables["t"].1.lines().count()) + 1;
    assert!(faults.iter().all(|fault| fault.line <= lines), "{faults:?}");

    let Some(mapping) = mapping else { return };
    let input = pieces(file.as_bytes(), usize::MAX);
    let Ok(mut reader) = Reader::open(&mapping.dialect, &mapping.selectors, input) else { return };
    let context = Context { customer: "c".to_owned(), date: jiff::civil::date(2026, 11, 22) };
    let mut record = Record::default();
    while let Ok(true) = reader.next(&mut record) {
        let (mut out, mut problems) = (Vec::new(), Vec::new());
        let mapped = mapping.apply(&record, &context, &mut out, &mut problems);
        let rejected = problems.iter().any(|p| p.level == lighterman::model::Level::Reject);
        assert_eq!(rejected, mapped == Mapped::Rejected, "{problems:?}");
        assert_eq!(out.is_empty(), mapped != Mapped::Ready);
        if mapped == Mapped::Ready && matches!(mapping.output, Output::Json | Output::Ndjson) {
            let value: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(&out);
            assert!(value.is_ok_and(|value| value.get().starts_with('{')));
        }
    }
});
