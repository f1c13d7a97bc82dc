//! Records: how many a message holds, told from its media type. Nothing of it is kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How many records a message holds, or why it cannot be read.
pub(super) fn records(media_type: &str, body: &[u8]) -> Result<u64, String> {
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    let is_ndjson = matches!(
        media_type,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonl"
    );
    if !is_json && !is_ndjson {
        return Ok(1);
    }
    let text = std::str::from_utf8(body).map_err(|error| format!("not UTF-8: {error}"))?;
    if is_json {
        let Values(values) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return Ok(values);
    }
    let mut values = 0;
    for (index, line) in text.split('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        serde_json::from_str::<IgnoredAny>(line)
            .map_err(|error| format!("line {}: {error}", index + 1))?;
        values += 1;
    }
    Ok(values)
}

/// How many values a JSON text holds: the length of an array, otherwise 1. Nothing is kept.
struct Values(u64);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Values, D::Error> {
        deserializer.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
        let mut values = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            values += 1;
        }
        Ok(Values(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Values(1))
    }

    fn visit_str<E>(self, _: &str) -> Result<Values, E> {
        Ok(Values(1))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Values, E> {
        Ok(Values(1))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Values, E> {
        Ok(Values(1))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Values, E> {
        Ok(Values(1))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Values, E> {
        Ok(Values(1))
    }

    fn visit_unit<E>(self) -> Result<Values, E> {
        Ok(Values(1))
    }
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn records_are_counted_by_the_media_type() {
        let count = |media_type, body: &str| records(media_type, body.as_bytes()).unwrap();
        assert_eq!(count("application/json", r#"[{"a":[1,2]},{"b":"]"},3]"#), 3);
        assert_eq!(count("application/json", " [ ] "), 0);
        assert_eq!(count("application/json", r#"{"a":[1,2]}"#), 1);
        assert_eq!(count("application/vnd.x+json", "null"), 1);
        assert_eq!(count("application/x-ndjson", "{\"a\":1}\r\n\n[1,2]\n7"), 3);
        assert_eq!(count("text/csv", "a;b\n1;2\n"), 1);
        assert_eq!(count("", ""), 1);
    }

    #[test]
    fn a_body_that_is_not_what_its_media_type_says_is_refused_with_the_place() {
        let error = |media_type, body: &[u8]| records(media_type, body).unwrap_err();
        assert!(error("application/json", br#"[{"a":1},{"a":]"#).contains("column"));
        assert!(error("application/json", b"[1] x").contains("trailing"));
        assert!(error("application/json", b"").contains("EOF"));
        assert!(error("application/json", b"[\"\xe9\"]").contains("UTF-8"));
        assert!(error("application/x-ndjson", b"{}\n{\n").contains("line 2"));
    }

    #[test]
    fn deeply_nested_json_does_not_overflow() {
        let deep = "[".repeat(200_000);
        assert!(records("application/json", deep.as_bytes()).is_err());
        let closed = format!("{deep}{}", "]".repeat(200_000));
        assert_eq!(records("application/json", closed.as_bytes()), Ok(1));
    }
}
