//! The whole path, measured: a large CSV file from its folder to a server that costs next to
//! nothing, stage by stage, beside a bare loop that does the same without keeping any account.
//! Each part runs in a process of its own, so that its time and memory are its own.
//!
//! `cargo bench --bench whole_path -- [--only PART,…] [--records N] [--rounds N] [--calls N]
//! [--files N] [--mib N]`

mod bare;
mod daemon;
mod files;
mod measure;
mod path;
mod poster;
mod receiver;
mod records;
mod report;
mod scr;
mod server;
mod sftp;
mod sshd;
mod stages;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use files::Files;
use measure::Figures;
use report::Report;
use server::Remote;

/// The parts, in the order in which a round runs them.
const PARTS: [&str; 24] = [
    "bare",
    "inspect",
    "read",
    "map",
    "post",
    "send",
    "commit",
    "limit",
    "whole",
    "latency",
    "start",
    "idle",
    "scr-plain",
    "scr",
    "receiver",
    "receiver-most",
    "openssh-big",
    "sftp-big",
    "openssh-big-gcm",
    "openssh-big-fsync",
    "openssh-small",
    "sftp-small",
    "sftp-small-kept",
    "local-small",
];
/// How many of them are run unless others are named: those about the large file.
const LARGE: usize = 9;

/// What the command line asks for.
struct Options {
    only: Vec<String>,
    records: u64,
    rounds: usize,
    calls: u64,
    /// Small files, and MiB of the large one, over SFTP.
    files: u64,
    mib: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve"] => return server::serve(),
        ["sandbox", calls] => return scr::sandbox(calls.parse()?),
        ["callbacks", at, calls, rate] => {
            return receiver::callbacks(at, calls.parse()?, rate.parse()?);
        }
        // For a profiler: writes what a part needs, so that the part can be run by itself.
        ["files", root, records] => {
            return Files::at(Path::new(root)).write(records.parse()?).map(drop);
        }
        ["part", name, root, records, server] => {
            let figures = part(name, Path::new(root), records.parse()?, server)?;
            println!("{}", serde_json::to_string(&figures)?);
            return Ok(());
        }
        arguments if !arguments.contains(&"--bench") => {
            // `cargo test --benches` starts this program too, and wants no million records.
            println!("nothing is measured without --bench: cargo bench --bench whole_path");
            return Ok(());
        }
        _ => {}
    }
    run(&options(&arguments)?)
}

fn options(arguments: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        only: PARTS[..LARGE].iter().map(|part| (*part).to_owned()).collect(),
        records: 1_000_000,
        rounds: 5,
        calls: 10_000,
        files: 5_000,
        mib: 1024,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--records" => options.records = value()?.replace('_', "").parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--calls" => options.calls = value()?.replace('_', "").parse()?,
            "--files" => options.files = value()?.replace('_', "").parse()?,
            "--mib" => options.mib = value()?.replace('_', "").parse()?,
            other => bail!(
                "unknown option {other}: known are --only, --records, --rounds, --calls, --files, \
                 --mib"
            ),
        }
    }
    if let Some(unknown) = options.only.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("unknown part {unknown}: known are {}", PARTS.join(", "));
    }
    Ok(options)
}

fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let files = Files::at(folder.path());
    let size = files.write(options.records)?;
    println!(
        "{} records of {} bytes in {}, {} round(s)",
        options.records,
        size / options.records.max(1),
        folder.path().display(),
        options.rounds
    );
    let mut report = Report::new(options.records, options.calls);
    for round in 1..=options.rounds {
        for name in PARTS.iter().filter(|part| options.only.iter().any(|only| only == *part)) {
            let slow = name.starts_with("scr") || name.starts_with("receiver");
            if slow && round > 1 {
                continue;
            }
            eprintln!("round {round}: {name}");
            let figures = match slow {
                true => measured(
                    name,
                    folder.path(),
                    options.calls,
                    &scr::Sandboxed::start(options.calls)?.url,
                )?,
                false => {
                    let server = Remote::start()?;
                    let count = match *name {
                        name if name.contains("-big") => options.mib,
                        name if name.contains("-small") => options.files,
                        _ => options.records,
                    };
                    let mut figures = measured(name, folder.path(), count, &server.url)?;
                    figures.server = server::counted(&server.url)?;
                    figures
                }
            };
            report.add(name, figures);
        }
    }
    println!("{report}");
    Ok(())
}

/// Runs one part in a process of its own.
fn measured(name: &str, root: &Path, count: u64, server: &str) -> anyhow::Result<Figures> {
    let program: PathBuf = std::env::current_exe()?;
    let output = Command::new(program)
        .args(["part", name])
        .arg(root)
        .args([&count.to_string(), server])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("the part {name} cannot be started"))?;
    if !output.status.success() {
        bail!("the part {name} failed");
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("the part {name} told nothing"))
}

fn part(name: &str, root: &Path, count: u64, server: &str) -> anyhow::Result<Figures> {
    let files = Files::at(root);
    match name {
        "bare" => bare::run(&files),
        "limit" => bare::run_and_post(&files, server),
        "inspect" => stages::inspect(&files, server),
        "read" => stages::read(&files, server),
        "map" => stages::map(&files, server),
        "post" => stages::post(&files, server),
        "send" => stages::send(&files, server),
        "commit" => stages::commit(&files, count),
        "whole" => path::run(&files, server),
        "latency" => daemon::latency(&files, server),
        "idle" => daemon::idle(&files, server),
        "start" => daemon::start(&files, server),
        "scr-plain" => scr::plain(count, server),
        "scr" => scr::run(&files, count, server),
        "receiver" => receiver::run(&files, count, server, false),
        "receiver-most" => receiver::run(&files, count, server, true),
        "openssh-big" => sftp::openssh_big(&files, count, &[]),
        "openssh-big-gcm" => sftp::openssh_big(&files, count, &["-c", "aes128-gcm@openssh.com"]),
        "openssh-big-fsync" => sftp::openssh_big(&files, count, &["-f"]),
        "openssh-small" => sftp::openssh_small(&files, count),
        "sftp-big" => sftp::big_file(&files, count, server),
        "sftp-small" => sftp::small_files(&files, count, server),
        "sftp-small-kept" => sftp::small_files_kept(&files, count, server),
        "local-small" => sftp::local_small(&files, count, server),
        other => bail!("there is no part {other}"),
    }
}
