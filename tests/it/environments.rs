//! Environments beside each other: what is for UAT goes to UAT, what is for production goes to
//! production, with one config folder and both running at the same time.

use std::collections::BTreeSet;

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::{Provider, until_true};

/// Writes the provider's file with the two servers, and one customer with an inbox, a password, a
/// channel id and a subscription key of each environment's own.
fn shop_of_two(uat: &Fake, production: &Fake) -> Provider {
    let provider = shop(uat);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let two = |path: &str| {
        let (uat, production) = (uat.url(), production.url());
        format!("{{ uat = \"{uat}{path}\", production = \"{production}{path}\" }}")
    };
    let config = config
        .replace(&format!("\"{}/ingestion\"", uat.url()), &two("/ingestion"))
        .replace(&format!("\"{}/connect/token\"", uat.url()), &two("/connect/token"));
    provider.file("lighterman.toml", config);
    let acme = acme_text(&releases("batch = { records = 1, bytes = \"1 MiB\" }"))
        .replace(
            "\"../inbox/acme\"",
            "{ uat = \"../inbox/uat\", production = \"../inbox/production\" }",
        )
        .replace(
            "{ file = \"../secrets/acme\" }",
            "{ uat = { file = \"../secrets/uat\" }, production = { file = \"../secrets/production\" } }",
        )
        .replace("\"chan-1\"", "{ uat = \"chan-uat\", production = \"chan-production\" }");
    provider.file("customers/acme.toml", acme);
    for environment in ["uat", "production"] {
        std::fs::create_dir_all(provider.inbox(environment)).unwrap();
        provider.secret(environment, &format!("password-of-{environment}"));
    }
    provider
}

#[test]
fn nothing_crosses_between_two_environments_that_run_at_the_same_time() {
    let fake = |name: &'static str| {
        Fake::start(move |seen, _| match seen.path.as_str() {
            "/connect/token" => token(&format!("token-of-{name}"), 3600),
            _ => answer(200, ""),
        })
    };
    let fakes = [("uat", fake("uat")), ("production", fake("production"))];
    let provider = shop_of_two(&fakes[0].1, &fakes[1].1);
    let daemons =
        fakes.each_ref().map(|(name, _)| provider.start_with(&["run", "--environment", name]));
    for round in 0..5 {
        for (name, _) in &fakes {
            let rows: String = (0..20).map(|n| format!("{name}-{round}-{n};1\n")).collect();
            // The same name in both, and a file whose bytes are the same too.
            provider.drop_file(name, &format!("{round}.csv"), format!("ID;WEIGHT\n{rows}"));
        }
    }
    for (name, fake) in &fakes {
        provider.drop_file(name, "same.csv", "ID;WEIGHT\nsame;1\n");
        until_true(name, || fake.to("/ingestion").len() == 101);
    }
    for (name, fake) in &fakes {
        let mut ids = BTreeSet::new();
        for call in fake.to("/ingestion") {
            assert_eq!(call.path, format!("/ingestion/chan-{name}"));
            assert_eq!(call.header("authorization"), format!("Bearer token-of-{name}"));
            let id = call.json()["id"].as_str().unwrap().to_owned();
            assert!(id == "same" || id.starts_with(name), "{id} came to {name}");
            ids.insert(id);
        }
        assert_eq!(ids.len(), 101, "each once");
        let tokens = fake.to("/connect/token");
        assert!(tokens.iter().all(|call| call.form()["password"] == format!("password-of-{name}")));
        let settled = || provider.names(name, "receipts").len() == 6;
        until_true("the receipts", settled);
        assert!(provider.path(&format!("state/{name}")).is_dir());
    }
    for daemon in daemons {
        assert_eq!(daemon.stop().code, 0);
    }
}
