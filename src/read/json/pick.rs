//! Pick: takes the selected texts out of one JSON value and passes over the rest. Used for the
//! elements of a document and for the lines of NDJSON.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};

use super::super::bounded::beginning;
use super::path::Path;
use crate::model::Record;
use crate::model::record::Fault;

/// The selectors of a mapping as one tree of keys.
pub(in crate::read) struct Picker {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    slots: Vec<usize>,
    members: Vec<(String, usize)>,
}

impl Picker {
    /// Takes slots and the keys that lead to what belongs in them.
    pub(in crate::read) fn new<'p>(paths: impl Iterator<Item = (usize, &'p [String])>) -> Picker {
        let mut picker = Picker { nodes: vec![Node::default()] };
        for (slot, keys) in paths {
            let node = keys.iter().fold(0, |node, key| picker.member(node, key));
            picker.nodes[node].slots.push(slot);
        }
        picker
    }

    /// The picker of the paths that start at the record.
    pub(in crate::read) fn of_records(paths: &[Path]) -> Picker {
        let here = paths.iter().enumerate().filter(|(_, path)| path.up == 0);
        Picker::new(here.map(|(slot, path)| (slot, path.keys.as_slice())))
    }

    /// Puts what the selectors hit in `value`, a sound JSON value, into the record.
    ///
    /// What the grammar allows and Unicode does not (half of a surrogate pair) is an error. A key on
    /// a path that an object has twice is a fault of the record: RFC 8259, section 4, leaves open
    /// which of them counts.
    pub(in crate::read) fn pick(&self, value: &str, record: &mut Record) -> Result<(), Error> {
        self.hit(value, 0, record)
    }

    /// Whether any path leads through this member.
    pub(in crate::read) fn wants(&self, key: &str) -> bool {
        self.nodes[0].members.iter().any(|(name, _)| name == key)
    }

    /// Puts what the selectors hit in a member into the record; its key is one that `wants` told.
    pub(in crate::read) fn pick_member(
        &self,
        key: &str,
        value: &str,
        record: &mut Record,
    ) -> Result<(), Error> {
        match self.nodes[0].members.iter().find(|(name, _)| name == key) {
            Some((_, node)) => self.hit(value, *node, record),
            None => Ok(()),
        }
    }

    fn member(&mut self, node: usize, key: &str) -> usize {
        if let Some((_, member)) = self.nodes[node].members.iter().find(|(name, _)| name == key) {
            return *member;
        }
        let member = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].members.push((key.to_owned(), member));
        member
    }

    /// A selected path has come to `value`: it may end here, go on, or both.
    fn hit(&self, value: &str, node: usize, record: &mut Record) -> Result<(), Error> {
        let slots = &self.nodes[node].slots;
        match value.as_bytes().first() {
            // An array is its elements, each a hit of its own; an empty one is none.
            Some(b'[') => return self.go_on(value, node, record),
            _ if slots.is_empty() => {}
            Some(b'n') => {}
            Some(b'"') if value.contains('\\') => {
                let text: String = serde_json::from_str(value)?;
                slots.iter().for_each(|slot| record.push(*slot, &text));
            }
            Some(b'"') => {
                let text = &value[1..value.len() - 1];
                slots.iter().for_each(|slot| record.push(*slot, text));
            }
            Some(b'{') => {
                let text = compact(value);
                slots.iter().for_each(|slot| record.push(*slot, &text));
            }
            // true, false and numbers, as they are written.
            _ => slots.iter().for_each(|slot| record.push(*slot, value)),
        }
        self.go_on(value, node, record)
    }

    /// Follows the paths that lead into `value`: an object by its keys, an array into each element.
    fn go_on(&self, value: &str, node: usize, record: &mut Record) -> Result<(), Error> {
        if self.nodes[node].members.is_empty() && self.nodes[node].slots.is_empty() {
            return Ok(());
        }
        match value.as_bytes().first() {
            Some(b'{') => Deserializer::from_str(value).deserialize_map(Members {
                picker: self,
                node,
                record,
            }),
            Some(b'[') => Deserializer::from_str(value).deserialize_seq(Elements {
                picker: self,
                node,
                record,
            }),
            _ => Ok(()),
        }
    }
}

/// Values are taken raw: a number must stay as it is written, whatever its size.
struct Members<'a> {
    picker: &'a Picker,
    node: usize,
    record: &'a mut Record,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let members = &self.picker.nodes[self.node].members;
        let mut seen = Seen::default();
        while let Some(wanted) = map.next_key_seed(Wanted(members))? {
            let Some(member) = wanted else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (key, node) = (&members[member].0, members[member].1);
            if seen.again(member) {
                self.record.faults.push(twice(key));
            }
            let value = map.next_value::<&RawValue>()?.get();
            self.picker.hit(value, node, self.record).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// Which members of an object came by; few paths lead through one object.
#[derive(Default)]
struct Seen {
    first: u128,
    others: Vec<usize>,
}

impl Seen {
    fn again(&mut self, member: usize) -> bool {
        let Some(bit) = u32::try_from(member).ok().and_then(|n| 1_u128.checked_shl(n)) else {
            let again = self.others.contains(&member);
            self.others.push(member);
            return again;
        };
        let again = self.first & bit != 0;
        self.first |= bit;
        again
    }
}

fn twice(key: &str) -> Fault {
    Fault {
        rule: "json",
        value: beginning(key),
        advice: format!(
            "the key \"{}\" is there twice in one object: write it once",
            beginning(key)
        ),
    }
}

struct Elements<'a> {
    picker: &'a Picker,
    node: usize,
    record: &'a mut Record,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while let Some(value) = seq.next_element::<&RawValue>()? {
            let value = value.get();
            self.picker.hit(value, self.node, self.record).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// Compares a key without keeping it; tells which member it is.
struct Wanted<'a>(&'a [(String, usize)]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|(name, _)| name == key))
    }
}

/// A value without the blanks between its tokens.
fn compact(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut in_text = false;
    let mut escaped = false;
    for c in value.chars() {
        if !in_text && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        out.push(c);
        if c == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && c == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picker(selectors: &[&str]) -> Picker {
        let paths: Vec<Path> = selectors.iter().map(|s| Path::parse(s).unwrap()).collect();
        Picker::of_records(&paths)
    }

    fn picked(selectors: &[&str], value: &str) -> Vec<Vec<String>> {
        let mut record = Record::default();
        record.start(1);
        picker(selectors).pick(value, &mut record).unwrap();
        assert_eq!(record.faults, []);
        (0..selectors.len()).map(|n| record.texts(n).map(str::to_owned).collect()).collect()
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let value = r#"{"a":1.10,"b":12345678901234567890,"c":-0,"d":1E+400,"e":{"f":01e}}"#
            .replace("01e", "1e-999");
        assert_eq!(
            picked(&["a", "b", "c", "d", "e.f"], &value),
            [["1.10"], ["12345678901234567890"], ["-0"], ["1E+400"], ["1e-999"]]
        );
    }

    #[test]
    fn a_huge_number_on_the_way_of_a_path_is_no_hit_and_no_error() {
        assert_eq!(picked(&["a.b"], r#"{"a":1e999}"#), [[""; 0]]);
    }

    #[test]
    fn booleans_are_words_and_null_is_no_hit() {
        assert_eq!(
            picked(&["a", "b", "c", "d"], r#"{"a":true,"b":false,"c":null}"#),
            [vec!["true"], vec!["false"], vec![], vec![]]
        );
    }

    #[test]
    fn strings_are_unescaped_and_an_empty_one_is_a_hit() {
        assert_eq!(
            picked(&["a", "b", "é"], r#"{"a":"x\n\"\u00e9\ud83d\ude00","b":"","\u00e9":"y"}"#),
            [["x\n\"é😀"], [""], ["y"]]
        );
    }

    #[test]
    fn an_array_on_the_way_gives_a_hit_for_each_element() {
        let value = r#"{"items":[{"no":1},{"no":2},[{"no":3}],{"other":4},5]}"#;
        assert_eq!(picked(&["items.no", "items/no"], value), [["1", "2", "3"], ["1", "2", "3"]]);
    }

    #[test]
    fn a_path_that_ends_on_an_object_gives_its_compact_text() {
        let value = r#"{"a": { "b" : [ 1 , "x \" y" ] , "c\\" : 2 } }"#;
        assert_eq!(picked(&["a"], value), [[r#"{"b":[1,"x \" y"],"c\\":2}"#]]);
    }

    #[test]
    fn a_path_that_ends_on_an_array_gives_a_hit_for_each_element() {
        let value = r#"{"a":["x",1,null,["y"],{"z": 2}],"b":[]}"#;
        assert_eq!(picked(&["a", "b"], value), [vec!["x", "1", "y", r#"{"z":2}"#], vec![]]);
    }

    #[test]
    fn a_key_twice_on_a_path_is_a_fault_and_elsewhere_is_none() {
        for (value, keys) in [
            (r#"{"a":"1","a":"2"}"#, &["a"][..]),
            (r#"{"a":"1","\u0061":null}"#, &["a"]),
            (r#"{"b":{"c":1},"b":{"d":1}}"#, &["b"]),
            (r#"{"b":[{"c":1,"c":1},{"c":1}]}"#, &["c"]),
            (r#"{"b":[{"c":1},{"c":1}],"x":1,"x":2}"#, &[]),
        ] {
            let mut record = Record::default();
            record.start(1);
            picker(&["a", "b.c"]).pick(value, &mut record).unwrap();
            let told: Vec<_> = record.faults.iter().map(|f| f.value.as_str()).collect();
            assert_eq!(told, keys, "{value}");
        }
        let many: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
        let picker = picker(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let mut record = Record::default();
        picker.pick(r#"{"k127":1,"k128":1,"k199":1,"k128":1}"#, &mut record).unwrap();
        assert_eq!(record.faults.len(), 1);
        assert_eq!(record.faults[0].value, "k128");
    }

    #[test]
    fn keys_with_dots_are_named_in_quotes() {
        let value = r#"{"a.b":{"c/d":1},"a":{"b":2}}"#;
        assert_eq!(picked(&["\"a.b\".\"c/d\"", "a.b"], value), [["1"], ["2"]]);
    }

    #[test]
    fn half_a_surrogate_pair_is_an_error_where_it_is_selected() {
        let picker = picker(&["a"]);
        let mut record = Record::default();
        assert!(picker.pick(r#"{"a":"\ud83d"}"#, &mut record).is_err());
        assert!(picker.pick(r#"{"b":"\ud83d"}"#, &mut record).is_ok());
    }
}
