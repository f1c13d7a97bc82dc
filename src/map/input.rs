//! The `[input]` part of a mapping: the dialect its files are written in, and which records are
//! wanted at all.

pub mod tabular;

use super::condition::Condition;
use super::mapping::Compile;
use crate::config::Section;
use crate::config::section::nearest;
use crate::read::{Dialect, Encoding, Format, Json, Xml};

/// Which keys go with which formats; `format`, `encoding` and `only` go with all.
const FITS: [(&str, &[&str]); 9] = [
    ("delimiter", &["csv"]),
    ("quote", &["csv"]),
    ("header", &["csv", "fixed"]),
    ("skip", &["csv", "fixed"]),
    ("ragged", &["csv", "fixed"]),
    ("trailer", &["csv", "fixed"]),
    ("columns", &["fixed"]),
    ("records", &["xml", "json", "fixed"]),
    ("namespaces", &["xml"]),
];

const FORMATS: [&str; 5] = ["csv", "xml", "json", "ndjson", "fixed"];

/// Reads `[input]`; faults are noted.
pub fn parse(
    root: &mut Section,
    compile: &mut Compile<'_>,
) -> (Option<Dialect>, Option<Condition>) {
    if !root.has("input") {
        root.missing("input");
    }
    let Some(mut section) = root.section("input") else { return (None, None) };
    let name = section.required("format");
    let known = name.as_deref().filter(|name| FORMATS.contains(name));
    for (key, formats) in FITS {
        if section.has(key) && known.is_some_and(|name| !formats.contains(&name)) {
            let what = format!("{key} goes with the format {}", formats.join(", "));
            section.error(key, what);
        }
    }
    let format = match name.as_deref() {
        Some("csv") => tabular::csv(&mut section).map(Format::Csv),
        Some("xml") => xml(&mut section).map(Format::Xml),
        Some("json") => {
            let records = section.text("records").unwrap_or_default();
            Some(Format::Json(Json { records }))
        }
        Some("ndjson") => Some(Format::Ndjson),
        Some("fixed") => tabular::fixed(&mut section).map(Format::Fixed),
        Some(other) => {
            let advice = match nearest(other, FORMATS.into_iter()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known are {}", FORMATS.join(", ")),
            };
            section.error("format", format!("unknown format \"{other}\": {advice}"));
            None
        }
        None => None,
    };
    if let Some(Err(what)) = format.as_ref().map(Format::check_records) {
        section.error("records", format!("records cannot be followed: {what}"));
    }
    compile.format = format.clone();
    compile.numbered = matches!(&format, Some(Format::Csv(csv)) if !csv.header);
    let encoding = encoding(&mut section);
    let only = Condition::parse(&mut section, "only", compile);
    section.finish();
    (format.map(|format| Dialect { format, encoding }), only)
}

/// What a mapping reads that writes files for the customer's system: one JSON document for each
/// event.
pub fn document(root: &mut Section, compile: &mut Compile<'_>) -> Dialect {
    if root.has("input") {
        let what = "a mapping with direction = \"out\" has no [input]: it reads the events of an \
                    outbox, by paths into their JSON";
        root.error("input", what);
        // What stands in it is of no interest, and no fault of its own.
        let _ = root.section("input");
    }
    let format = Format::Json(Json { records: String::new() });
    compile.format = Some(format.clone());
    Dialect { format, encoding: Encoding::UTF_8 }
}

fn xml(section: &mut Section) -> Option<Xml> {
    if !section.has("records") {
        section.missing("records");
    }
    let records = section.text("records");
    let namespaces = section.text_table("namespaces").unwrap_or_default();
    for (prefix, namespace) in &namespaces {
        if prefix.is_empty() || prefix.contains(':') || namespace.is_empty() {
            let what = "namespaces gives each prefix its namespace, as { o = \"urn:orders\" }";
            section.error("namespaces", what);
        }
    }
    Some(Xml { records: records?, namespaces })
}

/// Looks an encoding up by its label.
pub fn encoding(section: &mut Section) -> Encoding {
    let Some(label) = section.text("encoding") else { return Encoding::UTF_8 };
    Encoding::for_label(&label).unwrap_or_else(|| {
        const KNOWN: [&str; 8] = [
            "utf-8",
            "utf-16le",
            "utf-16be",
            "windows-1252",
            "iso-8859-15",
            "cp850",
            "cp437",
            "cp858",
        ];
        let what = match encoding_rs::Encoding::for_label(label.as_bytes()) {
            Some(_) => format!("no file is written in the encoding \"{label}\""),
            None => format!("unknown encoding \"{label}\""),
        };
        let advice = match nearest(&label.to_ascii_lowercase(), KNOWN.into_iter()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known are {} and the other WHATWG labels", KNOWN.join(", ")),
        };
        section.error("encoding", format!("{what}: {advice}"));
        Encoding::UTF_8
    })
}
