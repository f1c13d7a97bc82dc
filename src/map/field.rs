//! Field: how one value of the output record comes about. Its rules work in a fixed order: hits,
//! join or take, clean, values, AKA, date, number, check.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::Direction;
use super::aka::{Lookup, Table};
use super::charset::{self, Charset, Fit};
use super::checks::Check;
use super::clean::{Clean, is_blank, trim};
use super::condition::Condition;
use super::dates::Dates;
use super::numbers::Number;
use super::report::{Report, quote};
use crate::config::section::nearest;
use crate::model::{Level, Record};

/// One `[[fields]]` of a mapping, ready to work.
#[derive(Debug)]
pub struct Field {
    /// What a problem calls it: its `from`, or its `to` if it is a constant.
    pub label: String,
    /// Where its texts come from.
    pub source: Source,
    /// What is done with several texts.
    pub several: Several,
    /// What is done to a text before anything else.
    pub clean: Vec<Clean>,
    /// The small table in place.
    pub values: Option<HashMap<String, String>>,
    /// The AKA table.
    pub aka: Option<Aka>,
    /// How dates are read and written.
    pub date: Option<Dates>,
    /// How numbers are read.
    pub number: Option<Number>,
    /// The check, and how much its failing weighs.
    pub check: Option<(Check, Level)>,
    /// Whether a missing value is a problem.
    pub required: bool,
    /// Which records have the field.
    pub when: Option<Condition>,
    /// The characters that may be written, if not all may.
    pub charset: Option<Arc<Charset>>,
}

/// Where a field stands in the output record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The names from the outermost object inwards.
    pub path: Vec<String>,
    /// Whether it collects its values into an array.
    pub array: bool,
}

/// Where a field's texts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The same for every record.
    Constant(String),
    /// The texts of these slots of the record.
    Slots(Vec<usize>),
}

/// What a field does with several texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Several {
    /// They are a problem.
    Refuse,
    /// They are joined, those that are empty left out.
    Join(String),
    /// The first that is not empty is taken.
    First,
    /// Each becomes an element of an array.
    Each,
}

/// How a field uses an AKA table.
#[derive(Debug)]
pub struct Aka {
    /// The table.
    pub table: Arc<Table>,
    /// The second key.
    pub within: Option<Within>,
    /// What becomes of an alias, or on the way out of a code, that is not in the table.
    pub unknown: Unknown,
    /// In: alias to code. Out: code to alias.
    pub direction: Direction,
}

/// The second key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// The text of a slot, and the name of what it holds.
    Slot(String, usize),
    /// The same for every record.
    Constant(String),
}

/// What becomes of an alias that is not in its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It rejects the record.
    Quarantine,
    /// It stays as it is.
    Keep,
    /// This code stands in for it.
    Use(String),
}

/// What became of one text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Empty,
    Refused,
}

/// A broken rule and the advice.
pub type Broken = (&'static str, String);

impl Field {
    /// Whether the record has this field.
    pub fn applies(&self, record: &Record) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(record))
    }

    /// Writes the first of some fields that the record has; `false` if there is no value.
    pub fn write_first(
        fields: &[Field],
        report: &mut Report<'_>,
        put: impl FnMut(&str) -> Result<(), Broken>,
    ) -> bool {
        let field = fields.iter().find(|field| field.applies(report.record));
        field.is_some_and(|field| field.write(report, put))
    }

    /// Hands the field's value to `put`, or each of its values; `false` if it has none. Problems
    /// are noted, and so is what `put` finds wrong.
    pub fn write(
        &self,
        report: &mut Report<'_>,
        mut put: impl FnMut(&str) -> Result<(), Broken>,
    ) -> bool {
        let fate = match self.several {
            Several::Each => self.write_each(report, put),
            _ => match self.gather(report.record) {
                Ok(Some(raw)) => self.write_one(&raw, report, &mut put),
                Ok(None) => Fate::Empty,
                Err((raw, advice)) => {
                    report.note(Level::Reject, &self.label, &raw, "several", advice);
                    Fate::Refused
                }
            },
        };
        if fate == Fate::Empty && self.required {
            let raw = match self.gather(report.record) {
                Ok(Some(raw)) => raw,
                _ => Cow::Borrowed(""),
            };
            let advice = match self.label.starts_with("../") {
                false => format!("{} is missing or empty; give it a value", self.label),
                true => format!(
                    "{} is missing or empty above the record; give it a value there (what stands \
                     below the record is not read for it)",
                    self.label
                ),
            };
            report.note(Level::Reject, &self.label, &raw, "required", advice);
        }
        fate == Fate::Written
    }

    fn write_each(
        &self,
        report: &mut Report<'_>,
        mut put: impl FnMut(&str) -> Result<(), Broken>,
    ) -> Fate {
        let mut all = Fate::Empty;
        for raw in self.texts(report.record) {
            match (self.write_one(raw, report, &mut put), all) {
                (Fate::Refused, _) => all = Fate::Refused,
                (Fate::Written, Fate::Empty) => all = Fate::Written,
                _ => {}
            }
        }
        all
    }

    fn write_one(
        &self,
        raw: &str,
        report: &mut Report<'_>,
        put: &mut impl FnMut(&str) -> Result<(), Broken>,
    ) -> Fate {
        let text = match self.work(raw, report) {
            Ok(Some(text)) => text,
            Ok(None) => return Fate::Empty,
            Err((rule, advice)) => {
                report.note(Level::Reject, &self.label, raw, rule, advice);
                return Fate::Refused;
            }
        };
        if let Some((check, level)) = &self.check
            && let Err(advice) = check.run(&text)
        {
            report.note(*level, &self.label, raw, check.name(), advice);
            if *level == Level::Reject {
                return Fate::Refused;
            }
        }
        let text = match &self.charset {
            None => text,
            Some(charset) => match charset.fit(&text) {
                Fit::Well(text) => Cow::Owned(text),
                Fit::Changed(fitting, lacking) => {
                    let advice = charset.changed(&fitting, &lacking);
                    report.note(Level::Warn, &self.label, raw, charset::RULE, advice);
                    Cow::Owned(fitting)
                }
                Fit::Not(lacking) => {
                    let advice = charset.lacks(lacking);
                    report.note(Level::Reject, &self.label, raw, charset::RULE, advice);
                    return Fate::Refused;
                }
            },
        };
        match put(&text) {
            Ok(()) => Fate::Written,
            Err((rule, advice)) => {
                report.note(Level::Reject, &self.label, raw, rule, advice);
                Fate::Refused
            }
        }
    }

    /// All texts of the field, in the order of its `from` and of the file.
    fn texts<'r>(&'r self, record: &'r Record) -> impl Iterator<Item = &'r str> {
        let (constant, slots) = match &self.source {
            Source::Constant(text) => (Some(text.as_str()), [].as_slice()),
            Source::Slots(slots) => (None, slots.as_slice()),
        };
        constant.into_iter().chain(slots.iter().flat_map(|slot| record.texts(*slot)))
    }

    /// The one text that the rules work on; the error is all texts, and the advice.
    fn gather<'r>(&'r self, record: &'r Record) -> Result<Option<Cow<'r, str>>, (String, String)> {
        if let (Source::Slots(slots), Several::Refuse) = (&self.source, &self.several)
            && let [slot] = slots.as_slice()
        {
            // Nearly every field is one column with one text.
            if let Some(text) = record.single(*slot) {
                return Ok(Some(Cow::Borrowed(text)));
            }
            let mut texts = record.texts(*slot);
            let first = texts.next();
            if texts.next().is_none() {
                return Ok(first.map(Cow::Borrowed));
            }
        }
        let mut texts = self.texts(record);
        match &self.several {
            Several::Join(separator) => Ok(self.join(texts, separator)),
            Several::First => Ok(texts.find(|text| !is_blank(text)).map(Cow::Borrowed)),
            Several::Refuse | Several::Each => {
                let first = texts.next();
                match texts.next() {
                    None => Ok(first.map(Cow::Borrowed)),
                    Some(_) => {
                        let all: Vec<&str> = self.texts(record).collect();
                        let advice = format!(
                            "{} stands there {} times; send one, or let the field say join, \
                             take = \"first\", or a `to` that ends in []",
                            self.label,
                            all.len()
                        );
                        Err((all.join(", "), advice))
                    }
                }
            }
        }
    }

    /// Joins what is not empty. Padding would stand in the middle afterwards, where `trim` no
    /// longer finds it; so each part is trimmed where the field trims.
    fn join<'r>(
        &self,
        texts: impl Iterator<Item = &'r str>,
        separator: &str,
    ) -> Option<Cow<'r, str>> {
        let trims = self.clean.contains(&Clean::Trim);
        texts.filter(|text| !is_blank(text)).map(|text| if trims { trim(text) } else { text }).fold(
            None,
            |joined: Option<Cow<'r, str>>, text| match joined {
                None => Some(Cow::Borrowed(text)),
                Some(joined) => Some(Cow::Owned(format!("{joined}{separator}{text}"))),
            },
        )
    }

    /// Clean, values, AKA, date, number; `None` if nothing is left after clean.
    fn work<'t>(
        &'t self,
        raw: &'t str,
        report: &Report<'_>,
    ) -> Result<Option<Cow<'t, str>>, Broken> {
        let mut text = Cow::Borrowed(raw);
        for step in &self.clean {
            text = step.run(text);
        }
        if is_blank(&text) {
            return Ok(None);
        }
        if let Some(values) = &self.values {
            text =
                Cow::Borrowed(look_up(values, trim(&text)).map_err(|advice| ("values", advice))?);
        }
        if let Some(aka) = &self.aka
            && let Some(code) = aka.code(&text, report)?
        {
            text = Cow::Borrowed(code);
        }
        if let Some(date) = &self.date {
            text = Cow::Owned(date.convert(&text).map_err(|advice| ("date", advice))?);
        }
        if let Some(number) = &self.number {
            text = Cow::Owned(number.convert(&text).map_err(|advice| ("number", advice))?);
        }
        Ok(Some(text))
    }
}

impl Aka {
    /// The code for an alias, or on the way out the alias for a code; `None` if it stays as it is.
    fn code<'t>(&'t self, alias: &str, report: &Report<'_>) -> Result<Option<&'t str>, Broken> {
        let within = match &self.within {
            None => None,
            Some(Within::Constant(text)) => Some(text.as_str()),
            Some(Within::Slot(column, slot)) => {
                let mut texts = report.record.texts(*slot);
                let first = texts.next().unwrap_or_default();
                if texts.any(|text| trim(text) != trim(first)) {
                    let advice =
                        format!("{column}, the second key of the table, has different values");
                    return Err(("several", advice));
                }
                Some(first)
            }
        };
        let found = match self.direction {
            Direction::In => self.table.code(alias, within, report.context),
            Direction::Out => self.table.alias(alias, within, report.context),
        };
        match (found, &self.unknown) {
            (Lookup::Found(code), _) => Ok(Some(code)),
            (Lookup::Unknown | Lookup::Expired, Unknown::Keep) => Ok(None),
            (Lookup::Unknown | Lookup::Expired, Unknown::Use(code)) => Ok(Some(code)),
            (missed, _) => Err(("aka", self.advice(missed, alias.trim(), within, report))),
        }
    }

    fn advice(
        &self,
        missed: Lookup<'_>,
        alias: &str,
        within: Option<&str>,
        report: &Report<'_>,
    ) -> String {
        let Aka { table, .. } = self;
        let (name, file) = (&table.name, table.file.display());
        let mut what = match self.direction {
            Direction::In => quote(alias),
            Direction::Out => format!("the code {}", quote(alias)),
        };
        match (&self.within, within.map(str::trim)) {
            (Some(Within::Slot(column, _)), Some("")) => {
                what += &format!(" without a value in {column}");
            }
            (_, Some(within)) => what += &format!(" within {}", quote(within)),
            (_, None) => {}
        }
        match missed {
            Lookup::Several(one, other) => format!(
                "{what} has different codes within {} and {} in table {name}; let the field's aka \
                 say within",
                quote(one),
                quote(other)
            ),
            Lookup::Expired => format!(
                "no row for {what} in table {name} is valid on {}; see {file}",
                report.context.date
            ),
            Lookup::Found(_) | Lookup::Unknown => {
                let near = match table.nearest(alias, report.context) {
                    Some(near) if near != alias && self.direction == Direction::In => {
                        format!("; the nearest is {}", quote(near))
                    }
                    _ => String::new(),
                };
                format!("no row for {what} in table {name}; add one to {file}{near}")
            }
        }
    }
}

/// Looks a text up in a table in place; the error is the advice.
fn look_up<'v>(values: &'v HashMap<String, String>, text: &str) -> Result<&'v str, String> {
    if let Some(value) = values.get(text) {
        return Ok(value);
    }
    let mut known: Vec<&str> = values.keys().map(String::as_str).collect();
    known.sort_unstable();
    Err(match nearest(text, known.iter().copied()) {
        Some(near) => format!("{} is not in values; the nearest is {}", quote(text), quote(near)),
        None => format!("{} is not in values: known are {}", quote(text), known.join(", ")),
    })
}
