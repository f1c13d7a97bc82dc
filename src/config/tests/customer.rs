//! A customer's file as a whole.

use super::*;

#[test]
fn a_broken_customer_is_left_out_and_the_others_run() {
    let folder = Folder::with(CUSTOMER);
    folder.write("customers/typo.toml", "vatt = 1\n");
    folder.write("customers/torn.toml", "name = \"x\n");
    folder.write("customers/a b.toml", "");
    folder.write("customers/latin.toml", "");
    std::fs::write(folder.path("customers/latin.toml"), b"\nname = \"caf\xe9\"").unwrap();
    std::fs::create_dir(folder.path("customers/folder.toml")).unwrap();
    let loaded = folder.load().unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.customers.keys().collect::<Vec<_>>(), ["acme"]);
    let broken = &loaded.config.broken;
    assert_eq!(broken.keys().collect::<Vec<_>>(), ["a b", "folder", "latin", "torn", "typo"]);
    let no_source = "warning: there is no [sources.…]: no file is taken in";
    assert_eq!(
        folder.told(broken.values().flatten()),
        [
            "customers/a b.toml: \"a b\" cannot be a customer's id: name the file with letters, \
             digits, - and _ only",
            &format!("customers/a b.toml: {no_source}"),
            "customers/folder.toml: cannot be read: Is a directory (os error 21)",
            "customers/latin.toml:2: is not UTF-8: save the file as UTF-8",
            "customers/torn.toml:1: invalid basic string, expected `\"`",
            &format!("customers/typo.toml: {no_source}"),
            "customers/typo.toml:1: unknown key \"vatt\": did you mean \"vat\"?",
        ]
    );
}

#[test]
fn an_id_has_letters_of_either_case_digits_and_two_signs() {
    let folder = Folder::new();
    for id in ["acme", "ACME-2", "a_b", "7"] {
        folder.write(&format!("customers/{id}.toml"), "");
    }
    for id in ["a.b", "é", "a+b"] {
        folder.write(&format!("customers/{id}.toml"), "");
    }
    let config = folder.config();
    assert_eq!(config.customers.keys().collect::<Vec<_>>(), ["7", "ACME-2", "a_b", "acme"]);
    assert_eq!(config.broken.keys().collect::<Vec<_>>(), ["a+b", "a.b", "é"]);
}

#[test]
fn all_faults_of_a_file_are_told_at_once_in_the_order_of_lines() {
    let faults = Folder::with(
        "vatt = 1\nactive = \"yes\"\n[sources.erp]\ntype = \"locl\"\n[channels.c]\n\
         type = \"ingestion\"\n[[routes]]\nsource = \"epr\"\nfiles = \"[\"\nmapping = \"x\"\n",
    )
    .faults();
    assert_eq!(
        faults,
        [
            "customers/acme.toml:1: unknown key \"vatt\": did you mean \"vat\"?",
            "customers/acme.toml:2: active is \"yes\", but must be true or false",
            "customers/acme.toml:4: type is \"locl\", but must be \"local\" or \"sftp\": \
             did you mean \"local\"?",
            "customers/acme.toml:5: [channels.c] lacks \"channel_id\"",
            "customers/acme.toml:5: [channels.c] lacks \"login\"",
            "customers/acme.toml:7: [routes] lacks \"channel\"",
            "customers/acme.toml:8: there is no source \"epr\": did you mean \"erp\"?",
            "customers/acme.toml:9: files: \"[\" is no pattern: unclosed character class; \
             missing ']'",
            "customers/acme.toml:10: there is no mapping \"x\": known are drivers, releases",
        ]
    );
}

#[test]
fn a_customer_without_sources_or_routes_is_warned() {
    assert_eq!(
        Folder::with("").faults(),
        ["customers/acme.toml: warning: there is no [sources.…]: no file is taken in"]
    );
    let routes = CUSTOMER.find("[[routes]]").unwrap();
    assert_eq!(
        Folder::with(&CUSTOMER[..routes]).faults(),
        ["customers/acme.toml: warning: there is no [[routes]]: every file is quarantined"]
    );
}

#[test]
fn a_customer_without_a_name_has_its_id() {
    assert_eq!(Folder::with(&changed(CUSTOMER, "name = \"Acme\"\n", "")).acme().name, "acme");
    assert_eq!(acme_with("name = \"Acme\"", "name = \" \""), told(1, "name is empty"));
}
