//! Answer: what a server says to a call.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
    /// Why, for the log: more than a real server tells.
    pub note: Option<String>,
}

impl Answer {
    pub fn empty(status: StatusCode) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), note: None }
    }

    pub fn text(status: StatusCode, text: &str) -> Answer {
        let mut answer = Answer::empty(status)
            .with(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        answer.body = text.as_bytes().to_vec();
        answer
    }

    pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
        match serde_json::to_vec(value) {
            Ok(body) => Answer { body, ..Answer::empty(status) }
                .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            Err(error) => {
                Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox failed to answer")
                    .noted(error)
            }
        }
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.push((name, value));
        self
    }

    pub fn noted(mut self, note: impl ToString) -> Answer {
        self.note = Some(note.to_string());
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}
