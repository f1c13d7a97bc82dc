//! Taken: a release was taken back or deleted; what is parked for it hears so, and looks again.

use super::release::Happened;
use crate::deliver::names_of;
use crate::pipeline::Parts;
use crate::remote::Release;

/// Tells what is parked for a release of these customers' that the port says it is theirs no more, as
/// soon as the port says so. What a look finds decides; where it finds nothing, this tells why.
pub async fn note(
    parts: &Parts,
    happened: &Happened<'_>,
    customers: impl IntoIterator<Item = &str>,
    url: &str,
) -> anyhow::Result<()> {
    if !happened.events.iter().any(|event| matches!(event.as_str(), "revoke" | "delete")) {
        return Ok(());
    }
    let customers: Vec<String> = customers.into_iter().map(str::to_owned).collect();
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
            let theirs =
                store.files.values().filter(|(account, _)| customers.contains(&account.customer));
            let arrivals: Vec<_> = theirs.map(|(account, _)| account.arrival).collect();
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
