//! The lock on a state folder: one process holds it, and says who it is.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Who holds the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What the holder wrote: its process and since when.
    pub by: String,
}

impl StateLock {
    /// Takes the lock, waiting so long for another process to let go; or says who holds it.
    pub async fn take(state: &Path, patience: Duration) -> anyhow::Result<Result<StateLock, Held>> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
        made.with_context(|| format!("{} cannot be made", state.display()))?;
        let path = state.join("lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let by = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                    return Ok(Err(Held { by }));
                }
                Err(fs::TryLockError::Error(error)) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be locked", path.display()));
                }
            }
        }
        let now = jiff::Timestamp::now().round(jiff::Unit::Second)?;
        file.set_len(0)?;
        writeln!(file, "process {} since {now}", std::process::id())?;
        Ok(Ok(StateLock { _file: file }))
    }
}
