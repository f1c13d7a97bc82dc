//! What: the ways in which a call can go wrong.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, bail};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::answer::Answer;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawWhat", into = "RawWhat")]
pub enum What {
    /// It is not worked, and answered with this.
    Status {
        /// The status, 200 to 599.
        status: u16,
        /// The value of `Retry-After`.
        retry_after: Option<String>,
        /// The body; called JSON if it is.
        body: Option<String>,
        /// Further headers, such as `Location`.
        headers: BTreeMap<String, String>,
    },
    /// It waits so long, and is then worked and answered as ever; also when its caller has gone.
    DelayMs(u64),
    /// Its connection is closed without an answer, and it is not worked.
    Drop,
    /// It is worked, then its connection is closed without an answer.
    DropAfter,
    /// It is answered with 401 and not worked, and its token is invalid from then on.
    ExpireToken,
}

impl What {
    /// The word that the log shows.
    pub(super) fn name(&self) -> &'static str {
        match self {
            What::Status { .. } => "status",
            What::DelayMs(_) => "delay_ms",
            What::Drop => "drop",
            What::DropAfter => "drop_after",
            What::ExpireToken => "expire_token",
        }
    }
}

/// The answer of [`What::Status`].
pub(super) fn refusal(
    status: u16,
    retry_after: Option<&str>,
    body: Option<&str>,
    headers: &BTreeMap<String, String>,
) -> anyhow::Result<Answer> {
    let status = match status {
        200..=599 => StatusCode::from_u16(status)?,
        _ => bail!("a fault with status {status}: take one from 200 to 599"),
    };
    let mut answer = Answer::empty(status);
    if let Some(body) = body {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
        let media_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        answer = answer.with(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        answer.body = body.as_bytes().to_vec();
    }
    if let Some(retry_after) = retry_after {
        let value = HeaderValue::from_str(retry_after)
            .with_context(|| format!("a fault's retry_after {retry_after:?} is no header value"))?;
        answer = answer.with(header::RETRY_AFTER, value);
    }
    for (name, value) in headers {
        let header = HeaderName::from_str(name)
            .with_context(|| format!("a fault's header {name:?} is no header name"))?;
        let value = HeaderValue::from_str(value)
            .with_context(|| format!("a fault's header {name}: {value:?} is no header value"))?;
        answer = answer.with(header, value);
    }
    Ok(answer)
}

/// [`What`] as it is written: exactly one of `status`, `delay_ms`, `drop`, `drop_after`,
/// `expire_token`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawWhat {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    drop: bool,
    #[serde(skip_serializing_if = "is_false")]
    drop_after: bool,
    #[serde(skip_serializing_if = "is_false")]
    expire_token: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl TryFrom<RawWhat> for What {
    type Error = String;

    fn try_from(raw: RawWhat) -> Result<What, String> {
        let RawWhat { status, retry_after, body, headers, .. } = raw;
        if status.is_none() && (retry_after.is_some() || body.is_some() || !headers.is_empty()) {
            return Err("retry_after, body and headers need a status".to_string());
        }
        let mut all = Vec::new();
        all.extend(status.map(|status| What::Status { status, retry_after, body, headers }));
        all.extend(raw.delay_ms.map(What::DelayMs));
        all.extend(raw.drop.then_some(What::Drop));
        all.extend(raw.drop_after.then_some(What::DropAfter));
        all.extend(raw.expire_token.then_some(What::ExpireToken));
        match (all.pop(), all.is_empty()) {
            (Some(what), true) => Ok(what),
            _ => Err("give exactly one of status, delay_ms, drop, drop_after, expire_token".into()),
        }
    }
}

impl From<What> for RawWhat {
    fn from(what: What) -> RawWhat {
        let none = RawWhat::default();
        match what {
            What::Status { status, retry_after, body, headers } => {
                RawWhat { status: Some(status), retry_after, body, headers, ..none }
            }
            What::DelayMs(delay) => RawWhat { delay_ms: Some(delay), ..none },
            What::Drop => RawWhat { drop: true, ..none },
            What::DropAfter => RawWhat { drop_after: true, ..none },
            What::ExpireToken => RawWhat { expire_token: true, ..none },
        }
    }
}
