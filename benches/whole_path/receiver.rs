//! Receiver: callbacks of an SCR API, a set number a second, each acknowledged when it is on disk.
//! What they tell is worked on at the same time: the release is read, and a row lies in the outbox.
//! The API and its callbacks are processes of their own.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lighterman::sync::outbox::Writers;
use lighterman::sync::{self, Receiver};
use lighterman::worker::{self, Span};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::files::{Files, write_and_load};
use crate::measure::{Figures, Meter};
use crate::scr::{PATH, VAT, address};

/// Callbacks a second.
const RATE: u64 = 2000;
/// Connections over which they come.
const CONNECTIONS: usize = 128;
const SECRET: &str = "the-secret-of-callbacks-of-32-bytes!";

/// So many callbacks at that rate, and their work to its end; with `flat_out`, as fast as they are
/// acknowledged.
pub fn run(files: &Files, calls: u64, server: &str, flat_out: bool) -> anyhow::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let at = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = config(files, server, at)?;
    let erp = files.root.join("receiver/erp");
    runtime.block_on(async {
        let parts = Arc::new(worker::assemble(config)?);
        let stop = CancellationToken::new();
        let writers = Writers::start(&parts, stop.clone()).await?;
        let receiver = Receiver::open(&parts).await?.context("nothing listens")?;
        tokio::spawn(receiver.serve(stop.clone()));
        // Each release is known before, so that each row is a callback's.
        sync::catch_up_once(&parts, &stop).await?;
        let known = queued(&parts).await?;
        let works = tokio::spawn(sync::work_on(Arc::clone(&parts), stop.clone()));
        let run = tokio::spawn(worker::run(Arc::clone(&parts), Span::Forever, stop.clone()));
        let meter = Meter::start();
        let rate = if flat_out { 0 } else { RATE };
        let arguments = ["callbacks", &at.to_string(), &calls.to_string(), &rate.to_string()];
        let program = std::env::current_exe()?;
        let arguments = arguments.map(str::to_owned);
        let told = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
        let told = told.await??;
        if !told.status.success() {
            bail!("the callbacks failed: {}", String::from_utf8_lossy(&told.stderr));
        }
        let acknowledged = meter.stop(calls);
        loop {
            let open = parts.ledger.change(|store| Ok(store.events.len())).await?;
            if open == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let worked = meter.stop(calls).seconds;
        let rows = queued(&parts).await? - known;
        stop.cancel();
        run.await??;
        works.await?;
        writers.finish().await;
        let files = fs::read_dir(&erp)?.count();
        let note = format!(
            "{}; all worked {worked:.1} s after the first, {rows} rows in the outbox ({files} files so far)",
            String::from_utf8_lossy(&told.stdout).trim()
        );
        Ok(Figures { note, ..acknowledged })
    })
}

async fn queued(parts: &lighterman::pipeline::Parts) -> anyhow::Result<u64> {
    parts
        .ledger
        .change(|store| Ok(store.outbox("acme", "outbox").map_or(0, |waits| waits.outbox.last)))
        .await
}

/// Calls the receiver so often, and tells how soon each was acknowledged: from when it was due.
pub fn callbacks(at: &str, calls: u64, rate: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{at}/notifications/scr/wallet");
        let next = Arc::new(AtomicU64::new(0));
        let waits = Arc::new(Mutex::new(Vec::new()));
        let refused = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
            let (waits, refused) = (Arc::clone(&waits), Arc::clone(&refused));
            senders.spawn(async move {
                let key = EncodingKey::from_secret(SECRET.as_bytes());
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= calls {
                        return anyhow::Ok(());
                    }
                    let due = match rate {
                        0 => Instant::now(),
                        rate => begun + Duration::from_secs_f64(number as f64 / rate as f64),
                    };
                    tokio::time::sleep_until(due.into()).await;
                    let now = jiff::Timestamp::now().as_second();
                    let claims = json!({ "iat": now, "exp": now + 60, "jti": number.to_string() });
                    let token = encode(&Header::new(Algorithm::HS256), &claims, &key)?;
                    let body = json!({
                        "release": address(number + 1), "event": "UPDATE", "vat": VAT,
                        "organization": "0x5e1f",
                    });
                    loop {
                        let sent = client.post(&url).bearer_auth(&token).json(&body).send().await;
                        if sent.is_ok_and(|answer| answer.status() == 200) {
                            break;
                        }
                        refused.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    let wait = due.elapsed().as_secs_f64() * 1000.0;
                    waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
                }
            });
        }
        while let Some(sender) = senders.join_next().await {
            sender??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits.sort_by(f64::total_cmp);
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
        println!(
            "{} acknowledged in {seconds:.1} s ({:.0} a second), {} sent away and sent again; from \
             due to acknowledged {:.1} ms at the median, {:.1} ms at p99, {:.1} ms at the worst",
            waits.len(),
            waits.len() as f64 / seconds,
            refused.load(Ordering::SeqCst),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        Ok(())
    })
}

fn config(
    files: &Files,
    server: &str,
    at: std::net::SocketAddr,
) -> anyhow::Result<lighterman::config::Config> {
    let home = files.home("receiver")?;
    fs::create_dir_all(home.join("erp"))?;
    fs::create_dir_all(home.join("mappings"))?;
    let mut mapping = "direction = \"out\"\n\n[output]\nformat = \"csv\"\n".to_owned();
    for (to, from) in [
        ("NR", "sequence"),
        ("EVENT", "event"),
        ("CONT", "release.release_data.container.containerNumber"),
        ("BL", "release.release_data.billOfLading.blNumber"),
    ] {
        mapping += &format!("\n[[fields]]\nto = \"{to}\"\nfrom = \"{from}\"\n");
    }
    fs::write(home.join("mappings/out.toml"), mapping)?;
    let customer = format!(
        r#"
name = "Acme"
vat  = "{VAT}"

[channels.assignments]
type = "scr"
api  = "wallet"

[[outbox]]
mapping = "out"
path    = "../erp"
gather  = {{ every = "1s", rows = 1000 }}
"#
    );
    fs::write(home.join("customers/acme.toml"), customer)?;
    fs::write(home.join("callback"), SECRET)?;
    let provider = format!(
        "environments = [\"local\"]\nenvironment = \"local\"\n\n[scr.wallet]\nurl = \
         \"{server}{PATH}\"\nauth = {{ type = \"none\" }}\ncallback = {{ key = {{ file = \
         \"callback\" }}, in = \"header\" }}\n\n[listen]\nnotifications = {{ address = \"{at}\" \
         }}\n\n[limits]\nfree_disk = \"1 MiB\"\n"
    );
    write_and_load(&home, &provider)
}
