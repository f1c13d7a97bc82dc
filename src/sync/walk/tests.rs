//! A walk over a list that changes while it is read misses nothing for good.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::config::load;
use crate::remote::testing::{Seen, Server, answer};
use crate::worker::assemble;

/// A change that is made before a request is answered, by the request's number from 0.
type Plan = BTreeMap<usize, (usize, Timestamp)>;

/// The releases of an API, listed by the time of their last change, the oldest first: when one
/// changes, all behind it move up.
struct Port {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    releases: Vec<Value>,
    requests: usize,
    plan: Plan,
    /// Whether the pages have an order of their own.
    mixed: bool,
}

impl State {
    fn touch(&mut self, number: usize, at: Timestamp) {
        let release = &mut self.releases[number];
        release["updatedAt"] = json!(format!("{at:.3}"));
        release["greenLights"] = json!({ "total": format!("as of {at}") });
    }

    fn list(&mut self, query: &BTreeMap<String, String>) -> Vec<Value> {
        if let Some((number, at)) = self.plan.remove(&self.requests) {
            self.touch(number, at);
        }
        self.requests += 1;
        let time = |release: &Value| release["updatedAt"].as_str().unwrap().to_owned();
        let since = query.get("since").cloned().unwrap_or_default();
        let mut list: Vec<Value> =
            self.releases.iter().filter(|release| time(release) >= since).cloned().collect();
        list.sort_by_key(time);
        if self.mixed {
            list.sort_by_key(|release| *blake3::hash(time(release).as_bytes()).as_bytes());
        }
        let limit: usize = query["limit"].parse().unwrap();
        let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
        list.into_iter().skip((page - 1) * limit).take(limit).collect()
    }
}

impl Port {
    async fn open(count: usize) -> Port {
        let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let release = |number: usize| {
            let at = first + SignedDuration::from_secs(number as i64);
            json!({
                "address": format!("0xAB{number:06}"), "updatedAt": format!("{at:.3}"),
                "release_data": { "container": { "containerNumber": format!("C{number}") } }
            })
        };
        let releases = (0..count).map(release).collect();
        let state = Arc::new(Mutex::new(State { releases, ..State::default() }));
        let shared = Arc::clone(&state);
        let server = Server::start(move |_, seen: Seen| {
            let (_, query) = seen.path.split_once('?').unwrap();
            let query = query.split('&').map(|pair| pair.split_once('=').unwrap());
            let query = query.map(|(name, value)| (name.to_owned(), value.replace("%3A", ":")));
            let list = shared.lock().unwrap().list(&query.collect());
            async move { answer(200, Value::from(list).to_string()) }
        })
        .await;
        Port { server, state }
    }

    fn parts(&self, folder: &Path) -> Parts {
        for sub in ["customers", "mappings", "erp"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        let provider = format!(
            "environments = [\"test\"]\nenvironment = \"test\"\n[limits]\nfree_disk = \"0\"\n\
             [scr.wallet]\nurl = \"{}/v1\"\nauth = {{ type = \"none\" }}\n",
            self.server.url
        );
        let listens = "callback = { key = { file = \"key\" }, in = \"header\" }\n\
                       [listen]\nnotifications = { address = \"127.0.0.1:0\" }\n";
        let acme = "vat = \"BE0403019261\"\n[channels.a]\ntype = \"scr\"\napi = \"wallet\"\n\
                    [[outbox]]\nmapping = \"out\"\npath = \"../erp\"\n";
        let out = "direction = \"out\"\n[output]\nformat = \"json\"\n\
                   [[fields]]\nto = \"event\"\nfrom = \"event\"\n";
        std::fs::write(folder.join("key"), "the-secret-of-callbacks-of-32-bytes!").unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join("key"), private).unwrap();
        std::fs::write(folder.join("lighterman.toml"), provider + listens).unwrap();
        std::fs::write(folder.join("mappings/out.toml"), out).unwrap();
        std::fs::write(folder.join("customers/acme.toml"), acme).unwrap();
        let loaded = load(Some(&folder.join("lighterman.toml")), None).unwrap();
        let parts = assemble(loaded.config).unwrap();
        assert_eq!(parts.setup().config.broken, BTreeMap::new());
        parts
    }

    /// From the next request on, these changes come before requests of these numbers.
    fn plan(&self, plan: impl IntoIterator<Item = (usize, (usize, Timestamp))>) {
        let mut state = self.state.lock().unwrap();
        state.requests = 0;
        state.plan = plan.into_iter().collect();
    }

    fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

/// What was queued since the last time: events by address.
async fn queued(parts: &Parts, from: &mut u64) -> BTreeMap<String, Vec<String>> {
    let after = *from;
    let queued =
        parts.ledger.change(move |store| store.queued("acme", "outbox", after, 10_000)).await;
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for queued in queued.unwrap() {
        let payload = crate::pipeline::Payload::read(&parts.spool, &queued.payload);
        let document = payload.unwrap().unwrap().document;
        let address = document["release"]["address"].as_str().unwrap().to_owned();
        events.entry(address).or_default().push(queued.event);
        *from = queued.sequence;
    }
    events
}

async fn walked(parts: &Parts) -> usize {
    walked_by(parts, false).await
}

async fn walked_by(parts: &Parts, listens: bool) -> usize {
    match walk(parts, "wallet", listens).await {
        Ok(changed) => changed,
        Err(Broken::Api(_, reply)) => panic!("{reply:?}"),
        Err(Broken::Full(why)) => panic!("{why}"),
        Err(Broken::Ledger(error)) => panic!("{error:#}"),
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn address(number: usize) -> String {
    format!("0xAB{number:06}")
}

#[tokio::test]
async fn one_page_is_one_request_and_what_is_known_is_told_once() {
    let port = Port::open(50).await;
    let folder = tempfile::tempdir().unwrap();
    let (parts, mut from) = (port.parts(folder.path()), 0);
    assert_eq!(walked(&parts).await, 50);
    let events = queued(&parts, &mut from).await;
    assert_eq!(events.len(), 50);
    assert!(events.values().all(|events| *events == ["transfer"]), "{events:?}");
    port.plan([(0, (7, now()))]);
    assert_eq!(walked(&parts).await, 1);
    assert_eq!(port.requests(), 1);
    let lights = BTreeMap::from([(address(7), vec!["greenlights".to_owned()])]);
    assert_eq!(queued(&parts, &mut from).await, lights);
    assert_eq!(walked(&parts).await, 0);
    assert_eq!(queued(&parts, &mut from).await, BTreeMap::new());
    let last = port.server.seen().pop().unwrap().path;
    assert!(last.starts_with("/v1/releases?since=2026-"), "{last}");
}

#[tokio::test]
async fn what_does_not_change_is_read_once_and_told_in_the_order_of_its_changes() {
    let port = Port::open(250).await;
    port.state.lock().unwrap().mixed = true;
    let folder = tempfile::tempdir().unwrap();
    let parts = port.parts(folder.path());
    assert_eq!(walked(&parts).await, 250);
    // Without a number, then 1, 2 and 3.
    assert_eq!(port.requests(), 4);
    let queued = parts.ledger.change(|store| store.queued("acme", "outbox", 0, 1000)).await;
    let changed_at = |queued: crate::ledger::Queued| {
        let payload = crate::pipeline::Payload::read(&parts.spool, &queued.payload);
        let document = payload.unwrap().unwrap().document;
        document["release"]["updatedAt"].as_str().unwrap().to_owned()
    };
    let told: Vec<String> = queued.unwrap().into_iter().map(changed_at).collect();
    assert_eq!(told.len(), 250);
    assert!(told.is_sorted(), "{told:?}");
}

#[tokio::test]
async fn where_we_listen_the_first_look_of_all_only_notes_what_there_is() {
    let port = Port::open(3).await;
    let folder = tempfile::tempdir().unwrap();
    let (parts, mut from) = (port.parts(folder.path()), 0);
    assert_eq!(walked_by(&parts, true).await, 3);
    assert_eq!(queued(&parts, &mut from).await, BTreeMap::new());
    port.plan([(0, (1, now()))]);
    assert_eq!(walked_by(&parts, true).await, 1);
    let lights = BTreeMap::from([(address(1), vec!["greenlights".to_owned()])]);
    assert_eq!(queued(&parts, &mut from).await, lights);
}

#[tokio::test]
async fn what_comes_after_a_look_at_nothing_is_told() {
    let port = Port::open(1).await;
    let release = port.state.lock().unwrap().releases.pop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (parts, mut from) = (port.parts(folder.path()), 0);
    assert_eq!(walked_by(&parts, true).await, 0);
    port.state.lock().unwrap().releases.push(release);
    assert_eq!(walked_by(&parts, true).await, 1);
    let came = BTreeMap::from([(address(0), vec!["transfer".to_owned()])]);
    assert_eq!(queued(&parts, &mut from).await, came);
}

#[tokio::test]
async fn what_a_change_hides_from_one_look_is_found_by_the_next() {
    let port = Port::open(250).await;
    let folder = tempfile::tempdir().unwrap();
    let (parts, mut from) = (port.parts(folder.path()), 0);
    // Pages are asked for without a number, then 1, 2 and 3. Before page 2 the first release moves
    // to the end, and the hundredth and first to page 1.
    port.plan([(2, (0, now()))]);
    assert_eq!(walked(&parts).await, 251);
    let events = queued(&parts, &mut from).await;
    assert_eq!(events.len(), 250);
    assert_eq!(events[&address(0)], ["transfer", "greenlights"]);
    assert_eq!(events[&address(100)], ["transfer"]);
}

#[tokio::test]
async fn what_is_hidden_to_the_end_of_a_walk_is_found_by_the_next_run() {
    let port = Port::open(202).await;
    let folder = tempfile::tempdir().unwrap();
    let (parts, mut from) = (port.parts(folder.path()), 0);
    walked(&parts).await;
    port.state.lock().unwrap().touch(1, now());
    walked(&parts).await;
    queued(&parts, &mut from).await;
    // Number 100 changed in June, and is the first on page 3 of all since January. Before that page
    // is asked for, the first release moves to the end, and number 100 to page 2.
    port.state.lock().unwrap().touch(100, "2026-06-01T00:00:00Z".parse().unwrap());
    let january = Walked { since: "2026-01-01T00:00:00Z".parse().ok(), doubtful: None };
    let url = format!("{}/v1", port.server.url);
    parts.ledger.update(move |store| store.note_walked(&url, &january)).await.unwrap();
    port.plan([(3, (0, now()))]);
    assert_eq!(walked(&parts).await, 0, "this is about what a walk does not see");
    assert_eq!(walked(&parts).await, 2);
    let events = queued(&parts, &mut from).await;
    assert_eq!(events.keys().collect::<Vec<_>>(), [&address(0), &address(100)]);
    assert_eq!(walked(&parts).await, 0);
    assert_eq!(queued(&parts, &mut from).await, BTreeMap::new());
}

#[tokio::test]
async fn a_release_of_another_company_is_told_to_nobody_though_there_is_one_customer() {
    let port = Port::open(3).await;
    for (number, vat) in [(0, "BE1000000021"), (1, "BE 0403.019.261")] {
        port.state.lock().unwrap().releases[number]["selfOwnerVat"] = json!(vat);
    }
    let folder = tempfile::tempdir().unwrap();
    let (parts, mut from) = (port.parts(folder.path()), 0);
    assert_eq!(walked(&parts).await, 2);
    let events = queued(&parts, &mut from).await;
    // The third names no owner, as in the document's own sample.
    assert_eq!(events.keys().collect::<Vec<_>>(), [&address(1), &address(2)]);
}
