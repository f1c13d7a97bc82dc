//! NDJSON records.

use crate::model::Record;

use super::text::Text;
use super::{Layout, Mark, Unsound};

/// A stream of records.
pub(super) struct NdjsonReader {
    text: Text,
}

impl NdjsonReader {
    pub(super) fn open(text: Text, _selectors: &[String]) -> Result<Self, Unsound> {
        Ok(NdjsonReader { text })
    }

    pub(super) fn resume(
        text: Text,
        _selectors: &[String],
        _layout: &Layout,
        _mark: Mark,
    ) -> Result<Self, Unsound> {
        Ok(NdjsonReader { text })
    }

    pub(super) fn layout(&self) -> Layout {
        Layout { encoding: self.text.encoding().name().to_owned(), ..Layout::default() }
    }

    pub(super) fn next(&mut self, _record: &mut Record) -> Result<bool, Unsound> {
        Err(Unsound {
            rule: "ndjson",
            line: self.text.line(),
            byte: self.text.byte(),
            what: "this format is not read".to_owned(),
            advice: "name another format".to_owned(),
        })
    }
}
