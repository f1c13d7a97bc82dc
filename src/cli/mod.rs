//! The commands, one file each. Machine output goes to stdout, everything else to stderr.

mod ask;
mod check;
mod check_ledger;
mod completions;
mod connect;
mod cpu;
mod demo;
mod forget;
mod ledger;
mod log;
mod man;
mod notify;
mod outbox;
mod preview;
mod quarantine;
mod progress;
mod reach;
mod resend;
mod run;
mod sandbox;
mod scr;
mod status;
mod sum;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::section::parse_duration;
use crate::config::{self, Config, Fault, Loaded};

/// Exit status: all is well.
pub const WELL: u8 = 0;
/// Exit status: the configuration or the state cannot be used.
pub const FATAL: u8 = 1;
/// Exit status: the command must say more, or something else.
pub const USAGE: u8 = 2;
/// Exit status: something was newly quarantined.
pub const QUARANTINED: u8 = 3;
/// Exit status: a person is needed.
pub const PERSON: u8 = 4;
/// Exit status: work is left for later, or another process holds the state
/// (sysexits.h, `EX_TEMPFAIL`).
pub const LATER: u8 = 75;

/// Carries data from systems that can only drop files to the port's APIs.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The provider's file [default: ./lighterman.toml, then /etc/lighterman/lighterman.toml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// The environment to work in, instead of the one that the config names
    #[arg(long, global = true, value_name = "NAME")]
    environment: Option<String>,
    /// How log lines are written to stderr [default: text; entries with fields where stderr is the
    /// journal's]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<log::Format>,
    /// Tell more (-vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Tell only what is wrong
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do the main job on the samples, against the built-in stand-in of the port's servers
    Demo(demo::Options),
    /// Work: as a daemon, or once with --once
    Run(run::Options),
    /// Check config, mappings, tables, secrets and keys
    Check(check::Options),
    /// Show what would be sent of a file, and every problem; sends nothing
    Preview(preview::Options),
    /// Show what is where, per customer and file, and the alarms
    Status(status::Options),
    /// What was set aside: look at it, try it again, or discard it
    #[command(subcommand)]
    Quarantine(quarantine::Action),
    /// What waits to be written for the customers' own systems: look at it, or discard it
    Outbox(outbox::Options),
    /// Send delivered records again that the receiver lost
    Resend(resend::Options),
    /// Ask an SCR API: releases, pins, connections, invitations, subscriptions
    #[command(subcommand)]
    Scr(scr::Action),
    /// Ask Certified Pick up: its phone book of companies
    #[command(subcommand)]
    Cpu(cpu::Action),
    /// Prove that every record is accounted for
    CheckLedger,
    /// Take a customer out, with its account as files
    Forget(forget::Options),
    /// Write the ledger as text, read it back, make it smaller
    #[command(subcommand)]
    Ledger(ledger::Action),
    /// Run the stand-in of the port's servers alone
    Sandbox(sandbox::Options),
    /// Write what a shell needs to complete these commands
    Completions(completions::Options),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(man::Options),
}

/// Runs a command; the number is the exit status.
pub async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let setting = Setting { config: arguments.config, environment: arguments.environment };
    match arguments.command {
        Command::Demo(options) => demo::run(options).await,
        Command::Run(options) => run::run(&setting, options).await,
        Command::Check(options) => check::run(&setting, options).await,
        Command::Preview(options) => preview::run(&setting, options),
        Command::Status(options) => status::run(&setting, options).await,
        Command::Quarantine(action) => quarantine::run(&setting, action).await,
        Command::Outbox(options) => outbox::run(&setting, options).await,
        Command::Resend(options) => resend::run(&setting, options).await,
        Command::Scr(action) => scr::run(&setting, action).await,
        Command::Cpu(action) => cpu::run(&setting, action).await,
        Command::CheckLedger => check_ledger::run(&setting).await,
        Command::Forget(options) => forget::run(&setting, options).await,
        Command::Ledger(action) => ledger::run(&setting, action).await,
        Command::Sandbox(options) => sandbox::run(options).await,
        Command::Completions(options) => completions::run(options),
        Command::Man(options) => man::run(&options),
    }
}

/// Starts the log.
pub fn start_log(arguments: &Arguments) {
    let level = match (arguments.quiet, arguments.verbose) {
        // What the samples' faults make the log say, the demo tells itself.
        (_, 0) if matches!(arguments.command, Command::Demo(_)) => "lighterman=error",
        (true, _) => "lighterman=warn",
        (false, 0) => "lighterman=info",
        (false, 1) => "lighterman=debug",
        (false, _) => "lighterman=trace,info",
    };
    log::start(level, arguments.log_format);
}

/// Which configuration a command works with.
#[derive(Clone)]
struct Setting {
    config: Option<PathBuf>,
    environment: Option<String>,
}

impl Setting {
    /// The configuration; or, with everything that is wrong told on stderr, none.
    fn load(&self) -> Option<Config> {
        told(config::load(self.config.as_deref(), self.environment.as_deref()))
    }

    /// As `load`, of the provider's file alone.
    fn load_provider(&self) -> Option<Config> {
        told(config::load_provider(self.config.as_deref(), self.environment.as_deref()))
    }

    /// As `load`, for a daemon that goes on with what it has if there is none.
    fn reload(&self) -> Result<Config, Vec<Fault>> {
        let loaded = config::load(self.config.as_deref(), self.environment.as_deref())?;
        tell(&loaded.warnings);
        Ok(loaded.config)
    }

    /// As `load`, for commands that only look and need no secrets.
    fn load_to_look(&self) -> Option<Config> {
        told(config::load_to_look(self.config.as_deref(), self.environment.as_deref()))
    }
}

fn told(loaded: Result<Loaded, Vec<Fault>>) -> Option<Config> {
    match loaded {
        Ok(loaded) => {
            tell(&loaded.warnings);
            Some(loaded.config)
        }
        Err(faults) => {
            tell(&faults);
            None
        }
    }
}

fn tell(faults: &[Fault]) {
    for fault in faults {
        eprintln!("{fault}");
    }
}

/// Prints machine output. Whoever closes the pipe has read enough.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => parse_duration(text).ok_or_else(|| "a time span such as \"30s\" or \"5m\"".to_owned()),
    }
}
