//! Door: connections that come in, with TLS or without, so many at once and none slower than it may be.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::Certificates;

/// Connections that are served at once.
const SERVED: usize = 256;

/// Connections beyond these that are told to come later; further ones wait to be accepted.
const TURNED_AWAY: usize = 64;

/// How long a caller may take for TLS, for the head of a request, and between requests.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection is waited for when the run ends.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Where callers come in.
pub struct Door {
    socket: TcpListener,
    certificates: Option<Arc<Certificates>>,
}

impl Door {
    pub fn new(socket: TcpListener, certificates: Option<Certificates>) -> Door {
        Door { socket, certificates: certificates.map(Arc::new) }
    }

    /// Where it is.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Serves until it is told to stop; requests that are under way are answered.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(SERVED + TURNED_AWAY));
        let full = Router::new().fallback(async || {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "5"), ("connection", "close")])
        });
        let connections = TaskTracker::new();
        let accept = async {
            loop {
                // The semaphore is never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let stream = match self.socket.accept().await {
                    Ok((stream, _)) => stream,
                    // Out of file handles, most likely: others have to close first.
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let is_full = places.available_permits() < TURNED_AWAY;
                let router = if is_full { full.clone() } else { router.clone() };
                let (certificates, stop) = (self.certificates.clone(), stop.clone());
                connections.spawn(async move {
                    // What a caller does wrong is nobody's business but its own.
                    let _ = serve(stream, certificates, router, stop).await;
                    drop(place);
                });
            }
        };
        stop.run_until_cancelled(accept).await;
        connections.close();
        let _ = timeout(END_WITHIN, connections.wait()).await;
    }
}

async fn serve(
    stream: TcpStream,
    certificates: Option<Arc<Certificates>>,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    match certificates {
        None => answer(stream, router, stop).await,
        Some(certificates) => {
            let acceptor = certificates.acceptor().await;
            let stream = timeout(HEAD_WITHIN, acceptor.accept(stream)).await??;
            answer(stream, router, stop).await
        }
    }
    Ok(())
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(64 << 10);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = &mut connection => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(END_WITHIN, connection).await;
        }
    }
}
