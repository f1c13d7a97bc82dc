//! Inspect: one pass over the claimed bytes before anything is sent. It tells the file's identity,
//! whether it is sound to its end, how many records it has, and where every 4,096th starts.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::disk::Look;
use crate::model::{Identity, Record};
use crate::read::{Dialect, Layout, Mark, Reader, Unsound};

/// How many records lie between two marks.
pub const STRIDE: u64 = 4096;

/// What the pass learnt; kept beside the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// BLAKE3 of the bytes.
    pub identity: Identity,
    /// The number of bytes.
    pub size: u64,
    /// The number of records.
    pub records: u64,
    /// Where the first record starts, and every 4,096th behind it that reading can begin at.
    pub marks: Vec<Mark>,
    /// What stands around and above the records.
    pub layout: Layout,
    /// What a look saw of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
}

/// By what a file is known again without reading it, and by what with.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    identity: Identity,
    look: Option<Look>,
}

impl Seen {
    /// Whether the file holds what was inspected. It is read only if a look tells of a change, and
    /// the look is then renewed: a mere touch changes no byte.
    pub fn is_still(&mut self, path: &Path) -> io::Result<bool> {
        let look = Some(Look::at(path)?);
        if self.look.is_none() || self.look == look {
            return Ok(true);
        }
        let is_same = identify(path)? == self.identity && Some(Look::at(path)?) == look;
        if is_same {
            self.look = look;
        }
        Ok(is_same)
    }
}

/// A file that was written to after it was taken.
pub fn changed() -> Unsound {
    Unsound {
        rule: "changed",
        line: 0,
        byte: 0,
        what: "the file was written to after it was taken".to_owned(),
        advice: CHANGED.to_owned(),
    }
}

/// What to do about a file that was written to after it was taken.
pub const CHANGED: &str = "see who still writes to it: let it be renamed when it is whole, or set \
                           ready to a longer quiet time or a marker; then drop it again";

impl Inspection {
    /// Reads what was kept of an inspection.
    pub fn read(path: &Path) -> anyhow::Result<Inspection> {
        let bytes =
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// By what the file is known again.
    pub fn seen(&self) -> Seen {
        Seen { identity: self.identity, look: self.look }
    }
}

/// Inspects a sound file; an unsound one is told with its place, and its identity all the same.
pub fn inspect(
    path: &Path,
    dialect: &Dialect,
    selectors: &[String],
) -> io::Result<(Identity, Result<Inspection, Unsound>)> {
    let look = Look::at(path)?;
    let hashing = Hashing::open(path)?;
    let sound = pass(path, &hashing, dialect, selectors);
    let (identity, size) = hashing.finish()?;
    if Look::at(path)? != look {
        return Ok((identity, Err(changed())));
    }
    let inspection = |(records, marks, layout)| {
        let look = Some(look);
        Inspection { identity, size, records, marks, layout, look }
    };
    Ok((identity, sound.map(inspection)))
}

/// The identity of a file that nobody reads.
pub fn identify(path: &Path) -> io::Result<Identity> {
    Ok(Hashing::open(path)?.finish()?.0)
}

/// Opens an inspected file at the last mark before the record `ordinal`.
pub fn open_at(
    path: &Path,
    dialect: &Dialect,
    selectors: &[String],
    inspection: &Inspection,
    ordinal: u64,
) -> Result<Reader, Unsound> {
    let mark = inspection.marks.iter().rev().find(|mark| mark.ordinal <= ordinal);
    let unreadable = |error: io::Error| unreadable(path, &error, mark);
    let mut file = File::open(path).map_err(unreadable)?;
    match mark {
        Some(mark) if mark.ordinal > 1 => {
            file.seek(SeekFrom::Start(mark.byte)).map_err(unreadable)?;
            Reader::resume(dialect, selectors, &inspection.layout, *mark, Box::new(file))
        }
        _ => Reader::open(dialect, selectors, Box::new(file)),
    }
}

fn unreadable(path: &Path, error: &io::Error, mark: Option<&Mark>) -> Unsound {
    Unsound {
        rule: "io",
        line: mark.map_or(1, |mark| mark.line),
        byte: mark.map_or(0, |mark| mark.byte),
        what: format!("{} cannot be read: {error}", path.display()),
        advice: "see whether the disk is sound".to_owned(),
    }
}

fn pass(
    path: &Path,
    hashing: &Hashing,
    dialect: &Dialect,
    selectors: &[String],
) -> Result<(u64, Vec<Mark>, Layout), Unsound> {
    // The selectors are looked up once, against the head of the file; the pass itself needs only
    // to know where records start and end, and what stands above those at which a mark stands.
    let head = File::open(path).map_err(|error| unreadable(path, &error, None))?;
    Reader::open(dialect, selectors, Box::new(head))?;
    let asked = dialect.format.above(selectors);
    let mut reader = Reader::open(dialect, &asked, Box::new(hashing.clone()))?;
    let mut layout = Layout { asked, ..reader.layout() };
    let mut record = Record::default();
    let mut marks = Vec::new();
    let mut records = 0;
    while reader.next(&mut record)? {
        let far = marks.last().is_none_or(|mark: &Mark| record.ordinal >= mark.ordinal + STRIDE);
        if far && reader.resumable() {
            let (line, byte) = (record.place.line, record.place.byte);
            marks.push(Mark { ordinal: record.ordinal, line, byte });
            if !layout.asked.is_empty() {
                layout.note_above(record.ordinal, reader.above());
            }
        }
        records += 1;
    }
    Ok((records, marks, layout))
}

/// A file that is hashed while it is read.
#[derive(Clone)]
struct Hashing(Arc<Mutex<(File, blake3::Hasher, u64)>>);

impl Hashing {
    fn open(path: &Path) -> io::Result<Hashing> {
        Ok(Hashing(Arc::new(Mutex::new((File::open(path)?, blake3::Hasher::new(), 0)))))
    }

    /// Reads what nobody has read yet and tells the hash of everything.
    fn finish(mut self) -> io::Result<(Identity, u64)> {
        let mut rest = vec![0; 64 * 1024];
        while self.read(&mut rest)? > 0 {}
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((Identity(*inner.1.finalize().as_bytes()), inner.2))
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, hasher, size) = &mut *inner;
        let read = file.read(buffer)?;
        hasher.update(&buffer[..read]);
        *size += read as u64;
        Ok(read)
    }
}
