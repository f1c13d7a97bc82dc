//! `lighterman ledger`: what is done to the ledger as a whole, while no run holds the state.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use super::{FATAL, LATER, Setting, WELL};
use crate::config::Config;
use crate::disk::sync_folder;
use crate::ledger::{renewal, salvage, transfer};
use crate::repair::{self, Repaired};
use crate::spool::Spool;
use crate::worker::StateLock;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write every entry as a line of JSON, to a file or to stdout
    Export {
        /// A file that is not there yet
        file: Option<PathBuf>,
    },
    /// Fill an empty ledger with an export
    Import {
        /// The export
        file: PathBuf,
    },
    /// Save what can be read of a damaged ledger, and tell what was lost
    Repair,
    /// Write what can be read of the copy of a damaged ledger
    #[command(hide = true)]
    Salvage {
        /// The copy
        folder: PathBuf,
    },
    /// Give back the room that the ledger no longer needs
    Compact,
}

pub async fn run(setting: &Setting, action: Action) -> anyhow::Result<u8> {
    if let Action::Salvage { folder } = action {
        return salvage(&folder);
    }
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let _lock = match StateLock::take(&config.state, Duration::ZERO).await? {
        Ok(lock) => lock,
        Err(held) => {
            eprintln!(
                "lighterman: {} is held by {}; stop it first",
                config.state.display(),
                held.by
            );
            return Ok(LATER);
        }
    };
    let spool = Spool::open(&config.state)?;
    let folder = spool.ledger();
    tokio::task::spawn_blocking(move || match action {
        Action::Export { file: Some(file) } => export(&folder, &file),
        Action::Export { file: None } => {
            let mut out = BufWriter::new(std::io::stdout());
            transfer::export(&folder, &mut out)?;
            out.flush()?;
            Ok(WELL)
        }
        Action::Import { file } => import(&folder, &file),
        Action::Repair => repair(&config, &spool),
        // It needs no config and holds no state.
        Action::Salvage { folder } => salvage(&folder),
        Action::Compact => {
            let (before, after) = renewal::compact(&folder)?;
            eprintln!("the ledger took {} KiB and takes {} KiB now", before >> 10, after >> 10);
            Ok(WELL)
        }
    })
    .await?
}

fn repair(config: &Config, spool: &Spool) -> anyhow::Result<u8> {
    let Repaired { findings, kept } = repair::repair(config, spool)?;
    if findings.is_empty() {
        println!("nothing is wrong with the ledger; nothing was changed");
        return Ok(WELL);
    }
    for finding in findings {
        println!("{finding}");
    }
    if let Some(kept) = kept {
        println!("the damaged ledger is kept in {}; remove it once all is well", kept.display());
    }
    println!("the ledger is made anew; prove it with: lighterman check-ledger");
    Ok(WELL)
}

fn salvage(folder: &Path) -> anyhow::Result<u8> {
    let mut out = BufWriter::new(std::io::stdout());
    Ok(match salvage::write_pairs(folder, &mut out)? {
        0 => WELL,
        _ => FATAL,
    })
}

/// Written whole or not at all, for its owner's eyes only, over nothing that is there.
fn export(folder: &Path, file: &Path) -> anyhow::Result<u8> {
    let at = match file.parent() {
        Some(at) if !at.as_os_str().is_empty() => at,
        _ => Path::new("."),
    };
    let write = || -> anyhow::Result<u64> {
        let mut out = BufWriter::new(tempfile::NamedTempFile::new_in(at)?);
        let lines = transfer::export(folder, &mut out)?;
        let whole = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        whole.as_file().sync_all()?;
        whole.persist_noclobber(file)?;
        sync_folder(at)?;
        Ok(lines)
    };
    let lines = write().with_context(|| format!("{} is not written", file.display()))?;
    eprintln!("{lines} lines are in {}", file.display());
    Ok(WELL)
}

fn import(folder: &Path, file: &Path) -> anyhow::Result<u8> {
    let open = || {
        let opened = File::open(file).map(BufReader::new);
        opened.with_context(|| format!("{} cannot be read", file.display()))
    };
    let faults = transfer::check(open()?)?;
    if !faults.is_empty() {
        for fault in faults {
            eprintln!("{}, {fault}", file.display());
        }
        eprintln!("lighterman: nothing was imported");
        return Ok(FATAL);
    }
    renewal::import(folder, open()?)?;
    eprintln!("the ledger holds what {} says", file.display());
    Ok(WELL)
}
