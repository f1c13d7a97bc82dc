//! What an SCR API says about a release, and whom a release is assigned to.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A release as far as it matters here (SCR API 1.2.9, "Get all releases").
///
/// What is missing or of another type is left empty: the document's own samples are faulty. The
/// `encryptedPin` is never taken over.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The sample of SCR API 1.2.9, "Get all releases", with the commas it lacks.
    const SAMPLE: &str = r#"{
        "release_data": {
            "billOfLading": { "blNumber": "RELEASE-API-TEST-1612", "portOfLoading": "BEANR" },
            "container": { "containerNumber": "CSQU32345690", "containerStatus": "released" }
        },
        "address": "0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0",
        "deleted": false,
        "blocked": false,
        "encryptedPin": "18570bfece4999db",
        "gateOut": null,
        "updatedAt": "2022-02-16T08:52:13.251Z",
        "owner": "0x79F98099b2Bf4e5a47244E0cDba500F68b567ce5",
        "greenLights": { "total": "green", "events": {
            "pickuplight": { "color": "gray", "value": "unknown", "updatedAt": "" } } },
        "version": "1.2.1",
        "pinRetrieved": false,
        "previousOwner": "0xa2039dC115B5904c224FEc057684fcCcc88E2f05",
        "nextOwner": null,
        "conditions": []
    }"#;

    #[test]
    fn the_documents_sample_is_read() {
        let release = Release::parse(&serde_json::from_str(SAMPLE).unwrap()).unwrap();
        let expected = Release {
            address: "0x79ED95e778d1C3284636Ab0Be741Ce6836252Fb0".to_owned(),
            container: "CSQU32345690".to_owned(),
            bl: Some("RELEASE-API-TEST-1612".to_owned()),
            owner: Some("0x79F98099b2Bf4e5a47244E0cDba500F68b567ce5".to_owned()),
            previous_owner: Some("0xa2039dC115B5904c224FEc057684fcCcc88E2f05".to_owned()),
            pickup_light: Some("unknown".to_owned()),
            updated_at: Some("2022-02-16T08:52:13.251Z".to_owned()),
            ..Release::default()
        };
        assert_eq!(release, expected);
        assert!(!format!("{release:?}").contains("18570bfece4999db"));
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_left_empty() {
        let odd = json!({
            "address": "0x01", "deleted": "true", "blocked": 1, "gateOut": "2023-07-12 14:16",
            "owner": 7, "selfOwnerVat": ["BE"], "release_data": "none", "greenLights": [],
            "nextOwner": "0x0000000000000000000000000000000000000000", "unknown": {}
        });
        let release = Release::parse(&odd).unwrap();
        let expected = Release {
            address: "0x01".to_owned(),
            deleted: true,
            blocked: true,
            gate_out: true,
            owner: Some("7".to_owned()),
            ..Release::default()
        };
        assert_eq!(release, expected);
    }

    #[test]
    fn without_an_address_it_is_no_release() {
        for value in [json!({}), json!(null), json!([]), json!({"address": " "}), json!("0x01")] {
            assert_eq!(Release::parse(&value), None, "{value}");
        }
    }

    #[test]
    fn a_release_is_only_for_its_own_container_and_bill_of_lading() {
        let release = Release {
            container: "CSQU3054383".to_owned(),
            bl: Some("BL-1".to_owned()),
            ..Release::default()
        };
        assert!(release.is_for("CSQU3054383", None));
        assert!(release.is_for(" csqu3054383", Some("bl-1 ")));
        assert!(!release.is_for("TOLU4734787", None));
        assert!(!release.is_for("CSQU3054383", Some("BL-2")));
        assert!(!Release::default().is_for("CSQU3054383", None));
        let without_bl = Release { bl: None, ..release };
        assert!(!without_bl.is_for("CSQU3054383", Some("BL-1")));
    }

    #[test]
    fn an_assignee_is_written_as_the_document_says() {
        let driver = Driver {
            first_name: "Ann".to_owned(),
            last_name: "Example".to_owned(),
            identification: "0012345".to_owned(),
            email: None,
            phone: Some("+32 0".to_owned()),
        };
        assert_eq!(
            serde_json::to_value(Assignee::Driver(driver)).unwrap(),
            json!({
                "type": "driver", "firstName": "Ann", "lastName": "Example",
                "identification": "0012345", "phone": "+32 0"
            })
        );
        let barge = Barge {
            name: "Antigoon".to_owned(),
            identification: "06912345".to_owned(),
            visit_number: Some("BTS2356".to_owned()),
        };
        assert_eq!(
            serde_json::to_value(Assignee::Barge(barge)).unwrap(),
            json!({
                "type": "barge", "name": "Antigoon", "identification": "06912345",
                "visitNumber": "BTS2356"
            })
        );
    }

    #[test]
    fn a_mapped_record_reads_as_driver_or_barge_and_shows_nothing() {
        let driver: Driver = serde_json::from_value(
            json!({"firstName": "Ann", "lastName": "Example", "identification": "0012345"}),
        )
        .unwrap();
        assert_eq!(driver.identification, "0012345");
        let barge: Barge = serde_json::from_value(
            json!({"name": "Antigoon", "identification": "06912345", "visitNumber": "B"}),
        )
        .unwrap();
        assert_eq!(barge.visit_number.as_deref(), Some("B"));
        let shown = format!(
            "{driver:?} {barge:?} {:?} {:?}",
            Assignee::Driver(driver.clone()),
            Assignee::Barge(barge.clone())
        );
        assert_eq!(shown, "Driver(***) Barge(***) Driver(***) Barge(***)");
    }
}
