//! Row: the columns that the `to` names of a mapping make in CSV (RFC 4180), written by one pass
//! over them.

use super::field::Field;
use super::report::Report;

/// What ends a line (RFC 4180, section 2.1).
pub const LINE_END: &[u8] = b"\r\n";

const DELIMITER: u8 = b',';

/// The columns, in the order of the mapping.
#[derive(Debug, Default)]
pub struct Row {
    columns: Vec<Column>,
}

/// A column. Several fields only if each has a `when`: the first that applies wins.
#[derive(Debug)]
struct Column {
    name: String,
    fields: Vec<Field>,
}

impl Row {
    /// Adds a field to the column of this name, which is made where it is not there.
    pub fn add(&mut self, name: String, field: Field) {
        match self.columns.iter_mut().find(|column| column.name == name) {
            Some(column) => column.fields.push(field),
            None => self.columns.push(Column { name, fields: vec![field] }),
        }
    }

    /// The header line.
    pub fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                header.push(DELIMITER);
            }
            push_cell(&column.name, &mut header);
        }
        header.extend_from_slice(LINE_END);
        header
    }

    /// Appends a line to `out`, without its end.
    pub fn write(&self, report: &mut Report<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(DELIMITER);
            }
            Field::write_first(&column.fields, report, |text| {
                push_cell(text, out);
                Ok(())
            });
        }
        if out.len() == start {
            // Readers skip a line with nothing on it.
            out.extend_from_slice(b"\"\"");
        }
    }
}

/// Appends a text as a field, in quotes where it needs them (RFC 4180, sections 2.6 and 2.7).
fn push_cell(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, &DELIMITER | b'"' | b'\r' | b'\n')) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stands_in_quotes_only_where_it_needs_them() {
        let cell = |text: &str| {
            let mut out = Vec::new();
            push_cell(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(cell(" plain; é "), " plain; é ");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("the \"Star\""), "\"the \"\"Star\"\"\"");
        assert_eq!(cell("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell("two\rlines"), "\"two\rlines\"");
    }
}
