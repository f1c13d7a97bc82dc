//! What is wrong with fields and tables, told with the line; and bundles as they lie in folders.

use super::*;

#[test]
fn faults_of_a_field_are_told_with_their_line() {
    let faults = |field: &str| {
        let text = format!("{CSV}[[fields]]\n{field}\n");
        let (mapping, faults) = compile(&bundle(&text, &[("t", "alias,code\na,b\n")]));
        assert!(mapping.is_none(), "{field}");
        faults.join("; ")
    };
    for (field, fault) in [
        ("from = \"A\"", "m.toml:3: [fields] lacks \"to\""),
        ("to = \"a\"", "m.toml:4: the field needs from or value"),
        ("to = \"a\"\nfrom = 5", "m.toml:5: from is 5, but must be a list of texts"),
        ("to = \"a..b\"\nfrom = \"A\"", "m.toml:4: to is \"a..b\": a name is empty"),
        ("to = \"a[].b\"\nfrom = \"A\"", "m.toml:4: to is \"a[].b\": [] may stand at its end only"),
        (
            "to = \"a\"\nvalue = 5\nunknown = \"keep\"\naka = 1",
            "m.toml:5: value is 5, but must be a text in quotes; \
             m.toml:7: aka is 1, but must be a text or a table",
        ),
        ("to = \"a\"\nfrom = []", "m.toml:5: from is empty"),
        ("to = \"a\"\nfrom = \"A\"\nvalue = \"b\"", "m.toml:6: a field has either from or value"),
        (
            "to = \"a\"\nfrom = [\"A\", \"B\"]",
            "m.toml:5: from is a list: say how its texts become one, with join = \" \" or take = \
             \"first\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\njoin = \"\"\ntake = \"first\"",
            "m.toml:7: a field has either join or take",
        ),
        (
            "to = \"a[]\"\nfrom = \"A\"\njoin = \"\"",
            "m.toml:6: join does not go with a `to` that ends in []",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\ntake = \"last\"",
            "m.toml:6: take is \"last\", but must be \"first\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\nclean = [\"trimm\"]",
            "m.toml:6: clean does not know \"trimm\": known are trim, uppercase, lowercase and { \
             remove = \"…\" }",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\ncheck = \"iso6364\"",
            "m.toml:6: unknown check \"iso6364\": did you mean \"iso6346\"?",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\ncheck = { rule = \"imo\", level = \"error\" }",
            "m.toml:6: level is \"error\", but must be \"off\", \"warn\" or \"reject\"",
        ),
        ("to = \"a\"\nfrom = \"A\"\nunknown = \"keep\"", "m.toml:6: unknown goes with aka"),
        (
            "to = \"a\"\nfrom = \"A\"\naka = \"t\"\nunknown = \"drop\"",
            "m.toml:7: unknown is \"drop\", but must be \"quarantine\", \"keep\" or { use = \"…\" }",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\naka = { table = \"t\", case = \"fold\" }",
            "m.toml:6: case is \"fold\", but must be \"ignore\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\nnumber = { decimal = \",\", group = \",\" }",
            "m.toml:6: decimal and group are both \",\"",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\nreqired = true",
            "m.toml:6: unknown key \"reqired\" in [fields]: did you mean \"required\"?",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\n[[fields]]\nto = \"a\"\nfrom = \"B\"\n\
             when = { field = \"A\", is = \"1\" }",
            "m.toml:7: \"a\" is set on line 4 already: one of them must go, or each needs a `when`",
        ),
        (
            "to = \"a.b\"\nfrom = \"A\"\n[[fields]]\nto = \"a\"\nfrom = \"B\"",
            "m.toml:7: \"a\" cannot be a value and hold \"a.b\" too (see line 4)",
        ),
        (
            "to = \"a\"\nfrom = \"A\"\n[[fields]]\nto = \"a.b\"\nfrom = \"B\"",
            "m.toml:7: \"a\" cannot be a value and hold \"a.b\" too (see line 4)",
        ),
    ] {
        assert_eq!(faults(field), fault, "{field}");
    }
}

#[test]
fn all_faults_of_mapping_and_tables_are_told_at_once() {
    let text = "[input]\nformat = \"csv\"\nskipp = 1\n\
                [[fields]]\nto = \"a\"\nfrom = \"A\"\naka = \"t\"\n\
                [[fields]]\nto = \"b\"\nfrom = \"A\"\naka = { table = \"t\", case = \"ignore\" }\n\
                [other]\n";
    let (mapping, faults) = compile(&bundle(text, &[("t", "alias,code\na,1\na,2\nb\n")]));
    assert!(mapping.is_none());
    assert_eq!(
        faults,
        [
            "m.toml:3: unknown key \"skipp\" in [input]: did you mean \"skip\"?",
            "m.toml:12: unknown key \"other\": known here are direction, fields, input, \
             output",
            "mappings/aka/t.csv:3: \"a\" is 2 here, but 1 on line 2: correct one, or give them \
             days that do not overlap",
            "mappings/aka/t.csv:4: the header has 2 columns, but the row has 1",
        ]
    );
    let (mapping, faults) = compile(&bundle("[input\n", &[]));
    assert!(mapping.is_none());
    assert_eq!(faults.len(), 1);
    assert_eq!(
        compile(&bundle("", &[])).1,
        ["m.toml:1: \"input\" is missing", "m.toml:1: a mapping needs at least one [[fields]]"]
    );
}

#[test]
fn a_warning_does_not_stop_a_mapping_nor_do_the_faults_of_another() {
    let faults = Faults::default();
    faults.error(Path::new("other.toml"), 1, "elsewhere");
    let text = format!(
        "{CSV}[[fields]]\nto = \"a\"\nfrom = \"A\"\n\
         date = {{ read = \"%FT%TZ\", timezone = \"UTC\" }}\n"
    );
    assert!(Mapping::compile(&bundle(&text, &[]), &environments(), &faults).is_some());
    assert_eq!(faults.take().len(), 2);
}

#[test]
fn a_bundle_is_read_from_the_folder_of_mappings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("aka")).unwrap();
    std::fs::write(path.join("releases.toml"), RELEASES).unwrap();
    std::fs::write(path.join("aka/terminals.csv"), TERMINALS).unwrap();
    let faults = Faults::default();
    let load = |name: &str| Bundle::load(path, name, &environments(), &faults);
    let told = || {
        let root = format!("{}/", path.display());
        let told: Vec<String> =
            faults.take().iter().map(|fault| fault.to_string().replace(&root, "")).collect();
        told.join("; ")
    };

    let bundle = load("releases").unwrap();
    assert_eq!(told(), "");
    assert_eq!(bundle.text, RELEASES);
    assert_eq!(bundle.tables["terminals"], (path.join("aka/terminals.csv"), TERMINALS.to_owned()));

    let mut elsewhere = bundle.clone();
    elsewhere.file = PathBuf::from("elsewhere.toml");
    assert_eq!(bundle.hash(), elsewhere.hash());
    assert_eq!(bundle.hash().len(), 64);
    elsewhere.tables.get_mut("terminals").unwrap().1.push('\n');
    assert_ne!(bundle.hash(), elsewhere.hash());

    assert!(load("release").is_none());
    assert_eq!(told(), "release.toml: there is no mapping \"release\": did you mean \"releases\"?");
    assert!(load("zzz").is_none());
    assert_eq!(told(), "zzz.toml: there is no mapping \"zzz\": known are releases");
    assert!(load("../releases").is_none());
    assert!(told().contains("is no name of a mapping"));

    let wrong =
        format!("{CSV}skipp = 1\n[[fields]]\nto = \"a\"\nfrom = \"A\"\naka = \"terminal\"\n");
    std::fs::write(path.join("wrong.toml"), wrong).unwrap();
    assert!(load("wrong").is_none());
    assert_eq!(
        told(),
        "wrong.toml:3: unknown key \"skipp\" in [input]: did you mean \"skip\"?; \
         wrong.toml:7: there is no table \"terminal\": did you mean \"terminals\"?"
    );
    std::fs::write(path.join("aka/terminals.csv"), b"alias,code\nCaf\xe9,1\n").unwrap();
    assert!(load("releases").is_none());
    assert_eq!(told(), "aka/terminals.csv:2: is not UTF-8: save it as UTF-8");
}
