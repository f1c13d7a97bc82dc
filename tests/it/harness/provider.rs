//! Provider: the folder that a provider has, with its config, its customers and their inboxes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::port::{CLIENT, Port, SCR_KEY, VAT};
use super::process::{Finished, Running};

/// A provider's folder; it goes with this.
pub struct Provider {
    folder: TempDir,
}

impl Provider {
    /// A provider without customers, whose endpoints are all at `port`. Every SCR API of the port
    /// is there as `wallet-a`, `wallet-b`, …, by the first part of its path.
    pub fn new(port: &Port) -> Provider {
        Provider::with(port, "")
    }

    /// The same, with further lines at the end of its config.
    pub fn with(port: &Port, more: &str) -> Provider {
        let provider = Provider::empty();
        let url = port.url();
        let mut config = format!(
            r#"
environments = ["test"]
environment  = "test"

[endpoints]
ingestion = "{url}/ingestion"

[clients.nxtport]
token_url     = "{url}/connect/token"
grant         = "password"
client_id     = "{}"
client_secret = {{ file = "secrets/client" }}

[limits]
free_disk = "1 MiB"
"#,
            CLIENT.0
        );
        for path in port.stats().scr.keys() {
            let name = path.trim_start_matches('/').split('/').next().unwrap();
            config += &format!(
                r#"
[scr.{name}]
url  = "{url}{path}"
auth = {{ type = "signed-jwt", algorithm = "HS256", key = {{ file = "secrets/scr" }} }}
"#
            );
        }
        provider.file("lighterman.toml", config + more);
        provider.secret("client", CLIENT.1);
        provider.secret("scr", SCR_KEY);
        provider
    }

    /// A folder with nothing in it.
    pub fn empty() -> Provider {
        let folder = tempfile::Builder::new().prefix("lighterman-it-").tempdir().unwrap();
        for name in ["customers", "mappings/aka", "secrets"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Provider { folder }
    }

    /// A copy of `folder`, with secrets that only their owner can read.
    pub fn copy_of(folder: &Path) -> Provider {
        let provider = Provider::empty();
        copy(folder, &provider.path(""));
        for secret in fs::read_dir(provider.path("secrets")).unwrap() {
            fs::set_permissions(secret.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
        }
        provider
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes `secrets/<name>`, for its owner's eyes only.
    pub fn secret(&self, name: &str, text: &str) {
        let name = format!("secrets/{name}");
        self.file(&name, text);
        fs::set_permissions(self.path(&name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes `mappings/<name>.toml`.
    pub fn mapping(&self, name: &str, text: &str) {
        self.file(&format!("mappings/{name}.toml"), text);
    }

    /// Writes the table `mappings/aka/<name>.csv`.
    pub fn aka(&self, name: &str, text: &str) {
        self.file(&format!("mappings/aka/{name}.csv"), text);
    }

    /// Writes `customers/<id>.toml` as given, and makes `inbox/<id>`. With it goes the source
    /// `in`, which takes files as soon as they have their name.
    pub fn customer(&self, id: &str, vat: &str, text: &str) {
        fs::create_dir_all(self.inbox(id)).unwrap();
        let source = format!(
            "name = \"Customer {id}\"\nvat = \"{vat}\"\n\n[sources.in]\ntype = \"local\"\n\
             path = \"../inbox/{id}\"\nready = {{ when = \"renamed\" }}\n"
        );
        self.file(&format!("customers/{id}.toml"), source + text);
    }

    /// A customer with the login `own` of the user `<id>`, the channel `out` to `c-<id>` with
    /// these further keys, and a route from all files to it by this mapping.
    pub fn forwarder(&self, id: &str, mapping: &str, channel: &str) {
        self.secret(id, &format!("{id}-password"));
        let text = format!(
            r#"
[logins.own]
client   = "nxtport"
username = "{id}"
password = {{ file = "../secrets/{id}" }}

[channels.out]
type            = "ingestion"
login           = "own"
channel_id      = "c-{id}"
media_type      = "application/json"
message_type    = "Order"
message_type_in = {{ header = "messageType" }}
{channel}

[[routes]]
source  = "in"
files   = "*"
mapping = "{mapping}"
channel = "out"
"#
        );
        self.customer(id, VAT, &text);
    }

    /// A customer with the channel `out` to the SCR API `wallet-a` with these further keys, and a
    /// route from all files to it by this mapping.
    pub fn transporter(&self, id: &str, vat: &str, mapping: &str, channel: &str) {
        let text = format!(
            r#"
[channels.out]
type = "scr"
api  = "wallet-a"
{channel}

[[routes]]
source  = "in"
files   = "*"
mapping = "{mapping}"
channel = "out"
"#
        );
        self.customer(id, vat, &text);
    }

    /// The folder that a customer's files appear in.
    pub fn inbox(&self, customer: &str) -> PathBuf {
        self.path(&format!("inbox/{customer}"))
    }

    /// Drops a file as an ERP does: written under a hidden name, then renamed.
    pub fn drop_file(&self, customer: &str, name: &str, bytes: impl AsRef<[u8]>) {
        let inbox = self.inbox(customer);
        let hidden = inbox.join(format!(".{name}"));
        fs::write(&hidden, bytes).unwrap();
        fs::rename(hidden, inbox.join(name)).unwrap();
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Running::start(&self.path(""), arguments).end()
    }

    /// `lighterman run --once` and these arguments.
    #[track_caller]
    pub fn run_once(&self, arguments: &[&str]) -> Finished {
        self.run(&[&["run", "--once"], arguments].concat())
    }

    /// Starts `lighterman run`, the daemon.
    pub fn start(&self) -> Running {
        self.start_with(&["run"])
    }

    /// Starts any command and lets it run.
    pub fn start_with(&self, arguments: &[&str]) -> Running {
        Running::start(&self.path(""), arguments)
    }

    /// Starts any command with these variables in its environment.
    pub fn start_in(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        Running::start_in(&self.path(""), arguments, variables)
    }

    /// What `lighterman status --json` says.
    #[track_caller]
    pub fn status(&self) -> Value {
        let run = self.run(&["status", "--json"]);
        assert_eq!(run.code, 0, "{run}");
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
    }

    /// The same, of one customer's records in one state.
    #[track_caller]
    pub fn records(&self, customer: &str, state: &str) -> u64 {
        self.status()["customers"][customer]["records"][state].as_u64().unwrap()
    }

    /// The kinds of the alarms that stand.
    #[track_caller]
    pub fn alarms(&self) -> Vec<String> {
        let status = self.status();
        let alarms = status["alarms"].as_array().unwrap();
        alarms.iter().map(|alarm| alarm["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Has `check-ledger` prove that every record is accounted for.
    #[track_caller]
    pub fn check_ledger(&self) {
        let run = self.run(&["check-ledger"]);
        assert_eq!(run.code, 0, "{run}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
