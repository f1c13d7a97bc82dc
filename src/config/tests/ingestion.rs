//! Ingestion channels: defaults, bounds, headers, verdicts.

use super::*;
use crate::config::{AnswerRule, ChannelKind, MessageType};

fn in_channel(lines: &str) -> Vec<String> {
    below("[channels.releases]", lines)
}

/// The ingestion channel of a customer whose channel has these lines too.
fn channel(lines: &str) -> crate::config::IngestionChannel {
    let text = changed(CUSTOMER, "[channels.releases]", &format!("[channels.releases]\n{lines}"));
    match Folder::with(&text).acme().channels.remove("releases").unwrap().kind {
        ChannelKind::Ingestion(channel) => channel,
        ChannelKind::Scr(_) | ChannelKind::Cpu(_) => panic!(),
    }
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
        in_channel("retry = { give_up_after = \"0s\" }"),
        told(14, "give_up_after is 0: records would be set aside at the first fault")
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
