//! Reload: a changed config while the work goes on. New claims use the new one; files in work keep
//! what their claim pinned; a customer whose new config cannot be used stays on its old one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::assemble::set_up;
use super::{Run, Worker, open, source, troubles};
use crate::config::{ChannelKind, Config, Customer, Fault, Folder};
use crate::pipeline::{Occasion, Setup};

impl Worker {
    /// Takes in what was loaded anew; secrets are read again, and what was refused or paused is
    /// tried at once, whether the config can be used or not.
    pub async fn reload(&self, loaded: Result<Config, Vec<Fault>>) {
        let run = &self.0;
        match renewed(run, loaded).await {
            Ok(setup) => {
                let before = run.parts.setup().all_channels();
                run.parts.replace_setup(setup);
                let now = run.parts.setup().all_channels();
                for (key, channel) in before {
                    if !now.get(&key).is_some_and(|now| Arc::ptr_eq(now, &channel)) {
                        channel.retire();
                    }
                }
                if let Err(error) = troubles::tell_broken_customers(&run.parts).await {
                    tracing::error!("The alarms cannot be noted: {error:#}");
                }
                tracing::info!("The config was reloaded");
            }
            Err(why) => {
                let advice = format!("{why}; the config in use is the earlier one");
                tracing::error!("Not reloaded: {advice}");
                troubles::raise(run, troubles::of_config("", advice)).await;
            }
        }
        if let Err(error) = run.parts.ledger.change(|store| store.clear_logins()).await {
            tracing::error!("{error:#}");
        }
        run.parts.setup().all_channels().values().for_each(|channel| channel.retry_now());
        if let Err(error) = open::resume(run, Occasion::Due).await {
            tracing::error!("{error:#}");
        }
        run.again.send_replace(());
        run.parts.notified.notify_one();
        run.parts.outboxes.try_again();
        source::serve_all(run);
        run.folders.wake_all();
    }
}

/// The new setup, or why there is none.
async fn renewed(run: &Run, loaded: Result<Config, Vec<Fault>>) -> Result<Setup, String> {
    let config = loaded.map_err(|faults| match faults.as_slice() {
        [fault, rest @ ..] if !rest.is_empty() => {
            format!("{fault} (and {} more: lighterman check)", rest.len())
        }
        [fault, ..] => fault.to_string(),
        [] => "the config cannot be used".to_owned(),
    })?;
    let old = run.parts.setup();
    if config.state != old.config.state {
        return Err(format!(
            "the state is in {} now, which a process cannot change to while it runs: start it anew",
            config.state.display()
        ));
    }
    // Tables are read and compiled here.
    let renewed = tokio::task::spawn_blocking(move || {
        let mut setup = set_up(config, Some(&old));
        setup.kept = kept(&setup, &old);
        setup
    });
    renewed.await.map_err(|error| error.to_string())
}

/// The setups that broken customers worked with before.
fn kept(new: &Setup, old: &Arc<Setup>) -> BTreeMap<String, Arc<Setup>> {
    let broken = new.config.broken.keys();
    broken
        .map(|customer| (customer.clone(), Arc::clone(old.of(customer))))
        .filter(|(customer, setup)| {
            let customer = setup.config.customers.get(customer);
            customer.is_some_and(|customer| !crosses(customer, &setup.config, &new.config))
        })
        .map(|(customer, setup)| (customer, setup.alone()))
        .collect()
}

/// Whether something of a kept customer's own is another's by the new config.
fn crosses(customer: &Customer, old: &Config, new: &Config) -> bool {
    let others: BTreeSet<String> =
        new.customers.values().flat_map(|other| own(other, new)).collect();
    let provider = new.scr.iter().filter(|(name, _)| !name.contains('/'));
    let provider: BTreeSet<&str> = provider.map(|(_, api)| api.normal.as_str()).collect();
    own(customer, old).iter().any(|own| others.contains(own) || provider.contains(own.as_str()))
        || outboxes(customer).any(|folder| others.contains(&folder))
}

/// The folders of its outboxes, which others may write to as well, but must not take files from.
fn outboxes(customer: &Customer) -> impl Iterator<Item = String> {
    customer.outboxes.values().filter_map(|outbox| match &outbox.folder {
        Folder::Local(folder) => Some(std::path::absolute(folder).ok()?.to_str()?.to_owned()),
        Folder::Sftp(sftp) => Some(sftp.to_string()),
    })
}

/// What only one customer may have: its ingestion channels, folders and SCR APIs.
fn own(customer: &Customer, config: &Config) -> Vec<String> {
    let mut own = Vec::new();
    for channel in customer.channels.values() {
        match &channel.kind {
            ChannelKind::Ingestion(ingestion) => own.push(ingestion.url.clone()),
            ChannelKind::Scr(scr) if scr.api.contains('/') => {
                own.extend(config.scr.get(&scr.api).map(|api| api.normal.clone()));
            }
            ChannelKind::Scr(_) | ChannelKind::Cpu(_) => {}
        }
    }
    for source in customer.sources.values() {
        let results = [&source.archive, &source.rejects, &source.receipts].map(PathBuf::as_path);
        let folders = source.local_folder().into_iter().chain(results);
        own.extend(
            folders
                .filter_map(|folder| Some(std::path::absolute(folder).ok()?.to_str()?.to_owned())),
        );
        if let Folder::Sftp(sftp) = &source.folder {
            own.push(sftp.to_string());
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::load;

    const SOUND: &str = "name = \"One of them\"\nvat = \"BE0403019261\"\n";

    #[test]
    fn a_kept_setup_keeps_none_of_those_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lighterman.toml");
        fs::write(&file, "environments = [\"test\"]\nenvironment = \"test\"\n").unwrap();
        for name in ["customers", "mappings"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let reloaded = |texts: [&str; 2], old: Option<&Arc<Setup>>| {
            for (customer, text) in ["acme", "zeta"].into_iter().zip(texts) {
                fs::write(folder.path().join(format!("customers/{customer}.toml")), text).unwrap();
            }
            let mut setup = set_up(load(Some(&file), None).unwrap().config, old);
            setup.kept = old.map(|old| kept(&setup, old)).unwrap_or_default();
            Arc::new(setup)
        };
        let first = reloaded([SOUND, SOUND], None);
        assert_eq!(first.config.customers.len(), 2, "{:?}", first.config.broken);
        let second = reloaded(["broken", SOUND], Some(&first));
        let third = reloaded([SOUND, "broken"], Some(&second));
        assert_eq!(third.kept.keys().collect::<Vec<_>>(), ["zeta"]);
        assert!(third.kept["zeta"].kept.is_empty(), "what acme had is nothing to zeta");
        let fourth = reloaded(["broken", "broken"], Some(&third));
        assert_eq!(fourth.customers().count(), 2, "both work on");
        assert!(fourth.kept.values().all(|kept| kept.kept.is_empty()));
    }
}
