//! Provider: what `lighterman.toml` says, for all customers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::address::Address;
use super::clash::Stake;
use super::client::Client;
use super::{Environments, Faults, Limits, Listen, ScrApi, Section, text};

/// What the provider's file says. Things that have errors are known by their names only, so that
/// the customers' files can be checked beside it.
pub(super) struct Provider {
    pub file: PathBuf,
    pub environments: Environments,
    /// The folder of customers' files.
    pub customers: PathBuf,
    /// The line that names it.
    pub customers_line: usize,
    pub mappings: PathBuf,
    /// The names of all mappings, if their folder can be read.
    pub mapping_names: Option<BTreeSet<String>>,
    pub state: PathBuf,
    /// Whether drivers go out as stand-ins.
    pub replaces_drivers: bool,
    pub ingestion: Option<Address>,
    pub cpu: Option<Address>,
    /// Whether endpoints are there, but cannot be used.
    pub endpoints_are_faulty: bool,
    pub clients: BTreeMap<String, Option<Client>>,
    pub scr: BTreeMap<String, Option<ScrApi>>,
    pub listen: Listen,
    pub limits: Limits,
    pub stakes: Vec<Stake>,
}

impl Provider {
    /// Reads the provider's file; `None` if it is not even TOML.
    pub fn read(file: &Path, environment: Option<&str>, faults: &Faults) -> Option<Provider> {
        let text = text::read(file, faults)?;
        let mut section = Section::parse(file, &text, &Environments::default(), faults)?;
        let environments = Environments::parse(&mut section, environment);
        let mut section = section.with_environments(&environments);

        let customers = folder(&mut section, "customers");
        let customers_line = section.line_of("customers");
        let mappings = folder(&mut section, "mappings");
        let mapping_names = mapping_names(&mappings, &section);
        let state = folder(&mut section, "state").join(&environments.current);
        let words = [("send", false), ("replace", true)];
        let replaces_drivers = section.choice("personal_data", &words).unwrap_or(false);
        let (ingestion, cpu, endpoints_are_faulty) = endpoints(&mut section);
        let mut stakes = Vec::new();
        let clients = Client::parse_all(&mut section);
        let scr = ScrApi::parse_all(&mut section, &mut stakes);
        let limits = Limits::parse(&mut section);
        let listen = Listen::parse(&mut section);
        section.finish();
        Some(Provider {
            file: file.to_owned(),
            environments,
            customers,
            customers_line,
            mappings,
            mapping_names,
            state,
            replaces_drivers,
            ingestion,
            cpu,
            endpoints_are_faulty,
            clients,
            scr,
            listen,
            limits,
            stakes,
        })
    }
}

/// A folder whose default name is its key.
fn folder(section: &mut Section, key: &str) -> PathBuf {
    section.file_path(key).unwrap_or_else(|| section.beside(key))
}

/// The endpoints of ingestion and of CPu, and whether one is there that cannot be used.
fn endpoints(provider: &mut Section) -> (Option<Address>, Option<Address>, bool) {
    let Some(mut section) = provider.section("endpoints") else {
        return (None, None, provider.has("endpoints"));
    };
    let ingestion = Address::base(&mut section, "ingestion");
    let cpu = Address::base(&mut section, "cpu");
    let is_faulty =
        ingestion.is_none() && section.has("ingestion") || cpu.is_none() && section.has("cpu");
    section.finish();
    (ingestion, cpu, is_faulty)
}

fn mapping_names(folder: &Path, section: &Section) -> Option<BTreeSet<String>> {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) => {
            let what =
                format!("the folder of mappings {} cannot be read: {error}", folder.display());
            section.error("mappings", what);
            return None;
        }
    };
    let name = |path: PathBuf| {
        let is_mapping = path.extension().is_some_and(|extension| extension == "toml");
        is_mapping.then(|| Some(path.file_stem()?.to_str()?.to_owned())).flatten()
    };
    Some(files.filter_map(|entry| name(entry.ok()?.path())).collect())
}
