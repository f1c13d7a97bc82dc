//! Refusal: why there is no session with a server. The caller decides on alarm and back-off.

use std::fmt;

use super::Session;
use crate::ledger::AlarmKind;

/// Why there is no session.
#[derive(Debug)]
pub enum Refusal {
    /// The server's key is not known, or not the one that is known. Nothing was sent that the
    /// login rests on. A person is needed.
    HostKey {
        /// What was found, with the fingerprint, the file and the line to compare.
        advice: String,
        /// The line that would let the key in, once a person has compared the fingerprint; none
        /// for a revoked key.
        line: Option<String>,
    },
    /// The server refuses the login. A person is needed.
    Login {
        /// Whether a password was part of what was refused: accounts lock.
        password: bool,
        /// What was tried, and what the server wants.
        advice: String,
    },
    /// A key, its passphrase, a password or the agent cannot be had or used here.
    Secret(anyhow::Error),
    /// The server cannot be reached, or does not answer as an SFTP server.
    Unreachable(anyhow::Error),
}

/// As an alarm says it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::HostKey { advice, line: Some(_) } => {
                write!(f, "{advice}; \"lighterman check --connect\" prints the line")
            }
            Refusal::HostKey { advice, line: None } | Refusal::Login { advice, .. } => {
                f.write_str(advice)
            }
            Refusal::Secret(error) | Refusal::Unreachable(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What alarm an error of the server raises; none if it is no fault of the server's or the login.
pub fn alarm_of(error: &anyhow::Error) -> Option<AlarmKind> {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal::HostKey { .. }) => Some(AlarmKind::HostKey),
        Some(Refusal::Login { .. } | Refusal::Secret(_)) => Some(AlarmKind::LoginRefused),
        Some(Refusal::Unreachable(_)) => Some(AlarmKind::Unreachable),
        None => Session::is_broken(error).then_some(AlarmKind::Unreachable),
    }
}
