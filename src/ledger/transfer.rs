//! Transfer: a whole ledger as lines of text, one JSON object an entry, and back.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context, bail};

use super::check::Check;
use super::entries::Entries;
use super::entry::{Entry, STATES};
use super::keys::{chunk_prefix, waiting_prefix};
use super::store::{SCHEMA, newer};
use crate::model::{Arrival, State};

/// The version that exports are of.
pub const VERSION: u32 = SCHEMA;

/// Ranges of one line at most, so that lines stay readable.
const RANGES: usize = 500;

/// Bytes of one line at most; the longest that is ever written is far shorter.
const LINE: u64 = 1 << 20;

/// How many entries an import makes durable at once.
const BATCH: u64 = 1000;

/// Writes every entry of the ledger in a folder; tells how many lines they took.
pub fn export(folder: &Path, out: &mut dyn Write) -> anyhow::Result<u64> {
    let mut written = 0;
    each_entry(folder, &mut |entry| {
        written += 1;
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        out.write_all(&line).context("the export cannot be written")
    })?;
    Ok(written)
}

/// Removes entries of the ledger in a folder and puts others, all at once.
pub fn replace(folder: &Path, gone: &[Entry], new: &[Entry]) -> anyhow::Result<()> {
    let mut entries = Entries::open_there(folder)?;
    for entry in gone {
        for (key, _) in entry.pairs()? {
            entries.remove(key);
        }
    }
    for entry in new {
        for (key, value) in entry.pairs()? {
            entries.put_bytes(key, value);
        }
    }
    entries.write()
}

/// Calls `each` with every entry of the ledger in a folder, in the order of an export.
pub fn each_entry(
    folder: &Path,
    each: &mut dyn FnMut(&Entry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let entries = Entries::open_there(folder)?;
    let mut lines = Lines { each, count: 0 };
    match entries.get(b"m/schema")? {
        Some(version) if version == SCHEMA => lines.write(&Entry::Schema { version })?,
        Some(version) => return Err(newer(version, folder)),
        None => bail!("{} holds no ledger", folder.display()),
    }
    entries.each(b"", &mut |key, value| known(key, value))?;
    // Open files with all that is theirs come last, one after the other.
    let of_files: [&[u8]; 3] = [b"f/", b"s/", b"w/"];
    for prefix in Entry::PREFIXES.into_iter().filter(|prefix| !of_files.contains(prefix)) {
        entries.each(prefix, &mut |key, value| match read(key, value)? {
            None | Some(Entry::Schema { .. }) => Ok(()),
            Some(entry) => lines.write(&entry),
        })?;
    }
    let mut open = BTreeSet::new();
    entries.each(b"f/", &mut |key, value| {
        let Some(Entry::File(account)) = read(key, value)? else { return Ok(()) };
        let arrival = account.arrival;
        open.insert(arrival);
        lines.write(&Entry::File(account))?;
        for (_, tag) in STATES {
            lines.records(&entries, &chunk_prefix(arrival, tag), &|_, _| true)?;
        }
        entries.each(&waiting_prefix(arrival), &mut |key, value| {
            read(key, value)?.map_or(Ok(()), |entry| lines.write(&entry))
        })
    })?;
    // What settled files left quarantined; what else is left of them is about to be removed.
    lines.records(&entries, b"s/", &|arrival, state| {
        state == State::Quarantined && !open.contains(&arrival)
    })?;
    let written = lines.count;
    lines.write(&Entry::End { lines: written })
}

/// Every fault of an export, with its line; none if it can be imported.
pub fn check(lines: impl BufRead) -> anyhow::Result<Vec<String>> {
    let mut check = Check::default();
    each(lines, |number, entry| {
        match entry {
            Ok(entry) => check.entry(number, &entry),
            Err(error) => check.fault(number, error),
        }
        Ok(())
    })?;
    Ok(check.end())
}

/// Fills an empty ledger with entries.
pub fn write(folder: &Path, all: &[Entry]) -> anyhow::Result<()> {
    let mut entries = Entries::open(folder)?;
    for (count, entry) in (1..).zip(all) {
        for (key, value) in entry.pairs()? {
            entries.put_bytes(key, value);
        }
        if count % BATCH == 0 {
            entries.write()?;
        }
    }
    entries.write()
}

/// Every fault of entries that are to make a ledger, as of the lines of an export.
pub fn check_entries(all: &[Entry]) -> Vec<String> {
    let mut check = Check::default();
    for (number, entry) in (1..).zip(all) {
        check.entry(number, entry);
    }
    check.end()
}

/// Fills an empty ledger with what an export says; it must have been checked before.
pub fn fill(folder: &Path, lines: impl BufRead) -> anyhow::Result<()> {
    let mut entries = Entries::open(folder)?;
    each(lines, |number, entry| {
        let entry = entry.map_err(|error| anyhow::anyhow!("line {number}: {error}"))?;
        for (key, value) in entry.pairs().with_context(|| format!("line {number}"))? {
            entries.put_bytes(key, value);
        }
        match number % BATCH {
            0 => entries.write(),
            _ => Ok(()),
        }
    })?;
    entries.write()
}

fn read(key: &[u8], value: &[u8]) -> anyhow::Result<Option<Entry>> {
    Entry::read(key, value).context(
        "the ledger holds what cannot be read; `lighterman ledger repair` saves what can be",
    )
}

fn known(key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    read(key, value).map(|_| ())
}

/// Calls `each` with every line's number and what it says.
fn each(
    mut lines: impl BufRead,
    mut each: impl FnMut(u64, Result<Entry, String>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = std::io::Read::take(&mut lines, LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE {
            bail!("line {number} is longer than {LINE} bytes: this is no export of a ledger");
        }
        each(number, serde_json::from_slice(&line).map_err(|error| error.to_string()))?;
    }
}

/// Records of one file in one state, for one line.
type Gathered = (Arrival, State, Vec<(u64, u64)>);

struct Lines<'a> {
    each: &'a mut dyn FnMut(&Entry) -> anyhow::Result<()>,
    count: u64,
}

impl Lines<'_> {
    fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.count += 1;
        (self.each)(entry)
    }

    /// Writes the records below a prefix, chunks of one file and state together.
    fn records(
        &mut self,
        entries: &Entries,
        prefix: &[u8],
        which: &dyn Fn(Arrival, State) -> bool,
    ) -> anyhow::Result<()> {
        let mut gathered: Option<Gathered> = None;
        entries.each(prefix, &mut |key, value| {
            let Some(Entry::Records { arrival, state, ranges }) = read(key, value)? else {
                return Ok(());
            };
            if !which(arrival, state) || ranges.is_empty() {
                return Ok(());
            }
            match &mut gathered {
                Some((of, its, held)) if (*of, *its) == (arrival, state) && held.len() < RANGES => {
                    append(held, ranges);
                    Ok(())
                }
                _ => match gathered.replace((arrival, state, ranges)) {
                    Some(full) => self.gathered(full),
                    None => Ok(()),
                },
            }
        })?;
        gathered.map_or(Ok(()), |rest| self.gathered(rest))
    }

    fn gathered(&mut self, (arrival, state, ranges): Gathered) -> anyhow::Result<()> {
        self.write(&Entry::Records { arrival, state, ranges })
    }
}

/// Adds the ranges of the next chunk, which may go on where the last one ends.
fn append(held: &mut Vec<(u64, u64)>, ranges: Vec<(u64, u64)>) {
    for (first, last) in ranges {
        match held.last_mut() {
            Some(range) if range.1 + 1 == first => range.1 = last,
            _ => held.push((first, last)),
        }
    }
}

#[cfg(test)]
mod tests;
