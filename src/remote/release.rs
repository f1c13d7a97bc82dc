//! What an SCR API says about a release, and whom a release is assigned to.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A release as far as it matters here (SCR API 1.2.9, "Get all releases"). What is missing or
/// of another type is left empty: the document's own samples are faulty. The `encryptedPin` is
/// never taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The unique address.
    pub address: String,
    /// The container number.
    pub container: String,
    /// The bill of lading's number.
    pub bl: Option<String>,
    /// Deleted by the carrier, which is final.
    pub deleted: bool,
    /// Blocked by the carrier for a time.
    pub blocked: bool,
    /// The container has left the terminal.
    pub gate_out: bool,
    /// Whether the pin was read, after which the release cannot be transferred any more.
    pub pin_retrieved: bool,
    /// The owner's address.
    pub owner: Option<String>,
    /// The address of the company that is calling.
    pub self_owner: Option<String>,
    /// The VAT number of the company that is calling.
    pub self_owner_vat: Option<String>,
    /// The address of the company it was transferred to, if it was.
    pub next_owner: Option<String>,
    /// The VAT number of that company.
    pub next_owner_vat: Option<String>,
    /// The address of the company it came from.
    pub previous_owner: Option<String>,
    /// The value of the light `pickuplight`: `assigned`, `revoked` or `unknown`
    /// ("Green lights").
    pub pickup_light: Option<String>,
    /// When it was last changed, as the API writes it.
    pub updated_at: Option<String>,
}

impl Release {
    /// Reads a release; `None` if it has no address, without which nothing can be done to it.
    pub fn parse(value: &Value) -> Option<Release> {
        let data = &value["release_data"];
        Some(Release {
            address: text(&value["address"])?,
            container: text(&data["container"]["containerNumber"]).unwrap_or_default(),
            bl: text(&data["billOfLading"]["blNumber"]),
            deleted: flag(&value["deleted"]),
            blocked: flag(&value["blocked"]),
            gate_out: text(&value["gateOut"]).is_some() || flag(&value["gateOut"]),
            pin_retrieved: flag(&value["pinRetrieved"]),
            owner: text(&value["owner"]),
            self_owner: text(&value["selfOwner"]),
            self_owner_vat: text(&value["selfOwnerVat"]),
            next_owner: text(&value["nextOwner"]),
            next_owner_vat: text(&value["nextOwnerVat"]),
            previous_owner: text(&value["previousOwner"]),
            pickup_light: text(&value["greenLights"]["events"]["pickuplight"]["value"]),
            updated_at: text(&value["updatedAt"]),
        })
    }

    /// Whether it is for this container and, if one is given, this bill of lading. The API's own
    /// filter is not relied on: its filters were faulty before (SCR API 1.2.9, "New in this
    /// version"), and a driver on another's container is the worst that can happen.
    pub fn is_for(&self, container: &str, bl: Option<&str>) -> bool {
        let same = |found: &str, wanted: &str| found.trim().eq_ignore_ascii_case(wanted.trim());
        same(&self.container, container)
            && bl.is_none_or(|bl| self.bl.as_deref().is_some_and(|found| same(found, bl)))
    }
}

/// Whom a release is assigned to (SCR API 1.2.9, "Assign a release"). Driver and barge are
/// personal data: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Assignee {
    /// Pick-up by truck.
    Driver(Driver),
    /// Pick-up by barge.
    Barge(Barge),
}

/// A truck driver.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Driver {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// In Antwerp the Alfapass number; it is the key by which the API knows a driver.
    pub identification: String,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// A barge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Barge {
    /// The barge's name.
    pub name: String,
    /// Its ENI number.
    pub identification: String,
    /// The visit number (in Antwerp the BTS number), which the terminal asks for later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit_number: Option<String>,
}

impl fmt::Debug for Assignee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Assignee::Driver(_) => "Driver(***)",
            Assignee::Barge(_) => "Barge(***)",
        })
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver(***)")
    }
}

impl fmt::Debug for Barge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Barge(***)")
    }
}

/// A text that says something; the address of nobody counts as nothing.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    // 0x000…0 stands for "nobody" on Ethereum, which the addresses of SCR come from.
    let nobody = text.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte == b'0'));
    (!text.is_empty() && !nobody).then_some(text)
}

fn flag(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::String(text) => matches!(text.trim(), "true" | "TRUE" | "True" | "1"),
        Value::Number(number) => number.as_f64() == Some(1.0),
        _ => false,
    }
}
