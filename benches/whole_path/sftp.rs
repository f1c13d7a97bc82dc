//! Sftp: a partner's files over a session on loopback, beside what OpenSSH's own client takes for
//! them: one large file, and many small ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lighterman::config::Config;
use lighterman::worker::{self, Span};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::files::{CUSTOMER, Files, customer, load};
use crate::measure::{Figures, Meter, now};
use crate::records;
use crate::server::counted;
use crate::sshd::{Sshd, run};

/// Bytes of what the large file is made of.
const PIECE: usize = 1 << 20;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// OpenSSH's client downloads the large file of so many MiB, with the cipher it prefers or another.
pub fn openssh_big(files: &Files, mib: u64, options: &[&str]) -> anyhow::Result<Figures> {
    let partner = big(files, mib)?;
    openssh(files, &partner, mib, options)
}

/// OpenSSH's client downloads so many small files.
pub fn openssh_small(files: &Files, count: u64) -> anyhow::Result<Figures> {
    let partner = small(&files.root, count)?;
    openssh(files, &partner, count, &[])
}

/// Lighterman takes the large file: until it lies in the spool and is noted as ours.
pub fn big_file(files: &Files, mib: u64, server: &str) -> anyhow::Result<Figures> {
    let partner = big(files, mib)?;
    ours(files, &partner, "*", "\"keep\"", (1, mib), server)
}

/// Lighterman takes so many small files: until all lie in the spool and are noted as ours.
pub fn small_files(files: &Files, count: u64, server: &str) -> anyhow::Result<Figures> {
    let partner = small(&files.root, count)?;
    ours(files, &partner, "*.csv", "\"delete\"", (count, count), server)
}

/// The same where they stay at the partner's.
pub fn small_files_kept(files: &Files, count: u64, server: &str) -> anyhow::Result<Figures> {
    let partner = small(&files.root, count)?;
    ours(files, &partner, "*.csv", "\"keep\"", (count, count), server)
}

/// Lighterman takes so many small files from a local folder: until all are settled.
pub fn local_small(files: &Files, count: u64, server: &str) -> anyhow::Result<Figures> {
    let home = files.home("local-small")?;
    customer(&home, CUSTOMER)?;
    let config = load(&home, server)?;
    let source = config.customers.get(CUSTOMER).and_then(|customer| customer.sources.get("erp"));
    let folder = source.and_then(|source| source.local_folder()).context("no source")?.to_owned();
    write_small(&folder, count)?;
    let (figures, took) = follow(config, (count, count), server, || true)?;
    let note = format!("claimed after {:.2} s, {}", took.ours, took.told());
    Ok(Figures { seconds: took.settled, note, ..figures })
}

fn ours(
    files: &Files,
    partner: &Path,
    pattern: &str,
    after: &str,
    (count, units): (u64, u64),
    server: &str,
) -> anyhow::Result<Figures> {
    let sshd = Sshd::start(&files.root)?;
    let home = files.home("sftp")?;
    customer(&home, CUSTOMER)?;
    let file = home.join(format!("customers/{CUSTOMER}.toml"));
    let text = fs::read_to_string(&file)?;
    let local = "type  = \"local\"\npath  = \"../inbox/acme\"\n";
    let remote = format!(
        "type = \"sftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\npath = \"{}\"\n\
         key = {{ file = \"{}\" }}\nknown_hosts = \"{}\"\nafter = {after}\n",
        sshd.port,
        sshd.user,
        partner.display(),
        sshd.path("client").display(),
        sshd.path("known_hosts").display(),
    );
    fs::write(&file, text.replace(local, &remote).replace("\"*.csv\"", &format!("{pattern:?}")))?;
    let config = load(&home, server)?;
    let is_put_away = || {
        after != "\"delete\"" || fs::read_dir(partner).is_ok_and(|mut left| left.next().is_none())
    };
    let (figures, took) = follow(config, (count, units), server, is_put_away)?;
    Ok(Figures { note: took.told(), ..figures })
}

/// When what had come to pass with all files, in seconds from the start.
#[derive(Default)]
struct Took {
    ours: f64,
    put_away: f64,
    delivered: f64,
    settled: f64,
}

impl Took {
    fn told(&self) -> String {
        format!(
            "put away after {:.2} s, delivered after {:.2} s, settled after {:.2} s",
            self.put_away, self.delivered, self.settled
        )
    }
}

/// Runs the program until all files are settled, or only until they are ours if it is one: what
/// comes then is measured by other parts.
fn follow(
    config: Config,
    (count, units): (u64, u64),
    server: &str,
    is_put_away: impl Fn() -> bool,
) -> anyhow::Result<(Figures, Took)> {
    let told = Arc::<Mutex<BTreeMap<&str, u64>>>::default();
    let counter = Counter(Arc::clone(&told));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(counter))?;
    let of = |word: &str| {
        told.lock().unwrap_or_else(PoisonError::into_inner).get(word).copied().unwrap_or(0)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let parts = Arc::new(worker::assemble(config)?);
    let stop = CancellationToken::new();
    let (meter, began, began_at) = (Meter::start(), Instant::now(), now());
    let span = Span::Once { wait: Duration::from_secs(60) };
    let run = runtime.spawn(worker::run(parts, span, stop.clone()));
    let mut took = Took::default();
    let mut figures = Figures::default();
    loop {
        std::thread::sleep(Duration::from_millis(2));
        let since = began.elapsed();
        if took.ours == 0.0 && of("Claimed") == count {
            took.ours = since.as_secs_f64();
            figures = meter.stop(units);
        }
        if took.ours > 0.0 && took.put_away == 0.0 && is_put_away() {
            took.put_away = since.as_secs_f64();
        }
        if took.settled == 0.0 && of("Settled") == count {
            took.settled = since.as_secs_f64();
        }
        let is_done = took.put_away > 0.0 && (count == 1 || took.settled > 0.0);
        if took.ours > 0.0 && is_done {
            break;
        }
        if run.is_finished() || since > PATIENCE {
            bail!("it ended with {} claimed and {} settled", of("Claimed"), of("Settled"));
        }
    }
    if count > 1 {
        let seen = counted(server)?;
        if seen.messages != count {
            bail!("{} messages came of {count} files", seen.messages);
        }
        took.delivered = seen.last - began_at;
    }
    stop.cancel();
    runtime.block_on(run)??;
    Ok((figures, took))
}

/// Counts what the program tells of files: that they are claimed, and settled.
struct Counter(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl<S: tracing::Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        for word in ["Claimed", "Settled"] {
            if message.0.starts_with(word) {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_default() +=
                    1;
            }
        }
        if *event.metadata().level() <= tracing::Level::WARN {
            eprintln!("{}", message.0);
        }
    }
}

/// `sftp` in batch mode gets all files of a folder over one connection.
fn openssh(files: &Files, partner: &Path, count: u64, options: &[&str]) -> anyhow::Result<Figures> {
    let sshd = Sshd::start(&files.root)?;
    let to = files.home("openssh")?;
    let (fsync, options) = match options {
        ["-f", rest @ ..] => ("-f ", rest),
        all => ("", all),
    };
    let batch = sshd.path("batch");
    fs::write(&batch, format!("lcd {}\ncd {}\nget {fsync}*\n", to.display(), partner.display()))?;
    let meter = Meter::start();
    let began = Instant::now();
    run(Command::new("sftp")
        .args(options)
        .args(["-q", "-F", "none", "-P", &sshd.port.to_string(), "-b"])
        .arg(&batch)
        .arg("-i")
        .arg(sshd.path("client"))
        .arg(format!("-oUserKnownHostsFile={}", sshd.path("known_hosts").display()))
        .arg(format!("{}@127.0.0.1", sshd.user)))?;
    let seconds = began.elapsed().as_secs_f64();
    let came = fs::read_dir(&to)?.count();
    if came != fs::read_dir(partner)?.count() + 1 {
        bail!("{came} files came");
    }
    fs::remove_dir_all(&to)?;
    Ok(Figures { seconds, ..meter.stop(count) })
}

/// The partner's folder with the large file, of bytes that are no records.
fn big(files: &Files, mib: u64) -> anyhow::Result<PathBuf> {
    let partner = files.root.join("partner-big");
    fs::create_dir_all(&partner)?;
    let path = partner.join("big.bin");
    if fs::metadata(&path).is_ok_and(|there| there.len() == mib << 20) {
        return Ok(partner);
    }
    let mut piece = vec![0; PIECE];
    let mut file = File::create(&path)?;
    for number in 0..mib {
        for (place, byte) in piece.iter_mut().enumerate() {
            *byte = (place.wrapping_mul(31) ^ (place >> 8)).wrapping_add(number as usize) as u8;
        }
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(partner)
}

/// The partner's folder with files of one record each.
fn small(root: &Path, count: u64) -> anyhow::Result<PathBuf> {
    let partner = root.join("partner-small");
    fs::create_dir_all(&partner)?;
    write_small(&partner, count)?;
    Ok(partner)
}

fn write_small(folder: &Path, count: u64) -> anyhow::Result<()> {
    let mut record = Vec::new();
    records::write(1, &mut record)?;
    for number in 0..count {
        // Each file has an identity of its own.
        let mut text = record.clone();
        let at = records::HEADER.len() + 1;
        text[at..at + 10].copy_from_slice(format!("{number:010}").as_bytes());
        fs::write(folder.join(format!("ORDER_{number:06}.csv")), text)?;
    }
    // What is still to be written to disk would be written while others are measured.
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}
