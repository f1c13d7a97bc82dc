//! What came back from a remote for one attempt, before anybody has judged it.

use std::time::Duration;

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server answered.
    Answered(Answer),
    /// No answer within the channel's own time-out: the server may still be working on it.
    TimedOut,
    /// The connection could not be made, so nothing was sent, or what came back cannot be read;
    /// the text is the whole chain of causes.
    Broken(String),
    /// The connection broke after the request was sent, or while it was: the server may have it.
    Lost(String),
    /// No login for this channel could be had; nothing was sent. The text says why.
    NoLogin(String),
    /// The token server refused the login itself (not a fault of the network), or the key that signs
    /// calls cannot be used. The text says why.
    LoginRefused(String),
}

/// A server's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in either form, as a wait from now.
    pub retry_after: Option<Duration>,
    /// The body as text, cut at 64 KiB; for the problems file it is shortened further.
    pub text: String,
}
