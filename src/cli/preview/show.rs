//! Show: writes a preview to its reader, as text or as one JSON object. Problems are written as they
//! are found, so that no file has too many.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::way::Way;
use super::{Found, counted, indent};
use crate::config::ChannelKind;
use crate::map::Output;
use crate::model::{Level, Problem};

/// A message as it is shown.
pub struct Shown {
    /// Its first and its last record.
    pub records: (u64, u64),
    /// How many records it carries.
    pub count: u64,
    /// How many of them are shown.
    pub shown: u64,
    /// How many bytes its body has.
    pub bytes: usize,
    /// How its body is written.
    pub output: Output,
    /// The body; of a message that is not shown whole, one of its first records.
    pub body: Vec<u8>,
}

/// Where a preview is written.
pub struct Page<W: Write> {
    out: W,
    as_json: bool,
    problems: u64,
}

impl<W: Write> Page<W> {
    /// Opens the page with what is known at the start.
    pub fn open(
        mut out: W,
        as_json: bool,
        file: &str,
        way: &Way<'_>,
        records: u64,
    ) -> io::Result<Page<W>> {
        let customer = way.place.map(|(customer, _)| customer.id.as_str());
        let source = way.place.map(|(_, source)| source.name.as_str());
        let mapping = way.mapping.as_deref();
        let channel = way.channel.map(|channel| channel.name.as_str());
        if as_json {
            let head = json!({ "file": file, "customer": customer, "source": source,
                "mapping": mapping, "channel": channel, "records": records });
            // The object goes on with what is found.
            write!(out, "{},\"problems\":[", head.to_string().trim_end_matches('}'))?;
        } else {
            write!(out, "{file}: {}", counted(records, "record"))?;
            for (what, name) in [
                ("customer", customer),
                ("source", source),
                ("mapping", mapping),
                ("channel", channel),
            ] {
                if let Some(name) = name {
                    write!(out, ", {what} {name}")?;
                }
            }
            writeln!(out)?;
            match way.channel.map(|channel| &channel.kind) {
                Some(ChannelKind::Ingestion(to)) => writeln!(
                    out,
                    "would be posted to {} as {}, at most {} records and {} bytes a message",
                    to.url, to.media_type, to.batch_records, to.batch_bytes
                )?,
                Some(ChannelKind::Scr(to)) => {
                    writeln!(out, "each record would be one call to the SCR API {}", to.api)?;
                }
                Some(ChannelKind::Cpu(to)) => {
                    let several = match to.batch_records {
                        1 => String::new(),
                        most => {
                            format!("; up to {most} release rights that are alike, one together")
                        }
                    };
                    writeln!(out, "each record would be one call to CPu at {}{several}", to.url)?;
                }
                None => {}
            }
        }
        Ok(Page { out, as_json, problems: 0 })
    }

    /// Writes what is wrong.
    pub fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        let first = self.problems == 0;
        self.problems += 1;
        if self.as_json {
            if !first {
                write!(self.out, ",")?;
            }
            return Ok(serde_json::to_writer(&mut self.out, problem)?);
        }
        if first {
            writeln!(self.out, "\nproblems")?;
        }
        let Problem { record, line, level, field, value, rule, advice } = problem;
        let place = match record {
            0 => "whole file".to_owned(),
            _ => format!("line {line}, record {record}"),
        };
        let weight = if *level == Level::Warn { ", warning" } else { "" };
        let what = match (value.as_str(), record) {
            ("", _) => field.clone(),
            // Of a whole file the value is a sentence.
            (_, 0) => value.clone(),
            _ => format!("{field} \"{value}\"").trim_start().to_owned(),
        };
        let colon = if what.is_empty() { "" } else { ": " };
        writeln!(self.out, "  {place}{weight}: {what}{colon}{advice} ({rule})")
    }

    /// Writes the messages and what there was in all; as JSON, then also what `records` writes of
    /// each record.
    pub fn close(
        mut self,
        messages: &[Shown],
        found: &Found,
        records: impl FnOnce(&mut Each<'_, W>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.as_json {
            write!(self.out, "],\"messages\":[")?;
            for (at, message) in messages.iter().enumerate() {
                if at > 0 {
                    write!(self.out, ",")?;
                }
                message.write_json(&mut self.out)?;
            }
            let Found { messages, ready, quarantined, discarded, .. } = found;
            write!(
                self.out,
                "],\"message_count\":{messages},\"ready\":{ready},\"quarantined\":{quarantined},\
                 \"discarded\":{discarded},\"each\":["
            )?;
            records(&mut Each { out: &mut self.out, first: true })?;
            writeln!(self.out, "]}}")?;
            return Ok(self.out.flush()?);
        }
        for (at, message) in messages.iter().enumerate() {
            let Shown { records: (first, last), count, shown, bytes, .. } = message;
            let records = match count {
                1 => format!("record {first}"),
                _ => format!("records {first} to {last}"),
            };
            write!(self.out, "\nmessage {}: {records}, {bytes} bytes", at + 1)?;
            if shown < count {
                write!(self.out, "; the first {shown} of {count}")?;
            }
            writeln!(self.out)?;
            message.write_text(&mut self.out)?;
        }
        writeln!(self.out, "\n{}", found.told())?;
        Ok(self.out.flush()?)
    }
}

/// Where what becomes of each record is written, as JSON.
pub struct Each<'a, W> {
    out: &'a mut W,
    first: bool,
}

/// What would become of one record.
#[derive(Serialize)]
pub struct Fate<'a> {
    pub record: u64,
    pub line: u64,
    /// `ready`, `rejected` or `unwanted`.
    pub state: &'static str,
    /// What would be sent of it; null where nothing is, or where it is left out for its length.
    pub output: Option<&'a RawValue>,
    pub problems: &'a [Problem],
}

impl<W: Write> Each<'_, W> {
    pub fn record(&mut self, fate: &Fate<'_>) -> io::Result<()> {
        if !std::mem::take(&mut self.first) {
            write!(self.out, ",")?;
        }
        Ok(serde_json::to_writer(&mut *self.out, fate)?)
    }
}

impl Shown {
    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let Shown { records: (first, last), count, shown, bytes, .. } = self;
        write!(
            out,
            "{{\"records\":[{first},{last}],\"count\":{count},\"shown\":{shown},\"bytes\":{bytes},\
             \"body\":"
        )?;
        match self.output {
            Output::Json => out.write_all(&self.body)?,
            // What is no JSON value is a text.
            Output::Ndjson | Output::Xml | Output::Csv => {
                serde_json::to_writer(&mut *out, &String::from_utf8_lossy(&self.body))?;
            }
        }
        write!(out, "}}")
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        match self.output {
            Output::Json => {
                indent::json(out, &self.body)?;
                writeln!(out)
            }
            Output::Xml => {
                indent::xml(out, &String::from_utf8_lossy(&self.body))?;
                writeln!(out)
            }
            Output::Ndjson | Output::Csv => out.write_all(&self.body),
        }
    }
}
