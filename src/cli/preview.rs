//! `lighterman preview`: what would be sent of a file, and every problem. It sends nothing, and
//! looks at neither state nor ledger.

mod indent;
mod show;
mod way;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::value::RawValue;

use self::show::{Each, Fate, Page, Shown};
use self::way::{Lost, Way};
use super::{FATAL, QUARANTINED, Setting, USAGE, WELL};
use crate::config::{ChannelKind, Config, Faults};
use crate::deliver::{assignment, call};
use crate::inspect::{Inspection, inspect, open_at};
use crate::ledger::Pinned;
use crate::map::{Bundle, Context, Mapped, Mapping, Output};
use crate::model::{Level, Problem, Record};
use crate::pipeline::cursor::{Cursor, Piece};
use crate::read::Unsound;
use crate::worker;

/// How messages are cut where no channel says so.
const BATCH_RECORDS: u64 = 500;
const BATCH_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct Options {
    /// The file to look at
    file: PathBuf,
    /// The customer whose file it is
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// The customer's source in which it would appear
    #[arg(long, requires = "customer", value_name = "NAME")]
    source: Option<String>,
    /// Map it by this mapping, for no customer
    #[arg(long, conflicts_with_all = ["customer", "source"], value_name = "NAME")]
    mapping: Option<String>,
    /// How many records of the messages are shown; problems are always shown all
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What there was in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    messages: u64,
    ready: u64,
    quarantined: u64,
    discarded: u64,
    /// Whether the file would be set aside whole.
    whole: bool,
}

pub fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    let Some(config) = setting.load() else { return Ok(FATAL) };
    if !options.file.is_file() {
        eprintln!("lighterman: {} is no file", options.file.display());
        return Ok(USAGE);
    }
    let way = match &options.mapping {
        Some(name) => Ok(Way::of_mapping(name)),
        None => {
            let (customer, source) = (options.customer.as_deref(), options.source.as_deref());
            Way::find(&config, &options.file, customer, source)
        }
    };
    let way = match way {
        Ok(way) => way,
        Err(Lost::Unclear(what)) => {
            eprintln!("lighterman: {what}");
            return Ok(USAGE);
        }
        Err(Lost::Broken(faults)) => {
            super::tell(&faults);
            return Ok(FATAL);
        }
    };
    let Ok(mapping) = load(&config, &way) else { return Ok(FATAL) };
    match preview(&options, &way, mapping) {
        Ok(found) if found.whole || found.quarantined > 0 => Ok(QUARANTINED),
        // The reader has seen enough.
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => Ok(WELL),
        done => done.map(|_| WELL),
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// A fault was told on stderr.
struct Told;

/// The way's mapping as it is today; none for a file without a route.
fn load(config: &Config, way: &Way<'_>) -> Result<Option<Arc<Mapping>>, Told> {
    let Some(name) = &way.mapping else { return Ok(None) };
    let Some((customer, _)) = way.place else { return load_alone(config, name).map(Some) };
    // As a run does: whatever breaks the customer there breaks it here.
    let mut config = config.clone();
    config.customers.retain(|id, _| *id == customer.id);
    config.broken.clear();
    let mappings = worker::load_mappings(&mut config);
    if let Some(faults) = config.broken.get(&customer.id) {
        super::tell(faults);
        return Err(Told);
    }
    Ok(mappings.get(name).map(|pinnable| Arc::clone(&pinnable.mapping)))
}

/// A mapping that no customer need have.
fn load_alone(config: &Config, name: &str) -> Result<Arc<Mapping>, Told> {
    let faults = Faults::default();
    let mapping = Bundle::load(&config.mappings, name, &config.environments, &faults)
        .and_then(|bundle| Mapping::compile(&bundle, &config.environments, &faults));
    super::tell(&faults.take());
    mapping.map(Arc::new).ok_or(Told)
}

fn preview(
    options: &Options,
    way: &Way<'_>,
    mapping: Option<Arc<Mapping>>,
) -> anyhow::Result<Found> {
    let file = options.file.display().to_string();
    let out = io::BufWriter::new(io::stdout().lock());
    let open = |records| Page::open(out, options.json, &file, way, records);
    let whole = |problem: Problem, page: io::Result<Page<_>>| {
        let mut page = page?;
        page.problem(&problem)?;
        let found = Found { whole: true, ..Found::default() };
        page.close(&[], &found, |_| Ok(()))?;
        Ok(found)
    };
    let Some(mapping) = mapping else { return whole(no_route(way), open(0)) };
    let inspection = match look(&options.file, &mapping)? {
        Ok(inspection) => inspection,
        Err(unsound) => return whole(of_unsound(&unsound), open(0)),
    };
    let mut page = open(inspection.records)?;
    if inspection.records == 0 {
        page.problem(&Problem {
            level: Level::Warn,
            ..Problem::of_file("empty", "", "the file holds no records; nothing would be sent")
        })?;
        page.close(&[], &Found::default(), |_| Ok(()))?;
        return Ok(Found::default());
    }
    let customer = way.place.map_or("", |(customer, _)| customer.id.as_str());
    let mut cursor = Cursor::new(
        options.file.clone(),
        Arc::new(inspection.clone()),
        Arc::clone(&mapping),
        customer,
        &pinned(way, &inspection),
        Arc::default(),
    );
    let check = way.channel.and_then(|channel| check_of(&channel.kind));
    let mut found = Found::default();
    let mut shown = Vec::new();
    let mut room = options.limit;
    let mut next = 1;
    loop {
        let mut piece = cursor.cut(next).context("the file has changed; look again")?;
        next = cursor.position();
        let ended = piece.ended;
        if let Some(check) = check {
            check_piece(check, &mut piece, &mapping);
        }
        for problem in &piece.problems {
            page.problem(problem)?;
        }
        found.quarantined += count(&piece.rejected);
        found.discarded += count(&piece.unwanted);
        if !piece.records.is_empty() {
            found.messages += 1;
            found.ready += count(&piece.records);
            if room > 0 {
                let message = shorten(&mut cursor, piece, &mapping, room)?;
                room -= message.shown;
                shown.push(message);
            }
        }
        if ended || next > inspection.records {
            break;
        }
    }
    page.close(&shown, &found, |each| {
        tell_each(options, &mapping, &inspection, customer, check, each)
    })?;
    Ok(found)
}

/// A message of which at most `limit` records are shown. What is left out would still stand within
/// the same frame, so a shorter message is made.
fn shorten(
    cursor: &mut Cursor,
    piece: Piece,
    mapping: &Mapping,
    limit: u64,
) -> anyhow::Result<Shown> {
    let ordinals = || piece.records.iter().flat_map(|(first, last)| *first..=*last);
    let (first, last) = (ordinals().next().unwrap_or(0), ordinals().last().unwrap_or(0));
    let (count, bytes) = (count(&piece.records), piece.body.len());
    let shown = limit.min(count);
    let body = match ordinals().nth(usize::try_from(limit).unwrap_or(usize::MAX)) {
        None => piece.body,
        Some(beyond) => {
            let wanted = |ordinal| {
                piece.records.iter().any(|(first, last)| (*first..=*last).contains(&ordinal))
            };
            cursor
                .again(first, beyond - 1, wanted)
                .context("the file has changed; look again")?
                .body
        }
    };
    let body = mapping.shown(body);
    Ok(Shown { records: (first, last), count, shown, bytes, output: mapping.output, body })
}

/// Goes through the file once more and tells what would become of each record.
fn tell_each<W: io::Write>(
    options: &Options,
    mapping: &Mapping,
    inspection: &Inspection,
    customer: &str,
    check: Option<Check>,
    each: &mut Each<'_, W>,
) -> anyhow::Result<()> {
    let (dialect, selectors) = (&mapping.dialect, &mapping.selectors);
    let mut reader = open_at(&options.file, dialect, selectors, inspection, 1)?;
    let context = Context { customer: customer.to_owned(), date: jiff::Zoned::now().date() };
    let mut record = Record::default();
    let mut room = options.limit;
    while reader.next(&mut record)? {
        let (mut body, mut problems) = (Vec::new(), Vec::new());
        let mut mapped = mapping.apply(&record, &context, &mut body, &mut problems);
        let (ordinal, line) = (record.ordinal, record.place.line);
        if let Some(check) = check.filter(|_| mapped == Mapped::Ready) {
            let (sound, further) = check(&body, ordinal, line);
            problems.extend(further.into_iter().map(|problem| named(problem, mapping)));
            if !sound {
                mapped = Mapped::Rejected;
            }
        }
        let state = match mapped {
            Mapped::Ready => "ready",
            Mapped::Rejected => "rejected",
            Mapped::Discarded => "unwanted",
        };
        let output = match mapped {
            Mapped::Ready if room > 0 => {
                room -= 1;
                Some(as_json(mapping.output, &mapping.shown(body))?)
            }
            _ => None,
        };
        let output = output.as_deref();
        each.record(&Fate { record: ordinal, line, state, output, problems: &problems })?;
    }
    Ok(())
}

/// An output record as a JSON value, every value in it as it is sent.
fn as_json(output: Output, body: &[u8]) -> serde_json::Result<Box<RawValue>> {
    match output {
        Output::Json | Output::Ndjson => serde_json::from_slice(body),
        // What is no JSON value is a text.
        Output::Xml | Output::Csv => {
            serde_json::value::to_raw_value(&String::from_utf8_lossy(body))
        }
    }
}

/// Inspects a file as a claim does, the empty one apart, which is sound in every format.
fn look(file: &Path, mapping: &Mapping) -> anyhow::Result<Result<Inspection, Unsound>> {
    let unreadable = || format!("{} cannot be read", file.display());
    let bytes = std::fs::metadata(file).with_context(unreadable)?.len();
    if bytes == 0 {
        let identity = crate::inspect::identify(file).with_context(unreadable)?;
        return Ok(Ok(Inspection {
            identity,
            size: 0,
            records: 0,
            marks: Vec::new(),
            layout: Default::default(),
            look: None,
        }));
    }
    let inspected = inspect(file, &mapping.dialect, &mapping.selectors).with_context(unreadable)?;
    Ok(inspected.1)
}

/// What a claim would pin now.
fn pinned(way: &Way<'_>, inspection: &Inspection) -> Pinned {
    let (batch_records, batch_bytes) = match way.channel.map(|channel| &channel.kind) {
        Some(ChannelKind::Ingestion(to)) => (to.batch_records as u64, to.batch_bytes as u64),
        Some(ChannelKind::Scr(_) | ChannelKind::Cpu(_)) => (1, u64::MAX),
        None => (BATCH_RECORDS, BATCH_BYTES),
    };
    Pinned {
        identity: inspection.identity,
        total: inspection.records,
        mapping: way.mapping.clone().unwrap_or_default(),
        bundle: String::new(),
        channel: way.channel.map(|channel| channel.name.clone()).unwrap_or_default(),
        batch_records,
        batch_bytes,
        date: jiff::Zoned::now().date(),
        generation: 0,
        repeat_of: None,
    }
}

/// Whether a channel would make a call of a mapped record, and what it finds in it before.
type Check = fn(&[u8], u64, u64) -> (bool, Vec<Problem>);

/// What looks at a mapped record before a call, where each record is one.
fn check_of(kind: &ChannelKind) -> Option<Check> {
    match kind {
        ChannelKind::Ingestion(_) => None,
        ChannelKind::Scr(_) => Some(|body, record, line| {
            let (assignment, problems) = assignment::parse(body, record, line);
            (assignment.is_some(), problems)
        }),
        ChannelKind::Cpu(_) => Some(|body, record, line| {
            let (call, problems) = call::parse(body, record, line);
            (call.is_some(), problems)
        }),
    }
}

fn check_piece(check: Check, piece: &mut Piece, mapping: &Mapping) {
    let Some((record, _)) = piece.records.first().copied() else { return };
    let (sound, problems) = check(&piece.body, record, piece.line);
    piece.problems.extend(problems.into_iter().map(|problem| named(problem, mapping)));
    if !sound {
        piece.rejected.append(&mut piece.records);
    }
}

/// A problem that names a mapping's `to` names its `from` instead.
fn named(mut problem: Problem, mapping: &Mapping) -> Problem {
    if let Some(from) = mapping.from_of(&problem.field) {
        problem.field = from.to_owned();
    }
    problem
}

fn no_route(way: &Way<'_>) -> Problem {
    let Some((customer, source)) = way.place else { return Problem::of_file("route", "", "") };
    let patterns: Vec<String> = customer
        .routes
        .iter()
        .filter(|route| route.source == source.name)
        .map(|route| format!("\"{}\"", route.files))
        .collect();
    let advice = match patterns.is_empty() {
        true => format!("source {} has no routes", source.name),
        false => {
            format!(
                "no route matches this name; those of source {} take {}",
                source.name,
                patterns.join(", ")
            )
        }
    };
    Problem::of_file("route", "", format!("{advice}; add one to {}", customer.file.display()))
}

fn of_unsound(unsound: &Unsound) -> Problem {
    let advice = format!("line {}, byte {}: {}", unsound.line, unsound.byte, unsound.advice);
    Problem::of_file(unsound.rule, unsound.what.clone(), advice)
}

fn count(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(first, last)| last + 1 - first).sum()
}

impl Found {
    fn told(&self) -> String {
        if self.whole {
            return "the whole file would be quarantined; nothing was sent".to_owned();
        }
        let Found { messages, ready, quarantined, discarded, .. } = self;
        format!(
            "{} would be sent in {}, {quarantined} quarantined, {discarded} discarded; nothing was sent",
            counted(*ready, "record"),
            counted(*messages, "message")
        )
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
