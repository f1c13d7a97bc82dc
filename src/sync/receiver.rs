//! Receiver: takes notifications over HTTP. Who sends one must prove itself, and what is answered with
//! 200 is on disk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::door::Door;
use super::inbox::{Inbox, Kept};
use super::proof::{bearer, is_agreed, is_signed};
use super::tls::Certificates;
use crate::config::{LoginCallback, ScrCallback, TokenPlace};
use crate::pipeline::{Parts, Setup};

/// The largest body that is taken (issue 5).
const BODY: usize = 1 << 20;

/// How long a sender may take for a body.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How much of a body that is too large is read and dropped: a sender who is still writing would
/// not see the answer, as the connection ends with it.
const PASSED_OVER: usize = 8 << 20;

/// How long a sender may take for that.
const PASSED_WITHIN: Duration = Duration::from_secs(2);

/// How many KiB of bodies are held at once.
const HELD: usize = 16 << 10;

/// How many notifications are written to disk at once: one commit takes all that wait for it.
const WRITES: usize = 256;

/// From how many on they crowd, so that the work on what they tell rests.
const CROWD: usize = 32;

/// How long a notification waits for its turn to be written.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// What takes notifications.
pub struct Receiver {
    door: Door,
    desk: Arc<Desk>,
}

struct Desk {
    parts: Arc<Parts>,
    inbox: Inbox,
    held: Semaphore,
    writes: Semaphore,
}

/// Why a notification is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It is for nobody whose notifications are taken.
    Nobody,
    Unproven,
    TooLarge,
    Late,
    CutShort,
    NoObject,
    /// It is to be sent again later.
    Busy,
}

impl Receiver {
    /// Binds the address of the config; none if it names none.
    pub async fn open(parts: &Arc<Parts>) -> anyhow::Result<Option<Receiver>> {
        let setup = parts.setup();
        let Some(listener) = &setup.config.listen.notifications else { return Ok(None) };
        let address = listener.address;
        let certificates = listener.tls.as_ref().map(Certificates::open).transpose()?;
        let socket = TcpListener::bind(address)
            .await
            .with_context(|| format!("[listen] notifications: cannot listen on {address}"))?;
        let desk = Desk {
            parts: Arc::clone(parts),
            inbox: Inbox::open(&parts.ledger, &parts.spool).await?,
            held: Semaphore::new(HELD),
            writes: Semaphore::new(WRITES),
        };
        Ok(Some(Receiver { door: Door::new(socket, certificates), desk: Arc::new(desk) }))
    }

    /// Where it listens.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.door.address()
    }

    /// Takes notifications until it is told to stop; those that are under way are answered.
    pub async fn serve(self, stop: CancellationToken) {
        let router = Router::new()
            .route("/notifications/scr/{api}", post(of_provider))
            .route("/notifications/scr/{customer}/{api}", post(of_customer))
            .route("/notifications/cpu/{customer}", post(of_cpu))
            .with_state(self.desk);
        self.door.serve(router, stop).await;
    }
}

async fn of_provider(
    State(desk): State<Arc<Desk>>,
    Path(api): Path<String>,
    request: Request<Body>,
) -> Response {
    desk.scr(api, request).await.into_response()
}

/// A customer's own API is known by both names.
async fn of_customer(
    State(desk): State<Arc<Desk>>,
    Path((customer, api)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    desk.scr(format!("{customer}/{api}"), request).await.into_response()
}

async fn of_cpu(
    State(desk): State<Arc<Desk>>,
    Path(customer): Path<String>,
    request: Request<Body>,
) -> Response {
    desk.cpu(customer, request).await.into_response()
}

impl Desk {
    async fn scr(&self, api: String, request: Request<Body>) -> Result<StatusCode, Refusal> {
        let setup = self.parts.setup();
        let callback = scr_callback(&setup, &api).ok_or_else(|| {
            let customer = api.split_once('/').map_or("", |(customer, _)| customer);
            nobody(&setup, customer)
        })?;
        let sender = format!("scr/{api}");
        let (parts, body) = request.into_parts();
        let (body, token) = match &callback.place {
            TokenPlace::Header => {
                let token = bearer(&parts.headers).ok_or(Refusal::Unproven)?.to_owned();
                prove(&sender, is_signed(&callback, &token))?;
                (self.body(&parts.headers, body).await?, token)
            }
            TokenPlace::Body(field) => {
                let mut body = self.body(&parts.headers, body).await?;
                let Some(Value::String(token)) = body.remove(field) else {
                    return Err(Refusal::Unproven);
                };
                let token = token.strip_prefix("Bearer ").unwrap_or(&token).trim().to_owned();
                prove(&sender, is_signed(&callback, &token))?;
                (body, token)
            }
        };
        self.keep(&sender, &token, &body).await
    }

    async fn cpu(&self, customer: String, request: Request<Body>) -> Result<StatusCode, Refusal> {
        let setup = self.parts.setup();
        let callbacks = cpu_callbacks(&setup, &customer);
        if callbacks.is_empty() {
            return Err(nobody(&setup, &customer));
        }
        let sender = format!("cpu/{customer}");
        let (parts, body) = request.into_parts();
        prove(&sender, is_agreed(&callbacks, &parts.headers))?;
        let body = self.body(&parts.headers, body).await?;
        self.keep(&sender, "", &body).await
    }

    /// Reads a body. It takes of what may be held at once only as much as has come.
    async fn body(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<Map<String, Value>, Refusal> {
        let length = headers.get("content-length").and_then(|length| length.to_str().ok());
        if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|n| n > BODY as u64) {
            // Who waits to be asked for the body has not sent it.
            if !headers.contains_key("expect") {
                pass_over(&mut body).await;
            }
            return Err(Refusal::TooLarge);
        }
        let mut held = self.held.try_acquire().map_err(|_| Refusal::Busy)?;
        let mut bytes = Vec::new();
        let read = async {
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| Refusal::CutShort)?.into_data() else { continue };
                if bytes.len() + data.len() > BODY {
                    pass_over(&mut body).await;
                    return Err(Refusal::TooLarge);
                }
                let needed = (bytes.len() + data.len()).div_ceil(1024);
                if let Some(more) = needed.checked_sub(held.num_permits()) {
                    let more =
                        self.held.try_acquire_many(more as u32).map_err(|_| Refusal::Busy)?;
                    held.merge(more);
                }
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        tokio::time::timeout(BODY_WITHIN, read).await.map_err(|_| Refusal::Late)??;
        serde_json::from_slice(&bytes).map_err(|_| Refusal::NoObject)
    }

    async fn keep(
        &self,
        sender: &str,
        proof: &str,
        body: &Map<String, Value>,
    ) -> Result<StatusCode, Refusal> {
        let turn = tokio::time::timeout(WRITE_WITHIN, self.writes.acquire()).await;
        let _turn = turn.map_err(|_| Refusal::Busy)?;
        if WRITES - self.writes.available_permits() >= CROWD {
            self.parts.crowds.fetch_add(1, Ordering::Relaxed);
        }
        match self.inbox.keep(sender, proof, body).await {
            // Who sent it before may have gone before it was told of.
            Ok(Kept::New | Kept::Repeat) => {
                self.parts.notified.notify_one();
                Ok(StatusCode::OK)
            }
            Ok(Kept::Full) => Err(Refusal::Busy),
            Err(error) => {
                tracing::error!("A notification of {sender} is not taken: {error:#}");
                Err(Refusal::Busy)
            }
        }
    }
}

/// Reads on without keeping anything.
async fn pass_over(body: &mut Body) {
    let read = async {
        let mut left = PASSED_OVER;
        while let Some(Ok(frame)) = body.frame().await {
            let come = frame.data_ref().map_or(0, |data| data.len());
            let Some(rest) = left.checked_sub(come) else { break };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(PASSED_WITHIN, read).await;
}

/// The callback of an SCR API: the provider's, or a customer's own.
pub(super) fn scr_callback(setup: &Arc<Setup>, api: &str) -> Option<ScrCallback> {
    let setup = match api.split_once('/') {
        Some((customer, _)) => setup.of(customer),
        None => setup,
    };
    setup.config.scr.get(api)?.callback.clone()
}

/// Why nothing is taken for a customer: one whose config is to be mended is told later.
fn nobody(setup: &Setup, customer: &str) -> Refusal {
    match setup.config.broken.contains_key(customer) {
        true => Refusal::Busy,
        false => Refusal::Nobody,
    }
}

fn cpu_callbacks(setup: &Arc<Setup>, customer: &str) -> Vec<LoginCallback> {
    let customer = setup.of(customer).config.customers.get(customer);
    customer.map(|customer| customer.callbacks.clone()).unwrap_or_default()
}

fn prove(sender: &str, proven: anyhow::Result<bool>) -> Result<(), Refusal> {
    match proven {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::warn!("A notification for {sender} did not prove itself; it is not kept");
            Err(Refusal::Unproven)
        }
        // The fault is ours: the sender is to try again.
        Err(error) => {
            tracing::error!("Notifications of {sender} cannot be proven: {error:#}");
            Err(Refusal::Busy)
        }
    }
}

impl Refusal {
    fn told(self) -> (StatusCode, &'static str) {
        match self {
            Refusal::Nobody => (StatusCode::NOT_FOUND, "nobody here takes such notifications"),
            Refusal::Unproven => {
                (StatusCode::UNAUTHORIZED, "the notification does not prove who it comes from")
            }
            Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB"),
            Refusal::Late => {
                (StatusCode::REQUEST_TIMEOUT, "the body did not come within 10 seconds")
            }
            Refusal::CutShort => (StatusCode::BAD_REQUEST, "the body was cut short"),
            Refusal::NoObject => (StatusCode::BAD_REQUEST, "the body is no JSON object"),
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "try again later"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, why) = self.told();
        let mut response = (status, format!("{why}\n")).into_response();
        if self == Refusal::Busy {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
