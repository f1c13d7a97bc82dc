//! Releases, connections and what can be done to them at the SCR API.

use super::*;

fn driver() -> Value {
    json!({
        "type": "driver", "firstName": "Jan", "lastName": "Peeters", "identification": "A1",
        "email": "jan@example.com", "phone": "+32 0",
    })
}

async fn write(port: &Port, address: &str, word: &str, body: Value) -> (u16, Value) {
    let (status, body) = port.scr("PUT", &format!("/releases/{address}/{word}"), body).await;
    (status.as_u16(), body)
}

/// The description of a business fault.
async fn fault(port: &Port, address: &str, word: &str, body: Value) -> String {
    let (status, body) = write(port, address, word, body).await;
    assert_eq!(status, 500, "{body}");
    assert!(body["code"].is_u64(), "{body}");
    body["description"].as_str().unwrap().to_string()
}

async fn addresses(port: &Port, query: &str) -> Vec<String> {
    let (status, body) = port.scr("GET", &format!("/releases{query}"), Value::Null).await;
    assert_eq!(status, 200, "{body}");
    let list = body.as_array().unwrap();
    list.iter().map(|release| release["address"].as_str().unwrap().to_string()).collect()
}

#[tokio::test]
async fn a_release_is_shown_in_the_documents_shape() {
    let port = Port::open().await;
    let (status, release) = port.scr("GET", "/releases/0xaA01", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(release["address"], "0xAa01");
    assert_eq!(release["release_data"]["billOfLading"]["blNumber"], "BL1");
    assert_eq!(release["release_data"]["container"]["containerNumber"], "CSQU3054383");
    assert_eq!(release["owner"], "0xSelf");
    assert_eq!(release["selfOwner"], "0xSelf");
    assert_eq!(release["selfOwnerName"], "Acme NV");
    assert_eq!(release["selfOwnerVat"], "BE0403019261");
    assert_eq!(release["nextOwner"], Value::Null);
    assert_eq!(release["gateOut"], Value::Null);
    assert_eq!(release["pinRetrieved"], false);
    assert_eq!(release["greenLights"]["total"], "green");
    assert_eq!(release["greenLights"]["events"]["pickuplight"]["color"], "gray");
    assert_eq!(release["conditions"], json!([]));
    assert!(release["encryptedPin"].as_str().unwrap().len() > 255);
    let created = release["createdAt"].as_str().unwrap();
    assert_eq!(created.len(), "2021-12-20T14:17:05.623Z".len(), "{created}");
    // Every key of the document's sample is there.
    for key in
        ["deleted", "blocked", "updatedAt", "creator", "version", "previousOwner", "release_data"]
    {
        assert!(release.get(key).is_some(), "{key} is missing");
    }
}

#[tokio::test]
async fn a_release_of_another_company_of_the_wallet_says_so() {
    let port = Port::open().await;
    let (_, release) = port.scr("GET", "/releases/0xaa05", Value::Null).await;
    assert_eq!(release["selfOwnerVat"], "BE0417497106");
    assert_eq!(release["owner"], release["selfOwner"]);
    assert_eq!(release["blocked"], true);
    assert_eq!(release["gateOut"], "2026-01-06T10:00:00Z");
    assert_eq!(release["greenLights"]["total"], "red");
}

#[tokio::test]
async fn filters_narrow_the_list_together() {
    let port = Port::open().await;
    assert_eq!(addresses(&port, "").await.len(), 5);
    assert_eq!(addresses(&port, "?container=CSQU3054383").await, ["0xAa01", "0xAa02"]);
    assert_eq!(addresses(&port, "?bl=BL1").await, ["0xAa01", "0xAa03"]);
    assert_eq!(addresses(&port, "?container=CSQU3054383&bl=BL2").await, ["0xAa02"]);
    assert!(addresses(&port, "?container=CSQU3054383&bl=BL4").await.is_empty());
    assert_eq!(addresses(&port, "?limit=2").await, ["0xAa01", "0xAa02"]);
    assert_eq!(addresses(&port, "?limit=2&page=2").await, ["0xAa03", "0xAa04"]);
    assert_eq!(addresses(&port, "?limit=2&page=3").await, ["0xAa05"]);
    assert!(addresses(&port, "?limit=2&page=4").await.is_empty());
    assert!(addresses(&port, "?since=2999-01-01T00:00:00Z").await.is_empty());
    assert_eq!(port.scr("GET", "/releases?limit=x", Value::Null).await.0, 500);
    assert_eq!(port.scr("GET", "/releases?since=yesterday", Value::Null).await.0, 500);
}

#[tokio::test]
async fn since_leaves_only_what_was_changed_from_then_on() {
    let port = Port::open().await;
    assert_eq!(write(&port, "0xAa02", "assign", driver()).await.0, 204);
    let (_, release) = port.scr("GET", "/releases/0xAa02", Value::Null).await;
    let (_, other) = port.scr("GET", "/releases/0xAa01", Value::Null).await;
    let since = port.sandbox.release(SCR, "0xaa02").unwrap().history[0].at;
    assert_eq!(addresses(&port, &format!("?since={since}")).await, ["0xAa02"]);
    assert!(release["updatedAt"].as_str() >= other["updatedAt"].as_str());
}

#[tokio::test]
async fn a_driver_is_assigned_with_204_and_a_new_call_overwrites() {
    let port = Port::open().await;
    assert_eq!(write(&port, "0xAA01", "assign", driver()).await, (204, Value::Null));
    let mut second = driver();
    second["identification"] = json!("A2");
    assert_eq!(write(&port, "0xaa01", "assign", second).await.0, 204);
    let state = port.sandbox.release(&format!("{SCR}/"), "0xaa01").unwrap();
    assert_eq!(state.assigned.unwrap().identification, "A2");
    let seqs: Vec<u64> = state.history.iter().map(|change| change.seq).collect();
    assert_eq!(seqs, [1, 2]);
    let first = state.history[0].assigned.as_ref().unwrap();
    assert_eq!((first.kind, first.identification.as_str()), (Kind::Driver, "A1"));
    let (_, shown) = port.scr("GET", "/releases/0xaa01", Value::Null).await;
    assert_eq!(shown["greenLights"]["events"]["pickuplight"]["value"], "assigned");
}

#[tokio::test]
async fn a_barge_is_assigned_by_either_endpoint() {
    let port = Port::open().await;
    let barge =
        json!({ "name": "Antigoon", "identification": "06912345", "visitNumber": "BTS2356" });
    let mut typed = barge.clone();
    typed["type"] = json!("barge");
    assert_eq!(write(&port, "0xAa01", "assign", typed.clone()).await.0, 204);
    assert_eq!(write(&port, "0xAa01", "assign_barge", typed).await.0, 204);
    assert_eq!(write(&port, "0xAa01", "assign_barge", barge.clone()).await.0, 204);
    assert_eq!(fault(&port, "0xAa01", "assign", barge).await, "Field type is mandatory");
    let wrong = fault(&port, "0xAa01", "assign_barge", driver()).await;
    assert!(wrong.contains("not driver"), "{wrong}");
    let assigned = port.sandbox.release(SCR, "0xAa01").unwrap().assigned.unwrap();
    assert_eq!(assigned.kind, Kind::Barge);
    assert_eq!(assigned.identification, "06912345");
    assert_eq!(assigned.visit_number.as_deref(), Some("BTS2356"));
}

#[tokio::test]
async fn an_assignment_is_taken_back_with_202_and_the_pickup_light_shows_it() {
    let port = Port::open().await;
    write(&port, "0xAa01", "assign", driver()).await;
    assert_eq!(write(&port, "0xAa01", "unassign", Value::Null).await, (202, Value::Null));
    let state = port.sandbox.release(SCR, "0xAa01").unwrap();
    assert_eq!(state.assigned, None);
    let actions: Vec<_> = state.history.iter().map(|change| change.action.as_str()).collect();
    assert_eq!(actions, ["assign", "unassign"]);
    let (_, shown) = port.scr("GET", "/releases/0xAa01", Value::Null).await;
    assert_eq!(shown["greenLights"]["events"]["pickuplight"]["value"], "revoked");
}

#[tokio::test]
async fn business_faults_are_500_with_code_and_description() {
    let port = Port::open().await;
    assert_eq!(fault(&port, "0xNone", "assign", driver()).await, "Release 0xnone not found");
    assert_eq!(fault(&port, "0xAa03", "assign", driver()).await, "Release has been deleted");
    for (address, word) in [("0xAa04", "assign"), ("0xAa04", "unassign")] {
        let description = fault(&port, address, word, driver()).await;
        assert_eq!(description, "You are not the owner of this release");
    }
    for field in ["type", "firstName", "lastName", "identification"] {
        let mut missing = driver();
        missing.as_object_mut().unwrap().remove(field);
        let wanted = format!("Field {field} is mandatory");
        assert_eq!(fault(&port, "0xAa01", "assign", missing).await, wanted);
        let mut empty = driver();
        empty[field] = json!(" ");
        assert_eq!(fault(&port, "0xAa01", "assign", empty).await, wanted);
        let mut number = driver();
        number[field] = json!(7);
        let wanted = format!("Field {field} is not a string");
        assert_eq!(fault(&port, "0xAa01", "assign", number).await, wanted);
    }
    let mut long = driver();
    long["email"] = json!("é".repeat(255));
    assert_eq!(write(&port, "0xAa01", "assign", long.clone()).await.0, 204);
    long["email"] = json!("é".repeat(256));
    let description = fault(&port, "0xAa01", "assign", long).await;
    assert_eq!(description, "Field email is longer than 255 characters");
    let description = fault(&port, "0xAa01", "assign", json!([1])).await;
    assert!(description.starts_with("Request body is not valid"), "{description}");
    let (status, body) = port.scr("GET", "/releases/0xNone", Value::Null).await;
    assert_eq!(status, 500);
    assert_eq!(body, json!({ "code": 1, "description": "Release 0xnone not found" }));
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.writes, scr.accepted, scr.reads), (19, 1, 1));
}

#[tokio::test]
async fn a_release_is_transferred_to_a_connection_and_revoked() {
    let port = Port::open().await;
    let to = json!({ "address": "0xc1" });
    let description = fault(&port, "0xAa01", "transfer", json!({ "address": "0xC9" })).await;
    assert_eq!(description, "0xC9 is not one of your connections");
    let description = fault(&port, "0xAa01", "transfer", json!({})).await;
    assert_eq!(description, "Field address is mandatory");
    assert_eq!(write(&port, "0xAa01", "transfer", to.clone()).await, (202, Value::Null));
    let (_, shown) = port.scr("GET", "/releases/0xAa01", Value::Null).await;
    assert_eq!((&shown["owner"], &shown["nextOwner"]), (&json!("0xC1"), &json!("0xC1")));
    assert_eq!(shown["nextOwnerName"], "Transporter NV");
    assert_eq!(shown["nextOwnerVat"], "BE1");
    assert_eq!(shown["selfOwner"], "0xSelf");
    let description = fault(&port, "0xAa01", "transfer", to).await;
    assert_eq!(description, "You are not the owner of this release");
    assert_eq!(write(&port, "0xAa01", "revoke", Value::Null).await.0, 202);
    assert_eq!(port.sandbox.release(SCR, "0xAa01").unwrap().owner, "0xSelf");
    let description = fault(&port, "0xAa01", "revoke", Value::Null).await;
    assert_eq!(description, "You have not transferred this release");
}

#[tokio::test]
async fn reading_the_pin_bars_a_transfer() {
    let port = Port::open().await;
    let (status, body) = port.scr("GET", "/releases/0xAa01/pincode", Value::Null).await;
    assert_eq!(status, 200);
    let pin = body["pincode"].as_str().unwrap();
    assert!(pin.len() == 5 && pin.bytes().all(|byte| byte.is_ascii_digit()), "{pin}");
    let description = fault(&port, "0xAa01", "transfer", json!({ "address": "0xC1" })).await;
    assert!(description.contains("pin of this release has been retrieved"), "{description}");
    let (_, shown) = port.scr("GET", "/releases/0xAa01", Value::Null).await;
    assert_eq!(shown["pinRetrieved"], true);
    assert_eq!(port.sandbox.stats().scr[SCR].pin_reads, 1);
}

#[tokio::test]
async fn connections_are_listed_and_invitations_and_subscriptions_stored() {
    let port = Port::open().await;
    let (_, connections) = port.scr("GET", "/connections", Value::Null).await;
    assert_eq!(connections.as_array().unwrap().len(), 1);
    assert_eq!(connections[0]["address"], "0xC1");
    assert_eq!(connections[0]["reference"], "r1");
    let invitation = json!({
        "reference": "r2", "name": "X", "vat": "BE2", "contactEmail": "x@example.com",
    });
    assert_eq!(port.scr("POST", "/invitations", invitation.clone()).await.0, 204);
    assert_eq!(port.scr("POST", "/invitations", json!({ "name": "X" })).await.0, 500);
    let hook = json!({ "eventType": "onRelease", "callback_url": "http://127.0.0.1/" });
    assert_eq!(port.scr("POST", "/subscriptions", hook.clone()).await.0, 204);
    let unknown = json!({ "eventType": "onRain", "callback_url": "http://127.0.0.1/" });
    assert_eq!(port.scr("POST", "/subscriptions", unknown).await.0, 500);
    let (_, stored) = answer(port.call("GET", &format!("/_scr?path={SCR}"))).await;
    assert_eq!(stored["invitations"], json!([invitation]));
    assert_eq!(stored["subscriptions"], json!([hook]));
    assert_eq!(stored["releases"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_the_document_does_not_know_is_404_or_405() {
    let port = Port::open().await;
    assert_eq!(port.scr("PUT", "/releases/0xAa01/paint", Value::Null).await.0, 404);
    assert_eq!(port.scr("POST", "/releases/0xAa01/assign", driver()).await.0, 405);
    assert_eq!(answer(port.call("GET", "/wallet-b/releases")).await.0, 404);
}

#[tokio::test]
async fn green_lights_are_those_of_the_world_and_the_total_follows_the_documents_rule() {
    let port = Port::open().await;
    let change = async |lights: Value| {
        let release = json!({ "address": "0xAa01", "container": "CSQU3054383", "bl": "BL1",
                              "green_lights": lights });
        let change = json!({ "path": SCR, "event": "greenlights", "release": release });
        let (status, error) = answer(port.call("POST", "/_scr/change").json(&change)).await;
        let (_, release) = port.scr("GET", "/releases/0xAa01", Value::Null).await;
        (status.as_u16(), error, release["greenLights"].clone())
    };
    // "Yellow when the customs light is yellow", "in all other cases red".
    for (light, value, colour, total) in [
        ("customs", "selectedforscan", "yellow", "yellow"),
        ("customs", "documentarycontrol", "red", "red"),
        ("terminalready", "selectedforscan", "yellow", "red"),
        ("terminaloperation", "gatein", "green", "green"),
        ("customsprogress", "partiallycleared", "yellow", "green"),
        ("pickuplight", "revoked", "red", "green"),
        ("gateoperation", "gateoutcancelled", "gray", "green"),
        ("commercialrelease", "expired", "red", "red"),
    ] {
        let (status, _, lights) = change(json!({ light: value })).await;
        assert_eq!(status, 204);
        let shown = &lights["events"][light];
        assert_eq!((&shown["value"], &shown["color"]), (&json!(value), &json!(colour)), "{light}");
        assert_eq!(lights["total"], total, "{light} {value}");
        assert_eq!(lights["events"].as_object().unwrap().len(), 7);
    }
    let (status, error, _) = change(json!({ "customs": "purple" })).await;
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().contains("\"customs\" that shows \"purple\""));
}

#[tokio::test]
async fn an_invited_company_decides_once_and_becomes_a_connection() {
    let port = Port::open().await;
    let decide = async |reference: &str, status: &str| {
        let decided = json!({ "path": SCR, "reference": reference, "status": status });
        answer(port.call("POST", "/_scr/invitation").json(&decided)).await.0.as_u16()
    };
    for (reference, name) in [("r2", "Two"), ("r3", "Three")] {
        let invitation = json!({ "reference": reference, "name": name, "vat": format!("BE {name}"),
                                 "contactEmail": "x@example.com" });
        assert_eq!(port.scr("POST", "/invitations", invitation).await.0, 204);
    }
    assert_eq!(decide("r9", "accepted").await, 400);
    assert_eq!(decide("r2", "perhaps").await, 400);
    assert_eq!(decide("r2", "accepted").await, 204);
    assert_eq!(decide("r2", "accepted").await, 400, "it was decided on");
    assert_eq!(decide("r3", "refused").await, 204);
    let (_, connections) = port.scr("GET", "/connections", Value::Null).await;
    let connections = connections.as_array().unwrap();
    assert_eq!(connections.len(), 2);
    assert_eq!(
        (&connections[1]["reference"], &connections[1]["name"]),
        (&json!("r2"), &json!("Two"))
    );
    let to = json!({ "address": connections[1]["address"] });
    assert_eq!(write(&port, "0xAa01", "transfer", to).await.0, 202);
    let (_, stored) = answer(port.call("GET", &format!("/_scr?path={SCR}"))).await;
    assert_eq!(stored["invitations"][0]["status"], "accepted");
    assert_eq!(stored["invitations"][1]["status"], "refused");
}
