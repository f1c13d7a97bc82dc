//! The way back in the demo: the carrier transfers a release, and the assignment that waits for it
//! wakes; its green lights change, and a file of that lies in the customer's outbox.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::api::scr::{Act, Question, Which, act};
use crate::pipeline::Parts;
use crate::sandbox::{Release, Sandbox};
use crate::sync::outbox::Writers;
use crate::sync::{self, Receiver};
use crate::worker::{self, Span};

/// The SCR API in the samples' config, and its path at the stand-in.
const API: &str = "wallet-a";
const PATH: &str = "/wallet-a/tmining/api/v1";

/// What a record of the samples waits for.
const CONTAINER: &str = "TEMU5164893";
const BL: &str = "MAEUKR454870";
const ADDRESS: &str = "0x7e4a1c90b2d35f68a09c1be7d4f2836510acbd27";

/// Where the customer's system reads.
const OUTBOX: &str = "outbox/wilgenhof-transport";

/// Longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(30);

/// What came back.
pub struct WayBack {
    /// The customer's files, and what stands in them.
    files: Vec<(String, String)>,
}

/// Works as the daemon does, while the carrier does its part.
pub async fn take(
    folder: &Path,
    parts: &Arc<Parts>,
    sandbox: &Sandbox,
    stop: &CancellationToken,
) -> anyhow::Result<WayBack> {
    let over = stop.child_token();
    let writers = Writers::start(parts, over.clone()).await?;
    let receiver = Receiver::open(parts).await?.context("the samples name no receiver")?;
    let url = format!("http://{}/notifications/scr/{API}", receiver.address()?);
    let serves = tokio::spawn(receiver.serve(over.clone()));
    let works = tokio::spawn(sync::work_on(Arc::clone(parts), over.clone()));
    let run = tokio::spawn(worker::run(Arc::clone(parts), Span::Forever, over.clone()));
    let come = tokio::time::timeout(WITHIN, come(folder, parts, sandbox, url));
    let files = stop.run_until_cancelled(come).await;
    over.cancel();
    run.await??;
    works.await?;
    serves.await?;
    writers.finish().await;
    match files {
        Some(files) => Ok(WayBack { files: files.context("it did not come in time")?? }),
        None => bail!("it was stopped"),
    }
}

async fn come(
    folder: &Path,
    parts: &Arc<Parts>,
    sandbox: &Sandbox,
    url: String,
) -> anyhow::Result<Vec<(String, String)>> {
    let setup = parts.setup();
    let which = Which { api: Some(API.to_owned()), customer: None };
    let ask = Act::Subscribe { event_types: vec!["onRelease".to_owned()], url };
    let said = act(&setup.config, &setup.shared, &parts.ledger, &Question { which, ask }).await?;
    if let Err(refused) = said {
        bail!("the stand-in takes no subscription: {}", refused.why);
    }
    let delivered = delivered(parts).await?;
    let mut release = Release {
        address: ADDRESS.to_owned(),
        container: CONTAINER.to_owned(),
        bl: BL.to_owned(),
        owner_vat: None,
        transferred_to: None,
        blocked: false,
        deleted: false,
        gate_out: None,
        green_lights: BTreeMap::from([("customs".to_owned(), "notreleased".to_owned())]),
    };
    sandbox.change(PATH, "transfer", &release)?;
    while self::delivered(parts).await? == delivered {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    release.green_lights.clear();
    sandbox.change(PATH, "greenlights", &release)?;
    loop {
        let files = files(folder)?;
        if !files.is_empty() {
            return Ok(files);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn delivered(parts: &Parts) -> anyhow::Result<u64> {
    let summary = parts.ledger.summary().await?;
    Ok(summary.values().map(|tally| tally.records.delivered).sum())
}

/// What lies in the outbox, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let outbox = folder.join(OUTBOX);
    let is_shown = |path: &PathBuf| {
        path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
    };
    let paths = fs::read_dir(&outbox)?.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.retain(is_shown);
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        Ok((name, fs::read_to_string(&path)?))
    };
    paths.into_iter().map(read).collect()
}

impl WayBack {
    /// What is told of it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "\nThe way back: the carrier transferred the release of {CONTAINER}, and the assignment that was\n\
             parked for it was sent. Then its green lights changed, and this lies in the customer's outbox:\n"
        );
        for (name, content) in &self.files {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  {name}");
            for line in content.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}
