//! LoginRefusals: how often a login was refused in a row, and when it is left alone.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Ledger;

/// A refused password is tried so often, then only when it changed or after a while: accounts lock
/// (design, section 4.1).
const TRIES: u32 = 3;
const REST: SignedDuration = SignedDuration::from_hours(6);

/// How often a login was refused in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRefusals {
    /// How often.
    pub times: u32,
    /// When last.
    pub last: Option<Timestamp>,
    /// Sixteen bits by which a changed secret is noticed.
    pub secret_mark: Option<u16>,
}

impl LoginRefusals {
    /// Whether the login is left alone, with the secret that bears this mark.
    pub fn rests(&self, mark: Option<u16>, now: Timestamp) -> bool {
        let Some(last) = self.last else { return false };
        // A clock that was set back must not make the rest longer.
        let passed = now.duration_since(last).abs();
        self.times >= TRIES && self.secret_mark == mark && passed < REST
    }

    /// With one more, of the secret that bears this mark.
    fn and_another(&self, mark: Option<u16>, now: Timestamp) -> LoginRefusals {
        let times = if self.secret_mark == mark { self.times + 1 } else { 1 };
        LoginRefusals { times, last: Some(now), secret_mark: mark }
    }
}

impl Ledger {
    /// How often a login was refused in a row.
    pub async fn refusals(&self, login: &str) -> anyhow::Result<LoginRefusals> {
        let login = login.to_owned();
        self.change(move |store| store.login(&login)).await
    }

    /// Counts a refusal of a login with the secret that bears this mark.
    pub async fn login_refused(&self, login: &str, mark: Option<u16>) -> anyhow::Result<()> {
        let login = login.to_owned();
        self.change(move |store| {
            let refusals = store.login(&login)?.and_another(mark, Timestamp::now());
            store.set_login(&login, &refusals);
            Ok(())
        })
        .await
    }

    /// Takes back a try that did not come to it: what was counted before it.
    pub async fn login_not_tried(&self, login: &str, before: LoginRefusals) -> anyhow::Result<()> {
        let login = login.to_owned();
        self.update(move |store| store.set_login(&login, &before)).await
    }

    /// Forgets the refusals of a login.
    pub async fn login_taken(&self, login: &str) -> anyhow::Result<()> {
        let login = login.to_owned();
        self.update(move |store| store.set_login(&login, &LoginRefusals::default())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_rests_after_three_refusals_until_its_secret_changes_or_six_hours_passed() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let refused = |times| LoginRefusals { times, last: Some(at(1000)), secret_mark: Some(7) };
        assert!(!refused(2).rests(Some(7), at(1001)));
        assert!(refused(3).rests(Some(7), at(1600)));
        assert!(!refused(3).rests(Some(8), at(1600)));
        assert!(!refused(4).rests(Some(7), at(1000 + 21_600)));
        assert_eq!(refused(2).and_another(Some(7), at(2)).times, 3);
        assert_eq!(refused(3).and_another(Some(8), at(2)).times, 1);
    }
}
