//! Setup: what a configuration comes to: customers, their channels, and today's mappings. A reload
//! puts a new one in its place; what works with an old one keeps it for as long as it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Config, Customer};
use crate::deliver::{Channels, Shared};
use crate::map::{Bundle, Mapping};

/// What a configuration comes to.
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// What the channels share with those of any other setup.
    pub shared: Arc<Shared>,
    /// Where messages go.
    pub channels: Channels,
    /// Today's mappings, by name.
    pub mappings: BTreeMap<String, Arc<Pinnable>>,
    /// The customers whose files cannot be used as they are now, each with the setup that it
    /// worked with before.
    pub kept: BTreeMap<String, Arc<Setup>>,
}

/// A mapping with the texts it was compiled from, as a claim pins it.
pub struct Pinnable {
    /// The texts.
    pub bundle: Bundle,
    /// The hash under which they are kept.
    pub hash: String,
    /// The compiled mapping.
    pub mapping: Arc<Mapping>,
}

impl Setup {
    /// The setup that a customer works with: this one, or the one kept for it.
    pub fn of<'a>(self: &'a Arc<Setup>, customer: &str) -> &'a Arc<Setup> {
        self.kept.get(customer).unwrap_or(self)
    }

    /// The same without what it keeps for others: what keeps it needs nothing of that, and each
    /// would hold on to the one before it.
    pub fn alone(self: &Arc<Setup>) -> Arc<Setup> {
        if self.kept.is_empty() {
            return Arc::clone(self);
        }
        Arc::new(Setup {
            config: self.config.clone(),
            shared: Arc::clone(&self.shared),
            channels: self.channels.clone(),
            mappings: self.mappings.clone(),
            kept: BTreeMap::new(),
        })
    }

    /// All customers that can be worked for, the kept ones too.
    pub fn customers(&self) -> impl Iterator<Item = &Customer> {
        let kept = self.kept.iter().filter_map(|(id, setup)| setup.config.customers.get(id));
        self.config.customers.values().chain(kept)
    }

    /// All their channels.
    pub fn all_channels(&self) -> Channels {
        let kept = self.kept.iter().flat_map(|(id, setup)| {
            setup.channels.iter().filter(move |((customer, _), _)| customer == id)
        });
        let all = self.channels.iter().chain(kept);
        all.map(|(key, channel)| (key.clone(), Arc::clone(channel))).collect()
    }
}
