//! What the sandbox promises, seen from outside by a plain HTTP client.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::*;

mod control;
mod cpu;
mod faults;
mod ingestion;
mod jwt;
mod scr;
mod sharing;
mod token;

/// How long a call is held that is to be let go later.
const AN_HOUR: u64 = 3_600_000;
const FORM: &str = "grant_type=password&client_id=builder&client_secret=builder-secret\
                    &username=acme&password=acme-password&scope=openid";
const SCR: &str = "/wallet-a/tmining/api/v1";

/// A sandbox on a free port and a client for it.
struct Port {
    sandbox: Sandbox,
    http: Client,
}

impl Port {
    async fn open() -> Port {
        Port::of(world()).await
    }

    async fn of(world: Value) -> Port {
        let sandbox = Sandbox::start(parsed(world), free_port()).await.unwrap();
        Port { sandbox, http: Client::builder().no_proxy().build().unwrap() }
    }

    fn call(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.sandbox.url()))
    }

    async fn log_in(&self, form: &str) -> (StatusCode, Value) {
        answer(form_call(self, form)).await
    }

    async fn token(&self) -> String {
        let (_, answer) = self.log_in(FORM).await;
        answer["access_token"].as_str().unwrap().to_string()
    }

    /// A call to the SCR API, with a body where there is one.
    async fn scr(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let call = self.call(method, &format!("{SCR}{path}"));
        answer(if body.is_null() { call } else { call.json(&body) }).await
    }
}

/// Waits until something has happened in the sandbox.
async fn until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::task::yield_now().await;
    }
}

/// Makes a call, and leaves once the sandbox is busy with it.
async fn leave(call: RequestBuilder, busy: impl Fn() -> bool) {
    let waiting = tokio::spawn(call.send());
    until(busy).await;
    waiting.abort();
    until(|| waiting.is_finished()).await;
}

fn form_call(port: &Port, form: &str) -> RequestBuilder {
    port.call("POST", "/connect/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_string())
}

fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Status and body of a call; a body that is no JSON as a string, none as null.
async fn answer(call: RequestBuilder) -> (StatusCode, Value) {
    let response = call.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let body = match text.as_str() {
        "" => Value::Null,
        _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    };
    (status, body)
}

fn parsed(world: Value) -> World {
    serde_json::from_value(world).unwrap()
}

/// Two customers' channels behind one builder, and one SCR API without authentication.
fn world() -> Value {
    json!({
        "clients": [
            { "id": "builder", "secret": "builder-secret", "grants": ["password"] },
            { "id": "machine", "secret": "machine-secret", "grants": ["client_credentials"] },
        ],
        "users": [
            { "username": "acme", "password": "acme-password" },
            { "username": "zeta", "password": "zeta+password &%" },
        ],
        "channels": [
            { "id": "c-acme", "login": "acme" },
            { "id": "c-zeta", "login": "zeta", "subscription_key": "zeta-key" },
            { "id": "c-machine", "login": "machine" },
        ],
        "scr": [{
            "path": SCR,
            "latency_ms": 0,
            "self": { "address": "0xSelf", "name": "Acme NV", "vat": "BE0403019261" },
            "connections": [
                { "reference": "r1", "name": "Transporter NV", "vat": "BE1", "address": "0xC1" },
            ],
            "releases": [
                { "address": "0xAa01", "container": "CSQU3054383", "bl": "BL1" },
                { "address": "0xAa02", "container": "CSQU3054383", "bl": "BL2" },
                { "address": "0xAa03", "container": "TOLU4734787", "bl": "BL1", "deleted": true },
                { "address": "0xAa04", "container": "MSKU4733980", "bl": "BL4",
                  "transferred_to": "BE1" },
                { "address": "0xAa05", "container": "MSKU4733980", "bl": "BL5",
                  "owner_vat": "BE0417497106", "blocked": true, "gate_out": "2026-01-06T10:00:00Z" },
            ],
        }],
    })
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused_unless_it_is_asked_for() {
    let anywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let error = Sandbox::start(World::default(), anywhere).await.err().unwrap().to_string();
    assert!(error.contains("0.0.0.0:0 is not a loopback address"), "{error}");
    let sandbox = Sandbox::start_anywhere(World::default(), anywhere).await.unwrap();
    assert_ne!(sandbox.addr().port(), 0);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let port = Port::open().await;
    let taken = port.sandbox.addr();
    let error = Sandbox::start(World::default(), taken).await.err().unwrap();
    assert!(error.to_string().contains(&taken.to_string()), "{error:#}");
}

#[tokio::test]
async fn stopping_ends_open_connections_and_gives_the_port_back() {
    let port = Port::open().await;
    let Port { sandbox, http } = port;
    sandbox.fault(Fault::new("/", What::DelayMs(AN_HOUR))).unwrap();
    let url = format!("{}/ingestion/c-acme", sandbox.url());
    let waiting = tokio::spawn(http.post(url).send());
    until(|| !sandbox.calls().is_empty()).await;
    let addr = sandbox.addr();
    sandbox.stop().await;
    assert!(waiting.await.unwrap().is_err());
    Sandbox::start(World::default(), addr).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_world_that_contradicts_itself_is_refused_with_the_reason() {
    let refusal = async |change: fn(&mut Value)| {
        let mut world = world();
        change(&mut world);
        let started = Sandbox::start(parsed(world), free_port()).await;
        format!("{:#}", started.err().expect("the world is refused"))
    };
    let error = refusal(|world| world["channels"][0]["login"] = json!("nobody")).await;
    assert_eq!(error, "channel c-acme: no user or client is called \"nobody\"");
    let error = refusal(|world| world["channels"][1]["id"] = json!("c-acme")).await;
    assert_eq!(error, "two channels with the id \"c-acme\"");
    let error = refusal(|world| world["users"][1]["username"] = json!("acme")).await;
    assert_eq!(error, "two users with the name \"acme\"");
    let error = refusal(|world| world["scr"][0]["path"] = json!("/ingestion/scr")).await;
    assert!(error.contains("the sandbox itself answers there"), "{error}");
    let error = refusal(|world| world["scr"][0]["releases"][1]["address"] = json!("0xAA01")).await;
    assert!(error.contains("two releases with the address 0xAA01"), "{error}");
    let error = refusal(|world| world["scr"][0]["workers"] = json!(0)).await;
    assert!(error.contains("0 workers"), "{error}");
    let error = refusal(|world| {
        world["scr"][0]["auth"] = json!({ "algorithm": "RS256", "key": "no key" });
    })
    .await;
    assert!(error.contains("no RSA public key as PEM"), "{error}");
    let error = refusal(|world| {
        let mut other = world["scr"][0].clone();
        other["path"] = json!(format!("{SCR}/x/"));
        world["scr"].as_array_mut().unwrap().push(other);
    })
    .await;
    assert!(error.contains("one lies within the other"), "{error}");
}

#[test]
fn the_sample_in_the_documentation_is_a_world() {
    let source = include_str!("../world.rs");
    let sample: String = source
        .lines()
        .skip_while(|line| *line != "/// ```json")
        .skip(1)
        .take_while(|line| *line != "/// ```")
        .map(|line| line.trim_start_matches("///"))
        .collect();
    let world: World = serde_json::from_str(&sample).unwrap();
    assert!(scene::Scene::build(world).is_ok());
}

#[test]
fn an_unknown_key_of_the_world_is_refused_by_name() {
    let error = serde_json::from_value::<World>(json!({ "chanels": [] })).unwrap_err();
    assert!(error.to_string().contains("chanels"), "{error}");
}
