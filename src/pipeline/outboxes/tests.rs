//! What is queued is durable, numbered without gaps, and bounded.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::load;
use crate::ledger::Queued;
use crate::worker::assemble;

const ACME: &str = r#"
[[outbox]]
mapping = "out"
path = "../erp"

[[outbox]]
name = "lights"
events = ["greenlights"]
mapping = "out"
path = "../lights"
"#;

fn parts(folder: &Path, limits: &str) -> Parts {
    let provider = format!(
        "environments = [\"test\"]\nenvironment = \"test\"\n[limits]\nfree_disk = \"{limits}\"\n"
    );
    for sub in ["customers", "mappings", "erp", "lights"] {
        fs::create_dir_all(folder.join(sub)).unwrap();
    }
    fs::write(folder.join("lighterman.toml"), provider).unwrap();
    let mapping = "direction = \"out\"\n[[fields]]\nto = \"event\"\nfrom = \"event\"\n";
    fs::write(folder.join("mappings/out.toml"), mapping).unwrap();
    fs::write(folder.join("customers/acme.toml"), ACME).unwrap();
    assemble(load(Some(&folder.join("lighterman.toml")), None).unwrap().config).unwrap()
}

async fn queued(parts: &Parts, outbox: &'static str) -> Vec<Queued> {
    parts.ledger.change(move |store| store.queued("acme", outbox, 0, 100)).await.unwrap()
}

#[tokio::test]
async fn a_document_is_queued_for_each_outbox_that_takes_its_event_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path(), "0");
    for (event, outboxes) in [("transfer", 1), ("greenlights", 2), ("accepted", 0)] {
        let put = parts
            .outbox_put("acme", event, json!({ "event": event }), move |store| {
                store.set_login(event, &crate::ledger::LoginRefusals::default());
            })
            .await
            .unwrap();
        assert_eq!(put, Put::Queued(outboxes), "{event}");
    }
    let numbers = |queued: Vec<Queued>| -> Vec<(u64, String)> {
        queued.into_iter().map(|queued| (queued.sequence, queued.event)).collect()
    };
    let erp = queued(&parts, "outbox").await;
    assert_eq!(numbers(erp.clone()), [(1, "transfer".to_owned()), (2, "greenlights".to_owned())]);
    assert_eq!(numbers(queued(&parts, "lights").await), [(1, "greenlights".to_owned())]);
    let payload = Payload::read(&parts.spool, &erp[0].payload).unwrap().unwrap();
    assert_eq!(payload.document, json!({ "event": "transfer" }));
    assert_eq!(fs::metadata(parts.spool.payload(&erp[0].payload)).unwrap().len(), erp[0].bytes);

    // Written ones go, and their numbers are not given again, not even after a restart.
    parts.ledger.change(|store| store.pass("acme", "outbox", &[1, 2], &[])).await.unwrap();
    clear(&parts).await.unwrap();
    let left: Vec<_> = fs::read_dir(parts.spool.payloads()).unwrap().collect();
    assert_eq!(left.len(), 1, "what the other outbox waits with: {left:?}");
    drop(parts);
    let parts = self::parts(folder.path(), "0");
    parts.outbox_put("acme", "block", json!({}), |_| ()).await.unwrap();
    assert_eq!(numbers(queued(&parts, "outbox").await), [(3, "block".to_owned())]);
    assert_eq!(parts.ledger.change(|store| store.audit()).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_queued_and_the_event_does_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path(), "1000000 TiB");
    let put = parts
        .outbox_put("acme", "transfer", json!({}), |_| panic!("it must not end"))
        .await
        .unwrap();
    assert!(matches!(put, Put::Full(_)), "{put:?}");
    assert_eq!(queued(&parts, "outbox").await, []);
    let alarms = parts.ledger.change(|store| Ok(store.alarms.clone())).await.unwrap();
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].source.as_deref(), Some("outbox/outbox"));
}
