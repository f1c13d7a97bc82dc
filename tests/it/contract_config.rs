//! Config (design, section 4.1): every value by environment, all problems at once with file, line
//! and the nearest known name, secrets never inline, a broken customer left out.

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::*;

/// The last line of a text that holds all of these, or a failure that shows the text.
#[track_caller]
fn line_with(text: &str, parts: &[&str]) -> String {
    let found = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("no line holds {parts:?} in:\n{text}")).to_owned()
}

#[test]
fn all_problems_are_told_at_once_with_file_line_and_the_nearest_key() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases(""));
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", format!("environmnt = \"x\"\n{config}in_flite = 3\n"));
    let customer = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file(
        "customers/acme.toml",
        customer
            .replace("media_type ", "mediatype ")
            .replace("login        = \"nxtport\"", "login        = \"nxtpart\""),
    );
    for command in [&["check"][..], &["run", "--once"], &["status"]] {
        let run = provider.run(command);
        assert_eq!(run.code, 1, "{command:?}: {run}");
    }
    let run = provider.run(&["check"]);
    let told = &run.stderr;
    line_with(told, &["lighterman.toml:1:", "environmnt", "environment"]);
    line_with(told, &["lighterman.toml:", "in_flite", "in_flight"]);
    line_with(told, &["acme.toml:", "mediatype", "media_type"]);
    line_with(told, &["acme.toml:", "nxtpart", "nxtport"]);
    let line = customer.lines().position(|line| line.starts_with("media_type")).unwrap() + 1;
    line_with(told, &[&format!("acme.toml:{line}:"), "mediatype"]);
    assert_eq!(run.stdout, "");
}

#[test]
fn any_value_may_be_given_by_environment_and_the_option_chooses() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    let url = fake.url();
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file(
        "lighterman.toml",
        config
            .replace(
                &format!("ingestion = \"{url}/ingestion\""),
                &format!("ingestion = {{ uat = \"{url}/uat\", production = \"{url}/prod\" }}"),
            )
            .replace("scope         = \"openid\"", "scope = { uat = \"u\", production = \"p\" }"),
    );
    let text = releases("timeout = { uat = \"10s\", production = \"20s\" }\nbatch = { records = { uat = 1, production = 500 }, bytes = \"1 MiB\" }")
        .replace("\"chan-1\"", "{ uat = \"chan-u\", production = \"chan-p\" }")
        .replace("files   = \"*.csv\"", "files = { uat = \"*.csv\", production = \"*.csv\" }");
    acme(&provider, &text);
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n2;2\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/uat/chan-u").len(), 2);
    assert_eq!(fake.to("/connect/token")[0].form()["scope"], "u");
    // The other environment has another state: the same bytes are new there.
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n2;2\n");
    let run = provider.run(&["--environment", "production", "run", "--once"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/prod/chan-p").len(), 1);
    assert!(provider.path("state/uat").is_dir() && provider.path("state/production").is_dir());
}

#[test]
fn a_value_that_lacks_the_environment_in_use_is_an_error() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases("").replace("\"chan-1\"", "{ production = \"chan-p\" }"));
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["acme.toml:", "channel_id", "uat"]);
    let run = provider.run(&["check", "--environment", "production"]);
    assert_eq!(run.code, 0, "{run}");
    let run = provider.run(&["check", "--environment", "producton"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("producton") && run.stderr.contains("production"), "{run}");
}

#[test]
fn environments_may_have_any_name_but_env_file_and_credential() {
    for name in ["env", "file", "credential"] {
        let fake = Fake::willing();
        let provider = shop(&fake);
        let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
        provider
            .file("lighterman.toml", config.replace("\"production\"]", &format!("\"{name}\"]")));
        let run = provider.run(&["check"]);
        assert_eq!(run.code, 1, "{name}: {run}");
    }
}

#[test]
fn secrets_come_from_the_environment_a_file_or_a_systemd_credential() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    provider.secret("acme", "from-file\n");
    provider.file("credentials/the-key", "key-from-systemd\n");
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let config = config.replace("{ file = \"secrets/client\" }", "{ env = \"THE_CLIENT_SECRET\" }");
    provider.file("lighterman.toml", config);
    acme(
        &provider,
        &releases("").replace(
            "\n[channels.releases]",
            "subscription_key = { credential = \"the-key\" }\n\n[channels.releases]",
        ),
    );
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n");
    let folder = provider.path("credentials");
    let environment =
        [("THE_CLIENT_SECRET", "from-env"), ("CREDENTIALS_DIRECTORY", folder.to_str().unwrap())];
    let run = run_with(&provider.path(""), &["run", "--once"], &environment);
    assert_eq!(run.code, 0, "{run}");
    let form = fake.to("/connect/token")[0].form();
    assert_eq!(
        (form["client_secret"].as_str(), form["password"].as_str()),
        ("from-env", "from-file")
    );
    assert_eq!(fake.to("/ingestion")[0].header("ocp-apim-subscription-key"), "key-from-systemd");
    // Without them: all that are missing, named.
    let run = run_with(&provider.path(""), &["check"], &[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("THE_CLIENT_SECRET"), "{run}");
    assert!(
        run.stderr.contains("the-key") || run.stderr.contains("CREDENTIALS_DIRECTORY"),
        "{run}"
    );
}

#[test]
fn one_final_line_end_is_removed_from_a_secret_file_and_no_more() {
    for (text, sent) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
        let fake = Fake::willing();
        let provider = ready(&fake, "");
        provider.secret("acme", text);
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(fake.to("/connect/token")[0].form()["password"], sent, "{text:?}");
    }
}

#[test]
fn an_inline_secret_is_refused_and_not_repeated() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases(""));
    let text = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file(
        "customers/acme.toml",
        text.replace("{ file = \"../secrets/acme\" }", "\"hunter2-inline\""),
    );
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["acme.toml:", "password"]);
    assert!(!run.stderr.contains("hunter2") && !run.stdout.contains("hunter2"), "{run}");
    // By environment, too.
    provider.file(
        "customers/acme.toml",
        text.replace(
            "{ file = \"../secrets/acme\" }",
            "{ uat = \"hunter2-inline\", production = \"hunter2-too\" }",
        ),
    );
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(!run.stderr.contains("hunter2"), "{run}");
    // A good secret by environment.
    provider.file(
        "customers/acme.toml",
        text.replace(
            "{ file = \"../secrets/acme\" }",
            "{ uat = { file = \"../secrets/acme\" }, production = { env = \"NOT_SET\" } }",
        ),
    );
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn a_secret_file_that_others_can_read_is_a_warning() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(provider.path("secrets/acme"), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 0, "{run}");
    line_with(&run.stderr, &["warning", "secrets/acme"]);
}

#[test]
fn a_broken_customer_is_left_out_and_the_others_run() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.file("customers/bolt.toml", "name = \"Bolt\"\nvatt = \"x\"\n");
    provider.file("customers/core.toml", "this is = = no toml\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(fake.to("/ingestion").len(), 1);
    let status = provider.status();
    let alarms = status["alarms"].as_array().unwrap();
    let of = |customer: &str| alarms.iter().filter(|alarm| alarm["customer"] == customer).count();
    assert_eq!((of("bolt"), of("core"), of("acme")), (1, 1, 0), "{status}");
    for command in [&["check"][..], &["run", "--strict", "--once"]] {
        let run = provider.run(command);
        assert_eq!(run.code, 1, "{run}");
        line_with(&run.stderr, &["bolt.toml:2:", "vatt", "vat"]);
        line_with(&run.stderr, &["core.toml:1:"]);
    }
    std::fs::remove_file(provider.path("customers/bolt.toml")).unwrap();
    std::fs::remove_file(provider.path("customers/core.toml")).unwrap();
    provider.run_once(&[]).ended(0);
    assert_eq!(provider.alarms(), [""; 0]);
}

#[test]
fn a_broken_mapping_or_table_is_told_with_its_place_and_leaves_its_customers_out() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.mapping("plain", &PLAIN.replace("required = true", "requird = true"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(fake.seen().len(), 0);
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["plain.toml:12:", "requird", "required"]);

    provider.mapping("plain", &PLAIN.replace("required = true", "aka = \"terminals\""));
    provider.aka("terminals", "alias,code\nPSA,K913\nX,1\npsa,K913\nPSA,K914\n");
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["terminals.csv", "2", "5"]);

    provider.mapping("plain", &PLAIN.replace("required = true", "aka = \"terminal\""));
    provider.aka("terminals", "alias,code\nPSA,K913\n");
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["plain.toml:", "terminal", "terminals"]);
}

#[test]
fn two_customers_with_one_ingestion_url_are_an_error() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    let text = acme_text(&releases("")).replace("inbox/acme", "inbox/bolt");
    std::fs::create_dir_all(provider.inbox("bolt")).unwrap();
    provider.file("customers/bolt.toml", text);
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["bolt", "acme"]);
    // Neither may send: whose data is it?
    let run = provider.run_once(&[]);
    assert!([1, 4].contains(&run.code), "{run}");
    assert_eq!(fake.to("/ingestion").len(), 0, "{run}");
}

const SCR_APIS: &str = r#"
[scr.wallet-a]
url  = "http://localhost:4431/tmining/api/v1"
auth = { type = "none" }

[scr.wallet-b]
url  = "http://LOCALHOST:4431/tmining/api/v1/"
auth = { type = "none" }
"#;

#[test]
fn two_scr_apis_with_one_url_are_an_error() {
    let fake = Fake::willing();
    let provider = shop_with(&fake, SCR_APIS);
    acme(&provider, &releases(""));
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["lighterman.toml:", "wallet-a", "wallet-b"]);
}

#[test]
fn an_scr_concurrency_above_20_is_an_error() {
    for (concurrency, code) in [(20, 0), (21, 1), (0, 1)] {
        let fake = Fake::willing();
        let one = SCR_APIS.split("\n[scr.wallet-b]").next().unwrap();
        let provider = shop_with(&fake, &format!("{one}concurrency = {concurrency}\n"));
        acme(&provider, &releases(""));
        let run = provider.run(&["check"]);
        assert_eq!(run.code, code, "{concurrency}: {run}");
        if code == 1 {
            line_with(&run.stderr, &["lighterman.toml:", "concurrency", "20"]);
        }
    }
}

#[test]
fn what_later_versions_bring_is_named_as_such() {
    let fake = Fake::willing();
    let provider = shop_with(&fake, "\n[listen]\nstatus = { address = \"127.0.0.1:8080\" }\n");
    acme(&provider, &releases(""));
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    line_with(&run.stderr, &["lighterman.toml:", "listen", "not available in this version"]);
}

#[test]
fn every_key_of_the_contract_for_this_version_is_known() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    let url = fake.url();
    provider.secret("scr.pem", &provider_key());
    provider.file("lighterman.toml", format!(r#"
environments = ["uat", "production"]
environment  = "uat"
customers    = "customers"
mappings     = "mappings"
state        = "state"

[endpoints]
ingestion = "{url}/ingestion"

[clients.nxtport]
token_url     = "{url}/connect/token"
grant         = "password"
client_id     = "builder"
client_secret = {{ file = "secrets/client" }}
scope         = "openid"

[scr.wallet-a]
url         = "{url}/tmining/api/v1"
auth        = {{ type = "signed-jwt", algorithm = "HS256", key = {{ file = "secrets/scr.pem" }}, lifetime = "60s", secret_encoding = "raw" }}
concurrency = 20
timeout     = "5m"

[limits]
in_flight       = 64
in_flight_bytes = "16 MiB"
free_disk       = "1 MiB"
remember        = "90d"
"#));
    provider.file(
        "customers/acme.toml",
        r#"
name   = "Acme Forwarding NV"
vat    = "BE0403019261"
active = true

[sources.erp]
type     = "local"
path     = "../inbox/acme"
ready    = { when = "quiet", for = "2s" }
ignore   = ["*.tmp", "*.part", "*.filepart", "*.incomplete", "*.writing", ".*"]
order    = "name"
archive  = "../done/archive"
rejects  = "../done/rejects"
receipts = "../done/receipts"

[logins.nxtport]
client           = "nxtport"
username         = "api@acme.example"
password         = { file = "../secrets/acme" }
subscription_key = { file = "../secrets/key" }

[channels.releases]
type         = "ingestion"
login        = "nxtport"
channel_id   = { uat = "c-u", production = "c-p" }
media_type   = "application/json"
message_type = "ReleaseOrder"
message_type_in = { header = "messageType" }
headers      = { }
batch        = { records = 500, bytes = "1 MiB" }
concurrency  = 4
timeout      = "30s"
retry        = { first = "1s", max = "5m", give_up_after = "24h" }
answers      = { "409" = "delivered" }

[channels.assignments]
type  = "scr"
api   = "wallet-a"
retry = { first = "30s", max = "10m", give_up_after = "24h" }
park_for = "30d"
verdict_within = "1h"

[[routes]]
source  = "erp"
files   = "RELEASE_*.csv"
mapping = "plain"
channel = "releases"
repeats = "skip"

[[routes]]
source  = "erp"
files   = "DRIVERS_*.xml"
mapping = "plain"
channel = "assignments"
repeats = "send"

[scr.own]
url  = "https://localhost:4432/tmining/api/v1"
auth = { type = "none" }
"#,
    );
    std::fs::create_dir_all(provider.inbox("acme")).unwrap();
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 0, "{run}");
    // What a run makes lies where the config says, and the globs know no case.
    provider.drop_file("acme", "release_7.CSV", "ID;WEIGHT\n1;1\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(provider.path("done/receipts/release_7.CSV.receipt.json").is_file());
}

fn provider_key() -> String {
    "a-secret-of-thirty-two-bytes-or-more".to_owned()
}

#[test]
fn an_unknown_option_exits_2_with_the_nearest() {
    let provider = Provider::empty();
    for (arguments, near) in [
        (&["run", "--onse"][..], "--once"),
        (&["chekc"], "check"),
        (&["--enviroment", "x", "status"], "--environment"),
        (&["run", "--wait", "soon"], "--wait"),
        (&["preview"], "FILE"),
        (&["run", "--once", "--wait"], "--wait"),
        (&["status", "--jsn"], "--json"),
        (&["check-leger"], "check-ledger"),
    ] {
        let run = provider.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run}");
        assert!(run.stderr.contains(near), "{arguments:?}: {run}");
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn the_config_is_looked_for_here_and_a_missing_one_is_fatal() {
    let provider = Provider::empty();
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("lighterman.toml"), "{run}");
    let run = provider.run(&["--config", "elsewhere/lm.toml", "check"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("elsewhere/lm.toml"), "{run}");

    let fake = Fake::willing();
    let provider = ready(&fake, "");
    let other = tempfile::tempdir().unwrap();
    let config = provider.path("lighterman.toml");
    // Relative paths are relative to the file that names them, not to the folder one stands in.
    let run = run_with(other.path(), &["--config", config.to_str().unwrap(), "run", "--once"], &[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(provider.path("state/uat").is_dir());
    assert_eq!(files_below(other.path()).len(), 0);
}
