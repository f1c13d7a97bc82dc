//! Moves: files that transfer, revoke, assign and unassign releases, and a customer that sends them
//! to the port's first SCR API and hears its events.

use std::net::{SocketAddr, TcpStream};

use jsonwebtoken::{Algorithm, EncodingKey};
use lighterman::sandbox::{Connection, Release, ReleaseState, World};
use serde_json::json;

use super::callback::{CALLBACK_KEY, free_address, jwt, on_release, post, signed};
use super::{Port, Provider, Running, SCR, SCR_KEY, VAT, until_true};

/// The two companies that releases can go to: reference, VAT number and address.
pub const HAULIER: (&str, &str, &str) = ("haulier-1", "BE0417497106", "0xC1aa");
pub const BARGES: (&str, &str, &str) = ("barges-2", "BE0999142065", "0xC2bb");

/// Retries that follow at once, and looks at what is parked as well.
pub const QUICK: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;

/// Nothing is looked at again by itself before the test is long over.
pub const SLOW: &str = r#"retry = { first = "1h", max = "1h", give_up_after = "24h" }"#;

const MAPPING: &str = r#"
[input]
format    = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to   = "action"
from = "DO"

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
to   = "to"
from = "TO"

[[fields]]
to    = "driver.firstName"
value = "Jan"
when  = { field = "DO", is = ["assign"] }

[[fields]]
to    = "driver.lastName"
value = "Peeters"
when  = { field = "DO", is = ["assign"] }

[[fields]]
to   = "driver.identification"
from = "ID"
"#;

/// The address, the container and the bill of lading of release `n`.
pub fn address(n: u64) -> String {
    format!("0xc0de{n:036x}")
}

pub fn container(n: u64) -> String {
    format!("TEST{n:07}")
}

pub fn release(n: u64) -> Release {
    Port::release(&address(n), &container(n), "BL1")
}

/// A world with these releases, and both companies as connections.
pub fn world(releases: impl IntoIterator<Item = Release>) -> World {
    let mut world = Port::scr_world(releases.into_iter().collect(), 0);
    world.scr[0].connections = [HAULIER, BARGES]
        .map(|(reference, vat, address)| Connection {
            reference: reference.to_owned(),
            name: format!("Company {reference}"),
            vat: vat.to_owned(),
            address: address.to_owned(),
        })
        .to_vec();
    world
}

/// A file with these rows: what to do, the address, the container, the bill of lading, whom to
/// transfer to, and the driver's identification.
pub fn moves<'a>(rows: impl IntoIterator<Item = [&'a str; 6]>) -> Vec<u8> {
    let rows: Vec<String> = rows.into_iter().map(|row| row.join(";") + "\n").collect();
    format!("DO;ADDRESS;CONT;BL;TO;ID\n{}", rows.concat()).into_bytes()
}

/// A port, and the customer `wilgen` of its wallet whose notifications are taken.
pub struct Stage {
    pub port: Port,
    pub provider: Provider,
    pub at: SocketAddr,
}

impl Stage {
    /// With these keys of the channel.
    pub fn new(world: World, channel: &str) -> Stage {
        let at = free_address();
        let port = Port::open(world);
        let listen = format!(
            "callback = {{ key = {{ file = \"secrets/callback\" }}, in = \"header\" }}\n\n\
             [listen]\nnotifications = {{ address = \"{at}\" }}\n"
        );
        let provider = Provider::with(&port, &listen);
        provider.secret("callback", CALLBACK_KEY);
        provider.mapping("moves", MAPPING);
        provider.transporter("wilgen", VAT, "moves", channel);
        Stage { port, provider, at }
    }

    /// Starts the daemon, and waits until it listens.
    pub fn start(&self) -> Running {
        let daemon = self.provider.start();
        until_true("it listens", || TcpStream::connect(self.at).is_ok());
        daemon
    }

    /// Has the port's API call us on events of a type.
    #[track_caller]
    pub fn subscribe(&self, event_type: &str) {
        let url = format!("http://{}/notifications/scr/wallet-a", self.at);
        let body = json!({ "eventType": event_type, "callback_url": url });
        let key = EncodingKey::from_secret(SCR_KEY.as_bytes());
        let bearer = format!("Authorization: Bearer {}", jwt(Algorithm::HS256, &key, 60));
        let path = format!("{SCR}/subscriptions");
        assert_eq!(post(self.port.addr(), &path, &[&bearer], &body), 204);
    }

    /// Notifies of an event of release `n`.
    #[track_caller]
    pub fn tell(&self, event: &str, n: u64) {
        let body = on_release(event, &address(n), VAT);
        assert_eq!(post(self.at, "/notifications/scr/wallet-a", &[&signed()], &body), 200);
    }

    /// Drops a file of these rows.
    pub fn file<'a>(&self, name: &str, rows: impl IntoIterator<Item = [&'a str; 6]>) {
        self.provider.drop_file("wilgen", name, moves(rows));
    }

    pub fn records(&self, state: &str) -> u64 {
        self.provider.records("wilgen", state)
    }

    /// Waits until so many records are in a state.
    #[track_caller]
    pub fn until(&self, state: &str, count: u64) {
        until_true(&format!("{count} {state}"), || self.records(state) == count);
    }

    pub fn release(&self, n: u64) -> ReleaseState {
        self.port.release(SCR, &address(n)).unwrap()
    }

    /// What was done to release `n`, oldest first: what, and to or for whom.
    pub fn history(&self, n: u64) -> Vec<String> {
        let changes = self.release(n).history.into_iter();
        changes
            .map(|change| {
                let who = change.assigned.map(|who| who.identification).or(change.to);
                format!("{} {}", change.action, who.unwrap_or_default()).trim().to_owned()
            })
            .collect()
    }

    /// The calls to release `n`, as method and last word, in the order in which they came.
    pub fn calls(&self, n: u64) -> Vec<String> {
        let calls = self.port.calls_to(&format!("{SCR}/releases/{}", address(n)));
        let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        calls.into_iter().map(|call| format!("{} {}", call.method, last(&call.path))).collect()
    }

    /// The rules and advice of a file's problems, by record.
    pub fn problems(&self, file: &str) -> Vec<(u64, String, String)> {
        let problems = self.provider.problems("wilgen", file).into_iter();
        problems.map(|problem| (problem.record, problem.rule, problem.advice)).collect()
    }
}
