//! The signed JWT by which a call to an SCR API proves who it comes from: a fresh one for every
//! attempt (SCR API 1.2.9, "General principles for authentication").

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header, encode};
use serde::Serialize;
use uuid::Uuid;

use super::pem::{Curve, PrivateKey};
use crate::config::{ScrAuth, Secret};

/// Signs tokens with the key of one SCR API.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    lifetime: i64,
}

/// The payload. `exp` is all that the SCR API asks for, as an integer; with `iat` and a unique
/// `jti` a token can be told from every other (SCR API 1.2.9, "Creating a token manually").
#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    jti: String,
}

impl Signer {
    /// Reads the key and tries it once; `None` where the API wants no authentication.
    pub fn open(auth: &ScrAuth) -> anyhow::Result<Option<Signer>> {
        let ScrAuth::SignedJwt { algorithm: name, key: source, base64, lifetime } = auth else {
            return Ok(None);
        };
        let algorithm = algorithm(name)?;
        let secret = source.read()?;
        let key = encoding_key(algorithm, &secret, *base64)
            .with_context(|| format!("the key in {source} cannot sign {name}"))?;
        let signer = Signer { algorithm, key, lifetime: seconds(*lifetime) };
        signer
            .sign(Timestamp::UNIX_EPOCH)
            .with_context(|| format!("the key in {source} cannot sign {name}"))?;
        Ok(Some(signer))
    }

    /// A fresh token, valid from `now`.
    pub fn sign(&self, now: Timestamp) -> anyhow::Result<String> {
        let iat = now.as_second();
        let claims =
            Claims { iat, exp: iat.saturating_add(self.lifetime), jti: Uuid::new_v4().to_string() };
        encode(&Header::new(self.algorithm), &claims, &self.key).context(
            match self.algorithm.family() {
                AlgorithmFamily::Rsa => "it is damaged or has fewer than 2048 bits",
                _ => "it is damaged",
            },
        )
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn algorithm(name: &str) -> anyhow::Result<Algorithm> {
    Ok(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        _ => bail!(
            "the algorithm \"{name}\" is not known: known are RS256, RS384, RS512, ES256, ES384, \
             HS256, HS384 and HS512"
        ),
    })
}

fn encoding_key(
    algorithm: Algorithm,
    secret: &Secret,
    base64: bool,
) -> anyhow::Result<EncodingKey> {
    let text = secret.reveal();
    let wanted = match algorithm {
        Algorithm::ES256 => "an EC key on the curve P-256",
        Algorithm::ES384 => "an EC key on the curve P-384",
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return shared_secret(text, base64);
        }
        _ => "an RSA key",
    };
    match (algorithm, PrivateKey::parse(text)?) {
        (Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512, PrivateKey::Rsa(der)) => {
            Ok(EncodingKey::from_rsa_der(&der))
        }
        (Algorithm::ES256, PrivateKey::Ec(Curve::P256, der))
        | (Algorithm::ES384, PrivateKey::Ec(Curve::P384, der)) => {
            Ok(EncodingKey::from_ec_der(&der))
        }
        (_, other) => bail!("it is {}, but {wanted} is needed", other.kind()),
    }
}

/// The bytes of a shared secret. "The secret has to be base64 encoded in the token" (SCR API
/// 1.2.9) does not say which bytes sign: so both readings can be configured.
fn shared_secret(text: &str, base64: bool) -> anyhow::Result<EncodingKey> {
    if text.contains("-----BEGIN ") {
        bail!("it is a PEM file, but a shared secret is needed");
    }
    if !base64 {
        return Ok(EncodingKey::from_secret(text.as_bytes()));
    }
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, lenient)
        .decode(text.trim())
        .or_else(|_| GeneralPurpose::new(&URL_SAFE, lenient).decode(text.trim()))
        .ok()
        .context("it is not valid base64, as secret_encoding says it is")?;
    if bytes.is_empty() {
        bail!("it is empty");
    }
    Ok(EncodingKey::from_secret(&bytes))
}

/// Whole seconds, at least one: a token must be valid at the moment it is made.
fn seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX).max(1)
}
