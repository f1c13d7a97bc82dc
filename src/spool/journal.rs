//! Journal: what is noted of the records of one open file as it comes, and told by record: problems,
//! and late answers. However much there is, only some is held in memory at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{self, Unfinished};
use crate::model::{LateAnswer, Origin, Problem};

/// Bytes of the journal that are sorted in memory at once.
const SORTED: usize = 4 * 1024 * 1024;

/// What is read at once of each sorted part.
const READ: usize = 16 * 1024;

/// What a journal holds, a line each.
pub trait Entry: Clone + PartialEq + Serialize + DeserializeOwned {
    /// The ordinal of the record that it is about.
    fn record(&self) -> u64;
}

impl Entry for Problem {
    fn record(&self) -> u64 {
        self.record
    }
}

impl Entry for LateAnswer {
    fn record(&self) -> u64 {
        self.record
    }
}

/// Appends entries to a journal and makes them durable.
pub fn note<E: Entry>(path: &Path, entries: &[E]) -> anyhow::Result<()> {
    // A line that a crash cut short must not swallow the next.
    let mut lines = vec![b'\n'];
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    let note = || -> io::Result<()> {
        let (mut file, is_new) = disk::append(path, 0o600)?;
        disk::write(&mut file, path, &lines)?;
        disk::sync(&file, path)?;
        match path.parent() {
            Some(folder) if is_new => disk::sync_folder(folder),
            _ => Ok(()),
        }
    };
    note().with_context(|| format!("{} cannot be written", path.display()))
}

/// Keeps in a journal only the problems that `keep` picks.
pub fn retain(path: &Path, keep: impl Fn(&Problem) -> bool) -> anyhow::Result<()> {
    let Some(mut journal) = open(path)? else { return Ok(()) };
    let cannot = || format!("{} cannot be written", path.display());
    let mut kept = BufWriter::new(Unfinished::begin(path, 0o600).with_context(cannot)?);
    let mut line = Vec::new();
    while let Some(problem) = next::<Problem>(&mut journal, &mut line)? {
        if keep(&problem) {
            kept.write_all(&line).and_then(|()| kept.write_all(b"\n")).with_context(cannot)?;
        }
    }
    let kept = kept.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    kept.replace().with_context(cannot)
}

/// The entries of a journal by record, once each.
#[derive(Debug)]
pub struct Sorted<E>(Held<E>);

#[derive(Debug)]
enum Held<E> {
    InMemory(Vec<E>),
    /// Sorted parts, one after the other in a file without a name; where each starts and ends.
    OnDisk(File, Vec<Span>),
}

/// Where something starts and ends in a file.
type Span = (u64, u64);

impl<E: Entry> Sorted<E> {
    /// Reads a journal. A line that a crash cut short is left out: its record was not final yet,
    /// and is worked again.
    pub fn read(path: &Path) -> anyhow::Result<Sorted<E>> {
        Sorted::sort(path, SORTED).with_context(|| format!("{} cannot be read", path.display()))
    }

    fn sort(path: &Path, at_once: usize) -> anyhow::Result<Sorted<E>> {
        let Some(mut journal) = open(path)? else {
            return Ok(Vec::new().into());
        };
        let (mut held, mut bytes, mut line) = (Vec::new(), 0, Vec::new());
        let mut parts: Option<(BufWriter<File>, Vec<Span>)> = None;
        while let Some(entry) = next(&mut journal, &mut line)? {
            bytes += line.len() + size_of::<E>();
            held.push(entry);
            if bytes >= at_once {
                let (file, parts) = match &mut parts {
                    Some(parts) => parts,
                    None => {
                        let file = tempfile::tempfile_in(path.parent().unwrap_or(Path::new("")))?;
                        parts.insert((BufWriter::new(file), Vec::new()))
                    }
                };
                parts.push(put_away(file, &mut held)?);
                bytes = 0;
            }
        }
        let Some((mut file, mut parts)) = parts else {
            return Ok(held.into());
        };
        parts.push(put_away(&mut file, &mut held)?);
        let file = file.into_inner().map_err(|error| error.into_error())?;
        Ok(Sorted(Held::OnDisk(file, parts)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Held::InMemory(entries) if entries.is_empty())
    }

    /// All of them, from the first record on.
    pub fn iter(&self) -> Box<dyn Iterator<Item = anyhow::Result<E>> + '_> {
        match &self.0 {
            Held::InMemory(all) => Box::new(once_each(all.iter().cloned().map(Ok))),
            Held::OnDisk(file, parts) => Box::new(once_each(Merge::of(file, parts))),
        }
    }
}

impl<E: Entry> From<Vec<E>> for Sorted<E> {
    fn from(mut entries: Vec<E>) -> Sorted<E> {
        entries.sort_by_key(E::record);
        Sorted(Held::InMemory(entries))
    }
}

/// The problems of a file by record, once each.
#[derive(Debug)]
pub struct Problems {
    sorted: Sorted<Problem>,
    /// By whose numbers and lines they are told, if not by the file's own.
    origin: Option<Arc<Origin>>,
}

impl Problems {
    /// Reads a journal.
    pub fn read(path: &Path) -> anyhow::Result<Problems> {
        Ok(Problems { sorted: Sorted::read(path)?, origin: None })
    }

    /// The same, told by the numbers and lines that the records have in the file they came in.
    pub fn by_origin(self, origin: Arc<Origin>) -> Problems {
        Problems { origin: Some(origin), ..self }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// All of them, from the first record on.
    pub fn iter(&self) -> Box<dyn Iterator<Item = anyhow::Result<Problem>> + '_> {
        let told = |problem: anyhow::Result<Problem>| {
            problem.map(|problem| match &self.origin {
                Some(origin) if problem.record > 0 => Problem {
                    line: origin.line(problem.record, problem.line),
                    record: origin.ordinal(problem.record),
                    ..problem
                },
                _ => problem,
            })
        };
        Box::new(self.sorted.iter().map(told))
    }

    /// Those of the file as a whole, which come first.
    pub fn of_file(&self) -> anyhow::Result<Vec<Problem>> {
        let is_of_file = |problem: &anyhow::Result<Problem>| match problem {
            Ok(problem) => problem.record == 0,
            Err(_) => true,
        };
        self.iter().take_while(is_of_file).collect()
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Problems {
        Problems { sorted: problems.into(), origin: None }
    }
}

fn open(path: &Path) -> anyhow::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The next line that is whole.
fn next<E: Entry>(journal: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<E>> {
    loop {
        line.clear();
        if journal.read_until(b'\n', line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if let Ok(entry) = serde_json::from_slice(line) {
            return Ok(Some(entry));
        }
    }
}

/// Writes entries in order behind what the file holds, and tells where.
fn put_away<E: Entry>(file: &mut BufWriter<File>, entries: &mut Vec<E>) -> anyhow::Result<Span> {
    entries.sort_by_key(E::record);
    let start = file.stream_position()?;
    for entry in entries.drain(..) {
        serde_json::to_writer(&mut *file, &entry)?;
        file.write_all(b"\n")?;
    }
    Ok((start, file.stream_position()?))
}

/// Sorted parts as one; of the same record, what was noted first comes first.
struct Merge<'a, E> {
    parts: Vec<BufReader<Part<'a>>>,
    heads: Vec<Option<E>>,
    order: BinaryHeap<Reverse<(u64, usize)>>,
    fault: Option<io::Error>,
    line: Vec<u8>,
}

struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<'a, E: Entry> Merge<'a, E> {
    fn of(file: &'a File, parts: &[Span]) -> Merge<'a, E> {
        let part = |&(at, end): &Span| BufReader::with_capacity(READ, Part { file, at, end });
        let mut merge = Merge {
            parts: parts.iter().map(part).collect(),
            heads: parts.iter().map(|_| None).collect(),
            order: BinaryHeap::new(),
            fault: None,
            line: Vec::new(),
        };
        (0..parts.len()).for_each(|part| merge.advance(part));
        merge
    }

    fn advance(&mut self, part: usize) {
        match next::<E>(&mut self.parts[part], &mut self.line) {
            Ok(head) => {
                self.order.extend(head.iter().map(|head| Reverse((head.record(), part))));
                self.heads[part] = head;
            }
            Err(error) => self.fault = Some(error),
        }
    }
}

impl<E: Entry> Iterator for Merge<'_, E> {
    type Item = anyhow::Result<E>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.fault.take() {
            self.order.clear();
            return Some(Err(fault).context("the sorted journal cannot be read"));
        }
        let Reverse((_, part)) = self.order.pop()?;
        let head = self.heads[part].take();
        self.advance(part);
        head.map(Ok)
    }
}

/// A crash between the journal and the ledger leaves what is then noted again.
fn once_each<E: Entry>(
    sorted: impl Iterator<Item = anyhow::Result<E>>,
) -> impl Iterator<Item = anyhow::Result<E>> {
    let mut of_record: Vec<E> = Vec::new();
    sorted.filter(move |entry| {
        let Ok(entry) = entry else { return true };
        if of_record.first().is_some_and(|first| first.record() != entry.record()) {
            of_record.clear();
        }
        let is_new = !of_record.contains(entry);
        if is_new {
            of_record.push(entry.clone());
        }
        is_new
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Level;

    fn problem(record: u64, rule: &str) -> Problem {
        Problem { record, level: Level::Warn, ..Problem::of_file(rule, "", "") }
    }

    fn all(problems: &Problems) -> Vec<Problem> {
        problems.iter().map(Result::unwrap).collect()
    }

    #[test]
    fn problems_come_back_by_record_and_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("problems.ndjson");
        let (a, b, c) = (problem(7, "aka"), problem(7, "date"), problem(2, "number"));
        note(&path, &[a.clone(), b.clone()]).unwrap();
        note(&path, std::slice::from_ref(&c)).unwrap();
        note(&path, &[a.clone(), b.clone()]).unwrap();
        assert_eq!(all(&Problems::read(&path).unwrap()), [c.clone(), a, b]);

        retain(&path, |problem| problem.record == 2).unwrap();
        assert_eq!(all(&Problems::read(&path).unwrap()), [c]);
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("problems.ndjson");
        note(&path, &[problem(1, "aka"), problem(2, "date")]).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
        assert_eq!(all(&Problems::read(&path).unwrap()), [problem(1, "aka")]);
        note(&path, &[problem(2, "date")]).unwrap();
        assert_eq!(all(&Problems::read(&path).unwrap()), [problem(1, "aka"), problem(2, "date")]);
    }

    #[test]
    fn what_is_sorted_in_parts_comes_as_what_is_sorted_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("problems.ndjson");
        // Every record twice, in steps of 7 and of 11, both of which reach each of 1..=1000 once.
        for step in [7, 11] {
            let noted: Vec<Problem> =
                (0..1000).map(|n| problem(n * step % 1000 + 1, &format!("r{step}"))).collect();
            note(&path, &noted).unwrap();
            note(&path, &noted[..100]).unwrap();
        }
        note(&path, &[problem(0, "empty")]).unwrap();
        let sorted = Sorted::sort(&path, 5000).unwrap();
        assert!(matches!(&sorted.0, Held::OnDisk(_, parts) if parts.len() > 10));
        let in_parts = Problems { sorted, origin: None };
        let mut wanted = vec![problem(0, "empty")];
        for record in 1..=1000 {
            wanted.extend([problem(record, "r7"), problem(record, "r11")]);
        }
        assert_eq!(all(&in_parts), wanted);
        assert_eq!(all(&Problems::read(&path).unwrap()), wanted);
        assert_eq!(in_parts.of_file().unwrap(), wanted[..1]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
