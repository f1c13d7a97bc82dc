//! Stats: what the servers counted. Exact, whatever the log still holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The token server.
    pub token: TokenStats,
    /// All ingestion channels.
    pub ingestion: IngestionStats,
    /// SCR APIs by their base path.
    pub scr: BTreeMap<String, ScrStats>,
    /// Certified Pick up.
    #[serde(default)]
    pub cpu: CpuStats,
}

/// Counts of the token server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStats {
    /// Calls that arrived.
    pub requests: u64,
    /// Calls that it refused.
    pub refused: u64,
    /// Tokens handed out, by login: a user name, or a client id.
    pub issued: BTreeMap<String, u64>,
}

/// Counts over all ingestion channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestionStats {
    /// Calls that arrived, those for unknown channels included.
    pub calls: u64,
    /// Calls that were taken.
    pub accepted: u64,
    /// Different `Idempotency-Key`s among the taken calls, counted by channel.
    pub distinct_keys: u64,
    /// Taken calls whose key the channel had taken before.
    pub repeated_keys: u64,
    /// Those among them whose body was another than the first.
    pub conflicting_keys: u64,
    /// Taken calls without a key; each counts as a message of its own.
    pub without_key: u64,
    /// Records in the taken messages, each message counted once.
    pub records: u64,
    /// The same by channel.
    pub by_channel: BTreeMap<String, ChannelStats>,
}

/// Counts of one ingestion channel; see [`IngestionStats`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStats {
    /// Calls that arrived.
    pub calls: u64,
    /// Calls that were taken.
    pub accepted: u64,
    /// Different keys among the taken calls.
    pub distinct_keys: u64,
    /// Taken calls whose key was taken before.
    pub repeated_keys: u64,
    /// Those among them with another body.
    pub conflicting_keys: u64,
    /// Taken calls without a key.
    pub without_key: u64,
    /// Records in the taken messages, each message counted once.
    pub records: u64,
    /// The highest number of calls open at once.
    pub highest_open: u64,
}

impl IngestionStats {
    /// Adds a channel to the sums.
    pub(super) fn add(&mut self, id: &str, channel: ChannelStats) {
        self.calls += channel.calls;
        self.accepted += channel.accepted;
        self.distinct_keys += channel.distinct_keys;
        self.repeated_keys += channel.repeated_keys;
        self.conflicting_keys += channel.conflicting_keys;
        self.without_key += channel.without_key;
        self.records += channel.records;
        self.by_channel.insert(id.to_string(), channel);
    }
}

/// Counts of Certified Pick up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// Calls that change something and arrived.
    pub writes: u64,
    /// Writes that were accepted.
    pub accepted: u64,
    /// Accepted writes by the last word of their path; `release-rights-bulk` for several at once.
    pub by_action: BTreeMap<String, u64>,
    /// Reads that arrived.
    pub reads: u64,
    /// Notifications that a receiver took.
    pub posted: u64,
    /// Posts of notifications that a receiver did not take.
    pub not_taken: u64,
}

/// Counts of one SCR API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrStats {
    /// Calls that change something and arrived.
    pub writes: u64,
    /// Writes that were carried out, whether or not the caller lived to hear it.
    pub accepted: u64,
    /// Other calls that arrived, pin reads apart.
    pub reads: u64,
    /// Pin reads that arrived.
    pub pin_reads: u64,
    /// The highest number of writes and pin reads open at once. A call is open until it is
    /// answered, its connection is dropped, or its caller has gone.
    pub highest_open: u64,
    /// How often a write came in while another for the same release was open.
    pub overlapping: u64,
    /// As `highest_open`, of calls queued or in work: those whose caller has gone count on.
    pub highest_in_work: u64,
    /// As `overlapping`, of calls queued or in work.
    pub overlapping_in_work: u64,
    /// Calls refused for their token.
    pub refused_tokens: u64,
    /// Calls whose token carried a `jti` that had been seen before.
    pub replayed_tokens: u64,
    /// Calls that arrived, by the last word of their path: `assign`, `pincode`, `releases`, …;
    /// `release` is one release read by its address.
    pub by_action: BTreeMap<String, u64>,
}
