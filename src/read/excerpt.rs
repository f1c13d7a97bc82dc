//! Excerpt: a file of the same format, dialect and encoding that holds only some of the records, in
//! their original bytes.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::{Context, bail};

use crate::model::Record;

use super::{Dialect, Format, Reader};

/// How much filler between two records is kept back until what follows it is known.
const HELD: usize = 64 * 1024;

/// Writes to `out` the file that `input` opens, without the records whose ordinals `keep` denies,
/// and tells how many it kept.
///
/// The bytes above the first record and below the last stay, and between records all that holds
/// more together than two of them: tags and comments of the elements around, for example. A trailer
/// counts again. The file is opened twice, once to find its records and once to copy them, and
/// streams past both times.
pub fn excerpt(
    dialect: &Dialect,
    input: impl Fn() -> io::Result<Box<dyn Read + Send>>,
    keep: &mut dyn FnMut(u64) -> bool,
    out: &mut dyn Write,
) -> anyhow::Result<u64> {
    let mut reader = Reader::open(dialect, &[], input()?)?;
    let mut copy = Copy {
        input: BufReader::new(input()?),
        at: 0,
        out,
        is_filler: filler(&dialect.format),
        after_record: false,
    };
    let mut record = Record::default();
    let mut kept = 0;
    while reader.next(&mut record)? {
        let place = record.place;
        let keeps = keep(record.ordinal);
        if record.ordinal == 1 {
            copy.pass(place.byte, true)?;
        } else {
            copy.gap(place.byte, keeps)?;
        }
        copy.pass(place.byte + place.length, keeps)?;
        copy.after_record |= keeps;
        kept += u64::from(keeps);
    }
    if let Some(counted) = reader.counted() {
        copy.pass(counted.byte, true)?;
        copy.pass(counted.byte + counted.length, false)?;
        copy.out.write_all(&counted.encoded(kept, &reader.layout()))?;
    }
    io::copy(&mut copy.input, copy.out).context("cannot copy what stands below the records")?;
    Ok(kept)
}

/// The second pass over the file.
struct Copy<'a> {
    input: BufReader<Box<dyn Read + Send>>,
    at: u64,
    out: &'a mut dyn Write,
    is_filler: fn(u8) -> bool,
    /// Whether what was written last is a record, so that the next one needs filler before it.
    after_record: bool,
}

impl Copy<'_> {
    /// Passes on to the offset `to`, writing what lies before it or not.
    fn pass(&mut self, to: u64, write: bool) -> anyhow::Result<()> {
        while self.at < to {
            let piece = piece(&mut self.input, self.at, to)?;
            let length = piece.len();
            if write {
                self.out.write_all(piece)?;
            }
            self.input.consume(length);
            self.at += length as u64;
        }
        Ok(())
    }

    /// Passes on over what lies between two records. Filler is written only between two that are
    /// kept; anything else always, with the filler around it.
    fn gap(&mut self, to: u64, keeps: bool) -> anyhow::Result<()> {
        let wanted = keeps && self.after_record;
        let mut held = Vec::new();
        while self.at < to {
            let piece = piece(&mut self.input, self.at, to)?;
            let length = piece.len();
            if !piece.iter().all(|byte| (self.is_filler)(*byte)) {
                self.out.write_all(&held)?;
                self.after_record = false;
                return self.pass(to, true);
            }
            held.extend_from_slice(piece);
            self.input.consume(length);
            self.at += length as u64;
            if held.len() > HELD {
                if wanted {
                    self.out.write_all(&held)?;
                }
                held.clear();
            }
        }
        if wanted {
            self.out.write_all(&held)?;
        }
        Ok(())
    }
}

/// The next bytes of the file at `at`, none from `to` on.
fn piece(input: &mut BufReader<Box<dyn Read + Send>>, at: u64, to: u64) -> anyhow::Result<&[u8]> {
    let piece = input.fill_buf().with_context(|| format!("cannot copy from byte {at} on"))?;
    if piece.is_empty() {
        bail!("the file ends at byte {at}, and {to} were read before: see what changes it");
    }
    let left = usize::try_from(to - at).unwrap_or(usize::MAX);
    Ok(&piece[..piece.len().min(left)])
}

/// Which bytes between two records only part them. A zero byte is half of a UTF-16 unit.
fn filler(format: &Format) -> fn(u8) -> bool {
    fn blank(byte: u8) -> bool {
        matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
    }
    match format {
        // Lines that are no records.
        Format::Csv(_) | Format::Ndjson => |_| true,
        Format::Json(_) => |byte| blank(byte) || byte == b',',
        // Lines of other kinds may belong to any record.
        Format::Xml(_) | Format::Fixed(_) => blank,
    }
}

#[cfg(test)]
mod tests;
