//! Reload: a changed config while the work goes on. New claims use the new one; files in work keep
//! what their claim pinned; a customer whose new config cannot be used stays on its old one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assemble::set_up;
use super::{Run, Worker, source, troubles};
use crate::config::{ChannelKind, Config, Customer, Fault};
use crate::pipeline::Setup;

impl Worker {
    /// Takes in what was loaded anew; secrets are read again, and what was refused or paused is
    /// tried at once, whether the config can be used or not.
    pub async fn reload(&self, loaded: Result<Config, Vec<Fault>>) {
        let run = &self.0;
        match renewed(run, loaded).await {
            Ok(setup) => {
                run.parts.replace_setup(setup);
                tracing::info!("The config was reloaded");
                if let Err(error) = troubles::tell_broken_customers(&run.parts).await {
                    tracing::error!("The alarms cannot be noted: {error:#}");
                }
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
        run.again.send_replace(());
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
            customer.is_some_and(|customer| !crosses(customer, new))
        })
        .collect()
}

/// Whether one of a customer's ingestion channels is another's by the new config.
fn crosses(customer: &Customer, new: &Setup) -> bool {
    fn urls(customer: &Customer) -> impl Iterator<Item = &str> {
        customer.channels.values().filter_map(|channel| match &channel.kind {
            ChannelKind::Ingestion(ingestion) => Some(ingestion.url.as_str()),
            ChannelKind::Scr(_) => None,
        })
    }
    let taken: BTreeSet<&str> = new.config.customers.values().flat_map(urls).collect();
    urls(customer).any(|url| taken.contains(url))
}
