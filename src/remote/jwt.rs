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

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::{Value, json};

    use super::super::testing::{Secrets, test_key};
    use super::*;
    use crate::config::SecretSource;

    const SECRET: &str = "a shared secret of more than 32 bytes";

    fn auth(algorithm: &str, key: SecretSource, base64: bool) -> ScrAuth {
        let lifetime = Duration::from_secs(60);
        ScrAuth::SignedJwt { algorithm: algorithm.to_owned(), key, base64, lifetime }
    }

    fn signer(algorithm: &str, key: SecretSource, base64: bool) -> Signer {
        Signer::open(&auth(algorithm, key, base64)).unwrap().unwrap()
    }

    fn pem(name: &str) -> SecretSource {
        SecretSource::File(test_key(name))
    }

    fn error(algorithm: &str, key: SecretSource, base64: bool) -> String {
        format!("{:#}", Signer::open(&auth(algorithm, key, base64)).unwrap_err())
    }

    /// Verifies a token with the other half of its key; gives back the payload.
    fn verified(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Value {
        decode::<Value>(token, key, &Validation::new(algorithm)).unwrap().claims
    }

    fn public(name: &str) -> Vec<u8> {
        std::fs::read(test_key(name)).unwrap()
    }

    #[test]
    fn rsa_tokens_verify_in_every_algorithm_and_key_form() {
        let key = DecodingKey::from_rsa_pem(&public("rsa-public.pem")).unwrap();
        for (name, algorithm) in
            [("RS256", Algorithm::RS256), ("RS384", Algorithm::RS384), ("RS512", Algorithm::RS512)]
        {
            for file in ["rsa-pkcs1.pem", "rsa-pkcs8.pem"] {
                let token = signer(name, pem(file), false).sign(Timestamp::now()).unwrap();
                verified(&token, algorithm, &key);
            }
        }
    }

    #[test]
    fn ec_tokens_verify_on_both_curves_and_in_every_key_form() {
        for (name, algorithm, curve, files) in [
            (
                "ES256",
                Algorithm::ES256,
                "p256",
                &["ec-p256-sec1.pem", "ec-p256-pkcs8.pem", "ec-p256-sec1-no-public.pem"][..],
            ),
            ("ES384", Algorithm::ES384, "p384", &["ec-p384-sec1.pem", "ec-p384-pkcs8.pem"]),
        ] {
            let public = public(&format!("ec-{curve}-public.pem"));
            let key = DecodingKey::from_ec_pem(&public).unwrap();
            for file in files {
                let token = signer(name, pem(file), false).sign(Timestamp::now()).unwrap();
                verified(&token, algorithm, &key);
            }
        }
    }

    #[test]
    fn shared_secrets_sign_raw_or_decoded() {
        let files = Secrets::new();
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        for (name, algorithm) in
            [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
        {
            let raw = files.file("raw", SECRET);
            let token = signer(name, raw, false).sign(Timestamp::now()).unwrap();
            verified(&token, algorithm, &key);
        }
        // python3: base64.b64encode(SECRET), with and without padding
        for text in [
            "YSBzaGFyZWQgc2VjcmV0IG9mIG1vcmUgdGhhbiAzMiBieXRlcw==",
            "YSBzaGFyZWQgc2VjcmV0IG9mIG1vcmUgdGhhbiAzMiBieXRlcw",
        ] {
            let encoded = files.file("encoded", text);
            let token = signer("HS256", encoded.clone(), true).sign(Timestamp::now()).unwrap();
            verified(&token, Algorithm::HS256, &key);
            let token = signer("HS256", encoded, false).sign(Timestamp::now()).unwrap();
            verified(&token, Algorithm::HS256, &DecodingKey::from_secret(text.as_bytes()));
        }
    }

    #[test]
    fn url_safe_base64_is_understood_too() {
        let files = Secrets::new();
        let key = DecodingKey::from_secret(&[0xfb, 0xff, 0xfe]);
        for text in ["+//+", "-__-"] {
            let signer = signer("HS256", files.file("encoded", text), true);
            verified(&signer.sign(Timestamp::now()).unwrap(), Algorithm::HS256, &key);
        }
    }

    #[test]
    fn header_and_payload_are_as_the_api_wants_them() {
        let signer = signer("RS256", pem("rsa-pkcs1.pem"), false);
        let now: Timestamp = "2023-09-07T10:01:58.9Z".parse().unwrap();
        let token = signer.sign(now).unwrap();
        let parts: Vec<Value> = token
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT"}));
        assert_eq!(parts[1]["iat"], json!(1_694_080_918));
        assert_eq!(parts[1]["exp"], json!(1_694_080_978));
        assert!(Uuid::parse_str(parts[1]["jti"].as_str().unwrap()).is_ok());
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        let signer = signer("HS256", Secrets::new().file("raw", SECRET), false);
        let now = Timestamp::now();
        assert_ne!(signer.sign(now).unwrap(), signer.sign(now).unwrap());
    }

    #[test]
    fn no_authentication_needs_no_signer() {
        assert!(Signer::open(&ScrAuth::None).unwrap().is_none());
    }

    #[test]
    fn a_key_that_cannot_sign_is_explained() {
        let files = Secrets::new();
        for (algorithm, file, expected) in [
            (
                "RS256",
                "ec-p256-sec1.pem",
                "cannot sign RS256: it is an EC key on the curve P-256, but an RSA key is needed",
            ),
            (
                "ES256",
                "rsa-pkcs1.pem",
                "it is an RSA key, but an EC key on the curve P-256 is needed",
            ),
            (
                "ES256",
                "ec-p384-pkcs8.pem",
                "curve P-384, but an EC key on the curve P-256 is needed",
            ),
            (
                "ES384",
                "ec-p256-pkcs8.pem",
                "curve P-256, but an EC key on the curve P-384 is needed",
            ),
            ("RS256", "rsa-encrypted-pkcs8.pem", "the key is encrypted"),
            ("RS256", "rsa-1024.pem", "it is damaged or has fewer than 2048 bits"),
            ("HS256", "rsa-pkcs1.pem", "it is a PEM file, but a shared secret is needed"),
            ("PS256", "rsa-pkcs1.pem", "the algorithm \"PS256\" is not known"),
            ("RS256", "missing.pem", "missing.pem cannot be read"),
        ] {
            let error = error(algorithm, pem(file), false);
            assert!(error.contains(expected), "{algorithm}, {file}: {error}");
        }
        assert!(error("HS256", files.file("empty", "\n"), false).contains("is empty"));
        assert!(error("HS256", files.file("blank", "===="), true).contains("not valid base64"));
    }

    #[test]
    fn neither_signer_nor_error_shows_the_key() {
        let files = Secrets::new();
        let signer = signer("HS256", files.file("raw", SECRET), false);
        assert_eq!(format!("{signer:?}"), "Signer { algorithm: HS256, .. }");
        let error = error("HS256", files.file("raw", SECRET), true);
        assert!(!error.contains("shared secret of more"), "{error}");
    }
}
