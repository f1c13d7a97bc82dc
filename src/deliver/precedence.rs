//! Precedence: which of the calls for one release may go, and what is known of the release after it
//! (design, section 3.4). Pure.

use crate::ledger::{Age, ReleaseAge};

/// How a call bears on others for its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// A newer one overwrites it: assign, unassign.
    Overwrites,
    /// Nothing newer goes before it is done, and nothing makes it pointless: transfer, revoke.
    Moves,
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
    /// The API has not taken it.
    Refused,
    /// It is not known whether the API has taken it, or it was not sent.
    Nothing,
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
        return May::Wait("a newer call for this release is not answered yet");
    }
    May::Go
}

/// What is noted before the call goes: if its answer is lost, by a crash too, nothing older that it
/// overwrites may go before it has gone again.
pub fn before_call(known: ReleaseAge, mine: Age) -> ReleaseAge {
    ReleaseAge { tried: known.tried.max(Some(mine)), ..known }
}

/// What is known after an attempt, of what was known before it; none if nothing new is. `is_final`
/// tells that the record will not be tried again.
pub fn after_call(
    known: ReleaseAge,
    mine: Age,
    answered: Answered,
    is_final: bool,
) -> Option<ReleaseAge> {
    let others = known.tried.filter(|tried| *tried != mine);
    let newer = others.filter(|tried| *tried > mine);
    match answered {
        Answered::Taken | Answered::Accepted => Some(ReleaseAge {
            last: known.last.max(Some(mine)),
            busy: (answered == Answered::Accepted && !is_final).then_some(mine),
            tried: newer,
            ..known
        }),
        // What is set aside keeps nothing back, but another call may still be lost.
        Answered::Refused | Answered::Nothing if is_final => {
            Some(ReleaseAge { tried: others, ..known })
        }
        // What an earlier attempt has done is not known by this answer.
        Answered::Refused => Some(known),
        Answered::Nothing => None,
    }
}
