//! Outgoing: every case below `tests/outgoing` comes out byte for byte as lies beside it. What is
//! expected was made by another program, which `oracle.txt` names.

use std::fs;

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outgoing")
}

/// The mapping of a case, with every table that lies there.
fn mapping(case: &Path) -> Mapping {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let tables = fs::read_dir(folder().join("aka")).unwrap().map(|table| {
        let path = table.unwrap().path();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), (path.clone(), read(&path)))
    });
    sound(&Bundle {
        name: "m".to_owned(),
        file: PathBuf::from("m.toml"),
        text: read(&case.join("mapping.toml")),
        tables: tables.collect(),
    })
}

#[test]
fn every_case_comes_out_as_another_program_says() {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("mapping.toml").is_file())
        .collect();
    cases.sort();
    assert!(cases.len() >= 8, "{cases:?}");
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let mapping = mapping(&case);
        let documents = fs::read_to_string(case.join("documents.ndjson")).unwrap();
        let frame = mapping.frame(2);
        let (mut file, mut problems) = (frame.head.clone(), Vec::new());
        for (sequence, document) in (1..).zip(documents.lines()) {
            if sequence > 1 {
                file.extend_from_slice(&frame.between);
            }
            let document = document.as_bytes();
            let mapped = mapping.write(document, sequence, &context(), &mut file, &mut problems);
            assert_eq!(mapped, Mapped::Ready, "{name}: {problems:?}");
            file.extend_from_slice(&frame.behind);
        }
        file.extend_from_slice(&frame.foot);
        let expected = fs::read(case.join("expected")).unwrap();
        let shown = |bytes: Vec<u8>| String::from_utf8(mapping.shown(bytes)).unwrap();
        assert_eq!(shown(file.clone()), shown(expected.clone()), "{name}");
        assert!(file == expected, "{name}: the bytes differ");
        let told: String = problems
            .iter()
            .map(|problem| format!("{} {} {}\n", problem.record, problem.rule, problem.field))
            .collect();
        let warnings = fs::read_to_string(case.join("warnings.txt")).unwrap_or_default();
        assert_eq!(told, warnings, "{name}");
        assert!(case.join("oracle.txt").is_file(), "{name}");
    }
}
