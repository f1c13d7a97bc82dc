//! One token request and what comes back: the grant's form, the token server's answer (RFC 6749).

use std::time::Duration;

use serde_json::Value;

use super::http::{self, Received};
use super::oauth2::{Token, TokenError};
use crate::config::{Grant, Login, Secret};

/// How long a token holds whose answer does not say it.
const UNSAID_LIFETIME: Duration = Duration::from_secs(300);
/// The longest lifetime that is believed; it only keeps a nonsensical number from overflowing.
const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a token server gave.
#[derive(Debug, PartialEq)]
pub(super) struct Granted {
    /// The token.
    pub token: Token,
    /// How long it holds.
    pub lifetime: Duration,
}

/// A login's secrets, read anew for each request.
pub(super) struct Secrets {
    client: Secret,
    password: Option<Secret>,
}

impl Secrets {
    /// Reads them. The error names the place, never the value.
    pub async fn read(login: &Login) -> Result<Secrets, String> {
        let client = login.client_secret.clone();
        let password = match &login.grant {
            Grant::Password { password, .. } => Some(password.clone()),
            Grant::ClientCredentials => None,
        };
        super::blocking(move || {
            Ok(Secrets {
                client: client.read()?,
                password: password.map(|password| password.read()).transpose()?,
            })
        })
        .await
        .map_err(|error| format!("{error:#}"))
    }

    /// The form of RFC 6749, sections 4.3.2 and 4.4.2, with the client in the body (2.3.1).
    pub fn form<'a>(&'a self, login: &'a Login) -> Vec<(&'static str, &'a str)> {
        let mut form = match &login.grant {
            Grant::Password { .. } => vec![("grant_type", "password")],
            Grant::ClientCredentials => vec![("grant_type", "client_credentials")],
        };
        form.push(("client_id", &login.client_id));
        form.push(("client_secret", self.client.reveal()));
        if let Some(scope) = &login.scope {
            form.push(("scope", scope));
        }
        if let (Grant::Password { username, .. }, Some(password)) = (&login.grant, &self.password) {
            form.push(("username", username));
            form.push(("password", password.reveal()));
        }
        form
    }

    /// Their values, for taking them out of texts.
    pub fn shown(&self) -> Vec<&str> {
        [Some(&self.client), self.password.as_ref()]
            .into_iter()
            .flatten()
            .map(Secret::reveal)
            .collect()
    }
}

/// Reads a token server's answer (RFC 6749, sections 5.1 and 5.2).
pub(super) fn granted(received: &Received) -> Result<Granted, TokenError> {
    let status = received.status;
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    if !(200..300).contains(&status) {
        return Err(refusal(status, &body));
    }
    let unusable = |what: &str| {
        Err(TokenError::Unavailable(format!("the token server answered HTTP {status}, but {what}")))
    };
    if let Some(kind) = body["token_type"].as_str()
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return unusable(&format!("its token is of the type \"{kind}\" instead of \"Bearer\""));
    }
    match body["access_token"].as_str() {
        None | Some("") => unusable("without an access_token in JSON"),
        Some(token) => match http::bearer(token) {
            Ok(header) => Ok(Granted { token: Token::new(header), lifetime: lifetime(&body) }),
            Err(error) => unusable(&format!("its token cannot be used: {error}")),
        },
    }
}

/// Tells a refused login from a token server in trouble. A 401 is a refusal whatever its body
/// says, because taking a refusal for a fault of the network would repeat it until the account
/// is locked; the other two need an OAuth error to be believed.
fn refusal(status: u16, body: &Value) -> TokenError {
    let error = match &body["error"] {
        Value::Null => None,
        Value::String(error) => Some(error.clone()),
        other => Some(other.to_string()),
    };
    let text = match (&error, body["error_description"].as_str()) {
        (Some(error), Some(description)) => format!("{error}: {description}"),
        (Some(error), None) => error.clone(),
        (None, _) => "without an OAuth error".to_owned(),
    };
    let passing = matches!(error.as_deref(), Some("temporarily_unavailable" | "server_error"));
    match status {
        401 if !passing => TokenError::Refused { status, text },
        400 | 403 if error.is_some() && !passing => TokenError::Refused { status, text },
        _ => TokenError::Unavailable(format!("the token server answered HTTP {status}, {text}")),
    }
}

/// `expires_in`, which some servers write as a text.
fn lifetime(body: &Value) -> Duration {
    let seconds = match &body["expires_in"] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds.is_finite() => {
            Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_LIFETIME.as_secs_f64()))
        }
        _ => UNSAID_LIFETIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(status: u16, body: &str) -> Received {
        Received { status, retry_after: None, body: body.as_bytes().to_vec(), fault: None }
    }

    #[test]
    fn a_token_never_shows_itself() {
        let granted = granted(&received(200, r#"{"access_token":"geheim"}"#)).unwrap();
        assert!(!format!("{granted:?}").contains("geheim"));
        assert_eq!(format!("{:?}", granted.token), "***");
        assert_eq!(granted.token.authorization().as_bytes(), b"Bearer geheim");
    }

    #[test]
    fn the_lifetime_of_a_token_is_read_in_every_form() {
        let lifetime = |expires_in: &str| {
            let body = format!(r#"{{"access_token":"a"{expires_in}}}"#);
            granted(&received(200, &body)).unwrap().lifetime.as_secs()
        };
        assert_eq!(lifetime(r#","expires_in":3599"#), 3599);
        assert_eq!(lifetime(r#","expires_in":"3599""#), 3599);
        assert_eq!(lifetime(r#","expires_in":3599.9"#), 3599);
        assert_eq!(lifetime(""), 300);
        assert_eq!(lifetime(r#","expires_in":null"#), 300);
        assert_eq!(lifetime(r#","expires_in":-1"#), 0);
        assert_eq!(lifetime(r#","expires_in":1e300"#), 30 * 24 * 3600);
    }

    #[test]
    fn refusals_are_told_from_trouble() {
        let oauth = r#"{"error":"invalid_client"}"#;
        let refused = |status, body| {
            let error = granted(&received(status, body)).unwrap_err();
            matches!(error, TokenError::Refused { .. })
        };
        assert!(refused(400, oauth));
        assert!(refused(401, oauth));
        assert!(refused(403, oauth));
        assert!(refused(401, "<html>"));
        assert!(!refused(400, "<html>"));
        assert!(!refused(403, "<html>"));
        assert!(!refused(400, r#"{"error":"temporarily_unavailable"}"#));
        for status in [301, 404, 408, 429, 500, 503] {
            assert!(!refused(status, oauth), "{status}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_not_a_refusal() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"a","token_type":"DPoP"}"#,
        ] {
            let error = granted(&received(200, body)).unwrap_err();
            assert!(matches!(error, TokenError::Unavailable(_)), "{body}: {error}");
        }
    }
}
