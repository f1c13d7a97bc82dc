//! Keys that are none, in every table.

use super::*;

/// A key that is none, put after a line, and what is said.
fn in_provider(after: &str) -> Vec<String> {
    provider_with(after, &format!("{after}\nfoo = 1"))
}

fn in_customer(after: &str) -> Vec<String> {
    acme_with(after, &format!("{after}\nfoo = 1"))
}

fn unknown(file: &str, line: usize, place: &str, known: &str) -> [String; 1] {
    [format!("{file}:{line}: unknown key \"foo\"{place}: known here are {known}")]
}

#[test]
fn a_key_that_is_none_is_told_in_every_table_of_the_provider() {
    let told = |line, place, known| unknown("lighterman.toml", line, place, known);
    assert_eq!(
        in_provider("environment = \"uat\""),
        told(
            3,
            "",
            "clients, customers, endpoints, environment, environments, limits, listen, mappings, \
             personal_data, scr, state"
        )
    );
    assert_eq!(in_provider("[endpoints]"), told(5, " in [endpoints]", "cpu, ingestion"));
    assert_eq!(
        in_provider("[clients.nxtport]"),
        told(
            8,
            " in [clients.nxtport]",
            "ca, certificate, client_id, client_secret, grant, key, scope, token_url"
        )
    );
    assert_eq!(
        in_provider("[scr.wallet]"),
        told(
            13,
            " in [scr.wallet]",
            "auth, ca, callback, certificate, concurrency, key, timeout, url"
        )
    );
    assert_eq!(
        provider_with("[endpoints]", "[limits]\nfoo = 1\n[endpoints]"),
        told(5, " in [limits]", "free_disk, in_flight, in_flight_bytes, remember")
    );
    assert_eq!(
        provider_with(
            "{ type = \"none\" }",
            "{ foo = 1, type = \"signed-jwt\", algorithm = \"HS256\", key = { file = \"secret\" } }"
        ),
        told(14, " in [scr.wallet.auth]", "algorithm, key, lifetime, secret_encoding, type")
    );
}

#[test]
fn a_key_that_is_none_is_told_in_every_table_of_a_customer() {
    let told = |line, place, known| unknown("customers/acme.toml", line, place, known);
    assert_eq!(
        in_customer("name = \"Acme\""),
        told(2, "", "active, channels, logins, name, outbox, routes, scr, sources, vat")
    );
    assert_eq!(
        in_customer("[sources.erp]"),
        told(
            5,
            " in [sources.erp]",
            "archive, every, ignore, keep, order, path, ready, receipts, rejects, schedule, timezone, type"
        )
    );
    assert_eq!(
        in_customer("[logins.nxtport]"),
        told(
            9,
            " in [logins.nxtport]",
            "ca, callback, certificate, client, client_id, client_secret, grant, key, password, \
             scope, subscription_key, token_url, username"
        )
    );
    let ingestion = "answers, batch, ca, channel_id, concurrency, headers, login, media_type, \
                     message_type, message_type_in, rate, retry, timeout, type";
    assert_eq!(in_customer("[channels.releases]"), told(14, " in [channels.releases]", ingestion));
    assert_eq!(
        in_customer("[channels.assignments]"),
        told(19, " in [channels.assignments]", "api, park_for, rate, retry, type, verdict_within")
    );
    assert_eq!(
        in_customer("[[routes]]"),
        told(23, " in [routes]", "channel, files, mapping, repeats, source")
    );
    let inline = |key: &str, value: &str| {
        acme_with("[channels.releases]", &format!("[channels.releases]\n{key} = {value}"))
    };
    assert_eq!(
        inline("retry", "{ foo = 1 }"),
        told(14, " in [channels.releases.retry]", "first, give_up_after, max")
    );
    assert_eq!(
        inline("batch", "{ foo = 1 }"),
        told(14, " in [channels.releases.batch]", "bytes, records")
    );
    assert_eq!(
        inline("message_type", "\"A\"\nmessage_type_in = { foo = 1, query = \"x\" }"),
        told(15, " in [channels.releases.message_type_in]", "header, query")
    );
    assert_eq!(
        acme_with("[sources.erp]", "[sources.erp]\nready = { bar = 1, when = \"quiet\" }"),
        ["customers/acme.toml:5: unknown key \"bar\" in [sources.erp.ready]: \
          known here are for, name, when"]
    );
    assert_eq!(
        acme_with("{ file = \"../secret\" }", "{ foo = 1, file = \"../secret\" }"),
        told(11, " in [logins.nxtport.password]", "credential, env, file")
    );
}

#[test]
fn the_nearest_key_is_told_whatever_the_case_or_the_sign_between_words() {
    for (typed, meant) in [
        ("channel-id", "channel_id"),
        ("ChannelId", "channel_id"),
        ("Channel_ID", "channel_id"),
        ("channelid", "channel_id"),
        ("mediatype", "media_type"),
        ("concurency", "concurrency"),
    ] {
        assert_eq!(
            acme_with("[channels.releases]", &format!("[channels.releases]\n{typed} = \"x\"")),
            [format!(
                "customers/acme.toml:14: unknown key \"{typed}\" in [channels.releases]: \
                 did you mean \"{meant}\"?"
            )]
        );
    }
}
