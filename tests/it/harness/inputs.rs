//! Inputs: files of orders and of assignments, and the mappings that read them.

use std::fmt::Write;

/// The mapping of orders: an `id` and a `weight`, both needed. `format` is the `[input]` section's
/// lines after its head.
pub fn orders(input: &str, output: &str) -> String {
    format!(
        r#"
[input]
{input}

[output]
format = "{output}"

[[fields]]
to       = "id"
from     = "ID"
required = true

[[fields]]
to       = "weight"
from     = "WEIGHT"
number   = {{ decimal = "," }}
required = true
"#
    )
}

/// A CSV file of orders with these ids; those for which `faulty` holds have no weight that can be
/// read.
pub fn csv(ids: impl IntoIterator<Item = String>, faulty: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut text = String::from("ID;WEIGHT;REMARK\r\n");
    for id in ids {
        let weight = if faulty(&id) { "heavy" } else { "24350,5" };
        write!(text, "{id};{weight};a remark of some length for {id}\r\n").unwrap();
    }
    text.into_bytes()
}

/// The same as NDJSON.
pub fn ndjson(ids: impl IntoIterator<Item = String>, faulty: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut text = String::new();
    for id in ids {
        let weight = if faulty(&id) { "heavy" } else { "7,25" };
        writeln!(text, r#"{{"ID":"{id}","WEIGHT":"{weight}"}}"#).unwrap();
    }
    text.into_bytes()
}

/// An XML file of assignments, one `Assignment` each with these inner elements.
pub fn xml(assignments: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Assignments>\n");
    for inner in assignments {
        writeln!(text, "  <Assignment>{inner}</Assignment>").unwrap();
    }
    text.push_str("</Assignments>\n");
    text.into_bytes()
}
