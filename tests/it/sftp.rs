//! Files from partners' SFTP servers: each is fetched once, and put away there as is asked for.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Port, Provider, Sshd};

const ORDERS: &str = r#"
[input]
format = "csv"

[output]
format = "json"

[[fields]]
to = "id"
from = "ID"
required = true
"#;

/// A partner's server, the customer whose files lie there, and the port.
struct Scene {
    port: Port,
    provider: Provider,
    sshd: Sshd,
}

impl Scene {
    /// Files are taken from the folder `out`, as soon as they are there; `after` says what becomes of
    /// them.
    fn new(after: &str) -> Scene {
        Scene::with(Sshd::start(), &format!("ready = {{ when = \"renamed\" }}\nafter = {after}"))
    }

    /// The same with other lines of the source.
    fn with(sshd: Sshd, lines: &str) -> Scene {
        let port = Port::open(Port::world(&["acme"]));
        let provider = Provider::new(&port);
        provider.mapping("orders", ORDERS);
        let scene = Scene { port, provider, sshd };
        scene.sshd.known_hosts(&["ed25519"]);
        fs::create_dir(scene.out()).unwrap();
        scene.customer("acme", lines);
        scene
    }

    fn customer(&self, id: &str, lines: &str) {
        let sshd = &self.sshd;
        self.provider.forwarder(id, "orders", "");
        let file = format!("customers/{id}.toml");
        let text = fs::read_to_string(self.provider.path(&file)).unwrap();
        let local = text.split("[sources.in]").nth(1).unwrap().split("\n\n").next().unwrap();
        let remote = format!(
            "\ntype = \"sftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\n\
             key = {{ file = \"{}\" }}\nknown_hosts = \"{}\"\npath = \"{}\"\n{lines}",
            sshd.port(),
            sshd.user(),
            sshd.path("client").display(),
            sshd.path("known_hosts").display(),
            sshd.remote("out"),
        );
        self.provider.file(&file, text.replace(local, &remote));
    }

    /// The partner's folder, as it lies on this machine.
    fn out(&self) -> PathBuf {
        self.sshd.folder().join("out")
    }

    fn drop_file(&self, name: &str, text: &str) {
        let hidden = self.out().join(".writing");
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.out().join(name)).unwrap();
    }

    /// The names of what lies in the partner's folder, or below it.
    fn left(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.out().join(below))
            .map(|all| {
                all.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }

    fn delivered(&self) -> u64 {
        self.port.stats().ingestion.records
    }
}

#[test]
fn a_fetched_file_is_moved_and_its_results_lie_in_the_state() {
    let scene = Scene::new("{ move = \"out/done\" }");
    scene.drop_file("A.csv", "ID\n1\n2\n");
    let run = scene.provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(scene.delivered(), 2);
    assert_eq!(scene.left(""), ["done"]);
    assert_eq!(scene.left("done"), ["A.csv"]);
    let results = scene.provider.path("state/test/results/acme/in");
    assert!(results.join("receipts/A.csv.receipt.json").exists());
}
