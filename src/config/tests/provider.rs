//! The provider's file and its folders.

use super::*;

#[test]
fn a_file_that_is_not_there_is_told() {
    let folder = Folder::new();
    let faults = load(Some(&folder.path("other.toml")), None).unwrap_err();
    assert_eq!(
        folder.told(&faults),
        ["other.toml: cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_with_all_its_slips() {
    let folder = Folder::of_provider("environment = uat\nx = \"\n[limits\n");
    assert_eq!(
        folder.faults(),
        [
            "lighterman.toml:1: string values must be quoted, expected literal string",
            "lighterman.toml:2: invalid basic string, expected `\"`",
            "lighterman.toml:3: unclosed table, expected `]`",
        ]
    );
}

#[test]
fn a_file_in_another_encoding_is_told_with_its_line() {
    let folder = Folder::new();
    std::fs::write(folder.path("lighterman.toml"), b"# a\n# b\nname = \"caf\xe9\"\n").unwrap();
    assert_eq!(folder.faults(), ["lighterman.toml:3: is not UTF-8: save the file as UTF-8"]);
}

#[test]
fn relative_folders_lie_beside_the_file_and_absolute_ones_where_they_are() {
    let folder = Folder::of_provider(&format!(
        "customers = \"tenants\"\nmappings = \"../maps\"\nstate = \"/var/lib/x\"\n{}",
        PROVIDER
    ));
    let top = folder.dir.path().join("etc");
    folder.write(
        "etc/lighterman.toml",
        &std::fs::read_to_string(folder.path("lighterman.toml")).unwrap(),
    );
    folder.write("etc/secret", "abc");
    folder.write("maps/releases.toml", "");
    folder.write("in/x", "");
    folder.write("etc/tenants/acme.toml", &CUSTOMER.replace("../in", "../../in"));
    let loaded = load(Some(&top.join("lighterman.toml")), None).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.mappings, top.join("../maps"));
    assert_eq!(loaded.config.state, PathBuf::from("/var/lib/x/uat"));
    assert_eq!(loaded.config.customers["acme"].file, top.join("tenants/acme.toml"));
}

#[test]
fn folders_that_cannot_be_read_are_told() {
    let folder = Folder::of_provider(&format!("customers = \"c\"\nmappings = \"m\"\n{PROVIDER}"));
    assert_eq!(
        folder.faults(),
        [
            "lighterman.toml:1: the folder of customers c cannot be read: \
             No such file or directory (os error 2)",
            "lighterman.toml:2: the folder of mappings m cannot be read: \
             No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn a_provider_without_customers_is_warned() {
    assert_eq!(
        Folder::new().faults(),
        ["customers: warning: there is no customer: each *.toml here adds one"]
    );
}

#[test]
fn files_beside_the_customers_add_none() {
    let folder = Folder::with(CUSTOMER);
    folder.write("customers/.beta.toml", "hidden");
    folder.write("customers/beta.toml~", "an editor's copy");
    folder.write("customers/keys/x.toml", "a folder's");
    folder.write("customers/GAMMA.TOML", "");
    assert_eq!(
        folder.faults(),
        ["customers/GAMMA.TOML: warning: is left out: a customer's file ends in .toml"]
    );
    assert_eq!(folder.config().customers.len(), 1);
}

#[test]
fn an_error_of_the_provider_comes_with_those_of_the_customers() {
    let folder = Folder::with("vatt = 1\n");
    folder.write("lighterman.toml", &format!("x = 1\n{PROVIDER}"));
    let faults = folder.load().unwrap_err();
    assert_eq!(
        folder.told(&faults),
        [
            "lighterman.toml:1: unknown key \"x\": known here are clients, customers, \
             endpoints, environment, environments, limits, listen, mappings, personal_data, \
             scr, state",
            "customers/acme.toml: warning: there is no [sources.…]: no file is taken in",
            "customers/acme.toml:1: unknown key \"vatt\": did you mean \"vat\"?",
        ]
    );
}

#[test]
fn drivers_get_stand_ins_in_the_environments_that_say_so() {
    let key = |line: &str| {
        let folder = Folder::of_provider(&format!("{line}\n{PROVIDER}"));
        let loaded = folder.load().unwrap();
        let apis = loaded.config.scr.values();
        apis.map(|api| api.stand_ins.clone()).next().unwrap()
    };
    let replaced = key("personal_data = { uat = \"replace\", production = \"send\" }").unwrap();
    assert!(replaced.ends_with("state/uat/stand-ins.key"), "{}", replaced.display());
    assert_eq!(key("personal_data = { uat = \"send\", production = \"replace\" }"), None);
    assert_eq!(key(""), None);
    let folder = Folder::of_provider(&format!("personal_data = \"hide\"\n{PROVIDER}"));
    assert_eq!(
        folder.told(&folder.load().unwrap_err()),
        ["lighterman.toml:1: personal_data is \"hide\", but must be \"send\" or \"replace\""]
    );
}

#[test]
fn the_status_page_is_not_available_in_this_version() {
    assert_eq!(
        provider_with("[endpoints]", "[listen]\nstatus = { address = \"x\" }\n[endpoints]"),
        ["lighterman.toml:5: [listen] status is not available in this version"]
    );
}

#[test]
fn notifications_are_listened_for_at_an_address_and_with_a_certificate() {
    let of = |line: &str| provider_with("[endpoints]", &format!("[listen]\n{line}\n[endpoints]"));
    let told = |what: &str| [format!("lighterman.toml:5: {what}")];
    assert_eq!(of("notifications = { address = \"[::1]:8443\" }"), [""; 0]);
    assert_eq!(of("notifications = { }"), told("[listen.notifications] lacks \"address\""));
    assert_eq!(
        of("notifications = { address = \"localhost\" }"),
        told(
            "address is \"localhost\", but must be an IP address and a port such as \
             \"0.0.0.0:8443\" or \"127.0.0.1:8080\""
        )
    );
    let tls = |tls: &str| of(&format!("notifications = {{ address = \"[::1]:1\", tls = {tls} }}"));
    assert_eq!(tls("{ cert = \"customers\" }"), told("[listen.notifications.tls] lacks \"key\""));
    let faults = tls("{ cert = \"none.pem\", key = \"customers\" }");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("none.pem cannot be read"), "{faults:?}");
}

#[test]
fn the_endpoint_of_later_channels_is_accepted() {
    assert_eq!(provider_with("[endpoints]", "[endpoints]\ncpu = \"https://x\""), [""; 0]);
}

#[test]
fn an_endpoint_is_an_http_url_without_a_login_in_it() {
    let of = |url: &str| provider_with("\"https://api.example/ingestion\"", url);
    let told = |what: &str| [format!("lighterman.toml:5: ingestion {what}")];
    let example = "such as \"https://host/path\"";
    assert_eq!(of("\"http://127.0.0.1:8080\""), [""; 0]);
    assert_eq!(of("5"), told(&format!("must be an http or https URL in quotes, {example}")));
    assert_eq!(
        of("\"api.example/x\""),
        told(&format!("is no URL (relative URL without a base): it must be one {example}"))
    );
    assert_eq!(
        of("\"ftp://api.example\""),
        told(&format!("has the scheme \"ftp\", but must be a URL {example}"))
    );
    assert_eq!(
        of("\"https://me:hunter2@api.example\""),
        told("holds a user or a password: logins and secrets have keys of their own")
    );
    assert_eq!(of("\"https://a/b?c=d\""), told("must not have a query (?…): paths are appended"));
    assert_eq!(of("\"https://a/b#c\""), told("must not have a fragment (#…)"));
    assert_eq!(of("\"https://a/b c\""), told("holds white space"));
    assert_eq!(
        of("\"\""),
        told(&format!("is no URL (relative URL without a base): it must be one {example}"))
    );
}

#[test]
fn a_slash_at_the_end_of_an_endpoint_is_not_doubled() {
    let folder = Folder::with(CUSTOMER);
    folder.write("lighterman.toml", &changed(PROVIDER, "/ingestion\"", "/ingestion/\""));
    let crate::config::ChannelKind::Ingestion(channel) = &folder.acme().channels["releases"].kind
    else {
        panic!()
    };
    assert_eq!(channel.url, "https://api.example/ingestion/channel-acme");
}

#[test]
fn limits_are_bounded() {
    let of = |line: &str| provider_with("[endpoints]", &format!("[limits]\n{line}\n[endpoints]"));
    assert_eq!(
        of("in_flight = 0"),
        ["lighterman.toml:5: in_flight is 0, but must be a whole number from 1 to 10000"]
    );
    assert_eq!(
        of("in_flight_bytes = \"16 MB\""),
        ["lighterman.toml:5: in_flight_bytes is \"16 MB\", but must be a size such as \"1 MiB\""]
    );
    assert_eq!(
        of("in_flight_bytes = 0"),
        ["lighterman.toml:5: in_flight_bytes is 0: no message could be sent"]
    );
    assert_eq!(
        of("remember = 90"),
        ["lighterman.toml:5: remember is 90, but must be a time span such as \"30s\", \
             \"5m\" or \"24h\""]
    );
    assert_eq!(of("free_disk = -1").len(), 1);
}

#[test]
fn a_client_is_checked_as_far_as_it_goes() {
    let of = |line: &str| provider_with("client_id = \"builder\"", line);
    assert_eq!(of(""), [""; 0], "a login may complete it");
    assert_eq!(of("client_id = \"\""), ["lighterman.toml:9: client_id is empty"]);
    assert_eq!(
        of("grant = \"client-credentials\""),
        ["lighterman.toml:9: grant is \"client-credentials\", but must be \"password\" or \
             \"client_credentials\": did you mean \"client_credentials\"?"]
    );
    assert_eq!(
        of("ca = \"ca.pem\""),
        ["lighterman.toml:9: ca: ca.pem cannot be read: \
             No such file or directory (os error 2)"]
    );
}

#[test]
fn a_name_must_be_one_that_paths_and_logs_can_carry() {
    assert_eq!(
        provider_with("[scr.wallet]", "[scr.\"a/b\"]"),
        ["lighterman.toml:12: the name \"a/b\" in [scr] holds a slash or a control character"]
    );
    assert_eq!(
        provider_with("[clients.nxtport]", "[clients.\"\"]"),
        ["lighterman.toml:7: the name \"\" in [clients] is empty"]
    );
}

#[test]
fn a_table_that_is_none_is_told() {
    let text = "clients = 1\nscr = [1]\nlimits = \"x\"\nendpoints = true\n";
    assert_eq!(
        Folder::of_provider(text).faults(),
        [
            "lighterman.toml:1: clients is a number, but must be a table",
            "lighterman.toml:2: scr is a list, but must be a table",
            "lighterman.toml:3: limits is a text, but must be a table",
            "lighterman.toml:4: endpoints is true or false, but must be a table",
        ]
    );
}
