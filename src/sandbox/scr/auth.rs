//! Auth: the signed JWT that every call to the SCR API carries ("General principles for
//! authentication"). Verified with the one algorithm that is configured.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use anyhow::{Context, bail};
use axum::http::HeaderMap;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode};
use serde_json::{Map, Value};

use super::super::hub::lock;
use super::super::log::bearer;
use super::super::world::{Auth as AuthConfig, SecretEncoding};

pub(super) struct Auth {
    key: DecodingKey,
    validation: Validation,
    seen: Mutex<Seen>,
}

/// The `jti`s that were used, with the time after which their token is worth nothing anyway.
#[derive(Default)]
struct Seen {
    expiry: HashMap<blake3::Hash, i64>,
    sweep_at: usize,
}

/// Why a token is refused.
#[derive(Debug)]
pub(super) enum Distrust {
    Missing,
    Invalid(jsonwebtoken::errors::Error),
    /// "The expiration date should be included as an integer, not a string."
    ExpNotInteger(Option<Value>),
    Expired(i64),
    /// "The JWT should be used only once."
    Replayed,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Distrust::Missing => write!(f, "there is no bearer token"),
            Distrust::Invalid(error) => write!(f, "the token is not valid: {error}"),
            Distrust::ExpNotInteger(None) => write!(f, "exp is missing"),
            Distrust::ExpNotInteger(Some(exp)) => write!(f, "exp is no integer: {exp}"),
            Distrust::Expired(exp) => write!(f, "exp {exp} is not in the future"),
            Distrust::Replayed => write!(f, "its jti was used before"),
        }
    }
}

impl Auth {
    pub fn build(config: &AuthConfig) -> anyhow::Result<Auth> {
        let algorithm = config.algorithm;
        if matches!(algorithm, Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512) {
            bail!("algorithm {algorithm:?}: the SCR API knows RS, ES and HS only");
        }
        let key = match algorithm.family() {
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(config.key.as_bytes())
                .context("the key is no RSA public key as PEM")?,
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(config.key.as_bytes())
                .context("the key is no EC public key as PEM")?,
            AlgorithmFamily::Hmac => match config.secret_encoding {
                SecretEncoding::Raw => DecodingKey::from_secret(config.key.as_bytes()),
                SecretEncoding::Base64 => DecodingKey::from_base64_secret(&config.key)
                    .context("the secret is no base64")?,
            },
            AlgorithmFamily::Ed => bail!("algorithm {algorithm:?}: the SCR API does not know it"),
        };
        // Times are checked here, more strictly than the library does; the others are not used.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Ok(Auth { key, validation, seen: Mutex::default() })
    }

    /// Trusts the call's token once.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Distrust> {
        let token = bearer(headers).ok_or(Distrust::Missing)?;
        let claims = decode::<Map<String, Value>>(token, &self.key, &self.validation)
            .map_err(Distrust::Invalid)?
            .claims;
        let exp = claims.get("exp");
        let expiry =
            exp.and_then(Value::as_i64).ok_or_else(|| Distrust::ExpNotInteger(exp.cloned()))?;
        let now = Timestamp::now().as_second();
        if expiry <= now {
            return Err(Distrust::Expired(expiry));
        }
        match claims.get("jti") {
            Some(jti) if !self.use_once(jti, expiry, now) => Err(Distrust::Replayed),
            _ => Ok(()),
        }
    }

    fn use_once(&self, jti: &Value, expiry: i64, now: i64) -> bool {
        let mut seen = lock(&self.seen);
        if seen.expiry.len() > seen.sweep_at {
            seen.expiry.retain(|_, expiry| *expiry > now);
            seen.sweep_at = 1000 + 2 * seen.expiry.len();
        }
        let hash = blake3::hash(jti.to_string().as_bytes());
        // A replay with a later exp must not shorten the memory of the first.
        let known = seen.expiry.get(&hash).copied();
        seen.expiry.insert(hash, known.map_or(expiry, |known| known.max(expiry)));
        known.is_none()
    }
}
