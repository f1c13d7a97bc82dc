//! Proof: whether a notification comes from whom it says. An SCR API signs a JWT (SCR API 1.2.9,
//! "General principles for authentication"); CPu sends a header that was agreed on.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Map, Value};

use crate::config::{LoginCallback, ScrApi, ScrCallback};

/// By how many seconds the sender's clock may be behind ours.
const CLOCKS: u64 = 10;

/// Whether a token is signed by the API and not expired. The key decides which algorithms are taken:
/// `none` and those of another kind of key are refused. An error is ours: the key cannot be used.
pub fn is_signed(callback: &ScrCallback, token: &str) -> anyhow::Result<bool> {
    let (key, algorithms) = key(callback)?;
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms.to_vec();
    validation.leeway = CLOCKS;
    validation.validate_aud = false;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp"]);
    let decoded = decode::<Map<String, Value>>(token, &key, &validation);
    // A token with extensions that are not understood must be refused (RFC 7515, section 4.1.11).
    Ok(decoded.is_ok_and(|token| token.header.crit.is_none()))
}

/// The APIs whose notifications cannot be proven, as their keys cannot be used, and why.
pub fn unproven(apis: &BTreeMap<String, ScrApi>) -> Vec<(String, anyhow::Error)> {
    let fault = |api: &ScrApi| api.callback.as_ref().and_then(|callback| key(callback).err());
    apis.iter().filter_map(|(name, api)| Some((name.clone(), fault(api)?))).collect()
}

/// Whether one of the headers that were agreed on is there with its value.
pub fn is_agreed(callbacks: &[LoginCallback], headers: &HeaderMap) -> anyhow::Result<bool> {
    let mut agreed = false;
    for LoginCallback { header, value } in callbacks {
        let value = value.read()?;
        let Some(shown) = headers.get(header.as_str()) else { continue };
        let bare = match header.eq_ignore_ascii_case(AUTHORIZATION.as_str()) {
            true => bearer(headers).map(str::as_bytes),
            false => None,
        };
        let wanted = blake3::hash(value.reveal().as_bytes());
        // Hashes are compared in constant time, and so tell nothing of the value.
        agreed |= blake3::hash(shown.as_bytes()) == wanted;
        agreed |= bare.is_some_and(|bare| blake3::hash(bare) == wanted);
    }
    Ok(agreed)
}

/// The bearer token of a call.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// How many bytes the first block of a PEM text holds. A key is shorter than its block.
fn size(text: &str) -> usize {
    let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    let base64 = lines.skip(1).take_while(|line| !line.starts_with("-----END "));
    base64.map(str::len).sum::<usize>() / 4 * 3
}

/// The API's key, and the algorithms that are for this kind of key.
fn key(callback: &ScrCallback) -> anyhow::Result<(DecodingKey, &'static [Algorithm])> {
    const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
    const EC: &[Algorithm] = &[Algorithm::ES256, Algorithm::ES384];
    const SECRET: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let source = &callback.key;
    let secret = source.read()?;
    let text = secret.reveal();
    if text.contains("PRIVATE KEY-----") {
        bail!("the key in {source} is a private key, but the API's public key is needed");
    }
    if text.contains("-----BEGIN ") {
        if let Ok(key) = DecodingKey::from_rsa_pem(text.as_bytes()) {
            // No signature of a shorter key is taken (RFC 7518, section 3.3).
            if size(text) < 2048 / 8 {
                bail!("the key in {source} has fewer than 2048 bits");
            }
            return Ok((key, RSA));
        }
        let key = DecodingKey::from_ec_pem(text.as_bytes());
        let key = key.ok().with_context(|| format!("the key in {source} is no RSA or EC key"))?;
        return Ok((key, EC));
    }
    if !callback.base64 {
        return Ok((DecodingKey::from_secret(text.as_bytes()), SECRET));
    }
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, lenient)
        .decode(text.trim())
        .or_else(|_| GeneralPurpose::new(&URL_SAFE, lenient).decode(text.trim()))
        .ok()
        .filter(|bytes| !bytes.is_empty())
        .with_context(|| format!("the secret in {source} is no base64"))?;
    Ok((DecodingKey::from_secret(&bytes), SECRET))
}
