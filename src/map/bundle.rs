//! Bundle: a mapping and its tables as texts. Reading them is the one thing here that touches the
//! disk; a claim keeps what was read, so that a restart maps by the same rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Bundle, mapping};
use crate::config::section::{TextOrSection, nearest};
use crate::config::{Environments, Faults, Section};

/// Stands in for a table that is missing, so that the rest of the mapping is looked at too.
const NO_TABLE: &str = "alias,code\n";

/// Reads a mapping and its tables from the folder of mappings; faults are noted.
///
/// What a text means is not looked at here, but by compiling: so that each fault is told once.
pub fn load(
    folder: &Path,
    name: &str,
    environments: &Environments,
    faults: &Faults,
) -> Option<Bundle> {
    let file = folder.join(format!("{name}.toml"));
    if !is_stem(name) {
        faults.error(&file, 0, format!("\"{name}\" is no name of a mapping: it is a file's stem"));
        return None;
    }
    let text = match read(&file) {
        Ok(text) => text,
        Err(Unread::Missing) => {
            let advice = advice(folder, "toml", name);
            faults.error(&file, 0, format!("there is no mapping \"{name}\": {advice}"));
            return None;
        }
        Err(Unread::Other(line, what)) => {
            faults.error(&file, line, what);
            return None;
        }
    };
    let folder = folder.join("aka");
    let mut tables = BTreeMap::new();
    let mut sound = true;
    for (table, line) in tables_of(&file, &text, environments) {
        let path = folder.join(format!("{table}.csv"));
        let read = if is_stem(&table) { read(&path) } else { Err(Unread::Missing) };
        let text = read.unwrap_or_else(|error| {
            sound = false;
            match error {
                Unread::Missing => {
                    let advice = advice(&folder, "csv", &table);
                    faults.error(&file, line, format!("there is no table \"{table}\": {advice}"));
                }
                Unread::Other(line, what) => faults.error(&path, line, what),
            }
            NO_TABLE.to_owned()
        });
        tables.insert(table, (path, text));
    }
    let bundle = Bundle { name: name.to_owned(), file, text, tables };
    if !sound {
        mapping::compile(&bundle, environments, faults);
        return None;
    }
    Some(bundle)
}

/// BLAKE3 over name, text and tables, each with its length in front.
pub fn hash(bundle: &Bundle) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(&bundle.name);
    add(&bundle.text);
    for (name, (_, text)) in &bundle.tables {
        add(name);
        add(text);
    }
    hasher.finalize().to_string()
}

enum Unread {
    Missing,
    /// The line, and what is wrong.
    Other(usize, String),
}

fn read(file: &Path) -> Result<String, Unread> {
    let bytes = std::fs::read(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Other(0, format!("cannot be read: {error}")),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..sound].iter().filter(|byte| **byte == b'\n').count();
        Unread::Other(line, "is not UTF-8: save it as UTF-8".to_owned())
    })
}

/// The tables that a mapping names, with the line of the first time. What is wrong with the text
/// is for compiling to tell.
fn tables_of(file: &Path, text: &str, environments: &Environments) -> BTreeMap<String, usize> {
    let mut tables = BTreeMap::new();
    let untold = Faults::default();
    let Some(mut root) = Section::parse(file, text, environments, &untold) else { return tables };
    for mut field in root.sections("fields") {
        let line = field.line_of("aka");
        let name = match field.text_or_section("aka") {
            Some(TextOrSection::Text(name)) => Some(name),
            Some(TextOrSection::Section(mut aka)) => aka.text("table"),
            None => None,
        };
        if let Some(name) = name {
            tables.entry(name).or_insert(line);
        }
    }
    tables
}

/// Whether a name is the stem of a file in the folder itself, and leads nowhere else.
fn is_stem(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// Names the file that was meant, or those that are there.
fn advice(folder: &Path, extension: &str, name: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter_map(|path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => {
            format!("{} holds no file that ends in .{extension}", folder.display())
        }
        None => format!("known are {}", names.join(", ")),
    }
}
