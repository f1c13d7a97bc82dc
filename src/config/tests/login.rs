//! Logins and the clients they come through.

use super::*;
use crate::config::{ChannelKind, Grant, SecretSource};

#[test]
fn a_login_may_complete_and_override_its_client() {
    let text = changed(
        CUSTOMER,
        "username = \"acme\"\npassword = { file = \"../secret\" }",
        "grant = \"client_credentials\"\ntoken_url = \"https://own.example/token/\"\n\
         client_id = \"own\"\nclient_secret = { env = \"PATH\" }\nscope = \"own/.default\"\n\
         ca = \"../secret\"\nusername = \"unused\"\npassword = { env = \"NOT_SET_ANYWHERE\" }",
    );
    let folder = Folder::with(&text);
    let ChannelKind::Ingestion(channel) = &folder.acme().channels["releases"].kind.clone() else {
        panic!()
    };
    let login = &channel.login;
    assert!(matches!(login.grant, Grant::ClientCredentials));
    assert_eq!(login.token_url, "https://own.example/token/");
    assert_eq!(login.client_id, "own");
    assert_eq!(login.client_secret, SecretSource::Env("PATH".to_owned()));
    assert_eq!(login.scope.as_deref(), Some("own/.default"));
    assert_eq!(login.ca, Some(folder.path("customers/../secret")));
}

#[test]
fn a_login_without_a_client_has_its_keys() {
    assert_eq!(
        acme_with("client = \"nxtport\"\n", ""),
        [
            "customers/acme.toml:8: [logins.nxtport] lacks \"token_url\"",
            "customers/acme.toml:8: [logins.nxtport] lacks \"client_id\"",
            "customers/acme.toml:8: [logins.nxtport] lacks \"client_secret\"",
        ]
    );
    assert_eq!(
        acme_with("client = \"nxtport\"", "client = \"nxport\""),
        told(9, "there is no client \"nxport\": did you mean \"nxtport\"?")
    );
    assert_eq!(
        acme_with("username = \"acme\"\npassword = { file = \"../secret\" }\n", ""),
        [
            "customers/acme.toml:8: [logins.nxtport] lacks \"username\"",
            "customers/acme.toml:8: [logins.nxtport] lacks \"password\"",
        ]
    );
}

#[test]
fn a_broken_client_is_told_once() {
    let folder = Folder::with(CUSTOMER);
    let text = changed(PROVIDER, "\"https://login.example/token\"", "\"x\"");
    folder.write("lighterman.toml", &text);
    assert_eq!(folder.load().unwrap_err().len(), 1);
}
