//! Alarm: something that a person should look at, kept until it is over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the place of an alarm about an outbox starts with.
const OF_OUTBOX: &str = "outbox/";

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Since when.
    pub since: Timestamp,
    /// The customer; empty for the provider as a whole.
    pub customer: String,
    /// The channel, where one is concerned.
    pub channel: Option<String>,
    /// The source, where one is concerned; or `outbox/` and the name of an outbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it is about.
    pub kind: AlarmKind,
    /// What to do.
    pub advice: String,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// The token server, or an SFTP server, refuses the login.
    LoginRefused,
    /// An SFTP server's key is not known, or not the one that is known.
    HostKey,
    /// The subscription key is missing or refused.
    SubscriptionKey,
    /// The channel answers 403, 404 or another status that no record is to blame for.
    ChannelRefused,
    /// The server cannot be reached or is out of order; tried again by itself.
    Unreachable,
    /// Twenty messages in a row were refused.
    EverythingRefused,
    /// CPu accepted something, and told no verdict in time.
    NoVerdict,
    /// The disk is full, or a folder cannot be written.
    Disk,
    /// A file of a partner has a name under which it cannot be taken.
    FileName,
    /// A notification fits no customer, or cannot be worked on.
    Notification,
    /// Documents for an outbox cannot be written as things are.
    Outbox,
    /// The customer's config cannot be used.
    Config,
}

impl AlarmKind {
    /// The word in `status`.
    pub fn word(self) -> &'static str {
        match self {
            AlarmKind::LoginRefused => "login-refused",
            AlarmKind::HostKey => "host-key",
            AlarmKind::SubscriptionKey => "subscription-key",
            AlarmKind::ChannelRefused => "channel-refused",
            AlarmKind::Unreachable => "unreachable",
            AlarmKind::EverythingRefused => "everything-refused",
            AlarmKind::NoVerdict => "no-verdict",
            AlarmKind::Disk => "disk",
            AlarmKind::FileName => "file-name",
            AlarmKind::Notification => "notification",
            AlarmKind::Outbox => "outbox",
            AlarmKind::Config => "config",
        }
    }

    /// Whether work rests until a person acts. What CPu never told of is set aside, and counts there.
    pub fn needs_a_person(self) -> bool {
        !matches!(self, AlarmKind::Unreachable | AlarmKind::NoVerdict)
    }
}

impl Alarm {
    /// Where an alarm about an outbox stands among those of the customer's sources, none of which has
    /// a slash in its name.
    pub fn of_outbox(outbox: &str) -> Option<String> {
        Some(format!("{OF_OUTBOX}{outbox}"))
    }

    /// Whether it is about an outbox.
    pub fn is_of_outbox(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.starts_with(OF_OUTBOX))
    }

    /// Whether both are about the same thing.
    pub fn same(&self, other: &Alarm) -> bool {
        let about = |alarm: &Alarm| {
            (alarm.customer.clone(), alarm.channel.clone(), alarm.source.clone(), alarm.kind)
        };
        about(self) == about(other)
    }
}
