//! CSV records.

use crate::model::Record;

use super::text::Text;
use super::{Csv, Layout, Mark, Unsound};

/// A stream of records.
pub(super) struct CsvReader {
    text: Text,
}

impl CsvReader {
    pub(super) fn open(text: Text, _dialect: &Csv, _selectors: &[String]) -> Result<Self, Unsound> {
        Ok(CsvReader { text })
    }

    pub(super) fn resume(
        text: Text,
        _dialect: &Csv,
        _selectors: &[String],
        _layout: &Layout,
        _mark: Mark,
    ) -> Result<Self, Unsound> {
        Ok(CsvReader { text })
    }

    pub(super) fn layout(&self) -> Layout {
        Layout { encoding: self.text.encoding().name().to_owned(), ..Layout::default() }
    }

    pub(super) fn next(&mut self, _record: &mut Record) -> Result<bool, Unsound> {
        Err(Unsound {
            rule: "csv",
            line: self.text.line(),
            byte: self.text.byte(),
            what: "this format is not read".to_owned(),
            advice: "name another format".to_owned(),
        })
    }
}
