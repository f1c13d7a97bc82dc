//! The way back in the demo: the carrier transfers a release, and the assignment that waits for it
//! wakes; its green lights change, and a file of that lies in the customer's outbox.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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
    /// The customer's file, as it is seen from the demo's folder.
    file: String,
    /// How many events stand in it.
    events: usize,
    /// What it says of the release.
    line: String,
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
    let come = stop.run_until_cancelled(come).await;
    over.cancel();
    run.await??;
    works.await?;
    serves.await?;
    writers.finish().await;
    match come {
        Some(come) => come.context("it did not come in time")?,
        None => bail!("it was stopped"),
    }
}

async fn come(
    folder: &Path,
    parts: &Arc<Parts>,
    sandbox: &Sandbox,
    url: String,
) -> anyhow::Result<WayBack> {
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
        if let Some(back) = found(folder)? {
            return Ok(back);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn delivered(parts: &Parts) -> anyhow::Result<u64> {
    let summary = parts.ledger.summary().await?;
    Ok(summary.values().map(|tally| tally.records.delivered).sum())
}

/// The file in the outbox that tells of the release, once it is there.
fn found(folder: &Path) -> anyhow::Result<Option<WayBack>> {
    for entry in fs::read_dir(folder.join(OUTBOX))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let events: Vec<&str> = text.lines().filter(|line| line.starts_with("<Z1EVENT>")).collect();
        if let Some(line) = events.iter().find(|line| is_green(line)) {
            let file = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            return Ok(Some(WayBack { file, events: events.len(), line: (*line).to_owned() }));
        }
    }
    Ok(None)
}

/// Whether a line tells that the release's lights are green.
fn is_green(line: &str) -> bool {
    line.contains(CONTAINER) && line.contains("<LICHT>G</LICHT>")
}

impl WayBack {
    /// What is told of it.
    pub fn text(&self) -> String {
        let WayBack { file, events, line } = self;
        let others = match events {
            1 => String::new(),
            others => format!(", with {} others", others - 1),
        };
        format!(
            "\nThe way back: the carrier transferred the release of {CONTAINER}, and the assignment that was\n\
             parked for it was sent. Then its lights turned green, and {file}\n\
             tells the customer's system of it{others}:\n  {line}\n"
        )
    }
}
