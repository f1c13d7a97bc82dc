//! Customer: the company whose data this is, read from its own file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::clash::Stake;
use super::provider::Provider;
use super::surroundings::Surroundings;
use super::{Channel, Faults, Login, LoginCallback, Outbox, Route, ScrApi, Section, Source, text};

/// One customer: the company whose data this is.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The stem of its file.
    pub id: String,
    /// Its file.
    pub file: PathBuf,
    /// Its name; its id where none is given.
    pub name: String,
    /// Its VAT number, as SCR's `selfOwnerVat` says it.
    pub vat: Option<String>,
    /// Whether it takes in new files.
    pub active: bool,
    /// Where its files appear, by name.
    pub sources: BTreeMap<String, Source>,
    /// How notifications for it prove who they come from: one of these, of whatever login.
    pub callbacks: Vec<LoginCallback>,
    /// Its channels by name.
    pub channels: BTreeMap<String, Channel>,
    /// Its routes; the first that matches wins.
    pub routes: Vec<Route>,
    /// Where files for it are written, by name.
    pub outboxes: BTreeMap<String, Outbox>,
}

impl Customer {
    /// The first route that takes a file of this name from a source.
    pub fn route(&self, source: &str, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.source == source && route.pattern.is_match(name))
    }
}

/// What a customer's file came to, before it is seen beside the others.
pub(super) struct Draft {
    pub id: String,
    pub file: PathBuf,
    pub faults: Faults,
    pub stakes: Vec<Stake>,
    /// The customer with its own SCR APIs, whole only if there is no fault.
    pub customer: Option<(Customer, BTreeMap<String, ScrApi>)>,
}

impl Draft {
    /// Reads a customer's file.
    pub fn read(file: &Path, provider: &Provider, faults: Faults) -> Draft {
        let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut draft =
            Draft { id, file: file.to_owned(), faults, stakes: Vec::new(), customer: None };
        draft.check_id();
        let text = text::read(file, &draft.faults);
        draft.customer = text
            .and_then(|text| Section::parse(file, &text, &provider.environments, &draft.faults))
            .map(|section| draft.customer(section, provider));
        draft
    }

    fn check_id(&self) {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.id.is_empty() || !self.id.chars().all(legal) {
            let what = format!(
                "{:?} cannot be a customer's id: name the file with letters, digits, - and _ only",
                self.id
            );
            self.faults.error(&self.file, 0, what);
        }
    }

    fn customer(
        &mut self,
        mut section: Section,
        provider: &Provider,
    ) -> (Customer, BTreeMap<String, ScrApi>) {
        let name = section.filled("name").unwrap_or_else(|| self.id.clone());
        let vat = section.filled("vat");
        let active = section.boolean("active").unwrap_or(true);
        let results = provider.state.join("results").join(&self.id);
        let sources = Source::parse_all(&mut section, &results, &mut self.stakes);
        let scr = ScrApi::parse_all(&mut section, &mut self.stakes);
        let logins = Login::parse_all(&mut section, &self.id, &provider.clients);
        let around = Surroundings {
            provider,
            customer: &self.id,
            has_vat: section.has("vat"),
            logins: &logins,
            scr: &scr,
        };
        let channels = Channel::parse_all(&mut section, &around, &mut self.stakes);
        let routes = Route::parse_all(&mut section, provider, &sources, &channels);
        let outboxes = Outbox::parse_all(&mut section, provider, &mut self.stakes);
        if sources.is_empty() {
            self.faults.warning(&self.file, 0, "there is no [sources.…]: no file is taken in");
        } else if routes.is_empty() && !section.has("routes") {
            self.faults.warning(&self.file, 0, "there is no [[routes]]: every file is quarantined");
        }
        section.finish();

        let own = |(name, api): (String, Option<ScrApi>)| {
            api.map(|api| (format!("{}/{name}", self.id), api))
        };
        let scr = scr.into_iter().filter_map(own).collect();
        let customer = Customer {
            id: self.id.clone(),
            file: self.file.clone(),
            name,
            vat,
            active,
            sources: sound(sources),
            callbacks: sound(logins).into_values().filter_map(|login| login.callback).collect(),
            channels: sound(channels),
            routes,
            outboxes,
        };
        (customer, scr)
    }
}

fn sound<T>(all: BTreeMap<String, Option<T>>) -> BTreeMap<String, T> {
    all.into_iter().filter_map(|(name, thing)| thing.map(|thing| (name, thing))).collect()
}
