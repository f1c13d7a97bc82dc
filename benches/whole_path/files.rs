//! Files: the records, and a provider with one customer who sends them.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lighterman::config::{self, Config};

use crate::records;
use crate::server::{INGESTION, TOKEN};

/// Records a message.
pub const BATCH: u64 = 1000;
pub const CUSTOMER: &str = "acme";
pub const CHANNEL: &str = "releases";
pub const MAPPING: &str = "orders";

const FIELDS: &str = r#"
[[fields]]
to       = "reference"
from     = "ORDER_NO"
required = true

[[fields]]
to       = "container.containerNumber"
from     = "CONT_NO"
clean    = ["trim", "uppercase"]
check    = "iso6346"
required = true

[[fields]]
to       = "container.isoTypeCode"
from     = "SIZE"
aka      = "sizes"
required = true

[[fields]]
to       = "container.pickupLocation"
from     = "TERMINAL"
aka      = "terminals"
required = true

[[fields]]
to       = "container.validUntil"
from     = "VALID_TO"
date     = { read = "%d/%m/%Y", write = "%Y-%m-%d" }
required = true

[[fields]]
to       = "billOfLading.blNumber"
from     = "BL_NO"
required = true

[[fields]]
to       = "billOfLading.carrier"
from     = "CARRIER"
aka      = "carriers"
required = true

[[fields]]
to       = "billOfLading.vessel"
from     = "VESSEL"

[[fields]]
to       = "billOfLading.voyageNumber"
from     = "VOYAGE"

[[fields]]
to       = "consignee.name"
from     = "CONSIGNEE"
required = true
"#;

/// Where everything lies.
pub struct Files {
    pub root: PathBuf,
    /// The records.
    pub csv: PathBuf,
}

impl Files {
    pub fn at(root: &Path) -> Files {
        Files { root: root.to_owned(), csv: root.join("ORDERS.csv") }
    }

    /// Writes records and mapping; tells the size of the records.
    pub fn write(&self, count: u64) -> anyhow::Result<u64> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&self.csv)?);
        records::write(count, &mut out)?;
        out.flush()?;
        // What is still to be written to disk would be written while others are measured.
        out.get_ref().sync_all()?;
        let aka = self.root.join("mappings/aka");
        fs::create_dir_all(&aka)?;
        let input = "[input]\nformat = \"csv\"\ndelimiter = \";\"\n\n[output]\nformat = \"json\"\n";
        fs::write(self.mappings().join(format!("{MAPPING}.toml")), [input, FIELDS].concat())?;
        for (name, rows) in [
            ("carriers", records::carriers()),
            ("sizes", records::sizes()),
            ("terminals", records::terminals()),
        ] {
            let mut text = "alias,code\n".to_owned();
            text.extend(rows.iter().map(|(alias, code)| format!("{alias},{code}\n")));
            fs::write(aka.join(format!("{name}.csv")), text)?;
        }
        Ok(count * records::WIDTH as u64)
    }

    pub fn mappings(&self) -> PathBuf {
        self.root.join("mappings")
    }

    /// Writes a provider with one customer into a folder of its own, and loads it.
    pub fn provider(&self, name: &str, server: &str) -> anyhow::Result<Config> {
        let home = self.home(name)?;
        customer(&home, CUSTOMER)?;
        load(&home, server)
    }

    /// An empty folder for a provider.
    pub fn home(&self, name: &str) -> anyhow::Result<PathBuf> {
        let home = self.root.join(name);
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::create_dir_all(home.join("customers"))?;
        Ok(home)
    }
}

/// Adds a customer to a provider's folder.
pub fn customer(home: &Path, id: &str) -> anyhow::Result<()> {
    fs::create_dir_all(home.join("inbox").join(id))?;
    let text = format!(
        r#"
name = "{id}"

[sources.erp]
type  = "local"
path  = "../inbox/{id}"
ready = {{ when = "renamed" }}

[logins.nxtport]
client   = "nxtport"
username = "{id}"
password = {{ file = "../secret" }}

[channels.{CHANNEL}]
type         = "ingestion"
login        = "nxtport"
channel_id   = "{id}"
media_type   = "application/json"
message_type = "ReleaseOrder"
message_type_in = {{ header = "messageType" }}
batch        = {{ records = {BATCH}, bytes = "1 MiB" }}
concurrency  = 20

[[routes]]
source  = "erp"
files   = "*.csv"
mapping = "{MAPPING}"
channel = "{CHANNEL}"
"#
    );
    Ok(fs::write(home.join("customers").join(format!("{id}.toml")), text)?)
}

/// Writes the provider's own file, and loads everything.
pub fn load(home: &Path, server: &str) -> anyhow::Result<Config> {
    let text = format!(
        r#"
environments = ["local"]
environment  = "local"
mappings     = "../mappings"

[endpoints]
ingestion = "{server}{INGESTION}"

[clients.nxtport]
token_url     = "{server}{TOKEN}"
grant         = "password"
client_id     = "bench"
client_secret = {{ file = "secret" }}

[limits]
free_disk = "1 MiB"
"#
    );
    let secret = home.join("secret");
    fs::write(&secret, "open\n")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    write_and_load(home, &text)
}

/// Loads a provider's file; whatever is wrong with it is an error.
pub fn write_and_load(home: &Path, text: &str) -> anyhow::Result<Config> {
    let file = home.join("lighterman.toml");
    fs::write(&file, text)?;
    let loaded = config::load(Some(&file), None).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(|fault| fault.to_string()).collect();
        anyhow::anyhow!(all.join("\n")).context("the config of the bench is not valid")
    })?;
    if let Some((customer, faults)) = loaded.config.broken.first_key_value() {
        let first = faults.first().map(|fault| fault.to_string());
        bail!("customer {customer} is broken: {}", first.unwrap_or_default());
    }
    Ok(loaded.config)
}

/// Bytes of all files below a folder; what vanishes meanwhile counts nothing.
pub fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A copy of the records where a customer's source looks, put there by a rename.
pub fn drop_in(files: &Files, config: &Config, name: &str) -> anyhow::Result<PathBuf> {
    let source = config.customers.get(CUSTOMER).and_then(|customer| customer.sources.get("erp"));
    let folder = source.context("the customer has no source")?.local_folder();
    let folder = folder.context("the source is not local")?;
    let (part, whole) = (folder.join(format!(".{name}.part")), folder.join(name));
    fs::copy(&files.csv, &part)?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, &whole)?;
    Ok(whole)
}
