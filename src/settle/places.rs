//! Places: in which folders a file's results lie, and under which names. They stay together there
//! until the file is settled, though the config may name other folders by then.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::names;
use crate::config::Source;
use crate::ledger::{Account, ResultNames};
use crate::model::{Arrival, numbered};
use crate::spool::{Spool, write_whole};

/// The folders that results go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// Files as they came, by the day.
    pub archive: PathBuf,
    /// Records that failed, and why.
    pub rejects: PathBuf,
    /// Receipts.
    pub receipts: PathBuf,
}

/// Where one file's results are, or will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The folders.
    pub folders: Folders,
    /// The names in them.
    pub names: ResultNames,
}

impl Folders {
    /// Those of a source as it is configured today.
    pub fn of(source: &Source) -> anyhow::Result<Folders> {
        let whole = |path| std::path::absolute(path).context("the current folder is not known");
        Ok(Folders {
            archive: whole(&source.archive)?,
            rejects: whole(&source.rejects)?,
            receipts: whole(&source.receipts)?,
        })
    }
}

impl Places {
    /// Finds the places of a file's results, or chooses them. Where its results were begun they go
    /// on; but what never came to a receipt there, as in a folder that cannot be written, begins
    /// anew in today's folders.
    pub fn find(
        spool: &Spool,
        today: Folders,
        account: &Account,
        day: Date,
    ) -> anyhow::Result<Places> {
        let (arrival, name) = (account.arrival, &account.name);
        match (Places::kept(spool, arrival)?, &account.results) {
            (Some(kept), _) if kept.folders == today || kept.has_receipt(name) => Ok(kept),
            (Some(left), _) => {
                let names = names::choose(&today, name, arrival, day)?;
                let places = Places { folders: today, names };
                places.keep(spool, arrival)?;
                // It may be out of reach, and nobody else asks for these names.
                let _ = names::release(&left.folders, &numbered(name, left.names.suffix));
                Ok(places)
            }
            (None, Some(names)) => Ok(Places { folders: today, names: names.clone() }),
            (None, None) => {
                let names = names::choose(&today, name, arrival, day)?;
                Ok(Places { folders: today, names })
            }
        }
    }

    /// Keeps them with the file, for when its results are written again.
    pub fn keep(&self, spool: &Spool, arrival: Arrival) -> anyhow::Result<()> {
        // A path that is no text cannot be kept; then today's folder is the one.
        let Ok(bytes) = serde_json::to_vec(self) else { return Ok(()) };
        match Places::kept(spool, arrival)? {
            Some(kept) if kept == *self => Ok(()),
            _ => write_whole(&spool.places(arrival), &bytes, 0o600),
        }
    }

    fn kept(spool: &Spool, arrival: Arrival) -> anyhow::Result<Option<Places>> {
        let path = spool.places(arrival);
        let cannot = || format!("{} cannot be read", path.display());
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(cannot),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(cannot),
        }
    }

    fn has_receipt(&self, name: &str) -> bool {
        let result = numbered(name, self.names.suffix);
        let receipt = self.folders.receipts.join(format!("{result}.receipt.json"));
        match fs::symlink_metadata(receipt) {
            Ok(_) => true,
            // What cannot be asked may be there.
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pickup::claim;
    use crate::spool::Slip;

    const DAY: Date = Date::constant(2026, 11, 22);

    fn folders(root: &Path) -> Folders {
        let [archive, rejects, receipts] =
            ["archive", "rejects", "receipts"].map(|name| root.join(name));
        Folders { archive, rejects, receipts }
    }

    #[test]
    fn results_stay_where_they_were_begun() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(&root.path().join("state")).unwrap();
        let slip = Slip {
            customer: "acme".to_owned(),
            source: "in".to_owned(),
            name: "A.csv".to_owned(),
            picked_up: jiff::Timestamp::UNIX_EPOCH,
            folder: None,
            partner: None,
            look: None,
        };
        spool.prepare(Arrival(1), &slip).unwrap();
        let mut account = claim::account(Arrival(1), slip);
        let [old, new] = ["old", "new"].map(|name| folders(&root.path().join(name)));
        let find = |account: &Account, today: &Folders| {
            Places::find(&spool, today.clone(), account, DAY).unwrap()
        };
        let first = find(&account, &old);
        assert_eq!((&first.folders, first.names.suffix), (&old, 1));
        first.keep(&spool, Arrival(1)).unwrap();
        account.results = Some(first.names.clone());

        // Another file has the name in the new folders.
        fs::create_dir_all(&new.rejects).unwrap();
        fs::write(new.rejects.join("A.csv"), "another's").unwrap();
        let receipt = old.receipts.join("A.csv.receipt.json");
        fs::write(&receipt, "{}").unwrap();
        assert_eq!(find(&account, &new), first);
        assert_eq!(find(&account, &old), first);

        // Nothing was ever told there: in the new folders its names are its own, too.
        fs::remove_file(receipt).unwrap();
        let second = find(&account, &new);
        assert_eq!((&second.folders, second.names.suffix), (&new, 2));
        assert!(!old.receipts.join(".A.csv.taken").exists());
        // They are found again before they are noted.
        assert_eq!(find(&account, &new), second);
        fs::write(new.receipts.join("A-2.csv.receipt.json"), "{}").unwrap();
        assert_eq!(find(&account, &new), second);
        assert_eq!(find(&account, &old), second);
    }
}
