//! Way: whose file it is, and which mapping and channel it would take.

use std::path::Path;

use crate::config::section::nearest;
use crate::config::{Channel, Config, Customer, Fault, Route, Source};

/// The way that a file would take.
pub struct Way<'c> {
    /// Whose file it is; none if only a mapping was named.
    pub place: Option<(&'c Customer, &'c Source)>,
    /// The mapping's name; none for a file without a route.
    pub mapping: Option<String>,
    /// Where its messages would go.
    pub channel: Option<&'c Channel>,
}

/// Why there is no way to be told.
pub enum Lost {
    /// The command must say more, or something else.
    Unclear(String),
    /// The customer's config cannot be used.
    Broken(Vec<Fault>),
}

impl<'c> Way<'c> {
    /// The way of a file that is mapped for no customer.
    pub fn of_mapping(name: &str) -> Way<'c> {
        Way { place: None, mapping: Some(name.to_owned()), channel: None }
    }

    /// Finds the way by the names given, else by the folder in which the file lies, else by the one
    /// route that matches its name.
    pub fn find(
        config: &'c Config,
        file: &Path,
        customer: Option<&str>,
        source: Option<&str>,
    ) -> Result<Way<'c>, Lost> {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
            let what = format!("{} has no name that a route could match", file.display());
            return Err(Lost::Unclear(what));
        };
        let mut places = places(config, customer, source)?;
        if source.is_none() {
            let folder = file.canonicalize().ok().and_then(|file| Some(file.parent()?.to_owned()));
            let lies_in = |source: &Source| {
                let taken = source.local_folder().and_then(|taken| taken.canonicalize().ok());
                taken.is_some() && taken == folder
            };
            if places.iter().any(|(_, source)| lies_in(source)) {
                places.retain(|(_, source)| lies_in(source));
            }
        }
        if let [place] = places.as_slice() {
            return Ok(Way::from(*place, route(*place, name)));
        }
        let matching: Vec<_> = places
            .iter()
            .filter_map(|place| route(*place, name).map(|route| (*place, route)))
            .collect();
        match matching.as_slice() {
            [(place, route)] => Ok(Way::from(*place, Some(route))),
            [] => Err(Lost::Unclear(format!(
                "no route matches {name}; say whose it is with --customer and --source, or how it \
                 is mapped with --mapping{}",
                left_out(config)
            ))),
            several => {
                let ways: Vec<String> = several
                    .iter()
                    .map(|((customer, source), _)| {
                        format!("--customer {} --source {}", customer.id, source.name)
                    })
                    .collect();
                let ways = ways.join(", or ");
                Err(Lost::Unclear(format!("several routes match {name}; say whose it is: {ways}")))
            }
        }
    }

    fn from(place: (&'c Customer, &'c Source), route: Option<&'c Route>) -> Way<'c> {
        Way {
            place: Some(place),
            mapping: route.map(|route| route.mapping.clone()),
            channel: route.and_then(|route| place.0.channels.get(&route.channel)),
        }
    }
}

type Place<'c> = (&'c Customer, &'c Source);

/// The route that a file of this name takes.
fn route<'c>((customer, source): Place<'c>, name: &str) -> Option<&'c Route> {
    let of_source = |route: &&Route| route.source == source.name;
    customer.routes.iter().filter(of_source).find(|route| route.pattern.is_match(name))
}

/// The sources that the names given leave.
fn places<'c>(
    config: &'c Config,
    customer: Option<&str>,
    source: Option<&str>,
) -> Result<Vec<Place<'c>>, Lost> {
    if let Some(faults) = customer.and_then(|id| config.broken.get(id)) {
        return Err(Lost::Broken(faults.clone()));
    }
    if let Some(id) = customer.filter(|id| !config.customers.contains_key(*id)) {
        return Err(unknown("customer", id, config.customers.keys()));
    }
    let places: Vec<Place<'_>> = config
        .customers
        .values()
        .filter(|one| customer.is_none_or(|id| one.id == id))
        .flat_map(|one| one.sources.values().map(move |source| (one, source)))
        .collect();
    let Some(wanted) = source else { return Ok(places) };
    match places.iter().find(|(_, source)| source.name == wanted) {
        Some(place) => Ok(vec![*place]),
        None => Err(unknown("source", wanted, places.iter().map(|(_, source)| &source.name))),
    }
}

fn unknown<'n>(kind: &str, name: &str, known: impl Iterator<Item = &'n String>) -> Lost {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let advice = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("there is no {kind}"),
        None => format!("known are {}", known.join(", ")),
    };
    Lost::Unclear(format!("there is no {kind} \"{name}\": {advice}"))
}

/// The customers that were not asked, since their config cannot be used.
fn left_out(config: &Config) -> String {
    match config.broken.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        broken => format!(" (left out for faults in their config: {})", broken.join(", ")),
    }
}
