//! Control: the `/_` routes, by which another process reads and steers the sandbox.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::faults::{Fault, Shown};
use super::hub::Hub;
use super::log::Call;
use super::scr::Decision;
use super::stats::Stats;
use super::world::Release;

pub(super) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/_log", get(read_log).delete(clear_log))
        .route("/_stats", get(read_stats))
        .route("/_faults", get(read_faults).post(add_faults).delete(clear_faults))
        .route("/_world", put(replace_world))
        .route("/_tokens/expire", post(expire_tokens))
        .route("/_scr", get(read_scr))
        .route("/_scr/change", post(change_release))
        .route("/_scr/invitation", post(decide_invitation))
        // A world of many releases is larger than what axum takes by itself.
        .layer(DefaultBodyLimit::disable())
}

#[derive(Deserialize)]
struct LogQuery {
    /// Only calls after this number.
    #[serde(default)]
    since: u64,
    /// Only calls whose path starts so.
    #[serde(default)]
    path: String,
}

async fn read_log(State(hub): State<Arc<Hub>>, Query(query): Query<LogQuery>) -> Json<Vec<Call>> {
    Json(hub.log.calls(query.since, &query.path))
}

async fn clear_log(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.log.clear();
    StatusCode::NO_CONTENT
}

async fn read_stats(State(hub): State<Arc<Hub>>) -> Json<Stats> {
    Json(hub.scene().stats())
}

async fn read_faults(State(hub): State<Arc<Hub>>) -> Json<Vec<Shown>> {
    Json(hub.faults.shown())
}

/// Takes one fault or a list; all of them or none.
async fn add_faults(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer {
    done(parse_faults(&body).and_then(|faults| hub.faults.add_all(faults)))
}

fn parse_faults(body: &[u8]) -> anyhow::Result<Vec<Fault>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(match first {
        Some(b'[') => serde_json::from_slice(body)?,
        _ => vec![serde_json::from_slice(body)?],
    })
}

async fn clear_faults(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.faults.clear();
    StatusCode::NO_CONTENT
}

async fn replace_world(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer {
    let world = serde_json::from_slice(&body).map_err(anyhow::Error::from);
    done(world.and_then(|world| hub.replace(world)))
}

async fn expire_tokens(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.scene().tokens.expire_all();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct ScrQuery {
    /// The base path of the SCR API.
    path: String,
    /// One release; without it all of them.
    address: Option<String>,
}

async fn read_scr(State(hub): State<Arc<Hub>>, Query(query): Query<ScrQuery>) -> Answer {
    let scene = hub.scene();
    let api = match scene.scr_api(&query.path) {
        Ok(api) => api,
        Err(error) => return refused(StatusCode::NOT_FOUND, &error),
    };
    match &query.address {
        None => {
            let mut all = api.stored();
            all["releases"] = json!(api.releases());
            Answer::json(StatusCode::OK, &all)
        }
        Some(address) => match api.release(address) {
            Some(release) => Answer::json(StatusCode::OK, &release),
            None => {
                let error = anyhow::anyhow!("there is no release {address}");
                refused(StatusCode::NOT_FOUND, &error)
            }
        },
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The base path of the SCR API.
    path: String,
    /// What subscribers are told, such as `transfer`.
    event: String,
    /// The release as it is from now on.
    release: Release,
}

/// Adds a release or replaces it, and calls those who have subscribed.
async fn change_release(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer {
    let change = serde_json::from_slice::<Change>(&body).map_err(anyhow::Error::from);
    done(change.and_then(|change| hub.change(&change.path, &change.event, &change.release)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    /// The base path of the SCR API.
    path: String,
    /// The reference of the invitation.
    reference: String,
    /// What the invited company answers.
    status: Decision,
}

/// Answers an invitation as the invited company, and calls those who have subscribed.
async fn decide_invitation(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer {
    let decided = serde_json::from_slice::<Decided>(&body).map_err(anyhow::Error::from);
    done(decided.and_then(|decided| hub.decide(&decided.path, &decided.reference, decided.status)))
}

fn done(result: anyhow::Result<()>) -> Answer {
    match result {
        Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
        Err(error) => refused(StatusCode::BAD_REQUEST, &error),
    }
}

fn refused(status: StatusCode, error: &anyhow::Error) -> Answer {
    Answer::json(status, &json!({ "error": format!("{error:#}") }))
}
