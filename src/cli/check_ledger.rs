//! `lighterman check-ledger`: proves that every record is accounted for.

use super::reach::{Reached, reach};
use super::{FATAL, LATER, Setting, WELL};
use crate::api::audit::{self, Audit};

pub async fn run(setting: &Setting) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let audit: Audit = match reach(&config, "check-ledger").await? {
        Reached::Answer(audit) => audit,
        Reached::State(state) => audit::check(&state.ledger, &state.spool).await?,
        Reached::Nobody => return Ok(LATER),
    };
    for fault in &audit.faults {
        println!("{fault}");
    }
    if !audit.faults.is_empty() {
        return Ok(FATAL);
    }
    let records = audit.records;
    println!(
        "all {} records are accounted for: {} open in {} files, {} delivered, {} quarantined, {} \
         superseded, {} discarded",
        records.total(),
        records.open(),
        audit.files,
        records.delivered,
        records.quarantined,
        records.superseded,
        records.discarded
    );
    Ok(WELL)
}
