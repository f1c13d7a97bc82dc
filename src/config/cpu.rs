//! CPu channel: a customer's access to Certified Pick up.

use std::path::PathBuf;
use std::time::Duration;

use super::surroundings::Surroundings;
use super::{Login, Section, ca};

/// A channel to Certified Pick up.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuChannel {
    /// The base URL, without a slash at its end.
    pub url: String,
    /// Who the customer is; it has a subscription key.
    pub login: Login,
    /// How many release rights that are alike go in one call at most. Default 1.
    pub batch_records: usize,
    /// How the verdict on what was accepted comes.
    pub confirm: Confirm,
    /// How long a verdict may take. Default 24 hours.
    pub verdict_within: Duration,
    /// Requests of this channel open at once. Default 4.
    pub concurrency: usize,
    /// How long one request may take. Default 30 s.
    pub timeout: Duration,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
}

/// How the verdict on what was accepted comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// CPu posts it to our receiver.
    Notification,
    /// We ask for it at growing intervals: no port need be open.
    Poll,
    /// Nobody asks: what is accepted counts as done.
    None,
}

impl CpuChannel {
    pub(super) fn parse(section: &mut Section, around: &Surroundings<'_>) -> Option<CpuChannel> {
        let provider = around.provider;
        if provider.cpu.is_none() && !provider.endpoints_are_faulty {
            let what = format!(
                "a channel of type cpu needs \"cpu\" in [endpoints] of {}",
                provider.file.display()
            );
            section.error("type", what);
        }
        let login = around.login(section);
        if login.as_ref().is_some_and(|login| login.subscription_key.is_none()) {
            section.error(
                "login",
                "a channel of type cpu needs a login with a \"subscription_key\": every call \
                 carries it beside the token",
            );
        }
        let batch = section.section("batch");
        let batch_records = batch.map_or(1, |mut batch| {
            let records = batch.integer("records", 1, 1000).unwrap_or(1);
            batch.finish();
            records as usize
        });
        let words = [
            ("notification", Confirm::Notification),
            ("poll", Confirm::Poll),
            ("none", Confirm::None),
        ];
        let confirm = match section.has("confirm") {
            true => section.choice("confirm", &words),
            false => Some(Confirm::Notification),
        };
        let verdict_within =
            section.duration("verdict_within").unwrap_or(Duration::from_secs(24 * 3600));
        let concurrency = section.integer("concurrency", 1, 64).unwrap_or(4) as usize;
        let timeout = section.duration("timeout").unwrap_or(Duration::from_secs(30));
        if timeout.is_zero() {
            section.error("timeout", "timeout is 0: no request could be answered");
        }
        let ca = ca::parse(section);
        Some(CpuChannel {
            url: provider.cpu.as_ref()?.text.clone(),
            login: login?,
            batch_records,
            confirm: confirm?,
            verdict_within,
            concurrency,
            timeout,
            ca,
        })
    }
}
