//! The environment in use, and values keyed by environment.

use super::*;

/// The environments and the one in use, or what is said instead.
fn of(head: &str, chosen: Option<&str>) -> Result<(Vec<String>, String), Vec<String>> {
    let rest = PROVIDER.split_once("\n\n").unwrap().1;
    let folder = Folder::of_provider(&format!("{head}\n{rest}"));
    match load(Some(&folder.path("lighterman.toml")), chosen) {
        Ok(loaded) => {
            let environments = loaded.config.environments;
            Ok((environments.names, environments.current))
        }
        Err(faults) => Err(folder.told(&faults)),
    }
}

fn names(names: &[&str], current: &str) -> Result<(Vec<String>, String), Vec<String>> {
    Ok((names.iter().map(|name| name.to_string()).collect(), current.to_owned()))
}

fn fault(what: &str) -> Result<(Vec<String>, String), Vec<String>> {
    Err(vec![what.to_owned()])
}

#[test]
fn the_environment_in_use_is_as_written_or_as_chosen() {
    let both = "environments = [\"uat\", \"production\"]\nenvironment = \"uat\"";
    assert_eq!(of(both, None), names(&["uat", "production"], "uat"));
    assert_eq!(of(both, Some("production")), names(&["uat", "production"], "production"));
}

#[test]
fn without_environments_there_is_one() {
    assert_eq!(of("", None), names(&["production"], "production"));
    assert_eq!(of("environment = \"test\"", None), names(&["test"], "test"));
    assert_eq!(of("environments = [\"test\"]", None), names(&["test"], "test"));
}

#[test]
fn an_environment_that_is_none_is_told_with_the_nearest() {
    let both = "environments = [\"uat\", \"production\"]\nenvironment = \"prduction\"";
    assert_eq!(
        of(both, None),
        fault(
            "lighterman.toml:2: environment is \"prduction\", which is no environment: \
             did you mean \"production\"?"
        )
    );
    assert_eq!(
        of("environments = [\"uat\", \"production\"]", Some("live")),
        fault(
            "lighterman.toml:1: --environment is \"live\", which is no environment: \
             known are uat, production"
        )
    );
    assert_eq!(of(both, Some("uat")), of(both, None), "the written one is checked all the same");
    assert_eq!(
        of("environments = [\"uat\", \"production\"]", None),
        fault(
            "lighterman.toml:1: \"environment\" is missing: it, or --environment, names the one \
             in use of uat, production"
        )
    );
}

#[test]
fn names_of_environments_are_free_except_a_few() {
    assert_eq!(
        of("environments = [\"uat\", \"env\"]\nenvironment = \"uat\"", None),
        fault("lighterman.toml:1: the environment \"env\" names a place of secrets")
    );
    assert_eq!(
        of("environments = [\"uat\", \"uat\"]\nenvironment = \"uat\"", None),
        fault("lighterman.toml:1: the environment \"uat\" stands here twice")
    );
    assert_eq!(
        of("environments = [\"../x\"]", None),
        fault("lighterman.toml:1: the environment \"../x\" starts with a dot")
    );
    assert_eq!(
        of("environments = [\"a/b\"]", None),
        fault("lighterman.toml:1: the environment \"a/b\" holds a slash or a control character")
    );
    assert_eq!(
        of("environments = []", None),
        fault("lighterman.toml:1: environments is empty: name at least one")
    );
    assert_eq!(
        of("environments = 5", None),
        fault("lighterman.toml:1: environments is 5, but must be a list of texts")
    );
    assert_eq!(of("environments = [\"path\"]", None), names(&["path"], "path"));
}

#[test]
fn a_wrong_environment_hides_no_other_fault_and_invents_none() {
    let folder = Folder::with(&changed(
        CUSTOMER,
        "channel_id = \"channel-acme\"",
        "channel_id = { uat = \"a\", production = \"b\" }\nconcurency = 3",
    ));
    folder.write("lighterman.toml", &format!("{PROVIDER}timeot = \"1s\"\n"));
    let faults = load(Some(&folder.path("lighterman.toml")), Some("test")).unwrap_err();
    assert_eq!(
        folder.told(&faults),
        [
            "lighterman.toml:1: --environment is \"test\", which is no environment: \
             known are uat, production",
            "lighterman.toml:15: unknown key \"timeot\" in [scr.wallet]: \
             did you mean \"timeout\"?",
            "customers/acme.toml:17: unknown key \"concurency\" in [channels.releases]: \
             did you mean \"concurrency\"?",
        ]
    );
}

#[test]
fn any_value_may_be_keyed_by_environment() {
    let folder = Folder::with(
        r#"name = { uat = "Acme test", production = "Acme" }
active = { uat = false, production = true }
[sources.erp]
type = "local"
path = { uat = "../in", production = "/srv/in" }
ignore = { uat = ["*.x"], production = "*.y" }
ready = { uat = { when = "renamed" }, production = { when = "quiet" } }
[logins.one]
client = "nxtport"
username = "acme"
password = { uat = { file = "../secret" }, production = { env = "NOT_SET_ANYWHERE" } }
[channels.releases]
type = "ingestion"
login = "one"
concurrency = { uat = 1, production = 9 }
batch = { records = { uat = 1, production = 100 }, bytes = "1 KiB" }
timeout = { uat = "1s", production = "30s" }
message_type = "A"
message_type_in = { uat = "none", production = { header = "x" } }
headers.X-Stage = { uat = "test", production = "live" }
[channels.releases.channel_id]
uat = "u"
production = "p"
[channels.releases.retry.uat]
first = "2s"
[channels.releases.retry.production]
first = "9s"
[[routes]]
source = "erp"
files = { uat = "U*", production = "P*" }
mapping = { uat = "drivers", production = "releases" }
channel = "releases"
"#,
    );
    let acme = folder.acme();
    assert_eq!(acme.name, "Acme test");
    assert!(!acme.active);
    let taken = acme.sources["erp"].local_folder().map(Path::to_owned);
    assert_eq!(taken, Some(folder.path("customers/../in")));
    assert!(acme.sources["erp"].ignore.is_match("a.x"));
    assert_eq!(acme.sources["erp"].ready, crate::config::Ready::Renamed);
    assert_eq!(acme.routes[0].files, "U*");
    assert_eq!(acme.routes[0].mapping, "drivers");
    let channel = &acme.channels["releases"];
    assert_eq!(channel.retry.first.as_secs(), 2);
    let crate::config::ChannelKind::Ingestion(ingestion) = &channel.kind else { panic!() };
    assert_eq!(ingestion.url, "https://api.example/ingestion/u");
    assert_eq!(ingestion.concurrency, 1);
    assert_eq!((ingestion.batch_records, ingestion.batch_bytes), (1, 1024));
    assert_eq!(ingestion.timeout.as_secs(), 1);
    assert_eq!(ingestion.message_type, crate::config::MessageType::None);
    assert_eq!(ingestion.headers, [("X-Stage".to_owned(), "test".to_owned())]);
}

#[test]
fn a_value_that_lacks_the_environment_in_use_is_an_error() {
    assert_eq!(
        acme_with("\"channel-acme\"", "{ production = \"x\" }"),
        ["customers/acme.toml:16: channels.releases.channel_id has no value for the \
             environment \"uat\" in use"]
    );
}

#[test]
fn a_table_that_mixes_environments_with_others_is_an_error() {
    assert_eq!(
        acme_with("\"channel-acme\"", "{\n uat = \"x\",\n prod = \"y\" }"),
        ["customers/acme.toml:18: channels.releases.channel_id is keyed by environment, but \
             \"prod\" is none: known are uat, production"]
    );
    assert_eq!(
        acme_with("\"channel-acme\"", "{ test = \"x\", prod = \"y\" }"),
        ["customers/acme.toml:16: channel_id is a table, but must be a text in quotes, or one \
             for each of uat, production"]
    );
}

#[test]
fn a_wrong_value_is_told_with_the_line_of_the_environment_in_use() {
    assert_eq!(
        acme_with("\"channel-acme\"", "{\n production = 7,\n uat = 8 }"),
        ["customers/acme.toml:18: channel_id is 8, but must be a text in quotes"]
    );
}

#[test]
fn a_name_given_by_the_user_may_be_that_of_an_environment() {
    let text = CUSTOMER
        .replace("[logins.nxtport]", "[logins.uat]")
        .replace("login = \"nxtport\"", "login = \"uat\"")
        .replace("[sources.erp]", "[sources.production]")
        .replace("source = \"erp\"", "source = \"production\"");
    let acme = Folder::with(&text).acme();
    assert_eq!(acme.routes[0].source, "production");
}

#[test]
fn a_table_of_names_may_be_keyed_by_environment() {
    let text = CUSTOMER.replace("[logins.nxtport]", "[logins.production]\n[logins.uat.nxtport]");
    Folder::with(&text).acme();
}

#[test]
fn an_environment_may_be_named_as_a_key_of_ours() {
    let folder = Folder::with(&changed(
        CUSTOMER,
        "path = \"../in\"",
        "path = \"../in\"\nready = { when = \"quiet\", for = \"5s\" }",
    ));
    folder.write(
        "lighterman.toml",
        &changed(
            &changed(PROVIDER, "[\"uat\", \"production\"]", "[\"ready\", \"when\", \"path\"]"),
            "environment = \"uat\"",
            "environment = \"when\"",
        ),
    );
    let ready = folder.acme().sources["erp"].ready.clone();
    assert_eq!(ready, crate::config::Ready::Quiet(std::time::Duration::from_secs(5)));
}
