//! Invitations that records asked for.

use jiff::Timestamp;

use super::Store;
use super::hold::short_api;
use crate::ledger::entries::parse;
use crate::ledger::keys::invitation_key;
use crate::ledger::{Decision, Invitation, kept};

impl Store {
    /// The invitation of this name, if a record asked for it.
    pub fn invitation(&self, api: &str, name: &str) -> anyhow::Result<Option<Invitation>> {
        self.entries.get(&invitation_key(&short_api(api), name))
    }

    /// Notes an invitation.
    pub fn set_invitation(&mut self, api: &str, invitation: &Invitation) {
        self.entries.put(invitation_key(&short_api(api), &invitation.name()), invitation);
    }

    /// The API has taken an invitation; what the company answered meanwhile stays.
    pub(super) fn take_invitation(&mut self, api: &str, name: &str) -> anyhow::Result<()> {
        if let Some(invitation) = self.invitation(api, name)? {
            self.set_invitation(api, &Invitation { taken: true, ..invitation });
        }
        Ok(())
    }

    /// A company answered: notes it with the invitations that are meant, those of its reference, or
    /// else those of its VAT number, and gives them.
    pub fn settle_invitations(
        &mut self,
        api: &str,
        reference: Option<&str>,
        vat: Option<&str>,
        accepted: bool,
        at: Timestamp,
    ) -> anyhow::Result<Vec<Invitation>> {
        let api = short_api(api);
        let prefix = format!("j/{api}/").into_bytes();
        let all = self.entries.starting_with(&prefix)?.into_values();
        let all: Vec<Invitation> =
            all.map(|value| parse(&value)).collect::<anyhow::Result<Vec<Invitation>>>()?;
        let same_vat = |of: &&Invitation| vat.is_some_and(|vat| of.vat == plain_vat(vat));
        let reference = reference.map(kept);
        let by_reference = |of: &&Invitation| {
            of.reference.is_some() && of.reference == reference && (vat.is_none() || same_vat(of))
        };
        let mut meant: Vec<&Invitation> = all.iter().filter(by_reference).collect();
        if meant.is_empty() {
            meant = all.iter().filter(same_vat).collect();
        }
        let meant: Vec<Invitation> = meant
            .into_iter()
            .map(|of| Invitation { answer: Some(Decision { accepted, at }), ..of.clone() })
            .collect();
        for invitation in &meant {
            self.entries.put(invitation_key(&api, &invitation.name()), invitation);
        }
        Ok(meant)
    }

    /// Forgets the invitations that were answered, or asked for and never answered, before a time:
    /// how many.
    pub fn forget_invitations(&mut self, before: Timestamp) -> anyhow::Result<u64> {
        let mut forgotten = 0;
        for (key, value) in self.entries.starting_with(b"j/")? {
            let invitation: Invitation = parse(&value)?;
            let last = invitation.answer.map_or(invitation.asked, |answer| answer.at);
            if last < before {
                self.entries.remove(key);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }
}

/// A VAT number as it is kept: letters and digits alone.
pub fn plain_vat(vat: &str) -> String {
    let plain: String = vat.chars().filter(char::is_ascii_alphanumeric).collect();
    kept(&plain.to_ascii_uppercase())
}
