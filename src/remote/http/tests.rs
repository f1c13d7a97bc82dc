//! A client tells an answer from silence, bounds what it reads, and trusts whom its config names.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::remote::testing::{Server, answer, raw_server, test_key};

const LONG: Duration = Duration::from_secs(60);

async fn get(url: &str, timeout: Duration) -> Reply {
    let url: Url = url.parse().unwrap();
    exchange(Clients::new().get(&url, None, None).unwrap().get(url), timeout).await
}

fn answered(reply: Reply) -> Answer {
    match reply {
        Reply::Answered(answer) => answer,
        other => panic!("not answered: {other:?}"),
    }
}

fn broken(reply: Reply) -> String {
    match reply {
        Reply::Broken(text) => text,
        other => panic!("not broken: {other:?}"),
    }
}

#[tokio::test]
async fn an_answer_keeps_status_and_text() {
    let server = Server::always(422, "no such port").await;
    let answer = answered(get(&server.url, LONG).await);
    let expected = Answer { status: 422, retry_after: None, text: "no such port".to_owned() };
    assert_eq!(answer, expected);
    let agent = format!("lighterman/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(server.seen()[0].header("user-agent"), agent);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::start(|_, _| async {
        let mut response = answer(307, "");
        response.headers_mut().insert("location", HeaderValue::from_static("/elsewhere"));
        response
    })
    .await;
    assert_eq!(answered(get(&server.url, LONG).await).status, 307);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_long_text_is_cut_at_64_kib_between_two_characters() {
    let server =
        Server::start(|_, _| async { answer(200, format!("a{}", "é".repeat(100_000))) }).await;
    let text = answered(get(&server.url, LONG).await).text;
    assert_eq!(text, format!("a{}", "é".repeat((65_536 - 1) / 2)));
}

#[tokio::test]
async fn a_compressed_text_is_unpacked() {
    // python3: gzip.compress(b"packed", mtime=0)
    const PACKED: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0x48, 0x4c, 0xce, 0x4e,
        0x4d, 0x01, 0x00, 0x10, 0xb4, 0xf6, 0x21, 0x06, 0x00, 0x00, 0x00,
    ];
    let server = Server::start(|_, _| async {
        let mut response = answer(200, "");
        *response.body_mut() = PACKED.into();
        response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
        response
    })
    .await;
    assert_eq!(answered(get(&server.url, LONG).await).text, "packed");
}

#[tokio::test]
async fn retry_after_comes_with_the_answer() {
    let server = Server::start(|_, _| async {
        let mut response = answer(503, "later");
        response.headers_mut().insert("retry-after", HeaderValue::from_static("120"));
        response
    })
    .await;
    let answer = answered(get(&server.url, LONG).await);
    assert_eq!(answer.retry_after, Some(Duration::from_secs(120)));
}

#[test]
fn retry_after_is_read_in_both_forms() {
    let now: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
    let wait = |value: &'static str, date: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        retry_after(&headers, now).map(|wait| wait.as_secs())
    };
    assert_eq!(wait("0", None), Some(0));
    assert_eq!(wait("30", None), Some(30));
    assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT", None), Some(120));
    assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(0));
    let date = Some("Sun, 06 Nov 1994 08:51:07 GMT");
    assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT", date), Some(30));
    assert_eq!(wait("99999999999999999999999", None), Some(366 * 24 * 3600));
    for nonsense in ["", "soon", "-5", "1.5", "Sun, 99 Nov 1994 08:51:37 GMT"] {
        assert_eq!(wait(nonsense, None), None, "{nonsense}");
    }
}

#[tokio::test]
async fn a_connection_dropped_after_the_request_is_told_apart() {
    let url = raw_server(b"").await;
    let Reply::Lost(text) = get(&url, LONG).await else { panic!("the request was sent") };
    assert!(text.starts_with(&format!("{url}: error sending request: ")), "{text}");
}

#[tokio::test]
async fn a_body_that_breaks_off_takes_nothing_from_the_status() {
    let url = raw_server(b"HTTP/1.1 202 Accepted\r\nContent-Length: 50\r\n\r\nhalf of").await;
    let answer = answered(get(&url, LONG).await);
    assert_eq!((answer.status, answer.text.as_str()), (202, "half of"));
}

#[tokio::test]
async fn a_refused_connection_names_the_cause_but_not_the_query() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let text = broken(get(&format!("{origin}/path?code=hidden"), LONG).await);
    assert!(text.starts_with(&origin), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    assert!(!text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_timed_out() {
    let server = Server::start(|_, _| std::future::pending()).await;
    assert_eq!(get(&server.url, Duration::from_millis(50)).await, Reply::TimedOut);
}

#[tokio::test]
async fn without_root_certificates_plain_http_still_works() {
    let server = Server::always(200, "").await;
    let client = trusting_nobody(&Kind { tls: [0; 32], loopback: true }).unwrap();
    assert_eq!(answered(exchange(client.get(&server.url), LONG).await).status, 200);
}

#[test]
fn clients_are_made_once_for_each_identity() {
    let clients = Clients::new();
    let ca = test_key("tls-ca.pem");
    for url in ["https://one.example/", "https://two.example/"] {
        let url: Url = url.parse().unwrap();
        for ca in [None, Some(ca.as_path())] {
            clients.get(&url, ca, None).unwrap();
        }
    }
    assert_eq!(clients.made.lock().unwrap().len(), 2);
}

#[test]
fn the_own_machine_is_known_by_its_names() {
    let loopback = |url: &str| is_loopback(&url.parse().unwrap());
    assert!(loopback("https://localhost:4431/tmining"));
    assert!(loopback("http://127.0.0.1:8080/"));
    assert!(loopback("http://[::1]:8080/"));
    assert!(!loopback("https://localhost.example/"));
    assert!(!loopback("https://10.0.0.1/"));
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let error = |path: PathBuf| {
        let url: Url = "https://scr.example/".parse().unwrap();
        format!("{:#}", Clients::new().get(&url, Some(&path), None).unwrap_err())
    };
    assert!(error(test_key("missing.pem")).contains("missing.pem cannot be read: No such"));
    assert!(error(test_key("README.md")).contains("README.md holds no certificate in PEM"));
}

#[tokio::test]
async fn a_further_ca_is_trusted_beside_the_systems() {
    let url: Url = tls_server().await.parse().unwrap();
    let clients = Clients::new();
    let untrusted = clients.get(&url, None, None).unwrap().get(url.clone());
    let text = broken(exchange(untrusted, LONG).await);
    assert!(text.contains("invalid peer certificate"), "{text}");

    let ca = test_key("tls-ca.pem");
    let trusted = clients.get(&url, Some(&ca), None).unwrap().get(url);
    assert_eq!(answered(exchange(trusted, LONG).await).text, "safe");
}

async fn tls_server() -> String {
    let certificate = CertificateDer::from_pem_file(test_key("tls-server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(test_key("tls-server-key.pem")).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe").await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}/")
}

#[test]
fn secrets_are_taken_out_of_every_text() {
    let answer = Answer { text: "you sent geheim, geheim".to_owned(), ..Answer::default() };
    let reply = without_secrets(Reply::Answered(answer), &["geheim", ""]);
    assert_eq!(answered(reply).text, "you sent ***, ***");
    let reply = without_secrets(Reply::Broken("no geheim".to_owned()), &["geheim"]);
    assert_eq!(reply, Reply::Broken("no ***".to_owned()));
    assert_eq!(format!("{:?}", bearer("geheim").unwrap()), "Sensitive");
}
