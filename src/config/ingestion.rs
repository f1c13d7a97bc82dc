//! Ingestion channel: a customer's channel at the ingestion endpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::clash::{Stake, Thing};
use super::section::TextOrSection;
use super::surroundings::Surroundings;
use super::{Login, Section, address, ca, header};

/// An NxtPort ingestion channel.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestionChannel {
    /// The whole URL, the channel id included.
    pub url: String,
    /// Who the customer is.
    pub login: Login,
    /// The value of `Content-Type`.
    pub media_type: String,
    /// The message type, and where it travels.
    pub message_type: MessageType,
    /// Further fixed headers.
    pub headers: Vec<(String, String)>,
    /// Records a message at most. Default 500.
    pub batch_records: usize,
    /// Bytes a message at most. Default 1 MiB.
    pub batch_bytes: usize,
    /// Requests of this channel open at once. Default 4.
    pub concurrency: usize,
    /// How long one request may take. Default 30 s.
    pub timeout: Duration,
    /// Verdicts that override the table of the design's section 4.4, by status.
    pub answers: BTreeMap<u16, AnswerRule>,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
}

/// A verdict that the configuration gives to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the key `answers`")]
pub enum AnswerRule {
    Delivered,
    Record,
    Channel,
    Later,
}

/// Where the message type travels (reference/domain.md, section 2: agreed at onboarding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// In a header: its name, the value.
    Header(String, String),
    /// In the query: the parameter's name, the value.
    Query(String, String),
    /// Nowhere.
    None,
}

impl IngestionChannel {
    pub(super) fn parse(
        section: &mut Section,
        around: &Surroundings<'_>,
        stakes: &mut Vec<Stake>,
    ) -> Option<IngestionChannel> {
        let url = url(section, around, stakes);
        let login = around.login(section);
        let media_type = media_type(section);
        let message_type = MessageType::parse(section);
        let headers = header::parse(section, "headers").unwrap_or_default();
        if let Some(MessageType::Header(name, _)) = &message_type
            && headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            section.error("headers", format!("the header {name:?} is the message type's already"));
        }
        let (batch_records, batch_bytes) = batch(section, around)?;
        let concurrency = section.integer("concurrency", 1, 64).unwrap_or(4) as usize;
        let timeout = section.duration("timeout").unwrap_or(Duration::from_secs(30));
        if timeout.is_zero() {
            section.error("timeout", "timeout is 0: no request could be answered");
        }
        let answers = answers(section);
        let ca = ca::parse(section);
        Some(IngestionChannel {
            url: url?,
            login: login?,
            media_type: media_type?,
            message_type: message_type?,
            headers,
            batch_records,
            batch_bytes,
            concurrency,
            timeout,
            answers,
            ca,
        })
    }
}

impl MessageType {
    fn parse(section: &mut Section) -> Option<MessageType> {
        let value = section.filled("message_type");
        let place = section.has("message_type_in");
        let message_type = match section.text_or_section("message_type_in") {
            None if place => None,
            None => {
                let header = |value| MessageType::Header("messageType".to_owned(), value);
                return check_value(section, value.map_or(MessageType::None, header));
            }
            Some(TextOrSection::Text(word)) if word == "none" => return Some(MessageType::None),
            Some(TextOrSection::Text(word)) => {
                let what = format!(
                    "message_type_in is {word:?}, but must be {{ header = \"name\" }}, \
                     {{ query = \"name\" }} or \"none\""
                );
                section.error("message_type_in", what);
                None
            }
            Some(TextOrSection::Section(place)) => {
                let value = match value {
                    None if !section.has("message_type") => {
                        section.missing("message_type");
                        None
                    }
                    value => value,
                };
                MessageType::at(place, value)
            }
        };
        check_value(section, message_type?)
    }

    fn at(mut place: Section, value: Option<String>) -> Option<MessageType> {
        let has = ["header", "query"].map(|key| place.has(key));
        let header = place.filled("header");
        let query = place.filled("query");
        if has == [true, true] || has == [false, false] {
            let what = "message_type_in must have one of header and query";
            place.faults().error(place.file(), place.line(), what);
        }
        if let Some(name) = &header
            && let Some(fault) = header::name_fault(name)
        {
            place.error("header", format!("the header {name:?} {fault}"));
        }
        place.finish();
        match (header, query) {
            (Some(name), None) => Some(MessageType::Header(name, value?)),
            (None, Some(name)) => Some(MessageType::Query(name, value?)),
            _ => None,
        }
    }
}

fn check_value(section: &Section, message_type: MessageType) -> Option<MessageType> {
    if let MessageType::Header(_, value) = &message_type
        && let Some(fault) = header::value_fault(value)
    {
        section.error("message_type", format!("message_type {fault}"));
    }
    Some(message_type)
}

fn url(
    section: &mut Section,
    around: &Surroundings<'_>,
    stakes: &mut Vec<Stake>,
) -> Option<String> {
    let channel_id = section.required("channel_id").filter(|id| {
        let legal = address::is_segment(id);
        if !legal {
            let what = format!(
                "channel_id is {id:?}, but must be one part of a URL's path: \
                 no slash, blank, ?, # or %"
            );
            section.error("channel_id", what);
        }
        legal
    });
    let provider = around.provider;
    if provider.ingestion.is_none() && !provider.endpoints_are_faulty {
        let what = format!(
            "a channel of type ingestion needs \"ingestion\" in [endpoints] of {}",
            provider.file.display()
        );
        section.error("type", what);
    }
    let address = provider.ingestion.as_ref()?.below(&channel_id?);
    stakes.push(Stake::new(Thing::Ingestion, address.normal, section, "channel_id"));
    Some(address.text)
}

fn media_type(section: &mut Section) -> Option<String> {
    if !section.has("media_type") {
        return Some("application/json".to_owned());
    }
    let media_type = section.filled("media_type")?;
    let legal =
        media_type.split_once('/').is_some_and(|(main, sub)| !main.is_empty() && !sub.is_empty());
    if !legal || header::value_fault(&media_type).is_some() {
        let what =
            format!("media_type is {media_type:?}, but must be such as \"application/json\"");
        section.error("media_type", what);
    }
    Some(media_type)
}

fn batch(section: &mut Section, around: &Surroundings<'_>) -> Option<(usize, usize)> {
    let (mut records, mut bytes) = (500, 1 << 20);
    let batch = section.section("batch");
    if let Some(mut batch) = batch {
        records = batch.integer("records", 1, 100_000).unwrap_or(500) as usize;
        bytes = batch.size("bytes").unwrap_or(1 << 20);
        if bytes == 0 {
            batch.error("bytes", "bytes is 0: no message could be built");
        }
        batch.finish();
    }
    let limit = around.provider.limits.in_flight_bytes;
    if bytes > limit {
        let what = format!(
            "a message of this channel may have {bytes} bytes, but in_flight_bytes in [limits] of \
             {} allows {limit} in flight: raise it, or lower bytes in batch",
            around.provider.file.display()
        );
        section.error("batch", what);
    }
    Some((records, usize::try_from(bytes).ok()?))
}

fn answers(section: &mut Section) -> BTreeMap<u16, AnswerRule> {
    let rules = [
        ("delivered", AnswerRule::Delivered),
        ("record", AnswerRule::Record),
        ("channel", AnswerRule::Channel),
        ("later", AnswerRule::Later),
    ];
    let Some(mut table) = section.section("answers") else { return BTreeMap::new() };
    let mut answers = BTreeMap::new();
    for status in table.names() {
        let rule = table.choice(&status, &rules);
        match status.parse::<u16>() {
            Ok(number) if (200..=599).contains(&number) && status.len() == 3 => {
                answers.extend(rule.map(|rule| (number, rule)));
            }
            _ => {
                let what = format!("{status:?} in answers is no status: one of 200 to 599");
                table.error(&status, what);
            }
        }
    }
    answers
}
