//! Section: one table of a TOML file, asked key by key. It knows its file and lines, resolves
//! values keyed by environment, and answers for every key that nobody asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use super::environments::Environments;
pub use super::fault::{Fault, Faults, Weight};
use super::keyed::{self, Wanted};
pub(super) use super::names::name_fault;
pub use super::names::nearest;
pub use super::quantity::{parse_duration, parse_size};
use super::value::{self, Keys, Kind, Value};

/// One table of a TOML file.
pub struct Section {
    path: String,
    line: usize,
    keys: Rc<Keys>,
    /// Every key that was asked for, with the line of its value for the environment in use.
    asked: BTreeMap<String, Option<usize>>,
    document: Rc<Document>,
}

/// What all sections of a file share.
struct Document {
    file: PathBuf,
    environments: Environments,
    faults: Faults,
}

/// A value with a short and a long form.
pub enum TextOrSection {
    /// The short form.
    Text(String),
    /// The long form.
    Section(Section),
}

impl Section {
    /// Parses a whole file; `None`, with the faults noted, if it is not TOML.
    pub fn parse(
        file: &Path,
        text: &str,
        environments: &Environments,
        faults: &Faults,
    ) -> Option<Section> {
        let keys = value::parse(file, text, faults)?;
        let document = Document {
            file: file.to_owned(),
            environments: environments.clone(),
            faults: faults.clone(),
        };
        Some(Section {
            path: String::new(),
            line: 1,
            keys: Rc::new(keys),
            asked: BTreeMap::new(),
            document: Rc::new(document),
        })
    }

    /// The same section, with values resolved for these environments from here on.
    pub(super) fn with_environments(self, environments: &Environments) -> Section {
        let document = Document {
            file: self.document.file.clone(),
            environments: environments.clone(),
            faults: self.document.faults.clone(),
        };
        Section { document: Rc::new(document), ..self }
    }

    /// The file that the section stands in.
    pub fn file(&self) -> &Path {
        &self.document.file
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
        match (self.asked.get(key), self.keys.get(key)) {
            (Some(Some(line)), _) => *line,
            (_, Some((line, _))) => *line,
            _ => self.line,
        }
    }

    /// Whether the key is there; counts as asked.
    pub fn has(&mut self, key: &str) -> bool {
        self.asked.entry(key.to_owned()).or_default();
        self.keys.contains_key(key)
    }

    /// All keys of the section, in the order of their letters.
    pub fn names(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// Notes an error at the key's line.
    pub fn error(&self, key: &str, what: impl Into<String>) {
        self.faults().error(self.file(), self.line_of(key), what);
    }

    /// Notes a warning at the key's line.
    pub fn warning(&self, key: &str, what: impl Into<String>) {
        self.faults().warning(self.file(), self.line_of(key), what);
    }

    /// Notes that the key must be there.
    pub fn missing(&self, key: &str) {
        let what = match self.path.as_str() {
            "" => format!("\"{key}\" is missing"),
            path => format!("[{path}] lacks \"{key}\""),
        };
        self.faults().error(self.file(), self.line, what);
    }

    /// Notes that the key names something that is not there, with the nearest that is.
    pub fn unknown_name<'a>(
        &self,
        key: &str,
        noun: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        let advice = match nearest(name, known.clone()) {
            Some(near) => format!(": did you mean \"{near}\"?"),
            None => match known.take(20).collect::<Vec<_>>().join(", ").as_str() {
                "" => ": there is none".to_owned(),
                known => format!(": known are {known}"),
            },
        };
        self.error(key, format!("there is no {noun} \"{name}\"{advice}"));
    }

    /// Notes that this version does not have what the key asks for.
    pub fn not_available(&mut self, key: &str, what: &str) {
        if self.has(key) {
            self.error(key, format!("{what} not available in this version"));
        }
    }

    /// The faults that this section notes into.
    pub fn faults(&self) -> &Faults {
        &self.document.faults
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key, Wanted::Plain)? {
            Value { kind: Kind::Text(text), .. } => Some(text),
            other => self.wrong(key, &other, "a text in quotes"),
        }
    }

    /// A text that is not empty.
    pub fn filled(&mut self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.error(key, format!("{key} is empty"));
            return None;
        }
        Some(text)
    }

    /// A text that must be there and not be empty.
    pub fn required(&mut self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.missing(key);
        }
        self.filled(key)
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let advice = match nearest(&text, choices.iter().map(|(word, _)| *word)) {
            Some(near) => format!(": did you mean \"{near}\"?"),
            None => String::new(),
        };
        self.error(key, format!("{key} is {text:?}, but must be {}{advice}", words.join(" or ")));
        None
    }

    /// A path; a relative one is relative to the file that it stands in.
    pub fn file_path(&mut self, key: &str) -> Option<PathBuf> {
        let text = self.filled(key)?;
        if text.contains(char::is_control) {
            self.error(key, format!("{key} holds a control character: {text:?}"));
            return None;
        }
        Some(self.beside(&text))
    }

    /// A path relative to this file.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.file().parent().unwrap_or(Path::new("")).join(path)
    }

    /// True or false.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.take(key, Wanted::Plain)? {
            Value { kind: Kind::Boolean(value), .. } => Some(value),
            other => self.wrong(key, &other, "true or false"),
        }
    }

    /// A whole number.
    pub fn number(&mut self, key: &str) -> Option<i64> {
        match self.take(key, Wanted::Plain)? {
            Value { kind: Kind::Integer(value), .. } => Some(value),
            other => self.wrong(key, &other, "a whole number"),
        }
    }

    /// A whole number within bounds, both inclusive.
    pub fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        match self.take(key, Wanted::Plain)? {
            Value { kind: Kind::Integer(value), .. } if (least..=most).contains(&value) => {
                Some(value)
            }
            other => self.wrong(key, &other, &format!("a whole number from {least} to {most}")),
        }
    }

    /// A time span such as "500ms", "30s", "5m", "24h", "90d".
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        let value = self.take(key, Wanted::Plain)?;
        let duration = match &value.kind {
            Kind::Text(text) => parse_duration(text),
            _ => None,
        };
        let wanted = "a time span such as \"30s\", \"5m\" or \"24h\"";
        duration.or_else(|| self.wrong(key, &value, wanted))
    }

    /// A time zone by its IANA name, such as "Europe/Brussels".
    pub fn time_zone(&mut self, key: &str) -> Option<TimeZone> {
        let name = self.text(key)?;
        let zone = TimeZone::get(&name);
        if zone.is_err() {
            let known: Vec<String> =
                jiff::tz::db().available().map(|name| name.to_string()).collect();
            let advice = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if known.is_empty() => "no time zones are installed (tzdata)".to_owned(),
                None => "names look like \"Europe/Brussels\"".to_owned(),
            };
            self.error(key, format!("unknown time zone \"{name}\": {advice}"));
        }
        zone.ok()
    }

    /// A size in bytes such as "1 MiB" or "16 KiB".
    pub fn size(&mut self, key: &str) -> Option<u64> {
        let value = self.take(key, Wanted::Plain)?;
        let size = match &value.kind {
            Kind::Integer(number) => u64::try_from(*number).ok(),
            Kind::Text(text) => parse_size(text),
            _ => None,
        };
        size.or_else(|| self.wrong(key, &value, "a size such as \"1 MiB\""))
    }

    /// A list of texts; a single text counts as a list of one.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.take(key, Wanted::Plain)?;
        let texts =
            self.members(key, &value, Wanted::Plain)?.into_iter().map(|value| match value.kind {
                Kind::Text(text) => Some(text),
                _ => None,
            });
        let texts: Option<Vec<String>> = texts.collect();
        texts.or_else(|| self.wrong(key, &value, "a list of texts"))
    }

    /// A table whose values are all texts, in the order of their keys.
    pub fn text_table(&mut self, key: &str) -> Option<Vec<(String, String)>> {
        let mut section = self.section(key)?;
        let texts = section.names().into_iter().filter_map(|name| {
            let text = section.text(&name)?;
            Some((name, text))
        });
        Some(texts.collect())
    }

    /// A table.
    pub fn section(&mut self, key: &str) -> Option<Section> {
        self.table(key, Wanted::Table)
    }

    /// Either a text or a table, for keys that have a short and a long form.
    pub fn text_or_section(&mut self, key: &str) -> Option<TextOrSection> {
        let value = self.take(key, Wanted::Plain)?;
        self.either(key, &value).or_else(|| self.wrong(key, &value, "a text or a table"))
    }

    /// A list whose members are texts or tables, such as `clean`; one alone counts as a list.
    pub fn texts_or_sections(&mut self, key: &str) -> Option<Vec<TextOrSection>> {
        let value = self.take(key, Wanted::Plain)?;
        let members = self.members(key, &value, Wanted::Plain)?;
        let list: Option<Vec<_>> = members.iter().map(|value| self.either(key, value)).collect();
        list.or_else(|| self.wrong(key, &value, "a list of texts and tables"))
    }

    /// A table in whose place an error must not show what it found; it says `advice` instead.
    pub fn private_section(&mut self, key: &str, advice: &str) -> Option<Section> {
        match self.take(key, Wanted::Plain)? {
            Value { kind: Kind::Table(keys), line } => Some(self.child(key, line, keys)),
            _ => {
                self.error(key, advice);
                None
            }
        }
    }

    /// A text in whose place an error must not show what it found; it says `advice` instead.
    pub fn private_text(&mut self, key: &str, advice: &str) -> Option<String> {
        match self.take(key, Wanted::Plain)? {
            Value { kind: Kind::Text(text), .. } => Some(text),
            _ => {
                self.error(key, advice);
                None
            }
        }
    }

    /// The members of a table whose keys are names given by the user, such as `[channels.x]`.
    pub fn named_sections(&mut self, key: &str) -> Vec<(String, Section)> {
        let Some(mut table) = self.table(key, Wanted::Names) else { return Vec::new() };
        let mut sections = Vec::new();
        for name in table.names() {
            if let Some(fault) = name_fault(&name) {
                table.error(&name, format!("the name {name:?} in [{}] {fault}", table.path));
            }
            if let Some(section) = table.section(&name) {
                sections.push((name, section));
            }
        }
        sections
    }

    /// The members of an array of tables, such as `[[routes]]`.
    pub fn sections(&mut self, key: &str) -> Vec<Section> {
        let Some(value) = self.take(key, Wanted::Plain) else { return Vec::new() };
        let members = match &value.kind {
            Kind::List(_) => self.members(key, &value, Wanted::Table),
            _ => self.wrong(key, &value, &format!("an array of tables: [[{key}]]")),
        };
        let mut sections = Vec::new();
        for member in members.unwrap_or_default() {
            match member.kind {
                Kind::Table(keys) => sections.push(self.child(key, member.line, keys)),
                _ => {
                    self.wrong::<()>(key, &value, &format!("an array of tables: [[{key}]]"));
                    return Vec::new();
                }
            }
        }
        sections
    }

    /// Notes an error for every key that was never asked for, with the nearest that was.
    pub fn finish(self) {
        for (key, (line, _)) in self.keys.iter() {
            if self.asked.contains_key(key) {
                continue;
            }
            let place = match self.path.as_str() {
                "" => String::new(),
                path => format!(" in [{path}]"),
            };
            let advice = match nearest(key, self.asked.keys().map(String::as_str)) {
                Some(name) => format!(": did you mean \"{name}\"?"),
                None => {
                    let known: Vec<&str> = self.asked.keys().map(String::as_str).collect();
                    format!(": known here are {}", known.join(", "))
                }
            };
            let what = format!("unknown key {key:?}{place}{advice}");
            self.faults().error(self.file(), *line, what);
        }
    }

    fn table(&mut self, key: &str, wanted: Wanted) -> Option<Section> {
        match self.take(key, wanted)? {
            Value { kind: Kind::Table(keys), line } => Some(self.child(key, line, keys)),
            // A secret may have been put here by mistake: what was found is not shown.
            other => {
                let what = format!("{key} is {}, but must be a table", other.kind_shown());
                self.error(key, what);
                None
            }
        }
    }

    fn take(&mut self, key: &str, wanted: Wanted) -> Option<Value> {
        self.asked.entry(key.to_owned()).or_default();
        let (_, value) = self.keys.get(key)?.clone();
        let value = self.resolved(key, value, wanted)?;
        self.asked.insert(key.to_owned(), Some(value.line));
        Some(value)
    }

    /// The members of a list, each for the environment in use; what is no list is its one member.
    fn members(&self, key: &str, value: &Value, wanted: Wanted) -> Option<Vec<Value>> {
        match &value.kind {
            Kind::List(values) => {
                values.iter().map(|value| self.resolved(key, value.clone(), wanted)).collect()
            }
            _ => Some(vec![value.clone()]),
        }
    }

    fn either(&self, key: &str, value: &Value) -> Option<TextOrSection> {
        match &value.kind {
            Kind::Text(text) => Some(TextOrSection::Text(text.clone())),
            Kind::Table(keys) => {
                Some(TextOrSection::Section(self.child(key, value.line, Rc::clone(keys))))
            }
            _ => None,
        }
    }

    fn resolved(&self, key: &str, value: Value, wanted: Wanted) -> Option<Value> {
        let Document { file, environments, faults } = &*self.document;
        let tell = |line: usize, what: String| faults.error(file, line, what);
        keyed::resolve(environments, &self.path_of(key), value, wanted, &tell)
    }

    fn child(&self, key: &str, line: usize, keys: Rc<Keys>) -> Section {
        let document = Rc::clone(&self.document);
        Section { path: self.path_of(key), line, keys, asked: BTreeMap::new(), document }
    }

    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn wrong<T>(&self, key: &str, value: &Value, wanted: &str) -> Option<T> {
        let environments = &self.document.environments.names;
        let or = match value.kind {
            Kind::Table(_) if !environments.is_empty() => {
                format!(", or one for each of {}", environments.join(", "))
            }
            _ => String::new(),
        };
        self.error(key, format!("{key} is {}, but must be {wanted}{or}", value.shown()));
        None
    }
}
