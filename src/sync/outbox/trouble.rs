//! Trouble: what keeps an outbox from being written, as alarms.

use jiff::Timestamp;

use crate::config::Outbox;
use crate::disk;
use crate::ledger::{Alarm, AlarmKind, Store, Waits};
use crate::sftp::alarm_of;

/// Whether an alarm is about this outbox.
pub fn is_of(alarm: &Alarm, customer: &str, outbox: &str) -> bool {
    alarm.customer == customer && alarm.source == Alarm::of_outbox(outbox)
}

/// The alarm that tells why nothing can be written where files are to go.
pub fn of_error(customer: &str, outbox: &Outbox, error: &anyhow::Error) -> Alarm {
    let kind = alarm_of(error).unwrap_or(AlarmKind::Disk);
    let place = match &outbox.folder {
        crate::config::Folder::Local(folder) => folder.display().to_string(),
        crate::config::Folder::Sftp(sftp) => sftp.to_string(),
    };
    let advice = format!(
        "the outbox {} cannot write to {place}: {error:#}; {}",
        outbox.name,
        disk::what_to_do(error)
    );
    alarm(customer, &outbox.name, kind, advice)
}

/// The alarm of an outbox that the config does not have, though documents wait in it.
pub fn of_gone(customer: &str, outbox: &str, waiting: u64) -> Alarm {
    let advice = format!(
        "{waiting} documents wait in the outbox {outbox}, which is not in the customer's file; put \
         it back until they are written, and send SIGHUP"
    );
    alarm(customer, outbox, AlarmKind::Outbox, advice)
}

/// Notes that files can be written again, and whether documents are refused.
pub fn after_pass(store: &mut Store, customer: &str, outbox: &str, refused: &[(u64, String)]) {
    let is_left = store.outbox(customer, outbox).is_some_and(|waits| waits.refused > 0);
    store.clear(|held| {
        is_of(held, customer, outbox) && (held.kind != AlarmKind::Outbox || !is_left)
    });
    if let Some((sequence, why)) = refused.first() {
        let others = if refused.len() > 1 { " and others" } else { "" };
        let advice = format!(
            "document {sequence} of the outbox {outbox}{others} cannot be written: {why}; mend the \
             mapping or its table and send SIGHUP"
        );
        tracing::error!(customer = %customer, "{advice}");
        store.raise(alarm(customer, outbox, AlarmKind::Outbox, advice));
    }
}

/// How much waits in an outbox; where nothing does, its alarms are over.
pub fn look(store: &mut Store, customer: &str, outbox: &str) -> Option<Waits> {
    let waits = store.outbox(customer, outbox).filter(|waits| waits.waiting > 0).cloned();
    if waits.is_none() {
        store.clear(|held| is_of(held, customer, outbox));
    }
    waits
}

fn alarm(customer: &str, outbox: &str, kind: AlarmKind, advice: String) -> Alarm {
    Alarm {
        since: Timestamp::now(),
        customer: customer.to_owned(),
        channel: None,
        source: Alarm::of_outbox(outbox),
        kind,
        advice,
    }
}
