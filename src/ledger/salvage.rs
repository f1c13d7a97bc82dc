//! Salvage: what can still be read of a ledger that is damaged, pair by pair. To be done in a
//! process of its own, on a copy: sled may panic, hang or change files where it meets damage.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::Context;

use super::entries::Pair;
use super::entry::{Entry, to_hex};

/// How many places around damage are looked at.
const PLACES: usize = 20_000;

/// Writes every pair that can be read to `out`, a line each; tells how often reading failed.
pub fn write_pairs(folder: &Path, out: &mut dyn Write) -> anyhow::Result<u64> {
    let open = || sled::Config::new().path(folder).flush_every_ms(None).open();
    let db = catch_unwind(open).ok().context("opening it panics")??;
    let mut failures = 0;
    let mut todo: Vec<Vec<u8>> = Entry::PREFIXES.iter().rev().map(|kind| kind.to_vec()).collect();
    for _ in 0..PLACES {
        let Some(prefix) = todo.pop() else { break };
        if scan(&db, &prefix, out)? {
            continue;
        }
        failures += 1;
        // Keys are at most so long; below that a single pair is what cannot be read.
        if prefix.len() < 24 {
            let byte = |byte| [prefix.as_slice(), &[byte]].concat();
            todo.extend((0..=u8::MAX).rev().map(byte));
        }
    }
    out.flush()?;
    // What it would write when it is closed is of no use.
    std::mem::forget(db);
    Ok(failures)
}

/// Reads the pairs that such lines tell; a line that was cut short is left out.
pub fn read_pairs(lines: impl BufRead) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for line in lines.split(b'\n') {
        let line = line?;
        let pair = std::str::from_utf8(&line).ok().and_then(|line| {
            let (key, value) = line.strip_suffix('.')?.split_once(' ')?;
            Some((bytes(key)?, bytes(value)?))
        });
        pairs.extend(pair);
    }
    Ok(pairs)
}

/// Writes what is below a prefix, from both ends up to the damage; whether there was none.
fn scan(db: &sled::Db, prefix: &[u8], out: &mut dyn Write) -> anyhow::Result<bool> {
    for backwards in [false, true] {
        let mut pairs = db.scan_prefix(prefix);
        loop {
            let next = catch_unwind(AssertUnwindSafe(|| match backwards {
                false => pairs.next(),
                true => pairs.next_back(),
            }));
            match next {
                Ok(Some(Ok((key, value)))) => {
                    writeln!(out, "{} {}.", to_hex(&key), to_hex(&value))?;
                }
                Ok(None) => return Ok(true),
                Ok(Some(Err(_))) | Err(_) => break,
            }
        }
    }
    Ok(false)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(pair).collect()
}
