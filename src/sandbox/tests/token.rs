//! The token server.

use super::*;

#[tokio::test]
async fn the_password_grant_gives_a_token() {
    let port = Port::open().await;
    let (status, answer) = port.log_in(FORM).await;
    assert_eq!(status, 200);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    assert_eq!(answer["scope"], "openid");
    assert!(answer["access_token"].as_str().unwrap().len() >= 32);
}

#[tokio::test]
async fn the_client_credentials_grant_gives_a_token() {
    let port = Port::open().await;
    let form = "grant_type=client_credentials&client_id=machine&client_secret=machine-secret";
    let (status, answer) = port.log_in(form).await;
    assert_eq!((status.as_u16(), answer.get("scope")), (200, None));
}

#[tokio::test]
async fn every_token_is_another() {
    let port = Port::open().await;
    assert_ne!(port.token().await, port.token().await);
    assert_eq!(port.sandbox.stats().token.issued["acme"], 2);
}

#[tokio::test]
async fn a_form_is_decoded_before_it_is_compared() {
    let port = Port::open().await;
    let form = "grant_type=password&client_id=builder&client_secret=builder-secret\
                &username=zeta&password=zeta%2Bpassword+%26%25";
    assert_eq!(port.log_in(form).await.0, 200);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_login_is_told_in_the_words_of_oauth2() {
    let port = Port::open().await;
    let cases = [
        (FORM.replace("acme-password", "wrong"), 400, "invalid_grant"),
        (FORM.replace("username=acme", "username=nobody"), 400, "invalid_grant"),
        (FORM.replace("builder-secret", "wrong"), 401, "invalid_client"),
        (FORM.replace("client_id=builder", "client_id=nobody"), 401, "invalid_client"),
        (FORM.replace("grant_type=password", "grant_type=implicit"), 400, "unsupported_grant_type"),
        (FORM.replace("builder", "machine"), 400, "unauthorized_client"),
        (FORM.replace("&password=acme-password", ""), 400, "invalid_request"),
        (format!("{FORM}&password=acme-password"), 400, "invalid_request"),
        (String::new(), 400, "invalid_request"),
    ];
    for (form, status, error) in &cases {
        let (answered, answer) = port.log_in(form).await;
        assert_eq!(
            (answered.as_u16(), answer["error"].as_str()),
            (*status, Some(*error)),
            "{form}"
        );
    }
    let token = port.sandbox.stats().token;
    assert_eq!((token.requests, token.refused, token.issued.len()), (9, 9, 0));
}

#[tokio::test]
async fn a_login_that_is_no_form_is_refused() {
    let port = Port::open().await;
    let call = port.call("POST", "/connect/token").header("content-type", "application/json");
    let (status, body) = answer(call.body("{}")).await;
    assert_eq!((status.as_u16(), body["error"].as_str()), (400, Some("invalid_request")));
    assert_eq!(answer(port.call("GET", "/connect/token")).await.0, 405);
}

#[tokio::test]
async fn a_token_is_worth_nothing_once_its_lifetime_is_over() {
    let mut world = world();
    world["token_lifetime_s"] = json!(0);
    let port = Port::of(world).await;
    let token = port.token().await;
    let call = port.call("POST", "/ingestion/c-acme").bearer_auth(token);
    assert_eq!(answer(call).await.0, 401);
}

#[tokio::test]
async fn all_tokens_can_be_expired_at_once() {
    let port = Port::open().await;
    let token = port.token().await;
    let post = || answer(port.call("POST", "/ingestion/c-acme").bearer_auth(&token));
    assert_eq!(post().await.0, 202);
    assert_eq!(answer(port.call("POST", "/_tokens/expire")).await.0, 204);
    assert_eq!(post().await.0, 401);
    let renewed = port.token().await;
    let call = port.call("POST", "/ingestion/c-acme").bearer_auth(&renewed);
    assert_eq!(answer(call).await.0, 202);
}

#[tokio::test]
async fn the_log_shows_a_login_without_its_secrets() {
    let port = Port::open().await;
    let token = port.token().await;
    let call = port.call("POST", "/ingestion/c-zeta").bearer_auth(&token);
    answer(call.header("ocp-apim-subscription-key", "zeta-key")).await;
    let calls = port.sandbox.calls();
    assert_eq!(
        calls[0].body.as_deref(),
        Some(
            "grant_type=password&client_id=builder&client_secret=***&username=acme\
             &password=***&scope=openid"
        )
    );
    assert_eq!(calls[1].headers["authorization"], format!("Bearer {}", token_hash(&token)));
    assert_eq!(calls[1].headers["ocp-apim-subscription-key"], token_hash("zeta-key"));
    let (_, all) = answer(port.call("GET", "/_log")).await;
    for secret in ["builder-secret", "acme-password", "zeta-key", &token] {
        assert!(!all.to_string().contains(secret), "{secret} is in the log");
    }
}
