//! Section: one table of a TOML file, asked key by key. It knows its file and lines, resolves
//! values keyed by environment, and answers for every key that nobody asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing wrong with the configuration, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; 0 where no single line is at fault.
    pub line: usize,
    /// Whether the program can go on.
    pub weight: Weight,
    /// What is wrong, and what to do.
    pub what: String,
}

/// How much a fault weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Told, and the program goes on.
    Warning,
    /// The file cannot be used.
    Error,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match (self.line, self.weight) {
            (0, Weight::Error) => write!(f, "{file}: {}", self.what),
            (line, Weight::Error) => write!(f, "{file}:{line}: {}", self.what),
            (0, Weight::Warning) => write!(f, "{file}: warning: {}", self.what),
            (line, Weight::Warning) => write!(f, "{file}:{line}: warning: {}", self.what),
        }
    }
}

/// The faults found so far; shared by all sections of a load.
#[derive(Clone, Debug, Default)]
pub struct Faults(Rc<RefCell<Vec<Fault>>>);

impl Faults {
    /// Notes an error.
    pub fn error(&self, file: &Path, line: usize, what: impl Into<String>) {
        self.note(file, line, Weight::Error, what.into());
    }

    /// Notes a warning.
    pub fn warning(&self, file: &Path, line: usize, what: impl Into<String>) {
        self.note(file, line, Weight::Warning, what.into());
    }

    /// All faults so far, in the order of files and lines.
    pub fn take(&self) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut *self.0.borrow_mut());
        faults.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        faults
    }

    /// Whether an error was noted.
    pub fn any_error(&self) -> bool {
        self.0.borrow().iter().any(|fault| fault.weight == Weight::Error)
    }

    fn note(&self, file: &Path, line: usize, weight: Weight, what: String) {
        self.0.borrow_mut().push(Fault { file: file.to_owned(), line, weight, what });
    }
}

/// The environments that a configuration knows, and the one in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environments {
    /// All names.
    pub names: Vec<String>,
    /// The one in use.
    pub current: String,
}

/// A value and the line it stands on.
#[derive(Clone, Debug)]
struct Value {
    line: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date(String),
    List(Vec<Value>),
    Table(BTreeMap<String, (usize, Value)>),
}

/// One table of a TOML file.
pub struct Section {
    path: String,
    line: usize,
    file: Rc<PathBuf>,
    keys: BTreeMap<String, (usize, Value)>,
    asked: BTreeSet<String>,
    faults: Faults,
}

impl Section {
    /// Parses a whole file; `None`, with the fault noted, if it is not TOML.
    pub fn parse(
        file: &Path,
        text: &str,
        environments: &Environments,
        faults: &Faults,
    ) -> Option<Section> {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(0, |span| line_of(text, span.start));
                faults.error(file, line, error.message().replace('\n', ", "));
                return None;
            }
        };
        let resolve = Resolve { text, file, environments, faults };
        Some(Section {
            path: String::new(),
            line: 1,
            file: Rc::new(file.to_owned()),
            keys: resolve.table(table.get_ref(), ""),
            asked: BTreeSet::new(),
            faults: faults.clone(),
        })
    }

    /// The file that the section stands in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line on which the section starts.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The dotted path of the section in its file; empty for the file itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line of a key, or of the section when the key is not there.
    pub fn line_of(&self, key: &str) -> usize {
        self.keys.get(key).map_or(self.line, |(line, _)| *line)
    }

    /// Whether the key is there; counts as asked.
    pub fn has(&mut self, key: &str) -> bool {
        self.asked.insert(key.to_owned());
        self.keys.contains_key(key)
    }

    /// Notes an error at the key's line.
    pub fn error(&self, key: &str, what: impl Into<String>) {
        self.faults.error(&self.file, self.line_of(key), what);
    }

    /// Notes a warning at the key's line.
    pub fn warning(&self, key: &str, what: impl Into<String>) {
        self.faults.warning(&self.file, self.line_of(key), what);
    }

    /// The faults that this section notes into.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value { kind: Kind::Text(text), .. } => Some(text),
            other => self.wrong(key, &other, "a text in quotes"),
        }
    }

    /// A text that must be there.
    pub fn required(&mut self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.missing(key);
        }
        self.text(key)
    }

    /// Notes that the key must be there.
    pub fn missing(&self, key: &str) {
        let what = match self.path.as_str() {
            "" => format!("\"{key}\" is missing"),
            path => format!("[{path}] lacks \"{key}\""),
        };
        self.faults.error(&self.file, self.line, what);
    }

    /// True or false.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value { kind: Kind::Boolean(value), .. } => Some(value),
            other => self.wrong(key, &other, "true or false"),
        }
    }

    /// A whole number within bounds, both inclusive.
    pub fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        match self.take(key)? {
            Value { kind: Kind::Integer(value), .. } if (least..=most).contains(&value) => {
                Some(value)
            }
            other => self.wrong(key, &other, &format!("a whole number from {least} to {most}")),
        }
    }

    /// A time span such as "500ms", "30s", "5m", "24h", "90d".
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        match self.take(key)? {
            Value { kind: Kind::Text(text), line } => match parse_duration(&text) {
                Some(duration) => Some(duration),
                None => {
                    let value = Value { kind: Kind::Text(text), line };
                    self.wrong(key, &value, "a time span such as \"30s\", \"5m\" or \"24h\"")
                }
            },
            other => self.wrong(key, &other, "a time span such as \"30s\", \"5m\" or \"24h\""),
        }
    }

    /// A size in bytes such as "1 MiB" or "16 KiB".
    pub fn size(&mut self, key: &str) -> Option<u64> {
        match self.take(key)? {
            Value { kind: Kind::Integer(value), .. } if value >= 0 => Some(value as u64),
            Value { kind: Kind::Text(text), line } => match parse_size(&text) {
                Some(size) => Some(size),
                None => {
                    let value = Value { kind: Kind::Text(text), line };
                    self.wrong(key, &value, "a size such as \"1 MiB\"")
                }
            },
            other => self.wrong(key, &other, "a size such as \"1 MiB\""),
        }
    }

    /// A list of texts; a single text counts as a list of one.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        match self.take(key)? {
            Value { kind: Kind::Text(text), .. } => Some(vec![text]),
            Value { kind: Kind::List(values), line } => {
                let mut texts = Vec::new();
                for value in &values {
                    match &value.kind {
                        Kind::Text(text) => texts.push(text.clone()),
                        _ => {
                            let list = Value { line, kind: Kind::List(values.clone()) };
                            return self.wrong(key, &list, "a list of texts");
                        }
                    }
                }
                Some(texts)
            }
            other => self.wrong(key, &other, "a list of texts"),
        }
    }

    /// A table whose values are all texts, in the order of their keys.
    pub fn text_table(&mut self, key: &str) -> Option<Vec<(String, String)>> {
        let mut section = self.section(key)?;
        let names: Vec<String> = section.keys.keys().cloned().collect();
        Some(
            names
                .into_iter()
                .filter_map(|name| section.text(&name).map(|text| (name, text)))
                .collect(),
        )
    }

    /// A table.
    pub fn section(&mut self, key: &str) -> Option<Section> {
        match self.take(key)? {
            Value { kind: Kind::Table(keys), line } => Some(self.child(key, line, keys)),
            other => self.wrong(key, &other, "a table"),
        }
    }

    /// Either a text or a table, for keys that have a short and a long form.
    pub fn text_or_section(&mut self, key: &str) -> Option<TextOrSection> {
        match self.take(key)? {
            Value { kind: Kind::Text(text), .. } => Some(TextOrSection::Text(text)),
            Value { kind: Kind::Table(keys), line } => {
                Some(TextOrSection::Section(self.child(key, line, keys)))
            }
            other => self.wrong(key, &other, "a text or a table"),
        }
    }

    /// A list whose members are texts or tables, such as `clean`; one alone counts as a list.
    pub fn texts_or_sections(&mut self, key: &str) -> Option<Vec<TextOrSection>> {
        let value = self.take(key)?;
        let values = match value.kind {
            Kind::List(values) => values,
            _ => vec![value],
        };
        let mut list = Vec::new();
        for value in values {
            match value.kind {
                Kind::Text(text) => list.push(TextOrSection::Text(text)),
                Kind::Table(keys) => {
                    list.push(TextOrSection::Section(self.child(key, value.line, keys)));
                }
                _ => return self.wrong(key, &value, "a list of texts and tables"),
            }
        }
        Some(list)
    }

    /// The members of a table whose keys are names given by the user, such as `[channels.x]`.
    pub fn named_sections(&mut self, key: &str) -> Vec<(String, Section)> {
        let Some(mut table) = self.section(key) else { return Vec::new() };
        let names: Vec<String> = table.keys.keys().cloned().collect();
        names
            .into_iter()
            .filter_map(|name| table.section(&name).map(|section| (name, section)))
            .collect()
    }

    /// The members of an array of tables, such as `[[routes]]`.
    pub fn sections(&mut self, key: &str) -> Vec<Section> {
        match self.take(key) {
            Some(Value { kind: Kind::List(values), .. }) => {
                let mut sections = Vec::new();
                for value in values {
                    match value.kind {
                        Kind::Table(keys) => sections.push(self.child(key, value.line, keys)),
                        _ => return self.wrong(key, &value, "tables").unwrap_or_default(),
                    }
                }
                sections
            }
            Some(other) => self.wrong(key, &other, "an array of tables").unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Notes an error for every key that was never asked for, with the nearest that was.
    pub fn finish(self) {
        for (key, (line, _)) in &self.keys {
            if self.asked.contains(key) {
                continue;
            }
            let place = match self.path.as_str() {
                "" => String::new(),
                path => format!(" in [{path}]"),
            };
            let advice = match nearest(key, self.asked.iter().map(String::as_str)) {
                Some(name) => format!(": did you mean \"{name}\"?"),
                None => {
                    let known: Vec<&str> = self.asked.iter().map(String::as_str).collect();
                    format!(": known here are {}", known.join(", "))
                }
            };
            self.faults.error(&self.file, *line, format!("unknown key \"{key}\"{place}{advice}"));
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.asked.insert(key.to_owned());
        self.keys.get(key).map(|(_, value)| value.clone())
    }

    fn child(
        &self,
        key: &str,
        line: usize,
        keys: BTreeMap<String, (usize, Value)>,
    ) -> Section {
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Section {
            path,
            line,
            file: Rc::clone(&self.file),
            keys,
            asked: BTreeSet::new(),
            faults: self.faults.clone(),
        }
    }

    fn wrong<T>(&self, key: &str, value: &Value, wanted: &str) -> Option<T> {
        let found = match &value.kind {
            Kind::Text(text) => format!("\"{text}\""),
            Kind::Integer(value) => value.to_string(),
            Kind::Float(value) => value.to_string(),
            Kind::Boolean(value) => value.to_string(),
            Kind::Date(text) => text.clone(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
        };
        self.error(key, format!("{key} is {found}, but must be {wanted}"));
        None
    }
}

/// A value with a short and a long form.
pub enum TextOrSection {
    /// The short form.
    Text(String),
    /// The long form.
    Section(Section),
}

/// The nearest of some names, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Reads "500ms", "30s", "5m", "24h" or "90d".
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match text[digits..].trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(24 * 3600),
        _ => None,
    }
}

/// Reads "512", "512 B", "16 KiB", "1 MiB" or "1 GiB".
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "" | "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        _ => None,
    }
}

struct Resolve<'a> {
    text: &'a str,
    file: &'a Path,
    environments: &'a Environments,
    faults: &'a Faults,
}

impl Resolve<'_> {
    fn table(&self, table: &DeTable<'_>, path: &str) -> BTreeMap<String, (usize, Value)> {
        table
            .iter()
            .filter_map(|(key, value)| {
                let name = key.get_ref().to_string();
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let line = line_of(self.text, key.span().start);
                self.value(value, &path).map(|value| (name, (line, value)))
            })
            .collect()
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, path: &str) -> Option<Value> {
        let line = line_of(self.text, value.span().start);
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let digits: String = integer.as_str().chars().filter(|c| *c != '_').collect();
                match i64::from_str_radix(&digits, integer.radix()) {
                    Ok(number) => Kind::Integer(number),
                    Err(_) => {
                        self.faults.error(self.file, line, format!("{path} is too large"));
                        return None;
                    }
                }
            }
            DeValue::Float(float) => Kind::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Kind::Boolean(*value),
            DeValue::Datetime(date) => Kind::Date(date.to_string()),
            DeValue::Array(values) => {
                Kind::List(values.iter().filter_map(|value| self.value(value, path)).collect())
            }
            DeValue::Table(table) => {
                let keyed = table.keys().any(|key| {
                    self.environments.names.iter().any(|name| *name == key.get_ref().as_ref())
                });
                if keyed {
                    return self.for_environment(table, line, path);
                }
                Kind::Table(self.table(table, path))
            }
        };
        Some(Value { line, kind })
    }

    /// The value for the environment in use, from a table keyed by environments.
    fn for_environment(&self, table: &DeTable<'_>, line: usize, path: &str) -> Option<Value> {
        for key in table.keys() {
            if !self.environments.names.iter().any(|name| *name == key.get_ref().as_ref()) {
                let line = line_of(self.text, key.span().start);
                self.faults.error(
                    self.file,
                    line,
                    format!(
                        "{path} is keyed by environment, but \"{}\" is none: known are {}",
                        key.get_ref(),
                        self.environments.names.join(", ")
                    ),
                );
            }
        }
        let current = &self.environments.current;
        match table.iter().find(|(key, _)| key.get_ref().as_ref() == current.as_str()) {
            Some((_, value)) => self.value(value, path),
            None => {
                self.faults.error(
                    self.file,
                    line,
                    format!("{path} has no value for the environment \"{current}\" in use"),
                );
                None
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
