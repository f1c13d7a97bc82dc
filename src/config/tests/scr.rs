//! SCR APIs and channels to them.

use std::time::Duration;

use super::*;
use crate::config::{ChannelKind, ScrAuth, SecretSource};

fn with_auth(auth: &str) -> Vec<String> {
    provider_with("{ type = \"none\" }", auth)
}

#[test]
fn every_algorithm_but_es512_is_offered() {
    for algorithm in ["RS256", "RS384", "RS512", "ES256", "ES384", "HS256", "HS384", "HS512"] {
        let auth = format!(
            "{{ type = \"signed-jwt\", algorithm = \"{algorithm}\", key = {{ file = \"secret\" }} }}"
        );
        assert_eq!(with_auth(&auth), [""; 0]);
    }
    let auth = "{ type = \"signed-jwt\", algorithm = \"ES512\", key = { file = \"secret\" } }";
    assert_eq!(
        with_auth(auth),
        ["lighterman.toml:14: algorithm is \"ES512\", but must be \"RS256\" or \"RS384\" or \
             \"RS512\" or \"ES256\" or \"ES384\" or \"HS256\" or \"HS384\" or \"HS512\": \
             did you mean \"RS512\"?"]
    );
}

#[test]
fn a_shared_secret_has_an_encoding() {
    let folder = Folder::of_provider(&changed(
        PROVIDER,
        "{ type = \"none\" }",
        "{ type = \"signed-jwt\", algorithm = \"HS256\", key = { file = \"secret\" }, \
         secret_encoding = \"base64\", lifetime = \"30s\" }",
    ));
    let config = folder.config();
    let ScrAuth::SignedJwt { algorithm, key, base64, lifetime } = &config.scr["wallet"].auth else {
        panic!()
    };
    assert_eq!(algorithm, "HS256");
    assert_eq!(*key, SecretSource::File(folder.path("secret")));
    assert!(*base64);
    assert_eq!(*lifetime, Duration::from_secs(30));
}

#[test]
fn faults_of_auth_are_told() {
    assert_eq!(
        with_auth("{ type = \"jwt\" }"),
        ["lighterman.toml:14: type is \"jwt\", but must be \"signed-jwt\" or \"none\""]
    );
    assert_eq!(with_auth("{ }"), ["lighterman.toml:14: [scr.wallet.auth] lacks \"type\""]);
    assert_eq!(with_auth("\"none\""), ["lighterman.toml:14: auth is a text, but must be a table"]);
    assert_eq!(
        with_auth("{ type = \"signed-jwt\" }"),
        [
            "lighterman.toml:14: [scr.wallet.auth] lacks \"algorithm\"",
            "lighterman.toml:14: [scr.wallet.auth] lacks \"key\"",
        ]
    );
    assert_eq!(
        with_auth(
            "{ type = \"signed-jwt\", algorithm = \"RS256\", key = { file = \"secret\" },\n\
             secret_encoding = \"raw\",\nlifetime = \"500ms\" }"
        ),
        [
            "lighterman.toml:15: secret_encoding is for a shared secret (HS256, HS384, HS512): \
             a key is PEM",
            "lighterman.toml:16: lifetime must be at least 1s: a token counts whole seconds",
        ]
    );
    assert_eq!(
        with_auth("{ type = \"none\", algorithm = \"RS256\" }"),
        ["lighterman.toml:14: unknown key \"algorithm\" in [scr.wallet.auth]: known here are type"]
    );
}

#[test]
fn more_than_20_at_once_is_an_error() {
    let of = |value: &str| provider_with("auth =", &format!("concurrency = {value}\nauth ="));
    assert_eq!(of("20"), [""; 0]);
    assert_eq!(of("1"), [""; 0]);
    for value in [21, 0, -1, 1_000_000_000] {
        assert_eq!(
            of(&value.to_string()),
            [format!(
                "lighterman.toml:14: concurrency is {value}, but must be from 1 to 20: \
                 20 is the ceiling of an SCR API"
            )]
        );
    }
    assert_eq!(
        of("\"20\""),
        ["lighterman.toml:14: concurrency is \"20\", but must be a whole number"]
    );
}

#[test]
fn an_api_needs_a_url_and_an_auth() {
    assert_eq!(
        Folder::of_provider("[scr.a]\n").faults(),
        ["lighterman.toml:1: [scr.a] lacks \"url\"", "lighterman.toml:1: [scr.a] lacks \"auth\"",]
    );
    assert_eq!(
        provider_with("auth =", "timeout = \"0s\"\nauth ="),
        ["lighterman.toml:14: timeout is 0: no call could be answered"]
    );
}

#[test]
fn an_api_of_a_customer_is_named_after_it_and_its_own() {
    let own = "[scr.own]\nurl = \"https://localhost:4432/\"\nauth = { type = \"none\" }\n";
    let folder = Folder::with(&format!("{}{own}", CUSTOMER.replace("\"wallet\"", "\"own\"")));
    let config = folder.config();
    assert_eq!(config.scr.keys().collect::<Vec<_>>(), ["acme/own", "wallet"]);
    assert_eq!(config.scr["acme/own"].url, "https://localhost:4432");
    let ChannelKind::Scr(channel) = &config.customers["acme"].channels["assignments"].kind else {
        panic!()
    };
    assert_eq!(channel.api, "acme/own");

    folder.write("customers/beta.toml", &CUSTOMER.replace("\"wallet\"", "\"acme/own\""));
    let broken = &folder.config().broken["beta"];
    assert!(folder.told(broken).contains(
        &"customers/beta.toml:20: there is no SCR API \"acme/own\": known are wallet".to_owned()
    ));
}

#[test]
fn the_apis_of_a_broken_customer_are_left_out() {
    let own = "[scr.own]\nurl = \"https://localhost:4432/\"\nauth = { type = \"none\" }\n";
    let config = Folder::with(&format!("x = 1\n{CUSTOMER}{own}")).config();
    assert_eq!(config.scr.keys().collect::<Vec<_>>(), ["wallet"]);
}

#[test]
fn a_channel_to_scr_needs_a_vat_and_an_api() {
    assert_eq!(
        acme_with("vat = \"BE0403019261\"\n", ""),
        ["customers/acme.toml:18: a channel of type scr needs the customer's \"vat\" at the \
             head of the file: it tells which releases are the customer's"]
    );
    assert_eq!(
        acme_with("api = \"wallet\"\n", ""),
        ["customers/acme.toml:18: [channels.assignments] lacks \"api\""]
    );
    assert_eq!(
        acme_with("\"wallet\"", "\"walet\""),
        ["customers/acme.toml:20: there is no SCR API \"walet\": did you mean \"wallet\"?"]
    );
}

#[test]
fn a_client_certificate_comes_with_its_key() {
    let below = |head: &str, lines: &str| provider_with(head, &format!("{head}\n{lines}"));
    for (head, line) in [("[scr.wallet]", 13), ("[clients.nxtport]", 8)] {
        let both = "certificate = \"secret\"\nkey = { file = \"secret\" }";
        assert_eq!(below(head, both), [""; 0]);
        let at = |what: &str| [format!("lighterman.toml:{line}: {what}")];
        assert_eq!(
            below(head, "certificate = \"secret\""),
            at("certificate needs its key: key = { file = \"…\" }")
        );
        assert_eq!(
            below(head, "key = { file = \"secret\" }"),
            at("key belongs to a certificate: certificate = \"…\"")
        );
        let missing = below(head, &both.replace("\"secret\"\n", "\"none.pem\"\n"));
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].contains("certificate: none.pem cannot be read: "), "{missing:?}");
    }
}

#[test]
fn a_callback_names_a_key_and_where_its_token_stands() {
    let with = |callback: &str| with_auth(&format!("{{ type = \"none\" }}\ncallback = {callback}"));
    let told = |what: &str| [format!("lighterman.toml:15: {what}")];
    let key = "key = { file = \"secret\" }";
    for callback in ["", ", in = \"header\"", ", in = \"body\"", ", in = \"body\", field = \"jwt\""]
    {
        assert_eq!(with(&format!("{{ {key}{callback} }}")), [""; 0]);
    }
    assert_eq!(with("{ in = \"body\" }"), told("[scr.wallet.callback] lacks \"key\""));
    assert_eq!(
        with(&format!("{{ {key}, in = \"query\" }}")),
        told("in is \"query\", but must be \"header\" or \"body\"")
    );
    assert_eq!(
        with(&format!("{{ {key}, field = \"jwt\" }}")),
        told("field names a member of the body: it needs in = \"body\"")
    );
}
