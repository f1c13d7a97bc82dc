//! Outboxes: what they take, how their files are called, and whose folders they must not be.

use std::time::Duration;

use super::*;
use crate::config::{Folder as Place, Gather, Outbox};

const OUTBOX: &str = "\n[[outbox]]\nmapping = \"releases\"\npath = \"../out\"\n";

fn folder(outbox: &str) -> Folder {
    let folder = Folder::with(&format!("{CUSTOMER}{outbox}"));
    folder.write("out/x", "");
    folder
}

/// The first outbox of a customer whose outbox has these lines too.
fn outbox(lines: &str) -> Outbox {
    let customer = folder(&format!("{OUTBOX}{lines}")).acme();
    customer.outboxes.into_values().next().unwrap()
}

fn in_outbox(lines: &str) -> Vec<String> {
    folder(&format!("{OUTBOX}{lines}")).faults()
}

#[test]
fn an_outbox_needs_a_mapping_and_a_folder_only() {
    let outbox = outbox("");
    assert_eq!(outbox.name, "outbox");
    let events: Vec<&str> = outbox.events.iter().copied().collect();
    assert_eq!(
        events,
        ["block", "delete", "greenlights", "revoke", "transfer", "unblock", "update"]
    );
    assert_eq!(outbox.mapping, "releases");
    assert!(matches!(&outbox.folder, Place::Local(path) if path.ends_with("customers/../out")));
    assert_eq!((outbox.gather, outbox.marker_name("a.csv")), (None, None));
    assert_eq!(outbox.file_name(17, "block", "xml"), "00000017.xml");
}

#[test]
fn an_outbox_says_what_it_takes_and_how_files_are_called() {
    let outbox = outbox(
        "name = \"erp\"\nevents = [\"release-right\", \"accepted\"]\n\
         file = \"REL_{event}_{sequence}.csv\"\nmarker = \"{stem}.ok\"\n",
    );
    assert_eq!(outbox.name, "erp");
    assert_eq!(outbox.events.into_iter().collect::<Vec<_>>(), ["accepted", "release-right"]);
    let outbox = self::outbox("file = \"R_{event}_{sequence}.csv\"\nmarker = \"{stem}.ok\"\n");
    let file = outbox.file_name(123_456_789, "accepted", "csv");
    assert_eq!(file, "R_accepted_123456789.csv");
    assert_eq!(outbox.marker_name(&file).as_deref(), Some("R_accepted_123456789.ok"));
    let gather = self::outbox("gather = { every = \"15m\", rows = 500 }").gather;
    assert_eq!(gather, Some(Gather { every: Duration::from_secs(900), rows: Some(500) }));
}

#[test]
fn all_faults_of_an_outbox_are_told_at_once() {
    let faults = folder(
        "\n[[outbox]]\nname = \"a/b\"\nevents = [\"greenlight\"]\nmapping = \"release\"\n\
         path = \"../nowhere\"\nfile = \"x.csv\"\ngather = { rows = 0 }\nmarker = \"ok\"\nmark = 1\n",
    )
    .faults();
    let expected: Vec<String> = [
        (29, "the name \"a/b\" holds a slash or a control character"),
        (30, "there is no event \"greenlight\": did you mean \"greenlights\"?"),
        (31, "there is no mapping \"release\": did you mean \"releases\"?"),
        (32, "warning: the folder customers/../nowhere does not exist"),
        (33, "file must hold {sequence}: each file has a name of its own"),
        (34, "[outbox.gather] lacks \"every\""),
        (34, "rows is 0, but must be a whole number from 1 to 10000"),
        (35, "marker must hold {name} or {stem}: each file has a marker of its own"),
        (36, "unknown key \"mark\" in [outbox]: did you mean \"marker\"?"),
    ]
    .into_iter()
    .flat_map(|(line, what)| told(line, what))
    .collect();
    assert_eq!(faults, expected);
}

#[test]
fn a_gathered_file_holds_several_events_and_names_none() {
    assert_eq!(
        in_outbox("file = \"{event}_{sequence}.csv\"\ngather = { every = \"1m\" }"),
        told(31, "file cannot hold {event} where events are gathered: a file holds several")
    );
    assert_eq!(in_outbox("file = \".{sequence}\""), told(31, "file starts with a dot"));
    assert_eq!(
        in_outbox("events = []"),
        told(31, "events is empty: leave it out to take all of a release")
    );
}

#[test]
fn an_sftp_outbox_has_the_keys_of_a_source() {
    let sftp = "\n[[outbox]]\nmapping = \"releases\"\ntype = \"sftp\"\nhost = \"erp.example\"\n\
                user = \"acme\"\npassword = { file = \"../secret\" }\nknown_hosts = \"../known\"\n\
                path = \"/in/\"\n";
    let folder = folder(sftp);
    folder.write("known", "");
    let customer = folder.acme();
    let Place::Sftp(place) = &customer.outboxes["outbox"].folder else { panic!("it is local") };
    assert_eq!(place.to_string(), "sftp://acme@erp.example:22/in");
    let without = sftp.replace("password = { file = \"../secret\" }\n", "");
    folder.write("customers/acme.toml", &format!("{CUSTOMER}{without}after = \"keep\"\n"));
    let expected = [
        (
            32,
            "an outbox of type sftp needs key = { file = \"…\" }, password = { … } or agent = true \
             to log in",
        ),
        (35, "unknown key \"after\" in [outbox]: did you mean \"gather\"?"),
    ]
    .map(|(line, what)| told(line, what).concat());
    assert_eq!(folder.faults(), expected);
}

#[test]
fn an_outbox_must_not_feed_a_source() {
    let told_of = |path: &str| {
        let mut faults = folder(&OUTBOX.replace("../out", path)).faults();
        faults.retain(|fault| !fault.contains("warning"));
        faults.join("\n")
    };
    assert_eq!(
        told_of("../in"),
        "customers/acme.toml:30: [outbox] has the same folder as [sources.erp] in line 6: what is \
         written would be taken in"
    );
    assert_eq!(
        told_of("../in/archive/erp"),
        "customers/acme.toml:30: [outbox] lies in a folder of results of [sources.erp] in line 4: \
         name another"
    );
    assert_eq!(told_of("../in/erp"), "");
}

#[test]
fn two_outboxes_in_one_folder_must_not_take_each_others_names() {
    let second = |file: &str| {
        format!("{OUTBOX}file = \"R_{{sequence}}.csv\"{OUTBOX}name = \"b\"\nfile = \"{file}\"\n")
    };
    for apart in ["S_{sequence}.csv", "R_{sequence}.xml", "S{event}{sequence}"] {
        assert_eq!(folder(&second(apart)).faults(), [""; 0], "{apart}");
    }
    for alike in ["R_{event}_{sequence}.csv", "{sequence}.csv", "{event}{sequence}"] {
        assert_eq!(
            folder(&second(alike)).faults(),
            told(
                34,
                "[outbox] has the same folder as [outbox] in line 30, and their files may have the \
                 same names: let file begin differently"
            ),
            "{alike}"
        );
    }
    assert_eq!(
        folder(&format!("{OUTBOX}{}", OUTBOX.replace("../out", "../lights"))).faults()[0],
        "customers/acme.toml:32: the outbox in line 28 has the name \"outbox\": give another"
    );
    // Of two customers both are told.
    let folder = folder(OUTBOX);
    folder.write("customers/beta.toml", OUTBOX);
    let config = folder.config();
    assert_eq!(config.broken.keys().collect::<Vec<_>>(), ["acme", "beta"]);
}
