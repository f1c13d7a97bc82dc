//! Tokens are asked for once, renewed in time, and a refusal tells why.

use futures::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::remote::testing::{Secrets as Files, Server, answer, token};

fn tokens() -> Tokens {
    Tokens::new(Arc::new(Clients::new()))
}

/// A token server that counts: `token-0`, `token-1`, …, each for an hour.
async fn counting() -> Server {
    Server::start(|number, _| async move { token(&format!("token-{number}"), 3600) }).await
}

#[tokio::test]
async fn a_password_grant_is_asked_for_in_a_form() {
    let (server, files) = (counting().await, Files::new());
    let login = files.password_login(&server.url);
    let token = tokens().token(&login).await.unwrap();
    assert_eq!(token.reveal(), "token-0");
    let seen = &server.seen()[0];
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen.header("authorization"), "");
    assert_eq!(
        seen.body,
        "grant_type=password&client_id=builder&client_secret=s%26e+cret&scope=openid\
         &username=api%40acme.example&password=p%C3%A4%2Bss"
    );
}

#[tokio::test]
async fn a_client_credentials_grant_is_asked_for_in_a_form() {
    let (server, files) = (counting().await, Files::new());
    tokens().token(&files.client_login(&server.url)).await.unwrap();
    assert_eq!(
        server.seen()[0].body,
        "grant_type=client_credentials&client_id=builder&client_secret=s%26e+cret"
    );
}

#[tokio::test]
async fn fifty_who_ask_at_once_make_one_request() {
    let outcomes = fifty_at_once(|| token("shared", 3600)).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap().reveal(), "shared");
    }
}

#[tokio::test]
async fn fifty_who_ask_with_a_wrong_password_try_it_once() {
    let refused = r#"{"error":"invalid_grant","error_description":"wrong password"}"#;
    for outcome in fifty_at_once(move || answer(400, refused)).await {
        let text = "invalid_grant: wrong password".to_owned();
        assert_eq!(outcome, Err(TokenError::Refused { status: 400, text }));
    }
}

#[tokio::test]
async fn a_refused_request_is_news_once_for_all_who_share_it() {
    let server = Server::start(|_, _| async { answer(400, r#"{"error":"invalid_grant"}"#) }).await;
    let files = Files::new();
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    for _ in 0..2 {
        assert!(tokens.token(&login).await.is_err());
        assert!(tokens.is_news(&login));
        assert!(!tokens.is_news(&login));
    }
}

/// Fifty callers for one token; the server answers when all of them have asked.
async fn fifty_at_once(
    reply: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static,
) -> Vec<Result<Token, TokenError>> {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let server = Server::start(move |_, _| {
        let (gate, reply) = (Arc::clone(&gate), reply.clone());
        async move {
            let _permit = gate.acquire().await.unwrap();
            reply()
        }
    })
    .await;
    let files = Files::new();
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let asked = AtomicU64::new(0);
    let callers = join_all((0..50).map(|_| async {
        asked.fetch_add(1, Ordering::SeqCst);
        tokens.token(&login).await
    }));
    let release = async {
        while asked.load(Ordering::SeqCst) < 50 {
            tokio::task::yield_now().await;
        }
        opened.add_permits(1);
    };
    let (outcomes, ()) = tokio::join!(callers, release);
    assert_eq!(server.seen().len(), 1);
    outcomes
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let (server, files) = (counting().await, Files::new());
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let begun = Instant::now();
    let mut found = Vec::new();
    for second in [0, 1, 2879, 2880, 3599, 2880 + 2879, 2880 + 2880] {
        let now = begun + Duration::from_secs(second);
        found.push(tokens.token_at(&login, now).await.unwrap().reveal().to_owned());
    }
    let expected = ["token-0", "token-0", "token-0", "token-1", "token-1", "token-1", "token-2"];
    assert_eq!(found, expected);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn nobody_waits_for_an_early_renewal_but_who_makes_it() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let server = Server::start(move |number, _| {
        let gate = Arc::clone(&gate);
        async move {
            if number > 0 {
                let _permit = gate.acquire().await.unwrap();
            }
            token(&format!("token-{number}"), 3600)
        }
    })
    .await;
    let files = Files::new();
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let begun = Instant::now();
    tokens.token_at(&login, begun).await.unwrap();
    let later = begun + Duration::from_secs(3000);
    let others = async {
        let found = tokens.token_at(&login, later).await.unwrap();
        opened.add_permits(1);
        found
    };
    let (renewed, other) = tokio::join!(tokens.token_at(&login, later), others);
    assert_eq!((renewed.unwrap().reveal(), other.reveal()), ("token-1", "token-0"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_old_token_serves_to_its_end_when_it_cannot_be_renewed() {
    let server = Server::start(|number, _| async move {
        if number == 0 { token("first", 3600) } else { answer(503, "") }
    })
    .await;
    let files = Files::new();
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let begun = Instant::now();
    let after = |second| begun + Duration::from_secs(second);
    for second in [0, 3000, 3001, 3009] {
        let token = tokens.token_at(&login, after(second)).await.unwrap();
        assert_eq!(token.reveal(), "first");
    }
    assert_eq!(server.seen().len(), 2, "a failed renewal is put off for 10 s");
    let error = tokens.token_at(&login, after(3600)).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_forced_renewal_replaces_the_stale_token_once() {
    let (server, files) = (counting().await, Files::new());
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let stale = tokens.token(&login).await.unwrap();
    for renewed in join_all((0..20).map(|_| tokens.renew(&login, &stale))).await {
        assert_eq!(renewed.unwrap().reveal(), "token-1");
    }
    let late = tokens.renew(&login, &stale).await.unwrap();
    assert_eq!(late.reveal(), "token-1");
    assert_eq!(tokens.token(&login).await.unwrap(), late);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_token_server_that_asks_for_peace_is_left_alone() {
    let server = Server::start(|number, _| async move {
        if number > 0 {
            return token("late", 3600);
        }
        let mut response = answer(429, "");
        response.headers_mut().insert("retry-after", HeaderValue::from_static("100"));
        response
    })
    .await;
    let files = Files::new();
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let begun = Instant::now();
    for second in [0, 50, 99] {
        let error = tokens.token_at(&login, begun + Duration::from_secs(second)).await;
        assert!(matches!(error, Err(TokenError::Unavailable(_))), "{error:?}");
    }
    assert_eq!(server.seen().len(), 1);
    let token = tokens.token_at(&login, begun + Duration::from_secs(100)).await.unwrap();
    assert_eq!(token.reveal(), "late");
}

#[tokio::test]
async fn two_logins_never_share_a_token() {
    let (server, files) = (counting().await, Files::new());
    let tokens = tokens();
    let acme = files.client_login(&server.url);
    let other = Login { id: "other/nxtport".to_owned(), ..acme.clone() };
    assert_eq!(tokens.token(&acme).await.unwrap().reveal(), "token-0");
    assert_eq!(tokens.token(&other).await.unwrap().reveal(), "token-1");
}

#[tokio::test]
async fn secrets_are_read_anew_for_every_request() {
    let refused = r#"{"error":"invalid_client"}"#;
    let server = Server::start(move |_, seen| async move {
        if seen.body.contains("client_secret=new") {
            token("good", 60)
        } else {
            answer(401, refused)
        }
    })
    .await;
    let files = Files::new();
    let (tokens, login) = (tokens(), files.client_login(&server.url));
    let error = tokens.token(&login).await.unwrap_err();
    assert!(matches!(error, TokenError::Refused { status: 401, .. }), "{error:?}");
    files.file("client-secret", "new\r\n");
    assert_eq!(tokens.token(&login).await.unwrap().reveal(), "good");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named_and_nothing_is_sent() {
    let (server, files) = (counting().await, Files::new());
    let login = files.password_login(&server.url);
    files.file("password", "");
    let error = tokens().token(&login).await.unwrap_err();
    assert!(matches!(&error, TokenError::Secret(text) if text.contains("password")), "{error}");
    assert!(matches!(error.reply(&login), Reply::NoLogin(_)));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_token_server_out_of_reach_is_not_a_refusal() {
    let files = Files::new();
    let login = files.client_login("http://127.0.0.1:9/token");
    let error = tokens().token(&login).await.unwrap_err();
    let TokenError::Unavailable(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("Connection refused"), "{text}");
    assert!(matches!(error.reply(&login), Reply::NoLogin(_)));
}

#[tokio::test]
async fn what_a_server_echoes_shows_no_secret() {
    let echo =
        r#"{"error":"invalid_grant","error_description":"no user pä+ss of client s&e cret"}"#;
    let server = Server::always(400, echo).await;
    let files = Files::new();
    let login = files.password_login(&server.url);
    let error = tokens().token(&login).await.unwrap_err();
    let shown = format!("{error} {error:?} {:?}", error.reply(&login));
    assert!(shown.contains("no user *** of client ***"), "{shown}");
    assert!(!shown.contains("pä+ss") && !shown.contains("s&e"), "{shown}");
}

#[test]
fn renewal_comes_at_80_percent_or_60_s_before_the_end() {
    let after = |lifetime| renewal(Duration::from_secs(lifetime)).as_secs();
    assert_eq!(after(86_400), 69_120);
    assert_eq!(after(3600), 2880);
    assert_eq!(after(300), 240);
    assert_eq!(after(200), 140);
    assert_eq!(after(60), 30);
    assert_eq!(after(2), 1);
    assert_eq!(after(0), 0);
}

#[test]
fn a_changed_password_changes_the_mark() {
    let files = Files::new();
    let login = files.password_login("http://127.0.0.1:9/");
    let mark = secret_mark(&login, &[1; 32]);
    assert!(mark.is_some());
    assert_eq!(secret_mark(&login, &[1; 32]), mark);
    assert_ne!(secret_mark(&login, &[2; 32]), mark);
    files.file("password", "another");
    assert_ne!(secret_mark(&login, &[1; 32]), mark);
    files.file("password", "");
    assert_eq!(secret_mark(&login, &[1; 32]), None);
}
