//! Condition: whether a record says one of certain things; what `only` and `when` consist of.

use super::clean::trim;
use super::mapping::Compile;
use crate::config::Section;
use crate::model::Record;

/// Holds for a record in which one of the texts of a slot, trimmed, is one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    slot: usize,
    is: Vec<String>,
}

impl Condition {
    /// Reads `{ field = "KIND", is = ["IMP", "TRS"] }`; faults are noted.
    pub fn parse(parent: &mut Section, key: &str, compile: &mut Compile<'_>) -> Option<Condition> {
        let mut section = parent.section(key)?;
        let field = section.required("field");
        if !section.has("is") {
            section.missing("is");
        }
        let is = section.texts("is");
        if is.as_ref().is_some_and(Vec::is_empty) {
            section.error("is", "is lists nothing, so that it never holds");
        }
        let slot = field.map(|field| compile.slot(&section, "field", &field));
        section.finish();
        let is = is?.iter().map(|text| text.trim().to_owned()).collect();
        Some(Condition { slot: slot?, is })
    }

    /// Whether the record meets it.
    pub fn holds(&self, record: &Record) -> bool {
        record.texts(self.slot).any(|text| {
            let text = trim(text);
            self.is.iter().any(|wanted| wanted == text)
        })
    }
}
