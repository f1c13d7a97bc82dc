//! The look into a partner's folder: what is ready and new, and what is known to be fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Poll;
use crate::ledger::{Alarm, AlarmKind, Fetched, Known, Store};
use crate::pickup::sftp::listing;
use crate::pickup::{Candidate, Looks};
use crate::sftp::{Line, path_of};

impl Poll {
    /// Lists the partner's folder: what is ready and new, or only what of it was `seen` before; and
    /// when more may be.
    pub(super) async fn look(
        &self,
        line: &Line,
        broken_off: &BTreeSet<&str>,
        seen: bool,
        looks: &mut Looks,
    ) -> anyhow::Result<(Vec<Candidate>, Option<Duration>)> {
        let folder = self.sftp.path.clone();
        let entries = line.ask(move |session| session.list(&folder)).await??;
        let mut listed = listing(&self.source, entries);
        self.tell_refused(std::mem::take(&mut listed.refused)).await?;
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let there: BTreeSet<String> =
            listed.present.iter().map(|name| path_of(&self.sftp.path, name)).collect();
        let remember = self.run.parts.setup().of(&self.customer).config.limits.remember;
        let (fetched, known) = self
            .run
            .parts
            .ledger
            .change(move |store| {
                let known = store.known(&customer, &source)?;
                note_missing(store, (&customer, &source), &known, &there, remember);
                Ok((store.fetched(&customer, &source)?, known))
            })
            .await?;
        let is_fetched = |one: &Candidate| {
            let path = path_of(&self.sftp.path, &one.name);
            known.get(&path).is_some_and(|known| known.look == one.look)
                || fetched.iter().any(|(_, fetched)| self.is_of(one, fetched))
        };
        let is_new = |one: &Candidate| !broken_off.contains(one.name.as_str()) && !is_fetched(one);
        listed.candidates.retain(is_new);
        if seen {
            listed.candidates = looks.seen(listed.candidates);
        }
        let present = |name: &str| listed.present.contains(name);
        Ok(looks.judge(&self.source.ready, listed.candidates, Instant::now(), present))
    }

    fn is_of(&self, one: &Candidate, fetched: &Fetched) -> bool {
        fetched.folder == self.sftp.path && fetched.name == one.name && fetched.look == one.look
    }

    /// Says which names are left alone, for as long as they are there.
    async fn tell_refused(&self, refused: Vec<String>) -> anyhow::Result<()> {
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let alarm = refused.split_first().map(|(first, others)| Alarm {
            since: jiff::Timestamp::now(),
            customer: customer.clone(),
            channel: None,
            source: Some(source.clone()),
            kind: AlarmKind::FileName,
            advice: match others.len() {
                0 => format!("left alone in {}: {first}; have it renamed", self.sftp),
                more => format!(
                    "left alone in {}: {first}, and {more} more; have them renamed",
                    self.sftp
                ),
            },
        });
        let told = alarm.clone();
        let is_new = self
            .run
            .parts
            .ledger
            .change(move |store| match alarm {
                Some(alarm) => Ok(store.raise(alarm)),
                None => {
                    store.clear(|alarm| {
                        alarm.kind == AlarmKind::FileName
                            && alarm.customer == customer
                            && alarm.source.as_deref() == Some(&source)
                    });
                    Ok(false)
                }
            })
            .await?;
        if let Some(alarm) = told.filter(|_| is_new) {
            tracing::error!(customer = %self.customer, "{}", alarm.advice);
            refused.iter().for_each(|name| tracing::warn!(customer = %self.customer, "{name}"));
        }
        Ok(())
    }
}

/// Notes which known files are not there, and forgets those that have long been gone. A folder may
/// be away for a while: one empty listing is no reason to take all of it anew.
fn note_missing(
    store: &mut Store,
    (customer, source): (&str, &str),
    known: &BTreeMap<String, Known>,
    there: &BTreeSet<String>,
    remember: Duration,
) {
    let now = Timestamp::now();
    let remember = SignedDuration::try_from(remember).unwrap_or(SignedDuration::MAX);
    for known in known.values() {
        let missing = match (known.missing, there.contains(&known.path)) {
            (_, true) => None,
            (Some(since), false) if now.duration_since(since) > remember => {
                store.forget_known(customer, source, &known.path);
                continue;
            }
            (since, false) => since.or(Some(now)),
        };
        if missing != known.missing {
            store.set_known(customer, source, &Known { missing, ..known.clone() });
        }
    }
}
