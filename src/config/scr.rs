//! SCR APIs: one installation each, with one wallet, one key and one gate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::clash::{Stake, Thing};
use super::{ScrCallback, SecretSource, Section, TlsIdentity, ca};

/// What an SCR API's batch service takes at once (`/v1/batch`; the design's section 3.5): more
/// calls open at once only wait there.
const CEILING: i64 = 20;

/// One installation of the SCR API: one wallet, one key, one gate.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrApi {
    /// The base URL, without a slash at its end.
    pub url: String,
    /// The same in its normal form: one API, whatever way its URL is written.
    pub normal: String,
    /// How calls prove who they come from.
    pub auth: ScrAuth,
    /// How its callbacks prove who they come from; without it none are taken.
    pub callback: Option<ScrCallback>,
    /// Calls that change something open at once, 1 to 20. Default 20.
    pub concurrency: usize,
    /// How long one call may take, the API's own queue included. Default 5 minutes.
    pub timeout: Duration,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
    /// The client certificate that the API sees.
    pub identity: Option<TlsIdentity>,
    /// Where the key lies by which drivers get their stand-ins, if they are not to be named
    /// (`personal_data = "replace"`).
    pub stand_ins: Option<PathBuf>,
}

/// How calls to an SCR API prove who they come from (SCR API 1.2.9, "General principles for
/// authentication").
#[derive(Clone, Debug, PartialEq)]
pub enum ScrAuth {
    /// No authentication.
    None,
    /// A JWT signed for every call.
    SignedJwt {
        /// RS256, RS384, RS512, ES256, ES384, HS256, HS384 or HS512.
        algorithm: String,
        /// The private key in PEM, or the shared secret.
        key: SecretSource,
        /// Whether a shared secret is base64 to be decoded first.
        base64: bool,
        /// How long a token is valid. Default 60 s.
        lifetime: Duration,
    },
}

impl ScrApi {
    /// Reads all APIs of the table `scr`; one that has errors is known by its name only.
    pub(super) fn parse_all(
        file: &mut Section,
        stakes: &mut Vec<Stake>,
    ) -> BTreeMap<String, Option<ScrApi>> {
        let sections = file.named_sections("scr").into_iter();
        sections
            .map(|(name, section)| {
                let faults = section.faults().clone();
                (name, faults.sound(|| ScrApi::parse(section, stakes)))
            })
            .collect()
    }

    fn parse(mut section: Section, stakes: &mut Vec<Stake>) -> Option<ScrApi> {
        if !section.has("url") {
            section.missing("url");
        }
        let url = Address::base(&mut section, "url");
        if let Some(url) = &url {
            stakes.push(Stake::new(Thing::ScrApi, url.normal.clone(), &section, "url"));
        }
        let auth = ScrAuth::parse(&mut section);
        let callback = ScrCallback::parse(&mut section);
        let concurrency = concurrency(&mut section);
        let timeout = section.duration("timeout").unwrap_or(Duration::from_secs(5 * 60));
        if timeout.is_zero() {
            section.error("timeout", "timeout is 0: no call could be answered");
        }
        let ca = ca::parse(&mut section);
        let identity = TlsIdentity::parse(&mut section);
        section.finish();
        Some(ScrApi {
            url: url.as_ref()?.text.clone(),
            normal: url?.normal,
            auth: auth?,
            callback,
            concurrency: concurrency?,
            timeout,
            ca,
            identity,
            stand_ins: None,
        })
    }
}

impl ScrAuth {
    fn parse(api: &mut Section) -> Option<ScrAuth> {
        if !api.has("auth") {
            api.missing("auth");
        }
        let mut section = api.section("auth")?;
        if !section.has("type") {
            section.missing("type");
        }
        let signed = section.choice("type", &[("signed-jwt", true), ("none", false)])?;
        let auth = if signed { ScrAuth::signed(&mut section) } else { Some(ScrAuth::None) };
        section.finish();
        auth
    }

    fn signed(section: &mut Section) -> Option<ScrAuth> {
        let words = ["RS256", "RS384", "RS512", "ES256", "ES384", "HS256", "HS384", "HS512"];
        if !section.has("algorithm") {
            section.missing("algorithm");
        }
        let algorithm = section.choice("algorithm", &words.map(|word| (word, word)));
        if !section.has("key") {
            section.missing("key");
        }
        let key = SecretSource::parse(section, "key");
        let base64 = section.choice("secret_encoding", &[("raw", false), ("base64", true)]);
        if base64.is_some() && algorithm.is_some_and(|word| !word.starts_with("HS")) {
            section.error(
                "secret_encoding",
                "secret_encoding is for a shared secret (HS256, HS384, HS512): a key is PEM",
            );
        }
        let lifetime = section.duration("lifetime").unwrap_or(Duration::from_secs(60));
        if lifetime < Duration::from_secs(1) {
            section.error("lifetime", "lifetime must be at least 1s: a token counts whole seconds");
        }
        Some(ScrAuth::SignedJwt {
            algorithm: algorithm?.to_owned(),
            key: key?,
            base64: base64.unwrap_or(false),
            lifetime,
        })
    }
}

fn concurrency(section: &mut Section) -> Option<usize> {
    if !section.has("concurrency") {
        return Some(CEILING as usize);
    }
    let concurrency = section.number("concurrency")?;
    if !(1..=CEILING).contains(&concurrency) {
        let what = format!(
            "concurrency is {concurrency}, but must be from 1 to {CEILING}: {CEILING} is the \
             ceiling of an SCR API"
        );
        section.error("concurrency", what);
        return None;
    }
    Some(concurrency as usize)
}
