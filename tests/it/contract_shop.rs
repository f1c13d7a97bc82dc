//! What the contract tests set up: a provider's folder with the config written out as a user
//! writes it, and the binary with an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::contract_fake::Fake;
use crate::harness::*;

/// The password, the client's secret and the subscription key that [`shop`] sets up.
pub const PASSWORD: &str = "pass word&=+%é1";
pub const CLIENT_SECRET: &str = "cl1ent+secret/==";
pub const SUBSCRIPTION_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The mapping `plain`: a `;` CSV with ID and WEIGHT, both texts.
pub const PLAIN: &str = r#"
[input]
format    = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to       = "id"
from     = "ID"
required = true

[[fields]]
to   = "weight"
from = "WEIGHT"
"#;

/// A provider whose servers are all at `fake`, without customers, with the mapping `plain`.
pub fn shop(fake: &Fake) -> Provider {
    shop_with(fake, "")
}

/// The same, with further lines in the provider's file.
pub fn shop_with(fake: &Fake, more: &str) -> Provider {
    let provider = Provider::empty();
    let url = fake.url();
    provider.file(
        "lighterman.toml",
        format!(
            r#"environments = ["uat", "production"]
environment  = "uat"

[endpoints]
ingestion = "{url}/ingestion"

[clients.nxtport]
token_url     = "{url}/connect/token"
grant         = "password"
client_id     = "builder"
client_secret = {{ file = "secrets/client" }}
scope         = "openid"

[limits]
free_disk = "1 MiB"
{more}"#
        ),
    );
    provider.secret("client", CLIENT_SECRET);
    provider.secret("acme", PASSWORD);
    provider.secret("key", SUBSCRIPTION_KEY);
    provider.mapping("plain", PLAIN);
    provider
}

/// The customer `acme`: a source `erp` in `inbox/acme` that takes files as soon as they have their
/// name, a login, and what stands in `rest`.
pub fn acme(provider: &Provider, rest: &str) {
    fs::create_dir_all(provider.inbox("acme")).unwrap();
    provider.file("customers/acme.toml", acme_text(rest));
}

pub fn acme_text(rest: &str) -> String {
    format!(
        r#"name = "Acme Forwarding NV"
vat  = "BE0403019261"

[sources.erp]
type  = "local"
path  = "../inbox/acme"
ready = {{ when = "renamed" }}

[logins.nxtport]
client   = "nxtport"
username = "api@acme.example"
password = {{ file = "../secrets/acme" }}
{rest}"#
    )
}

/// A channel `releases` with these further keys, and a route to it from every CSV file.
pub fn releases(channel: &str) -> String {
    format!(
        r#"
[channels.releases]
type         = "ingestion"
login        = "nxtport"
channel_id   = "chan-1"
media_type   = "application/json"
message_type = "ReleaseOrder"
message_type_in = {{ header = "messageType" }}
{channel}

[[routes]]
source  = "erp"
files   = "*.csv"
mapping = "plain"
channel = "releases"
"#
    )
}

/// Answers are tried again within milliseconds.
pub const QUICK: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;

/// A shop with the customer `acme`, its channel with these keys, and one file `A.csv` of two
/// records.
pub fn ready(fake: &Fake, channel: &str) -> Provider {
    let provider = shop(fake);
    acme(&provider, &releases(channel));
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n001;10\n002;20\n");
    provider
}

/// What the binary left when it was run in `folder` with these environment variables.
pub fn run_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let built = || env!("CARGO_BIN_EXE_lighterman").into();
    let output = Command::new(std::env::var_os("LIGHTERMAN_BINARY").unwrap_or_else(built))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("CREDENTIALS_DIRECTORY")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Every regular file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

/// Whether `bytes` hold `text`.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
