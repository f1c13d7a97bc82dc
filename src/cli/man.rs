//! `lighterman man`: a man page for each command, as the package has them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::{Arguments, WELL};

#[derive(Debug, Args)]
pub struct Options {
    /// The folder to write into; it is made if it is not there
    folder: PathBuf,
}

pub fn run(options: &Options) -> anyhow::Result<u8> {
    let folder = &options.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
        .with_context(|| format!("the man pages cannot be written to {}", folder.display()))?;
    Ok(WELL)
}
