//! Change: what happened to a release, told by how it was when it was last looked at and how it is now.

use jiff::Timestamp;
use serde_json::Value;

use crate::ledger::Seen;
use crate::remote::Release;

/// Characters of a number or name that are kept; values of the ledger stay small.
const KEPT: usize = 60;

/// What is kept of a release, by all that the API tells of it; none if it is no release.
pub fn seen(document: &Value, customer: Option<&str>, at: Timestamp) -> Option<Seen> {
    let release = Release::parse(document)?;
    let mut rest = document.clone();
    let mut lights = rest.get_mut("greenLights").map(Value::take).unwrap_or_default();
    if let Some(events) = lights.get_mut("events").and_then(Value::as_object_mut) {
        // The same light at another time is no other light.
        for light in events.values_mut().filter_map(Value::as_object_mut) {
            light.remove("updatedAt");
        }
    }
    let mut owners = Vec::new();
    if let Some(members) = rest.as_object_mut() {
        for name in ["owner", "previousOwner", "nextOwner"] {
            owners.extend(members.remove(name));
        }
        // What tells of the owners once more, of the program that is called, or of time alone.
        members.retain(|name, _| {
            !["updatedAt", "version"].contains(&name.as_str())
                && !["self", "previousOwner", "nextOwner"].iter().any(|of| name.starts_with(of))
        });
    }
    Some(Seen {
        at,
        customer: customer.map(str::to_owned),
        container: release.container.chars().take(KEPT).collect(),
        bl: release.bl.map(|bl| bl.chars().take(KEPT).collect()),
        here: release.next_owner.is_none(),
        blocked: release.blocked,
        deleted: release.deleted,
        told: Vec::new(),
        found: Vec::new(),
        updated: hash(&document["updatedAt"]),
        owners: hash(&Value::from(owners)),
        lights: hash(&lights),
        rest: hash(&rest),
    })
}

/// The events that make one of the other, by the names that the API has for them (SCR API 1.2.9,
/// "The onRelease event type"). All else that changed is an update, and needs no event of its own
/// beside another: each brings the whole release.
pub fn events(before: Option<&Seen>, now: &Seen) -> Vec<&'static str> {
    let Some(before) = before else { return vec!["transfer"] };
    let owner = match (before.here, now.here) {
        // What we had handed over came back.
        (false, true) => Some("revoke"),
        _ if before.owners != now.owners => Some("transfer"),
        _ => None,
    };
    let block = match (before.blocked, now.blocked) {
        (false, true) => Some("block"),
        (true, false) => Some("unblock"),
        _ => None,
    };
    let delete = (!before.deleted && now.deleted).then_some("delete");
    let lights = (before.lights != now.lights).then_some("greenlights");
    let told: Vec<&str> = [owner, block, delete, lights].into_iter().flatten().collect();
    match told.is_empty() && before.rest != now.rest || before.deleted && !now.deleted {
        true => [told, vec!["update"]].concat(),
        false => told,
    }
}

/// Whether nothing has happened to a release since, as far as it tells when it changed.
pub fn is_same(before: &Seen, now: &Seen) -> bool {
    let is_told = now.updated != hash(&Value::Null);
    is_told && before.updated == now.updated && events(Some(before), now).is_empty()
}

fn hash(value: &Value) -> u64 {
    // Members of an object stand in the order of their names.
    let hash = blake3::hash(value.to_string().as_bytes());
    u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the events are between two states of a release.
    fn between(before: Value, now: Value) -> Vec<&'static str> {
        let [before, now] = [before, now].map(|changes| {
            let mut release = json!({
                "address": "0xAB", "deleted": false, "blocked": false, "gateOut": null,
                "updatedAt": "2022-02-16T08:52:13.251Z", "owner": "0x01", "nextOwner": null,
                "previousOwner": "0x02", "previousOwnerName": "Carrier",
                "release_data": { "container": { "containerNumber": "CSQU3054383",
                                                 "containerStatus": "released" },
                                  "billOfLading": { "blNumber": "BL1" } },
                "greenLights": { "total": "red" }
            });
            for (name, value) in changes.as_object().unwrap() {
                release[name] = value.clone();
            }
            seen(&release, Some("acme"), Timestamp::UNIX_EPOCH).unwrap()
        });
        events(Some(&before), &now)
    }

    #[test]
    fn what_was_never_seen_came() {
        let now = seen(&json!({ "address": "0xAB" }), None, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(events(None, &now), ["transfer"]);
        assert_eq!(seen(&json!({ "owner": "0xAB" }), None, Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn each_change_has_the_name_that_the_document_gives_it() {
        let nothing = || json!({});
        assert_eq!(between(nothing(), nothing()), [""; 0]);
        assert_eq!(between(nothing(), json!({ "blocked": true })), ["block"]);
        assert_eq!(between(json!({ "blocked": true }), nothing()), ["unblock"]);
        assert_eq!(between(nothing(), json!({ "deleted": true })), ["delete"]);
        assert_eq!(
            between(nothing(), json!({ "greenLights": { "total": "green" } })),
            ["greenlights"]
        );
        assert_eq!(between(nothing(), json!({ "nextOwner": "0x03" })), ["transfer"]);
        assert_eq!(between(json!({ "nextOwner": "0x03" }), nothing()), ["revoke"]);
        assert_eq!(between(nothing(), json!({ "previousOwner": "0x04" })), ["transfer"]);
        assert_eq!(between(nothing(), json!({ "gateOut": "2023-07-12 14:16" })), ["update"]);
        assert_eq!(between(json!({ "deleted": true }), nothing()), ["update"]);
    }

    #[test]
    fn several_changes_at_once_are_several_events_and_no_update_beside_them() {
        let now = json!({
            "blocked": true, "greenLights": { "total": "yellow" },
            "release_data": { "container": { "containerStatus": "blocked" } }
        });
        assert_eq!(between(json!({}), now), ["block", "greenlights"]);
    }

    #[test]
    fn the_time_of_a_change_and_the_names_of_owners_alone_are_no_event() {
        let now = json!({
            "updatedAt": "2023-02-16T08:52:13.251Z", "selfOwnerVat": "BE1", "version": "1.2.2",
            "previousOwnerName": "Carrier NV", "nextOwnerVat": "",
            "greenLights": { "total": "red",
                             "events": { "customs": { "color": "red", "updatedAt": "2023-07-10" } } }
        });
        let before = json!({
            "greenLights": { "total": "red",
                             "events": { "customs": { "color": "red", "updatedAt": "" } } }
        });
        assert_eq!(between(before, now), [""; 0]);
    }

    #[test]
    fn a_release_is_the_same_while_neither_its_state_nor_the_time_of_its_change_differs() {
        let state = |updated: &str, blocked: bool| {
            let document = json!({ "address": "0xAB", "updatedAt": updated, "blocked": blocked });
            seen(&document, None, Timestamp::UNIX_EPOCH).unwrap()
        };
        let before = state("2026-11-22T10:00:00Z", false);
        let later = Seen { at: Timestamp::MAX, told: vec!["x".to_owned()], ..before.clone() };
        assert!(is_same(&before, &later));
        assert!(!is_same(&before, &state("2026-11-22T10:00:01Z", false)));
        assert!(!is_same(&before, &state("2026-11-22T10:00:00Z", true)));
    }

    #[test]
    fn what_is_kept_stays_small_whatever_a_release_says() {
        let long = "\u{1}".repeat(10_000);
        let release = json!({
            "address": "0xAB",
            "release_data": { "container": { "containerNumber": long },
                              "billOfLading": { "blNumber": long } }
        });
        let seen = seen(&release, Some("acme"), Timestamp::UNIX_EPOCH).unwrap();
        assert!(serde_json::to_vec(&seen).unwrap().len() < 1000);
    }
}
