//! Precedence: which of the calls for one release may go, and what is known of the release after it
//! (design, section 3.4). Pure.

use crate::ledger::{Age, ReleaseAge};

/// How a call bears on others for its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// It overwrites what is older, and what is newer makes it pointless: assign, unassign.
    Overwrites,
    /// Nothing newer goes before it is done, nothing makes it pointless, and it makes pointless what
    /// older assignments still wait: transfer.
    HandsOver,
    /// The same, but it makes nothing pointless: revoke. What was assigned while the release was away
    /// waits for its return.
    TakesBack,
}

impl Bearing {
    /// Whether nothing newer goes before it is done.
    pub fn moves(self) -> bool {
        self != Bearing::Overwrites
    }
}

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// It may.
    Go,
    /// Never: a newer one was delivered.
    Superseded,
    /// Not before another call is done.
    Wait(&'static str),
}

/// What an attempt told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is done.
    Taken,
    /// It is accepted, and still to be confirmed.
    Accepted,
    /// The API answered that it has not taken it.
    Refused,
    /// It is not known whether the API has taken it.
    Nothing,
    /// It was not sent.
    Unsent,
}

/// Whether the call of this age may go; `held` tells that an older transfer or revoke is not done.
pub fn may(bearing: Bearing, mine: Age, known: &ReleaseAge, held: bool) -> May {
    let overwritten = bearing == Bearing::Overwrites && known.last.is_some_and(|last| last > mine);
    if overwritten {
        return May::Superseded;
    }
    if known.busy.is_some_and(|busy| busy != mine) {
        return May::Wait("an earlier call for this release is not confirmed yet");
    }
    if held {
        return May::Wait("an earlier transfer or revoke of this release is not done yet");
    }
    // A newer call that waits itself for this one must not be waited for.
    if bearing == Bearing::Overwrites && known.tried.is_some_and(|tried| tried > mine) {
        return May::Wait("a newer call for this release was sent and is not done yet");
    }
    May::Go
}

/// What is noted before the call goes: whatever comes back, or nothing by a crash, nothing older that
/// it overwrites may go before it is final.
pub fn before_call(bearing: Bearing, known: ReleaseAge, mine: Age) -> ReleaseAge {
    match bearing {
        Bearing::Overwrites | Bearing::HandsOver => {
            ReleaseAge { tried: known.tried.max(Some(mine)), ..known }
        }
        Bearing::TakesBack => known,
    }
}

/// What is known after an attempt, of what was known before it; none if nothing new is since it was
/// noted before the call. `is_final` tells that the record will not be tried again.
pub fn after_call(
    bearing: Bearing,
    known: ReleaseAge,
    mine: Age,
    answered: Answered,
    is_final: bool,
) -> Option<ReleaseAge> {
    let others = known.tried.filter(|tried| *tried != mine);
    let newer = others.filter(|tried| *tried > mine);
    match answered {
        Answered::Taken | Answered::Accepted => Some(ReleaseAge {
            last: match bearing {
                Bearing::Overwrites | Bearing::HandsOver => known.last.max(Some(mine)),
                Bearing::TakesBack => known.last,
            },
            busy: (answered == Answered::Accepted && !is_final).then_some(mine),
            tried: if bearing == Bearing::TakesBack { known.tried } else { newer },
            ..known
        }),
        // It may have been taken, so that nothing older may follow it.
        Answered::Nothing if is_final && bearing != Bearing::TakesBack => {
            Some(ReleaseAge { last: known.last.max(Some(mine)), tried: newer, ..known })
        }
        // What is set aside keeps nothing back, but another call may still be lost.
        Answered::Refused | Answered::Nothing if is_final => {
            Some(ReleaseAge { tried: others, ..known })
        }
        // Even what an API answers with a fault it may have done, and it goes again.
        Answered::Refused | Answered::Nothing => None,
        Answered::Unsent => Some(known),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::model::Arrival;

    fn age(ordinal: u64) -> Age {
        (Arrival(1), ordinal)
    }

    /// One release and the records for it: which wait, which are done, and what the API did. It
    /// knows the rules by their words alone, not by what is noted of them.
    #[derive(Default)]
    struct Model {
        known: ReleaseAge,
        /// What waits, by ordinal; whether its 202 is to be confirmed.
        waits: BTreeMap<u64, (Bearing, bool)>,
        /// Those that were delivered, superseded, or set aside.
        done: BTreeMap<u64, &'static str>,
        /// The records whose calls the API has carried out, in that order, whether heard or not.
        carried_out: Vec<u64>,
        /// The records that wait though their call went out at least once.
        sent: BTreeSet<u64>,
        /// Those of them of which an answer was lost.
        lost: BTreeSet<u64>,
        /// By whose transfer it is another company's, if it is; by a person's hand if by none of these.
        away: Option<u64>,
    }

    /// A person who moves the release in the web application.
    const BY_HAND: u64 = u64::MAX;

    /// What happens to the record whose turn it is.
    #[derive(Clone, Copy, Debug)]
    enum Luck {
        Taken,
        /// Accepted, and confirmed at once or later.
        Accepted,
        /// Accepted, and nothing shows it in time.
        Unknown,
        Refused,
        /// Answered with a fault, as by what stands before the API.
        RefusedThoughCarriedOut,
        RefusedForGood,
        /// The channel turned out to be paused.
        Unsent,
        Lost,
        LostThoughCarriedOut,
        Crash,
        /// A person transfers the release or takes it back meanwhile.
        MovedByHand,
    }

    fn luck() -> impl Strategy<Value = Luck> {
        prop_oneof![
            3 => Just(Luck::Taken),
            3 => Just(Luck::Accepted),
            1 => Just(Luck::Unknown),
            2 => Just(Luck::Refused),
            2 => Just(Luck::RefusedThoughCarriedOut),
            1 => Just(Luck::RefusedForGood),
            1 => Just(Luck::Unsent),
            1 => Just(Luck::Lost),
            2 => Just(Luck::LostThoughCarriedOut),
            1 => Just(Luck::Crash),
            2 => Just(Luck::MovedByHand),
        ]
    }

    impl Model {
        fn works(&mut self, ordinal: u64, luck: Luck) {
            let Some((bearing, confirming)) = self.waits.get(&ordinal).copied() else { return };
            let mine = age(ordinal);
            if confirming {
                return self.answer(ordinal, bearing, self.known, Answered::Taken, "delivered");
            }
            let held = self.waits.range(..ordinal).any(|(_, (bearing, _))| bearing.moves());
            match may(bearing, mine, &self.known, held) {
                May::Wait(_) => return,
                May::Superseded => {
                    assert_eq!(bearing, Bearing::Overwrites, "what moves is never superseded");
                    // What was accepted counts, too.
                    let newer = |(of, end): (&u64, &&str)| *of > ordinal && *end != "refused";
                    let busy = self.waits.iter().any(|(of, (_, busy))| *of > ordinal && *busy);
                    assert!(busy || self.done.iter().any(newer), "for nothing newer");
                    self.waits.remove(&ordinal);
                    self.done.insert(ordinal, "superseded");
                    return;
                }
                May::Go => {}
            }
            if self.is_elsewhere(bearing) {
                return self.finds_it_elsewhere(ordinal, bearing);
            }
            self.may_go_by_the_words(ordinal, bearing);
            let before = self.known;
            self.known = before_call(bearing, before, mine);
            let mut after = |answered, is_final| {
                let told = after_call(bearing, before, mine, answered, is_final);
                self.known = told.unwrap_or(self.known);
            };
            match luck {
                Luck::Taken => {
                    after(Answered::Taken, true);
                    self.carry_out(ordinal, bearing);
                    self.end(ordinal, "delivered");
                }
                Luck::Accepted => {
                    after(Answered::Accepted, false);
                    self.carry_out(ordinal, bearing);
                    self.lost.remove(&ordinal);
                    self.sent.remove(&ordinal);
                    self.waits.insert(ordinal, (bearing, true));
                }
                Luck::Unknown => {
                    after(Answered::Accepted, true);
                    self.end(ordinal, "unknown");
                }
                Luck::Refused => {
                    after(Answered::Refused, false);
                    self.sent.insert(ordinal);
                }
                Luck::RefusedThoughCarriedOut => {
                    after(Answered::Refused, false);
                    self.carry_out(ordinal, bearing);
                    self.sent.insert(ordinal);
                }
                Luck::RefusedForGood => {
                    let answered = self.refused_for_good(ordinal);
                    self.answer(ordinal, bearing, before, answered, "refused");
                }
                Luck::Unsent => after(Answered::Unsent, false),
                Luck::Lost | Luck::Crash => {
                    self.lost.insert(ordinal);
                    self.sent.insert(ordinal);
                }
                Luck::LostThoughCarriedOut => {
                    self.carry_out(ordinal, bearing);
                    self.lost.insert(ordinal);
                    self.sent.insert(ordinal);
                }
                Luck::MovedByHand => {}
            }
        }

        fn carry_out(&mut self, ordinal: u64, bearing: Bearing) {
            self.carried_out.push(ordinal);
            match bearing {
                Bearing::Overwrites => {}
                Bearing::HandsOver => self.away = Some(ordinal),
                Bearing::TakesBack => self.away = None,
            }
        }

        fn move_by_hand(&mut self) {
            self.away = if self.away.is_some() { None } else { Some(BY_HAND) };
        }

        /// Whether the release is not where this can be done to it.
        fn is_elsewhere(&self, bearing: Bearing) -> bool {
            self.away.is_some() == (bearing != Bearing::TakesBack)
        }

        /// An assignment waits for its return. What moves it was done by a call of its own, or has
        /// nothing to do.
        fn finds_it_elsewhere(&mut self, ordinal: u64, bearing: Bearing) {
            if !bearing.moves() {
                return;
            }
            let tried = self.sent.contains(&ordinal);
            if tried && (bearing == Bearing::TakesBack || self.away == Some(ordinal)) {
                return self.answer(ordinal, bearing, self.known, Answered::Taken, "delivered");
            }
            let older = self.waits.range(..ordinal).any(|(_, (older, _))| older.moves());
            assert!(!older, "{ordinal} is set aside though an older one may bring it there");
            let answered = self.refused_for_good(ordinal);
            self.answer(ordinal, bearing, self.known, answered, "refused");
        }

        fn refused_for_good(&self, ordinal: u64) -> Answered {
            match self.lost.contains(&ordinal) {
                true => Answered::Nothing,
                false => Answered::Refused,
            }
        }

        fn answer(
            &mut self,
            ordinal: u64,
            bearing: Bearing,
            before: ReleaseAge,
            answered: Answered,
            end: &'static str,
        ) {
            let told = after_call(bearing, before, age(ordinal), answered, true);
            self.known = told.unwrap_or(self.known);
            self.end(ordinal, end);
            // The ledger notes one alone, and looks for others that were sent.
            let others = self.sent.iter().copied().filter(|of| self.overwrites_or_hands_over(*of));
            self.known.tried = self.known.tried.max(others.max().map(age));
        }

        fn end(&mut self, ordinal: u64, end: &'static str) {
            self.waits.remove(&ordinal);
            self.sent.remove(&ordinal);
            let end = match (end, self.lost.remove(&ordinal)) {
                ("refused", true) => "unknown",
                (end, _) => end,
            };
            self.done.insert(ordinal, end);
        }

        /// The design's section 3.4, sentence by sentence.
        fn may_go_by_the_words(&self, ordinal: u64, bearing: Bearing) {
            for (of, (other, confirming)) in &self.waits {
                assert!(*of == ordinal || !confirming, "{ordinal} goes while {of} is busy");
                assert!(
                    *of >= ordinal || !other.moves(),
                    "{ordinal} overtakes {of}, which is not delivered"
                );
            }
            if bearing == Bearing::Overwrites {
                let is_newer = |of: &u64| *of > ordinal && self.overwrites_or_hands_over(*of);
                let newer = self.sent.iter().find(|of| is_newer(of));
                assert_eq!(
                    newer, None,
                    "{ordinal} goes though a newer one was sent and is not done"
                );
                let newest = self.carried_out.iter().copied().filter(|of| {
                    let is_move_back = !self.overwrites_or_hands_over(*of);
                    let is_given_up = matches!(self.done.get(of), Some(&"refused"));
                    !is_move_back && !is_given_up
                });
                assert!(
                    newest.max().is_none_or(|newest| newest <= ordinal),
                    "{ordinal} follows a newer one: {:?}",
                    self.carried_out
                );
            }
        }

        fn overwrites_or_hands_over(&self, ordinal: u64) -> bool {
            ordinal % 4 != 3
        }
    }

    /// By its ordinal, so that the model need not remember it: of four one is a revoke.
    fn bearing_of(ordinal: u64, moves: bool) -> Bearing {
        match (ordinal % 4, moves) {
            (3, _) => Bearing::TakesBack,
            (2, true) => Bearing::HandsOver,
            _ => Bearing::Overwrites,
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_order_of_one_release_is_kept_and_everything_ends(
            hands_over in proptest::collection::vec(any::<bool>(), 12),
            steps in proptest::collection::vec((any::<proptest::sample::Index>(), luck()), 0..120),
            arrivals in proptest::collection::vec(0usize..3, 12),
        ) {
            let mut model = Model::default();
            let mut next = 0;
            let mut arrivals = arrivals.into_iter().cycle();
            for (which, luck) in steps {
                // Records come in by and by, in the order of their age.
                for _ in 0..arrivals.next().unwrap_or(1) {
                    if next < hands_over.len() {
                        let bearing = bearing_of(next as u64, hands_over[next]);
                        model.waits.insert(next as u64, (bearing, false));
                        next += 1;
                    }
                }
                if let Luck::MovedByHand = luck {
                    model.move_by_hand();
                } else if !model.waits.is_empty() {
                    let waiting: Vec<u64> = model.waits.keys().copied().collect();
                    model.works(waiting[which.index(waiting.len())], luck);
                }
            }
            // From now on all goes well: each round at least one can go. In the end only assignments
            // of a release that is another company's wait.
            let is_open = |model: &Model| {
                model.waits.values().any(|(bearing, busy)| {
                    *busy || bearing.moves() || !model.is_elsewhere(*bearing)
                })
            };
            while is_open(&model) {
                let before = model.waits.clone();
                for ordinal in before.keys() {
                    model.works(*ordinal, Luck::Taken);
                }
                prop_assert_ne!(&model.waits, &before, "they wait for each other");
            }
        }
    }

    #[test]
    fn an_older_one_waits_for_the_end_of_a_newer_one_that_was_answered_with_a_fault() {
        let mut known = before_call(Bearing::Overwrites, ReleaseAge::default(), age(5));
        let fault = after_call(Bearing::Overwrites, known, age(5), Answered::Refused, false);
        assert_eq!(fault, None, "nothing is taken back of what was noted");
        assert!(matches!(may(Bearing::Overwrites, age(3), &known, false), May::Wait(_)));
        assert_eq!(may(Bearing::HandsOver, age(3), &known, false), May::Go);
        assert_eq!(may(Bearing::Overwrites, age(5), &known, false), May::Go);
        let end =
            |answered| after_call(Bearing::Overwrites, known, age(5), answered, true).unwrap();
        let refused = end(Answered::Refused);
        assert_eq!(may(Bearing::Overwrites, age(3), &refused, false), May::Go);
        let unknown = end(Answered::Nothing);
        assert_eq!(may(Bearing::Overwrites, age(3), &unknown, false), May::Superseded);
        known = ReleaseAge::default();
        let unsent = after_call(Bearing::Overwrites, known, age(5), Answered::Unsent, false);
        assert_eq!(unsent, Some(known), "what was not sent keeps nothing back");
    }

    #[test]
    fn what_was_assigned_while_the_release_was_away_survives_its_return() {
        let mut known = ReleaseAge::default();
        let done = |known, bearing, ordinal| {
            after_call(bearing, known, age(ordinal), Answered::Taken, true).unwrap()
        };
        known = done(known, Bearing::HandsOver, 2);
        known = done(known, Bearing::TakesBack, 4);
        assert_eq!(may(Bearing::Overwrites, age(3), &known, false), May::Go);
        assert_eq!(may(Bearing::Overwrites, age(1), &known, false), May::Superseded);
        assert_eq!(may(Bearing::TakesBack, age(1), &known, false), May::Go);
    }
}
