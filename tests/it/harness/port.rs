//! The port's servers: a sandbox with a runtime of its own, so that a test is plain code.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;

use lighterman::sandbox::{
    Auth, Call, Channel, Client, Grant, Party, Release, Sandbox, ScrApi, SecretEncoding, Signs,
    User, World,
};
use tokio::runtime::{self, Runtime};

use super::callback::CALLBACK_KEY;

/// The base path of the first SCR API.
pub const SCR: &str = "/wallet-a/tmining/api/v1";

/// The provider's registration at the token server.
pub const CLIENT: (&str, &str) = ("builder", "builder-secret");

/// The VAT number of the company that the wallet belongs to.
pub const VAT: &str = "BE0403019261";

/// The secret that calls to SCR are signed with.
pub const SCR_KEY: &str = "a-secret-of-thirty-two-bytes-or-more";

/// A sandbox that runs until this is dropped.
pub struct Port {
    sandbox: Option<Sandbox>,
    runtime: Option<Runtime>,
}

impl Port {
    /// Starts it on a free port.
    pub fn open(world: World) -> Port {
        Port::open_at(world, 0)
    }

    /// Starts it on this port, as after an outage.
    pub fn open_at(world: World, port: u16) -> Port {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let sandbox = runtime.block_on(Sandbox::start(world, listen)).unwrap();
        Port { sandbox: Some(sandbox), runtime: Some(runtime) }
    }

    /// A world with a builder, a user for each of these customers, and for each a channel
    /// `c-<customer>`; the password is `<customer>-password`.
    pub fn world(customers: &[&str]) -> World {
        let grants = vec![Grant::Password, Grant::ClientCredentials];
        let user = |name: &&str| User {
            username: (*name).to_owned(),
            password: format!("{name}-password"),
        };
        let channel = |name: &&str| Channel {
            id: format!("c-{name}"),
            login: (*name).to_owned(),
            subscription_key: None,
        };
        World {
            clients: vec![Client { id: CLIENT.0.into(), secret: CLIENT.1.into(), grants }],
            users: customers.iter().map(user).collect(),
            channels: customers.iter().map(channel).collect(),
            ..World::default()
        }
    }

    /// A world with nothing but the SCR API under [`SCR`] and these releases in it.
    pub fn scr_world(releases: Vec<Release>, latency_ms: u64) -> World {
        let api = ScrApi {
            path: SCR.to_owned(),
            auth: Some(Auth {
                algorithm: serde_json::from_str("\"HS256\"").unwrap(),
                key: SCR_KEY.to_owned(),
                secret_encoding: SecretEncoding::Raw,
            }),
            callback: Some(Signs {
                algorithm: serde_json::from_str("\"HS256\"").unwrap(),
                key: CALLBACK_KEY.to_owned(),
                in_body: false,
            }),
            latency_ms,
            delay_ms: 0,
            workers: 20,
            owner: Party {
                address: "0x5e1f".to_owned(),
                name: "Own Company NV".to_owned(),
                vat: VAT.to_owned(),
            },
            connections: Vec::new(),
            releases,
        };
        World { scr: vec![api], ..World::default() }
    }

    /// A release of the wallet's own company.
    pub fn release(address: &str, container: &str, bl: &str) -> Release {
        Release {
            address: address.to_owned(),
            container: container.to_owned(),
            bl: bl.to_owned(),
            owner_vat: None,
            transferred_to: None,
            blocked: false,
            deleted: false,
            gate_out: None,
            green_lights: Default::default(),
        }
    }

    /// The calls whose path starts so, oldest first.
    pub fn calls_to(&self, path: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.path.starts_with(path)).collect()
    }

    /// Stops it, and tells on which port it was.
    pub fn close(mut self) -> u16 {
        let (sandbox, runtime) = (self.sandbox.take().unwrap(), self.runtime.take().unwrap());
        let port = sandbox.addr().port();
        runtime.block_on(sandbox.stop());
        port
    }
}

impl Deref for Port {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        drop(self.sandbox.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
