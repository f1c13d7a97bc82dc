//! Page: documents that are queued at the same time lie in one file of the spool, so that one sync
//! serves them all. Each has a name of its own for it, and the file goes with the last of them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;

use crate::disk;
use crate::spool::{Spool, write_whole};

/// How many documents lie in one file at most: each of them is found by reading those before it.
const DOCUMENTS: usize = 64;

/// The documents that wait for being written.
#[derive(Default)]
pub struct Pages {
    waiting: Mutex<Vec<Waiting>>,
    /// Who holds it writes for others that wait, too.
    turn: tokio::sync::Mutex<()>,
}

struct Waiting {
    customer: String,
    /// The document.
    line: Vec<u8>,
    /// Who is told its name.
    kept: oneshot::Sender<anyhow::Result<String>>,
}

impl Pages {
    /// Keeps a customer's document that is one line; tells its name in the spool. It is durable when
    /// this returns.
    pub async fn keep(
        &self,
        spool: &Spool,
        customer: &str,
        line: Vec<u8>,
    ) -> anyhow::Result<String> {
        let (kept, name) = oneshot::channel();
        let customer = customer.to_owned();
        self.lock().push(Waiting { customer, line, kept });
        while name.is_empty() {
            let _turn = self.turn.lock().await;
            let page = self.next();
            // Who had a turn before has written it, or still does.
            if page.is_empty() {
                break;
            }
            let spool = spool.clone();
            tokio::task::spawn_blocking(move || write(&spool, page)).await?;
        }
        name.await.context("a document was not written")?
    }

    /// What becomes the next file: documents of one customer, so that nobody has another's in his.
    fn next(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let Some(customer) = waiting.first().map(|first| first.customer.clone()) else {
            return Vec::new();
        };
        let his = waiting.extract_if(.., |waiting| waiting.customer == customer);
        his.take(DOCUMENTS).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file of this name in the spool says of its document; none if it is gone.
pub fn read(spool: &Spool, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(spool.payload(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let line = name.rsplit_once('-').and_then(|(_, line)| line.parse().ok()).unwrap_or(0);
    BufReader::new(file).split(b'\n').nth(line).transpose()
}

fn write(spool: &Spool, page: Vec<Waiting>) {
    let (lines, told): (Vec<Vec<u8>>, Vec<_>) =
        page.into_iter().map(|waiting| (waiting.line, waiting.kept)).unzip();
    let names = put(spool, &lines).map_err(|error| format!("{error:#}"));
    for (line, told) in told.into_iter().enumerate() {
        // Who has gone meanwhile needs no name.
        let _ = told.send(match &names {
            Ok(names) => names.get(line).cloned().context("a document has no name"),
            Err(error) => Err(anyhow!(error.clone())),
        });
    }
}

/// Writes lines as one file; tells the name of each.
fn put(spool: &Spool, lines: &[Vec<u8>]) -> anyhow::Result<Vec<String>> {
    // Names in the order of time, and never twice.
    let name = uuid::Uuid::now_v7().simple().to_string();
    if let [line] = lines {
        write_whole(&spool.payload(&name), line, 0o600)?;
        return Ok(vec![name]);
    }
    let names: Vec<String> = (0..lines.len()).map(|line| format!("{name}-{line:02}")).collect();
    let page = lines.join(&b'\n');
    let mut paths = names.iter().map(|name| spool.payload(name));
    let Some(first) = paths.next() else { return Ok(names) };
    write_whole(&first, &page, 0o600)?;
    for path in paths {
        // Some file systems know no second names.
        if disk::link(&first, &path).is_err() {
            write_whole(&path, &page, 0o600)?;
        }
    }
    disk::sync_folder(&spool.payloads())?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn documents_that_come_together_share_a_file_and_each_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let pages = Pages::default();
        let keep = |n: usize| pages.keep(&spool, "acme", format!("{{\"n\":{n}}}").into_bytes());
        let names = futures::future::join_all((0..200).map(keep)).await;
        let names: Vec<String> = names.into_iter().map(Result::unwrap).collect();
        for (n, name) in names.iter().enumerate() {
            let line = read(&spool, name).unwrap().unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), format!("{{\"n\":{n}}}"));
        }
        // The first is written at once, and the others wait meanwhile.
        let links = |n: usize| fs::metadata(spool.payload(&names[n])).unwrap().nlink();
        assert_eq!([0, 1, 64, 65, 192, 193, 199].map(links), [1, 64, 64, 64, 64, 7, 7]);
        // What one leaves, the others keep.
        disk::remove(&spool.payload(&names[1])).unwrap();
        assert_eq!(read(&spool, &names[1]).unwrap(), None);
        assert_eq!(read(&spool, &names[2]).unwrap().unwrap(), b"{\"n\":2}");
        assert_eq!(links(2), 63);
    }

    #[tokio::test]
    async fn one_that_comes_alone_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let name = Pages::default().keep(&spool, "acme", b"{}".to_vec()).await.unwrap();
        assert_eq!(fs::read(spool.payload(&name)).unwrap(), b"{}");
        assert_eq!(read(&spool, &name).unwrap().unwrap(), b"{}");
    }

    #[tokio::test]
    async fn no_file_has_documents_of_two_customers() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let pages = Pages::default();
        let whose = ["acme", "bolt", "acme", "bolt", "acme"];
        let keep = |whose: &'static str| pages.keep(&spool, whose, whose.as_bytes().to_vec());
        let names = futures::future::join_all(whose.map(keep)).await;
        let names: Vec<String> = names.into_iter().map(Result::unwrap).collect();
        for (whose, name) in whose.iter().zip(&names) {
            assert_eq!(read(&spool, name).unwrap().unwrap(), whose.as_bytes());
        }
        let page = |n: usize| fs::read_to_string(spool.payload(&names[n])).unwrap();
        assert_eq!([0, 1, 2].map(page), ["acme", "bolt\nbolt", "acme\nacme"]);
    }
}
