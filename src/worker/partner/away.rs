//! What was fetched is moved or removed at the partner's. What cannot be done now is done with a later
//! poll; its records are not sent again for that.

use std::sync::Arc;

use super::Poll;
use crate::config::After;
use crate::ledger::{Fetched, Known, Store};
use crate::model::Arrival;
use crate::pickup::claim::hidden_name;
use crate::pickup::sftp::put_away;
use crate::sftp::{Line, Session, path_of};

impl Poll {
    /// Puts away what could not be so far.
    pub(super) async fn put_away_what_was_fetched(&self, line: &Line) -> anyhow::Result<()> {
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let fetched =
            self.run.parts.ledger.change(move |store| store.fetched(&customer, &source)).await?;
        self.put_away(line, fetched, true).await
    }

    /// Puts these away, and notes together which are. `begun` tells that it may have been begun.
    pub(super) async fn put_away(
        &self,
        line: &Line,
        fetched: Vec<(Arrival, Fetched)>,
        begun: bool,
    ) -> anyhow::Result<()> {
        if fetched.is_empty() {
            return Ok(());
        }
        let (sftp, ready) = (Arc::clone(&self.sftp), self.source.ready.clone());
        let (installation, stop) = (self.installation.clone(), self.stop.clone());
        let put_all = move |session: &Session| {
            let (mut done, mut trouble) = (Vec::new(), None);
            for (arrival, fetched) in fetched {
                if stop.is_cancelled() {
                    break;
                }
                let hidden = hidden_name(&installation, arrival);
                match put_away(session, &sftp.after, &ready, &hidden, &fetched, begun) {
                    Ok(()) => done.push((arrival, fetched)),
                    Err(error) => {
                        let is_broken = Session::is_broken(&error);
                        trouble.get_or_insert(error);
                        if is_broken {
                            break;
                        }
                    }
                }
            }
            (done, trouble)
        };
        let (done, trouble) = line.ask(put_all).await?;
        let stays = self.sftp.after == After::Keep;
        self.run
            .parts
            .ledger
            .update(move |store| {
                for (arrival, fetched) in done {
                    store.forget_fetched(arrival);
                    // The config says by now that it stays.
                    if stays {
                        keep(store, arrival, fetched);
                    }
                }
            })
            .await?;
        trouble.map_or(Ok(()), Err)
    }
}

/// A file that was to be moved or removed stays: it is known from here on.
fn keep(store: &mut Store, arrival: Arrival, fetched: Fetched) {
    let account = store.files.get(&arrival).map(|(account, _)| account);
    let identity = account.and_then(|account| Some(account.pinned.as_ref()?.identity));
    let path = path_of(&fetched.folder, &fetched.name);
    let known = Known { path, look: fetched.look, identity, missing: None };
    store.set_known(&fetched.customer, &fetched.source, &known);
}
