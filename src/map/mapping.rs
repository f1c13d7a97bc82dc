//! Mapping: a bundle's texts compiled to rules that are ready to work, or all that is wrong with
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aka::Table;
use super::field::{Field, Target};
use super::output::{Output, Settings};
use super::paths::Paths;
use super::style::Style;
use super::{Bundle, Direction, Mapping, input, parse};
use crate::config::section::Weight;
use crate::config::{Environments, Faults, Section};
use crate::read::Format;

/// What the parts of a mapping share while it is compiled.
pub struct Compile<'b> {
    bundle: &'b Bundle,
    faults: Faults,
    /// Which way the mapping carries data.
    pub direction: Direction,
    /// How the bytes of what it writes are written.
    pub style: Style,
    /// The selectors so far; a slot is a position in it.
    pub selectors: Vec<String>,
    /// The format of the input, if it is known.
    pub format: Option<Format>,
    /// Whether columns have numbers for names.
    pub numbered: bool,
    tables: BTreeMap<(String, bool), Arc<Table>>,
}

impl Compile<'_> {
    /// The slot of a selector; `key` of `section` is where it is written.
    pub fn slot(&mut self, section: &Section, key: &str, selector: &str) -> usize {
        let is_number = selector.parse::<u32>().is_ok_and(|number| number > 0);
        if self.numbered && !is_number {
            let what = format!(
                "\"{selector}\" is no column: without a header the columns are \"1\", \"2\", …"
            );
            section.error(key, what);
        }
        if let Some(Format::Fixed(fixed)) = &self.format {
            let names = fixed.columns.iter().map(|column| column.name.as_str());
            if names.clone().all(|name| name != selector) {
                section.unknown_name(key, "column", selector, names);
            }
        }
        let told = selector.trim().is_empty();
        if let Some(format) = self.format.as_ref().filter(|_| !told)
            && let Err(what) = format.check_selector(selector)
        {
            section.error(key, format!("\"{selector}\" cannot be followed: {what}"));
        }
        match self.selectors.iter().position(|known| known == selector) {
            Some(slot) => slot,
            None => {
                self.selectors.push(selector.to_owned());
                self.selectors.len() - 1
            }
        }
    }

    /// A table of the bundle, compiled once for each way of comparing.
    pub fn table(
        &mut self,
        section: &Section,
        key: &str,
        name: &str,
        fold: bool,
    ) -> Option<Arc<Table>> {
        let known = (name.to_owned(), fold);
        if let Some(table) = self.tables.get(&known) {
            return Some(Arc::clone(table));
        }
        let Some((file, text)) = self.bundle.tables.get(name) else {
            section.error(key, format!("the table \"{name}\" is missing"));
            return None;
        };
        let table = Arc::new(Table::parse(name, file, text, fold, self.direction, &self.faults));
        self.tables.insert(known, Arc::clone(&table));
        Some(table)
    }
}

/// Compiles a bundle; faults are noted, and any error makes it `None`.
pub fn compile(bundle: &Bundle, environments: &Environments, faults: &Faults) -> Option<Mapping> {
    // Whether this mapping is sound must not depend on the faults of others.
    let own = Faults::default();
    let mapping = parse_all(bundle, environments, &own);
    let sound = !own.any_error();
    let mut found = own.take();
    // A table that is used with and without regard to case says its faults twice.
    found.dedup();
    for fault in found {
        match fault.weight {
            Weight::Error => faults.error(&fault.file, fault.line, fault.what),
            Weight::Warning => faults.warning(&fault.file, fault.line, fault.what),
        }
    }
    mapping.filter(|_| sound)
}

fn parse_all(bundle: &Bundle, environments: &Environments, faults: &Faults) -> Option<Mapping> {
    let mut root = Section::parse(&bundle.file, &bundle.text, environments, faults)?;
    let directions = [("in", Direction::In), ("out", Direction::Out)];
    let direction = root.choice("direction", &directions).unwrap_or(Direction::In);
    let mut compile = Compile {
        bundle,
        faults: faults.clone(),
        direction,
        style: Style::default(),
        selectors: Vec::new(),
        format: None,
        numbered: false,
        tables: BTreeMap::new(),
    };
    let (dialect, only) = match direction {
        Direction::In => input::parse(&mut root, &mut compile),
        Direction::Out => (Some(input::document(&mut root, &mut compile)), None),
    };
    let settings = Settings::parse(&mut root, direction);
    if let Some(settings) = &settings {
        compile.style = settings.style.clone();
    }
    let output = settings.as_ref().map_or(Output::Json, |settings| settings.output);
    let fields = fields(&mut root, &mut compile, output);
    root.finish();
    let settings = settings?;
    let form = settings.form(fields);
    Some(Mapping {
        name: bundle.name.clone(),
        direction,
        dialect: dialect?,
        selectors: compile.selectors,
        output,
        frame: settings.frame(&form),
        style: settings.style,
        only,
        form,
    })
}

fn fields(root: &mut Section, compile: &mut Compile<'_>, output: Output) -> Vec<(Target, Field)> {
    let mut paths = Paths::default();
    let sections = root.sections("fields");
    if sections.is_empty() {
        root.error("fields", "a mapping needs at least one [[fields]]");
    }
    let field = |section| parse::field(section, compile, &mut paths, output);
    sections.into_iter().filter_map(field).collect()
}
