//! Stages: each measured alone, with nothing before or behind it.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::civil::date;
use lighterman::deliver::{self, Clearance, Message};
use lighterman::inspect;
use lighterman::ledger::{Account, Change, Ledger, Ordinals, Phase, Pinned};
use lighterman::map::Mapping;
use lighterman::model::{Arrival, Identity, Record, State};
use lighterman::pipeline::cursor::{Cursor, Piece};
use lighterman::read::Reader;
use lighterman::worker;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::files::{BATCH, CHANNEL, CUSTOMER, Files, MAPPING, size_below};
use crate::measure::{Figures, Meter};
use crate::poster::{OPEN, Poster};

/// Identity, soundness, count and index of the whole file.
pub fn inspect(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let mapping = mapping(files, server)?;
    let meter = Meter::start();
    let inspection = inspected(files, &mapping)?;
    Ok(meter.stop(inspection.records))
}

/// Records with the texts that the mapping asks for.
pub fn read(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let mapping = mapping(files, server)?;
    let meter = Meter::start();
    let input = Box::new(File::open(&files.csv)?);
    let mut reader = Reader::open(&mapping.dialect, &mapping.selectors, input)?;
    let mut record = Record::default();
    let mut records = 0;
    while reader.next(&mut record)? {
        records += 1;
    }
    Ok(meter.stop(records))
}

/// Read, mapped and written as the bodies of messages, on one thread.
pub fn map(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let mapping = mapping(files, server)?;
    let inspection = inspected(files, &mapping)?;
    let meter = Meter::start();
    let (mut records, mut bytes) = (0, 0);
    each_piece(files, mapping, inspection, |piece| {
        records += count(&piece);
        bytes += piece.body.len() as u64;
    })?;
    Ok(Figures { bytes, ..meter.stop(records) })
}

/// Bodies made before, posted by a plain client.
pub fn post(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let pieces = pieces(files, server)?;
    let meter = Meter::start();
    let poster = Poster::start(server)?;
    let mut records = 0;
    for piece in pieces {
        records += count(&piece);
        poster.post(piece.body)?;
    }
    poster.finish()?;
    Ok(Figures { peak_kib: 0, ..meter.stop(records) })
}

/// Bodies made before, sent through the channel; nothing is noted in the ledger.
pub fn send(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let pieces = pieces(files, server)?;
    let config = files.provider("send", server)?;
    let ledger = Ledger::open(&config.state.join("ledger"))?;
    let (channels, failed) = deliver::open(&config, &Default::default(), &Default::default());
    if let Some((_, error)) = failed.into_iter().next() {
        return Err(error);
    }
    let key = (CUSTOMER.to_owned(), CHANNEL.to_owned());
    let channel = channels.get(&key).context("the channel is not there")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let meter = Meter::start();
    let records = runtime.block_on(async {
        let mut running = JoinSet::new();
        let mut records = 0;
        let go_on = CancellationToken::new();
        for piece in pieces {
            records += count(&piece);
            let Clearance::Go(go) = channel.clear(piece.body.len() as u64, &go_on).await else {
                bail!("the channel is paused")
            };
            go.shrink(piece.body.len());
            while let Some(done) = running.try_join_next() {
                done??;
            }
            let (channel, ledger, go_on) = (Arc::clone(channel), ledger.clone(), go_on.clone());
            running.spawn(async move {
                let mut message = message(piece);
                let outcome = channel.send(&ledger, &mut message, go, None, &go_on).await?;
                match outcome {
                    Some(outcome) if outcome.worked => Ok(()),
                    _ => bail!("a message was not taken"),
                }
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        anyhow::Ok(records)
    })?;
    Ok(Figures { peak_kib: 0, ..meter.stop(records) })
}

/// The ledger alone: what a pass notes of each message, as many at once as are in flight.
pub fn commit(files: &Files, records: u64) -> anyhow::Result<Figures> {
    let folder = files.home("commit")?.join("ledger");
    let ledger = Ledger::open(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let arrival = Arrival(1);
    let account = Account {
        arrival,
        customer: CUSTOMER.to_owned(),
        source: "erp".to_owned(),
        name: "ORDERS.csv".to_owned(),
        picked_up: Timestamp::now(),
        phase: Phase::Open,
        pinned: Some(pinned(Identity([7; 32]), records)),
        mark: 1,
        messages: 0,
        held_until: None,
        answered: None,
        results: None,
        again: None,
    };
    runtime.block_on(ledger.change(move |store| {
        store.set_account(account);
        Ok(())
    }))?;
    let before = size_below(&folder);
    let meter = Meter::start();
    runtime.block_on(async {
        let places = Arc::new(tokio::sync::Semaphore::new(OPEN));
        let mut running = JoinSet::new();
        let mut first = 1;
        while first <= records {
            let last = (first + BATCH - 1).min(records);
            let place = Arc::clone(&places).acquire_owned().await?;
            let ledger = ledger.clone();
            running.spawn(async move {
                ledger.in_flight(arrival, (last + 1 - first) as i64);
                let changes = vec![
                    Change::Final(State::Delivered, vec![(first, last)]),
                    Change::Message,
                    Change::Mark(last + 1),
                ];
                ledger.note(arrival, changes).await?;
                ledger.in_flight(arrival, -((last + 1 - first) as i64));
                drop(place);
                anyhow::Ok(())
            });
            first = last + 1;
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        anyhow::Ok(())
    })?;
    let ledger_end = size_below(&folder).saturating_sub(before);
    Ok(Figures { ledger_end, ledger_peak: ledger_end, ..meter.stop(records) })
}

fn mapping(files: &Files, server: &str) -> anyhow::Result<Arc<Mapping>> {
    let mut config = files.provider("stage", server)?;
    let mut mappings = worker::load_mappings(&mut config);
    let mapping = mappings.remove(MAPPING).context("the mapping of the bench is not valid")?;
    Ok(Arc::clone(&mapping.mapping))
}

fn inspected(files: &Files, mapping: &Mapping) -> anyhow::Result<inspect::Inspection> {
    let (_, sound) = inspect::inspect(&files.csv, &mapping.dialect, &mapping.selectors)?;
    Ok(sound?)
}

fn pieces(files: &Files, server: &str) -> anyhow::Result<Vec<Piece>> {
    let mapping = mapping(files, server)?;
    let inspection = inspected(files, &mapping)?;
    let mut pieces = Vec::new();
    each_piece(files, mapping, inspection, |piece| pieces.push(piece))?;
    Ok(pieces)
}

fn each_piece(
    files: &Files,
    mapping: Arc<Mapping>,
    inspection: inspect::Inspection,
    mut then: impl FnMut(Piece),
) -> anyhow::Result<()> {
    let pinned = pinned(inspection.identity, inspection.records);
    let mut cursor = Cursor::new(
        files.csv.clone(),
        Arc::new(inspection),
        mapping,
        CUSTOMER,
        &pinned,
        Arc::new(Ordinals::default()),
    );
    let mut next = 1;
    loop {
        let piece = cursor.cut(next)?;
        next = cursor.position();
        if let Some(problem) = piece.problems.first() {
            bail!("line {}: {} {}", problem.line, problem.value, problem.advice);
        }
        let ended = piece.ended;
        if !piece.records.is_empty() {
            then(piece);
        }
        if ended {
            return Ok(());
        }
    }
}

fn count(piece: &Piece) -> u64 {
    piece.records.iter().map(|(first, last)| last + 1 - first).sum()
}

fn message(piece: Piece) -> Message {
    Message {
        customer: CUSTOMER.to_owned(),
        source: "erp".to_owned(),
        identity: Identity([7; 32]),
        arrival: Arrival(1),
        generation: 0,
        records: piece.records,
        line: piece.line,
        lines: Vec::new(),
        body: piece.body,
        earlier: None,
        origin: None,
    }
}

fn pinned(identity: Identity, total: u64) -> Pinned {
    Pinned {
        identity,
        total,
        mapping: MAPPING.to_owned(),
        bundle: String::new(),
        channel: CHANNEL.to_owned(),
        batch_records: BATCH,
        batch_bytes: 1 << 20,
        date: date(2026, 11, 22),
        generation: 0,
        repeat_of: None,
    }
}
