//! Sources: folders, readiness, result folders.

use std::time::Duration;

use super::*;
use crate::config::{Order, Ready};

fn in_source(lines: &str) -> Vec<String> {
    below("[sources.erp]", lines)
}

/// The source of a customer whose source has these lines too.
fn source(lines: &str) -> crate::config::Source {
    let text = changed(CUSTOMER, "[sources.erp]", &format!("[sources.erp]\n{lines}"));
    Folder::with(&text).acme().sources.remove("erp").unwrap()
}

#[test]
fn a_source_says_when_a_file_is_finished() {
    assert_eq!(source("ready = { when = \"quiet\" }").ready, Ready::Quiet(Duration::from_secs(2)));
    assert_eq!(
        source("ready = { when = \"quiet\", for = \"0s\" }").ready,
        Ready::Quiet(Duration::ZERO)
    );
    assert_eq!(source("ready = { when = \"renamed\" }").ready, Ready::Renamed);
    assert_eq!(
        source("ready = { when = \"marker\", name = \"{stem}.ok\" }").ready,
        Ready::Marker("{stem}.ok".to_owned())
    );
}

#[test]
fn faults_of_ready_are_told() {
    let ready = |inline: &str| in_source(&format!("ready = {inline}"));
    assert_eq!(ready("{ }"), told(5, "[sources.erp.ready] lacks \"when\""));
    assert_eq!(
        ready("{ when = \"quite\" }"),
        told(
            5,
            "when is \"quite\", but must be \"quiet\" or \"renamed\" or \"marker\": \
             did you mean \"quiet\"?"
        )
    );
    assert_eq!(
        ready("{ when = \"renamed\", for = \"2s\" }"),
        told(5, "for is for when = \"quiet\" only")
    );
    assert_eq!(
        ready("{ when = \"quiet\", name = \"{name}.ok\" }"),
        told(5, "name is for when = \"marker\" only")
    );
    assert_eq!(ready("{ when = \"marker\" }"), told(5, "[sources.erp.ready] lacks \"name\""));
    for (name, fault) in [
        ("ready.ok", "name must hold {name} or {stem}: each file has a marker of its own"),
        ("{name}", "name would be the file itself"),
        ("{name}.{ext}", "name knows {name} and {stem} only"),
        ("ok/{name}", "name holds a slash: the marker lies beside the file"),
    ] {
        assert_eq!(ready(&format!("{{ when = \"marker\", name = \"{name}\" }}")), told(5, fault));
    }
}

#[test]
fn a_source_has_an_order_and_names_to_ignore() {
    assert_eq!(source("order = \"modified\"").order, Order::Modified);
    let ignore = source("ignore = [\"*.bak\", \"~*\"]").ignore;
    assert!(ignore.is_match("A.BAK") && ignore.is_match("~x") && !ignore.is_match("a.tmp"));
    assert!(source("ignore = []").ignore.is_empty());
    assert_eq!(
        in_source("order = \"date\""),
        told(5, "order is \"date\", but must be \"name\" or \"modified\"")
    );
    assert_eq!(
        in_source("ignore = [\"a/*\"]"),
        told(5, "\"a/*\" in ignore holds a slash: it is for a file's name, not its path")
    );
    assert_eq!(in_source("ignore = [1]"), told(5, "ignore is a list, but must be a list of texts"));
}

#[test]
fn results_are_kept_for_good_or_for_a_time() {
    assert_eq!(source("").keep, None);
    let days = Duration::from_secs(90 * 24 * 3600);
    assert_eq!(source("keep = \"90d\"").keep, Some(days));
    assert_eq!(in_source("keep = 90").len(), 1);
}

#[test]
fn result_folders_are_relative_to_the_customers_file() {
    let text = changed(
        CUSTOMER,
        "path = \"../in\"",
        "path = \"../in\"\narchive = \"../done\"\nrejects = \"/srv/bad\"",
    );
    let folder = Folder::with(&text);
    let source = folder.acme().sources.remove("erp").unwrap();
    assert_eq!(source.archive, folder.path("customers/../done"));
    assert_eq!(source.rejects, PathBuf::from("/srv/bad"));
    assert_eq!(source.receipts, folder.path("customers/../in/receipts"));
    assert_eq!(
        in_source("rejects = \"../in/\""),
        told(5, "rejects is the source's own folder: its files would be taken in again")
    );
}

#[test]
fn the_folder_of_a_source_must_be_given_and_be_none_other_than_a_folder() {
    assert_eq!(acme_with("path = \"../in\"\n", ""), told(4, "[sources.erp] lacks \"path\""));
    assert_eq!(acme_with("\"../in\"", "\"\""), told(6, "path is empty"));
    assert_eq!(
        acme_with("\"../in\"", "\"../secret\""),
        told(6, "customers/../secret is no folder")
    );
    assert_eq!(
        acme_with("\"../in\"", "\"../none\""),
        told(6, "warning: the folder customers/../none does not exist")
    );
    assert_eq!(
        acme_with("[sources.erp]\ntype = \"local\"", "[sources.erp]"),
        told(4, "[sources.erp] lacks \"type\"")
    );
}
