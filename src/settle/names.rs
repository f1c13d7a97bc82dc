//! Names: under which names a file's results are written. All of them share one suffix, taken so
//! that none of them is there yet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::civil::Date;

use super::Folders;
use crate::disk;
use crate::ledger::ResultNames;
use crate::model::{Arrival, numbered};

/// Fixes the names of a file's results. They are taken at once, by a hidden file that says for
/// which arrival, so that no other file of the same name gets them; a receipt is never seen before
/// it is whole.
pub fn choose(
    folders: &Folders,
    name: &str,
    arrival: Arrival,
    day: Date,
) -> anyhow::Result<ResultNames> {
    super::make_folder(&folders.receipts)?;
    for suffix in 1..100_000 {
        let result = numbered(name, suffix);
        if !reserve(&reservation(folders, &result), arrival)? {
            continue;
        }
        let taken = [
            folders.receipts.join(format!("{result}.receipt.json")),
            folders.receipts.join(format!("{result}.verdicts.csv")),
            folders.archive.join(day.to_string()).join(&result),
            folders.rejects.join(&result),
            folders.rejects.join(format!("{result}.problems.csv")),
        ];
        if taken.iter().all(|path| fs::symlink_metadata(path).is_err()) {
            return Ok(ResultNames { day, suffix });
        }
        release(folders, &result)?;
    }
    bail!("there are too many results named {name}; clear {} out", folders.receipts.display())
}

/// Lets the names go that [`choose`] took: the receipt holds them from then on.
pub fn release(folders: &Folders, result: &str) -> anyhow::Result<()> {
    let path = reservation(folders, result);
    disk::remove(&path).with_context(|| format!("{} cannot be removed", path.display()))
}

fn reservation(folders: &Folders, result: &str) -> PathBuf {
    folders.receipts.join(format!(".{result}.taken"))
}

/// Whether the names are this arrival's: now, or since before a crash.
fn reserve(path: &Path, arrival: Arrival) -> anyhow::Result<bool> {
    let reserve = || -> io::Result<bool> {
        // After a crash the same arrival comes here again and writes the same file.
        let taking = path.with_file_name(format!(".lighterman-{arrival}.taking"));
        disk::remove(&taking)?;
        let mut file = disk::create(&taking, super::MODE)?;
        disk::write(&mut file, &taking, arrival.to_string().as_bytes())?;
        disk::sync(&file, &taking)?;
        match disk::rename_new(&taking, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk::remove(&taking)?;
                match fs::read_to_string(path) {
                    Ok(holder) => Ok(holder == arrival.to_string()),
                    // It was let go in this moment, so the results that it was for are there.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    };
    reserve().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(folder: &Path) -> Folders {
        Folders {
            archive: folder.join("archive"),
            rejects: folder.join("rejects"),
            receipts: folder.join("receipts"),
        }
    }

    #[test]
    fn many_files_of_one_name_that_end_at_once_all_get_names() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders(folder.path());
        let one = |arrival: u64| {
            let names = choose(&folders, "A.csv", Arrival(arrival), Date::constant(2026, 11, 22));
            let result = numbered("A.csv", names.unwrap().suffix);
            fs::write(folders.receipts.join(format!("{result}.receipt.json")), "{}").unwrap();
            release(&folders, &result).unwrap();
            result
        };
        let all: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let some = |first| move || (first..first + 25).map(one).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|nth| scope.spawn(some(nth * 25))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn names_that_are_taken_stay_with_their_arrival_until_its_receipt_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders(folder.path());
        let day = Date::constant(2026, 11, 22);
        let suffix = |arrival| choose(&folders, "A.csv", Arrival(arrival), day).unwrap().suffix;
        assert_eq!(suffix(1), 1);
        assert_eq!(suffix(2), 2, "another file of that name");
        assert_eq!(suffix(1), 1, "the same file, after a crash");
        fs::write(folders.receipts.join("A.csv.receipt.json"), "{}").unwrap();
        release(&folders, "A.csv").unwrap();
        release(&folders, "A.csv").unwrap();
        assert_eq!(suffix(3), 3);
        let names: Vec<_> = fs::read_dir(&folders.receipts)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert_eq!(names, ["A.csv.receipt.json"], "no receipt is there before it is written");
    }
}
