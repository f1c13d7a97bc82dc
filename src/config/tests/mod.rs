//! Whole folders of config files, loaded: what comes out, and every fault with its line.

mod example;
mod environments;
mod provider;
mod scr;
mod customer;
mod sftp;
mod source;
mod schedule;
mod login;
mod ingestion;
mod cpu;
mod route;
mod outbox;
mod clashes;
mod secrets;
mod unknown_keys;
mod odd_values;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Config, Customer, Fault, Loaded, load};

/// A folder with a provider's file, two mappings, a secret and a source's folder.
struct Folder {
    dir: tempfile::TempDir,
}

/// A provider's file that is sound.
const PROVIDER: &str = r#"environments = ["uat", "production"]
environment = "uat"

[endpoints]
ingestion = "https://api.example/ingestion"

[clients.nxtport]
token_url = "https://login.example/token"
client_id = "builder"
client_secret = { file = "secret" }

[scr.wallet]
url = "https://localhost:4431/tmining/api/v1"
auth = { type = "none" }
"#;

/// A customer's file that is sound. Tests append to it, or change a line.
const CUSTOMER: &str = r#"name = "Acme"
vat = "BE0403019261"

[sources.erp]
type = "local"
path = "../in"

[logins.nxtport]
client = "nxtport"
username = "acme"
password = { file = "../secret" }

[channels.releases]
type = "ingestion"
login = "nxtport"
channel_id = "channel-acme"

[channels.assignments]
type = "scr"
api = "wallet"

[[routes]]
source = "erp"
files = "*.csv"
mapping = "releases"
channel = "releases"
"#;

impl Folder {
    fn new() -> Folder {
        let folder = Folder { dir: tempfile::tempdir().unwrap() };
        folder.write("lighterman.toml", PROVIDER);
        folder.write("mappings/releases.toml", "");
        folder.write("mappings/drivers.toml", "");
        folder.write("in/archive/x", "");
        folder.write("secret", "abc\n");
        folder.write("customers/README.md", "");
        folder
    }

    /// Beside a sound provider, the customer acme.
    fn with(customer: &str) -> Folder {
        let folder = Folder::new();
        folder.write("customers/acme.toml", customer);
        folder
    }

    /// With the provider's file, no customer.
    fn of_provider(provider: &str) -> Folder {
        let folder = Folder::new();
        folder.write("lighterman.toml", provider);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn load(&self) -> Result<Loaded, Vec<Fault>> {
        load(Some(&self.path("lighterman.toml")), None)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|faults| panic!("{:#?}", self.told(&faults))).config
    }

    /// The customer acme, which must be usable.
    fn acme(&self) -> Customer {
        let mut config = self.config();
        let broken = config.broken.get("acme").map(|faults| self.told(faults));
        assert_eq!(broken, None);
        config.customers.remove("acme").unwrap()
    }

    /// Everything that is said about the files.
    fn faults(&self) -> Vec<String> {
        match self.load() {
            Err(faults) => self.told(&faults),
            Ok(loaded) => {
                let broken = loaded.config.broken.values().flatten();
                self.told(loaded.warnings.iter().chain(broken))
            }
        }
    }

    /// Faults as text, without the place of the folder.
    fn told<'a>(&self, faults: impl IntoIterator<Item = &'a Fault>) -> Vec<String> {
        let place = format!("{}/", self.dir.path().display());
        faults.into_iter().map(|fault| fault.to_string().replace(&place, "")).collect()
    }
}

/// A text with one line changed.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

/// What is said about acme's file when one line of it is changed.
fn acme_with(from: &str, to: &str) -> Vec<String> {
    Folder::with(&changed(CUSTOMER, from, to)).faults()
}

/// What is said about the provider's file when one line of it is changed, there being no customer.
fn provider_with(from: &str, to: &str) -> Vec<String> {
    let mut faults = Folder::of_provider(&changed(PROVIDER, from, to)).faults();
    faults.retain(|fault| !fault.contains("there is no customer"));
    faults
}

/// What is said when these lines are put below a table's head.
fn below(head: &str, lines: &str) -> Vec<String> {
    acme_with(head, &format!("{head}\n{lines}"))
}

/// One fault in acme's file.
fn told(line: usize, what: &str) -> [String; 1] {
    [format!("customers/acme.toml:{line}: {what}")]
}

#[test]
fn the_sound_files_are_sound() {
    assert_eq!(Folder::with(CUSTOMER).faults(), [""; 0]);
}
