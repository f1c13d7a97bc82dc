//! The `[input]` part of a mapping: the dialect its files are written in, and which records are
//! wanted at all.

use super::condition::Condition;
use super::mapping::Compile;
use crate::config::Section;
use crate::config::section::nearest;
use crate::read::{Csv, Dialect, Encoding, Format, Json, Xml};

/// What a key that only a later version has is answered with.
pub const LATER: &str = "not available in this version";

/// Which keys go with which formats; `format`, `encoding` and `only` go with all.
const FITS: [(&str, &[&str]); 7] = [
    ("delimiter", &["csv"]),
    ("quote", &["csv"]),
    ("header", &["csv"]),
    ("skip", &["csv"]),
    ("ragged", &["csv"]),
    ("records", &["xml", "json"]),
    ("namespaces", &["xml"]),
];

const FORMATS: [&str; 4] = ["csv", "xml", "json", "ndjson"];

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
    for key in ["trailer", "columns"] {
        if section.has(key) {
            section.error(key, format!("{key} is {LATER}"));
        }
    }
    let known = name.as_deref().filter(|name| FORMATS.contains(name));
    for (key, formats) in FITS {
        if section.has(key) && known.is_some_and(|name| !formats.contains(&name)) {
            let what = format!("{key} goes with the format {}", formats.join(" and "));
            section.error(key, what);
        }
    }
    let format = match name.as_deref() {
        Some("csv") => csv(&mut section).map(Format::Csv),
        Some("xml") => xml(&mut section).map(Format::Xml),
        Some("json") => {
            let records = section.text("records").unwrap_or_default();
            Some(Format::Json(Json { records }))
        }
        Some("ndjson") => Some(Format::Ndjson),
        Some("fixed") => {
            section.error("format", format!("the format fixed is {LATER}"));
            None
        }
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

fn csv(section: &mut Section) -> Option<Csv> {
    // Where Excel writes the comma in numbers, it writes this between fields, and so do most of
    // the systems that files come from (`reference/domain.md`, section 6).
    let delimiter = match section.text("delimiter").as_deref() {
        None => Some(b';'),
        Some("auto") => {
            section.error("delimiter", format!("delimiter = \"auto\" is {LATER}"));
            None
        }
        Some(text) => sign(section, "delimiter", text),
    };
    let quote = match section.text("quote").as_deref() {
        None => Some(Some(b'"')),
        Some("none") => Some(None),
        Some("auto") => {
            section.error("quote", format!("quote = \"auto\" is {LATER}"));
            None
        }
        Some(text) => sign(section, "quote", text).map(Some),
    };
    if delimiter.is_some() && quote == Some(delimiter) {
        section.error("quote", "quote and delimiter are the same");
    }
    let header = section.boolean("header").unwrap_or(true);
    let skip = section.integer("skip", 0, 1_000_000).unwrap_or(0).unsigned_abs();
    let pad = match section.text("ragged").as_deref() {
        None | Some("reject") => false,
        Some("pad") => true,
        Some(other) => {
            let what = format!("ragged is \"{other}\", but must be \"reject\" or \"pad\"");
            section.error("ragged", what);
            false
        }
    };
    Some(Csv { delimiter: delimiter?, quote: quote?, header, skip, pad })
}

/// One ASCII sign that can part or enclose fields.
fn sign(section: &Section, key: &str, text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if !byte.is_ascii_alphanumeric() && !matches!(byte, b'\r' | b'\n' | 0 | 128..) => {
            Some(*byte)
        }
        _ => {
            let what = format!("{key} is {text:?}, but must be one ASCII sign, such as \";\"");
            section.error(key, what);
            None
        }
    }
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
fn encoding(section: &mut Section) -> Encoding {
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
