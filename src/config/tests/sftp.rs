//! Sources on SFTP servers.

use std::time::Duration;

use super::*;
use crate::config::{After, Ready, SecretSource, Sftp, Source, SshLogin};
use crate::schedule::Schedule;

const PARTNER: &str = r#"
[sources.partner]
type        = "sftp"
host        = "sftp.partner.example"
user        = "acme"
key         = { file = "keys/acme", passphrase = { file = "secrets/passphrase" } }
known_hosts = "known_hosts"
path        = "/outbound"
after       = { move = "/outbound/done" }
"#;

/// A customer's folder with this source.
fn with(source: &str) -> Folder {
    let folder = Folder::with(&format!("{CUSTOMER}{source}"));
    for name in ["keys/acme", "secrets/passphrase", "known_hosts"] {
        folder.write(&format!("customers/{name}"), "x\n");
    }
    folder
}

fn partner(source: &str) -> Source {
    with(source).acme().sources.remove("partner").unwrap()
}

fn sftp(source: &str) -> Sftp {
    match partner(source).folder {
        crate::config::Folder::Sftp(sftp) => (*sftp).clone(),
        crate::config::Folder::Local(_) => panic!("it is no SFTP source"),
    }
}

#[test]
fn an_sftp_source_has_defaults_that_change_nothing_at_the_partner() {
    let source = PARTNER.replace("after       = { move = \"/outbound/done\" }\n", "");
    let folder = with(&source);
    let partner = folder.acme().sources.remove("partner").unwrap();
    assert_eq!(partner.ready, Ready::Quiet(Duration::from_secs(10)));
    assert_eq!(partner.local_folder(), None);
    assert_eq!(partner.schedule, Some(Schedule::Every(Duration::from_secs(60))));
    let results = folder.path("state/uat/results/acme/partner");
    assert_eq!(partner.archive, results.join("archive"));
    assert_eq!(partner.rejects, results.join("rejects"));
    assert_eq!(partner.receipts, results.join("receipts"));
    let login = SshLogin {
        key: Some((
            SecretSource::File(folder.path("customers/keys/acme")),
            Some(SecretSource::File(folder.path("customers/secrets/passphrase"))),
        )),
        agent: false,
        password: None,
    };
    let expected = Sftp {
        host: "sftp.partner.example".to_owned(),
        port: 22,
        user: "acme".to_owned(),
        login,
        known_hosts: folder.path("customers/known_hosts"),
        path: "/outbound".to_owned(),
        after: After::Keep,
        sessions: 2,
    };
    let crate::config::Folder::Sftp(sftp) = partner.folder else { panic!() };
    assert_eq!(*sftp, expected);
    assert_eq!(sftp.to_string(), "sftp://acme@sftp.partner.example:22/outbound");
}

#[test]
fn what_becomes_of_a_fetched_file_is_one_of_three() {
    let after = |value: &str| sftp(&PARTNER.replace("{ move = \"/outbound/done\" }", value)).after;
    assert_eq!(after("{ move = \"/outbound/done\" }"), After::Move("/outbound/done".to_owned()));
    assert_eq!(after("\"delete\""), After::Delete);
    assert_eq!(after("\"keep\""), After::Keep);
}

#[test]
fn faults_of_an_sftp_source_are_told_with_their_lines() {
    let faults = |from: &str, to: &str| with(&PARTNER.replace(from, to)).faults();
    let line = |line: usize, what: &str| vec![format!("customers/acme.toml:{line}: {what}")];
    assert_eq!(
        faults("host        = \"sftp.partner.example\"\n", ""),
        line(28, "[sources.partner] lacks \"host\"")
    );
    assert_eq!(
        faults("\"acme\"", "\"ac me\""),
        line(31, "user holds blanks or control characters")
    );
    assert_eq!(
        faults(
            "key         = { file = \"keys/acme\", passphrase = { file = \"secrets/passphrase\" } }\n",
            ""
        ),
        line(
            31,
            "a source of type sftp needs key = { file = \"…\" }, password = { … } or agent = true \
             to log in"
        )
    );
    assert_eq!(
        faults("\"/outbound/done\"", "\"/outbound/\""),
        line(35, "move is the source's own folder: its files would be taken again")
    );
    assert_eq!(
        faults("{ move = \"/outbound/done\" }", "\"remove\""),
        line(35, "after is \"remove\", but must be \"delete\", \"keep\" or { move = \"folder\" }")
    );
}

#[test]
fn a_remote_folder_has_one_spelling() {
    let path = |text: &str| {
        sftp(&PARTNER.replace("path        = \"/outbound\"", &format!("path = \"{text}\""))).path
    };
    for same in ["/outbound", "/outbound/", "//outbound", "/./outbound/.", "/outbound//"] {
        assert_eq!(path(same), "/outbound", "{same}");
    }
    assert_eq!(path("./a//b/"), "a/b");
    assert_eq!((path("/"), path("./")), ("/".to_owned(), ".".to_owned()));
    let host = |text: &str| sftp(&PARTNER.replace("sftp.partner.example", text)).host;
    assert_eq!(host("SFTP.Partner.example."), "sftp.partner.example");

    assert_eq!(
        with(&PARTNER.replace("\"/outbound/done\"", "\"/outbound/./\"")).faults(),
        ["customers/acme.toml:35: move is the source's own folder: its files would be taken again"]
    );
    assert_eq!(
        with(&PARTNER.replace("\"/outbound/done\"", "\"/outbound/x/..\"")).faults(),
        ["customers/acme.toml:35: move holds \"..\": name the folder itself"]
    );
    let second = PARTNER
        .replace("[sources.partner]", "[sources.other]")
        .replace("\"/outbound\"", "\"//outbound/\"")
        .replace("sftp.partner", "SFTP.partner");
    assert!(with(&format!("{PARTNER}{second}")).faults()[0].contains("has the same folder as"));
}

#[test]
fn two_sources_with_one_remote_folder_are_an_error() {
    let second = PARTNER.replace("[sources.partner]", "[sources.other]");
    assert_eq!(
        with(&format!("{PARTNER}{second}")).faults(),
        ["customers/acme.toml:43: [sources.other] has the same folder as [sources.partner] in \
          line 34: a file can have one source only"]
    );
}
