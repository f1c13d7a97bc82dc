//! `lighterman check --connect`: logs in everywhere, and tells on stderr how it went.

use std::sync::Arc;

use futures::{StreamExt, stream};

use crate::config::{Config, Folder, Sftp};
use crate::deliver::Channels;
use crate::sftp::{Kind, Refusal, Session};

/// How many SFTP servers are tried at once: those that do not answer take a while.
const AT_ONCE: usize = 8;

/// Logs in to the channels, and to the SFTP servers of sources and outboxes; tells how many did not
/// let us in.
pub async fn everywhere(config: &Config, channels: &Channels) -> anyhow::Result<usize> {
    Ok(to_channels(channels).await + to_sources(config).await?)
}

async fn to_channels(channels: &Channels) -> usize {
    let mut wrong = 0;
    for ((customer, name), channel) in channels {
        match channel.connect().await {
            Ok(()) => eprintln!("{customer} / {name}: logged in"),
            Err(why) => {
                wrong += 1;
                eprintln!("{customer} / {name}: {why}");
            }
        }
    }
    wrong
}

async fn to_sources(config: &Config) -> anyhow::Result<usize> {
    let looks = logins(config).into_iter().map(|login| tokio::task::spawn_blocking(|| look(login)));
    let mut looks = stream::iter(looks).buffered(AT_ONCE);
    let mut wrong = 0;
    while let Some(told) = looks.next().await {
        for line in told? {
            match line {
                Ok(well) => eprintln!("{well}"),
                Err(why) => {
                    wrong += 1;
                    eprintln!("{why}");
                }
            }
        }
    }
    Ok(wrong)
}

/// The sources and outboxes of one login: it is tried once for all of them, since accounts lock.
type Login = Vec<(String, Arc<Sftp>)>;

fn logins(config: &Config) -> Vec<Login> {
    let mut logins: Vec<Login> = Vec::new();
    for (id, customer) in &config.customers {
        let sources = customer.sources.values();
        let sources = sources.map(|source| (format!("{id} / {}", source.name), &source.folder));
        let outboxes = customer.outboxes.values();
        let outboxes =
            outboxes.map(|outbox| (format!("{id} / outbox {}", outbox.name), &outbox.folder));
        for (name, folder) in sources.chain(outboxes) {
            let Folder::Sftp(place) = folder else { continue };
            let this = (name, Arc::clone(place));
            let same = |login: &&mut Login| same_login(&login[0].1, place);
            match logins.iter_mut().find(same) {
                Some(login) => login.push(this),
                None => logins.push(vec![this]),
            }
        }
    }
    logins
}

fn same_login(one: &Sftp, other: &Sftp) -> bool {
    let of = |place: &Sftp| {
        let Sftp { host, port, user, login, known_hosts, .. } = place.clone();
        (host, port, user, login, known_hosts)
    };
    of(one) == of(other)
}

/// Logs in and lists the folders: a line for each, of what is well or of what is not.
fn look(login: Login) -> Vec<Result<String, String>> {
    let session = Session::open(&login[0].1);
    let told = login.iter().map(|(source, place)| {
        let session = session.as_ref().map_err(|refusal| format!("{source}: {}", tell(refusal)))?;
        let entries = session.list(&place.path).map_err(|error| format!("{source}: {error:#}"))?;
        let files = entries.iter().filter(|entry| entry.stat.kind == Kind::File).count();
        let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        Ok(format!("{source}: logged in, {files} in {place}"))
    });
    told.collect()
}

fn tell(refusal: &Refusal) -> String {
    match refusal {
        Refusal::HostKey { advice, line: Some(line) } => format!("{advice}; its line:\n{line}"),
        _ => refusal.to_string(),
    }
}
