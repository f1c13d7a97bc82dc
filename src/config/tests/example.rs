//! The examples of the design's section 4.1, as far as they concern this version.

use std::time::Duration;

use super::*;
use crate::config::{
    AnswerRule, ChannelKind, Environments, Grant, Limits, MessageType, Order, Ready, Retry,
    ScrAuth, SecretSource,
};

pub const EXAMPLE_PROVIDER: &str = r#"
environments = ["uat", "production"]      # names are free, except env, file, credential
environment  = "uat"                      # the one in use; --environment overrides
customers    = "customers"                # folder of customer files
mappings     = "mappings"                 # mapping files; mappings/aka holds the tables
state        = "state"                    # everything durable lies in state/<environment>/: nothing crosses

[endpoints]
ingestion = "https://api.example/ingestion"         # /{channel-id} is appended
cpu       = "https://api.example/certified-pickup/v1"

[clients.nxtport]                         # the application builder's registration, shared by its customers
token_url     = "https://api.example/connect/token"
grant         = "password"                # or "client_credentials"
client_id     = "builder"
client_secret = { env = "PATH" }          # secrets: { env }, { file }, { credential } (systemd); never inline
scope         = "openid"

[scr.wallet-a]                            # one SCR API; also in a customer's file, then for it alone
url         = "https://localhost:4431/tmining/api/v1"
auth        = { type = "signed-jwt", algorithm = "RS256", key = { file = "keys/scr.pem" }, lifetime = "60s" }
concurrency = 20                          # 20 is also the ceiling: more is a config error
timeout     = "5m"                        # the API works its queue one by one

[limits]
in_flight       = 64                      # requests open at once, over all channels (SCR's 20 apart)
in_flight_bytes = "16 MiB"
free_disk       = "1 GiB"                 # below it pickup pauses with an alarm
remember        = "90d"                   # identities and counters of settled files
"#;

pub const EXAMPLE_CUSTOMER: &str = r#"
name   = "Acme Forwarding NV"
vat    = "BE0403019261"
active = true                             # false: takes nothing new, finishes what is open

[sources.erp]
type   = "local"
path   = "/srv/erp/out"
ready  = { when = "quiet", for = "2s" }   # size, mtime, inode unchanged on our own clock
ignore = ["*.tmp", "*.part", "*.filepart", "*.incomplete", "*.writing", ".*"]
order  = "name"                           # or "modified"
# archive = "…", rejects = "…", receipts = "…": default to folders of that name in path

[logins.nxtport]                          # who the customer is; keys of the client may stand here too
client           = "nxtport"
username         = "api@acme.example"
password         = { file = "secrets/acme-password" }
subscription_key = { file = "secrets/acme-subscription-key" }

[channels.releases]
type         = "ingestion"
login        = "nxtport"
channel_id   = { uat = "acme-test", production = "acme-live" }
media_type   = "application/json"
message_type = "ReleaseOrder"
message_type_in = { header = "messageType" }    # or { query = "messageType" }, or "none"
headers      = { }                        # further fixed headers
batch        = { records = 500, bytes = "1 MiB" }   # records = 1: one request a record
concurrency  = 4
timeout      = "30s"
retry        = { first = "1s", max = "5m", give_up_after = "24h" }
answers      = { "409" = "delivered" }    # delivered | record | channel | later: overrides section 4.4

[channels.assignments]
type  = "scr"
api   = "wallet-a"
retry = { first = "30s", max = "10m", give_up_after = "24h" }
park_for = "30d"                          # then quarantined
verdict_within = "1h"

[[routes]]                                # the first that matches wins; none: the file is quarantined whole
source  = "erp"
files   = "RELEASE_*.csv"                 # glob, letters of either case
mapping = "erp-releases"
channel = "releases"
# repeats = "skip"                        # or "send": the default for scr

[[routes]]
source  = "erp"
files   = "DRIVERS_*.xml"
mapping = "partner-drivers"
channel = "assignments"
"#;

pub fn example() -> Folder {
    let folder = Folder::with(EXAMPLE_CUSTOMER);
    folder.write("lighterman.toml", EXAMPLE_PROVIDER);
    folder.write("mappings/erp-releases.toml", "");
    folder.write("mappings/partner-drivers.toml", "");
    folder.write("keys/scr.pem", "key");
    folder.write("customers/secrets/acme-password", "one");
    folder.write("customers/secrets/acme-subscription-key", "two");
    folder
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_provider_of_the_design_loads() {
    let folder = example();
    let config = folder.config();
    assert_eq!(config.file, folder.path("lighterman.toml"));
    let names = vec!["uat".to_owned(), "production".to_owned()];
    assert_eq!(config.environments, Environments { names, current: "uat".to_owned() });
    assert_eq!(config.mappings, folder.path("mappings"));
    assert_eq!(config.state, folder.path("state/uat"));
    assert_eq!(config.ingestion.as_deref(), Some("https://api.example/ingestion"));
    let api = &config.scr["wallet-a"];
    assert_eq!(api.url, "https://localhost:4431/tmining/api/v1");
    assert_eq!((api.concurrency, api.timeout, &api.ca), (20, seconds(300), &None));
    let ScrAuth::SignedJwt { algorithm, key, base64, lifetime } = &api.auth else { panic!() };
    assert_eq!((algorithm.as_str(), *base64, *lifetime), ("RS256", false, seconds(60)));
    assert_eq!(*key, SecretSource::File(folder.path("keys/scr.pem")));
    let limits = Limits {
        in_flight: 64,
        in_flight_bytes: 16_777_216,
        free_disk: 1_073_741_824,
        remember: seconds(7_776_000),
    };
    assert_eq!(config.limits, limits);
    assert!(config.broken.is_empty());
    assert_eq!(config.customers.len(), 1);
}

#[test]
fn the_customer_of_the_design_loads() {
    let folder = example();
    let acme = folder.acme();
    assert_eq!((acme.id.as_str(), acme.name.as_str()), ("acme", "Acme Forwarding NV"));
    assert_eq!(acme.file, folder.path("customers/acme.toml"));
    assert_eq!((acme.vat.as_deref(), acme.active), (Some("BE0403019261"), true));

    let source = &acme.sources["erp"];
    assert_eq!(source.local_folder(), Some(Path::new("/srv/erp/out")));
    assert_eq!(source.ready, Ready::Quiet(seconds(2)));
    assert_eq!(source.order, Order::Name);
    assert_eq!(source.archive, PathBuf::from("/srv/erp/out/archive"));
    assert_eq!(source.rejects, PathBuf::from("/srv/erp/out/rejects"));
    assert_eq!(source.receipts, PathBuf::from("/srv/erp/out/receipts"));

    let channel = &acme.channels["releases"];
    let day = seconds(86_400);
    assert_eq!(channel.retry, Retry { first: seconds(1), max: seconds(300), give_up_after: day });
    let ChannelKind::Ingestion(ingestion) = &channel.kind else { panic!() };
    assert_eq!(ingestion.url, "https://api.example/ingestion/acme-test");
    assert_eq!(ingestion.media_type, "application/json");
    let header = MessageType::Header("messageType".to_owned(), "ReleaseOrder".to_owned());
    assert_eq!(ingestion.message_type, header);
    assert_eq!(ingestion.headers, []);
    assert_eq!((ingestion.batch_records, ingestion.batch_bytes), (500, 1_048_576));
    assert_eq!((ingestion.concurrency, ingestion.timeout), (4, seconds(30)));
    assert_eq!(ingestion.answers.get(&409), Some(&AnswerRule::Delivered));

    let login = &ingestion.login;
    assert_eq!(login.id, "acme/nxtport");
    assert_eq!(login.token_url, "https://api.example/connect/token");
    assert_eq!(login.client_id, "builder");
    assert_eq!(login.client_secret, SecretSource::Env("PATH".to_owned()));
    assert_eq!(login.scope.as_deref(), Some("openid"));
    let key = folder.path("customers/secrets/acme-subscription-key");
    assert_eq!(login.subscription_key, Some(SecretSource::File(key)));
    let Grant::Password { username, password } = &login.grant else { panic!() };
    assert_eq!(username, "api@acme.example");
    let file = folder.path("customers/secrets/acme-password");
    assert_eq!(*password, SecretSource::File(file));

    let channel = &acme.channels["assignments"];
    assert_eq!(channel.retry, Retry { first: seconds(30), max: seconds(600), give_up_after: day });
    let ChannelKind::Scr(scr) = &channel.kind else { panic!() };
    assert_eq!(scr.api, "wallet-a");
    assert_eq!((scr.park_for, scr.verdict_within), (30 * day, seconds(3600)));

    let [releases, drivers] = &acme.routes[..] else { panic!() };
    assert_eq!((releases.source.as_str(), releases.files.as_str()), ("erp", "RELEASE_*.csv"));
    assert_eq!(releases.mapping, "erp-releases");
    assert_eq!(releases.channel, "releases");
    assert!(releases.pattern.is_match("release_7.CSV"));
    assert!(!releases.send_repeats);
    assert_eq!(drivers.channel, "assignments");
    assert!(drivers.send_repeats);
}

#[test]
fn the_values_of_the_design_are_the_defaults() {
    let folder = Folder::with(CUSTOMER);
    let config = folder.config();
    let (bare, full) = (folder.acme(), example().acme());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(example().config().limits, Limits::default());
    assert_eq!(
        (config.scr["wallet"].concurrency, config.scr["wallet"].timeout),
        (20, seconds(300))
    );
    for name in ["releases", "assignments"] {
        assert_eq!(bare.channels[name].retry, full.channels[name].retry);
    }
    let source = &bare.sources["erp"];
    assert_eq!((&source.ready, source.order), (&Ready::Quiet(seconds(2)), Order::Name));
    for name in ["a.tmp", "A.TMP", "a.part", "a.filepart", "a.incomplete", "a.writing", ".a"] {
        assert!(source.ignore.is_match(name), "{name}");
    }
    assert!(!source.ignore.is_match("a.csv"));
    let ChannelKind::Ingestion(ingestion) = &bare.channels["releases"].kind else { panic!() };
    assert_eq!(ingestion.media_type, "application/json");
    assert_eq!(ingestion.message_type, MessageType::None);
    assert_eq!((ingestion.batch_records, ingestion.batch_bytes), (500, 1_048_576));
    assert_eq!((ingestion.concurrency, ingestion.timeout), (4, seconds(30)));
    assert!(ingestion.answers.is_empty());
    assert_eq!(ingestion.login.scope, None);
    let ChannelKind::Scr(scr) = &bare.channels["assignments"].kind else { panic!() };
    assert_eq!((scr.park_for, scr.verdict_within), (seconds(2_592_000), seconds(3600)));
}

#[test]
fn a_source_that_is_not_there_yet_is_a_warning() {
    assert_eq!(
        example().faults(),
        ["customers/acme.toml:8: warning: the folder /srv/erp/out does not exist"]
    );
}

#[test]
fn the_config_does_not_show_secrets() {
    let shown = format!("{:?}", example().config());
    assert!(shown.contains("acme-password") && !shown.contains("\"one\""), "{shown}");
}
