//! The log: lines on stderr; or, where stderr is the journal's, entries with fields.

use std::io::IsTerminal;

use clap::ValueEnum;
use rustix::fs::fstat;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use super::progress;

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts it, with what is at least of this level. A format that was asked for wins over the journal.
pub fn start(level: &str, format: Option<Format>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = || {
        fmt::layer()
            .with_writer(|| progress::LogLines)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
    };
    let layer = match format {
        Some(Format::Text) => lines().boxed(),
        Some(Format::Json) => lines().json().flatten_event(true).boxed(),
        None => journal().map_or_else(|| lines().boxed(), Layer::boxed),
    };
    registry().with(layer).with(filter).init();
}

/// The journal, if stderr is connected to it and it can be reached. `customer` is
/// `LIGHTERMAN_CUSTOMER` there: names of its own keep clear of the journal's.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let stderr = fstat(std::io::stderr()).ok()?;
    if !is_stream(&stream, stderr.st_dev, stderr.st_ino) {
        return None;
    }
    let journal = tracing_journald::layer().ok()?;
    Some(
        journal
            .with_field_prefix(Some("LIGHTERMAN".to_owned()))
            .with_syslog_identifier("lighterman".to_owned())
            .with_priority_mappings(PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            }),
    )
}

/// Whether `$JOURNAL_STREAM` speaks of this file: its device and inode in decimal, with a colon
/// between (systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager").
fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    let numbers = stream.split_once(':');
    numbers.is_some_and(|(of_device, of_inode)| {
        of_device.parse() == Ok(device) && of_inode.parse() == Ok(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_the_variable_speaks_of_is_the_journal() {
        assert!(is_stream("8:18446744073709551615", 8, u64::MAX));
        for other in ["", "8", "8:", "8:77", "9:8", "8:9:10", "0x8:9", ":"] {
            assert!(!is_stream(other, 8, 9), "{other}");
        }
    }
}
