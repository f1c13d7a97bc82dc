//! Routes: names, patterns, repeats.

use super::*;

#[test]
fn a_route_names_what_is_there() {
    assert_eq!(
        acme_with("source = \"erp\"", "source = \"sap\""),
        told(23, "there is no source \"sap\": known are erp")
    );
    assert_eq!(
        acme_with("mapping = \"releases\"", "mapping = \"release\""),
        told(25, "there is no mapping \"release\": did you mean \"releases\"?")
    );
    assert_eq!(
        acme_with("channel = \"releases\"", "channel = \"relaeses\""),
        told(26, "there is no channel \"relaeses\": did you mean \"releases\"?")
    );
    assert_eq!(
        acme_with("\"*.csv\"", "\"in/*.csv\""),
        told(24, "files: \"in/*.csv\" holds a slash: it is for a file's name, not its path")
    );
    assert_eq!(
        below("[[routes]]", "repeats = \"both\""),
        told(23, "repeats is \"both\", but must be \"skip\" or \"send\"")
    );
    assert_eq!(
        acme_with("[[routes]]", "[routes]"),
        told(
            22,
            "routes is a table, but must be an array of tables: [[routes]], or one for each of uat, production"
        )
    );
}

#[test]
fn repeats_are_sent_to_scr_unless_the_route_says_otherwise() {
    let of = |channel: &str, line: &str| {
        let text = changed(
            CUSTOMER,
            "\nchannel = \"releases\"",
            &format!("\n{line}\nchannel = \"{channel}\""),
        );
        Folder::with(&text).acme().routes[0].send_repeats
    };
    assert!(!of("releases", ""));
    assert!(of("assignments", ""));
    assert!(of("releases", "repeats = \"send\""));
    assert!(!of("assignments", "repeats = \"skip\""));
}

#[test]
fn a_route_that_never_matches_is_a_warning() {
    let second = "[[routes]]\nsource = \"erp\"\nfiles = \"*.CSV\"\nmapping = \"drivers\"\n\
                  channel = \"assignments\"\n";
    assert_eq!(
        Folder::with(&format!("{CUSTOMER}{second}")).faults(),
        told(27, "warning: this route never matches: the one in line 22 takes the same files")
    );
}
