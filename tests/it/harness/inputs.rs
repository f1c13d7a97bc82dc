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

/// The mapping of assignments, one `Assignment` element each.
pub const ASSIGNMENTS: &str = r#"
[input]
format  = "xml"
records = "Assignments/Assignment"

[output]
format = "json"

[[fields]]
to     = "action"
from   = "@action"
values = { assign = "assign", unassign = "unassign" }

[[fields]]
to   = "release.address"
from = "Release/@address"

[[fields]]
to   = "release.container"
from = "Release/Container"

[[fields]]
to   = "release.bl"
from = "Release/Bl"

[[fields]]
to    = "driver.firstName"
from  = "First"
when  = { field = "@by", is = ["truck"] }

[[fields]]
to   = "driver.lastName"
from = "Last"
when = { field = "@by", is = ["truck"] }

[[fields]]
to   = "driver.identification"
from = "Id"
when = { field = "@by", is = ["truck"] }

[[fields]]
to   = "barge.name"
from = "Name"
when = { field = "@by", is = ["barge"] }

[[fields]]
to   = "barge.identification"
from = "Id"
when = { field = "@by", is = ["barge"] }

[[fields]]
to   = "barge.visitNumber"
from = "Visit"
when = { field = "@by", is = ["barge"] }
"#;

/// One assignment of a file.
pub struct Assignment {
    pub address: Option<String>,
    pub container: Option<String>,
    pub bl: Option<String>,
    pub what: Wanted,
}

/// What an assignment wants for its release.
pub enum Wanted {
    /// A driver with this identification.
    Driver(String),
    /// A barge with this identification, and its visit number.
    Barge(String, Option<String>),
    /// Nobody any more.
    Unassign,
}

impl Assignment {
    /// Of a release that is named by its address.
    pub fn at(address: &str, what: Wanted) -> Assignment {
        Assignment { address: Some(address.to_owned()), container: None, bl: None, what }
    }

    /// Of a release that is named by its container.
    pub fn of(container: &str, bl: Option<&str>, what: Wanted) -> Assignment {
        let (container, bl) = (Some(container.to_owned()), bl.map(str::to_owned));
        Assignment { address: None, container, bl, what }
    }
}

/// An XML file of assignments.
pub fn xml(assignments: impl IntoIterator<Item = Assignment>) -> Vec<u8> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Assignments>\n");
    for Assignment { address, container, bl, what } in assignments {
        let address = address.map(|address| format!(" address=\"{address}\"")).unwrap_or_default();
        let element = |name: &str, text: Option<String>| {
            text.map(|text| format!("<{name}>{text}</{name}>")).unwrap_or_default()
        };
        let release = element("Container", container) + &element("Bl", bl);
        let release = format!("<Release{address}>{release}</Release>");
        let (head, inner) = match what {
            Wanted::Driver(id) => (
                "action=\"assign\" by=\"truck\"",
                format!("<First>Jan</First><Last>Peeters</Last><Id>{id}</Id>"),
            ),
            Wanted::Barge(id, visit) => (
                "action=\"assign\" by=\"barge\"",
                format!("<Name>Sirene</Name><Id>{id}</Id>{}", element("Visit", visit)),
            ),
            Wanted::Unassign => ("action=\"unassign\"", String::new()),
        };
        writeln!(text, "  <Assignment {head}>\n    {release}{inner}\n  </Assignment>").unwrap();
    }
    text.push_str("</Assignments>\n");
    text.into_bytes()
}
