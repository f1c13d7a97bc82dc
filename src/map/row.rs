//! Row: the columns that the `to` names of a mapping make in CSV (RFC 4180), written by one pass
//! over them.

use super::field::{Broken, Field};
use super::report::Report;
use crate::model::Level;

/// The rule that a value breaks which cannot stand in a line.
const RULE: &str = "csv";

/// The columns, in the order of the mapping.
#[derive(Debug)]
pub struct Row {
    columns: Vec<Column>,
    signs: Signs,
}

/// What parts and encloses the fields of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Stands between two fields.
    pub delimiter: u8,
    /// Encloses a field that needs it; none: no field may need it.
    pub quote: Option<u8>,
}

/// A column. Several fields only if each has a `when`: the first that applies wins.
#[derive(Debug)]
struct Column {
    name: String,
    fields: Vec<Field>,
}

impl Row {
    /// A line without columns.
    pub fn new(signs: Signs) -> Row {
        Row { columns: Vec::new(), signs }
    }

    /// Adds a field to the column of this name, which is made where it is not there.
    pub fn add(&mut self, name: String, field: Field) {
        match self.columns.iter_mut().find(|column| column.name == name) {
            Some(column) => column.fields.push(field),
            None => self.columns.push(Column { name, fields: vec![field] }),
        }
    }

    /// The header line, without its end.
    pub fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                header.push(self.signs.delimiter);
            }
            // Whether it can be written was looked at when the mapping was compiled.
            let _ = self.signs.push_cell(&column.name, &mut header);
        }
        header
    }

    /// Appends a line to `out`, without its end.
    pub fn write(&self, report: &mut Report<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(self.signs.delimiter);
            }
            Field::write_first(&column.fields, report, |text| self.signs.push_cell(text, out));
        }
        if out.len() > start || report.rejected {
            return;
        }
        // Readers skip a line with nothing on it.
        match self.signs.quote {
            Some(quote) => out.extend([quote, quote]),
            None => {
                let advice = "there is nothing to write, and a line with nothing on it is skipped \
                              by readers; let [output] have a quote";
                report.note(Level::Reject, "", "", RULE, advice.to_owned());
            }
        }
    }
}

impl Signs {
    /// As RFC 4180 has them.
    pub const COMMA: Signs = Signs { delimiter: b',', quote: Some(b'"') };

    /// Appends a text as a field, in quotes where it needs them (RFC 4180, sections 2.6 and 2.7).
    /// Where there are none, the error is that it does.
    pub fn push_cell(self, text: &str, out: &mut Vec<u8>) -> Result<(), Broken> {
        let bytes = text.as_bytes();
        let needs_quotes = |byte: &u8| {
            *byte == self.delimiter || Some(*byte) == self.quote || matches!(byte, b'\r' | b'\n')
        };
        if !bytes.iter().any(needs_quotes) {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let Some(quote) = self.quote else {
            let advice = format!(
                "the value holds a line end or the delimiter \"{}\", and [output] has no quote; \
                 take it out with clean = [{{ remove = \"…\" }}], or choose other signs",
                char::from(self.delimiter)
            );
            return Err((RULE, advice));
        };
        out.push(quote);
        for byte in bytes {
            if *byte == quote {
                out.push(quote);
            }
            out.push(*byte);
        }
        out.push(quote);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stands_in_quotes_only_where_it_needs_them() {
        let cell = |text: &str| {
            let mut out = Vec::new();
            Signs::COMMA.push_cell(text, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(cell(" plain; é "), " plain; é ");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("the \"Star\""), "\"the \"\"Star\"\"\"");
        assert_eq!(cell("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell("two\rlines"), "\"two\rlines\"");
    }

    #[test]
    fn without_quotes_no_field_may_need_them() {
        let signs = Signs { delimiter: b';', quote: None };
        let mut out = Vec::new();
        signs.push_cell("5\" x, y", &mut out).unwrap();
        assert_eq!(out, b"5\" x, y");
        for text in ["a;b", "a\nb", "a\rb"] {
            let (rule, advice) = signs.push_cell(text, &mut out).unwrap_err();
            assert!(rule == "csv" && advice.contains("no quote"), "{advice}");
        }
        assert_eq!(out, b"5\" x, y");
    }
}
