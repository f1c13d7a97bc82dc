//! The keys of `[input]` that belong to tables of text: csv and fixed.

use crate::config::Section;
use crate::read::{Column, Csv, Fixed, Quote, Span, Trailer};

/// The last character that a column may have; lines are longer only where line ends are missing.
const LAST_CHARACTER: i64 = 1_000_000;

/// Reads the keys of a CSV dialect; faults are noted.
pub fn csv(section: &mut Section) -> Option<Csv> {
    // Where Excel writes the comma in numbers, it writes this between fields, and so do most of
    // the systems that files come from (`reference/domain.md`, section 6).
    let delimiter = match section.text("delimiter").as_deref() {
        None => Some(Some(b';')),
        Some("auto") => Some(None),
        Some(text) => sign(section, "delimiter", text).map(Some),
    };
    let quote = match section.text("quote").as_deref() {
        None => Some(Quote::Sign(b'"')),
        Some("none") => Some(Quote::None),
        Some("auto") => Some(Quote::Auto),
        Some(text) => sign(section, "quote", text).map(Quote::Sign),
    };
    if let (Some(Some(delimiter)), Some(Quote::Sign(quote))) = (delimiter, quote)
        && delimiter == quote
    {
        section.error("quote", "quote and delimiter are the same");
    }
    let header = section.boolean("header").unwrap_or(true);
    let skip = skip(section);
    let pad = pad(section);
    let trailer = trailer(section, |trailer| {
        let text = trailer.filled("count")?;
        let number = text.parse().ok().filter(|number| *number > 0);
        if number.is_none() {
            let what = format!("count is {text:?}, but must be a column's number, such as \"2\"");
            trailer.error("count", what);
        }
        number
    });
    Some(Csv { delimiter: delimiter?, quote: quote?, header, skip, pad, trailer })
}

/// Reads the keys of a fixed-width dialect; faults are noted.
pub fn fixed(section: &mut Section) -> Option<Fixed> {
    let columns = columns(section);
    let header = lines(section, "header");
    let records = lines(section, "records");
    let skip = skip(section);
    let pad = pad(section);
    let trailer = trailer(section, |trailer| {
        let mut count = trailer.section("count")?;
        let span = span(&mut count);
        count.finish();
        span
    });
    Some(Fixed { columns: columns?, header, records, trailer, skip, pad })
}

/// One ASCII sign that can part or enclose fields.
pub fn sign(section: &Section, key: &str, text: &str) -> Option<u8> {
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

fn skip(section: &mut Section) -> u64 {
    section.integer("skip", 0, 1_000_000).unwrap_or(0).unsigned_abs()
}

fn pad(section: &mut Section) -> bool {
    section.choice("ragged", &[("reject", false), ("pad", true)]).unwrap_or(false)
}

/// Columns in the order in which they stand in a line, however they are listed.
fn columns(section: &mut Section) -> Option<Vec<Column>> {
    if !section.has("columns") {
        section.missing("columns");
    }
    let mut columns: Vec<Column> = Vec::new();
    for mut member in section.sections("columns") {
        let name = member.required("name");
        let span = span(&mut member);
        if let (Some(name), Some(span)) = (name, span) {
            tell_clashes(&member, &name, span, &columns);
            columns.push(Column { name, span });
        }
        member.finish();
    }
    if section.has("columns") && columns.is_empty() {
        section.error("columns", "columns names no column");
    }
    columns.sort_by_key(|column| column.span.start);
    Some(columns).filter(|columns| !columns.is_empty())
}

fn tell_clashes(member: &Section, name: &str, span: Span, columns: &[Column]) {
    if columns.iter().any(|column| column.name == name) {
        member.error("name", format!("there is a column \"{name}\" already"));
    }
    let overlaps =
        |column: &&Column| column.span.start <= span.last() && span.start <= column.span.last();
    if let Some(other) = columns.iter().find(overlaps) {
        let what = format!(
            "the column \"{name}\" at characters {} to {} overlaps \"{}\" at {} to {}",
            span.start,
            span.last(),
            other.name,
            other.span.start,
            other.span.last()
        );
        member.error("start", what);
    }
}

/// Reads `start` and `length`, and looks for no other key.
fn span(section: &mut Section) -> Option<Span> {
    for key in ["start", "length"] {
        if !section.has(key) {
            section.missing(key);
        }
    }
    let start = section.integer("start", 1, LAST_CHARACTER);
    let length = section.integer("length", 1, LAST_CHARACTER);
    let number = |number: i64| usize::try_from(number).ok();
    Some(Span { start: number(start?)?, length: number(length?)? })
}

/// Reads `{ starts_with = "0" }`, or a list of beginnings; none if the key is not there.
fn lines(section: &mut Section, key: &str) -> Vec<String> {
    let Some(mut kind) = section.section(key) else { return Vec::new() };
    let starts = starts_with(&mut kind);
    kind.finish();
    starts
}

fn starts_with(kind: &mut Section) -> Vec<String> {
    if !kind.has("starts_with") {
        kind.missing("starts_with");
    }
    let starts = kind.texts("starts_with").unwrap_or_default();
    if kind.has("starts_with") && (starts.is_empty() || starts.iter().any(String::is_empty)) {
        kind.error("starts_with", "starts_with is empty: every line starts so");
    }
    starts
}

fn trailer<P>(
    section: &mut Section,
    count: impl FnOnce(&mut Section) -> Option<P>,
) -> Option<Trailer<P>> {
    let mut trailer = section.section("trailer")?;
    let starts_with = starts_with(&mut trailer);
    let count = if trailer.has("count") { count(&mut trailer) } else { None };
    trailer.finish();
    Some(Trailer { starts_with, count })
}
