//! Route: which files of which source go through which mapping to which channel.

use std::collections::BTreeMap;

use globset::GlobMatcher;

use super::provider::Provider;
use super::{Channel, ChannelKind, Section, Source, glob};

/// Source + file pattern → mapping → channel.
#[derive(Clone, Debug)]
pub struct Route {
    /// The source's name.
    pub source: String,
    /// The pattern as written.
    pub files: String,
    /// The pattern; letters of either case match.
    pub pattern: GlobMatcher,
    /// The mapping's name: the stem of a file in `mappings`.
    pub mapping: String,
    /// The channel's name.
    pub channel: String,
    /// Whether records of a repeated file are sent again. Default: only to SCR.
    pub send_repeats: bool,
}

impl Route {
    /// Reads all routes of a customer, in their order.
    pub(super) fn parse_all(
        customer: &mut Section,
        provider: &Provider,
        sources: &BTreeMap<String, Option<Source>>,
        channels: &BTreeMap<String, Option<Channel>>,
    ) -> Vec<Route> {
        let mut seen: Vec<(String, String, usize)> = Vec::new();
        let mut routes = Vec::new();
        for section in customer.sections("routes") {
            let (faults, file, line) =
                (section.faults().clone(), section.file().to_owned(), section.line());
            let Some(route) = Route::parse(section, provider, sources, channels) else { continue };
            let files = route.files.to_lowercase();
            let earlier = seen
                .iter()
                .find(|(source, pattern, _)| *source == route.source && *pattern == files);
            if let Some((_, _, earlier)) = earlier {
                let what = format!(
                    "this route never matches: the one in line {earlier} takes the same files"
                );
                faults.warning(&file, line, what);
            }
            seen.push((route.source.clone(), files, line));
            routes.push(route);
        }
        routes
    }

    fn parse(
        mut section: Section,
        provider: &Provider,
        sources: &BTreeMap<String, Option<Source>>,
        channels: &BTreeMap<String, Option<Channel>>,
    ) -> Option<Route> {
        let source = section.required("source");
        if let Some(name) = source.as_ref().filter(|name| !sources.contains_key(*name)) {
            section.unknown_name("source", "source", name, sources.keys().map(String::as_str));
        }
        let files = section.required("files");
        let pattern = files.as_ref().and_then(|files| match glob::compile(files) {
            Ok(glob) => Some(glob.compile_matcher()),
            Err(fault) => {
                section.error("files", format!("files: {files:?} {fault}"));
                None
            }
        });
        let mapping = section.required("mapping");
        if let (Some(name), Some(known)) = (&mapping, &provider.mapping_names)
            && !known.contains(name)
        {
            section.unknown_name("mapping", "mapping", name, known.iter().map(String::as_str));
        }
        let channel = section.required("channel");
        if let Some(name) = channel.as_ref().filter(|name| !channels.contains_key(*name)) {
            section.unknown_name("channel", "channel", name, channels.keys().map(String::as_str));
        }
        let to_scr = channel.as_ref().and_then(|name| channels.get(name)?.as_ref());
        let to_scr = to_scr.is_some_and(|channel| matches!(channel.kind, ChannelKind::Scr(_)));
        let repeats = section.choice("repeats", &[("skip", false), ("send", true)]);
        section.finish();
        Some(Route {
            source: source?,
            files: files?,
            pattern: pattern?,
            mapping: mapping?,
            channel: channel?,
            send_repeats: repeats.unwrap_or(to_scr),
        })
    }
}
