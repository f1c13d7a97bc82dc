//! Control: the socket in the state folder on which a run answers other commands, so that they see
//! the same with and without a daemon.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::resend::{self, Resent, Wish};
use super::scr::{self, Act, Look, Question};
use super::selection::Selection;
use super::{cpu, outbox, quarantine, status};
use crate::pipeline::Parts;
use crate::pipeline::again::Desk;

/// The open socket; it is closed before the state is let go.
pub struct Control {
    path: PathBuf,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

/// Opens the socket; only the state's owner can use it.
pub fn serve(parts: &Arc<Parts>) -> anyhow::Result<Control> {
    let path = socket(&parts.setup().config.state);
    if path.exists() {
        // The state's lock is ours, so whoever made it is gone.
        std::fs::remove_file(&path)?;
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let routes = Router::new()
        .route("/status", get(answer_status))
        .route("/quarantine/list", post(answer_list))
        .route("/quarantine/show", post(answer_show))
        .route("/quarantine/discard", post(answer_discard))
        .route("/quarantine/retry", post(answer_retry))
        .route("/outbox/list", post(answer_outbox_list))
        .route("/outbox/discard", post(answer_outbox_discard))
        .route("/resend", post(answer_resend))
        .route("/check-ledger", get(answer_check_ledger))
        .route("/scr/look", post(answer_scr_look))
        .route("/scr/act", post(answer_scr_act))
        .route("/cpu/entities", post(answer_entities))
        .with_state(Arc::clone(parts));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let server = tokio::spawn(async move {
        let stopped = async move { stopped.cancelled().await };
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await {
            tracing::warn!("The control socket failed: {error}");
        }
    });
    Ok(Control { path, stop, server })
}

impl Control {
    /// Closes the socket, after at most a second for answers under way.
    pub async fn close(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.server).await;
        // If it cannot be removed, the next run does.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks the run that holds this state; `None` if none listens, or ends before it has answered.
pub async fn ask<T: DeserializeOwned>(state: &Path, question: &str) -> anyhow::Result<Option<T>> {
    let Some((client, url)) = client(state, question)? else { return Ok(None) };
    match client.get(url).send().await {
        Ok(response) => answer_of(response).await,
        Err(error) if error.is_timeout() => {
            Err(error).context("the running lighterman does not answer")
        }
        // One that has ended meanwhile answers no more.
        Err(_) => Ok(None),
    }
}

/// Has the run that holds this state do something; `None` if none listens. Once it was asked,
/// nobody else may do the same.
pub async fn tell<T: DeserializeOwned>(
    state: &Path,
    question: &str,
    what: &impl Serialize,
) -> anyhow::Result<Option<T>> {
    let Some((client, url)) = client(state, question)? else { return Ok(None) };
    let what = serde_json::to_vec(what)?;
    let request = client.post(url).header("content-type", "application/json").body(what);
    match request.send().await {
        Ok(response) => match answer_of(response).await? {
            None => bail!("{UNKNOWN}"),
            answered => Ok(answered),
        },
        Err(error) if error.is_connect() => Ok(None),
        Err(error) => Err(error).context(UNKNOWN),
    }
}

const UNKNOWN: &str = "the running lighterman has not said whether it did it: see \
                       \"lighterman status\" and \"lighterman quarantine list\"";

fn client(state: &Path, question: &str) -> anyhow::Result<Option<(reqwest::Client, String)>> {
    let path = socket(state);
    if !path.exists() {
        return Ok(None);
    }
    let client = reqwest::Client::builder()
        .unix_socket(path)
        .no_proxy()
        // An audit reads every open file.
        .timeout(Duration::from_secs(600))
        .build()?;
    Ok(Some((client, format!("http://localhost/{question}"))))
}

/// The answer; none if the run ended before all of it was here.
async fn answer_of<T: DeserializeOwned>(response: reqwest::Response) -> anyhow::Result<Option<T>> {
    let status = response.status();
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) if error.is_timeout() => {
            return Err(error).context("the running lighterman does not answer");
        }
        Err(_) => return Ok(None),
    };
    if !status.is_success() {
        bail!("the running lighterman answers: {}", String::from_utf8_lossy(&body));
    }
    Ok(Some(serde_json::from_slice(&body).context("the running lighterman is of another version")?))
}

fn socket(state: &Path) -> PathBuf {
    state.join("control.sock")
}

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

async fn answer_status(State(parts): State<Arc<Parts>>) -> Answer<status::Status> {
    let setup = parts.setup();
    let channels = setup.all_channels();
    let Parts { ledger, waiting, sights, .. } = &*parts;
    answer(status::gather(ledger, &setup.config, &channels, waiting, sights).await)
}

async fn answer_list(
    State(parts): State<Arc<Parts>>,
    Json(selection): Json<Selection>,
) -> Answer<Vec<quarantine::SetAside>> {
    answer(quarantine::list(&parts.ledger, &parts.spool, &selection).await)
}

async fn answer_show(
    State(parts): State<Arc<Parts>>,
    Json(selection): Json<Selection>,
) -> Answer<Vec<quarantine::Shown>> {
    let setup = parts.setup();
    let environments = &setup.config.environments;
    answer(quarantine::show(&parts.ledger, &parts.spool, environments, &selection).await)
}

async fn answer_discard(
    State(parts): State<Arc<Parts>>,
    Json(selection): Json<Selection>,
) -> Answer<Vec<quarantine::Done>> {
    to_its_end(async move { quarantine::discard(&parts.ledger, &parts.spool, &selection).await })
        .await
}

async fn answer_retry(
    State(parts): State<Arc<Parts>>,
    Json(selection): Json<Selection>,
) -> Answer<Vec<quarantine::Done>> {
    let desk = desk(&parts);
    to_its_end(async move { quarantine::retry(&desk, &selection).await }).await
}

async fn answer_outbox_list(
    State(parts): State<Arc<Parts>>,
    Json(which): Json<outbox::Which>,
) -> Answer<outbox::List> {
    let setup = parts.setup();
    let is_gone = |id: &str, name: &str| outbox::is_gone(&setup.of(id).config, id, name);
    answer(outbox::list(&parts.ledger, &parts.spool, is_gone, &which).await)
}

async fn answer_outbox_discard(
    State(parts): State<Arc<Parts>>,
    Json(wish): Json<outbox::Discard>,
) -> Answer<Vec<outbox::Done>> {
    to_its_end(async move {
        let setup = parts.setup();
        let is_gone = |id: &str, name: &str| outbox::is_gone(&setup.of(id).config, id, name);
        outbox::discard(&parts.ledger, &parts.spool, is_gone, &wish).await
    })
    .await
}

async fn answer_resend(
    State(parts): State<Arc<Parts>>,
    Json(wish): Json<Wish>,
) -> Answer<Vec<Resent>> {
    let desk = desk(&parts);
    to_its_end(async move { resend::resend(&desk, &wish).await }).await
}

async fn answer_scr_look(
    State(parts): State<Arc<Parts>>,
    Json(question): Json<Question<Look>>,
) -> Answer<scr::Answer> {
    let setup = parts.setup();
    answer(scr::look(&setup.config, &setup.shared, Some(&parts.ledger), &question).await)
}

async fn answer_scr_act(
    State(parts): State<Arc<Parts>>,
    Json(question): Json<Question<Act>>,
) -> Answer<scr::Answer> {
    let setup = parts.setup();
    to_its_end(
        async move { scr::act(&setup.config, &setup.shared, &parts.ledger, &question).await },
    )
    .await
}

async fn answer_entities(
    State(parts): State<Arc<Parts>>,
    Json(search): Json<cpu::Search>,
) -> Answer<cpu::Answer> {
    answer(cpu::entities(&parts.setup().all_channels(), &parts.ledger, &search).await)
}

fn desk(parts: &Parts) -> Desk {
    Desk {
        ledger: parts.ledger.clone(),
        spool: parts.spool.clone(),
        config: Arc::new(parts.setup().config.clone()),
        opened: Arc::clone(&parts.opened),
    }
}

/// What changes something is done to its end, even if whoever asked has gone.
async fn to_its_end<T: Serialize + Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> Answer<T> {
    answer(tokio::spawn(work).await.map_err(anyhow::Error::from).flatten())
}

async fn answer_check_ledger(State(parts): State<Arc<Parts>>) -> Answer<super::audit::Audit> {
    answer(super::audit::check(&parts.ledger, &parts.spool).await)
}

fn answer<T: Serialize>(result: anyhow::Result<T>) -> Answer<T> {
    result.map(Json).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))
}
