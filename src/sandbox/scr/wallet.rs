//! Wallet: the releases, connections and stored calls of one SCR API, and the rules by which they
//! change.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::world::{self, Connection, Party, ScrApi};
use super::action::Verb;
use super::fields::{assignee, mandatory, object};
use super::invitation::{Decision, Invitation};
use super::lights::Lights;
use super::refusal::Refusal;
use super::release::{Assignee, Change, Release, ReleaseState};

pub(super) struct Wallet {
    owner: Party,
    connections: Vec<Connection>,
    releases: Vec<Release>,
    /// Places in `releases`, by address in lower case.
    by_address: HashMap<String, usize>,
    by_container: HashMap<String, Vec<usize>>,
    invitations: Vec<Invitation>,
    subscriptions: Vec<Value>,
}

impl Wallet {
    pub fn build(world: &ScrApi) -> anyhow::Result<Wallet> {
        let mut wallet = Wallet {
            owner: world.owner.clone(),
            connections: world.connections.clone(),
            releases: Vec::new(),
            by_address: HashMap::new(),
            by_container: HashMap::new(),
            invitations: Vec::new(),
            subscriptions: Vec::new(),
        };
        let now = Timestamp::now();
        for release in &world.releases {
            let place = wallet.releases.len();
            if wallet.by_address.insert(release.address.to_lowercase(), place).is_some() {
                bail!("two releases with the address {}", release.address);
            }
            wallet.by_container.entry(release.container.clone()).or_default().push(place);
            let built = build_release(&world.owner, &world.connections, release, now)
                .with_context(|| format!("release {}", release.address))?;
            wallet.releases.push(built);
        }
        Ok(wallet)
    }

    /// Adds a release, or replaces the one of its address.
    pub fn put(&mut self, release: &world::Release) -> anyhow::Result<()> {
        let built = build_release(&self.owner, &self.connections, release, Timestamp::now())
            .with_context(|| format!("release {}", release.address))?;
        let address = release.address.to_lowercase();
        match self.by_address.get(&address) {
            Some(place) if self.releases[*place].container != built.container => {
                bail!("release {} is of another container", release.address)
            }
            Some(place) => {
                let old = std::mem::replace(&mut self.releases[*place], built);
                let new = &mut self.releases[*place];
                (new.created, new.history) = (old.created, old.history);
                (new.assigned, new.pin_retrieved) = (old.assigned, old.pin_retrieved);
            }
            None => {
                let place = self.releases.len();
                self.by_address.insert(address, place);
                self.by_container.entry(built.container.clone()).or_default().push(place);
                self.releases.push(built);
            }
        }
        Ok(())
    }

    /// Who is to be called of an event of a release, and with what ("The onRelease event type").
    pub fn callbacks(&self, event: &str, address: &str) -> (Vec<String>, Value) {
        let release = self.by_address.get(&address.to_lowercase()).map(|at| &self.releases[*at]);
        let owner = release.map_or(&self.owner, |release| &release.owner);
        let body = json!({
            "release": release.map_or(address, |release| &release.address),
            "event": event.to_uppercase(),
            "organization": owner.address,
            "vat": owner.vat,
        });
        (self.subscribers("onRelease"), body)
    }

    fn subscribers(&self, event_type: &str) -> Vec<String> {
        let of_type = self.subscriptions.iter().filter(|of| of["eventType"] == event_type);
        of_type.filter_map(|of| Some(of["callback_url"].as_str()?.to_owned())).collect()
    }

    /// The company that was invited decides: if it accepts, it is a connection from then on. Who is
    /// to be called, and with what ("The onAcceptInvitation event type").
    pub fn decide(
        &mut self,
        reference: &str,
        decision: Decision,
    ) -> anyhow::Result<(Vec<String>, Value)> {
        let open = |of: &&mut Invitation| of.reference == reference && of.status.is_none();
        let invitation = self.invitations.iter_mut().find(open);
        let invitation =
            invitation.with_context(|| format!("no invitation {reference} is open"))?;
        invitation.status = Some(decision);
        let mut body = match decision {
            Decision::Refused => json!({ "name": invitation.name, "vat": invitation.vat }),
            Decision::Accepted => {
                let connection = Connection {
                    reference: reference.to_owned(),
                    name: invitation.name.clone(),
                    vat: invitation.vat.clone(),
                    address: derived_address(&invitation.vat),
                };
                self.connections.retain(|other| other.address != connection.address);
                let body = shown(&connection);
                self.connections.push(connection);
                body
            }
        };
        body["reference"] = reference.into();
        body["status"] = json!(decision);
        Ok((self.subscribers("onAcceptInvitation"), body))
    }

    pub fn state(&self, address: &str) -> Option<ReleaseState> {
        self.by_address.get(&address.to_lowercase()).map(|place| self.releases[*place].state())
    }

    pub fn states(&self) -> Vec<ReleaseState> {
        self.releases.iter().map(Release::state).collect()
    }

    /// "Get all releases". Of the paging the document says no more than the parameters' names:
    /// here pages count from 1, and `since` includes its own moment.
    pub fn releases(&self, query: &BTreeMap<String, String>) -> Result<Value, Refusal> {
        let number = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| Refusal::BadParameter(format!("{name} is no number"))),
        };
        let since = match query.get("since") {
            None => None,
            Some(text) => Some(text.parse::<Timestamp>().map_err(|_| {
                Refusal::BadParameter("since is no timestamp such as 2026-01-05T14:00:00Z".into())
            })?),
        };
        let candidates: Vec<usize> = match query.get("container") {
            Some(container) => self.by_container.get(container).cloned().unwrap_or_default(),
            None => (0..self.releases.len()).collect(),
        };
        let limit = number("limit")?;
        let page = number("page")?.unwrap_or(1).max(1);
        let first = limit.map_or(0, |limit| limit.saturating_mul(page - 1));
        let found = candidates
            .into_iter()
            .map(|place| &self.releases[place])
            .filter(|release| query.get("bl").is_none_or(|bl| *bl == release.bl))
            .filter(|release| since.is_none_or(|since| release.updated >= since))
            .skip(first)
            .take(limit.unwrap_or(usize::MAX))
            .map(Release::json);
        Ok(Value::Array(found.collect()))
    }

    pub fn release(&self, address: &str) -> Result<Value, Refusal> {
        Ok(self.releases[self.place(address)?].json())
    }

    /// "Get pincode". From then on the release cannot be transferred.
    pub fn pincode(&mut self, address: &str, seq: u64) -> Result<String, Refusal> {
        let release = self.owned(address)?;
        release.pin_retrieved = true;
        note(release, seq, "pincode", None, None);
        Ok(release.pin())
    }

    /// Whether a call would be carried out as things are.
    pub fn check(&self, verb: Verb, address: &str, body: &[u8]) -> Result<(), Refusal> {
        let place = self.place(address)?;
        match verb {
            Verb::Transfer => {
                self.receiver(body)?;
                self.releases[place].is_owned()?;
                match self.releases[place].pin_retrieved {
                    true => Err(Refusal::PinRetrieved),
                    false => Ok(()),
                }
            }
            Verb::Revoke => {
                self.releases[place].is_there()?;
                self.releases[place].next_owner.as_ref().map(drop).ok_or(Refusal::NotTransferred)
            }
            Verb::Assign | Verb::AssignBarge => {
                assignee(verb, &object(body)?)?;
                self.releases[place].is_owned()?;
                match self.releases[place].blocked {
                    true => Err(Refusal::Blocked),
                    false => Ok(()),
                }
            }
            Verb::Unassign => self.releases[place].is_owned(),
        }
    }

    /// Carries a call out.
    pub fn write(
        &mut self,
        verb: Verb,
        address: &str,
        body: &[u8],
        seq: u64,
    ) -> Result<StatusCode, Refusal> {
        self.check(verb, address, body)?;
        let place = self.place(address)?;
        let (mut assigned, mut to) = (None, None);
        match verb {
            Verb::Transfer => to = Some(self.receiver(body)?),
            Verb::Assign | Verb::AssignBarge => assigned = Some(assignee(verb, &object(body)?)?),
            Verb::Revoke | Verb::Unassign => {}
        }
        let release = &mut self.releases[place];
        let address = to.as_ref().map(|party| party.address.clone());
        note(release, seq, verb.name(), assigned.clone(), address);
        match verb {
            Verb::Transfer | Verb::Revoke => release.next_owner = to,
            Verb::Assign | Verb::AssignBarge | Verb::Unassign => release.assigned = assigned,
        }
        Ok(if verb.is_accepted_first() { StatusCode::ACCEPTED } else { StatusCode::NO_CONTENT })
    }

    /// The connection that a release is to go to.
    fn receiver(&self, body: &[u8]) -> Result<Party, Refusal> {
        let to = mandatory(&object(body)?, "address")?;
        self.connections
            .iter()
            .find(|connection| connection.address.eq_ignore_ascii_case(&to))
            .map(party)
            .ok_or(Refusal::UnknownConnection(to))
    }

    /// "Get connections".
    pub fn connections(&self) -> Value {
        self.connections.iter().map(shown).collect()
    }

    /// "Invite an organization". Stored until it is decided on.
    pub fn invite(&mut self, body: &[u8]) -> Result<StatusCode, Refusal> {
        self.invitations.push(Invitation::read(&object(body)?)?);
        Ok(StatusCode::NO_CONTENT)
    }

    /// "Register a callback url for notifications".
    pub fn subscribe(&mut self, body: &[u8]) -> Result<StatusCode, Refusal> {
        let fields = object(body)?;
        let event = mandatory(&fields, "eventType")?;
        if !["onRelease", "onAcceptInvitation"].contains(&event.as_str()) {
            return Err(Refusal::BadEventType(event));
        }
        mandatory(&fields, "callback_url")?;
        self.subscriptions.push(Value::Object(fields));
        Ok(StatusCode::NO_CONTENT)
    }

    /// What was stored by invitations and subscriptions.
    pub fn stored(&self) -> Value {
        json!({ "invitations": self.invitations, "subscriptions": self.subscriptions })
    }

    fn place(&self, address: &str) -> Result<usize, Refusal> {
        let unknown = || Refusal::UnknownRelease(address.to_string());
        self.by_address.get(address).copied().ok_or_else(unknown)
    }

    /// The release, if it is ours to act on.
    fn owned(&mut self, address: &str) -> Result<&mut Release, Refusal> {
        let place = self.place(address)?;
        self.releases[place].is_owned()?;
        Ok(&mut self.releases[place])
    }
}

impl Release {
    fn is_there(&self) -> Result<(), Refusal> {
        if self.deleted { Err(Refusal::Deleted) } else { Ok(()) }
    }

    /// Whether it is ours to act on.
    fn is_owned(&self) -> Result<(), Refusal> {
        self.is_there()?;
        if self.next_owner.is_some() { Err(Refusal::NotOwner) } else { Ok(()) }
    }
}

fn build_release(
    own: &Party,
    connections: &[Connection],
    release: &world::Release,
    now: Timestamp,
) -> anyhow::Result<Release> {
    let is_called = |connection: &&Connection, name: &str| {
        connection.vat == name || connection.address.eq_ignore_ascii_case(name)
    };
    let owner = match &release.owner_vat {
        Some(vat) if *vat != own.vat => Party {
            address: derived_address(vat),
            name: format!("Company {vat}"),
            vat: vat.clone(),
        },
        _ => own.clone(),
    };
    let next_owner = match &release.transferred_to {
        None => None,
        Some(name) => {
            let found = connections.iter().find(|connection| is_called(connection, name));
            Some(party(found.with_context(|| format!("transferred to {name}: no connection"))?))
        }
    };
    Lights::check(&release.green_lights)?;
    Ok(Release {
        address: release.address.clone(),
        container: release.container.clone(),
        bl: release.bl.clone(),
        carrier: Party {
            address: derived_address("carrier"),
            name: "Carrier of the sandbox".to_string(),
            vat: "BE1000000021".to_string(),
        },
        owner,
        next_owner,
        blocked: release.blocked,
        deleted: release.deleted,
        gate_out: release.gate_out.clone(),
        lights: release.green_lights.clone(),
        pin_retrieved: false,
        assigned: None,
        history: Vec::new(),
        created: now,
        updated: now,
    })
}

/// As "Get connections" shows one.
fn shown(connection: &Connection) -> Value {
    json!({
        "reference": connection.reference,
        "name": connection.name,
        "vat": connection.vat,
        "address": connection.address,
        "publicKey": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    })
}

fn party(connection: &Connection) -> Party {
    let Connection { name, vat, address, .. } = connection.clone();
    Party { address, name, vat }
}

/// An address for a company of which only the name is known.
fn derived_address(name: &str) -> String {
    format!("0x{}", &blake3::hash(name.as_bytes()).to_hex()[..40])
}

fn note(
    release: &mut Release,
    seq: u64,
    action: &str,
    assigned: Option<Assignee>,
    to: Option<String>,
) {
    let at = Timestamp::now();
    release.updated = at;
    release.history.push(Change { seq, at, action: action.to_string(), assigned, to });
}
