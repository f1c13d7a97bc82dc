//! Which release a record means: by its address, or by its container among those that are ours to
//! act on (design, section 4.2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, ReleaseName};
use super::scr::Releases;
use super::verdict::{Remote, judge, told};
use super::{Channel, Leave, Message, Outcome, after};
use crate::ledger::{Change, Wait};
use crate::model::{Problem, Reply};
use crate::remote::release::Release;
use crate::remote::scr::Scr;

/// What looking for a release found.
pub enum Found {
    /// The one that is meant, in lower case; with the leave of the read that found it.
    Address(String, Option<Leave>),
    /// Nothing: no more is to be sent.
    Halted,
    /// None, or several: this becomes of the message.
    Outcome(Box<Outcome>),
}

/// A read that failed.
pub struct Unread {
    /// Whether the server answered at all.
    pub answered: bool,
    /// What it answered.
    pub reason: String,
    /// What becomes of the message; none if it was not tried, as no more is to be sent.
    pub outcome: Option<Outcome>,
}

impl Releases {
    /// The release's address; or what becomes of the message when there is not exactly one.
    pub async fn address(
        &self,
        channel: &Channel,
        message: &Message,
        assignment: &Assignment,
        halt: &CancellationToken,
    ) -> Found {
        let quarantined = |rule: &str, value: &str, advice: &str| {
            Found::Outcome(Box::new(message.quarantine(|record, line| Problem {
                field: match &assignment.release {
                    ReleaseName::Address(_) => "release.address".to_owned(),
                    ReleaseName::Container(..) => "release.container".to_owned(),
                },
                ..message.problem(record, line, rule, value, advice)
            })))
        };
        match &assignment.release {
            ReleaseName::Address(address) if !self.gate.is_shared() => {
                Found::Address(address.clone(), None)
            }
            ReleaseName::Address(address) => {
                match self.read(channel, message, halt, |scr| scr.release(address)).await {
                    Ok((Some(release), leave)) if self.is_ours(&release) => {
                        Found::Address(address.clone(), Some(leave))
                    }
                    Ok((Some(_), _)) => quarantined(
                        "release",
                        address,
                        "this release belongs to another company; correct the address",
                    ),
                    Ok((None, _)) => self.park(
                        channel,
                        message,
                        "no such release yet",
                        &assignment.release,
                        &quarantined,
                    ),
                    Err(unread) => unread.into(),
                }
            }
            ReleaseName::Container(container, bl) => {
                let (found, leave) = match self
                    .read(channel, message, halt, |scr| scr.find(container, bl.as_deref()))
                    .await
                {
                    Ok(found) => found,
                    Err(unread) => return unread.into(),
                };
                let ours: Vec<&Release> = found
                    .iter()
                    .filter(|release| {
                        !release.deleted && !release.gate_out && self.is_ours(release)
                    })
                    .collect();
                match ours.as_slice() {
                    [one] => Found::Address(one.address.to_lowercase(), Some(leave)),
                    [] => self.park(
                        channel,
                        message,
                        "no release for this container yet",
                        &assignment.release,
                        &quarantined,
                    ),
                    several => {
                        let candidates: Vec<String> = several
                            .iter()
                            .map(|release| {
                                format!(
                                    "{} (bill of lading {})",
                                    release.address,
                                    release.bl.as_deref().unwrap_or("unknown")
                                )
                            })
                            .collect();
                        let advice = format!(
                            "several releases match: {}; name one by its bill of lading or its address",
                            candidates.join(", ")
                        );
                        quarantined("release", container, &advice)
                    }
                }
            }
        }
    }

    /// One read. It goes through the lane as calls do, so that a server which is down or refuses is
    /// an alarm and a pause for reads too; it takes none of the calls' places, but one of as many
    /// of its own.
    pub async fn read<'a, T, F: Future<Output = Result<T, Reply>> + 'a>(
        &'a self,
        channel: &Channel,
        message: &Message,
        halt: &CancellationToken,
        read: impl FnOnce(&'a Scr) -> F,
    ) -> Result<(T, Leave), Unread> {
        let untried = |outcome| Unread { answered: false, reason: String::new(), outcome };
        let paused = |until| untried(Some(message.paused(until)));
        let mut leave = channel.lane.enter().await.map_err(paused)?;
        leave.read_first();
        let place = async {
            channel.keep_pace().await;
            self.gate.reads.take(channel.customer(), 0).await
        };
        let _room = tokio::select! {
            biased;
            () = halt.cancelled() => return Err(untried(None)),
            room = place => room,
        };
        // Others that were under way may have paused it meanwhile.
        if let Some(until) = channel.lane.paused_until() {
            return Err(paused(until));
        }
        match read(&self.gate.client).await {
            Ok(found) => {
                leave.read();
                Ok((found, leave))
            }
            Err(reply) => {
                // A read changes nothing, so there is nothing that may have been taken.
                let reply = match reply {
                    Reply::TimedOut => Reply::Broken("no answer within the time-out".to_owned()),
                    Reply::Lost(why) => Reply::Broken(why),
                    reply => reply,
                };
                let answered = matches!(reply, Reply::Answered(_));
                let reason = match &reply {
                    Reply::Answered(answer) => told(answer),
                    _ => String::new(),
                };
                let verdict = judge(Remote::Scr, &reply, &BTreeMap::new());
                let outcome = channel.outcome(verdict, message, leave);
                Err(Unread { answered, reason, outcome: Some(outcome) })
            }
        }
    }

    /// A release is ours if it was not transferred on, and at a shared API only if its owner's VAT
    /// number is the customer's (design, sections 3.6 and 4.2).
    fn is_ours(&self, release: &Release) -> bool {
        let moved_on = release.next_owner.is_some();
        let vat = match (&release.self_owner_vat, &self.vat) {
            (Some(theirs), Some(ours)) => same_vat(theirs, ours),
            _ => !self.gate.is_shared(),
        };
        vat && !moved_on
    }

    fn park(
        &self,
        channel: &Channel,
        message: &Message,
        reason: &str,
        name: &ReleaseName,
        quarantined: &dyn Fn(&str, &str, &str) -> Found,
    ) -> Found {
        let (ReleaseName::Address(value) | ReleaseName::Container(value, _)) = name;
        let release = match name {
            ReleaseName::Address(address) => address.clone(),
            ReleaseName::Container(container, bl) => waited_for(container, bl.as_deref()),
        };
        let now = Timestamp::now();
        let since = match &message.earlier {
            Some(earlier) if earlier.wait == Wait::Release => earlier.since,
            _ => now,
        };
        if after(since, self.park_for) <= now {
            let advice = format!("{reason}, and `park_for` is over; ask who holds the release");
            return quarantined("release", value, &advice);
        }
        let due = after(now, channel.retry.max);
        let mut parked = message.wait(Wait::Release, due, now, false, reason);
        for change in &mut parked.changes {
            if let Change::Wait(waiting) = change {
                waiting.release = Some(release.clone());
            }
        }
        Found::Outcome(Box::new(parked))
    }
}

impl From<Unread> for Found {
    fn from(unread: Unread) -> Found {
        unread.outcome.map_or(Found::Halted, |outcome| Found::Outcome(Box::new(outcome)))
    }
}

/// The names under which records may wait for a release.
pub fn names_of(address: &str, release: Option<&Release>) -> Vec<String> {
    let mut names = vec![address.to_lowercase()];
    if let Some(Release { container, bl, .. }) = release {
        names.push(waited_for(container, None));
        names.extend(bl.as_deref().map(|bl| waited_for(container, Some(bl))));
    }
    names
}

/// The name under which a record waits for a container's release; short, as all in the ledger.
fn waited_for(container: &str, bl: Option<&str>) -> String {
    let name = bl.map_or_else(|| container.to_owned(), |bl| format!("{container} {bl}"));
    match name.len() {
        ..=80 => name,
        _ => blake3::hash(name.as_bytes()).to_hex().to_string(),
    }
}

/// Whether two texts are the same VAT number, however they are written.
pub fn same_vat(a: &str, b: &str) -> bool {
    let plain = |vat: &str| -> String {
        vat.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
    };
    plain(a) == plain(b)
}
