//! A small real server for the tests of `remote`, and what they configure to speak to it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::config::{Grant, Login, SecretSource};

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// The path with its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A server on a free port of the loopback.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts a server whose answers come from a function of the request's number, counted from
    /// 0, and the request.
    pub async fn start<F, A>(answer: F) -> Server
    where
        F: Fn(usize, Seen) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let request = Seen {
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                headers: parts.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            let number = {
                let mut log = log.lock().unwrap();
                log.push(request.clone());
                log.len() - 1
            };
            answer(number, request).await
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { url, seen }
    }

    /// Starts a server that answers every request alike.
    pub async fn always(status: u16, body: &'static str) -> Server {
        Server::start(move |_, _| async move { answer(status, body) }).await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer without headers of its own.
pub fn answer(status: u16, body: impl Into<String>) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.into()).into_response()
}

/// The answer of a token server.
pub fn token(token: &str, expires_in: u64) -> Response {
    answer(
        200,
        format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{expires_in}}}"#),
    )
}

/// A server that reads a request, writes these bytes, and drops the connection.
pub async fn raw_server(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    url
}

/// Secrets in files, as a customer keeps them.
pub struct Secrets(TempDir);

impl Secrets {
    pub fn new() -> Secrets {
        Secrets(tempfile::tempdir().unwrap())
    }

    pub fn file(&self, name: &str, text: &str) -> SecretSource {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        SecretSource::File(path)
    }

    /// A login by the client alone, at a token server.
    pub fn client_login(&self, token_url: &str) -> Login {
        Login {
            id: "acme/nxtport".to_owned(),
            token_url: token_url.to_owned(),
            grant: Grant::ClientCredentials,
            client_id: "builder".to_owned(),
            client_secret: self.file("client-secret", "s&e cret\n"),
            scope: None,
            subscription_key: None,
            callback: None,
            ca: None,
            identity: None,
        }
    }

    /// A login by name and password, at a token server.
    pub fn password_login(&self, token_url: &str) -> Login {
        Login {
            grant: Grant::Password {
                username: "api@acme.example".to_owned(),
                password: self.file("password", "pä+ss\n"),
            },
            scope: Some("openid".to_owned()),
            ..self.client_login(token_url)
        }
    }
}

/// The place of a test key.
pub fn test_key(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/remote/test_keys").join(name)
}
