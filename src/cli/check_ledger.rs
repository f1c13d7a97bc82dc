//! `lighterman check-ledger`: proves that every record is accounted for.

use super::{FATAL, LATER, Setting, WELL, state};
use crate::api::audit::{self, Audit};

pub async fn run(setting: &Setting) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let audit: Option<Audit> = state::look(&config, "check-ledger", async |ledger, spool| {
        audit::check(&ledger, &spool).await
    })
    .await?;
    let Some(audit) = audit else { return Ok(LATER) };
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
