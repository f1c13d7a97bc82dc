//! Taken: a release was taken back or deleted; what is parked for it hears so, and looks again.

use super::concerned::{Concerned, files_of};
use super::release::Happened;
use crate::deliver::names_of;
use crate::pipeline::Parts;
use crate::remote::Release;

/// Tells what is parked for a release that is theirs no more, as the port said and a look has shown,
/// why their own look finds nothing. A revoke of the customer's own brings the release home, and
/// takes nothing from it.
pub async fn note(
    parts: &Parts,
    happened: &Happened<'_>,
    called: &Concerned,
    url: &str,
) -> anyhow::Result<()> {
    if !happened.events.iter().any(|event| matches!(event.as_str(), "revoke" | "delete")) {
        return Ok(());
    }
    let channels = called.channel_names();
    let (url, address) = (url.to_owned(), happened.address.to_owned());
    let (names, arrivals) = parts
        .ledger
        .change(move |store| {
            let known = store.seen(&url, &address)?.map(|seen| Release {
                container: seen.container,
                bl: seen.bl,
                ..Release::default()
            });
            let names = names_of(&address, known.as_ref());
            let arrivals = files_of(store, &channels);
            let waits = arrivals.into_iter().filter(|of| store.note_taken(*of, &names));
            let waits: Vec<_> = waits.collect();
            Ok((names, waits))
        })
        .await?;
    for arrival in arrivals {
        parts.wakes.ring(arrival, &names);
    }
    Ok(())
}
