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

    /// A company has not answered in time: whoever asks again is asked for anew.
    pub fn give_up_invitation(&mut self, api: &str, name: &str) -> anyhow::Result<()> {
        if let Some(invitation) = self.invitation(api, name)? {
            self.set_invitation(api, &Invitation { taken: false, ..invitation });
        }
        Ok(())
    }

    /// The references of a customer's invitations, as they are kept.
    pub fn references_of(&self, api: &str, customer: &str) -> anyhow::Result<Vec<String>> {
        let all = self.invitations(&short_api(api))?.into_iter();
        let own = all.filter(|of| of.customer == customer);
        Ok(own.filter_map(|of| of.reference).collect())
    }

    /// All invitations of an API.
    fn invitations(&self, api: &str) -> anyhow::Result<Vec<Invitation>> {
        let all = self.entries.starting_with(&format!("j/{api}/").into_bytes())?.into_values();
        all.map(|value| parse(&value)).collect()
    }

    /// A company answered: notes it with the invitations that are meant, those of its reference, or
    /// else those of its VAT number, and gives them. Without a VAT number a reference means none if
    /// several companies or customers have it.
    pub fn settle_invitations(
        &mut self,
        api: &str,
        reference: Option<&str>,
        vat: Option<&str>,
        accepted: bool,
        at: Timestamp,
    ) -> anyhow::Result<Vec<Invitation>> {
        let api = short_api(api);
        let all = self.invitations(&api)?;
        let same_vat = |of: &&Invitation| vat.is_some_and(|vat| of.vat == plain_vat(vat));
        let reference = reference.map(kept);
        let by_reference = |of: &&Invitation| {
            of.reference.is_some() && of.reference == reference && (vat.is_none() || same_vat(of))
        };
        let mut meant: Vec<&Invitation> = all.iter().filter(by_reference).collect();
        if meant.is_empty() {
            meant = all.iter().filter(same_vat).collect();
        }
        let is_like = |a: &&Invitation, b: &&Invitation| a.customer == b.customer && a.vat == b.vat;
        if vat.is_none() && !meant.is_sorted_by(is_like) {
            meant.clear();
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
