//! What a person asks of the port: commands for SCR APIs and CPu, with and without a daemon.

use std::time::Duration;

use lighterman::sandbox::{Company, Decision, Fault, Release, What};
use serde_json::{Value, json};

use crate::contract_fake::{Fake, answer};
use crate::harness::callback::{CALLBACK_KEY, free_address, on_release, post, signed};
use crate::harness::*;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// The VAT number of a second company of the wallet.
const OTHER_VAT: &str = "BE1000000021";

fn address(n: u64) -> String {
    format!("0xC0de{n:036x}")
}

fn releases(count: u64) -> Vec<Release> {
    (0..count).map(|n| Port::release(&address(n), &format!("TEST{n:07}"), "BL1")).collect()
}

/// A port with these releases, and the customer `wilgen` of its wallet.
fn wilgen(releases: Vec<Release>) -> (Port, Provider) {
    let port = Port::open(Port::scr_world(releases, 0));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", "");
    (port, provider)
}

#[track_caller]
fn json_of(provider: &Provider, arguments: &[&str]) -> Value {
    let run = provider.run(&[arguments, &["--json"]].concat());
    assert_eq!(run.code, 0, "{run}");
    serde_json::from_str(&run.stdout).unwrap()
}

/// The addresses that `scr releases` lists.
#[track_caller]
fn listed(provider: &Provider, arguments: &[&str]) -> Vec<String> {
    let list = json_of(provider, &[&["scr", "releases"], arguments].concat());
    let list = list.as_array().unwrap().iter();
    list.map(|release| release["address"].as_str().unwrap().to_owned()).collect()
}

/// What a command that is refused says.
#[track_caller]
fn refused(provider: &Provider, code: i32, arguments: &[&str]) -> String {
    let run = provider.run(arguments);
    assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{run}");
    run.stderr
}

#[test]
fn while_a_daemon_runs_its_gate_counts_what_is_asked() {
    let (port, provider) = wilgen(releases(22));
    let daemon = provider.start();
    // One shows that the channel works.
    let first = Assignment::at(&address(21), Wanted::Driver("21".to_owned()));
    provider.drop_file("wilgen", "0.xml", xml([first]));
    until_true("the first", || provider.records("wilgen", "delivered") == 1);
    port.set_latency(SCR, AN_HOUR).unwrap();
    let file = (0..20).map(|n| Assignment::at(&address(n), Wanted::Driver(n.to_string())));
    provider.drop_file("wilgen", "1.xml", xml(file));
    until_true("twenty calls", || port.stats().scr[SCR].highest_open == 20);
    let last = address(20);
    let asked = provider.start_with(&["scr", "pincode", &last, "--yes", "--customer", "wilgen"]);
    let waiting =
        || provider.status()["customers"]["wilgen"]["requests"]["waiting"].as_u64().unwrap();
    until_true("the twenty-first waits", || waiting() == 1);
    assert_eq!(port.stats().scr[SCR].pin_reads, 0);
    // Reads wait for none of them.
    assert_eq!(listed(&provider, &["--bl", "BL1"]).len(), 22);
    port.set_latency(SCR, Duration::ZERO).unwrap();
    let ended = asked.end();
    assert_eq!(ended.code, 0, "{ended}");
    let stopped = daemon.stop();
    assert!(!stopped.stderr.contains(ended.stdout.trim()), "the pin is in the log");
    let scr = &port.stats().scr[SCR];
    assert_eq!((scr.highest_open, scr.pin_reads), (20, 1));
}

#[test]
fn of_a_shared_api_a_customer_is_shown_its_own_releases_alone() {
    let mut all = releases(2);
    all[1].owner_vat = Some(OTHER_VAT.to_owned());
    let (port, provider) = wilgen(all);
    let (own, other) = (address(0), address(1));
    // It is the only one: all that the wallet sees is its.
    assert_eq!(listed(&provider, &["--customer", "wilgen"]), [&*own, &*other]);
    provider.transporter("elzen", "BE 1000.000.021", "assignments", "");
    assert_eq!(listed(&provider, &[]), [&*own, &*other]);
    assert_eq!(listed(&provider, &["--customer", "wilgen"]), [&*own]);
    assert_eq!(listed(&provider, &["--customer", "elzen"]), [&*other]);
    for ask in ["release", "pincode"] {
        let mut arguments = vec!["scr", ask, &other, "--customer", "wilgen"];
        arguments.extend((ask == "pincode").then_some("--yes"));
        let said = refused(&provider, 1, &arguments);
        assert!(said.contains(&format!("there is no release {other} of wilgen")), "{said}");
    }
    assert_eq!(port.stats().scr[SCR].pin_reads, 0);
    json_of(&provider, &["scr", "release", &own, "--customer", "wilgen"]);
    // Whose the wallet is cannot be known while a customer's file is broken.
    provider.file("customers/elzen.toml", "vat = 7");
    assert_eq!(listed(&provider, &["--customer", "wilgen"]), [&*own]);
    let said = refused(&provider, 2, &["scr", "releases", "--customer", "elzen"]);
    assert!(said.contains("the config of elzen has faults"), "{said}");
}

#[test]
fn which_api_is_meant_must_be_clear() {
    let (port, provider) = wilgen(releases(1));
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let second = format!(
        "{config}\n[scr.wallet-b]\nurl = \"{}/wallet-b\"\nauth = {{ type = \"none\" }}\n",
        port.url()
    );
    provider.file("lighterman.toml", second);
    let said = refused(&provider, 2, &["scr", "connections"]);
    assert!(said.contains("say which SCR API, by --api: wallet-a, wallet-b"), "{said}");
    json_of(&provider, &["scr", "connections", "--api", "wallet-a"]);
    json_of(&provider, &["scr", "connections", "--customer", "wilgen"]);
    for (arguments, why) in [
        (["--api", "wallet-c"], "the config has no SCR API \"wallet-c\", only wallet-a, wallet-b"),
        (["--customer", "nobody"], "there is no customer \"nobody\""),
    ] {
        let said = refused(&provider, 2, &[&["scr", "connections"], &arguments[..]].concat());
        assert!(said.contains(why), "{said}");
    }
    let both = ["scr", "connections", "--api", "wallet-b", "--customer", "wilgen"];
    let said = refused(&provider, 2, &both);
    assert!(said.contains("wilgen has no SCR API \"wallet-b\", only wallet-a"), "{said}");
}

#[test]
fn a_long_list_is_read_to_its_end() {
    let (port, provider) = wilgen(releases(250));
    let all = listed(&provider, &[]);
    assert_eq!(all, (0..250).map(address).collect::<Vec<_>>());
    let pages = port.calls_to(&format!("{SCR}/releases"));
    assert!(pages.iter().all(|call| call.query.starts_with("limit=100")), "{pages:?}");
}

#[test]
fn an_outage_is_for_later_and_what_may_have_been_done_is_for_a_person() {
    let (port, provider) = wilgen(releases(1));
    let invite = ["scr", "invite", "--name", "X", "--vat", "BE1", "--email", "x@example.com"];
    port.fault(Fault::new("/wallet-a/*", What::DropAfter).times(1)).unwrap();
    let said = refused(&provider, 4, &invite);
    assert!(
        said.contains("may have been done all the same: see `lighterman scr connections`"),
        "{said}"
    );
    port.fault(Fault::status("/wallet-a/*", 503).times(2)).unwrap();
    assert!(refused(&provider, 75, &["scr", "releases"]).contains("503"));
    assert!(refused(&provider, 75, &invite).contains("503"));
    port.fault(Fault::new("/wallet-a/*", What::DropAfter).times(1)).unwrap();
    refused(&provider, 75, &["scr", "connections"]);
    port.close();
    assert!(refused(&provider, 75, &["scr", "releases"]).contains("wallet-a: "));
}

#[test]
fn what_was_registered_is_told_until_it_is_true_no_more() {
    let at = free_address();
    let port = Port::open(Port::scr_world(releases(1), 0));
    let listen = format!(
        "callback = {{ key = {{ file = \"secrets/callback\" }}, in = \"header\" }}\n\n[listen]\n\
         notifications = {{ address = \"{at}\" }}\n"
    );
    let provider = Provider::with(&port, &listen);
    provider.secret("callback", CALLBACK_KEY);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", "");
    let hints = || {
        let run = provider.run(&["check"]);
        assert_eq!(run.code, 0, "{run}");
        run.stderr.lines().filter(|line| line.starts_with("hint: ")).count()
    };
    assert_eq!(hints(), 1, "there is no state, so nothing was registered");
    let advice = || provider.status()["subscriptions"]["wallet-a"]["advice"].clone();
    let has = |words: &str| advice().as_str().is_some_and(|advice| advice.contains(words));
    assert!(has("nothing was registered from here"), "{}", advice());

    let daemon = provider.start();
    until_true("the receiver", || std::net::TcpStream::connect(at).is_ok());
    assert_eq!(hints(), 1, "a run knows it");
    let url = format!("http://{at}/notifications/scr/{{api}}");
    let run = provider.run(&["scr", "subscribe", "--url", &url]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    assert_eq!((advice(), hints()), (Value::Null, 0));
    assert_eq!(provider.status()["subscriptions"]["wallet-a"]["last_event"], Value::Null);
    let path = "/notifications/scr/wallet-a";
    assert_eq!(post(at, path, &[&signed()], &on_release("UPDATE", &address(0), VAT)), 200);
    let of = provider.status()["subscriptions"]["wallet-a"].clone();
    assert!(
        of["last_event"].is_string() && of["registered"]["onRelease"]["at"].is_string(),
        "{of}"
    );
    let text = provider.run(&["status"]).stdout;
    let line = format!("subscription wallet-a: onRelease to http://{at}{path}, registered 2");
    assert!(text.contains(&line), "{text}");
    assert_eq!(daemon.stop().code, 0);

    // Another installation, another name, and nobody who listens.
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", config.replace(SCR, "/wallet-b/tmining/api/v1"));
    assert!(has("the API's own URL has changed since"), "{}", advice());
    provider.file("lighterman.toml", config.split("\n[listen]").next().unwrap());
    assert!(has("nothing listens here"), "{}", advice());
    provider.file("lighterman.toml", config.replace("[scr.wallet-a]", "[scr.wallet-z]"));
    provider.transporter("wilgen", VAT, "assignments", "");
    let customer = std::fs::read_to_string(provider.path("customers/wilgen.toml")).unwrap();
    provider.file("customers/wilgen.toml", customer.replace("wallet-a", "wallet-z"));
    assert!(has("the config has no such API any more"), "{}", advice());
    let other = &provider.status()["subscriptions"]["wallet-z"]["advice"];
    assert!(other.as_str().unwrap().contains("lighterman scr subscribe --api wallet-z"), "{other}");
    provider.check_ledger();
}

#[test]
fn the_answer_to_an_invitation_by_hand_finds_whom_it_is_for() {
    let at = free_address();
    let port = Port::open(Port::scr_world(releases(1), 0));
    let listen = format!(
        "callback = {{ key = {{ file = \"secrets/callback\" }}, in = \"header\" }}\n\n[listen]\n\
         notifications = {{ address = \"{at}\" }}\n"
    );
    let provider = Provider::with(&port, &listen);
    provider.secret("callback", CALLBACK_KEY);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", "");
    provider.transporter("elzen", OTHER_VAT, "assignments", "");
    let daemon = provider.start();
    until_true("the receiver", || std::net::TcpStream::connect(at).is_ok());
    let url = format!("http://{at}/notifications/scr/{{api}}");
    assert_eq!(provider.run(&["scr", "subscribe", "--url", &url]).code, 0);
    let invite = ["scr", "invite", "--name", "X", "--vat", "BE 7", "--email", "x@example.com"];
    let said = refused(&provider, 2, &invite);
    assert!(said.contains("say for which, by --customer: elzen, wilgen"), "{said}");
    let with = ["--reference", "ref-7", "--customer", "elzen"];
    let run = provider.run(&[&invite[..], &with].concat());
    assert_eq!(run.code, 0, "{run}");
    port.decide(SCR, "ref-7", Decision::Accepted).unwrap();
    let notifications = || provider.status()["notifications"]["scr/wallet-a"].clone();
    until_true("the answer", || notifications()["last"].is_string());
    until_true("its end", || notifications()["open"] == 0);
    assert_eq!(provider.alarms(), [""; 0]);
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

/// A customer of CPu, whose phone book has two companies.
fn phone_book() -> (Port, Provider) {
    let company = |name: &str, vat: &str, eori: &str| Company {
        login: "acme".to_owned(),
        subscription_key: format!("key-of-{name}"),
        name: name.to_owned(),
        vat: vat.to_owned(),
        eori: eori.to_owned(),
        duns: String::new(),
        apcs: String::new(),
        nxt_entity_id: format!("NXT-{name}"),
        callback: None,
    };
    let mut world = Port::world(&["acme"]);
    world.cpu.companies = vec![company("Acme", VAT, "BE1"), company("Zeta", OTHER_VAT, "BE2")];
    let port = Port::open(world);
    let provider = Provider::new(&port);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let cpu = format!("[endpoints]\ncpu = \"{}/certified-pickup/v1\"", port.url());
    provider.file("lighterman.toml", config.replace("[endpoints]", &cpu));
    provider.secret("acme", "acme-password");
    provider.secret("key", "key-of-Acme");
    provider.mapping("assignments", ASSIGNMENTS);
    provider.customer(
        "acme",
        VAT,
        r#"
[logins.own]
client           = "nxtport"
username         = "acme"
password         = { file = "../secrets/acme" }
subscription_key = { file = "../secrets/key" }

[channels.out]
type  = "cpu"
login = "own"

[[routes]]
source  = "in"
files   = "*"
mapping = "assignments"
channel = "out"
"#,
    );
    (port, provider)
}

#[test]
fn the_phone_book_of_cpu_is_searched_with_both_credentials() {
    let (port, provider) = phone_book();
    let found = |arguments: &[&str]| {
        let found = json_of(&provider, &[&["cpu", "entities"], arguments].concat());
        let names = found.as_array().unwrap().iter();
        names.map(|one| one["entityName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), ["Acme", "Zeta"]);
    assert_eq!(found(&["--vat", VAT]), ["Acme"]);
    assert_eq!(found(&["--eori", "BE2", "--name", "zeta"]), ["Zeta"]);
    assert_eq!(found(&["--duns", "1", "--apcs", "2"]), [""; 0]);
    let calls = port.calls_to("/certified-pickup/v1/entities");
    let queries: Vec<&str> = calls.iter().map(|call| call.query.as_str()).collect();
    let expected = ["", "Vat=BE0403019261", "Eori=BE2&EntityName=zeta", "Duns=1&ApcsCode=2"];
    assert_eq!(queries, expected);
    assert!(calls.iter().all(|call| call.method == "GET" && call.login.as_deref() == Some("acme")));
    let run = provider.run(&["cpu", "entities", "--vat", VAT, "--customer", "acme"]);
    assert_eq!(run.code, 0, "{run}");
    let rows: Vec<Vec<&str>> =
        run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "{run}");
    let at = rows[0].iter().position(|head| *head == "nxtEntityId").unwrap();
    assert!(rows[1].contains(&"NXT-Acme") && at < rows[0].len(), "{run}");
    let said = refused(&provider, 2, &["cpu", "entities", "--customer", "nobody"]);
    assert!(said.contains("no customer \"nobody\" with a channel of type cpu"), "{said}");
}

#[test]
fn a_refused_password_is_not_tried_to_death_by_a_person_either() {
    let (port, provider) = phone_book();
    provider.secret("acme", "another password");
    let ask = ["cpu", "entities"];
    for _ in 0..3 {
        assert!(refused(&provider, 4, &ask).contains("the login is refused"));
    }
    let tried = port.stats().token.refused;
    assert!(refused(&provider, 4, &ask).contains("left alone, since accounts lock"));
    assert_eq!(port.stats().token.refused, tried);
    provider.secret("acme", "acme-password");
    json_of(&provider, &ask);
}

/// The sample of "Get all releases" as it stands in the document: no comma before `"version"`, a
/// container number of twelve characters, three forms of a date.
const SAMPLE: &str = r#"[{
"release_data": {
"billOfLading": { "blNumber": "RELEASE-API-TEST-1612", "portOfLoading": "BEANR",
"portOfDestination": "BEANR", "vessel": "AAA", "agent": "BBB", "stayNumber": "00001",
"lloydsNumber": "0002", "voyageNumber": "0003" },
"container": { "containerNumber": "CSQU32345690", "containerStatus": "released",
"pickupLocation": "ECTDCD", "turnInLocation": "terminal_locode", "turnInReference": "aref",
"termsAndConditions": "base64 encoded data", "validFrom": "2017-01-05T14:00:00.000Z",
"validUntil": "2025-01-05T14:00:00.000Z", "isoTypeCode": "45G1" } },
"address": "0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0",
"deleted": false, "blocked": false, "encryptedPin": "18570bfece4999db5cd9b6102f9cff47",
"gateOut": null, "createdAt": "2021-12-20T14:17:05.623Z", "updatedAt": "2022-02-16T08:52:13.251Z",
"owner": "0x79F98099b2Bf4e5a47244E0cDba500F68b567ce5",
"creator": "0xa2039dC115B5904c224FEc057684fcCcc88E2f05",
"greenLights": { "total": "green", "events": {
"customs": {"color": "green", "value": "released", "updatedAt": "2023-07-10 13:00"},
"pickuplight": {"color": "gray", "value": "unknown", "updatedAt": ""} }, "source": "NxtPort"}

"version": "1.2.1", "pinRetrieved": false,
"previousOwner": "0xa2039dC115B5904c224FEc057684fcCcc88E2f05", "nextOwner": null,
"conditions": []
}]"#;

#[test]
fn the_documents_faulty_samples_are_taken_for_what_they_are() {
    let mended = SAMPLE.replace("\"NxtPort\"}\n", "\"NxtPort\"},\n");
    // "Get connections", whose keys are broken over lines; VAT numbers of no country's form.
    let connections = r#"[ { "reference": "9510e738-0bc0-4810-a32a-dc631268779a",
        "name": "Test Entity 2", "vat": "ME1115487451",
        "address": "0xa749B9C18362b63f1F6aFc959E776D11A880d962",
        "publicKey": "-----BEGIN PUBLIC

KEY-----\nMIIBIjANBgkqhkiG9w0B" } ]"#;
    let whole = connections.replace("PUBLIC\n\nKEY", "PUBLIC KEY");
    let broken_connections = connections.to_owned();
    let is_mended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let fixed = std::sync::Arc::clone(&is_mended);
    let fake = Fake::start(move |seen, _| {
        let fixed = fixed.load(std::sync::atomic::Ordering::SeqCst);
        match (seen.path.rsplit('/').next().unwrap(), fixed) {
            ("releases", false) => answer(200, SAMPLE),
            ("releases", true) => answer(200, mended.clone()),
            ("connections", false) => answer(200, broken_connections.clone()),
            ("connections", true) => answer(200, whole.clone()),
            // "Error codes".
            _ => answer(500, "{\n\"code\": 1,\n\"description\": \"an error\"\n}"),
        }
    });
    let (port, provider) = wilgen(Vec::new());
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", config.replace(&port.url(), &fake.url()));
    for ask in ["releases", "connections"] {
        let said = refused(&provider, 75, &["scr", ask]);
        assert!(said.contains("did not answer with valid JSON"), "{said}");
        assert!(!said.contains("18570bfece"), "{said}");
    }
    is_mended.store(true, std::sync::atomic::Ordering::SeqCst);
    let run = provider.run(&["scr", "releases"]);
    let row = "CSQU32345690  RELEASE-API-TEST-1612  ours   green   ECTDCD   \
               2025-01-05T14:00:00.000Z  0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0";
    assert_eq!((run.code, run.stdout.lines().nth(1)), (0, Some(row)), "{run}");
    let all = json_of(&provider, &["scr", "releases"]);
    assert_eq!(all[0]["greenLights"]["events"]["customs"]["updatedAt"], "2023-07-10 13:00");
    assert_eq!(all[0].get("encryptedPin"), None);
    let expected = json!([{ "reference": "9510e738-0bc0-4810-a32a-dc631268779a",
        "name": "Test Entity 2", "vat": "ME1115487451",
        "address": "0xa749B9C18362b63f1F6aFc959E776D11A880d962" }]);
    assert_eq!(json_of(&provider, &["scr", "connections"]), expected);
    assert!(refused(&provider, 1, &["scr", "release", "0x1"]).contains("an error"));
}

#[test]
fn the_documents_barge_is_as_good_as_the_mappings_checks() {
    // "205402090" has nine digits, an ENI number eight.
    let (port, provider) = wilgen(releases(2));
    let barge = |n| Assignment::at(&address(n), Wanted::Barge("205402090".into(), None));
    provider.drop_file("wilgen", "1.xml", xml([barge(0)]));
    provider.run_once(&[]).ended(0);
    let sent = port.release(SCR, &address(0)).unwrap().assigned.unwrap();
    assert_eq!(sent.identification, "205402090");
    let barge_id = "to   = \"barge.identification\"";
    let checked = ASSIGNMENTS.replace(barge_id, &format!("{barge_id}\ncheck = \"eni\""));
    provider.mapping("assignments", &checked);
    provider.drop_file("wilgen", "2.xml", xml([barge(1)]));
    provider.run_once(&[]).ended(3);
    let problems = provider.problems("wilgen", "2.xml");
    assert_eq!((problems[0].rule.as_str(), problems[0].value.as_str()), ("eni", "205402090"));
    assert_eq!(port.release(SCR, &address(1)).unwrap().assigned, None);
}
