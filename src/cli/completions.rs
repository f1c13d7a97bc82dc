//! `lighterman completions`: what a shell needs to complete the commands.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, WELL};

#[derive(Debug, Args)]
pub struct Options {
    /// The shell
    shell: Shell,
}

pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    generate(options.shell, &mut Arguments::command(), "lighterman", &mut script);
    super::say(&String::from_utf8(script)?)?;
    Ok(WELL)
}
