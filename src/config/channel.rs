//! Channel: where a customer's messages go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clash::Stake;
use super::cpu::CpuChannel;
use super::ingestion::IngestionChannel;
use super::quantity::parse_rate;
use super::surroundings::Surroundings;
use super::{Retry, Section};

/// Where a customer's messages go.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its name in the customer's file.
    pub name: String,
    /// What it speaks to.
    pub kind: ChannelKind,
    /// The waits between attempts.
    pub retry: Retry,
    /// The time from one request to the next at least, where `rate` sets one.
    pub every: Option<Duration>,
}

/// What a channel speaks to.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelKind {
    /// An NxtPort ingestion channel.
    Ingestion(IngestionChannel),
    /// An SCR API.
    Scr(ScrChannel),
    /// Certified Pick up.
    Cpu(CpuChannel),
}

/// An SCR channel of a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrChannel {
    /// The name of the SCR API in `Config::scr`.
    pub api: String,
    /// How long a record waits for its release before it is quarantined. Default 30 days.
    pub park_for: Duration,
    /// How long a 202 may stay unconfirmed. Default 1 hour.
    pub verdict_within: Duration,
}

/// The word of the key `type`.
#[derive(Clone, Copy)]
enum Type {
    Ingestion,
    Scr,
    Cpu,
}

impl Channel {
    /// Reads all channels of a customer; one that has errors is known by its name only.
    pub(super) fn parse_all(
        customer: &mut Section,
        around: &Surroundings<'_>,
        stakes: &mut Vec<Stake>,
    ) -> BTreeMap<String, Option<Channel>> {
        let sections = customer.named_sections("channels").into_iter();
        sections
            .map(|(name, section)| {
                let faults = section.faults().clone();
                (name.clone(), faults.sound(|| Channel::parse(section, name, around, stakes)))
            })
            .collect()
    }

    fn parse(
        mut section: Section,
        name: String,
        around: &Surroundings<'_>,
        stakes: &mut Vec<Stake>,
    ) -> Option<Channel> {
        if !section.has("type") {
            section.missing("type");
        }
        let types = [("ingestion", Type::Ingestion), ("scr", Type::Scr), ("cpu", Type::Cpu)];
        let channel = match section.choice("type", &types)? {
            Type::Ingestion => {
                let retry = Retry::parse(&mut section, Retry::INGESTION);
                let kind = IngestionChannel::parse(&mut section, around, stakes);
                kind.zip(retry).map(|(kind, retry)| (ChannelKind::Ingestion(kind), retry))
            }
            Type::Scr => {
                let retry = Retry::parse(&mut section, Retry::SCR);
                let kind = ScrChannel::parse(&mut section, around);
                kind.zip(retry).map(|(kind, retry)| (ChannelKind::Scr(kind), retry))
            }
            Type::Cpu => {
                let retry = Retry::parse(&mut section, Retry::INGESTION);
                let kind = CpuChannel::parse(&mut section, around);
                kind.zip(retry).map(|(kind, retry)| (ChannelKind::Cpu(kind), retry))
            }
        };
        let every = rate(&mut section);
        section.finish();
        channel.map(|(kind, retry)| Channel { name, kind, retry, every })
    }
}

impl ScrChannel {
    fn parse(section: &mut Section, around: &Surroundings<'_>) -> Option<ScrChannel> {
        if !around.has_vat {
            section.error(
                "type",
                "a channel of type scr needs the customer's \"vat\" at the head of the file: \
                 it tells which releases are the customer's",
            );
        }
        let api = section.required("api").and_then(|name| {
            let key = around.api_key(&name);
            if key.is_none() {
                let known = around.scr.keys().chain(around.provider.scr.keys());
                section.unknown_name("api", "SCR API", &name, known.map(String::as_str));
            }
            key
        });
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        let park_for = section.duration("park_for").unwrap_or(days(30));
        let verdict_within =
            section.duration("verdict_within").unwrap_or(Duration::from_secs(3600));
        Some(ScrChannel { api: api?, park_for, verdict_within })
    }
}

fn rate(section: &mut Section) -> Option<Duration> {
    let text = section.filled("rate")?;
    let every = parse_rate(&text);
    if every.is_none() {
        let what =
            format!("rate is {text:?}, but must be such as \"50/s\", \"600/m\" or \"1000/h\"");
        section.error("rate", what);
    }
    every
}
