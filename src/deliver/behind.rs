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

    /// What waits for its retry keeps newer calls for its containers back from now on; what does not
    /// lets them go.
    pub fn note(&self, message: &Message, call: Option<&Call>, outcome: &mut Outcome) {
        let mut waits = false;
        for change in &mut outcome.changes {
            let Change::Wait(waiting) = change else { continue };
            // What was accepted keeps nothing back.
            waiting.holds = None;
            if waiting.wait == Wait::Time {
                waits = true;
                let mut names = names(message, call, (waiting.first, waiting.last));
                waiting.holds = names.pop().map(|release| Holds {
                    api: short_api(API),
                    release,
                    others: names,
                    age: message.age_of(waiting.first),
                    to: None,
                });
            }
        }
        if !waits {
            let earlier = message.earlier.as_ref().and_then(|earlier| earlier.holds.as_ref());
            let mut frees = names(message, call, (message.first(), message.last()));
            if let Some(Holds { release, others, .. }) = earlier {
                frees.extend(others.iter().chain([release]).cloned());
            }
            // Each is taken once, however often it is named.
            frees.retain(|name| self.0.take_behind(name));
            outcome.frees = frees;
        }
    }
}

/// The names of the containers that a message's records of this range are for. Where they are not
/// known, all of the customer's.
fn names(message: &Message, call: Option<&Call>, (first, last): (u64, u64)) -> Vec<String> {
    let customer = &message.customer;
    let equipment = call.map(|call| call.equipment.as_slice()).unwrap_or_default();
    if equipment.len() as u64 != message.count() {
        return vec![any(customer)];
    }
    let of_range = message.ordinals().zip(equipment);
    let of_range = of_range.filter(|(ordinal, _)| (first..=last).contains(ordinal));
    of_range.map(|(_, container)| of(customer, container)).collect()
}

/// What stands for an SCR API's URL where calls to CPu keep others back.
const API: &str = "cpu";

fn of(customer: &str, container: &str) -> String {
    format!("cpu {customer} {container}")
}

/// The name of a call whose containers are not known: it keeps back all of the customer's.
fn any(customer: &str) -> String {
    of(customer, "*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arrival, Identity, State};

    fn message(records: Vec<(u64, u64)>) -> Message {
        Message {
            customer: "acme".to_owned(),
            source: "erp".to_owned(),
            identity: Identity([7; 32]),
            arrival: Arrival(3),
            generation: 0,
            records,
            line: 1,
            lines: Vec::new(),
            body: Vec::new(),
            earlier: None,
            origin: None,
        }
    }

    fn call(containers: &[&str]) -> Call {
        Call {
            path: Vec::new(),
            body: serde_json::Value::Null,
            equipment: containers.iter().map(|container| (*container).to_owned()).collect(),
        }
    }

    fn held(outcome: &Outcome) -> Vec<(u64, Vec<&str>)> {
        let mut held = Vec::new();
        for change in &outcome.changes {
            let Change::Wait(waiting) = change else { continue };
            let Some(holds) = &waiting.holds else { continue };
            let all = holds.others.iter().chain([&holds.release]);
            let mut all: Vec<&str> = all.map(String::as_str).collect();
            all.sort_unstable();
            held.push((holds.age.1, all));
        }
        held
    }

    #[test]
    fn a_message_of_several_keeps_back_its_own_containers_and_each_half_its_own() {
        let (behind, call) = (Behind::default(), call(&["C1", "C2", "C3"]));
        let message = message(vec![(1, 1), (4, 5)]);
        let now = Timestamp::now();
        let mut waits = message.wait(Wait::Time, now, now, true, "500");
        behind.note(&message, Some(&call), &mut waits);
        assert_eq!(held(&waits), [(1, vec!["cpu acme C1", "cpu acme C2", "cpu acme C3"])]);
        let mut halves = message.halve(now, "405");
        behind.note(&message, Some(&call), &mut halves);
        let both = [(1, vec!["cpu acme C1"]), (4, vec!["cpu acme C2", "cpu acme C3"])];
        assert_eq!(held(&halves), both);
        let mut unlike = message.halve(now, "cut smaller");
        behind.note(&message, None, &mut unlike);
        assert_eq!(held(&unlike), [(1, vec!["cpu acme *"]), (4, vec!["cpu acme *"])]);
    }

    #[test]
    fn a_message_of_several_that_is_put_off_keeps_its_containers_back_too() {
        let (behind, call) = (Behind::default(), call(&["C1", "C2"]));
        let message = message(vec![(1, 2)]);
        let (first, max) = (std::time::Duration::from_secs(1), std::time::Duration::from_secs(2));
        let retry = Retry { first, max, give_up_after: max };
        let mut outcome = behind.put_off(&retry, &message, "cpu acme C1".to_owned());
        behind.note(&message, Some(&call), &mut outcome);
        assert_eq!(held(&outcome), [(1, vec!["cpu acme C1", "cpu acme C2"])]);
    }

    #[test]
    fn all_that_was_put_off_behind_a_message_is_freed_by_its_end() {
        let behind = Behind::default();
        let mut message = message(vec![(1, 2)]);
        for name in ["cpu acme C1", "cpu acme C2", "cpu acme *", "cpu acme C3"] {
            behind.0.put_off(name);
        }
        let now = Timestamp::now();
        let waits = message.wait(Wait::Time, now, now, true, "500");
        let Some(Change::Wait(mut waiting)) = waits.changes.into_iter().next() else { panic!() };
        waiting.holds = Some(Holds {
            api: short_api(API),
            release: "cpu acme *".to_owned(),
            others: Vec::new(),
            age: (Arrival(3), 1),
            to: None,
        });
        message.earlier = Some(waiting);
        let mut end = message.end(State::Delivered);
        behind.note(&message, Some(&call(&["C1", "C2"])), &mut end);
        assert_eq!(end.frees, ["cpu acme C1", "cpu acme C2", "cpu acme *"]);
    }
}
