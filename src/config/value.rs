//! Value: what a TOML file says, with the line on which each key and value stands.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Faults;

/// A value and the line it stands on.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub line: usize,
    pub kind: Kind,
}

/// The keys of a table, each with its line.
pub(super) type Keys = BTreeMap<String, (usize, Value)>;

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    Integer(i64),
    /// Also a whole number that is too large to be one.
    Float(f64),
    Boolean(bool),
    Date(String),
    List(Rc<Vec<Value>>),
    Table(Rc<Keys>),
}

/// Parses a file; `None`, with every fault noted, if it is not TOML.
pub(super) fn parse(file: &Path, text: &str, faults: &Faults) -> Option<Keys> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    // One slip often leaves several errors on its line, of which the first says it best.
    let mut told = None;
    for error in &errors {
        let line = error.span().map_or(0, |span| lines.number(span.start));
        if told != Some(line) {
            faults.error(file, line, error.message().replace('\n', ", "));
            told = Some(line);
        }
    }
    errors.is_empty().then(|| lines.keys(table.get_ref()))
}

impl Value {
    /// The value as an error shows it.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Text(text) => format!("{text:?}"),
            Kind::Integer(value) => value.to_string(),
            Kind::Float(value) => value.to_string(),
            Kind::Boolean(value) => value.to_string(),
            Kind::Date(text) => text.clone(),
            Kind::List(_) | Kind::Table(_) => self.kind_shown().to_owned(),
        }
    }

    /// What kind of value it is, as an error says it that must not show the value.
    pub fn kind_shown(&self) -> &'static str {
        match &self.kind {
            Kind::Text(_) => "a text",
            Kind::Integer(_) | Kind::Float(_) => "a number",
            Kind::Boolean(_) => "true or false",
            Kind::Date(_) => "a date",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Table(_))
    }
}

/// The offsets at which the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes());
        Lines(std::iter::once(0).chain(breaks.map(|offset| offset + 1)).collect())
    }

    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    fn keys(&self, table: &DeTable<'_>) -> Keys {
        let key = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), (self.number(key.span().start), self.value(value)))
        };
        table.iter().map(key).collect()
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.to_string()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(number) => Kind::Integer(number),
                    Err(_) => Kind::Float(integer.as_str().parse().unwrap_or(f64::INFINITY)),
                }
            }
            DeValue::Float(float) => Kind::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Kind::Boolean(*value),
            DeValue::Datetime(date) => Kind::Date(date.to_string()),
            DeValue::Array(values) => {
                Kind::List(Rc::new(values.iter().map(|value| self.value(value)).collect()))
            }
            DeValue::Table(table) => Kind::Table(Rc::new(self.keys(table))),
        };
        Value { line: self.number(value.span().start), kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_slips_of_a_file_are_told_with_their_lines() {
        let faults = Faults::default();
        let text = "a = \nb = 1\nc = \"x\nd = 1\nd = 2\n";
        assert!(parse(Path::new("x.toml"), text, &faults).is_none());
        let told: Vec<String> = faults.take().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "x.toml:1: string values must be quoted, expected literal string",
                "x.toml:3: invalid basic string, expected `\"`",
                "x.toml:5: duplicate key",
            ]
        );
    }

    #[test]
    fn a_slip_in_a_secret_does_not_show_it() {
        for text in
            ["password = hunter2\n", "password = \"hunter2\n", "password = \"hunter2\\q\"\n"]
        {
            let faults = Faults::default();
            assert!(parse(Path::new("x.toml"), text, &faults).is_none());
            let told: Vec<String> = faults.take().iter().map(ToString::to_string).collect();
            assert!(!told.is_empty() && !told.concat().contains("hunter"), "{told:?}");
        }
    }

    #[test]
    fn numbers_of_any_spelling_are_read() {
        let faults = Faults::default();
        let text = "a = 1_000\nb = 0xff\nc = -3\nd = 99999999999999999999\n";
        let keys = parse(Path::new("x.toml"), text, &faults).unwrap();
        let shown: Vec<String> = keys.values().map(|(_, value)| value.shown()).collect();
        assert_eq!(shown, ["1000", "255", "-3", "100000000000000000000"]);
        let lines: Vec<usize> = keys.values().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4]);
    }
}
