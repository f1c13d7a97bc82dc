//! The `[input]` part of a mapping: the dialect its files are written in, and which records are
//! wanted at all.

mod tabular;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::condition::Condition;
use super::mapping::Compile;
use crate::config::Section;
use crate::config::section::nearest;
use crate::read::{Dialect, Format, Json, Xml};

/// What a key that only a later version has is answered with.
pub const LATER: &str = "not available in this version";

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

/// Looks an encoding up by its label (WHATWG Encoding Standard, section 4.2).
fn encoding(section: &mut Section) -> &'static Encoding {
    let Some(label) = section.text("encoding") else { return UTF_8 };
    if ["cp850", "cp437", "cp858"].contains(&label.trim().to_ascii_lowercase().as_str()) {
        section.error("encoding", format!("the encoding {label} is {LATER}"));
        return UTF_8;
    }
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding.is_single_byte() => encoding,
        Some(encoding) if [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding) => encoding,
        Some(encoding) => {
            let what = format!(
                "the encoding {} is not read: known are UTF-8, UTF-16 and those of one byte a \
                 character",
                encoding.name()
            );
            section.error("encoding", what);
            UTF_8
        }
        None => {
            let labels = ["utf-8", "utf-16le", "utf-16be", "windows-1252", "iso-8859-15"];
            let advice = match nearest(&label.to_ascii_lowercase(), labels.into_iter()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known are {} and the other WHATWG labels", labels.join(", ")),
            };
            section.error("encoding", format!("unknown encoding \"{label}\": {advice}"));
            UTF_8
        }
    }
}
