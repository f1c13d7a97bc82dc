//! Spool: the folders below `state/<environment>` and what lies in them. A claimed file in the
//! spool is the queue: after a crash its records are read again from there.

mod journal;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use journal::{Problems, Sorted};

use crate::disk::{self, Look};
use crate::model::{Arrival, LateAnswer, Problem};

/// The folders of one environment's state.
#[derive(Clone, Debug)]
pub struct Spool {
    root: PathBuf,
}

/// Who a spooled file belongs to; lies beside it, so that it can be adopted without a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slip {
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The file's name as it was found.
    pub name: String,
    /// When it was claimed.
    pub picked_up: Timestamp,
    /// The folder that it was claimed in, where it lies hidden while its claim is broken off; none
    /// of a file that came from a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The SFTP folder that it is fetched from; none for a folder on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    /// What was seen of it then, so that a later change is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
}

impl Spool {
    /// Opens the state folder, making what is not there; only its owner may look into it.
    pub fn open(root: &Path) -> anyhow::Result<Spool> {
        let spool = Spool { root: root.to_owned() };
        for folder in [&spool.root, &spool.files(), &spool.bundles(), &spool.quarantine()]
            .into_iter()
            .chain([&spool.events(), &spool.payloads()])
        {
            disk::make_folder(folder, 0o700)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        disk::set_mode(&spool.root, 0o700)
            .with_context(|| format!("{} cannot be closed to others", spool.root.display()))?;
        Ok(spool)
    }

    /// The folder of the ledger.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The folder of one claimed file.
    pub fn folder(&self, arrival: Arrival) -> PathBuf {
        self.files().join(format!("{:020}", arrival.0))
    }

    /// The claimed bytes.
    pub fn data(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("data")
    }

    /// The bytes while they are copied from another file system.
    pub fn part(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("data.part")
    }

    /// What inspection learnt.
    pub fn inspection(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("inspection.json")
    }

    /// Whose records they are, of a file that is worked again.
    pub fn origin(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("origin.json")
    }

    /// In which folders and under which names its results were begun.
    pub fn places(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("results.json")
    }

    /// The pinned mapping and tables of this hash.
    pub fn bundle(&self, hash: &str) -> PathBuf {
        self.bundles().join(format!("{hash}.json"))
    }

    /// The hashes of all pinned mappings, and where they lie.
    pub fn pinned(&self) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.bundles())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(hash) = path.file_stem().and_then(|stem| stem.to_str())
            {
                all.push((hash.to_owned(), path.clone()));
            }
        }
        Ok(all)
    }

    /// Where the quarantined records of a settled file lie, with their problems.
    pub fn quarantined(&self, arrival: Arrival) -> PathBuf {
        self.quarantine().join(format!("{:020}", arrival.0))
    }

    /// The folder of the notifications that are still to be worked on.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// What the notification of this number says.
    pub fn event(&self, number: u64) -> PathBuf {
        self.events().join(format!("{number}.json"))
    }

    /// The folder of the documents that are still to be written as files for the ERP.
    pub fn payloads(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// What the document of this name says.
    pub fn payload(&self, name: &str) -> PathBuf {
        self.payloads().join(format!("{name}.json"))
    }

    /// The arrivals whose folders lie in the spool.
    pub fn arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        for entry in fs::read_dir(self.files())? {
            if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                arrivals.push(Arrival(number));
            }
        }
        arrivals.sort();
        Ok(arrivals)
    }

    /// The arrivals that left something in quarantine.
    pub fn quarantined_arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        for entry in fs::read_dir(self.quarantine())? {
            if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                arrivals.push(Arrival(number));
            }
        }
        arrivals.sort();
        Ok(arrivals)
    }

    /// The folders of an arrival's rounds in quarantine; none if nothing is kept of it.
    pub fn quarantined_rounds(&self, arrival: Arrival) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.quarantined(arrival);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries,
        };
        let rounds: io::Result<Vec<PathBuf>> =
            entries.and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
        rounds.with_context(|| format!("{} cannot be read", folder.display()))
    }

    /// Where the looks into a source's folder are remembered between runs.
    pub fn looks(&self, customer: &str, source: &str) -> PathBuf {
        self.root.join("looks").join(customer).join(format!("{source}.json"))
    }

    /// Where it is remembered between runs up to when a source's schedule was kept.
    pub fn last_look(&self, customer: &str, source: &str) -> PathBuf {
        self.root.join("looks").join(customer).join(format!("{source}.last"))
    }

    /// Makes the folder of a file that is being claimed, with its slip.
    pub fn prepare(&self, arrival: Arrival, slip: &Slip) -> anyhow::Result<()> {
        let folder = self.folder(arrival);
        disk::make_folder(&folder, 0o700)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        write_whole(&folder.join("slip.json"), &serde_json::to_vec_pretty(slip)?, 0o600)
    }

    /// Who the file of this arrival belongs to, if its slip can be read.
    pub fn slip(&self, arrival: Arrival) -> Option<Slip> {
        let bytes = fs::read(self.folder(arrival).join("slip.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Removes what lies of an arrival in the spool.
    pub fn remove(&self, arrival: Arrival) -> io::Result<()> {
        disk::remove_folder(&self.folder(arrival))?;
        disk::sync_folder(&self.files())
    }

    /// Moves what lies of an arrival out of the spool, to where nothing works on it; tells where.
    pub fn set_aside(&self, arrival: Arrival) -> anyhow::Result<PathBuf> {
        let aside = self.root.join("aside");
        let to = aside.join(format!("{:020}", arrival.0));
        let moved = disk::make_folder(&aside, 0o700)
            .and_then(|()| disk::rename(&self.folder(arrival), &to))
            .and_then(|()| disk::sync_folder(&aside))
            .and_then(|()| disk::sync_folder(&self.files()));
        moved.with_context(|| format!("{} cannot be made", to.display()))?;
        Ok(to)
    }

    /// Appends problems to the journal of a file and makes them durable.
    pub fn note_problems(&self, arrival: Arrival, problems: &[Problem]) -> anyhow::Result<()> {
        journal::note(&self.journal(arrival), problems)
    }

    /// The problems of a file so far, by record.
    pub fn problems(&self, arrival: Arrival) -> anyhow::Result<Problems> {
        Problems::read(&self.journal(arrival))
    }

    /// Keeps in a file's journal only the problems that `keep` picks.
    pub fn retain_problems(
        &self,
        arrival: Arrival,
        keep: impl Fn(&Problem) -> bool,
    ) -> anyhow::Result<()> {
        journal::retain(&self.journal(arrival), keep)
    }

    /// Appends late answers to the journal of a file and makes them durable.
    pub fn note_late(&self, arrival: Arrival, answers: &[LateAnswer]) -> anyhow::Result<()> {
        journal::note(&self.late(arrival), answers)
    }

    /// The late answers of a file so far, by record; of one record in the order in which they came.
    pub fn late_answers(&self, arrival: Arrival) -> anyhow::Result<Sorted<LateAnswer>> {
        Sorted::read(&self.late(arrival))
    }

    /// Forgets the late answers of a file that begins anew.
    pub fn forget_late(&self, arrival: Arrival) -> io::Result<()> {
        disk::remove(&self.late(arrival))
    }

    fn late(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("late.ndjson")
    }

    fn journal(&self, arrival: Arrival) -> PathBuf {
        self.folder(arrival).join("problems.ndjson")
    }

    fn files(&self) -> PathBuf {
        self.root.join("spool")
    }

    fn bundles(&self) -> PathBuf {
        self.root.join("mappings")
    }

    fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }
}

/// Writes a file of the state whole or not at all, replacing what was there.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    disk::write_whole(path, bytes, mode)
        .with_context(|| format!("{} cannot be written", path.display()))
}
