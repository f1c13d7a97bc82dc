//! Invitations from a file: posted once, parked until the company answers, and settled by that.

use lighterman::sandbox::{Decision, Fault};
use serde_json::json;

use crate::harness::callback::*;
use crate::harness::moves::*;
use crate::harness::*;

const INVITES: &str = r#"
[input]
format    = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to    = "action"
value = "invite"

[[fields]]
to   = "invitation.reference"
from = "REF"

[[fields]]
to   = "invitation.name"
from = "NAME"

[[fields]]
to   = "invitation.vat"
from = "VAT"

[[fields]]
to   = "invitation.contactEmail"
from = "MAIL"
"#;

const HEAD: &str = "REF;NAME;VAT;MAIL\n";

fn stage(channel: &str) -> Stage {
    let stage = Stage::new(world([]), channel);
    stage.provider.mapping("moves", INVITES);
    stage
}

fn drop_file(stage: &Stage, name: &str, rows: &str) {
    stage.provider.drop_file("wilgen", name, format!("{HEAD}{rows}"));
}

fn posted(stage: &Stage) -> usize {
    stage.port.calls_to(&format!("{SCR}/invitations")).len()
}

#[test]
fn an_invitation_is_parked_until_the_company_accepts_or_refuses() {
    let stage = stage(SLOW);
    let daemon = stage.start();
    stage.subscribe("onAcceptInvitation");
    let rows = "r1;Transporter NV;BE1000000021;a@example.com\n\
                r2;Barges NV;BE1000000120;b@example.com\n";
    drop_file(&stage, "1.csv", rows);
    stage.until("parked", 2);
    let bodies: Vec<_> = stage
        .port
        .calls_to(&format!("{SCR}/invitations"))
        .iter()
        .map(|call| serde_json::from_str::<serde_json::Value>(call.body.as_ref().unwrap()).unwrap())
        .collect();
    let first = json!({ "reference": "r1", "name": "Transporter NV", "vat": "BE1000000021",
                        "contactEmail": "a@example.com" });
    assert!(bodies.contains(&first), "{bodies:?}");
    stage.port.decide(SCR, "r1", Decision::Accepted).unwrap();
    stage.until("delivered", 1);
    stage.port.decide(SCR, "r2", Decision::Refused).unwrap();
    stage.until("quarantined", 1);
    assert_eq!(posted(&stage), 2);
    // The connections were read anew: the company can be named at once.
    let connections = stage.port.calls_to(&format!("{SCR}/connections")).len();
    assert_eq!(connections, 1);
    assert_eq!(daemon.stop().code, 0);
    let problems = stage.problems("1.csv");
    assert_eq!((problems[0].0, problems[0].1.as_str()), (2, "invitation"));
    assert!(problems[0].2.contains("refused"), "{problems:?}");
    let verdicts = stage.provider.verdicts("wilgen", "1.csv");
    let told: Vec<_> = verdicts.iter().map(|row| row.told()).collect();
    let refused = "the company has refused the invitation";
    assert_eq!(told, [(2, "r1", "delivered", ""), (3, "r2", "quarantined", refused)]);
    stage.provider.check_ledger();
    let exported = stage.provider.run(&["ledger", "export"]);
    assert_eq!(exported.code, 0, "{exported}");
    assert!(exported.stdout.contains("\"entry\":\"invitation\""), "{exported}");
    assert!(!exported.stdout.contains("@example.com"), "no address of a person is kept");
}

#[test]
fn an_invited_company_that_is_connected_by_the_next_look_has_accepted() {
    let stage = stage(QUICK);
    drop_file(&stage, "1.csv", ";Transporter NV;BE1000000021;a@example.com\n");
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(stage.records("parked"), 1);
    let mut accepted = world([]);
    accepted.scr[0].connections[0].vat = "be 1000.000.021".to_owned();
    stage.port.replace(accepted).unwrap();
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(posted(&stage), 1);
    // Who is connected is not asked again.
    drop_file(&stage, "2.csv", "r9;Transporter NV;BE1000000021;a@example.com\n");
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(posted(&stage), 1);
}

#[test]
fn a_repeated_invitation_is_posted_once_while_it_is_open_and_again_after_a_refusal() {
    let stage = stage(SLOW);
    let daemon = stage.start();
    stage.subscribe("onAcceptInvitation");
    let row = "r1;Transporter NV;BE1000000021;a@example.com\n";
    drop_file(&stage, "1.csv", row);
    stage.until("parked", 1);
    drop_file(&stage, "2.csv", row);
    stage.until("parked", 2);
    assert_eq!(posted(&stage), 1);
    stage.port.decide(SCR, "r1", Decision::Refused).unwrap();
    stage.until("quarantined", 2);
    drop_file(&stage, "3.csv", row);
    stage.until("parked", 1);
    assert_eq!(posted(&stage), 2);
    stage.port.decide(SCR, "r1", Decision::Accepted).unwrap();
    stage.until("delivered", 1);
    assert_eq!(daemon.stop().code, 0);
    stage.provider.check_ledger();
}

#[test]
fn an_answer_without_a_reference_is_known_by_its_vat_number() {
    let stage = stage(SLOW);
    let daemon = stage.start();
    drop_file(&stage, "1.csv", ";Transporter NV;BE1000000021;a@example.com\n");
    stage.until("parked", 1);
    let body = json!({ "status": "ACCEPTED",
                       "organization": { "name": "T", "vat": "BE 1000 000 021", "address": "0xC9" } });
    assert_eq!(post(stage.at, "/notifications/scr/wallet-a", &[&signed()], &body), 200);
    stage.until("delivered", 1);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn what_an_invitation_lacks_is_told_before_anything_is_sent() {
    let stage = stage(QUICK);
    drop_file(&stage, "1.csv", "r1;;;\n");
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let fields: Vec<String> =
        stage.provider.problems("wilgen", "1.csv").into_iter().map(|row| row.field).collect();
    assert_eq!(fields, ["NAME", "VAT", "MAIL"]);
    assert_eq!(stage.port.calls_to(SCR).len(), 0);
}

#[test]
fn an_invitation_outlives_faults_and_is_given_up_after_park_for() {
    let stage = stage(&format!("{QUICK}\npark_for = \"300ms\""));
    let path = format!("{SCR}/invitations");
    stage.port.fault(Fault::status(&path, 503).times(2)).unwrap();
    drop_file(&stage, "1.csv", "r1;Transporter NV;BE1000000021;a@example.com\n");
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(posted(&stage), 3);
    let problems = stage.problems("1.csv");
    assert!(problems[0].2.contains("`park_for` is over"), "{problems:?}");
    // Who asks again is not taken for one that waits for the same answer.
    drop_file(&stage, "2.csv", "r1;Transporter NV;BE1000000021;b@example.com\n");
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(posted(&stage), 4);
}

#[test]
fn two_companies_under_one_reference_are_both_invited() {
    let stage = stage(QUICK);
    let rows = "r1;Transporter NV;BE1000000021;a@example.com\n\
                r1;Barges NV;BE1000000120;b@example.com\n";
    drop_file(&stage, "1.csv", rows);
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!((stage.records("parked"), posted(&stage)), (2, 2));
}
