//! Assemble: from a checked configuration to what pipelines work with. A customer whose mappings or
//! channels cannot be used is moved to the broken ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{ChannelKind, Config, Customer, Fault, Faults};
use crate::deliver;
use crate::ledger::Ledger;
use crate::map::{Bundle, Direction, Mapping};
use crate::pipeline::{Parts, Pinnable, Setup};
use crate::spool::Spool;

/// Builds what pipelines work with from a checked configuration. Customers whose mappings or
/// channels cannot be used are moved to the broken ones.
pub fn assemble(config: Config) -> anyhow::Result<Parts> {
    let setup = set_up(config, None);
    let spool = Spool::open(&setup.config.state)?;
    let ledger = Ledger::open(&spool.ledger())?;
    Ok(Parts::new(setup, ledger, spool))
}

/// What a configuration comes to. What did not change since the `earlier` setup is taken over.
pub fn set_up(mut config: Config, earlier: Option<&Arc<Setup>>) -> Setup {
    let mappings = load_mappings(&mut config);
    let shared = earlier.map_or_else(Default::default, |setup| Arc::clone(&setup.shared));
    let in_use = earlier.map(|setup| setup.all_channels()).unwrap_or_default();
    let (channels, failed) = deliver::open(&config, &shared, &in_use);
    for (customer, error) in failed {
        if let Some(broken) = config.customers.remove(&customer) {
            let faults = Faults::default();
            faults.error(&broken.file, 0, format!("{error:#}"));
            config.broken.entry(customer).or_default().extend(faults.take());
        }
    }
    Setup { config, shared, channels, mappings, kept: BTreeMap::new() }
}

/// Loads every mapping that a route or an outbox names, once. A customer whose mapping has faults is broken.
pub fn load_mappings(config: &mut Config) -> BTreeMap<String, Arc<Pinnable>> {
    let mut mappings: BTreeMap<String, Arc<Pinnable>> = BTreeMap::new();
    let mut faulty = BTreeMap::new();
    for customer in config.customers.values() {
        for name in names_in(customer) {
            if mappings.contains_key(name) || faulty.contains_key(name) {
                continue;
            }
            let faults = Faults::default();
            let bundle = Bundle::load(&config.mappings, name, &config.environments, &faults);
            let compiled = bundle.and_then(|bundle| {
                Mapping::compile(&bundle, &config.environments, &faults)
                    .map(|mapping| (bundle, mapping))
            });
            match compiled {
                Some((bundle, mapping)) if !faults.any_error() => {
                    let (hash, mapping) = (bundle.hash(), Arc::new(mapping));
                    mappings.insert(name.clone(), Arc::new(Pinnable { bundle, hash, mapping }));
                }
                _ => {
                    faulty.insert(name.clone(), faults.take());
                }
            }
        }
    }
    for (customer, faults) in unfit(config, &mappings) {
        config.customers.remove(&customer);
        config.broken.entry(customer).or_default().extend(faults);
    }
    let broken: Vec<String> = config
        .customers
        .values()
        .filter(|customer| names_in(customer).any(|name| faulty.contains_key(name)))
        .map(|customer| customer.id.clone())
        .collect();
    for id in broken {
        if let Some(customer) = config.customers.remove(&id) {
            let faults = config.broken.entry(id).or_default();
            let names: BTreeSet<&String> = names_in(&customer).collect();
            for name in names {
                faults.extend(faulty.get(name).into_iter().flatten().cloned());
            }
        }
    }
    mappings
}

/// The mappings that a customer names.
fn names_in(customer: &Customer) -> impl Iterator<Item = &String> {
    let routes = customer.routes.iter().map(|route| &route.mapping);
    routes.chain(customer.outboxes.values().map(|outbox| &outbox.mapping))
}

/// The customers with a route or an outbox whose mapping goes the other way, or a route whose
/// mapping writes what its channel does not announce.
fn unfit(config: &Config, mappings: &BTreeMap<String, Arc<Pinnable>>) -> Vec<(String, Vec<Fault>)> {
    let mut unfit = Vec::new();
    for customer in config.customers.values() {
        let faults = Faults::default();
        for route in &customer.routes {
            let kind = customer.channels.get(&route.channel).map(|channel| &channel.kind);
            let (Some(pinnable), Some(kind)) = (mappings.get(&route.mapping), kind) else {
                continue;
            };
            if let Some(what) = pinnable.mapping.wrong_way(Direction::In) {
                faults.error(&customer.file, 0, what);
                continue;
            }
            let output = pinnable.mapping.output;
            let takes = match kind {
                ChannelKind::Ingestion(channel) if !output.fits(&channel.media_type) => format!(
                    "announces {}; change the mapping's output or the channel's media_type",
                    channel.media_type
                ),
                ChannelKind::Scr(_) if !output.is_json() => {
                    "is an SCR API, which takes json; change the mapping's output".to_owned()
                }
                ChannelKind::Cpu(_) if !output.is_json() => {
                    "is CPu, which takes json; change the mapping's output".to_owned()
                }
                ChannelKind::Ingestion(_) | ChannelKind::Scr(_) | ChannelKind::Cpu(_) => continue,
            };
            let what = format!(
                "the mapping \"{}\" writes {}, but the channel \"{}\" {takes}",
                route.mapping,
                output.word(),
                route.channel
            );
            faults.error(&customer.file, 0, what);
        }
        for outbox in customer.outboxes.values() {
            let pinnable = mappings.get(&outbox.mapping);
            let what = pinnable.and_then(|of| of.mapping.wrong_way(Direction::Out));
            if let Some(what) = what {
                faults.error(&customer.file, 0, format!("outbox {}: {what}", outbox.name));
            }
        }
        if faults.any_error() {
            unfit.push((customer.id.clone(), faults.take()));
        }
    }
    unfit
}
