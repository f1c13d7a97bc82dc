//! Every value of the examples, replaced by values that do not fit.

use super::example::{EXAMPLE_CUSTOMER, EXAMPLE_PROVIDER, example};
use super::*;

const ODD: [&str; 16] = [
    "\"hunter2\"",
    "\"\"",
    "\"hunter2\\u0000/../\\n\"",
    "-1",
    "9223372036854775807",
    "1e300",
    "true",
    "1979-05-27",
    "[]",
    "[[\"hunter2\"], {}]",
    "{}",
    "{ uat = 1 }",
    "{ production = 1 }",
    "{ uat = { uat = {} } }",
    "{ uat = [{}], x = 1 }",
    "{ type = { env = \"hunter2\" }, env = 1, file = [], credential = {}, when = 1, header = {} }",
];

/// The text once for each of its keys and each odd value.
fn variants(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = text.lines().collect();
    let keys: Vec<usize> = (0..lines.len())
        .filter(|line| lines[*line].contains('=') && !lines[*line].starts_with('#'))
        .collect();
    keys.into_iter().flat_map(move |line| {
        let lines = lines.clone();
        ODD.iter().map(move |odd| {
            let mut lines = lines.clone();
            let key = lines[line].split_once('=').unwrap().0;
            let changed = format!("{key}= {odd}");
            lines[line] = &changed;
            lines.join("\n")
        })
    })
}

#[test]
fn an_odd_value_is_answered_within_its_file() {
    let folder = example();
    for (name, text) in
        [("lighterman.toml", EXAMPLE_PROVIDER), ("customers/acme.toml", EXAMPLE_CUSTOMER)]
    {
        for variant in variants(text) {
            folder.write(name, &variant);
            let faults = match folder.load() {
                Err(faults) => faults,
                Ok(loaded) => loaded.config.broken.into_values().flatten().collect(),
            };
            for fault in faults {
                assert!(fault.line <= variant.lines().count(), "{fault}");
            }
        }
        folder.write(name, text);
    }
}

#[test]
fn no_value_in_the_place_of_a_secret_or_a_login_is_shown() {
    let folder = example();
    let secrets = ["client_secret", "auth", "password", "subscription_key", "token_url"];
    for (name, text) in
        [("lighterman.toml", EXAMPLE_PROVIDER), ("customers/acme.toml", EXAMPLE_CUSTOMER)]
    {
        for variant in variants(text) {
            let line = variant.lines().find(|line| line.contains("hunter2"));
            let key = line.map(|line| line.split_once('=').unwrap().0.trim());
            if !key.is_some_and(|key| secrets.contains(&key)) {
                continue;
            }
            folder.write(name, &variant);
            let told = folder.faults();
            assert!(!told.is_empty() && !told.concat().contains("hunter"), "{told:?}");
        }
        folder.write(name, text);
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{ a = ", " }")] {
        let text = format!("x = {}1{}\n", open.repeat(100_000), close.repeat(100_000));
        assert!(!Folder::of_provider(&text).faults().is_empty());
        assert!(!Folder::with(&text).faults().is_empty());
    }
    let dotted = format!("{}x = 1\n", "a.".repeat(100_000));
    assert!(!Folder::with(&dotted).faults().is_empty());
}
