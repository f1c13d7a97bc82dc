//! Remote: a file comes into a folder on an SFTP server, whole or not at all, and never over another.

use anyhow::bail;

use super::local::{NUMBERS, There};
use crate::model::numbered;
use crate::sftp::{Kind, Session, path_of};

/// Writes a file, and its marker afterwards; tells under which name.
pub fn put(
    session: &Session,
    folder: &str,
    name: &str,
    marker: impl Fn(&str) -> Option<String>,
    bytes: &[u8],
) -> anyhow::Result<String> {
    for number in 1..NUMBERS {
        let name = numbered(name, number);
        let path = path_of(folder, &name);
        let marker = marker(&name).map(|marker| path_of(folder, &marker));
        let there = there(session, &path, bytes)?;
        let marked = match &marker {
            Some(marker) => self::there(session, marker, b"")?,
            None => There::Same,
        };
        if there == There::Other || marked == There::Other {
            continue;
        }
        if there == There::Nothing && !write(session, folder, &path, bytes)? {
            continue;
        }
        if let Some(marker) = &marker
            && marked == There::Nothing
        {
            // Another's that came this moment marks it as well.
            write(session, folder, marker, b"")?;
        }
        return Ok(name);
    }
    bail!("there are too many files named {name} in {folder}: clear it out")
}

fn there(session: &Session, path: &str, bytes: &[u8]) -> anyhow::Result<There> {
    let Some(stat) = session.stat(path)? else { return Ok(There::Nothing) };
    if stat.kind != Kind::File || stat.size != bytes.len() as u64 {
        return Ok(There::Other);
    }
    Ok(match session.holds(path, bytes)? {
        true => There::Same,
        false => There::Other,
    })
}

/// Puts a file at its place; false if another was faster.
fn write(session: &Session, folder: &str, path: &str, bytes: &[u8]) -> anyhow::Result<bool> {
    // Always the same hidden name for one file: what a crash leaves is written over.
    let hash = blake3::hash(path.as_bytes()).to_hex();
    let hidden = path_of(folder, &format!(".lighterman-{}", &hash[..16]));
    session.write(&hidden, bytes)?;
    match session.stat(&hidden)? {
        Some(stat) if stat.size == bytes.len() as u64 => {}
        Some(stat) => bail!("{hidden} has {} bytes of {}", stat.size, bytes.len()),
        None => bail!("{hidden} is gone before it got its name"),
    }
    if session.rename(&hidden, path)? {
        return Ok(true);
    }
    session.remove(&hidden)?;
    Ok(false)
}
