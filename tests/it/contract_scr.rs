//! SCR as its API sees it (design, sections 3.4, 3.5 and 4.4; SCR API 1.2.9), with a server of the
//! tests' own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::*;

const BASE: &str = "/tmining/api/v1";
const A1: &str = "0x79ed95e778d1c3284636ab0be741ce6836252fb0";
const A2: &str = "0x24fc2d465aaabf47da7284920a7b5c3b368ec1d9";
const A3: &str = "0x3333333333333333333333333333333333333333";

const MAPPING: &str = r#"
[input]
format    = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to     = "action"
from   = "TYP"
values = { T = "assign", A = "unassign" }

[[fields]]
to   = "release.address"
from = "ADDRESS"

[[fields]]
to   = "release.container"
from = "CONT"

[[fields]]
to   = "release.bl"
from = "BL"

[[fields]]
to   = "driver.firstName"
from = "FIRST"

[[fields]]
to   = "driver.lastName"
from = "LAST"

[[fields]]
to   = "driver.identification"
from = "ALFAPASS"

[[fields]]
to   = "driver.email"
from = "MAIL"

[[fields]]
to   = "driver.phone"
from = "PHONE"
"#;

const HEAD: &str = "TYP;ADDRESS;CONT;BL;FIRST;LAST;ALFAPASS;MAIL;PHONE\n";

const BARGES: &str = r#"
[input]
format    = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to   = "release.address"
from = "ADDRESS"

[[fields]]
to   = "barge.name"
from = "NAME"

[[fields]]
to   = "barge.identification"
from = "ENI"

[[fields]]
to   = "barge.visitNumber"
from = "BTS"
"#;

/// A shop whose customer `acme` sends every CSV file to the SCR API at `fake`.
fn scr(fake: &Fake, auth: &str, channel: &str) -> Provider {
    scr_by(fake, auth, channel, MAPPING)
}

fn scr_by(fake: &Fake, auth: &str, channel: &str, mapping: &str) -> Provider {
    let url = fake.url();
    let provider = shop_with(
        fake,
        &format!("\n[scr.wallet-a]\nurl = \"{url}{BASE}\"\nauth = {auth}\ntimeout = \"20s\"\n"),
    );
    provider.secret("scr", "a-secret-of-thirty-two-bytes-or-more");
    provider.mapping("drivers", mapping);
    acme(
        &provider,
        &format!(
            r#"
[channels.assignments]
type = "scr"
api  = "wallet-a"
{channel}

[[routes]]
source  = "erp"
files   = "*.csv"
mapping = "drivers"
channel = "assignments"
"#
        ),
    );
    provider
}

const NONE: &str = r#"{ type = "none" }"#;
const SIGNED: &str = r#"{ type = "signed-jwt", algorithm = "HS256", key = { file = "secrets/scr" }, lifetime = "60s" }"#;
const SOON: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;

fn release(address: &str, container: &str, bl: &str) -> Value {
    json!({
        "release_data": {
            "billOfLading": { "blNumber": bl, "vessel": "AAA" },
            "container": { "containerNumber": container, "containerStatus": "released" }
        },
        "address": address,
        "deleted": false,
        "blocked": false,
        "encryptedPin": "5ec7e7p1n",
        "gateOut": null,
        "selfOwner": "0x1",
        "selfOwnerName": "Acme",
        "selfOwnerVat": "BE0403019261",
        "nextOwner": null
    })
}

fn claims(authorization: &str) -> (Value, Value) {
    let token = authorization.strip_prefix("Bearer ").unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    (part(parts[0]), part(parts[1]))
}

#[test]
fn a_driver_is_assigned_by_the_body_that_the_api_documents() {
    let fake = Fake::willing();
    let provider = scr(&fake, NONE, "");
    provider.drop_file(
        "acme",
        "D.csv",
        format!(
            "{HEAD}T;{};;;An;Peeters;A0012;an@acme.example;+32 3\n;{A2};;;Bo;Smit;007;;\n",
            "0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0"
        ),
    );
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to(BASE);
    assert_eq!(calls.len(), 2, "{calls:?}");
    let of = |address: &str| {
        let path = format!("{BASE}/releases/{address}/assign");
        calls
            .iter()
            .find(|call| call.path.eq_ignore_ascii_case(&path))
            .unwrap_or_else(|| panic!("{calls:?}"))
    };
    assert_eq!(of(A1).method, "PUT");
    assert_eq!(of(A1).header("authorization"), "", "auth is none");
    assert!(of(A1).header("content-type").starts_with("application/json"));
    assert_eq!(
        of(A1).json(),
        json!({"firstName": "An", "lastName": "Peeters", "email": "an@acme.example", "phone": "+32 3", "type": "driver", "identification": "A0012"})
    );
    // Empty values are left out, zeros are kept.
    assert_eq!(
        of(A2).json(),
        json!({"firstName": "Bo", "lastName": "Smit", "type": "driver", "identification": "007"})
    );
    assert_eq!(provider.records("acme", "delivered"), 2);
    assert_eq!(fake.to("/connect/token").len(), 0);
}

#[test]
fn a_barge_is_assigned_too_and_a_missing_visit_number_is_a_warning() {
    let fake = Fake::willing();
    let provider = scr_by(&fake, NONE, "", BARGES);
    provider.drop_file(
        "acme",
        "B.csv",
        format!("ADDRESS;NAME;ENI;BTS\n{A1};Antigoon;02054020;BTS2356\n{A2};Scaldis;06912345;\n"),
    );
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let bodies: Vec<Value> = [A1, A2]
        .map(|address| fake.to(&format!("{BASE}/releases/{address}/assign"))[0].json())
        .to_vec();
    assert_eq!(
        bodies,
        [
            json!({"type": "barge", "name": "Antigoon", "identification": "02054020", "visitNumber": "BTS2356"}),
            json!({"type": "barge", "name": "Scaldis", "identification": "06912345"}),
        ]
    );
    let problems = provider.problems("acme", "B.csv");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].line, problems[0].level.as_str()), (2, 3, "warn"));
    assert_eq!(problems[0].field, "BTS");
}

#[test]
fn every_attempt_is_signed_anew_with_integer_times_and_an_id_of_its_own() {
    let fake = Fake::start(|_, earlier| match earlier {
        0 => answer(503, ""),
        _ => answer(0, ""),
    });
    let provider = scr(&fake, SIGNED, SOON);
    provider.drop_file("acme", "D.csv", format!("{HEAD}T;{A1};;;An;P;1;;\nT;{A2};;;An;P;1;;\n"));
    let before = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to(BASE);
    assert_eq!(calls.len(), 4);
    let mut ids = BTreeSet::new();
    for call in &calls {
        let (head, claims) = claims(call.header("authorization"));
        assert_eq!(head["alg"], "HS256");
        let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert_eq!(exp - iat, 60);
        assert!(iat + 60 >= before && iat <= before + 60);
        assert!(ids.insert(claims["jti"].as_str().unwrap().to_owned()), "{claims}");
    }
}

#[test]
fn what_an_assignment_lacks_is_set_aside_by_its_column() {
    let fake = Fake::willing();
    let provider = scr(&fake, NONE, "");
    provider.drop_file(
        "acme",
        "D.csv",
        format!("{HEAD}T;{A1};;;;P;;;\nT;;;;An;P;1;;\nT;{A2};;;An;P;1;;\nX;{A3};;;An;P;1;;\n"),
    );
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(fake.to(BASE).len(), 1);
    let rows: Vec<(u64, u64, String, String)> = provider
        .problems("acme", "D.csv")
        .into_iter()
        .map(|problem| (problem.record, problem.line, problem.field, problem.rule))
        .collect();
    let row =
        |record, line, field: &str, rule: &str| (record, line, field.to_owned(), rule.to_owned());
    assert!(rows.contains(&row(1, 2, "FIRST", "required")), "{rows:?}");
    assert!(rows.contains(&row(1, 2, "ALFAPASS", "required")), "{rows:?}");
    assert!(rows.iter().any(|row| row.0 == 2 && row.3 == "required"), "{rows:?}");
    assert!(rows.contains(&row(4, 5, "TYP", "values")), "{rows:?}");
    assert_eq!(provider.records("acme", "quarantined"), 3);
}

/// A server that knows these releases, by container and bl.
fn knowing(releases: Vec<Value>) -> Fake {
    Fake::start(move |seen, _| {
        if seen.method == "GET" && seen.path == format!("{BASE}/releases") {
            let asked = seen.parameters();
            let fits = |release: &&Value| {
                let data = &release["release_data"];
                let same = |name: &str, value: &Value| {
                    asked.get(name).is_none_or(|asked| value == asked.as_str())
                };
                same("container", &data["container"]["containerNumber"])
                    && same("bl", &data["billOfLading"]["blNumber"])
            };
            let page: usize = asked.get("page").map_or(0, |page| page.parse().unwrap());
            let found: Vec<&Value> = match page {
                0 | 1 => releases.iter().filter(fits).collect(),
                _ => Vec::new(),
            };
            return answer(200, serde_json::to_string(&found).unwrap());
        }
        if seen.method == "GET" {
            let found = releases.iter().find(|release| {
                seen.path
                    .to_lowercase()
                    .ends_with(&release["address"].as_str().unwrap().to_lowercase())
            });
            if let Some(found) = found {
                return answer(200, found.to_string());
            }
        }
        answer(0, "")
    })
}

#[test]
fn a_release_is_found_by_container_and_bl_among_those_that_are_ours() {
    let with = |mut release: Value, name: &str, value: Value| {
        release[name] = value;
        release
    };
    let fake = knowing(vec![
        with(release("0xde1e7ed0", "CSQU3054383", "BL1"), "deleted", json!(true)),
        with(
            release("0x0a7e0000", "CSQU3054383", "BL1"),
            "gateOut",
            json!("2026-01-05T14:00:00.000Z"),
        ),
        with(release("0x0a000000", "CSQU3054383", "BL1"), "selfOwnerVat", json!("BE1000000021")),
        release(A1, "CSQU3054383", "BL1"),
        release(A2, "CSQU3054383", "BL2"),
        release(A3, "TOLU4734787", "BL3"),
    ]);
    let provider = scr(&fake, SIGNED, "");
    provider.drop_file(
        "acme",
        "D.csv",
        format!("{HEAD}T;;CSQU3054383;BL1;An;P;1;;\nT;;TOLU4734787;;Bo;P;2;;\nT;;CSQU3054383;;Cy;P;3;;\n"),
    );
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let put: Vec<String> = fake
        .to(BASE)
        .into_iter()
        .filter(|call| call.method == "PUT")
        .map(|call| call.path)
        .collect();
    let mut put = put;
    put.sort();
    assert_eq!(
        put,
        [format!("{BASE}/releases/{A3}/assign"), format!("{BASE}/releases/{A1}/assign")]
    );
    let gets: Vec<Seen> = fake.to(BASE).into_iter().filter(|call| call.method == "GET").collect();
    assert!(
        gets.iter().any(|call| call.parameters().get("container").map(String::as_str)
            == Some("CSQU3054383")
            && call.parameters().get("bl").map(String::as_str) == Some("BL1"))
    );
    assert!(gets.iter().all(|call| call.header("authorization").starts_with("Bearer ")));
    // Several candidates: set aside, and named.
    let problems = provider.problems("acme", "D.csv");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].line), (3, 4));
    let told = format!("{:?}", problems[0]);
    assert!(told.contains(A1) && told.contains(A2), "{told}");
    // An encrypted pin is dropped on receipt.
    for file in files_below(&provider.path("state")) {
        assert!(!holds(&std::fs::read(&file).unwrap(), "5ec7e7p1n"), "{}", file.display());
    }
    assert!(!run.stderr.contains("5ec7e7p1n"));
}

#[test]
fn an_unknown_release_is_parked_and_looked_up_once_a_run() {
    let known = Arc::new(Mutex::new(false));
    let now = known.clone();
    let fake = Fake::start(move |seen, _| match seen.method.as_str() {
        "GET" if *now.lock().unwrap() => {
            answer(200, json!([release(A1, "CSQU3054383", "BL1")]).to_string())
        }
        "GET" => answer(200, "[]"),
        _ => answer(0, ""),
    });
    let provider = scr(&fake, NONE, "");
    provider.drop_file("acme", "D.csv", format!("{HEAD}T;;CSQU3054383;BL1;An;P;1;;\n"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(provider.records("acme", "parked"), 1);
    assert_eq!(fake.to(BASE).len(), 1);
    assert_eq!(
        provider.status()["customers"]["acme"]["files"]["answered"],
        1,
        "{}",
        provider.status()
    );
    let receipt = provider.receipt("acme", "D.csv");
    assert_eq!(receipt["records"]["parked"], 1, "{receipt}");
    assert!(receipt["answered"].is_string() && receipt["settled"].is_null(), "{receipt}");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(fake.to(BASE).len(), 2, "once a run");
    *known.lock().unwrap() = true;
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let receipt = provider.receipt("acme", "D.csv");
    assert_eq!(receipt["records"]["delivered"], 1, "{receipt}");
    assert!(receipt["settled"].is_string());
    assert_eq!(provider.names("acme", "receipts"), ["D.csv.receipt.json", "D.csv.verdicts.csv"]);
    provider.check_ledger();
}

#[test]
fn what_is_parked_too_long_is_set_aside() {
    let fake = Fake::start(|seen, _| match seen.method.as_str() {
        "GET" => answer(200, "[]"),
        _ => answer(0, ""),
    });
    let provider = scr(&fake, NONE, "park_for = \"1s\"");
    provider.drop_file("acme", "D.csv", format!("{HEAD}T;;CSQU3054383;BL1;An;P;1;;\n"));
    provider.run_once(&[]).ended(75);
    std::thread::sleep(Duration::from_millis(1100));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(provider.records("acme", "quarantined"), 1);
    assert!(provider.rejects("acme", "D.csv").is_some());
}

#[test]
fn an_unassign_is_confirmed_by_a_get() {
    let fake = knowing(vec![release(A1, "CSQU3054383", "BL1")]);
    let provider = scr(&fake, NONE, SOON);
    provider.drop_file("acme", "D.csv", format!("{HEAD}A;{A1};;;;;;;\n"));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let calls: Vec<(String, String)> =
        fake.to(BASE).into_iter().map(|call| (call.method, call.path.to_lowercase())).collect();
    assert_eq!(
        calls,
        [
            ("PUT".to_owned(), format!("{BASE}/releases/{A1}/unassign")),
            ("GET".to_owned(), format!("{BASE}/releases/{A1}")),
        ]
    );
    assert_eq!(provider.records("acme", "delivered"), 1);
}

#[test]
fn for_one_release_the_order_of_arrival_holds_and_an_older_one_that_still_waits_is_superseded() {
    let fake = Fake::willing();
    let provider = scr(&fake, NONE, "");
    provider.drop_file(
        "acme",
        "1.csv",
        format!("{HEAD}T;{A1};;;An;P;A;;\nT;{A2};;;An;P;A;;\nT;{A1};;;Bo;P;B;;\n"),
    );
    provider.drop_file("acme", "2.csv", format!("{HEAD}T;{A1};;;An;P;A;;\n"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let sent: Vec<String> = fake
        .to(&format!("{BASE}/releases/{A1}/assign"))
        .iter()
        .map(|call| call.json()["identification"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent.last().map(String::as_str), Some("A"), "driver A, B, A ends with A: {sent:?}");
    let status = provider.status();
    let records = &status["customers"]["acme"]["records"];
    let count = |state: &str| records[state].as_u64().unwrap();
    assert_eq!(count("delivered") + count("superseded"), 4, "{status}");
}

#[test]
fn an_older_assignment_that_failed_for_now_never_overtakes_a_newer_one() {
    // The first assignment of A1 meets a fault; a later file brings a newer one.
    let fake = Fake::start(|seen, earlier| match (seen.path.ends_with("/assign"), earlier) {
        (true, 0) => answer(500, r#"{"code":1,"description":"busy"}"#),
        _ => answer(0, ""),
    });
    let provider =
        scr(&fake, NONE, "retry = { first = \"500ms\", max = \"10m\", give_up_after = \"24h\" }");
    provider.drop_file("acme", "1.csv", format!("{HEAD}T;{A1};;;An;P;OLD;;\n"));
    provider.run_once(&[]).ended(75);
    provider.drop_file("acme", "2.csv", format!("{HEAD}T;{A1};;;Bo;P;NEW;;\n"));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let sent: Vec<String> = fake
        .to(&format!("{BASE}/releases/{A1}/assign"))
        .iter()
        .map(|call| call.json()["identification"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent[0], "OLD");
    assert_eq!(sent.last().unwrap(), "NEW", "{sent:?}");
}

#[test]
fn twenty_calls_are_open_at_most_and_never_two_of_one_release() {
    let open: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let fault: Arc<Mutex<Option<String>>> = Arc::default();
    let (now, seen_fault) = (open.clone(), fault.clone());
    let fake = Fake::start(move |seen, _| {
        let key = seen.path.clone();
        {
            let mut open = now.lock().unwrap();
            let count = open.entry(key.clone()).or_default();
            *count += 1;
            if *count > 1 {
                *seen_fault.lock().unwrap() = Some(key.clone());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        *now.lock().unwrap().get_mut(&key).unwrap() -= 1;
        answer(204, "")
    });
    let provider = scr(&fake, NONE, "");
    let mut text = HEAD.to_owned();
    for n in 0..300 {
        text += &format!("T;0x{:040x};;;An;P;{n};;\n", n % 150);
    }
    provider.drop_file("acme", "D.csv", text);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(fake.most_open() <= 20, "{}", fake.most_open());
    assert!(fake.most_open() >= 15, "many releases go in parallel: {}", fake.most_open());
    assert_eq!(*fault.lock().unwrap(), None);
}

#[test]
fn a_lower_concurrency_is_kept() {
    let fake = Fake::start(|_, _| answer(204, "").after(Duration::from_millis(10)));
    let provider = scr(&fake, NONE, "");
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", config.replace("timeout = \"20s\"", "concurrency = 3"));
    let mut text = HEAD.to_owned();
    for n in 0..30 {
        text += &format!("T;0x{n:040x};;;An;P;{n};;\n");
    }
    provider.drop_file("acme", "D.csv", text);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.most_open(), 3);
}

#[test]
fn a_business_fault_is_tried_later_and_in_the_end_set_aside_with_its_description() {
    let fake = Fake::start(|seen, _| match seen.path.contains(A1) {
        true => answer(500, r#"{"code": 17, "description": "release is blocked"}"#),
        false => answer(204, ""),
    });
    let provider =
        scr(&fake, NONE, r#"retry = { first = "100ms", max = "200ms", give_up_after = "1s" }"#);
    provider.drop_file("acme", "D.csv", format!("{HEAD}T;{A1};;;An;P;1;;\nT;{A2};;;An;P;1;;\n"));
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(provider.records("acme", "delivered"), 1);
    let problems = provider.problems("acme", "D.csv");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].rule.as_str()), (1, "refused"));
    assert!(
        problems[0].advice.contains("500") && problems[0].advice.contains("release is blocked"),
        "{problems:?}"
    );
    assert_eq!(
        provider.rejects("acme", "D.csv").unwrap(),
        format!("{HEAD}T;{A1};;;An;P;1;;\n").as_bytes()
    );
}

#[test]
fn a_refused_signature_pauses_the_channel() {
    let fake = Fake::start(|_, _| answer(401, ""));
    let provider = scr(&fake, SIGNED, "");
    provider.drop_file("acme", "D.csv", format!("{HEAD}T;{A1};;;An;P;1;;\nT;{A2};;;An;P;1;;\n"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.records("acme", "quarantined"), 0);
    assert_eq!(provider.records("acme", "deferred"), 2, "{}", provider.status());
    assert!(fake.to(BASE).len() <= 2);
}

#[test]
fn scr_sends_repeats_unless_the_route_says_otherwise() {
    for (more, calls, discarded) in [("", 2, 0), ("repeats = \"skip\"", 1, 1)] {
        let fake = Fake::willing();
        let provider = scr(&fake, NONE, "");
        let text = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
        provider.file("customers/acme.toml", format!("{text}{more}\n"));
        for name in ["1.csv", "2.csv"] {
            provider.drop_file("acme", name, format!("{HEAD}T;{A1};;;An;P;1;;\n"));
            provider.run_once(&[]).ended(0);
        }
        assert_eq!(fake.to(BASE).len(), calls, "{more}");
        assert_eq!(provider.records("acme", "discarded"), discarded, "{more}");
        let receipt = provider.receipt("acme", "2.csv");
        assert_eq!(receipt["repeat_of"]["name"], "1.csv", "{receipt}");
    }
}

#[test]
fn personal_data_is_masked_in_logs_and_status() {
    let fake = Fake::start(|_, _| {
        answer(
            500,
            r#"{"code":1,"description":"driver ALFA-9988776 (phone +32470112233) is unknown"}"#,
        )
    });
    let provider = scr(&fake, NONE, SOON);
    provider.drop_file(
        "acme",
        "D.csv",
        format!("{HEAD}T;{A1};;;An;Peeters;ALFA-9988776;;+32470112233\n"),
    );
    let run = provider.run_once(&["-vv", "--wait", "500ms"]);
    let mut outputs = vec![run.stdout, run.stderr];
    for command in
        [&["status"][..], &["status", "--json"], &["status", "D.csv"], &["-vv", "status"]]
    {
        let run = provider.run(command);
        outputs.extend([run.stdout, run.stderr]);
    }
    for output in outputs {
        assert!(!output.contains("9988776"), "{output}");
        assert!(!output.contains("470112233"), "{output}");
    }
}
