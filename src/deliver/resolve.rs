//! Which release a record means: by its address, or by its container among those that are ours to
//! act on (design, section 4.2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::assignment::{Action, ReleaseName};
use super::consequence::UNKNOWN_OUTCOME;
use super::scr::{Job, Releases};
use super::verdict::{Remote, is_not_found, judge, told};
use super::{Channel, Leave, Message, Outcome, after};
use crate::ledger::{Change, Wait};
use crate::model::{Problem, Reply};
use crate::remote::release::Release;
use crate::remote::scr::Scr;

/// Why a record waits for a release that is blocked.
const BLOCKED: &str = "the carrier has blocked this release";

/// Why a record waits no more for a release that is not found.
const TAKEN: &str = "its release was taken back or deleted, and the API knows it no more";

const MAY_BE_DONE: &str =
    "an earlier attempt was not answered, so the API may have carried it out all the same";

/// What looking for a release found.
pub enum Found {
    /// The one that is meant.
    Place(Place),
    /// These alone, which do not stand where a transfer or revoke begins: it has something to do only
    /// if an older call brings one of them there.
    Elsewhere(Vec<Release>),
    /// Nothing: no more is to be sent.
    Halted,
    /// None, or several: this becomes of the message.
    Outcome(Box<Outcome>),
}

/// The release that is meant.
pub struct Place {
    /// Its address, in lower case.
    pub address: String,
    /// What the API said of it, if it was asked.
    pub release: Option<Box<Release>>,
    /// The leave of the read that found it.
    pub leave: Option<Leave>,
}

/// Whether a call fits a release as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Yes,
    /// It does once the carrier has lifted its block.
    Blocked,
    /// Not as things are.
    NotYet(&'static str),
    /// Never; another release for the container may come.
    Gone(&'static str),
    /// Never, whatever comes.
    Never(&'static str),
    /// It is another company's.
    Foreign,
}

/// A read that failed.
pub struct Unread {
    /// Whether the server answered at all.
    pub answered: bool,
    /// What it answered.
    pub reason: String,
    /// Whether it said that there is no such release.
    pub is_not_there: bool,
    /// What becomes of the message; none if it was not tried, as no more is to be sent.
    pub outcome: Option<Outcome>,
}

impl Releases {
    /// The release that is meant; or what becomes of the message when there is not exactly one.
    pub(super) async fn address(&self, job: &Job<'_>) -> Found {
        let Job { assignment, .. } = job;
        match &assignment.release {
            // A transfer is looked at before: what the pin forbids is not sent.
            ReleaseName::Address(address)
                if !self.gate.is_shared() && !matches!(assignment.action, Action::Transfer(_)) =>
            {
                Found::Place(Place { address: address.clone(), release: None, leave: None })
            }
            ReleaseName::Address(address) => self.look(job, address).await,
            ReleaseName::Container(container, bl) => {
                match self.read(job, |scr| scr.find(container, bl.as_deref())).await {
                    Ok((found, leave)) => self.choose(job, container, bl.is_some(), found, leave),
                    Err(unread) => unread.into(),
                }
            }
        }
    }

    /// The release of an address, if the call fits it as it is.
    pub(super) async fn look(&self, job: &Job<'_>, address: &str) -> Found {
        let (release, leave) = match self.read(job, |scr| scr.release(address)).await {
            Ok((Some(release), leave)) => (release, leave),
            Ok((None, _)) if job.is_taken() => return Found::Outcome(Box::new(job.taken())),
            Ok((None, _)) => {
                return Found::Outcome(Box::new(self.park(job, "no such release yet")));
            }
            Err(unread) if job.is_taken() && unread.is_not_there => {
                return Found::Outcome(Box::new(job.taken()));
            }
            Err(unread) => return unread.into(),
        };
        match self.fit(job, &release) {
            Fit::Yes => Found::Place(Place {
                address: address.to_owned(),
                release: Some(Box::new(release)),
                leave: Some(leave),
            }),
            Fit::NotYet(_) if job.moves() => Found::Elsewhere(vec![release]),
            other => Found::Outcome(Box::new(self.unfit(job, &other, &release))),
        }
    }

    /// The one release of a container that a call fits.
    fn choose(
        &self,
        job: &Job<'_>,
        container: &str,
        has_bl: bool,
        found: Vec<Release>,
        leave: Leave,
    ) -> Found {
        let mut found: Vec<(Fit, Release)> =
            found.into_iter().map(|release| (self.fit(job, &release), release)).collect();
        found.retain(|(fit, _)| *fit != Fit::Foreign);
        // What was begun is ended with the same release, whatever came meanwhile.
        if job.moves() && found.iter().any(|(_, release)| job.was_tried_on(release)) {
            found.retain(|(_, release)| job.was_tried_on(release));
        }
        let is_candidate = |fit: &Fit| matches!(fit, Fit::Yes | Fit::Blocked | Fit::Never(_));
        let candidates: Vec<&Release> =
            found.iter().filter(|(fit, _)| is_candidate(fit)).map(|(_, release)| release).collect();
        if candidates.len() > 1 {
            let candidates: Vec<String> = candidates
                .iter()
                .map(|release| {
                    let bl = release.bl.as_deref().unwrap_or("unknown");
                    format!("{} (bill of lading {bl})", release.address)
                })
                .collect();
            let advice = format!(
                "several releases match: {}; name one by its bill of lading or its address",
                candidates.join(", ")
            );
            return Found::Outcome(Box::new(job.set_aside(container, &advice)));
        }
        let is_not_yet = |fit: &Fit| matches!(fit, Fit::NotYet(_));
        if candidates.is_empty() && job.moves() && found.iter().any(|(fit, _)| is_not_yet(fit)) {
            found.retain(|(fit, _)| is_not_yet(fit));
            return Found::Elsewhere(found.into_iter().map(|(_, release)| release).collect());
        }
        let of = |is: &dyn Fn(&Fit) -> bool| found.iter().position(|(fit, _)| is(fit));
        let waits = of(&is_candidate).or_else(|| of(&is_not_yet));
        // A container is used again and again: only its bill of lading tells that no further
        // release is meant.
        let gone = of(&|fit| matches!(fit, Fit::Gone(_))).filter(|_| has_bl);
        let Some(place) = waits.or(gone) else {
            if has_bl && job.is_taken() {
                return Found::Outcome(Box::new(job.taken()));
            }
            let was = found.iter().find_map(|(fit, _)| match fit {
                Fit::Gone(why) => Some(*why),
                _ => None,
            });
            let none = match was.or(job.is_taken().then_some(TAKEN)) {
                Some(why) => format!("{why}; the container's next release is waited for"),
                None => "no release for this container yet".to_owned(),
            };
            return Found::Outcome(Box::new(self.park(job, &none)));
        };
        let (fit, release) = found.swap_remove(place);
        match fit {
            Fit::Yes => Found::Place(Place {
                address: release.address.to_lowercase(),
                release: Some(Box::new(release)),
                leave: Some(leave),
            }),
            other => Found::Outcome(Box::new(self.unfit(job, &other, &release))),
        }
    }

    /// Whether the call fits a release as it is (SCR API 1.2.9, "Field description").
    pub(super) fn fit(&self, job: &Job<'_>, release: &Release) -> Fit {
        let is_theirs = match (&release.self_owner_vat, &self.vat) {
            (Some(theirs), Some(ours)) => !same_vat(theirs, ours),
            _ => self.gate.is_shared(),
        };
        if is_theirs {
            return Fit::Foreign;
        }
        // What came after it, as that its pin was read or that it was picked up, forbids no transfer
        // that was carried out though its answer was lost: the API tells when it is asked again.
        if matches!(job.assignment.action, Action::Transfer(_))
            && job.has_gone(release)
            && job.was_tried_on(release)
        {
            return Fit::Yes;
        }
        if release.deleted {
            return Fit::Gone("the carrier has deleted this release, which is final");
        }
        if release.gate_out {
            return Fit::Gone("the container was picked up: it has left the terminal");
        }
        if was_taken_back(release) || job.is_taken() && is_anothers(release) {
            return Fit::Gone("its previous owner has taken this release back");
        }
        let away = release.next_owner.is_some();
        match &job.assignment.action {
            // By an address the API itself is asked.
            Action::Revoke => match &job.assignment.release {
                ReleaseName::Container(..) if !away && !job.was_tried_on(release) => {
                    Fit::NotYet("no release for this container was transferred on")
                }
                _ => Fit::Yes,
            },
            Action::Transfer(_) if release.pin_retrieved => {
                Fit::Never("its pin was retrieved, after which it cannot be transferred any more")
            }
            Action::Transfer(_) if job.has_gone(release) => Fit::Yes,
            _ if away => Fit::NotYet("the release was transferred on, and is not ours now"),
            Action::Assign(_) if release.blocked => Fit::Blocked,
            Action::Assign(_) | Action::Unassign | Action::Transfer(_) => Fit::Yes,
        }
    }

    /// What becomes of a record whose call does not fit.
    pub(super) fn unfit(&self, job: &Job<'_>, fit: &Fit, release: &Release) -> Outcome {
        let why = match fit {
            Fit::Yes => return self.park(job, "no such release yet"),
            Fit::Blocked => BLOCKED,
            Fit::NotYet(why) => why,
            Fit::Gone(why) | Fit::Never(why) => return job.set_aside(job.named(), why),
            Fit::Foreign => {
                return job.set_aside(
                    job.named(),
                    match job.is_taken() {
                        true => "its release was taken back, and is another company's now",
                        false => "this release belongs to another company; correct the address",
                    },
                );
            }
        };
        let mut parked = self.park(job, why);
        for change in &mut parked.changes {
            if let Change::Wait(waiting) = change {
                waiting.found = Some(release.address.to_lowercase());
            }
        }
        parked
    }

    /// What becomes of a transfer or revoke that nothing older brings the release for.
    pub(super) fn needless(&self, job: &Job<'_>, releases: &[Release]) -> Outcome {
        job.set_aside(job.named(), &why_needless(&job.assignment.action, releases))
    }

    /// One read. It goes through the lane as calls do, so that a server which is down or refuses is
    /// an alarm and a pause for reads too; it takes none of the calls' places, but one of as many
    /// of its own.
    pub(super) async fn read<'a, T, F: Future<Output = Result<T, Reply>> + 'a>(
        &'a self,
        job: &Job<'_>,
        read: impl FnOnce(&'a Scr) -> F,
    ) -> Result<(T, Leave), Unread> {
        self.read_for(job.channel, job.message, job.halt, read).await
    }

    /// The same, for whatever record.
    pub(super) async fn read_for<'a, T, F: Future<Output = Result<T, Reply>> + 'a>(
        &'a self,
        channel: &Channel,
        message: &Message,
        halt: &CancellationToken,
        read: impl FnOnce(&'a Scr) -> F,
    ) -> Result<(T, Leave), Unread> {
        let untried = |outcome| Unread {
            answered: false,
            reason: String::new(),
            is_not_there: false,
            outcome,
        };
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
                let is_not_there = is_not_there(&reply);
                let reason = match &reply {
                    Reply::Answered(answer) => told(answer),
                    _ => String::new(),
                };
                let verdict = judge(Remote::Scr, &reply, &BTreeMap::new());
                let outcome = channel.outcome(verdict, message, leave);
                Err(Unread { answered, reason, is_not_there, outcome: Some(outcome) })
            }
        }
    }

    /// The record waits for an event of its release, or a look at it later.
    pub(super) fn park(&self, job: &Job<'_>, reason: &str) -> Outcome {
        let Job { channel, message, .. } = *job;
        let name = &job.assignment.release;
        let now = Timestamp::now();
        let since = match &message.earlier {
            Some(earlier) if earlier.wait == Wait::Release => earlier.since,
            _ => now,
        };
        if after(since, self.park_for) <= now {
            let advice = format!("{reason}, and `park_for` is over; ask who holds the release");
            return job.set_aside(job.named(), &advice);
        }
        let due = after(now, channel.retry.max);
        let mut parked = message.wait(Wait::Release, due, now, false, reason);
        for change in &mut parked.changes {
            if let Change::Wait(waiting) = change {
                waiting.release = Some(match name {
                    ReleaseName::Address(address) => address.clone(),
                    ReleaseName::Container(container, bl) => waited_for(container, bl.as_deref()),
                });
            }
        }
        parked
    }
}

impl Job<'_> {
    /// Whether it is a transfer or revoke.
    pub(super) fn moves(&self) -> bool {
        self.assignment.action.bearing().moves()
    }

    /// What the record names its release by, without its bill of lading.
    fn named(&self) -> &str {
        let (ReleaseName::Address(value) | ReleaseName::Container(value, _)) =
            &self.assignment.release;
        value
    }

    /// Whether the port told, since the record waits, that its release was taken back or deleted.
    pub(super) fn is_taken(&self) -> bool {
        self.message.earlier.as_ref().is_some_and(|earlier| earlier.taken)
    }

    /// What becomes of the record when that release is not found.
    pub(super) fn taken(&self) -> Outcome {
        self.set_aside(self.named(), &format!("{TAKEN}; ask the carrier or its previous owner"))
    }

    /// Whether an earlier attempt may have acted on this release without a word of it.
    fn was_tried_on(&self, release: &Release) -> bool {
        let earlier = self.message.earlier.as_ref().filter(|earlier| earlier.unknown);
        let address = earlier.and_then(|earlier| earlier.address.as_ref());
        address.is_some_and(|address| address.eq_ignore_ascii_case(&release.address))
    }

    /// The record is set aside because of its release.
    fn set_aside(&self, value: &str, advice: &str) -> Outcome {
        let field = match self.assignment.release {
            ReleaseName::Address(_) => "release.address",
            ReleaseName::Container(..) => "release.container",
        };
        let unknown = self.message.earlier.as_ref().is_some_and(|earlier| earlier.unknown);
        let (rule, advice) = match unknown {
            true => (UNKNOWN_OUTCOME, format!("{advice}; {MAY_BE_DONE}")),
            false => ("release", advice.to_owned()),
        };
        self.message.quarantine(|record, line| Problem {
            field: field.to_owned(),
            ..self.message.problem(record, line, rule, value, &advice)
        })
    }
}

/// Why there is nothing to do for a transfer or revoke whose releases all stand elsewhere.
fn why_needless(action: &Action, releases: &[Release]) -> String {
    let whose = |release: &Release| match (&release.next_owner, &release.next_owner_vat) {
        (Some(address), Some(vat)) => format!("{vat} ({address})"),
        (Some(address), None) => address.clone(),
        (None, _) => "another company".to_owned(),
    };
    match (action, releases) {
        (Action::Revoke, releases) => {
            let all: Vec<&str> = releases.iter().map(|release| release.address.as_str()).collect();
            let are = if releases.len() == 1 { "is" } else { "are" };
            format!("nothing to take back: {} {are} already with you", all.join(", "))
        }
        (_, [one]) => format!(
            "it was transferred on to {}: revoke that first, then drop the record again",
            whose(one)
        ),
        (_, several) => {
            let to: Vec<String> =
                several.iter().map(|one| format!("{} to {}", one.address, whose(one))).collect();
            format!(
                "all were transferred on, {}: revoke the one that is meant first, then drop the \
                 record again with its address",
                to.join(", ")
            )
        }
    }
}

/// Whether a release that was ours went back to whom it came from. Which of the owners' fields tell
/// so the API's document leaves open; where they do not agree, it is not taken for granted.
fn was_taken_back(release: &Release) -> bool {
    let Release { owner, self_owner, previous_owner, next_owner, .. } = release;
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    match (owner, self_owner, previous_owner, next_owner) {
        (Some(owner), Some(own), Some(previous), None) => {
            !same(owner, own) && same(owner, previous)
        }
        _ => false,
    }
}

/// Whether a release that we were told was taken back is another company's by any of its owners'
/// fields.
fn is_anothers(release: &Release) -> bool {
    let Release { owner, self_owner, previous_owner, next_owner, .. } = release;
    let same = |of: &Option<String>| {
        owner.as_deref().zip(of.as_deref()).map(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    let is_not_ours = same(self_owner).map_or(same(previous_owner) == Some(true), |same| !same);
    next_owner.is_none() && is_not_ours
}

/// Whether an answer to a read says that there is no such release.
pub(super) fn is_not_there(reply: &Reply) -> bool {
    matches!(reply, Reply::Answered(answer) if is_not_found(answer))
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

/// The name under which a record waits for a container's release; short, as all in the ledger, and
/// the same whatever its letters.
pub(super) fn waited_for(container: &str, bl: Option<&str>) -> String {
    let name = bl.map_or_else(
        || container.trim().to_uppercase(),
        |bl| format!("{} {}", container.trim(), bl.trim()).to_uppercase(),
    );
    match name.len() {
        ..=80 => name,
        _ => blake3::hash(name.as_bytes()).to_hex().to_string(),
    }
}

/// Whether two texts are the same VAT number, however they are written; what has neither letters nor
/// digits is none.
pub fn same_vat(a: &str, b: &str) -> bool {
    let plain = |vat: &str| -> String {
        vat.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
    };
    let a = plain(a);
    !a.is_empty() && a == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_vat_number_is_nobodys() {
        assert!(same_vat("be 0417.497.106", "BE0417497106"));
        assert!(!same_vat("-", ""));
        assert!(!same_vat("-", "-"));
        assert!(!same_vat("BE1", "BE2"));
    }

    #[test]
    fn a_release_was_taken_back_only_if_its_owner_is_whom_it_came_from() {
        let some = |text: &str| Some(text.to_owned());
        let ours = Release {
            owner: some("0xA"),
            self_owner: some("0xa"),
            previous_owner: some("0xC"),
            ..Release::default()
        };
        assert!(!was_taken_back(&ours));
        let back = Release { owner: some("0xc"), ..ours.clone() };
        assert!(was_taken_back(&back));
        // An owner whom nothing names, as where it is told in another way, says nothing.
        assert!(!was_taken_back(&Release { owner: some("0xF"), ..ours.clone() }));
        assert!(!was_taken_back(&Release { owner: None, ..ours.clone() }));
        let away = Release { next_owner: some("0xD"), ..back.clone() };
        assert!(!was_taken_back(&away), "it is ours to take back");
        assert!(!was_taken_back(&Release { self_owner: None, ..back }));
    }
}
