//! Caller: tells subscribers what happened, with a token that the SCR API signs ("Callback and
//! notifications", "General principles for authentication").

use anyhow::{Context, bail};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::super::world::Signs;

/// How long a token is good.
const LIFETIME_S: i64 = 60;

pub(super) struct Caller {
    client: reqwest::Client,
    signs: Option<(Algorithm, EncodingKey, bool)>,
}

impl Caller {
    pub fn build(signs: Option<&Signs>) -> anyhow::Result<Caller> {
        let signs = signs.map(|Signs { algorithm, key, in_body }| {
            let key = match algorithm.family() {
                AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(key.as_bytes()),
                AlgorithmFamily::Ec => EncodingKey::from_ec_pem(key.as_bytes()),
                AlgorithmFamily::Hmac => Ok(EncodingKey::from_secret(key.as_bytes())),
                AlgorithmFamily::Ed => {
                    bail!("algorithm {algorithm:?}: the SCR API does not know it")
                }
            };
            let key = key.context("the key that signs callbacks cannot be used")?;
            Ok((*algorithm, key, *in_body))
        });
        Ok(Caller { client: reqwest::Client::builder().build()?, signs: signs.transpose()? })
    }

    /// Calls each of these URLs once; what they answer changes nothing.
    pub async fn tell(&self, urls: Vec<String>, body: Value) {
        for url in urls {
            let Ok(request) = self.request(&url, body.clone()) else { continue };
            let _ = request.send().await;
        }
    }

    fn request(&self, url: &str, mut body: Value) -> anyhow::Result<reqwest::RequestBuilder> {
        let mut request = self.client.post(url);
        if let Some((algorithm, key, in_body)) = &self.signs {
            let now = Timestamp::now().as_second();
            let claims = json!({
                "iat": now, "exp": now + LIFETIME_S, "jti": uuid::Uuid::new_v4().to_string(),
            });
            let token = encode(&Header::new(*algorithm), &claims, key)?;
            match in_body {
                true => body["token"] = token.into(),
                false => request = request.bearer_auth(token),
            }
        }
        Ok(request.json(&body))
    }
}
