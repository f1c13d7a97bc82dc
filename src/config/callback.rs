//! Callback: how notifications prove who they come from.

use reqwest::header::HeaderName;

use super::{SecretSource, Section};

/// How the callbacks of an SCR API prove who they come from: by a JWT that the API signs (SCR API
/// 1.2.9, "General principles for authentication").
#[derive(Clone, Debug, PartialEq)]
pub struct ScrCallback {
    /// The API's public key in PEM, or the shared secret. It decides which algorithms are taken.
    pub key: SecretSource,
    /// Whether a shared secret is base64 to be decoded first.
    pub base64: bool,
    /// Where the token stands.
    pub place: TokenPlace,
}

/// Where the token of a callback stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// In the header `Authorization`, as a bearer token.
    Header,
    /// In this member of the body (`subscriptionAuthTokenInBody`). The document does not name it.
    Body(String),
}

/// How the notifications of a login prove who they come from: by a fixed header, or a bearer token
/// in `Authorization`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginCallback {
    /// The header's name.
    pub header: String,
    /// Its value; in `Authorization` the word `Bearer` may be left out.
    pub value: SecretSource,
}

impl ScrCallback {
    pub(super) fn parse(api: &mut Section) -> Option<ScrCallback> {
        let mut section = api.section("callback")?;
        if !section.has("key") {
            section.missing("key");
        }
        let key = SecretSource::parse(&mut section, "key");
        if section.faults().reads_secrets()
            && let Some(Ok(text)) = key.as_ref().map(SecretSource::read)
            && text.reveal().contains("PRIVATE KEY-----")
        {
            let what = "key is a private key, but what the API signs is verified by its public key";
            section.error("key", what);
        }
        let base64 = section.choice("secret_encoding", &[("raw", false), ("base64", true)]);
        let in_body = section.choice("in", &[("header", false), ("body", true)]).unwrap_or(false);
        let field = section.filled("field");
        if field.is_some() && !in_body {
            section.error("field", "field names a member of the body: it needs in = \"body\"");
        }
        section.finish();
        let place = match in_body {
            true => TokenPlace::Body(field.unwrap_or_else(|| "token".to_owned())),
            false => TokenPlace::Header,
        };
        Some(ScrCallback { key: key?, base64: base64.unwrap_or(false), place })
    }
}

impl LoginCallback {
    pub(super) fn parse(login: &mut Section) -> Option<LoginCallback> {
        let mut section = login.section("callback")?;
        let header = section.required("header");
        if let Some(name) = &header
            && HeaderName::from_bytes(name.as_bytes()).is_err()
        {
            section.error("header", format!("the header {name:?} is not a legal header name"));
        }
        if !section.has("value") {
            section.missing("value");
        }
        let value = SecretSource::parse(&mut section, "value");
        section.finish();
        Some(LoginCallback { header: header?, value: value? })
    }
}
