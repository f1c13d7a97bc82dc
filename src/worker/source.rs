//! One source in a run: looks into its folder, and claims of what is ready.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::file::{self, OpenFile};
use super::{Run, Span};
use crate::config::Source;
use crate::pickup::{self, Looks, claim};
use crate::pipeline::Occasion;

/// A look is taken so often even if no event told of a file.
const REGULAR: Duration = Duration::from_secs(30);

/// A run that is to end waits so long for files to become quiet.
const QUIET_AT_MOST: Duration = Duration::from_secs(30);

/// Looks and claims until the run is over, then waits for the files it claimed.
pub async fn serve(run: Arc<Run>, customer: String, source: String) {
    let settings = run.parts.config.customers[&customer].sources[&source].clone();
    let wake = Arc::clone(&run.wakes[&(customer.clone(), source)]);
    let mut looks = Looks::default();
    let mut files = JoinSet::new();
    let started = Instant::now();
    let mut faulty = false;
    while !run.stop.is_cancelled() {
        let next = match take(&run, &customer, &settings, &mut looks, &mut files).await {
            Ok(next) => {
                if std::mem::take(&mut faulty) {
                    file::clear_fault(&run, &customer).await;
                }
                next
            }
            Err(error) => {
                faulty = true;
                file::raise_fault(&run, &customer, &error).await;
                None
            }
        };
        if run.span != Span::Forever {
            match next {
                Some(next) if started.elapsed() + next <= QUIET_AT_MOST => {}
                _ => break,
            }
        }
        let wait = next.map_or(REGULAR, |next| next.min(REGULAR));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wake.notified() => {}
            () = run.stop.cancelled() => break,
        }
        while files.try_join_next().is_some() {}
    }
    while files.join_next().await.is_some() {}
}

/// One look: claims what is ready, and tells when more may be.
async fn take(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    looks: &mut Looks,
    files: &mut JoinSet<()>,
) -> anyhow::Result<Option<Duration>> {
    let listed = {
        let source = source.clone();
        tokio::task::spawn_blocking(move || pickup::list(&source)).await??
    };
    let folder = source.path.clone();
    let present = move |name: &str| folder.join(name).exists();
    let (ready, next) = looks.judge(&source.ready, listed, Instant::now(), present);
    for candidate in ready {
        let Some(turn) = file::wait_for_customer(run, customer).await else { return Ok(None) };
        claim::check_free_disk(&run.parts.config.state, run.parts.config.limits.free_disk)?;
        let parts = &run.parts;
        let claimed =
            pickup::claim(&parts.ledger, &parts.spool, customer, source, &candidate).await?;
        if let Some(arrival) = claimed {
            tracing::info!(customer = %customer, file.name = %candidate.name, "Claimed {}", candidate.name);
            let claimed = OpenFile {
                arrival,
                customer: customer.to_owned(),
                source: source.name.clone(),
                name: candidate.name,
            };
            let turns = file::line_up(run, &claimed, turn);
            files.spawn(file::work(Arc::clone(run), claimed, turns, Occasion::Due));
        }
    }
    Ok(next)
}
