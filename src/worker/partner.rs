//! Partner: one poll of an SFTP source. What was broken off is gone on with, what was fetched is put
//! away at the partner's, and what is ready and new is fetched into the spool.

mod away;
mod carry;
mod line_up;
mod look;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use self::carry::Work;
use self::line_up::LineUp;
use super::Run;
use super::source::{Taken, takes};
use crate::config::{After, ChannelKind, Retry, Sftp, Source};
use crate::deliver::retry;
use crate::ledger::{Alarm, AlarmKind};
use crate::pickup::Looks;
use crate::sftp::{Line, Session, alarm_of};

/// A poll ends after so long; what it was fetching then goes on with the next.
const WITHIN: Duration = Duration::from_secs(3600);

/// Looks at the partner's folder and takes what is ready, or only what was seen there before; tells
/// when more may be.
pub async fn poll(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    sftp: &Arc<Sftp>,
    seen: bool,
    looks: &mut Looks,
) -> anyhow::Result<Taken> {
    let stop = run.stop.child_token();
    let (timer, over) = (stop.clone(), tokio::time::sleep(WITHIN));
    let timer = tokio::spawn(async move {
        over.await;
        timer.cancel();
    });
    let poll = Poll::new(run, customer, source, sftp, stop).await?;
    let polled = poll.run(seen, looks).await;
    timer.abort();
    // What was cut off at the stop is no fault of the server's.
    if polled.is_ok() || !run.stop.is_cancelled() {
        poll.tell(polled.as_ref().err()).await;
    }
    polled
}

/// How long a server is left alone that did not let us in so often in a row, or could not be
/// reached.
pub fn after_refusal(times: u32, source: &str) -> Duration {
    const PAUSES: Retry = Retry {
        first: Duration::from_secs(1),
        max: Duration::from_secs(300),
        give_up_after: Duration::MAX,
    };
    retry::wait(&PAUSES, times, retry::chance(format!("{source} {times}").as_bytes()))
}

/// What the steps of a poll share.
struct Poll {
    run: Arc<Run>,
    customer: String,
    source: Source,
    sftp: Arc<Sftp>,
    /// By which the hidden names of claims are told from those of others.
    installation: String,
    /// Over with the run, or when the poll has lasted too long.
    stop: CancellationToken,
    line_up: LineUp,
}

impl Poll {
    async fn new(
        run: &Arc<Run>,
        customer: &str,
        source: &Source,
        sftp: &Arc<Sftp>,
        stop: CancellationToken,
    ) -> anyhow::Result<Poll> {
        let installation =
            run.parts.ledger.change(|store| Ok(store.installation().to_owned())).await?;
        Ok(Poll {
            run: Arc::clone(run),
            customer: customer.to_owned(),
            source: source.clone(),
            sftp: Arc::clone(sftp),
            installation,
            stop,
            line_up: LineUp::begin(run),
        })
    }

    async fn run(&self, seen: bool, looks: &mut Looks) -> anyhow::Result<Taken> {
        let line = self.connect().await?;
        if let Some(trouble) = self.same_folder(&line).await? {
            return Ok(Taken { trouble: Some(trouble), ..Taken::default() });
        }
        let mut work = Work::default();
        // One fault does not keep the rest back; the first is told.
        work.tell_unless_broken(self.put_away_what_was_fetched(&line).await)?;
        self.go_on_with_what_was_broken_off(&mut work).await?;
        let mut next = None;
        if takes(&self.run, &self.customer, &self.source) {
            let names: BTreeSet<&str> = work.names_broken_off().collect();
            let (ready, wait) = self.look(&line, &names, seen, looks).await?;
            (work.new, next) = (ready.into(), wait);
        }
        let carried = self.carry_all(line, work).await;
        self.line_up.end().await;
        carried.map(|(again, trouble)| Taken { next, again, trouble })
    }

    /// Whether files are to be moved into the very folder that they are taken from, by another
    /// spelling or a link: they would be taken again and again.
    async fn same_folder(&self, line: &Line) -> anyhow::Result<Option<anyhow::Error>> {
        let After::Move(to) = self.sftp.after.clone() else { return Ok(None) };
        let from = self.sftp.path.clone();
        let both = move |session: &Session| -> anyhow::Result<_> {
            Ok((session.real_path(&from)?, session.real_path(&to)?))
        };
        let (from, to) = line.ask(both).await??;
        Ok((from.is_some() && from == to).then(|| {
            anyhow!(
                "path and after.move of {} are the same folder at the partner's; nothing is taken \
                 from it: name another folder in after.move",
                self.sftp
            )
        }))
    }

    /// Logs in.
    async fn connect(&self) -> anyhow::Result<Line> {
        Ok(self.run.parts.logins.open(&self.sftp, &self.run.parts.ledger, &self.stop).await??)
    }

    /// Whether what a file holds is to come in the order in which files do (design, section 3.4).
    fn keeps_order(&self, name: &str) -> bool {
        let setup = self.run.parts.setup();
        let config = &setup.of(&self.customer).config;
        let channel = config.customers.get(&self.customer).and_then(|customer| {
            customer.channels.get(&customer.route(&self.source.name, name)?.channel)
        });
        channel.is_some_and(|channel| match &channel.kind {
            ChannelKind::Ingestion(ingestion) => ingestion.concurrency == 1,
            _ => true,
        })
    }

    /// Raises the alarm that tells of an error, and takes those back that are over.
    async fn tell(&self, error: Option<&anyhow::Error>) {
        let kind = error.and_then(alarm_of);
        let alarm = error.zip(kind).map(|(error, kind)| Alarm {
            since: jiff::Timestamp::now(),
            customer: self.customer.clone(),
            channel: None,
            source: Some(self.source.name.clone()),
            kind,
            advice: format!("{}: {error:#}", self.sftp),
        });
        if let Some(alarm) = &alarm {
            tracing::error!(customer = %self.customer, "{}", alarm.advice);
        }
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let of_server = [AlarmKind::HostKey, AlarmKind::LoginRefused, AlarmKind::Unreachable];
        let told = self
            .run
            .parts
            .ledger
            .update(move |store| {
                store.clear(|held| {
                    of_server.contains(&held.kind)
                        && Some(held.kind) != kind
                        && held.customer == customer
                        && held.source.as_deref() == Some(&source)
                });
                alarm.map(|alarm| store.raise(alarm));
            })
            .await;
        if let Err(error) = told {
            tracing::error!("The alarm cannot be noted: {error:#}");
        }
    }
}
