//! Words: what CPu told of one call, and what becomes of its records by that. Pure.
//!
//! Whether a call for several is told of at once or container by container is not public
//! (reference/domain.md, section 3): both are understood.

use std::collections::BTreeMap;

use super::{Message, Outcome};
use crate::ledger::{Change, Told};
use crate::model::State;
use crate::remote::cpu::{Notification, container};

/// One notification of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The container that it names, as containers are compared.
    pub container: Option<String>,
    /// Why it failed; none if it was done.
    pub failure: Option<String>,
}

/// What is known of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was done.
    Done,
    /// It failed, and why.
    Failed(String),
}

/// What is known of each record of a call, by the container that it is for.
///
/// A word on a record's own container decides for that record, and a failure outweighs a success,
/// in whatever order they come. A word that names no container decides for all that have no word of
/// their own. So does one that names a container of none of them, since nobody knows how CPu may
/// write a name, unless words on their containers are there or, as `named` tells, came before.
pub fn known(equipment: &[String], named: bool, words: &[Word]) -> Vec<Option<Known>> {
    let names: Vec<Option<String>> = equipment.iter().map(|name| container(name)).collect();
    let mut own: BTreeMap<&str, Option<Known>> =
        names.iter().flatten().map(|name| (name.as_str(), None)).collect();
    let (mut of_all, mut of_others) = (None, None);
    for word in words {
        let told = match word.container.as_deref() {
            None => &mut of_all,
            Some(name) => own.get_mut(name).unwrap_or(&mut of_others),
        };
        match (&told, &word.failure) {
            (Some(Known::Failed(_)), _) | (Some(Known::Done), None) => {}
            (_, Some(failure)) => *told = Some(Known::Failed(failure.clone())),
            (None, None) => *told = Some(Known::Done),
        }
    }
    if !named && own.values().all(Option::is_none) {
        of_all = worse(of_all, of_others);
    }
    let of = |name: &Option<String>| name.as_deref().and_then(|name| own.get(name)?.clone());
    names.iter().map(|name| of(name).or_else(|| of_all.clone())).collect()
}

/// The failure of two, if one is.
fn worse(one: Option<Known>, other: Option<Known>) -> Option<Known> {
    match (one, other) {
        (one @ Some(Known::Failed(_)), _) | (one, None) => one,
        (_, other) => other,
    }
}

/// The records of a message of which something is known are done or set aside; of the others `rest`
/// tells what becomes. It was counted as a message when it was accepted.
pub fn settle(
    message: &Message,
    known: &[Option<Known>],
    rest: impl FnOnce(&Message) -> Outcome,
) -> Outcome {
    let part = |which: fn(&Option<Known>) -> bool| {
        let part = message.part(|at| known.get(at).map_or(which(&None), which));
        (part.count() > 0).then_some(part)
    };
    let mut outcome = Outcome::default();
    if let Some(done) = part(|known| *known == Some(Known::Done)) {
        outcome = done.end(State::Delivered);
    }
    if let Some(failed) = part(|known| matches!(known, Some(Known::Failed(_)))) {
        let why: BTreeMap<u64, &Option<Known>> = message.ordinals().zip(known).collect();
        let set_aside = failed.quarantine(|record, line| {
            let why = match why.get(&record) {
                Some(Some(Known::Failed(why))) => why,
                _ => "",
            };
            message.problem(record, line, "refused", "", why)
        });
        outcome.changes.extend(set_aside.changes);
        outcome.problems = set_aside.problems;
    }
    outcome.changes.retain(|change| *change != Change::Message);
    let Some(left) = part(Option::is_none) else { return outcome };
    let is_some_known = !outcome.changes.is_empty();
    let left = rest(&left);
    for mut change in left.changes {
        if let Change::Wait(waiting) = &mut change {
            // What decides for all leaves none.
            waiting.named |= is_some_known;
        }
        outcome.changes.push(change);
    }
    outcome.problems.extend(left.problems);
    Outcome { changes: outcome.changes, problems: outcome.problems, ..left }
}

impl From<&Told> for Word {
    fn from(told: &Told) -> Word {
        Word { container: told.container.clone(), failure: told.failure.clone() }
    }
}

impl From<&Notification> for Word {
    fn from(told: &Notification) -> Word {
        Word { container: told.container.clone(), failure: told.failure() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{Progress, Wait, Waiting};
    use crate::model::{Arrival, Identity};

    fn word(container: &str, failure: &str) -> Word {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Word { container: text(container), failure: text(failure) }
    }

    /// `+` done, `-` failed, `.` unknown, by record.
    fn told(known: &[Option<Known>]) -> String {
        let sign = |known: &Option<Known>| match known {
            None => '.',
            Some(Known::Done) => '+',
            Some(Known::Failed(_)) => '-',
        };
        known.iter().map(sign).collect()
    }

    fn of(containers: &[&str], named: bool, words: &[(&str, &str)]) -> String {
        let equipment: Vec<String> = containers.iter().map(|name| (*name).to_owned()).collect();
        let words: Vec<Word> = words.iter().map(|(name, failure)| word(name, failure)).collect();
        told(&known(&equipment, named, &words))
    }

    const THREE: &[&str] = &["C1", "c-2", "C 3"];

    #[test]
    fn a_word_decides_for_the_container_that_it_names() {
        assert_eq!(of(THREE, false, &[]), "...");
        assert_eq!(of(THREE, false, &[("C2", "")]), ".+.");
        assert_eq!(of(THREE, false, &[("C3", "no"), ("C1", "")]), "+.-");
        assert_eq!(of(THREE, false, &[("C1", ""), ("C1", "no"), ("C2", "no"), ("C2", "")]), "--.");
    }

    #[test]
    fn a_word_that_names_none_decides_for_all_that_have_none_of_their_own() {
        assert_eq!(of(THREE, false, &[("", "")]), "+++");
        assert_eq!(of(THREE, true, &[("", "no")]), "---");
        assert_eq!(of(THREE, false, &[("", ""), ("C2", "no")]), "+-+");
        assert_eq!(of(THREE, false, &[("", "no"), ("C2", "")]), "-+-");
    }

    #[test]
    fn a_name_of_none_of_them_counts_for_nothing_once_others_are_named() {
        assert_eq!(of(THREE, false, &[("X", "")]), "+++");
        assert_eq!(of(&["C1"], false, &[("X", "no")]), "-");
        assert_eq!(of(THREE, true, &[("X", "")]), "...");
        assert_eq!(of(&["C1"], true, &[("X", "no")]), ".");
        assert_eq!(of(THREE, false, &[("X", "no"), ("C1", "")]), "+..");
        assert_eq!(of(THREE, false, &[("X", "no"), ("", "")]), "---");
    }

    /// Records 2, 3, 5, 6, … for containers C0, C1, …, parked as one message.
    fn parked(count: usize) -> Message {
        let ordinals: Vec<u64> = (0..count as u64).map(|at| at + at / 2 + 2).collect();
        let mut message = Message {
            customer: "acme".to_owned(),
            source: "erp".to_owned(),
            identity: Identity([7; 32]),
            arrival: Arrival(3),
            generation: 0,
            records: ordinals.iter().map(|ordinal| (*ordinal, *ordinal)).collect(),
            line: ordinals[0] * 10,
            lines: ordinals.iter().map(|ordinal| ordinal * 10).collect(),
            body: Vec::new(),
            earlier: None,
            origin: None,
        };
        message.earlier = waiting(&waits(&message));
        message
    }

    fn waits(message: &Message) -> Outcome {
        let now = Timestamp::UNIX_EPOCH;
        message.wait(Wait::Verdict, now, now, false, "accepted")
    }

    fn waiting(outcome: &Outcome) -> Option<Waiting> {
        outcome.changes.iter().find_map(|change| match change {
            Change::Wait(waiting) => Some(waiting.clone()),
            _ => None,
        })
    }

    /// What the ledger makes of an outcome.
    fn apply(progress: &mut Progress, outcome: &Outcome) {
        for change in &outcome.changes {
            match change {
                Change::Final(state, ranges) => {
                    let set = progress.of(*state).unwrap();
                    for (first, last) in ranges {
                        set.insert(*first, *last);
                    }
                }
                Change::Wait(waiting) => {
                    progress.waiting.insert(waiting.first, waiting.clone());
                }
                Change::Unwait(first) => {
                    progress.waiting.remove(first);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_known_is_settled_and_the_rest_waits_on_by_name() {
        let message = parked(4);
        let known = known(
            &["C0", "C1", "C2", "C3"].map(str::to_owned),
            false,
            &[word("C1", ""), word("C2", "NotValidated: no such B/L")],
        );
        let outcome = settle(&message, &known, waits);
        let problems: Vec<(u64, u64, &str)> = outcome
            .problems
            .iter()
            .map(|problem| (problem.record, problem.line, problem.advice.as_str()))
            .collect();
        assert_eq!(problems, [(5, 50, "NotValidated: no such B/L")]);
        let rest = waiting(&outcome).unwrap();
        assert_eq!((rest.first, rest.last, rest.named), (2, 6, true));
        let mut progress = Progress::default();
        apply(&mut progress, &waits(&message));
        apply(&mut progress, &outcome);
        assert_eq!(progress.delivered.ranges(), [(3, 3)]);
        assert_eq!(progress.quarantined.ranges(), [(5, 5)]);
        assert_eq!(progress.waiting.len(), 1);
        // Nobody has told anything yet.
        let outcome = settle(&message, &vec![None; 4], waits);
        assert!(!waiting(&outcome).unwrap().named);
        assert_eq!(outcome.changes.len(), 1, "{outcome:?}");
    }

    proptest! {
        /// Words come in any order, some of them again, some in one look and some in another: what
        /// becomes of each record is what its own word says.
        #[test]
        fn every_record_ends_as_its_container_was_told(
            failed in prop::collection::vec(any::<bool>(), 1..12),
            order in prop::collection::vec((any::<prop::sample::Index>(), 1..4usize), 12..60),
        ) {
            let whole = parked(failed.len());
            let place: BTreeMap<u64, usize> =
                whole.ordinals().enumerate().map(|(at, ordinal)| (ordinal, at)).collect();
            let name = |at: usize| format!("C{at}");
            let mut progress = Progress::default();
            apply(&mut progress, &waits(&whole));
            let every = (0..failed.len()).map(|at| (at, 1));
            let order = order.iter().map(|(index, look)| (index.index(failed.len()), *look));
            let mut told = Vec::new();
            let mut heard = std::collections::BTreeSet::new();
            for (at, look) in order.chain(every) {
                let failure = if failed[at] { format!("no {at}") } else { String::new() };
                told.push(word(&name(at), &failure));
                heard.insert(at);
                if told.len() < look {
                    continue;
                }
                let Some(waiting) = progress.waiting.values().next().cloned() else { break };
                // What is sent again is mapped again, without what is final.
                let message = whole.part(|at| {
                    !progress.is_final(*place.iter().find(|(_, of)| **of == at).unwrap().0)
                });
                let equipment: Vec<String> =
                    message.ordinals().map(|ordinal| name(place[&ordinal])).collect();
                let named = waiting.named;
                let message = Message { earlier: Some(waiting), ..message };
                let known = known(&equipment, named, &std::mem::take(&mut told));
                apply(&mut progress, &settle(&message, &known, waits));
                for (ordinal, at) in &place {
                    prop_assert_eq!(progress.is_final(*ordinal), heard.contains(at));
                }
            }
            for (ordinal, at) in &place {
                let set = if failed[*at] { &progress.quarantined } else { &progress.delivered };
                prop_assert!(set.contains(*ordinal));
            }
            prop_assert!(progress.waiting.is_empty());
        }

        /// In whatever order words come in one look, the same is known.
        #[test]
        fn the_order_of_words_in_one_look_does_not_matter(
            count in 1..5usize,
            named in any::<bool>(),
            words in prop::collection::vec((0..7usize, any::<bool>()), 0..10)
                .prop_flat_map(|words| (Just(words.clone()), Just(words).prop_shuffle())),
        ) {
            let equipment: Vec<String> = (0..count).map(|at| format!("C{at}")).collect();
            let of = |words: &[(usize, bool)]| {
                let name = |at: usize| if at == 6 { String::new() } else { format!("C{at}") };
                let words: Vec<Word> = words
                    .iter()
                    .map(|(at, fails)| word(&name(*at), if *fails { "no" } else { "" }))
                    .collect();
                told(&known(&equipment, named, &words))
            };
            prop_assert_eq!(of(&words.0), of(&words.1));
        }
    }
}
