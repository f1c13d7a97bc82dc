//! The file of an AKA table: a CSV with a header, read row by row into rows that can be trusted,
//! or faults with their lines.

use std::path::Path;

use jiff::civil::Date;
use unicode_normalization::UnicodeNormalization;

use crate::config::Faults;
use crate::config::section::nearest;

/// One row: an alias and the code it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: usize,
    /// What the customer's system says.
    pub alias: String,
    /// What the standard says.
    pub code: String,
    /// The second key; empty: any.
    pub within: String,
    /// The customer whose row it is; empty: everybody's.
    pub customer: String,
    /// The first day on which it holds.
    pub from: Date,
    /// The last day on which it holds.
    pub until: Date,
}

const COLUMNS: [&str; 6] = ["alias", "code", "within", "customer", "valid_from", "valid_until"];

/// Reads the rows of a table's text; all texts are trimmed and in Unicode NFC. Faults are noted.
pub fn rows(file: &Path, text: &str, faults: &Faults) -> Vec<Row> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut lines = Lines { text: text.as_bytes(), at: 0, line: 1 };
    let mut columns: Option<Columns> = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.error(file, 0, format!("the table cannot be read: {error}"));
                return rows;
            }
        };
        let line = lines.of(record.position().map_or(0, |position| position.byte() as usize));
        match &columns {
            None => match Columns::of(&record, file, line, faults) {
                Some(found) => columns = Some(found),
                None => return rows,
            },
            Some(columns) => rows.extend(columns.row(&record, file, line, faults)),
        }
    }
    if columns.is_none() {
        faults.error(file, 1, "the table is empty: its first line is alias,code");
    }
    rows
}

/// Trims, and composes what is decomposed (Unicode Standard Annex 15, form C).
pub fn normal(text: &str) -> String {
    text.trim().nfc().collect()
}

/// Where each of `COLUMNS` stands in a row.
struct Columns {
    width: usize,
    places: [Option<usize>; COLUMNS.len()],
}

impl Columns {
    fn of(
        header: &csv::StringRecord,
        file: &Path,
        line: usize,
        faults: &Faults,
    ) -> Option<Columns> {
        let mut columns = Columns { width: header.len(), places: [None; COLUMNS.len()] };
        let mut sound = true;
        let mut fault = |what: String| {
            faults.error(file, line, what);
            sound = false;
        };
        for (place, name) in header.iter().map(str::trim).enumerate() {
            match COLUMNS.iter().position(|column| *column == name) {
                Some(column) if columns.places[column].is_some() => {
                    fault(format!("the column \"{name}\" stands there twice"));
                }
                Some(column) => columns.places[column] = Some(place),
                None if header.len() == 1 && name.contains([';', '\t']) => {
                    fault("the columns must be separated by commas".to_owned());
                    return None;
                }
                None => fault(match nearest(name, COLUMNS.into_iter()) {
                    Some(near) => format!("unknown column \"{name}\": did you mean \"{near}\"?"),
                    None => {
                        format!("unknown column \"{name}\": known are {}", COLUMNS.join(", "))
                    }
                }),
            }
        }
        for (name, place) in COLUMNS.iter().zip(columns.places).take(2) {
            if place.is_none() {
                fault(format!("the column \"{name}\" is missing"));
            }
        }
        sound.then_some(columns)
    }

    fn row(
        &self,
        record: &csv::StringRecord,
        file: &Path,
        line: usize,
        faults: &Faults,
    ) -> Option<Row> {
        // A spreadsheet leaves rows of commas behind.
        if record.iter().all(|field| field.trim().is_empty()) {
            return None;
        }
        if record.len() != self.width {
            let what =
                format!("the header has {} columns, but the row has {}", self.width, record.len());
            faults.error(file, line, what);
            return None;
        }
        let field = |column: usize| {
            normal(self.places[column].and_then(|place| record.get(place)).unwrap_or_default())
        };
        let day = |column: usize, open: Date| match field(column).as_str() {
            "" => Some(open),
            text => {
                let day = super::pattern::Pattern::new("%Y-%m-%d").read(text);
                if day.is_none() {
                    let name = COLUMNS[column];
                    let what =
                        format!("{name} is \"{text}\", but must be a day such as 2026-12-31");
                    faults.error(file, line, what);
                }
                day.map(|moment| moment.local.date())
            }
        };
        let row = Row {
            line,
            alias: field(0),
            code: field(1),
            within: field(2),
            customer: field(3),
            from: day(4, Date::MIN)?,
            until: day(5, Date::MAX)?,
        };
        for (name, text) in COLUMNS.iter().zip([&row.alias, &row.code]) {
            if text.is_empty() {
                faults.error(file, line, format!("the row has no {name}"));
                return None;
            }
        }
        if row.from > row.until {
            let what = format!("valid_from {} is after valid_until {}", row.from, row.until);
            faults.error(file, line, what);
            return None;
        }
        Some(row)
    }
}

/// Counts lines up to a byte, moving forward only. CR, LF and CRLF end a line.
struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of the record that the CSV reader says starts at `byte`: it says so before it has
    /// passed the line ends in front of the record.
    fn of(&mut self, byte: usize) -> usize {
        while let Some(found) = self.text.get(self.at) {
            let end = matches!(found, b'\n' | b'\r');
            if self.at >= byte && !end {
                break;
            }
            let half = *found == b'\r' && self.text.get(self.at + 1) == Some(&b'\n');
            self.line += usize::from(end && !half);
            self.at += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Row>, Vec<String>) {
        let faults = Faults::default();
        let rows = rows(Path::new("t.csv"), text, &faults);
        (rows, faults.take().iter().map(|fault| fault.to_string()).collect())
    }

    #[test]
    fn columns_stand_in_any_order_and_texts_are_normal() {
        let (rows, faults) = read(
            "\u{feff}code,alias,valid_until, customer\n1700, \u{a0}Gateway e\u{301} ,2026-12-31,acme\n",
        );
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            rows,
            [Row {
                line: 2,
                alias: "Gateway \u{e9}".to_owned(),
                code: "1700".to_owned(),
                within: String::new(),
                customer: "acme".to_owned(),
                from: Date::MIN,
                until: jiff::civil::date(2026, 12, 31),
            }]
        );
    }

    #[test]
    fn rows_know_their_line_whatever_ends_it() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["alias,code", "a,1", "", ",", "\"b", "c\",2", "d,3"].join(end);
            let (rows, faults) = read(&text);
            assert_eq!(faults, Vec::<String>::new());
            let lines: Vec<usize> = rows.iter().map(|row| row.line).collect();
            assert_eq!(lines, [2, 5, 7], "{end:?}");
        }
    }

    #[test]
    fn a_faulty_header_is_told_once() {
        assert_eq!(
            read("alias;code\na;b\n").1,
            ["t.csv:1: the columns must be separated by commas"]
        );
        assert_eq!(
            read("alias,kode,alias\na,b,c\n").1,
            [
                "t.csv:1: unknown column \"kode\": did you mean \"code\"?",
                "t.csv:1: the column \"alias\" stands there twice",
                "t.csv:1: the column \"code\" is missing",
            ]
        );
        assert!(read("").1[0].starts_with("t.csv:1: the table is empty"));
    }

    #[test]
    fn every_faulty_row_is_told_with_its_line() {
        assert_eq!(
            read(
                "alias,code,valid_from,valid_until\n\
                 a,1,01/02/2026,\n\
                 b,2\n\
                 ,3,,\n\
                 d,,,\n\
                 e,5,2026-02-01,2026-01-31\n\
                 f,6,2026-02-30,\n"
            )
            .1,
            [
                "t.csv:2: valid_from is \"01/02/2026\", but must be a day such as 2026-12-31",
                "t.csv:3: the header has 4 columns, but the row has 2",
                "t.csv:4: the row has no alias",
                "t.csv:5: the row has no code",
                "t.csv:6: valid_from 2026-02-01 is after valid_until 2026-01-31",
                "t.csv:7: valid_from is \"2026-02-30\", but must be a day such as 2026-12-31",
            ]
        );
    }
}
