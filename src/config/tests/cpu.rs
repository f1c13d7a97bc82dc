//! Channels to Certified Pick up.

use std::time::Duration;

use super::*;
use crate::config::{ChannelKind, Confirm};

const CHANNEL: &str = r#"
[channels.pickup]
type  = "cpu"
login = "nxtport"
"#;

/// Acme with a channel to CPu, in a folder whose provider names the endpoint.
fn folder(keys: &str) -> Folder {
    let key = "password = { file = \"../secret\" }\nsubscription_key = { file = \"../secret\" }";
    let customer = changed(CUSTOMER, "password = { file = \"../secret\" }", key);
    let folder = Folder::with(&format!("{customer}{CHANNEL}{keys}"));
    let endpoint = "[endpoints]\ncpu = \"https://api.example/certified-pickup/v1/\"";
    folder.write("lighterman.toml", &changed(PROVIDER, "[endpoints]", endpoint));
    folder
}

#[test]
fn a_channel_to_cpu_has_an_endpoint_a_login_with_a_key_and_a_way_to_hear_verdicts() {
    for (keys, confirm, within) in [
        ("", Confirm::Notification, 24 * 3600),
        ("confirm = \"notification\"", Confirm::Notification, 24 * 3600),
        ("confirm = \"poll\"\nverdict_within = \"2h\"", Confirm::Poll, 2 * 3600),
        ("confirm = \"none\"", Confirm::None, 24 * 3600),
    ] {
        let acme = folder(keys).acme();
        let channel = &acme.channels["pickup"];
        let ChannelKind::Cpu(cpu) = &channel.kind else { panic!() };
        assert_eq!(cpu.url, "https://api.example/certified-pickup/v1");
        assert_eq!(cpu.login.id, "acme/nxtport");
        assert_eq!((cpu.confirm, cpu.verdict_within.as_secs()), (confirm, within), "{keys}");
        assert_eq!((cpu.concurrency, cpu.timeout), (4, Duration::from_secs(30)));
        assert_eq!(cpu.batch_records, 1);
        assert_eq!(channel.retry.first, Duration::from_secs(1));
    }
}

#[test]
fn release_rights_may_go_together() {
    let acme = folder("batch = { records = 50 }").acme();
    let ChannelKind::Cpu(cpu) = &acme.channels["pickup"].kind else { panic!() };
    assert_eq!(cpu.batch_records, 50);
    for keys in ["batch = { records = 0 }", "batch = { records = 1001 }", "batch = { bytes = 1 }"] {
        assert_eq!(folder(keys).faults().len(), 1, "{keys}");
    }
}

#[test]
fn what_a_channel_to_cpu_lacks_is_told() {
    let without_key = Folder::with(&format!("{CUSTOMER}{CHANNEL}"));
    let endpoint = "[endpoints]\ncpu = \"https://api.example/certified-pickup/v1\"";
    without_key.write("lighterman.toml", &changed(PROVIDER, "[endpoints]", endpoint));
    assert_eq!(
        without_key.faults(),
        told(
            30,
            "a channel of type cpu needs a login with a \"subscription_key\": every call carries \
             it beside the token"
        )
    );
    let without_endpoint = folder("");
    without_endpoint.write("lighterman.toml", PROVIDER);
    let faults = without_endpoint.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with(
            "customers/acme.toml:30: a channel of type cpu needs \"cpu\" in [endpoints] of "
        ),
        "{faults:?}"
    );
    let told_of = |keys| folder(keys).faults();
    assert_eq!(
        told_of("confirm = \"post\""),
        told(32, "confirm is \"post\", but must be \"notification\" or \"poll\" or \"none\"")
    );
    assert_eq!(
        told_of("foo = 1"),
        told(
            32,
            "unknown key \"foo\" in [channels.pickup]: known here are batch, ca, concurrency, \
             confirm, login, rate, retry, timeout, type, verdict_within"
        )
    );
}
