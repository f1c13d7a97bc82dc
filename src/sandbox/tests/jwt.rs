//! Signed JWTs at the SCR API. The tokens in `keys` were signed by OpenSSL and Python, with `exp`
//! in the year 2100 and no `jti`.

use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header, encode};

use super::*;

/// Raw text, and base64 of other bytes.
const SECRET: &str = "c2VjcmV0LW9mLXRoZS1zYW5kYm94";

async fn guarded(algorithm: &str, key: &str, encoding: &str) -> Port {
    let mut world = world();
    world["scr"][0]["auth"] =
        json!({ "algorithm": algorithm, "key": key, "secret_encoding": encoding });
    Port::of(world).await
}

async fn knock(port: &Port, token: &str) -> (StatusCode, Value) {
    answer(port.call("GET", &format!("{SCR}/connections")).bearer_auth(token)).await
}

/// HS256 with the raw secret.
fn signed(claims: Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[tokio::test]
async fn tokens_are_verified_in_every_algorithm_and_no_other_is_taken() {
    let rsa = include_str!("keys/rsa.pub.pem");
    let cases = [
        ("RS256", rsa, "raw", include_str!("keys/RS256.jwt")),
        ("RS384", rsa, "raw", include_str!("keys/RS384.jwt")),
        ("RS512", rsa, "raw", include_str!("keys/RS512.jwt")),
        ("ES256", include_str!("keys/ec256.pub.pem"), "raw", include_str!("keys/ES256.jwt")),
        ("ES384", include_str!("keys/ec384.pub.pem"), "raw", include_str!("keys/ES384.jwt")),
        ("HS256", SECRET, "raw", include_str!("keys/HS256.jwt")),
        ("HS384", SECRET, "raw", include_str!("keys/HS384.jwt")),
        ("HS512", SECRET, "raw", include_str!("keys/HS512.jwt")),
        ("HS256", SECRET, "base64", include_str!("keys/HS256-base64.jwt")),
        ("HS384", SECRET, "base64", include_str!("keys/HS384-base64.jwt")),
        ("HS512", SECRET, "base64", include_str!("keys/HS512-base64.jwt")),
    ];
    for (algorithm, key, encoding, own) in cases {
        let port = guarded(algorithm, key, encoding).await;
        for (_, _, _, token) in cases {
            let wanted = if token == own { 200 } else { 401 };
            assert_eq!(knock(&port, token).await.0, wanted, "{algorithm} {encoding}: {token}");
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_trusted_is_refused_in_the_documents_words() {
    let port = guarded("HS256", SECRET, "raw").await;
    let tampered = format!("{}x", signed(json!({ "exp": now() + 60 })));
    let cases = [
        (signed(json!({ "exp": now() - 1 })), "not in the future"),
        (signed(json!({ "exp": (now() + 60).to_string() })), "exp is no integer"),
        (signed(json!({ "exp": now() as f64 + 60.5 })), "exp is no integer"),
        (signed(json!({ "iat": now() })), "exp is missing"),
        (tampered, "not valid"),
        ("nonsense".to_string(), "not valid"),
    ];
    for (token, why) in &cases {
        let (status, body) = knock(&port, token).await;
        assert_eq!((status.as_u16(), body), (401, json!("Invalid Authorization bearer token")));
        let note = port.sandbox.calls().pop().unwrap().note.unwrap();
        assert!(note.contains(why), "{why}: {note}");
    }
    assert_eq!(port.scr("GET", "/connections", Value::Null).await.0, 401);
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.refused_tokens, scr.replayed_tokens), (7, 0));
}

#[tokio::test]
async fn a_jti_is_taken_once() {
    let port = guarded("HS256", SECRET, "raw").await;
    let first = signed(json!({ "exp": now() + 60, "jti": "a" }));
    let later = signed(json!({ "exp": now() + 90, "jti": "a" }));
    let other = signed(json!({ "exp": now() + 60, "jti": "b" }));
    assert_eq!(knock(&port, &first).await.0, 200);
    assert_eq!(knock(&port, &first).await.0, 401);
    assert_eq!(knock(&port, &later).await.0, 401);
    assert_eq!(knock(&port, &other).await.0, 200);
    assert_eq!(port.sandbox.stats().scr[SCR].replayed_tokens, 2);
}

#[tokio::test]
async fn a_token_counts_as_used_even_if_a_fault_kept_the_call_from_being_worked() {
    let port = guarded("HS256", SECRET, "raw").await;
    port.sandbox.fault(Fault::status(SCR, 503).times(1)).unwrap();
    let token = signed(json!({ "exp": now() + 60, "jti": "a" }));
    assert_eq!(knock(&port, &token).await.0, 503);
    assert_eq!(knock(&port, &token).await.0, 401);
    assert_eq!(port.sandbox.stats().scr[SCR].replayed_tokens, 1);
}

#[tokio::test]
async fn the_log_shows_what_a_jwt_says_of_itself() {
    let port = guarded("HS256", SECRET, "raw").await;
    let token = signed(json!({ "exp": "soon", "iat": 17, "jti": "a" }));
    knock(&port, &token).await;
    let jwt = port.sandbox.calls()[0].jwt.clone().unwrap();
    assert_eq!(jwt, Jwt { jti: Some(json!("a")), iat: Some(json!(17)), exp: Some(json!("soon")) });
}

#[tokio::test]
async fn without_authentication_any_token_or_none_will_do() {
    let port = Port::open().await;
    assert_eq!(knock(&port, "nonsense").await.0, 200);
    assert_eq!(port.scr("GET", "/connections", Value::Null).await.0, 200);
}
