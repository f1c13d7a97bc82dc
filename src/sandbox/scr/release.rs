//! Release: one release as the wallet sees it: who owns it, who is to fetch it, and how that came
//! about.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::world::Party;
use super::lights::Lights;

pub(super) struct Release {
    pub address: String,
    pub container: String,
    pub bl: String,
    pub carrier: Party,
    /// The company of this wallet that the release was transferred to.
    pub owner: Party,
    /// The connection that it was transferred on to.
    pub next_owner: Option<Party>,
    pub blocked: bool,
    pub deleted: bool,
    pub gate_out: Option<String>,
    /// What lights show that are set by hand.
    pub lights: BTreeMap<String, String>,
    pub pin_retrieved: bool,
    pub assigned: Option<Assignee>,
    pub history: Vec<Change>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// Who is to fetch a release; fields as the document names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignee {
    /// Driver or barge.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The driver's Alfapass number, or the barge's ENI number.
    pub identification: String,
    /// Of a driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Of a driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Of a driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Of a driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Of a barge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a barge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit_number: Option<String>,
}

/// What fetches a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A truck driver.
    #[default]
    Driver,
    /// A barge.
    Barge,
}

/// One thing that was done to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The number of the call in the log.
    pub seq: u64,
    /// When it was carried out.
    pub at: Timestamp,
    /// `assign`, `assign_barge`, `unassign`, `transfer`, `revoke` or `pincode`.
    pub action: String,
    /// Who was assigned.
    pub assigned: Option<Assignee>,
    /// The address it was transferred to.
    pub to: Option<String>,
}

/// What the sandbox knows of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseState {
    /// Its address, as the world wrote it.
    pub address: String,
    /// The container number.
    pub container: String,
    /// The bill of lading number.
    pub bl: String,
    /// The VAT number of the company of this wallet that it was transferred to.
    pub self_owner_vat: String,
    /// The address of the company that owns it now.
    pub owner: String,
    /// Whether the carrier has blocked it.
    pub blocked: bool,
    /// Whether the carrier has deleted it.
    pub deleted: bool,
    /// When the container left the terminal.
    pub gate_out: Option<String>,
    /// Whether its pin was read.
    pub pin_retrieved: bool,
    /// Who is assigned now.
    pub assigned: Option<Assignee>,
    /// What was done to it, oldest first.
    pub history: Vec<Change>,
}

impl Release {
    pub fn state(&self) -> ReleaseState {
        ReleaseState {
            address: self.address.clone(),
            container: self.container.clone(),
            bl: self.bl.clone(),
            self_owner_vat: self.owner.vat.clone(),
            owner: self.owner_now().address.clone(),
            blocked: self.blocked,
            deleted: self.deleted,
            gate_out: self.gate_out.clone(),
            pin_retrieved: self.pin_retrieved,
            assigned: self.assigned.clone(),
            history: self.history.clone(),
        }
    }

    fn owner_now(&self) -> &Party {
        self.next_owner.as_ref().unwrap_or(&self.owner)
    }

    /// Five digits, always the same for one address.
    pub fn pin(&self) -> String {
        let hash = blake3::hash(self.address.to_lowercase().as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        format!("{:05}", u32::from_be_bytes([a, b, c, d]) % 100_000)
    }

    /// As `GET /releases` shows it; "Get all releases" and "Get one release".
    pub fn json(&self) -> Value {
        let next = self.next_owner.as_ref();
        json!({
            "release_data": {
                "billOfLading": {
                    "blNumber": self.bl,
                    "portOfLoading": "SGSIN",
                    "portOfDestination": "BEANR",
                    "vessel": "SANDBOX STAR",
                    "agent": "SANDBOX AGENCIES",
                    "stayNumber": "00001",
                    "lloydsNumber": "9319466",
                    "voyageNumber": "0003",
                },
                "container": {
                    "containerNumber": self.container,
                    "containerStatus": if self.blocked { "blocked" } else { "released" },
                    "pickupLocation": "K913",
                    "pickupLoCode": "BEANR",
                    "turnInLocation": "DEPOT 1",
                    "turnInLoCode": "BEANR",
                    "turnInReference": "REF1",
                    "termsAndConditions": "PHA+U2FuZGJveDwvcD4=",
                    "validFrom": "2026-01-05T14:00:00.000Z",
                    "validUntil": "2036-01-05T14:00:00.000Z",
                    "isoTypeCode": "45G1",
                },
            },
            "address": self.address,
            "deleted": self.deleted,
            "blocked": self.blocked,
            "encryptedPin": self.encrypted_pin(),
            "gateOut": self.gate_out,
            "createdAt": millis(self.created),
            "updatedAt": millis(self.updated),
            "owner": self.owner_now().address,
            "creator": self.carrier.address,
            "greenLights": self.green_lights(),
            "version": "1.2.1",
            "pinRetrieved": self.pin_retrieved,
            "previousOwner": self.carrier.address,
            "previousOwnerName": self.carrier.name,
            "previousOwnerVat": self.carrier.vat,
            "selfOwner": self.owner.address,
            "selfOwnerName": self.owner.name,
            "selfOwnerVat": self.owner.vat,
            "nextOwner": next.map(|next| &next.address),
            "nextOwnerName": next.map(|next| &next.name),
            "nextOwnerVat": next.map(|next| &next.vat),
            "conditions": [],
        })
    }

    /// A long text in hexadecimal, as in the document; there is nothing in it.
    fn encrypted_pin(&self) -> String {
        let mut bytes = [0; 256];
        blake3::Hasher::new_derive_key("lighterman sandbox encrypted pin")
            .update(self.address.to_lowercase().as_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The document shows an assignment nowhere else: `pickuplight` is `assigned` with one, and
    /// `revoked` once it was taken back.
    fn green_lights(&self) -> Value {
        let created = Some(self.created);
        let changed = self
            .history
            .iter()
            .rev()
            .find(|change| ["assign", "assign_barge", "unassign"].contains(&change.action.as_str()))
            .map(|change| change.at);
        let mut lights = Lights::default();
        lights.show("customs", "released", created);
        lights.show("terminalready", "released", created);
        lights.show("terminaloperation", "discharged", created);
        lights.show("customsprogress", "unknown", None);
        match self.blocked {
            true => lights.show("commercialrelease", "blocked", Some(self.updated)),
            false => lights.show("commercialrelease", "ok", created),
        }
        match (&self.assigned, changed) {
            (Some(_), at) => lights.show("pickuplight", "assigned", at),
            (None, Some(at)) => lights.show("pickuplight", "revoked", Some(at)),
            (None, None) => lights.show("pickuplight", "unknown", None),
        }
        match &self.gate_out {
            Some(at) => lights.show("gateoperation", "gateoutreceived", at.parse().ok()),
            None => lights.show("gateoperation", "unknown", None),
        }
        for (light, value) in &self.lights {
            lights.show(light, value, Some(self.updated));
        }
        lights.json()
    }
}

/// A time as the document writes it: `2021-12-20T14:17:05.623Z`.
fn millis(at: Timestamp) -> String {
    format!("{at:.3}")
}
