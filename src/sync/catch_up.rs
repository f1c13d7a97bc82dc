//! Catching up: what happened while no run was there is worked on at the start of one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lanes::work_once;
use super::walk::{walk_all, wanted};
use crate::pipeline::Parts;

/// How long apart APIs that cannot be asked are asked again at most.
const LONGEST: Duration = Duration::from_secs(300);

/// Looks once at what changed, until each API has told.
pub async fn catch_up(parts: Arc<Parts>, stop: CancellationToken) {
    let mut left = wanted(&parts.setup());
    let mut pause = Duration::from_secs(1);
    loop {
        if stop.run_until_cancelled(walk_all(&parts, &mut left, true)).await.is_none()
            || left.is_empty()
        {
            return;
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// Looks at what changed, and works on the notifications that an earlier run acknowledged; tells of
/// how much there is something left.
pub async fn catch_up_once(parts: &Arc<Parts>, stop: &CancellationToken) -> anyhow::Result<u64> {
    // First what was told, so that it is not found once more.
    let open = work_once(parts, stop).await?;
    let mut left = wanted(&parts.setup());
    let wanted = left.len();
    let asked = stop.run_until_cancelled(walk_all(parts, &mut left, false)).await;
    Ok(open + asked.map_or(wanted, |()| left.len()) as u64)
}
