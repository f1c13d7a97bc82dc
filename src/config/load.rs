//! Loading: from files to a `Config` that can be trusted, or to everything that is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::clash::{self, Owner};
use super::customer::Draft;
use super::provider::Provider;
use super::{Config, Fault, Faults, Weight};

/// Where the provider's file is looked for when none is named.
const PLACES: [&str; 2] = ["lighterman.toml", "/etc/lighterman/lighterman.toml"];

/// A usable configuration, and what is worth telling of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration; customers that cannot be used are in its `broken`.
    pub config: Config,
    /// Warnings of the provider's file and the usable customers'.
    pub warnings: Vec<Fault>,
}

/// Loads the provider's file and all customers'.
///
/// `file` defaults to `./lighterman.toml`, then `/etc/lighterman/lighterman.toml`; `environment`
/// overrides the one in use. An error in the provider's file is everybody's: then the result is
/// all faults, the customers' too. An error in a customer's file leaves that customer out.
pub fn load(file: Option<&Path>, environment: Option<&str>) -> Result<Loaded, Vec<Fault>> {
    load_with(file, environment, Faults::default())
}

/// As `load`, for commands that only look: secrets are not read, since whoever looks need not be
/// able to.
pub fn load_to_look(file: Option<&Path>, environment: Option<&str>) -> Result<Loaded, Vec<Fault>> {
    load_with(file, environment, Faults::without_secrets())
}

/// As `load`, of the provider's file alone: no customer's file is opened, so that none can be to
/// blame.
pub fn load_provider(file: Option<&Path>, environment: Option<&str>) -> Result<Loaded, Vec<Fault>> {
    let faults = Faults::default();
    let provider = provider(file, environment, &faults)?;
    customer_files(&provider, &faults);
    check_clashes(&provider, &faults, &[]);
    match faults.any_error() {
        true => Err(faults.take()),
        false => Ok(assemble(provider, faults.take(), Vec::new())),
    }
}

fn load_with(
    file: Option<&Path>,
    environment: Option<&str>,
    faults: Faults,
) -> Result<Loaded, Vec<Fault>> {
    let provider = provider(file, environment, &faults)?;
    let drafts: Vec<Draft> = customer_files(&provider, &faults)
        .iter()
        .map(|file| Draft::read(file, &provider, faults.beside()))
        .collect();
    check_clashes(&provider, &faults, &drafts);

    if faults.any_error() {
        let all = drafts.iter().flat_map(|draft| draft.faults.take());
        return Err(faults.take().into_iter().chain(all).collect());
    }
    if drafts.is_empty() {
        let folder = &provider.customers;
        faults.warning(folder, 0, "there is no customer: each *.toml here adds one");
    }
    Ok(assemble(provider, faults.take(), drafts))
}

/// What the provider's file says, or all that is wrong if it cannot be read at all.
fn provider(
    file: Option<&Path>,
    environment: Option<&str>,
    faults: &Faults,
) -> Result<Provider, Vec<Fault>> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => find(&PLACES.map(Path::new)).map_err(|fault| vec![fault])?,
    };
    Provider::read(&file, environment, faults).ok_or_else(|| faults.take())
}

fn find(places: &[&Path]) -> Result<PathBuf, Fault> {
    // A file that is there but cannot be looked at is not passed over.
    let there = places.iter().find(|place| place.try_exists().unwrap_or(true));
    there.map(|place| place.to_path_buf()).ok_or_else(|| {
        let names: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let what = format!(
            "there is no config: neither {} exists; write one, or name one with --config",
            names.join(" nor ")
        );
        Fault { file: places[0].to_owned(), line: 0, weight: Weight::Error, what }
    })
}

/// All customers' files, in the order of their names.
fn customer_files(provider: &Provider, faults: &Faults) -> Vec<PathBuf> {
    let folder = &provider.customers;
    let cannot = |error: std::io::Error| {
        let what = format!("the folder of customers {} cannot be read: {error}", folder.display());
        faults.error(&provider.file, provider.customers_line, what);
    };
    let mut files = Vec::new();
    match std::fs::read_dir(folder) {
        Err(error) => cannot(error),
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => files.push(entry.file_name()),
                    Err(error) => cannot(error),
                }
            }
        }
    }
    files.sort();

    let mut customers = Vec::new();
    for name in &files {
        let file = folder.join(name);
        let extension = file.extension().and_then(|extension| extension.to_str());
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        match extension {
            Some("toml") if !is_hidden => customers.push(file),
            Some(other) if !is_hidden && other.eq_ignore_ascii_case("toml") => {
                faults.warning(&file, 0, "is left out: a customer's file ends in .toml");
            }
            _ => {}
        }
    }
    customers
}

fn check_clashes(provider: &Provider, faults: &Faults, drafts: &[Draft]) {
    let first =
        Owner { file: provider.file.clone(), faults, stakes: &provider.stakes, is_provider: true };
    let others = drafts.iter().map(|draft| Owner {
        file: draft.file.clone(),
        faults: &draft.faults,
        stakes: &draft.stakes,
        is_provider: false,
    });
    clash::check(&std::iter::once(first).chain(others).collect::<Vec<_>>());
}

fn assemble(provider: Provider, mut warnings: Vec<Fault>, drafts: Vec<Draft>) -> Loaded {
    let named = |(name, api): (String, Option<_>)| api.map(|api| (name, api));
    let mut scr: BTreeMap<_, _> = provider.scr.into_iter().filter_map(named).collect();
    let (mut customers, mut broken) = (BTreeMap::new(), BTreeMap::new());
    for draft in drafts {
        let usable = !draft.faults.any_error();
        let faults = draft.faults.take();
        match draft.customer.filter(|_| usable) {
            Some((customer, own)) => {
                warnings.extend(faults);
                scr.extend(own);
                customers.insert(draft.id, customer);
            }
            None => {
                broken.insert(draft.id, faults);
            }
        }
    }
    if provider.replaces_drivers {
        for api in scr.values_mut() {
            api.stand_ins = Some(provider.state.join("stand-ins.key"));
        }
    }
    let config = Config {
        file: provider.file,
        environments: provider.environments,
        mappings: provider.mappings,
        state: provider.state,
        ingestion: provider.ingestion.map(|address| address.text),
        scr,
        listen: provider.listen,
        limits: provider.limits,
        customers,
        broken,
    };
    Loaded { config, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_is_there_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        let fault = find(&[&first, &second]).unwrap_err();
        assert!(fault.what.contains("a.toml nor ") && fault.what.contains("b.toml exists"));
        std::fs::write(&second, "").unwrap();
        assert_eq!(find(&[&first, &second]).unwrap(), second);
        std::fs::write(&first, "").unwrap();
        assert_eq!(find(&[&first, &second]).unwrap(), first);
    }
}
