//! Fetch: a remote file comes into the spool, whole and unchanged, or not at all. A download that
//! breaks off goes on where it stopped.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::listing::look;
use crate::disk;
use crate::model::Arrival;
use crate::sftp::Session;
use crate::spool::{Slip, Spool};

/// Bytes that are asked for at once.
const PIECE: usize = 1 << 20;

/// The least that is asked for: with it, the end of a small file comes along with its bytes.
const SMALL: usize = 8 << 10;

/// After so many bytes they are made durable, and from there a download goes on.
const DURABLE: u64 = 32 << 20;

/// Pieces that wait for the disk at most.
const WAITING: usize = 8;

/// What became of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Download {
    /// The file lies in the spool.
    Whole,
    /// It has gone, or changed since it was looked at: it is to be looked at again.
    Changed,
    /// The run is over, or time was up: the download goes on later.
    Stopped,
}

/// Downloads the file that a slip tells of. What lies in the spool of it already is not asked for
/// again, unless the remote file has changed.
pub fn fetch(
    session: &Session,
    path: &str,
    spool: &Spool,
    arrival: Arrival,
    slip: &Slip,
    stop: &CancellationToken,
) -> anyhow::Result<Download> {
    let data = spool.data(arrival);
    if data.exists() {
        // Its name may not be durable yet.
        disk::sync_folder(&spool.folder(arrival))
            .with_context(|| format!("{} cannot be written", data.display()))?;
        return Ok(Download::Whole);
    }
    let Some(seen) = slip.look else { return Ok(Download::Changed) };
    let is_as_seen = || -> anyhow::Result<bool> {
        Ok(session.stat(path)?.is_some_and(|stat| look(&stat) == seen))
    };
    if !is_as_seen()? {
        return Ok(Download::Changed);
    }
    spool.prepare(arrival, slip)?;
    let part = spool.part(arrival);
    let (mut file, had) = go_on(&part).with_context(|| format!("{}", part.display()))?;
    if !download(session, path, had, &mut file, &part, seen.size, stop)? {
        return Ok(Download::Stopped);
    }
    let came = file.metadata()?.len();
    if !is_as_seen()? {
        return Ok(Download::Changed);
    }
    if came != seen.size {
        bail!("{path} has {} bytes, but {came} came; it is fetched anew", seen.size);
    }
    disk::sync(&file, &part)
        .and_then(|()| disk::rename(&part, &data))
        .and_then(|()| disk::sync_folder(&spool.folder(arrival)))
        .with_context(|| format!("{} cannot be written", data.display()))?;
    Ok(Download::Whole)
}

/// Opens what an earlier download left, cut back to what is surely durable; or a new file.
fn go_on(part: &std::path::Path) -> io::Result<(File, u64)> {
    let mut file = match File::options().read(true).write(true).open(part) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok((disk::create(part, 0o600)?, 0));
        }
        opened => opened?,
    };
    let length = file.metadata()?.len();
    let durable = length - length % DURABLE;
    file.set_len(durable)?;
    file.seek(SeekFrom::Start(durable))?;
    Ok((file, durable))
}

/// Copies the remote file from this byte on; `false` if it was stopped before its end. Reading and
/// writing go on side by side.
fn download(
    session: &Session,
    path: &str,
    from: u64,
    file: &mut File,
    part: &std::path::Path,
    size: u64,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let mut remote = session.read(path, from)?;
    let cannot = || format!("{} cannot be written", part.display());
    let left = size - from.min(size);
    if left <= PIECE as u64 {
        // A byte more than there should be shows that it grows.
        let mut bytes = vec![0; (left as usize + 1).max(SMALL)];
        let filled = fill(&mut remote, &mut bytes)?;
        disk::write(file, part, &bytes[..filled]).with_context(cannot)?;
        return Ok(true);
    }
    let (pieces, queue) = mpsc::sync_channel::<Vec<u8>>(WAITING);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(file, part, from, queue));
        let read = read(&mut remote, size - from, pieces, stop);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer failed")));
        // Once writing fails nothing more is read: the disk's fault is the one to tell.
        written.with_context(cannot)?;
        read.with_context(|| format!("{path} cannot be read on"))
    })
}

/// Reads pieces until the end; `false` if it was stopped before.
fn read(
    remote: &mut impl Read,
    expected: u64,
    pieces: SyncSender<Vec<u8>>,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let mut left = expected;
    loop {
        if stop.is_cancelled() {
            return Ok(false);
        }
        // One that grows without end is not followed.
        let most = (left + 1).min(PIECE as u64) as usize;
        let mut piece = vec![0; most];
        let filled = fill(remote, &mut piece)?;
        piece.truncate(filled);
        left = left.saturating_sub(filled as u64);
        let is_end = filled < most || most == 1;
        if pieces.send(piece).is_err() || is_end {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full, or to the end; tells how much came.
fn fill(remote: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match remote.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Writes pieces as they come, and makes them durable now and then.
fn write(
    file: &mut File,
    part: &std::path::Path,
    from: u64,
    pieces: Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut written = from;
    for piece in pieces {
        let before = written / DURABLE;
        disk::write(file, part, &piece)?;
        written += piece.len() as u64;
        if written / DURABLE > before {
            file.sync_data()?;
        }
    }
    Ok(())
}
