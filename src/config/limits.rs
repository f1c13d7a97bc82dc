//! Limits over all customers.

use std::time::Duration;

use super::Section;

/// Limits over all customers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests open at once, over all channels, SCR's 20 apart. Default 64.
    pub in_flight: usize,
    /// Bytes of request bodies held at once. Default 16 MiB.
    pub in_flight_bytes: u64,
    /// Free disk below which pickup pauses. Default 1 GiB.
    pub free_disk: u64,
    /// How long identities and counters of settled files are kept. Default 90 days.
    pub remember: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            in_flight: 64,
            in_flight_bytes: 16 << 20,
            free_disk: 1 << 30,
            remember: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

impl Limits {
    /// Reads the table `limits` of the provider's file.
    pub(super) fn parse(provider: &mut Section) -> Limits {
        let default = Limits::default();
        let Some(mut section) = provider.section("limits") else { return default };
        let limits = Limits {
            in_flight: section
                .integer("in_flight", 1, 10_000)
                .map_or(default.in_flight, |n| n as usize),
            in_flight_bytes: section.size("in_flight_bytes").unwrap_or(default.in_flight_bytes),
            free_disk: section.size("free_disk").unwrap_or(default.free_disk),
            remember: section.duration("remember").unwrap_or(default.remember),
        };
        if limits.in_flight_bytes == 0 {
            section.error("in_flight_bytes", "in_flight_bytes is 0: no message could be sent");
        }
        section.finish();
        limits
    }
}
