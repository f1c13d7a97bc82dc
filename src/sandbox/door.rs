//! Door: how a call travels. It is noted, may be struck by a fault, is worked by its server, and
//! answered.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::answer::Answer;
use super::connection::{Caller, Connections};
use super::control;
use super::hub::Hub;
use super::log::End;
use super::scene::{Place, Scene};
use super::token;
use super::what::{What, refusal};

/// The largest body that is taken.
const BODY: usize = 256 << 20;

/// Takes calls until the sandbox stops.
pub(super) async fn serve(hub: Arc<Hub>, listener: TcpListener) {
    let stopping = hub.stopping.clone();
    let connections =
        Connections { listener, stopping: stopping.clone(), tasks: hub.tasks.clone() };
    let router: Router = control::routes().fallback(answer).with_state(hub);
    let server = axum::serve(connections, router.into_make_service_with_connect_info::<Caller>());
    // Serving never fails: accept() tries again for ever.
    let _ = stopping.run_until_cancelled(server.into_future()).await;
}

/// Answers one call from outside.
async fn answer(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let scene = hub.scene();
    // Both end before the answer is sent, or with the connection.
    let open = hub.open.enter(None);
    let place = scene.place(&parts);
    let inside = place.enter();
    let seq = hub.log.arrived(&parts, open.open);
    let mut end = End { login: scene.tokens.login(&parts.headers), ..End::default() };

    let length = body.size_hint().lower();
    let outcome = match axum::body::to_bytes(body, BODY).await {
        Ok(body) => {
            note_body(&hub, &place, seq, &body);
            let struck = hub.faults.strike(&parts.method, parts.uri.path());
            end.fault = struck.as_ref().map(What::name);
            outcome(&hub, &scene, place, parts, body, seq, struck).await
        }
        Err(error) => {
            let status = match length > BODY as u64 {
                true => StatusCode::PAYLOAD_TOO_LARGE,
                false => StatusCode::BAD_REQUEST,
            };
            Outcome::Answered(Answer::text(status, "the body could not be taken").noted(error))
        }
    };
    drop((inside, open));
    match outcome {
        Outcome::Answered(mut answer) => {
            end.status = Some(answer.status.as_u16());
            end.answered = Some(Timestamp::now());
            end.note = answer.note.take();
            hub.log.ended(seq, end);
            answer.into_response()
        }
        Outcome::Dropped => {
            hub.log.ended(seq, end);
            caller.hang_up();
            // Nobody reads it: the connection is gone.
            StatusCode::OK.into_response()
        }
    }
}

fn note_body(hub: &Hub, place: &Place, seq: u64, body: &[u8]) {
    match place {
        Place::Token => hub.log.body(seq, &token::masked(body), body.len()),
        _ => hub.log.body(seq, body, body.len()),
    }
}

enum Outcome {
    Answered(Answer),
    Dropped,
}

async fn outcome(
    hub: &Arc<Hub>,
    scene: &Arc<Scene>,
    place: Place,
    parts: Parts,
    body: Bytes,
    seq: u64,
    struck: Option<What>,
) -> Outcome {
    let refused = match &place {
        // The token counts as used whatever else befalls the call.
        Place::Scr(api, _) => api.check_token(&parts.headers).err(),
        _ => None,
    };
    let delay = match &struck {
        Some(What::Status { status, retry_after, body, headers }) => {
            let answer = refusal(*status, retry_after.as_deref(), body.as_deref(), headers);
            // A fault was tried when it was added.
            return Outcome::Answered(answer.unwrap_or_else(|error| {
                Answer::empty(StatusCode::INTERNAL_SERVER_ERROR).noted(error)
            }));
        }
        Some(What::Drop) => return Outcome::Dropped,
        Some(What::ExpireToken) => {
            scene.tokens.expire(&parts.headers);
            let answer = Answer::text(StatusCode::UNAUTHORIZED, "the token has expired");
            return Outcome::Answered(answer);
        }
        Some(What::DelayMs(delay)) => Some(*delay),
        Some(What::DropAfter) | None => None,
    };
    let answer = match refused {
        Some(answer) => {
            if let Some(delay) = delay {
                hub.faults.delay(delay).await;
            }
            answer
        }
        None => worked(hub, scene.clone(), place, parts, body, seq, delay).await,
    };
    match struck {
        Some(What::DropAfter) => Outcome::Dropped,
        _ => Outcome::Answered(answer),
    }
}

/// Works the call in a task of its own, as a server does: it goes on when the caller has gone.
async fn worked(
    hub: &Arc<Hub>,
    scene: Arc<Scene>,
    place: Place,
    parts: Parts,
    body: Bytes,
    seq: u64,
    delay: Option<u64>,
) -> Answer {
    let tasks = hub.tasks.clone();
    let hub = hub.clone();
    let work = tasks.spawn(async move {
        let work = async {
            if let Some(delay) = delay {
                hub.faults.delay(delay).await;
            }
            scene.work(&place, &parts, &body, seq).await
        };
        hub.stopping.run_until_cancelled(work).await
    });
    match work.await {
        Ok(Some(answer)) => answer,
        Ok(None) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, "the sandbox stops"),
        Err(error) => {
            Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox failed").noted(error)
        }
    }
}
