//! After: what becomes of a remote file once it lies in the spool. Each step can be taken again
//! after a crash, and a file that is not the one that was fetched is never touched.

use anyhow::bail;

use super::listing::{look, path_of};
use super::session::Session;
use crate::config::{After, Ready};
use crate::ledger::Fetched;
use crate::model::{Arrival, numbered};
use crate::pickup::claim::hidden_name;
use crate::pickup::local::marker_name;

/// Moves or removes a file that was fetched, and the marker that came with it.
pub fn put_away(
    session: &Session,
    after: &After,
    ready: &Ready,
    installation: &str,
    arrival: Arrival,
    fetched: &Fetched,
) -> anyhow::Result<()> {
    let path = path_of(&fetched.folder, &fetched.name);
    if let Ready::Marker(marker) = ready
        && *after != After::Keep
        && is_there(session, &path, fetched)?
    {
        // First: once the file is away, a marker there is that of another.
        session.remove(&path_of(&fetched.folder, &marker_name(marker, &fetched.name)))?;
    }
    match after {
        After::Keep => Ok(()),
        After::Move(to) => put_into(session, &path, to, fetched),
        After::Delete => {
            let hidden = path_of(&fetched.folder, &hidden_name(installation, arrival));
            delete(session, &path, &hidden, fetched)
        }
    }
}

/// Whether the file that was fetched lies there still, as it was.
fn is_there(session: &Session, path: &str, fetched: &Fetched) -> anyhow::Result<bool> {
    Ok(session.stat(path)?.is_some_and(|stat| look(&stat) == fetched.look))
}

/// Renames the file into a folder, never over another.
fn put_into(session: &Session, path: &str, to: &str, fetched: &Fetched) -> anyhow::Result<()> {
    if !is_there(session, path, fetched)? {
        return Ok(());
    }
    session.make_folder(to)?;
    for number in 1..10_000 {
        let target = path_of(to, &numbered(&fetched.name, number));
        if session.rename(path, &target)? {
            return give_back_another(session, path, &target, fetched).map(|_| ());
        }
    }
    bail!("there are too many files named {} in {to}; clear it out", fetched.name)
}

/// Removes the file, first under a name that nobody writes to: what is written under its own name
/// meanwhile is another file.
fn delete(session: &Session, path: &str, hidden: &str, fetched: &Fetched) -> anyhow::Result<()> {
    if session.stat(hidden)?.is_none() {
        if !is_there(session, path, fetched)? {
            return Ok(());
        }
        if !session.rename(path, hidden)? {
            bail!("{path} cannot be removed: {hidden} is there already");
        }
    }
    if give_back_another(session, path, hidden, fetched)? {
        return Ok(());
    }
    session.remove(hidden).map(|_| ())
}

/// Gives a file its name back, or a like one, if it turns out to be another than was fetched: it
/// was written in the moment before it was moved. Tells whether it was.
fn give_back_another(
    session: &Session,
    path: &str,
    moved: &str,
    fetched: &Fetched,
) -> anyhow::Result<bool> {
    if is_there(session, moved, fetched)? {
        return Ok(false);
    }
    for number in 1..10_000 {
        let back = path_of(&fetched.folder, &numbered(&fetched.name, number));
        if session.rename(moved, &back)? {
            return Ok(true);
        }
    }
    bail!("{path} was written anew while it was put away, and lies in {moved}; move it back")
}
