//! Ledger: how long it takes until what a pass notes is durable, alone and with others, and what a
//! change of a file's progress costs in memory.

use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::Timestamp;
use lighterman::ledger::{Account, Change, Ledger, Ordinals, Phase};
use lighterman::model::{Arrival, State};
use tokio::task::JoinSet;

/// So many messages are answered at once: they share a commit.
#[divan::bench(args = [1, 4, 20], sample_count = 50, sample_size = 1)]
fn notes_until_durable(bencher: Bencher<'_, '_>, messages: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = Ledger::open(&folder.path().join("ledger")).expect("a ledger");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let account = Account {
        arrival: Arrival(1),
        customer: "acme".to_owned(),
        source: "erp".to_owned(),
        name: "ORDERS.csv".to_owned(),
        picked_up: Timestamp::UNIX_EPOCH,
        phase: Phase::Open,
        pinned: None,
        mark: 1,
        messages: 0,
        held_until: None,
        answered: None,
        results: None,
        again: None,
    };
    let opened = ledger.change(move |store| {
        store.set_account(account);
        Ok(())
    });
    runtime.block_on(opened).expect("an open file");
    let mut first = 1;
    bencher.counter(ItemsCount::new(messages)).bench_local(|| {
        runtime.block_on(async {
            let mut running = JoinSet::new();
            for _ in 0..messages {
                let (last, ledger) = (first + 999, ledger.clone());
                let changes = vec![
                    Change::Final(State::Delivered, vec![(first, last)]),
                    Change::Message,
                    Change::Mark(last + 1),
                ];
                running.spawn(async move { ledger.note(Arrival(1), changes).await });
                first = last + 1;
            }
            while let Some(done) = running.join_next().await {
                done.expect("no panic").expect("a note");
            }
        });
    });
}

/// A million records, answered in messages of this many, in the order of the file.
#[divan::bench(args = [1, 10, 1000], sample_count = 20, sample_size = 1)]
fn a_million_ordinals(bencher: Bencher<'_, '_>, records: u64) {
    bencher.counter(ItemsCount::new(1_000_000 / records)).bench_local(|| {
        let mut ordinals = Ordinals::default();
        for first in (1..=1_000_000).step_by(records as usize) {
            ordinals.insert(first, first + records - 1);
        }
        assert_eq!(ordinals.len(), 1_000_000);
        ordinals
    });
}
