//! Where others see what is sent, drivers go out as stand-ins (`personal_data = "replace"`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::*;

const MAPPING: &str = r#"
[input]
format = "ndjson"

[[fields]]
to   = "release.address"
from = "release"

[[fields]]
to   = "driver.firstName"
from = "first"

[[fields]]
to   = "driver.lastName"
from = "last"

[[fields]]
to   = "driver.identification"
from = "id"

[[fields]]
to   = "driver.email"
from = "email"

[[fields]]
to   = "driver.phone"
from = "phone"
"#;

fn address(n: u64) -> String {
    format!("0xc0de{n:036x}")
}

/// A provider whose customer sends drivers to a wallet of so many releases.
fn provider(releases: u64, personal_data: &str) -> (Port, Provider) {
    let release = |n| Port::release(&address(n), &format!("TEST{n:07}"), "BL1");
    let port = Port::open(Port::scr_world((0..releases).map(release).collect(), 0));
    let provider = Provider::new(&port);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", format!("{personal_data}\n{config}"));
    provider.mapping("assignments", MAPPING);
    let retry = "retry = { first = \"20ms\", max = \"100ms\", give_up_after = \"24h\" }";
    provider.transporter("wilgen", VAT, "assignments", retry);
    (port, provider)
}

const AN: [&str; 5] = ["An", "Vermeulen", "205402090", "an@vermeulen.example", "+32470123456"];
const BO: [&str; 5] = ["Bo", "Wouters", "205402091", "bo@wouters.example", "+32470654321"];

fn assign(n: u64, [first, last, id, email, phone]: [&str; 5]) -> String {
    let record = json!({ "release": address(n), "first": first, "last": last, "id": id,
                         "email": email, "phone": phone });
    format!("{record}\n")
}

/// The drivers that the API was sent, by release.
fn drivers(port: &Port) -> Vec<(u64, Value)> {
    let calls = port.calls_to(SCR).into_iter().filter(|call| call.method == "PUT");
    let mut sent: Vec<(u64, Value)> = calls
        .map(|call| {
            let of = (0..9).find(|n| call.path.contains(&address(*n))).unwrap();
            (of, serde_json::from_str(&call.body.unwrap()).unwrap())
        })
        .collect();
    sent.sort_by_key(|(n, _)| *n);
    sent
}

#[test]
fn drivers_go_out_as_stand_ins_that_stay_the_same_over_a_restart() {
    let (port, provider) =
        provider(4, "personal_data = { test = \"replace\", production = \"send\" }");
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let both = "environments = [\"test\", \"production\"]";
    provider.file("lighterman.toml", config.replace("environments = [\"test\"]", both));
    provider.drop_file("wilgen", "1.ndjson", assign(0, AN) + &assign(1, BO));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let married = ["An", "Maes", AN[2], AN[3], AN[4]];
    provider.drop_file("wilgen", "2.ndjson", assign(2, AN) + &assign(3, married));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");

    let sent = drivers(&port);
    assert_eq!(sent.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!((&sent[0].1, &sent[0].1), (&sent[2].1, &sent[3].1), "the same driver");
    let (an, bo) = (&sent[0].1, &sent[1].1);
    for key in ["firstName", "lastName", "identification", "email"] {
        assert_ne!(an[key], bo[key], "{key}");
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let identification = text(&an["identification"]);
    assert!(identification.len() == 9 && identification.bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(an["type"], "driver");
    assert!(text(&an["phone"]).starts_with("+447700900"), "{an}");
    let all = format!("{:?}", port.calls_to(SCR));
    for original in AN.iter().chain(&BO).filter(|text| text.len() > 2) {
        assert!(!all.contains(original), "{original} went out");
    }
    // What the customer gets back is its own.
    assert_eq!(provider.receipt("wilgen", "2.ndjson")["records"]["delivered"], 2);
    let key = std::fs::metadata(provider.path("state/test/stand-ins.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
}

#[test]
fn elsewhere_drivers_go_out_as_they_are() {
    for setting in ["", "personal_data = \"send\""] {
        let (port, provider) = provider(1, setting);
        provider.drop_file("wilgen", "1.ndjson", assign(0, AN));
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
        let (_, driver) = &drivers(&port)[0];
        let sent: BTreeSet<&str> = ["firstName", "lastName", "identification", "email", "phone"]
            .map(|key| driver[key].as_str().unwrap())
            .into();
        assert_eq!(sent, AN.into());
        assert!(!provider.path("state/test/stand-ins.key").exists());
    }
}

#[test]
fn without_a_key_that_can_be_used_no_driver_goes_out() {
    let (port, provider) = provider(1, "personal_data = \"replace\"");
    provider.file("state/test/stand-ins.key", "short");
    provider.drop_file("wilgen", "1.ndjson", assign(0, AN));
    let run = provider.run_once(&[]);
    assert_eq!(drivers(&port), []);
    assert_eq!(provider.records("wilgen", "deferred"), 1, "{run}");
}
