//! Poster: posts bodies with a plain client, twenty at once.

use std::sync::Arc;

use anyhow::bail;
use reqwest::Client;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::server::INGESTION;

/// Messages that are open at once.
pub const OPEN: usize = 20;

/// A plain client, and what it has under way.
pub struct Poster {
    runtime: Runtime,
    client: Client,
    url: String,
    places: Arc<Semaphore>,
    running: std::cell::RefCell<JoinSet<anyhow::Result<()>>>,
}

impl Poster {
    pub fn start(server: &str) -> anyhow::Result<Poster> {
        Ok(Poster {
            runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
            client: Client::builder().no_proxy().build()?,
            url: format!("{server}{INGESTION}/plain"),
            places: Arc::new(Semaphore::new(OPEN)),
            running: Default::default(),
        })
    }

    /// Posts a body as soon as fewer than twenty are open.
    pub fn post(&self, body: Vec<u8>) -> anyhow::Result<()> {
        let place = self.runtime.block_on(Arc::clone(&self.places).acquire_owned())?;
        let request = self
            .client
            .post(&self.url)
            .header("authorization", "Bearer t")
            .header("content-type", "application/json")
            .body(body);
        let mut running = self.running.borrow_mut();
        while let Some(done) = running.try_join_next() {
            done??;
        }
        running.spawn_on(
            async move {
                let answer = request.send().await?;
                let status = answer.status();
                answer.bytes().await?;
                drop(place);
                if !status.is_success() {
                    bail!("the server answered {status}");
                }
                Ok(())
            },
            self.runtime.handle(),
        );
        Ok(())
    }

    /// Waits for all answers.
    pub fn finish(self) -> anyhow::Result<()> {
        let mut running = self.running.into_inner();
        self.runtime.block_on(async {
            while let Some(done) = running.join_next().await {
                done??;
            }
            Ok(())
        })
    }
}
