//! Rota: who goes next when several customers want the same few places. Pure: it waits for nobody
//! and knows no clock.
//!
//! The next place goes to the customer that holds the least, counted by the scarcer of requests and
//! bytes (dominant resource fairness, Ghodsi et al. 2011); among equals to the one that was served
//! the least (start-time fair queueing, Goyal et al. 1996). So a lone customer may use everything,
//! and as soon as a second one comes, the two end up with half each.
//!
//! What is open cannot be taken back, and a dead server keeps it open for the length of a time-out.
//! So where there are others, a customer may hold at most three times what it leaves free (dynamic
//! thresholds, Choudhury and Hahne 1998): of 64 places one dead customer takes 48, a second one 12.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// A customer that holds something may hold so many times what is left free.
const TIMES_FREE: u64 = 3;

/// The one who waits with a message too large for what is free is passed by at most so much of all
/// bytes at once, so that what it needs comes together.
const PASSING: u64 = 4;

/// The number by which a request is known from lining up to leaving.
pub type Ticket = u64;

/// Places for requests and their bytes, who holds them, and who waits.
#[derive(Debug)]
pub struct Rota {
    limits: Size,
    /// Whether a part is kept free for customers that are not there yet.
    reserve: bool,
    taken: Size,
    customers: HashMap<String, Customer>,
    tickets: HashMap<Ticket, Place>,
    last: Ticket,
    /// How far the customer had been served that was called last.
    clock: u64,
    saving: Option<Saving>,
}

/// How much there is, or is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// How many requests of a customer are open, and how many wait for a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// Open.
    pub open: u64,
    /// Waiting for others.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct Customer {
    waiting: VecDeque<Ticket>,
    held: Size,
    /// What it was given so far, in bytes and a little for each request.
    served: u64,
}

#[derive(Debug)]
struct Place {
    customer: String,
    bytes: u64,
    open: bool,
    /// Whose turn it was when this one passed by.
    passed: Option<Ticket>,
}

/// One whose turn it is, but whose bytes are not free yet.
#[derive(Clone, Copy, Debug)]
struct Saving {
    ticket: Ticket,
    /// The bytes that are held by those who passed by since.
    passing: u64,
}

impl Rota {
    /// So many places; with a reserve where other customers may come.
    pub fn new(limits: Size, reserve: bool) -> Rota {
        Rota {
            limits,
            reserve,
            taken: Size::default(),
            customers: HashMap::new(),
            tickets: HashMap::new(),
            last: 0,
            clock: 0,
            saving: None,
        }
    }

    /// Changes how many places there are. What is open stays open.
    pub fn resize(&mut self, limits: Size, reserve: bool) {
        (self.limits, self.reserve) = (limits, reserve);
    }

    /// Lines up for a request of so many bytes.
    pub fn line_up(&mut self, customer: &str, bytes: u64) -> Ticket {
        self.last += 1;
        let of = self.customers.entry(customer.to_owned()).or_default();
        if of.waiting.is_empty() && of.held == Size::default() {
            // Who was away has saved nothing up.
            of.served = of.served.max(self.clock);
        }
        of.waiting.push_back(self.last);
        let place = Place { customer: customer.to_owned(), bytes, open: false, passed: None };
        self.tickets.insert(self.last, place);
        self.last
    }

    /// Calls the next one that may go, who holds a place from now on.
    pub fn call(&mut self) -> Option<Ticket> {
        if self.taken.requests >= self.limits.requests {
            return None;
        }
        let mut waiting: Vec<&str> = self
            .customers
            .iter()
            .filter(|(_, customer)| !customer.waiting.is_empty())
            .map(|(name, _)| name.as_str())
            .collect();
        let mut saving = self.saving;
        let mut called = None;
        while called.is_none() {
            let next = waiting.iter().enumerate().min_by_key(|(_, name)| self.rank(name));
            let Some((index, _)) = next else { break };
            called = self.may_go(waiting.swap_remove(index), &mut saving);
        }
        self.saving = saving;
        let ticket = called?;
        self.open(ticket);
        Some(ticket)
    }

    /// Gives a request's place back, or takes it out of the queue.
    pub fn leave(&mut self, ticket: Ticket) {
        let Some(place) = self.tickets.remove(&ticket) else { return };
        if self.saving.is_some_and(|saving| saving.ticket == ticket) {
            self.saving = None;
        }
        let Some(customer) = self.customers.get_mut(&place.customer) else { return };
        if !place.open {
            customer.waiting.retain(|waiting| *waiting != ticket);
            return;
        }
        customer.held.requests -= 1;
        customer.held.bytes -= place.bytes;
        self.taken.requests -= 1;
        self.taken.bytes -= place.bytes;
        self.passed_on(place.passed, place.bytes);
    }

    /// A request turns out to have fewer bytes than it lined up for.
    pub fn shrink(&mut self, ticket: Ticket, bytes: u64) {
        let Some(place) = self.tickets.get_mut(&ticket) else { return };
        let less = place.bytes.saturating_sub(bytes);
        place.bytes -= less;
        if !place.open {
            return;
        }
        let passed = place.passed;
        if let Some(customer) = self.customers.get_mut(&place.customer) {
            customer.held.bytes -= less;
            customer.served -= less;
        }
        self.taken.bytes -= less;
        self.passed_on(passed, less);
    }

    /// What a customer uses.
    pub fn of(&self, customer: &str) -> InUse {
        self.customers.get(customer).map_or_else(InUse::default, |customer| InUse {
            open: customer.held.requests,
            waiting: customer.waiting.len() as u64,
        })
    }

    /// The head of a customer's queue, if it may go now.
    fn may_go(&self, name: &str, saving: &mut Option<Saving>) -> Option<Ticket> {
        let customer = self.customers.get(name)?;
        let ticket = *customer.waiting.front()?;
        let bytes = self.tickets.get(&ticket)?.bytes;
        if self.reserve && customer.held.requests > 0 {
            let left = self.free().requests.saturating_sub(1);
            let left_bytes = self.free().bytes.saturating_sub(bytes);
            if customer.held.requests + 1 > TIMES_FREE * left
                || customer.held.bytes + bytes > TIMES_FREE.saturating_mul(left_bytes)
            {
                return None;
            }
        }
        // What is larger than all there is goes alone.
        if bytes > self.free().bytes && self.taken.bytes > 0 {
            saving.get_or_insert(Saving { ticket, passing: 0 });
            return None;
        }
        match saving.filter(|saving| saving.ticket != ticket) {
            Some(Saving { ticket: large, passing }) => {
                let needs = self.tickets.get(&large).map_or(0, |large| large.bytes);
                let leaves = self.limits.bytes.saturating_sub(needs);
                (passing + bytes <= leaves.min(self.limits.bytes / PASSING)).then_some(ticket)
            }
            None => Some(ticket),
        }
    }

    fn open(&mut self, ticket: Ticket) {
        let Some(place) = self.tickets.get_mut(&ticket) else { return };
        let Some(customer) = self.customers.get_mut(&place.customer) else { return };
        customer.waiting.pop_front();
        self.clock = self.clock.max(customer.served);
        // A request costs something even if it carries nothing.
        customer.served += place.bytes.saturating_add(1024);
        customer.held.requests += 1;
        customer.held.bytes += place.bytes;
        self.taken.requests += 1;
        self.taken.bytes += place.bytes;
        place.open = true;
        match &mut self.saving {
            Some(saving) if saving.ticket == ticket => self.saving = None,
            Some(saving) => {
                saving.passing += place.bytes;
                place.passed = Some(saving.ticket);
            }
            None => {}
        }
    }

    /// One that passed by holds so much less.
    fn passed_on(&mut self, passed: Option<Ticket>, bytes: u64) {
        if let (Some(saving), Some(passed)) = (&mut self.saving, passed)
            && saving.ticket == passed
        {
            saving.passing -= bytes;
        }
    }

    /// Smaller goes first: the dominant share, what was served, who came first.
    fn rank(&self, name: &str) -> (u128, u64, Ticket) {
        let Some(customer) = self.customers.get(name) else { return (u128::MAX, 0, 0) };
        let requests = u128::from(customer.held.requests) * u128::from(self.limits.bytes.max(1));
        let bytes = u128::from(customer.held.bytes) * u128::from(self.limits.requests.max(1));
        let first = customer.waiting.front().copied().unwrap_or(Ticket::MAX);
        (requests.max(bytes), customer.served, first)
    }

    fn free(&self) -> Size {
        Size {
            requests: self.limits.requests.saturating_sub(self.taken.requests),
            bytes: self.limits.bytes.saturating_sub(self.taken.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size { requests: 64, bytes: 64_000 };

    fn lined_up(rota: &mut Rota, customer: &str, times: usize, bytes: u64) -> Vec<Ticket> {
        (0..times).map(|_| rota.line_up(customer, bytes)).collect()
    }

    /// Calls all that may go.
    fn call_all(rota: &mut Rota) -> Vec<Ticket> {
        std::iter::from_fn(|| rota.call()).collect()
    }

    fn open(rota: &Rota, customer: &str) -> u64 {
        rota.of(customer).open
    }

    #[test]
    fn a_customer_alone_has_everything() {
        let mut rota = Rota::new(SIZE, false);
        let tickets = lined_up(&mut rota, "acme", 100, 10);
        assert_eq!(call_all(&mut rota), tickets[..64], "in the order of lining up");
        assert_eq!(rota.of("acme"), InUse { open: 64, waiting: 36 });
        rota.leave(tickets[5]);
        assert_eq!(call_all(&mut rota), [tickets[64]]);
    }

    #[test]
    fn where_there_are_others_a_quarter_stays_free_for_them() {
        let mut rota = Rota::new(SIZE, true);
        for (customer, places) in [("dead", 48), ("stuck", 12), ("slow", 3), ("late", 1)] {
            lined_up(&mut rota, customer, 100, 10);
            call_all(&mut rota);
            assert_eq!(open(&rota, customer), places, "{customer}");
        }
    }

    #[test]
    fn bytes_are_shared_as_requests_are() {
        let mut rota = Rota::new(SIZE, true);
        lined_up(&mut rota, "large", 100, 4000);
        call_all(&mut rota);
        assert_eq!(open(&rota, "large"), 12, "48,000 of 64,000 bytes");
        lined_up(&mut rota, "small", 10, 10);
        call_all(&mut rota);
        assert_eq!(open(&rota, "small"), 10);
    }

    #[test]
    fn what_becomes_free_goes_to_the_one_who_holds_less() {
        let mut rota = Rota::new(Size { requests: 4, bytes: 1000 }, false);
        let mut first = lined_up(&mut rota, "first", 10, 1);
        call_all(&mut rota);
        let second = lined_up(&mut rota, "second", 10, 1);
        for _ in 0..2 {
            rota.leave(first.remove(0));
            call_all(&mut rota);
        }
        assert_eq!((open(&rota, "first"), open(&rota, "second")), (2, 2));
        rota.leave(second[0]);
        assert_eq!(call_all(&mut rota), [second[2]], "the one who gave back is behind again");
    }

    #[test]
    fn through_one_place_all_get_as_many_bytes() {
        let mut rota = Rota::new(Size { requests: 1, bytes: 100_000 }, true);
        lined_up(&mut rota, "small", 1000, 1024);
        lined_up(&mut rota, "large", 1000, 7 * 1024);
        let mut calls = Vec::new();
        for _ in 0..50 {
            let ticket = rota.call().unwrap();
            calls.push(if ticket <= 1000 { "small" } else { "large" });
            rota.leave(ticket);
        }
        let large = calls.iter().filter(|customer| **customer == "large").count();
        assert_eq!(large, 10, "each request counts a KiB more: 8 to 2");
    }

    #[test]
    fn who_was_away_has_saved_nothing_up() {
        let mut rota = Rota::new(Size { requests: 1, bytes: 100_000 }, false);
        lined_up(&mut rota, "busy", 1000, 1024);
        for _ in 0..500 {
            let ticket = rota.call().unwrap();
            rota.leave(ticket);
        }
        let late = lined_up(&mut rota, "late", 1000, 1024);
        let mut calls = Vec::new();
        for _ in 0..10 {
            let ticket = rota.call().unwrap();
            calls.push(ticket >= late[0]);
            rota.leave(ticket);
        }
        assert_eq!(calls.iter().filter(|late| **late).count(), 5, "{calls:?}");
    }

    #[test]
    fn a_large_message_is_not_passed_by_for_ever() {
        let mut rota = Rota::new(Size { requests: 64, bytes: 1000 }, true);
        lined_up(&mut rota, "small", 10_000, 100);
        let mut held = VecDeque::from(call_all(&mut rota));
        let large = rota.line_up("large", 700);
        for left in 0.. {
            assert!(left < 20, "it is passed by again and again");
            rota.leave(held.pop_front().unwrap());
            let called = call_all(&mut rota);
            if called.contains(&large) {
                break;
            }
            held.extend(called);
        }
        assert!(open(&rota, "small") <= 3);
    }

    #[test]
    fn a_large_message_stops_nobody_while_it_waits_for_a_dead_server() {
        let mut rota = Rota::new(Size { requests: 64, bytes: 1000 }, true);
        lined_up(&mut rota, "dead", 100, 100);
        call_all(&mut rota);
        let large = rota.line_up("large", 700);
        assert_eq!(rota.call(), None);
        for _ in 0..100 {
            let small = rota.line_up("small", 100);
            assert_eq!(rota.call(), Some(small));
            rota.leave(small);
        }
        assert_eq!(rota.of("large").waiting, 1);
        rota.leave(large);
        assert_eq!(rota.of("large"), InUse::default());
    }

    #[test]
    fn what_turns_out_smaller_makes_room() {
        let mut rota = Rota::new(Size { requests: 64, bytes: 1000 }, false);
        let tickets = lined_up(&mut rota, "acme", 3, 600);
        assert_eq!(call_all(&mut rota), tickets[..1]);
        rota.shrink(tickets[0], 50);
        assert_eq!(call_all(&mut rota), tickets[1..2]);
        for ticket in tickets {
            rota.leave(ticket);
        }
        assert_eq!(rota.taken, Size::default());
    }

    #[test]
    fn a_message_larger_than_all_there_is_goes_alone() {
        let mut rota = Rota::new(Size { requests: 64, bytes: 1000 }, true);
        let (small, large) = (rota.line_up("small", 10), rota.line_up("large", 5000));
        assert_eq!(call_all(&mut rota), [small]);
        rota.leave(small);
        assert_eq!(call_all(&mut rota), [large]);
    }

    /// What happens to a rota.
    #[derive(Clone, Debug)]
    enum Step {
        LineUp(u8, u64),
        Leave(usize),
        Shrink(usize, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u8..6, 0u64..400).prop_map(|(customer, bytes)| Step::LineUp(customer, bytes)),
            2 => any::<usize>().prop_map(Step::Leave),
            1 => (any::<usize>(), 0u64..400).prop_map(|(which, bytes)| Step::Shrink(which, bytes)),
        ];
        proptest::collection::vec(step, 1..200)
    }

    /// Works the steps; `check` sees the rota before each call, with who was called.
    fn work(
        rota: &mut Rota,
        steps: Vec<Step>,
        mut check: impl FnMut(&Rota, Option<Ticket>),
    ) -> Vec<Ticket> {
        let mut known: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::LineUp(customer, bytes) => {
                    known.push(rota.line_up(&format!("c{customer}"), bytes));
                }
                Step::Leave(which) if !known.is_empty() => {
                    rota.leave(known.swap_remove(which % known.len()));
                }
                Step::Shrink(which, bytes) if !known.is_empty() => {
                    rota.shrink(known[which % known.len()], bytes);
                }
                Step::Leave(_) | Step::Shrink(..) => {}
            }
            while let Some(called) = rota.call() {
                check(rota, Some(called));
            }
            check(rota, None);
        }
        known
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_there_are_places(steps in steps(), reserve: bool) {
            let limits = Size { requests: 8, bytes: 1000 };
            let mut rota = Rota::new(limits, reserve);
            let known = work(&mut rota, steps, |rota, _| {
                let held = rota.tickets.values().filter(|place| place.open);
                let (requests, bytes) = held.fold((0, 0), |(n, b), place| (n + 1, b + place.bytes));
                assert_eq!(rota.taken, Size { requests, bytes });
                assert!(requests <= limits.requests && bytes <= limits.bytes);
            });
            for ticket in known {
                rota.leave(ticket);
            }
            prop_assert_eq!(rota.taken, Size::default());
            prop_assert!(rota.tickets.is_empty());
        }

        #[test]
        fn nobody_is_called_while_another_who_holds_less_could_go(steps in steps()) {
            let mut rota = Rota::new(Size { requests: 8, bytes: u64::MAX }, false);
            work(&mut rota, steps, |rota, called| {
                let Some(called) = called else { return };
                let mine = rota.of(&rota.tickets[&called].customer).open - 1;
                for (name, customer) in &rota.customers {
                    let waits = !customer.waiting.is_empty();
                    assert!(!waits || customer.held.requests >= mine, "{name} holds less");
                }
            });
        }

        #[test]
        fn no_place_is_empty_while_somebody_waits(steps in steps()) {
            let mut rota = Rota::new(Size { requests: 8, bytes: u64::MAX }, false);
            work(&mut rota, steps, |rota, called| {
                if called.is_none() {
                    let waits = rota.customers.values().any(|other| !other.waiting.is_empty());
                    assert!(!waits || rota.taken.requests == 8);
                }
            });
        }

        #[test]
        fn everybody_comes_to_the_turn(steps in steps(), reserve: bool) {
            let mut rota = Rota::new(Size { requests: 8, bytes: 1000 }, reserve);
            let mut open = VecDeque::new();
            let known = work(&mut rota, steps, |_, called| open.extend(called));
            let mut left = known.len();
            open.retain(|ticket| known.contains(ticket));
            while let Some(first) = open.pop_front() {
                rota.leave(first);
                left -= 1;
                open.extend(call_all(&mut rota));
            }
            prop_assert_eq!(left, 0);
        }

        #[test]
        fn three_dead_customers_never_take_the_last_place(
            dead in proptest::collection::vec((0u8..3, 0u64..400), 0..400),
        ) {
            let mut rota = Rota::new(SIZE, true);
            for (customer, bytes) in dead {
                rota.line_up(&format!("dead{customer}"), bytes);
                call_all(&mut rota);
            }
            let late = rota.line_up("late", 400);
            prop_assert_eq!(rota.call(), Some(late));
        }
    }
}
