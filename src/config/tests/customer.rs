use std::time::Duration;

use super::*;
use crate::config::{AnswerRule, ChannelKind, Grant, MessageType, Order, Ready, SecretSource};

/// What is said when these lines are put below a table's head.
fn below(head: &str, lines: &str) -> Vec<String> {
    acme_with(head, &format!("{head}\n{lines}"))
}

fn in_source(lines: &str) -> Vec<String> {
    below("[sources.erp]", lines)
}

fn in_channel(lines: &str) -> Vec<String> {
    below("[channels.releases]", lines)
}

fn told(line: usize, what: &str) -> [String; 1] {
    [format!("customers/acme.toml:{line}: {what}")]
}

/// The source of a customer whose source has these lines too.
fn source(lines: &str) -> crate::config::Source {
    let text = changed(CUSTOMER, "[sources.erp]", &format!("[sources.erp]\n{lines}"));
    Folder::with(&text).acme().sources.remove("erp").unwrap()
}

/// The ingestion channel of a customer whose channel has these lines too.
fn channel(lines: &str) -> crate::config::IngestionChannel {
    let text = changed(CUSTOMER, "[channels.releases]", &format!("[channels.releases]\n{lines}"));
    match Folder::with(&text).acme().channels.remove("releases").unwrap().kind {
        ChannelKind::Ingestion(channel) => channel,
        ChannelKind::Scr(_) => panic!(),
    }
}

#[test]
fn a_broken_customer_is_left_out_and_the_others_run() {
    let folder = Folder::with(CUSTOMER);
    folder.write("customers/typo.toml", "vatt = 1\n");
    folder.write("customers/torn.toml", "name = \"x\n");
    folder.write("customers/a b.toml", "");
    folder.write("customers/latin.toml", "");
    std::fs::write(folder.path("customers/latin.toml"), b"\nname = \"caf\xe9\"").unwrap();
    std::fs::create_dir(folder.path("customers/folder.toml")).unwrap();
    let loaded = folder.load().unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.customers.keys().collect::<Vec<_>>(), ["acme"]);
    let broken = &loaded.config.broken;
    assert_eq!(broken.keys().collect::<Vec<_>>(), ["a b", "folder", "latin", "torn", "typo"]);
    let no_source = "warning: there is no [sources.…]: no file is taken in";
    assert_eq!(
        folder.told(broken.values().flatten()),
        [
            "customers/a b.toml: \"a b\" cannot be a customer's id: name the file with letters, \
             digits, - and _ only",
            &format!("customers/a b.toml: {no_source}"),
            "customers/folder.toml: cannot be read: Is a directory (os error 21)",
            "customers/latin.toml:2: is not UTF-8: save the file as UTF-8",
            "customers/torn.toml:1: invalid basic string, expected `\"`",
            &format!("customers/typo.toml: {no_source}"),
            "customers/typo.toml:1: unknown key \"vatt\": did you mean \"vat\"?",
        ]
    );
}

#[test]
fn an_id_has_letters_of_either_case_digits_and_two_signs() {
    let folder = Folder::new();
    for id in ["acme", "ACME-2", "a_b", "7"] {
        folder.write(&format!("customers/{id}.toml"), "");
    }
    for id in ["a.b", "é", "a+b"] {
        folder.write(&format!("customers/{id}.toml"), "");
    }
    let config = folder.config();
    assert_eq!(config.customers.keys().collect::<Vec<_>>(), ["7", "ACME-2", "a_b", "acme"]);
    assert_eq!(config.broken.keys().collect::<Vec<_>>(), ["a+b", "a.b", "é"]);
}

#[test]
fn all_faults_of_a_file_are_told_at_once_in_the_order_of_lines() {
    let faults = Folder::with(
        "vatt = 1\nactive = \"yes\"\n[sources.erp]\ntype = \"locl\"\n[channels.c]\n\
         type = \"ingestion\"\n[[routes]]\nsource = \"epr\"\nfiles = \"[\"\nmapping = \"x\"\n",
    )
    .faults();
    assert_eq!(
        faults,
        [
            "customers/acme.toml:1: unknown key \"vatt\": did you mean \"vat\"?",
            "customers/acme.toml:2: active is \"yes\", but must be true or false",
            "customers/acme.toml:4: type is \"locl\", but must be \"local\" or \"sftp\": \
             did you mean \"local\"?",
            "customers/acme.toml:5: [channels.c] lacks \"channel_id\"",
            "customers/acme.toml:5: [channels.c] lacks \"login\"",
            "customers/acme.toml:7: [routes] lacks \"channel\"",
            "customers/acme.toml:8: there is no source \"epr\": did you mean \"erp\"?",
            "customers/acme.toml:9: files: \"[\" is no pattern: unclosed character class; \
             missing ']'",
            "customers/acme.toml:10: there is no mapping \"x\": known are drivers, releases",
        ]
    );
}

#[test]
fn a_customer_without_sources_or_routes_is_warned() {
    assert_eq!(
        Folder::with("").faults(),
        ["customers/acme.toml: warning: there is no [sources.…]: no file is taken in"]
    );
    let routes = CUSTOMER.find("[[routes]]").unwrap();
    assert_eq!(
        Folder::with(&CUSTOMER[..routes]).faults(),
        ["customers/acme.toml: warning: there is no [[routes]]: every file is quarantined"]
    );
}

#[test]
fn a_customer_without_a_name_has_its_id() {
    assert_eq!(Folder::with(&changed(CUSTOMER, "name = \"Acme\"\n", "")).acme().name, "acme");
    assert_eq!(acme_with("name = \"Acme\"", "name = \" \""), told(1, "name is empty"));
}

#[test]
fn a_source_says_when_a_file_is_finished() {
    assert_eq!(source("ready = { when = \"quiet\" }").ready, Ready::Quiet(Duration::from_secs(2)));
    assert_eq!(
        source("ready = { when = \"quiet\", for = \"0s\" }").ready,
        Ready::Quiet(Duration::ZERO)
    );
    assert_eq!(source("ready = { when = \"renamed\" }").ready, Ready::Renamed);
    assert_eq!(
        source("ready = { when = \"marker\", name = \"{stem}.ok\" }").ready,
        Ready::Marker("{stem}.ok".to_owned())
    );
}

#[test]
fn faults_of_ready_are_told() {
    let ready = |inline: &str| in_source(&format!("ready = {inline}"));
    assert_eq!(ready("{ }"), told(5, "[sources.erp.ready] lacks \"when\""));
    assert_eq!(
        ready("{ when = \"quite\" }"),
        told(
            5,
            "when is \"quite\", but must be \"quiet\" or \"renamed\" or \"marker\": \
             did you mean \"quiet\"?"
        )
    );
    assert_eq!(
        ready("{ when = \"renamed\", for = \"2s\" }"),
        told(5, "for is for when = \"quiet\" only")
    );
    assert_eq!(
        ready("{ when = \"quiet\", name = \"{name}.ok\" }"),
        told(5, "name is for when = \"marker\" only")
    );
    assert_eq!(ready("{ when = \"marker\" }"), told(5, "[sources.erp.ready] lacks \"name\""));
    for (name, fault) in [
        ("ready.ok", "name must hold {name} or {stem}: each file has a marker of its own"),
        ("{name}", "name would be the file itself"),
        ("{name}.{ext}", "name knows {name} and {stem} only"),
        ("ok/{name}", "name holds a slash: the marker lies beside the file"),
    ] {
        assert_eq!(ready(&format!("{{ when = \"marker\", name = \"{name}\" }}")), told(5, fault));
    }
}

#[test]
fn a_source_has_an_order_and_names_to_ignore() {
    assert_eq!(source("order = \"modified\"").order, Order::Modified);
    let ignore = source("ignore = [\"*.bak\", \"~*\"]").ignore;
    assert!(ignore.is_match("A.BAK") && ignore.is_match("~x") && !ignore.is_match("a.tmp"));
    assert!(source("ignore = []").ignore.is_empty());
    assert_eq!(
        in_source("order = \"date\""),
        told(5, "order is \"date\", but must be \"name\" or \"modified\"")
    );
    assert_eq!(
        in_source("ignore = [\"a/*\"]"),
        told(5, "\"a/*\" in ignore holds a slash: it is for a file's name, not its path")
    );
    assert_eq!(in_source("ignore = [1]"), told(5, "ignore is a list, but must be a list of texts"));
}

#[test]
fn result_folders_are_relative_to_the_customers_file() {
    let text = changed(
        CUSTOMER,
        "path = \"../in\"",
        "path = \"../in\"\narchive = \"../done\"\nrejects = \"/srv/bad\"",
    );
    let folder = Folder::with(&text);
    let source = folder.acme().sources.remove("erp").unwrap();
    assert_eq!(source.archive, folder.path("customers/../done"));
    assert_eq!(source.rejects, PathBuf::from("/srv/bad"));
    assert_eq!(source.receipts, folder.path("customers/../in/receipts"));
    assert_eq!(
        in_source("rejects = \"../in/\""),
        told(5, "rejects is the source's own folder: its files would be taken in again")
    );
}

#[test]
fn the_folder_of_a_source_must_be_given_and_be_none_other_than_a_folder() {
    assert_eq!(acme_with("path = \"../in\"\n", ""), told(4, "[sources.erp] lacks \"path\""));
    assert_eq!(acme_with("\"../in\"", "\"\""), told(6, "path is empty"));
    assert_eq!(
        acme_with("\"../in\"", "\"../secret\""),
        told(6, "customers/../secret is no folder")
    );
    assert_eq!(
        acme_with("\"../in\"", "\"../none\""),
        told(6, "warning: the folder customers/../none does not exist")
    );
    assert_eq!(
        acme_with("[sources.erp]\ntype = \"local\"", "[sources.erp]"),
        told(4, "[sources.erp] lacks \"type\"")
    );
}

#[test]
fn what_comes_with_later_versions_is_known_and_refused() {
    assert_eq!(
        in_source("schedule = \"* * * * *\""),
        told(5, "\"schedule\" of a local source is not available in this version")
    );
    assert_eq!(
        in_source("every = \"30s\""),
        told(5, "\"every\" of a local source is not available in this version")
    );
    assert_eq!(
        in_source("timezone = \"Europe/Brussels\""),
        told(5, "\"timezone\" of a local source is not available in this version")
    );
    let sftp = r#"
[sources.partner]
type        = "sftp"
host        = "sftp.partner.example"
port        = 22
user        = "acme"
key         = { file = "keys/acme", passphrase = { env = "ACME_KEY_PASS" } }
known_hosts = "known_hosts"
path        = "/outbound"
schedule    = "*/5 * * * *"
timezone    = "Europe/Brussels"
after       = { move = "/outbound/done" }
ready       = { when = "quiet", for = "10s" }
foo         = 1

[channels.pickup]
type    = "cpu"
login   = "nxtport"
confirm = "notification"
foo     = 1

[[routes]]
source  = "partner"
files   = "DRIVERS_*.xml"
mapping = "drivers"
channel = "pickup"
"#;
    let known_source = "after, agent, archive, every, host, ignore, key, known_hosts, order, \
                        password, path, port, ready, receipts, rejects, schedule, timezone, \
                        type, user";
    assert_eq!(
        Folder::with(&format!("{CUSTOMER}{sftp}")).faults(),
        [
            "customers/acme.toml:29: sftp sources are not available in this version",
            &format!(
                "customers/acme.toml:40: unknown key \"foo\" in [sources.partner]: \
                 known here are {known_source}"
            ),
            "customers/acme.toml:43: cpu channels are not available in this version",
            "customers/acme.toml:46: unknown key \"foo\" in [channels.pickup]: \
             known here are ca, concurrency, confirm, login, retry, timeout, type",
        ]
    );
}

#[test]
fn a_login_may_complete_and_override_its_client() {
    let text = changed(
        CUSTOMER,
        "username = \"acme\"\npassword = { file = \"../secret\" }",
        "grant = \"client_credentials\"\ntoken_url = \"https://own.example/token/\"\n\
         client_id = \"own\"\nclient_secret = { env = \"PATH\" }\nscope = \"own/.default\"\n\
         ca = \"../secret\"\nusername = \"unused\"\npassword = { env = \"NOT_SET_ANYWHERE\" }",
    );
    let folder = Folder::with(&text);
    let ChannelKind::Ingestion(channel) = &folder.acme().channels["releases"].kind.clone() else {
        panic!()
    };
    let login = &channel.login;
    assert!(matches!(login.grant, Grant::ClientCredentials));
    assert_eq!(login.token_url, "https://own.example/token/");
    assert_eq!(login.client_id, "own");
    assert_eq!(login.client_secret, SecretSource::Env("PATH".to_owned()));
    assert_eq!(login.scope.as_deref(), Some("own/.default"));
    assert_eq!(login.ca, Some(folder.path("customers/../secret")));
}

#[test]
fn a_login_without_a_client_has_its_keys() {
    assert_eq!(
        acme_with("client = \"nxtport\"\n", ""),
        [
            "customers/acme.toml:8: [logins.nxtport] lacks \"token_url\"",
            "customers/acme.toml:8: [logins.nxtport] lacks \"client_id\"",
            "customers/acme.toml:8: [logins.nxtport] lacks \"client_secret\"",
        ]
    );
    assert_eq!(
        acme_with("client = \"nxtport\"", "client = \"nxport\""),
        told(9, "there is no client \"nxport\": did you mean \"nxtport\"?")
    );
    assert_eq!(
        acme_with("username = \"acme\"\npassword = { file = \"../secret\" }\n", ""),
        [
            "customers/acme.toml:8: [logins.nxtport] lacks \"username\"",
            "customers/acme.toml:8: [logins.nxtport] lacks \"password\"",
        ]
    );
}

#[test]
fn a_broken_client_is_told_once() {
    let folder = Folder::with(CUSTOMER);
    let text = changed(PROVIDER, "\"https://login.example/token\"", "\"x\"");
    folder.write("lighterman.toml", &text);
    assert_eq!(folder.load().unwrap_err().len(), 1);
}

#[test]
fn the_message_type_travels_as_configured() {
    let header = |name: &str| MessageType::Header(name.to_owned(), "A".to_owned());
    assert_eq!(channel("message_type = \"A\"").message_type, header("messageType"));
    let of = |place: &str| {
        channel(&format!("message_type = \"A\"\nmessage_type_in = {place}")).message_type
    };
    assert_eq!(of("{ header = \"X-Type\" }"), header("X-Type"));
    assert_eq!(of("{ query = \"t\" }"), MessageType::Query("t".to_owned(), "A".to_owned()));
    assert_eq!(of("\"none\""), MessageType::None);
    assert_eq!(channel("message_type_in = \"none\"").message_type, MessageType::None);
}

#[test]
fn faults_of_the_message_type_are_told() {
    let of = |place: &str| in_channel(&format!("message_type = \"A\"\nmessage_type_in = {place}"));
    assert_eq!(
        in_channel("message_type_in = { query = \"t\" }"),
        told(13, "[channels.releases] lacks \"message_type\"")
    );
    assert_eq!(
        of("\"header\""),
        told(
            15,
            "message_type_in is \"header\", but must be { header = \"name\" }, \
             { query = \"name\" } or \"none\""
        )
    );
    let one = "message_type_in must have one of header and query";
    assert_eq!(of("{ }"), told(15, one));
    assert_eq!(of("{ header = \"a\", query = \"b\" }"), told(15, one));
    assert_eq!(
        of("{ header = \"a b\" }"),
        told(15, "the header \"a b\" is not a legal header name")
    );
    assert_eq!(
        of("{ header = \"authorization\" }"),
        told(
            15,
            "the header \"authorization\" is set by lighterman itself: it has a key of its own, \
             or cannot be changed"
        )
    );
    assert_eq!(of("5"), told(15, "message_type_in is 5, but must be a text or a table"));
    assert_eq!(
        in_channel("message_type = \"é\""),
        told(14, "message_type has a value with characters that a header cannot carry")
    );
}

#[test]
fn further_headers_are_checked() {
    let headers = channel("headers = { X-A = \"1\", \"x-b\" = \"two words\" }").headers;
    assert_eq!(
        headers,
        [("X-A".to_owned(), "1".to_owned()), ("x-b".to_owned(), "two words".to_owned())]
    );
    let of = |inline: &str| in_channel(&format!("headers = {inline}"));
    assert_eq!(
        of("{ \"a b\" = \"x\" }"),
        told(14, "the header \"a b\" is not a legal header name")
    );
    assert_eq!(
        of("{ Content-Type = \"x\" }"),
        told(
            14,
            "the header \"Content-Type\" is set by lighterman itself: it has a key of its own, \
             or cannot be changed"
        )
    );
    for value in ["a\\nb", "é", "\\u0000"] {
        assert_eq!(
            of(&format!("{{ x = \"{value}\" }}")),
            told(14, "the header \"x\" has a value with characters that a header cannot carry")
        );
    }
    assert_eq!(
        of("{ x = \"1\", X = \"2\" }"),
        told(14, "the header \"x\" stands here twice: letters of either case are one name")
    );
    assert_eq!(of("{ x = 1 }"), told(14, "x is 1, but must be a text in quotes"));
    assert_eq!(
        in_channel("message_type = \"A\"\nheaders = { messagetype = \"x\" }"),
        told(15, "the header \"messageType\" is the message type's already")
    );
}

#[test]
fn a_channel_id_is_one_part_of_a_path() {
    for id in ["a/b", "a b", "a?b", "a#b", "a%2Fb", "..", "é"] {
        assert_eq!(
            acme_with("\"channel-acme\"", &format!("\"{id}\"")),
            told(
                16,
                &format!(
                    "channel_id is {id:?}, but must be one part of a URL's path: \
                     no slash, blank, ?, # or %"
                )
            )
        );
    }
    assert_eq!(acme_with("\"channel-acme\"", "\"\""), told(16, "channel_id is empty"));
    assert_eq!(
        acme_with("channel_id = \"channel-acme\"\n", ""),
        told(13, "[channels.releases] lacks \"channel_id\"")
    );
}

#[test]
fn an_ingestion_channel_needs_the_endpoint() {
    let folder = Folder::with(CUSTOMER);
    let text =
        changed(PROVIDER, "[endpoints]\ningestion = \"https://api.example/ingestion\"\n", "");
    folder.write("lighterman.toml", &text);
    assert_eq!(
        folder.faults(),
        told(
            14,
            "a channel of type ingestion needs \"ingestion\" in [endpoints] of lighterman.toml"
        )
    );
    let scr_only = CUSTOMER.find("[channels.releases]").unwrap();
    folder.write("customers/acme.toml", &CUSTOMER[..scr_only]);
    assert_eq!(folder.config().ingestion, None);
}

#[test]
fn numbers_and_spans_of_a_channel_are_bounded() {
    assert_eq!(
        in_channel("concurrency = 65"),
        told(14, "concurrency is 65, but must be a whole number from 1 to 64")
    );
    assert_eq!(
        in_channel("batch = { records = 0 }"),
        told(14, "records is 0, but must be a whole number from 1 to 100000")
    );
    assert_eq!(
        in_channel("batch = { records = 100001 }"),
        told(14, "records is 100001, but must be a whole number from 1 to 100000")
    );
    assert_eq!(
        in_channel("batch = { bytes = 0 }"),
        told(14, "bytes is 0: no message could be built")
    );
    assert_eq!(
        in_channel("batch = { bytes = \"17 MiB\" }"),
        told(
            14,
            "a message of this channel may have 17825792 bytes, but in_flight_bytes in [limits] \
             of lighterman.toml allows 16777216 in flight: raise it, or lower bytes in batch"
        )
    );
    assert_eq!(
        in_channel("timeout = \"0s\""),
        told(14, "timeout is 0: no request could be answered")
    );
    assert_eq!(
        in_channel("media_type = \"json\""),
        told(14, "media_type is \"json\", but must be such as \"application/json\"")
    );
    assert_eq!(
        acme_with("login = \"nxtport\"", "login = \"nxport\""),
        told(15, "there is no login \"nxport\": did you mean \"nxtport\"?")
    );
    assert_eq!(
        in_channel("ca = \"none.pem\""),
        told(14, "ca: customers/none.pem cannot be read: No such file or directory (os error 2)")
    );
}

#[test]
fn the_waits_of_retry_must_fit_each_other() {
    assert_eq!(
        in_channel("retry = { first = \"10m\" }"),
        told(14, "first (600s) is longer than max (300s)")
    );
    assert_eq!(
        in_channel("retry = { first = \"0s\" }"),
        told(14, "first is 0: attempts would follow each other without a pause")
    );
    assert_eq!(
        below("[channels.assignments]", "retry = { max = \"20s\" }"),
        told(19, "first (30s) is longer than max (20s)")
    );
    assert_eq!(
        in_channel("retry = { max = \"soon\" }"),
        told(14, "max is \"soon\", but must be a time span such as \"30s\", \"5m\" or \"24h\"")
    );
}

#[test]
fn answers_override_verdicts() {
    let answers = channel(
        "answers = { \"409\" = \"delivered\", 404 = \"record\", 500 = \"later\", 422 = \"channel\" }",
    )
    .answers;
    assert_eq!(
        answers.into_iter().collect::<Vec<_>>(),
        [
            (404, AnswerRule::Record),
            (409, AnswerRule::Delivered),
            (422, AnswerRule::Channel),
            (500, AnswerRule::Later),
        ]
    );
    assert_eq!(
        in_channel("answers = { 409 = \"delivred\" }"),
        told(
            14,
            "409 is \"delivred\", but must be \"delivered\" or \"record\" or \"channel\" or \
             \"later\": did you mean \"delivered\"?"
        )
    );
    for status in ["4xx", "100", "600", "0409"] {
        assert_eq!(
            in_channel(&format!("answers = {{ {status} = \"later\" }}")),
            told(14, &format!("{status:?} in answers is no status: one of 200 to 599"))
        );
    }
}

#[test]
fn a_route_names_what_is_there() {
    assert_eq!(
        acme_with("source = \"erp\"", "source = \"sap\""),
        told(23, "there is no source \"sap\": known are erp")
    );
    assert_eq!(
        acme_with("mapping = \"releases\"", "mapping = \"release\""),
        told(25, "there is no mapping \"release\": did you mean \"releases\"?")
    );
    assert_eq!(
        acme_with("channel = \"releases\"", "channel = \"relaeses\""),
        told(26, "there is no channel \"relaeses\": did you mean \"releases\"?")
    );
    assert_eq!(
        acme_with("\"*.csv\"", "\"in/*.csv\""),
        told(24, "files: \"in/*.csv\" holds a slash: it is for a file's name, not its path")
    );
    assert_eq!(
        below("[[routes]]", "repeats = \"both\""),
        told(23, "repeats is \"both\", but must be \"skip\" or \"send\"")
    );
    assert_eq!(
        acme_with("[[routes]]", "[routes]"),
        told(
            22,
            "routes is a table, but must be an array of tables: [[routes]], or one for each of uat, production"
        )
    );
}

#[test]
fn repeats_are_sent_to_scr_unless_the_route_says_otherwise() {
    let of = |channel: &str, line: &str| {
        let text = changed(
            CUSTOMER,
            "\nchannel = \"releases\"",
            &format!("\n{line}\nchannel = \"{channel}\""),
        );
        Folder::with(&text).acme().routes[0].send_repeats
    };
    assert!(!of("releases", ""));
    assert!(of("assignments", ""));
    assert!(of("releases", "repeats = \"send\""));
    assert!(!of("assignments", "repeats = \"skip\""));
}

#[test]
fn a_route_that_never_matches_is_a_warning() {
    let second = "[[routes]]\nsource = \"erp\"\nfiles = \"*.CSV\"\nmapping = \"drivers\"\n\
                  channel = \"assignments\"\n";
    assert_eq!(
        Folder::with(&format!("{CUSTOMER}{second}")).faults(),
        told(27, "warning: this route never matches: the one in line 22 takes the same files")
    );
}
