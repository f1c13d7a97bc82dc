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
         it back until they are written, and send SIGHUP; or discard them: lighterman outbox discard"
    );
    alarm(customer, outbox, AlarmKind::Outbox, advice)
}

/// Notes that files can be written again, and whether documents are refused.
pub fn after_pass(store: &mut Store, customer: &str, outbox: &str, refused: &[(u64, String)]) {
    let is_left = store.outbox(customer, outbox).is_some_and(|waits| waits.refused > 0);
    store.clear(|held| {
        is_of(held, customer, outbox) && (held.kind != AlarmKind::Outbox || !is_left)
    });
    if let Some(first) = refused.first() {
        let alarm = of_refused(customer, outbox, first, refused.len() > 1);
        tracing::error!(customer = %customer, "{}", alarm.advice);
        store.raise(alarm);
    }
}

fn of_refused(
    customer: &str,
    outbox: &str,
    (sequence, why): &(u64, String),
    others: bool,
) -> Alarm {
    let others = if others { " and others" } else { "" };
    let advice = format!(
        "document {sequence} of the outbox {outbox}{others} cannot be written: {why}; mend the \
         mapping or its table and send SIGHUP; or discard it: lighterman outbox discard"
    );
    alarm(customer, outbox, AlarmKind::Outbox, advice)
}

/// Notes that a person has discarded documents: the alarm speaks of what is left, if anything is.
pub fn after_discard(
    store: &mut Store,
    customer: &str,
    outbox: &str,
    gone: bool,
) -> anyhow::Result<()> {
    let Some(waits) = look(store, customer, outbox) else { return Ok(()) };
    if gone {
        store.raise(of_gone(customer, outbox, waits.waiting));
        return Ok(());
    }
    if waits.refused > 0
        && let Some(first) = store.first_refused(customer, outbox)?
    {
        store.raise(of_refused(customer, outbox, &first, waits.refused > 1));
        return Ok(());
    }
    store.clear(|held| is_of(held, customer, outbox) && held.kind == AlarmKind::Outbox);
    Ok(())
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
