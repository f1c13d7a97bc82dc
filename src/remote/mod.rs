//! How the outside is spoken to: shared HTTP clients, logins and signatures, and one client for
//! each kind of channel. Everything comes back as a `Reply`; nothing here judges or tries again.

pub mod http;
mod grant;
pub mod oauth2;
pub mod pem;
pub mod jwt;
mod bearer;
pub mod ingestion;
pub mod cpu;
pub mod release;
pub mod scr;

pub use bearer::speaks_of_subscription_key;
pub use cpu::Cpu;
pub use http::{Clients, exchange};
pub use ingestion::Ingestion;
pub use jwt::Signer;
pub use oauth2::{Token, TokenError, Tokens, secret_mark};
pub use release::{Assignee, Barge, Driver, Release};
pub use scr::Scr;

#[cfg(test)]
pub(crate) mod testing;

use anyhow::Context;

/// Runs what may block, such as reading a secret from a slow disk, apart from the runtime's
/// own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("the reading was broken off")?
}
