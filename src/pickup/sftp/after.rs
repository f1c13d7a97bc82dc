//! After: what becomes of a remote file once it lies in the spool. Each step can be taken again
//! after a crash, and a file that is not the one that was fetched is never touched.

use anyhow::bail;

use super::listing::look;
use crate::config::{After, Ready};
use crate::ledger::Fetched;
use crate::model::numbered;
use crate::pickup::local::marker_name;
use crate::sftp::{Session, path_of};

/// Moves or removes a file that was fetched, and the marker that came with it.
///
/// It is first given a name that nobody writes to: what is written under its own name meanwhile is
/// another file, and one that was caught gets its name back. `begun` tells that this may have been
/// begun before.
pub fn put_away(
    session: &Session,
    after: &After,
    ready: &Ready,
    hidden: &str,
    fetched: &Fetched,
    begun: bool,
) -> anyhow::Result<()> {
    let path = path_of(&fetched.folder, &fetched.name);
    let hidden = path_of(&fetched.folder, hidden);
    if !begun || session.stat(&hidden)?.is_none() {
        if *after == After::Keep || !is_there(session, &path, fetched)? {
            return Ok(());
        }
        if let Ready::Marker(marker) = ready {
            // First: once the file is away, a marker there is that of another.
            session.remove(&path_of(&fetched.folder, &marker_name(marker, &fetched.name)))?;
        }
        if !session.rename(&path, &hidden)? {
            bail!("{path} cannot be put away: {hidden} is there already");
        }
    }
    let into = match after {
        _ if !is_there(session, &hidden, fetched)? => &fetched.folder,
        After::Keep => &fetched.folder,
        After::Move(to) => {
            session.make_folder(to)?;
            to
        }
        After::Delete => return session.remove(&hidden).map(|_| ()),
    };
    for number in 1..10_000 {
        if session.rename(&hidden, &path_of(into, &numbered(&fetched.name, number)))? {
            return Ok(());
        }
    }
    bail!("there are too many files named {} in {into}: clear it out", fetched.name)
}

/// Whether the file that was fetched lies there still, as it was.
fn is_there(session: &Session, path: &str, fetched: &Fetched) -> anyhow::Result<bool> {
    Ok(session.stat(path)?.is_some_and(|stat| look(&stat) == fetched.look))
}
