//! What may not be named twice, seen over all files.

use super::*;

const SCR: &str = "auth = { type = \"none\" }\nurl = ";

#[test]
fn two_scr_apis_of_the_provider_with_one_url_are_an_error() {
    for url in [
        "https://localhost:4431/tmining/api/v1",
        "https://localhost:4431/tmining/api/v1/",
        "HTTPS://LocalHost:4431/tmining/api/v1",
    ] {
        let folder = Folder::of_provider(&format!("{PROVIDER}[scr.a]\n{SCR}\"{url}\"\n"));
        assert_eq!(
            folder.told(&folder.load().unwrap_err()),
            ["lighterman.toml:17: [scr.a] has the same url as [scr.wallet] in line 13: \
                 one API has one gate, so name it once"]
        );
    }
    let folder = Folder::of_provider(&format!(
        "{PROVIDER}[scr.a]\n{SCR}\"https://x:443/\"\n[scr.b]\n{SCR}\"https://X\"\n"
    ));
    assert_eq!(folder.load().unwrap_err().len(), 1, "443 is https's own port");
}

#[test]
fn urls_are_compared_in_the_environment_in_use() {
    let other =
        "{ uat = \"https://other\", production = \"https://localhost:4431/tmining/api/v1\" }";
    let folder = Folder::of_provider(&format!("{PROVIDER}[scr.a]\n{SCR}{other}\n"));
    folder.config();
    load(Some(&folder.path("lighterman.toml")), Some("production")).unwrap_err();
}

#[test]
fn an_scr_api_of_a_customer_must_not_be_the_providers() {
    let own = format!("[scr.own]\n{SCR}\"https://localhost:4431/tmining/api/v1/\"\n");
    let folder = Folder::with(&format!("{CUSTOMER}{own}"));
    assert_eq!(
        folder.told(&folder.config().broken["acme"]),
        ["customers/acme.toml:29: [scr.own] has the same url as [scr.wallet] in \
             lighterman.toml:13: one API has one gate, so name it once"]
    );
}

#[test]
fn two_customers_with_one_scr_api_of_their_own_are_both_left_out() {
    let own = format!("[scr.own]\n{SCR}\"https://scr.example\"\n");
    let folder = Folder::with(&format!("x = 1\n{own}"));
    folder.write("customers/beta.toml", &own);
    folder.write("customers/gamma.toml", "");
    let config = folder.config();
    assert_eq!(config.customers.keys().collect::<Vec<_>>(), ["gamma"]);
    assert!(
        folder.told(&config.broken["acme"]).contains(
            &"customers/acme.toml:4: [scr.own] has the same url as [scr.own] in \
          customers/beta.toml:3: one API has one gate, so name it once"
                .to_owned()
        )
    );
    assert!(
        folder.told(&config.broken["beta"]).contains(
            &"customers/beta.toml:3: [scr.own] has the same url as [scr.own] in \
          customers/acme.toml:4: one API has one gate, so name it once"
                .to_owned()
        )
    );
}

#[test]
fn two_customers_with_one_ingestion_url_are_both_left_out() {
    let folder = Folder::with(CUSTOMER);
    folder.write("in2/x", "");
    folder.write("customers/beta.toml", &CUSTOMER.replace("../in", "../in2"));
    let config = folder.config();
    assert!(config.customers.is_empty());
    assert_eq!(
        folder.told(&config.broken["acme"]),
        ["customers/acme.toml:16: [channels.releases] sends to the same URL as \
             [channels.releases] in customers/beta.toml:16: two customers cannot share a channel"]
    );
    assert_eq!(
        folder.told(&config.broken["beta"]),
        ["customers/beta.toml:16: [channels.releases] sends to the same URL as \
             [channels.releases] in customers/acme.toml:16: two customers cannot share a channel"]
    );
}

#[test]
fn two_channels_of_one_customer_may_share_an_ingestion_url() {
    let second = "[channels.other]\ntype = \"ingestion\"\nlogin = \"nxtport\"\n\
                  channel_id = \"channel-acme\"\n";
    Folder::with(&format!("{CUSTOMER}{second}")).acme();
}

#[test]
fn two_sources_of_one_customer_with_one_folder_are_an_error() {
    let folder = Folder::new();
    std::os::unix::fs::symlink(folder.path("in"), folder.path("link")).unwrap();
    for path in ["../in", "../in/", "../in/archive/..", "../link"] {
        let second = format!("[sources.b]\npath = \"{path}\"\ntype = \"local\"\n");
        folder.write("customers/acme.toml", &format!("{CUSTOMER}{second}"));
        assert_eq!(
            folder.faults(),
            ["customers/acme.toml:28: [sources.b] has the same folder as [sources.erp] in \
                 line 6: a file can have one source only"]
        );
    }
}

#[test]
fn folders_that_are_not_there_yet_are_compared_by_their_names() {
    let source =
        |name: &str, path: &str| format!("[sources.{name}]\ntype = \"local\"\npath = \"{path}\"\n");
    let folder =
        Folder::with(&format!("{}{}", source("a", "../no/x"), source("b", "../no/y/../x")));
    assert!(
        folder.faults().contains(
            &"customers/acme.toml:6: [sources.b] has the same folder as [sources.a] in line 3: \
          a file can have one source only"
                .to_owned()
        )
    );
}

#[test]
fn two_on_one_line_are_seen_too() {
    let folder = Folder::with(
        "sources = { a = { type = \"local\", path = \"../in\" }, \
         b = { type = \"local\", path = \"../in\" } }\n",
    );
    assert_eq!(
        folder.faults()[1],
        "customers/acme.toml:1: [sources.b] has the same folder as [sources.a] in line 1: \
         a file can have one source only"
    );
}

#[test]
fn two_customers_with_one_folder_are_both_left_out() {
    let folder = Folder::with(CUSTOMER);
    folder.write("customers/beta.toml", &CUSTOMER.replace("channel-acme", "channel-beta"));
    let config = folder.config();
    assert_eq!(
        folder.told(config.broken.values().flatten()),
        [
            "customers/acme.toml:6: [sources.erp] has the same folder as [sources.erp] in \
             customers/beta.toml:6: a file can have one source only",
            "customers/beta.toml:6: [sources.erp] has the same folder as [sources.erp] in \
             customers/acme.toml:6: a file can have one source only",
        ]
    );
}
