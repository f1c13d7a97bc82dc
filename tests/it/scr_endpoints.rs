//! Every endpoint of the SCR API's document (1.2.9): what our client asks, as the document has it,
//! and what the sandbox answers. What is expected is written from the document by hand.

use std::io::{Read, Write};
use std::net::TcpStream;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation, decode};
use lighterman::sandbox::{Call, Connection, Decision, Release};
use serde_json::{Value, json};

use crate::contract_fake::{Fake, answer};
use crate::harness::callback::{CALLBACK_KEY, jwt};
use crate::harness::*;

/// "0x79ED…", as the document writes an address.
const ADDRESS: &str = "0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0";
const OTHER: &str = "0x24Fc2D465AaAbf47DA7284920A7B5c3b368EC1D9";
const PARTNER: &str = "0xa749B9C18362b63f1F6aFc959E776D11A880d962";

/// A wallet with two releases and one connection, and its customer.
struct Stage {
    port: Port,
    provider: Provider,
}

impl Stage {
    fn new() -> Stage {
        let mut world = Port::scr_world(releases(), 0);
        world.scr[0].connections = vec![Connection {
            reference: "9510e738-0bc0-4810-a32a-dc631268779a".to_owned(),
            name: "Test Entity 2".to_owned(),
            vat: "ME1115487451".to_owned(),
            address: PARTNER.to_owned(),
        }];
        let port = Port::open(world);
        let provider = Provider::new(&port);
        provider.mapping("assignments", ASSIGNMENTS);
        let quick = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;
        provider.transporter("wilgen", VAT, "assignments", quick);
        Stage { port, provider }
    }

    /// `lighterman scr …`: what it said on stdout.
    #[track_caller]
    fn scr(&self, arguments: &[&str]) -> String {
        let run = self.provider.run(&[&["scr"], arguments].concat());
        assert_eq!(run.code, 0, "{run}");
        run.stdout
    }

    #[track_caller]
    fn scr_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.scr(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Sends one assignment through the channel.
    #[track_caller]
    fn assigns(&self, what: Wanted) {
        self.provider.drop_file("wilgen", "1.xml", xml([Assignment::at(ADDRESS, what)]));
        let run = self.provider.run_once(&["--wait", "10s"]);
        assert_eq!(run.code, 0, "{run}");
    }

    /// The only call with this method and path, below the API's base.
    #[track_caller]
    fn call(&self, method: &str, path: &str) -> Call {
        let path = format!("{SCR}{path}");
        let calls = self.port.calls();
        let mut calls: Vec<Call> =
            calls.into_iter().filter(|call| call.method == method && call.path == path).collect();
        assert_eq!(calls.len(), 1, "{method} {path}: {:?}", self.port.calls());
        calls.remove(0)
    }
}

fn releases() -> Vec<Release> {
    vec![
        Port::release(ADDRESS, "CSQU3054383", "RELEASE-API-TEST-1612"),
        Port::release(OTHER, "TOLU4734787", "RELEASE-API-TEST-1613"),
    ]
}

/// A call by hand: the status, the content type and the body that the sandbox answers.
fn ask(port: &Port, method: &str, path: &str, body: &Value) -> (u16, String, String) {
    let key = EncodingKey::from_secret(SCR_KEY.as_bytes());
    let token = jwt(Algorithm::HS256, &key, 60);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {SCR}{path} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\nContent-Type: \
         application/json\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(port.addr()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let kind = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
    });
    (head[9..12].parse().unwrap(), kind.unwrap_or_default(), body.to_owned())
}

/// The same, where JSON is answered.
#[track_caller]
fn told(port: &Port, path: &str) -> Value {
    let (status, kind, body) = ask(port, "GET", path, &Value::Null);
    assert_eq!((status, kind.as_str()), (200, "application/json"), "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Status and body of a call that changes something.
fn changed(port: &Port, method: &str, path: &str, body: Value) -> (u16, String) {
    let (status, _, body) = ask(port, method, path, &body);
    (status, body)
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Whether a call proves itself: "a bearer token in the authorization header", with `exp` "as an
/// integer".
#[track_caller]
fn is_signed(call: &Call) {
    assert!(call.headers["authorization"].starts_with("Bearer "), "{call:?}");
    assert!(call.jwt.as_ref().unwrap().exp.as_ref().unwrap().is_i64(), "{call:?}");
}

/// The fields of a release: "Get all releases", the sample and the table below it.
#[track_caller]
fn is_release(release: &Value) {
    let mut expected = [
        "release_data",
        "address",
        "deleted",
        "blocked",
        "encryptedPin",
        "gateOut",
        "createdAt",
        "updatedAt",
        "owner",
        "creator",
        "greenLights",
        "version",
        "pinRetrieved",
        "previousOwner",
        "previousOwnerName",
        "previousOwnerVat",
        "nextOwner",
        "nextOwnerName",
        "nextOwnerVat",
        "selfOwner",
        "selfOwnerName",
        "selfOwnerVat",
        "conditions",
    ];
    expected.sort_unstable();
    assert_eq!(names(release), expected);
    assert_eq!(
        names(&release["release_data"]["billOfLading"]),
        [
            "agent",
            "blNumber",
            "lloydsNumber",
            "portOfDestination",
            "portOfLoading",
            "stayNumber",
            "vessel",
            "voyageNumber"
        ]
    );
    assert_eq!(
        names(&release["release_data"]["container"]),
        [
            "containerNumber",
            "containerStatus",
            "isoTypeCode",
            "pickupLoCode",
            "pickupLocation",
            "termsAndConditions",
            "turnInLoCode",
            "turnInLocation",
            "turnInReference",
            "validFrom",
            "validUntil"
        ]
    );
    assert_eq!(names(&release["greenLights"]), ["events", "source", "total"]);
    assert_eq!(
        names(&release["greenLights"]["events"]),
        [
            "commercialrelease",
            "customs",
            "customsprogress",
            "gateoperation",
            "pickuplight",
            "terminaloperation",
            "terminalready"
        ]
    );
    for light in release["greenLights"]["events"].as_object().unwrap().values() {
        assert_eq!(names(light), ["color", "updatedAt", "value"]);
    }
}

#[test]
fn get_releases() {
    let stage = Stage::new();
    let list = stage.scr_json(&["releases"]);
    assert_eq!(list.as_array().unwrap().len(), 2);
    let call = stage.call("GET", "/releases");
    assert_eq!((call.query.as_str(), call.body_bytes, call.status), ("limit=100", 0, Some(200)));
    is_signed(&call);
    // What is sealed never comes further than the client.
    assert!(!list.to_string().contains("encryptedPin"));
    let all = told(&stage.port, "/releases");
    all.as_array().unwrap().iter().for_each(is_release);

    // "Parameters you can use for paging", "for filtering"; "an AND relationship".
    let by = |arguments: &[&str]| {
        let before = stage.port.calls().len();
        let list = stage.scr_json(&[&["releases"], arguments].concat());
        let query = stage.port.calls()[before].query.clone();
        let list = list.as_array().unwrap().iter().map(|one| one["address"].clone());
        (query, list.collect::<Vec<Value>>())
    };
    let (one, other) = (json!(ADDRESS), json!(OTHER));
    let (query, found) = by(&["--container", "CSQU3054383"]);
    assert_eq!((query.as_str(), found), ("container=CSQU3054383&limit=100", vec![one.clone()]));
    let (query, found) = by(&["--bl", "RELEASE-API-TEST-1613"]);
    assert_eq!(
        (query.as_str(), found),
        ("bl=RELEASE-API-TEST-1613&limit=100", vec![other.clone()])
    );
    let (_, found) = by(&["--container", "CSQU3054383", "--bl", "RELEASE-API-TEST-1613"]);
    assert_eq!(found, [] as [Value; 0]);
    let (query, found) = by(&["--limit", "1", "--page", "2"]);
    assert_eq!((query.as_str(), found), ("limit=1&page=2", vec![other]));
    let (query, found) = by(&["--since", "2999-01-01T00:00:00+01:00"]);
    assert_eq!(query, "since=2998-12-31T23%3A00%3A00Z&limit=100");
    assert_eq!(found, [] as [Value; 0]);
    let (_, found) = by(&["--since", "1h", "--limit", "1"]);
    assert_eq!(found, [one]);

    // For people.
    let text = stage.scr(&["releases"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("CONTAINER    BL                     STATE  LIGHTS"), "{text}");
    assert!(lines[1].starts_with("CSQU3054383  RELEASE-API-TEST-1612  ours   green"), "{text}");
    assert!(lines[1].ends_with(ADDRESS) && lines.len() == 3, "{text}");
}

#[test]
fn get_release() {
    let stage = Stage::new();
    let release = stage.scr_json(&["release", ADDRESS]);
    assert_eq!(release["address"], ADDRESS);
    assert_eq!(release["release_data"]["container"]["containerNumber"], "CSQU3054383");
    let call = stage.call("GET", &format!("/releases/{ADDRESS}"));
    assert_eq!((call.query.as_str(), call.body_bytes, call.status), ("", 0, Some(200)));
    is_signed(&call);
    is_release(&told(&stage.port, &format!("/releases/{ADDRESS}")));
    let text = stage.scr(&["release", ADDRESS]);
    let shown = |name: &str, value: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.is_some_and(|line| line.ends_with(&format!(" {value}")))
    };
    assert!(shown("container.containerNumber", "CSQU3054383"), "{text}");
    assert!(shown("greenLights.events.pickuplight.color", "gray"), "{text}");
    assert!(!text.contains("encryptedPin"), "{text}");
    // "When a 500 error is returned, the body contains the error code and description."
    let run = stage.provider.run(&["scr", "release", "0xC0FFEE"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("wallet-a: ") && run.stderr.contains("not found"), "{run}");
    assert_eq!(run.stdout, "");
}

#[test]
fn get_pincode() {
    let stage = Stage::new();
    let path = format!("/releases/{ADDRESS}/pincode");
    // Only if it is said to be meant.
    let run = stage.provider.run(&["scr", "pincode", ADDRESS]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("bars every later transfer") && run.stderr.contains("--yes"));
    assert_eq!(stage.port.stats().scr[SCR].pin_reads, 0);
    let run = stage.provider.run(&["scr", "pincode", ADDRESS, "--yes"]);
    assert_eq!(run.code, 0, "{run}");
    let pin = run.stdout.strip_suffix('\n').unwrap();
    assert!(pin.len() == 5 && pin.bytes().all(|digit| digit.is_ascii_digit()), "{run}");
    assert!(!run.stderr.contains(pin), "{run}");
    let call = stage.call("GET", &path);
    assert_eq!((call.query.as_str(), call.body_bytes, call.status), ("", 0, Some(200)));
    is_signed(&call);
    assert_eq!(told(&stage.port, &path), json!({ "pincode": pin }));
    assert_eq!(stage.scr_json(&["release", ADDRESS])["pinRetrieved"], true);
    // "In case you already fetched the pincode, you can no longer transfer the release."
    let to = json!({ "address": PARTNER });
    let (status, body) = changed(&stage.port, "PUT", &format!("/releases/{ADDRESS}/transfer"), to);
    assert_eq!(status, 500, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(names(&body), ["code", "description"]);
    assert!(body["code"].is_u64() && body["description"].is_string(), "{body}");
}

#[test]
fn put_transfer_and_revoke_as_records_ask_for_them() {
    let stage = moves::Stage::new(moves::world([moves::release(0)]), moves::QUICK);
    let address = moves::address(0);
    for (file, row, body) in [
        // "The blockchain account address of the other party must be specified."
        (
            "1.csv",
            ["transfer", &*address, "", "", moves::HAULIER.1, ""],
            json!({ "address": moves::HAULIER.2 }),
        ),
        ("2.csv", ["revoke", &*address, "", "", "", ""], Value::Null),
    ] {
        stage.file(file, [row]);
        let run = stage.provider.run_once(&["--wait", "10s"]);
        assert_eq!(run.code, 0, "{run}");
        let path = format!("{SCR}/releases/{address}/{}", row[0]);
        let calls = stage.port.calls_to(&path);
        let [call] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!(
            (call.method.as_str(), call.query.as_str(), call.status),
            ("PUT", "", Some(202))
        );
        let sent = match call.body.as_deref() {
            None | Some("") => Value::Null,
            Some(sent) => serde_json::from_str(sent).unwrap(),
        };
        assert_eq!(sent, body);
        is_signed(call);
    }
}

#[test]
fn put_transfer_and_revoke() {
    let stage = Stage::new();
    let path = |action: &str| format!("/releases/{ADDRESS}/{action}");
    // "This must be one of your connections"; "202".
    let stranger = json!({ "address": "0xC0FFEE" });
    assert_eq!(changed(&stage.port, "PUT", &path("transfer"), stranger).0, 500);
    let to = json!({ "address": PARTNER });
    assert_eq!(changed(&stage.port, "PUT", &path("transfer"), to), (202, String::new()));
    let release = told(&stage.port, &format!("/releases/{ADDRESS}"));
    assert_eq!(
        [
            &release["owner"],
            &release["nextOwner"],
            &release["nextOwnerName"],
            &release["nextOwnerVat"]
        ],
        [PARTNER, PARTNER, "Test Entity 2", "ME1115487451"].map(|text| json!(text)).each_ref()
    );
    // "The effect is that you become the owner again."
    assert_eq!(changed(&stage.port, "PUT", &path("revoke"), Value::Null), (202, String::new()));
    let release = told(&stage.port, &format!("/releases/{ADDRESS}"));
    assert_eq!((&release["owner"], &release["nextOwner"]), (&json!("0x5e1f"), &Value::Null));
}

#[test]
fn put_assign_of_a_driver() {
    let stage = Stage::new();
    stage.assigns(Wanted::Driver("0012345".to_owned()));
    let call = stage.call("PUT", &format!("/releases/{}/assign", ADDRESS.to_lowercase()));
    let body: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let expected = json!({ "type": "driver", "firstName": "Jan", "lastName": "Peeters",
                           "identification": "0012345" });
    assert_eq!((body, call.status, call.query.as_str()), (expected, Some(204), ""));
    assert_eq!(call.headers["content-type"], "application/json");
    is_signed(&call);
    // "These fields are mandatory in every request."
    for missing in ["firstName", "lastName", "type", "identification"] {
        let mut body = json!({ "type": "driver", "firstName": "J", "lastName": "P",
                               "identification": "1", "email": "", "phone": "" });
        body.as_object_mut().unwrap().remove(missing);
        let path = format!("/releases/{ADDRESS}/assign");
        assert_eq!(changed(&stage.port, "PUT", &path, body).0, 500, "{missing}");
    }
}

#[test]
fn put_assign_of_a_barge() {
    let stage = Stage::new();
    // The document's own barge, whose ENI number has a digit too many.
    stage.assigns(Wanted::Barge("205402090".to_owned(), Some("BTS2356".to_owned())));
    let call = stage.call("PUT", &format!("/releases/{}/assign", ADDRESS.to_lowercase()));
    let body: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let expected = json!({ "type": "barge", "name": "Sirene", "identification": "205402090",
                           "visitNumber": "BTS2356" });
    assert_eq!((body, call.status), (expected, Some(204)));
    is_signed(&call);
}

#[test]
fn put_assign_barge() {
    // We assign barges by the general endpoint; this one is there for others.
    let stage = Stage::new();
    let path = format!("/releases/{ADDRESS}/assign_barge");
    let barge =
        json!({ "name": "Antigoon", "identification": "205402090", "visitNumber": "BTS2356" });
    assert_eq!(changed(&stage.port, "PUT", &path, barge.clone()), (204, String::new()));
    let mut without = barge.clone();
    without.as_object_mut().unwrap().remove("visitNumber");
    assert_eq!(changed(&stage.port, "PUT", &path, without).0, 204, "it is optional");
    for missing in ["name", "identification"] {
        let mut barge = barge.clone();
        barge.as_object_mut().unwrap().remove(missing);
        assert_eq!(changed(&stage.port, "PUT", &path, barge).0, 500, "{missing}");
    }
}

#[test]
fn put_unassign() {
    let stage = Stage::new();
    stage.assigns(Wanted::Unassign);
    let call = stage.call("PUT", &format!("/releases/{}/unassign", ADDRESS.to_lowercase()));
    assert_eq!((call.body_bytes, call.status, call.query.as_str()), (0, Some(202), ""));
    is_signed(&call);
}

#[test]
fn post_invitations() {
    let stage = Stage::new();
    let said = stage.scr(&[
        "invite",
        "--name",
        "Transporter NV",
        "--vat",
        "BE161023354",
        "--email",
        "info@transporternv.com",
        "--reference",
        "clientref1",
    ]);
    assert_eq!(said, "wallet-a: the invitation is sent\n");
    let call = stage.call("POST", "/invitations");
    let body: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let expected = json!({ "reference": "clientref1", "name": "Transporter NV",
                           "vat": "BE161023354", "contactEmail": "info@transporternv.com" });
    assert_eq!((body, call.status), (expected, Some(204)));
    is_signed(&call);
    // "This field is not mandatory"; the others are.
    stage.scr(&["invite", "--name", "Two", "--vat", "BE2", "--email", "two@example.com"]);
    let last = stage.port.calls().pop().unwrap();
    let body: Value = serde_json::from_str(last.body.as_deref().unwrap()).unwrap();
    assert_eq!(names(&body), ["contactEmail", "name", "vat"]);
    for wrong in [
        vec!["--name", "Two", "--vat", "BE2"],
        vec!["--name", " ", "--vat", "BE2", "--email", "two@example.com"],
    ] {
        let run = stage.provider.run(&[&["scr", "invite"][..], &wrong].concat());
        assert_eq!(run.code, 2, "{run}");
    }
}

#[test]
fn get_connections() {
    let stage = Stage::new();
    let list = stage.scr_json(&["connections"]);
    let expected = json!([{ "reference": "9510e738-0bc0-4810-a32a-dc631268779a",
        "name": "Test Entity 2", "vat": "ME1115487451", "address": PARTNER }]);
    assert_eq!(list, expected);
    let call = stage.call("GET", "/connections");
    assert_eq!((call.query.as_str(), call.body_bytes, call.status), ("", 0, Some(200)));
    is_signed(&call);
    let answered = told(&stage.port, "/connections");
    assert_eq!(names(&answered[0]), ["address", "name", "publicKey", "reference", "vat"]);
    let text = stage.scr(&["connections"]);
    assert!(
        text.lines().nth(1).unwrap().starts_with("Test Entity 2  ME1115487451  9510"),
        "{text}"
    );
}

#[test]
fn post_subscriptions() {
    let stage = Stage::new();
    let url = "https://lighterman.example/notifications/scr/{api}";
    let told = stage.scr_json(&["subscribe", "--url", url]);
    let named = "https://lighterman.example/notifications/scr/wallet-a";
    assert_eq!(told, json!({ "api": "wallet-a", "url": named }));
    let calls = stage.port.calls_to(&format!("{SCR}/subscriptions"));
    let bodies: Vec<Value> = calls
        .iter()
        .map(|call| serde_json::from_str(call.body.as_deref().unwrap()).unwrap())
        .collect();
    let expected = ["onRelease", "onAcceptInvitation"]
        .map(|event| json!({ "eventType": event, "callback_url": named }));
    assert_eq!(bodies, expected);
    for call in &calls {
        assert_eq!((call.method.as_str(), call.status), ("POST", Some(204)));
        is_signed(call);
    }
    stage.scr(&["subscribe", "--url", named, "--event", "onRelease"]);
    assert_eq!(stage.port.calls_to(&format!("{SCR}/subscriptions")).len(), 3);
    // It is remembered, since no call tells it.
    let status = &stage.provider.status()["subscriptions"]["wallet-a"];
    assert_eq!(status["registered"]["onRelease"]["url"], named);
    assert_eq!(status["registered"]["onAcceptInvitation"]["url"], named);
    assert_eq!(status["last_event"], Value::Null);
    let run = stage.provider.run(&["scr", "subscribe", "--url", "https://lighterman.example/"]);
    assert_eq!(run.code, 2, "{run}");
}

/// A wallet whose callbacks a server of ours takes.
fn subscribed() -> (Stage, Fake) {
    let stage = Stage::new();
    let ours = Fake::start(|_, _| answer(200, ""));
    let url = format!("{}/notifications/scr/{{api}}", ours.url());
    stage.scr(&["subscribe", "--url", &url]);
    (stage, ours)
}

#[test]
fn callback_on_release() {
    let (stage, ours) = subscribed();
    let mut release = Port::release(OTHER, "TOLU4734787", "RELEASE-API-TEST-1613");
    release.green_lights.insert("customs".to_owned(), "selectedforscan".to_owned());
    stage.port.change(SCR, "greenlights", &release).unwrap();
    until_true("the call", || ours.seen().len() == 1);
    let seen = ours.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/notifications/scr/wallet-a"));
    let expected = json!({ "release": OTHER, "event": "GREENLIGHTS", "organization": "0x5e1f",
                           "vat": VAT });
    assert_eq!(seen.json(), expected);
    // "Your system must get the token from the authorization header, verify the signature, and check
    // the expiration time."
    let token = seen.header("authorization").strip_prefix("Bearer ").unwrap();
    let key = DecodingKey::from_secret(CALLBACK_KEY.as_bytes());
    let claims = decode::<Value>(token, &key, &Validation::new(Algorithm::HS256)).unwrap().claims;
    assert!(claims["exp"].is_i64());
    // "For transfers and revokes executed by your own organization a notification is also sent."
    let path = |action: &str| format!("/releases/{ADDRESS}/{action}");
    let to = json!({ "address": PARTNER });
    assert_eq!(changed(&stage.port, "PUT", &path("transfer"), to).0, 202);
    until_true("the call", || ours.seen().len() == 2);
    assert_eq!(changed(&stage.port, "PUT", &path("revoke"), Value::Null).0, 202);
    until_true("the call", || ours.seen().len() == 3);
    let events: Vec<Value> = ours.seen().iter().map(|seen| seen.json()["event"].clone()).collect();
    assert_eq!(events, ["GREENLIGHTS", "TRANSFER", "REVOKE"]);
}

#[test]
fn callback_on_accept_invitation() {
    let (stage, ours) = subscribed();
    for (reference, decision, word) in [
        ("clientref1", Decision::Accepted, "accepted"),
        ("clientref2", Decision::Refused, "refused"),
    ] {
        let before = ours.seen().len();
        stage.scr(&[
            "invite",
            "--name",
            "Transporter NV",
            "--vat",
            "BE161023354",
            "--email",
            "info@transporternv.com",
            "--reference",
            reference,
        ]);
        stage.port.decide(SCR, reference, decision).unwrap();
        until_true("the call", || ours.seen().len() == before + 1);
        let body = ours.seen().pop().unwrap().json();
        assert_eq!((&body["reference"], &body["status"]), (&json!(reference), &json!(word)));
        // "The organization data of the connected organization."
        assert_eq!(
            (&body["name"], &body["vat"]),
            (&json!("Transporter NV"), &json!("BE161023354"))
        );
        assert_eq!(body["address"].is_string(), decision == Decision::Accepted, "{body}");
    }
    assert_eq!(stage.scr_json(&["connections"]).as_array().unwrap().len(), 2);
}

#[test]
fn error_401() {
    let stage = Stage::new();
    stage.provider.secret("scr", "another-secret-of-thirty-two-bytes!!");
    for arguments in [
        &["releases"][..],
        &["release", ADDRESS],
        &["connections"],
        &["pincode", ADDRESS, "--yes"],
        &["subscribe", "--url", "https://x.example/notifications/scr/{api}"],
    ] {
        let run = stage.provider.run(&[&["scr"], arguments].concat());
        assert_eq!(run.code, 4, "{run}");
        assert!(run.stderr.contains("Invalid Authorization bearer token"), "{run}");
        assert!(run.stderr.contains("compare key and algorithm"), "{run}");
        assert_eq!(run.stdout, "");
    }
    assert_eq!(stage.provider.status().get("subscriptions"), None, "nothing was registered");
}
