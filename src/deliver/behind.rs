//! Behind: a call to CPu does not go before an older one for the same container that waits for its
//! retry, of whatever file of the customer.

use jiff::Timestamp;

use super::call::Call;
use super::standing::Standing;
use super::{Message, Outcome, after, retry};
use crate::config::Retry;
use crate::ledger::{Change, Held, Holds, Ledger, Wait, short_api};

/// The calls of one channel that were put off because of older ones.
#[derive(Clone, Default)]
pub struct Behind(Standing);

impl Behind {
    /// By what name an older call that waits keeps this one back, if one does.
    pub async fn what(
        &self,
        ledger: &Ledger,
        message: &Message,
        call: &Call,
    ) -> anyhow::Result<Option<String>> {
        let customer = &message.customer;
        let mut names = vec![any(customer)];
        names.extend(call.equipment.iter().map(|container| of(customer, container)));
        let before = message.age();
        let is_held = move |store: &mut crate::ledger::Store, name: &String| {
            store.held(API, std::slice::from_ref(name), true, before) == Held::Yes
        };
        ledger.change(move |store| Ok(names.into_iter().find(|name| is_held(store, name)))).await
    }

    /// A call waits behind the older one of this name.
    pub fn put_off(&self, retry: &Retry, message: &Message, name: String) -> Outcome {
        let now = Timestamp::now();
        let attempts = message.earlier.as_ref().map_or(0, |earlier| earlier.attempts) + 1;
        let due = after(now, retry::wait(retry, attempts, 0.0));
        let reason = "an older call for its container is tried again first";
        let mut outcome = message.wait(Wait::Time, due, now, false, reason);
        self.0.put_off(&name);
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change {
                waiting.release = Some(name.clone());
            }
        }
        outcome
    }

    /// What waits for its retry keeps newer calls back from now on; what does not lets them go.
    pub fn note(&self, message: &Message, call: Option<&Call>, outcome: &mut Outcome) {
        let name = match call.map(|call| call.equipment.as_slice()) {
            Some([container]) => of(&message.customer, container),
            // Which containers a message of several was for is too much to be noted.
            _ => any(&message.customer),
        };
        let mut waits = false;
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change
                && waiting.wait == Wait::Time
            {
                waits = true;
                let earlier = message.earlier.as_ref().and_then(|earlier| earlier.holds.as_ref());
                if message.count() > 1 && waiting.release.is_some() && earlier.is_none() {
                    // Many messages of several may be put off behind one: were each to keep back
                    // all that is newer, they would go one by one.
                    continue;
                }
                waiting.holds = Some(Holds {
                    api: short_api(API),
                    release: name.clone(),
                    age: message.age_of(waiting.first),
                    to: None,
                });
            }
        }
        if !waits {
            let earlier = message.earlier.as_ref().and_then(|earlier| earlier.holds.as_ref());
            let names = [earlier.map(|holds| holds.release.clone()), Some(name)];
            let mut names = names.into_iter().flatten();
            outcome.frees = names.find(|name| self.0.take_behind(name));
        }
    }
}

/// What stands for an SCR API's URL where calls to CPu keep others back.
const API: &str = "cpu";

fn of(customer: &str, container: &str) -> String {
    format!("cpu {customer} {container}")
}

/// The name of a call for several containers: it keeps back all of the customer's.
fn any(customer: &str) -> String {
    of(customer, "*")
}
