//! Signs: the delimiter and the quote of one file, where the mapping leaves them to be found. The
//! head of the file decides, in the same way for the same bytes; what stays open is not guessed.

use super::row::{Split, Splitter};
use crate::read::text::Text;
use crate::read::{Csv, Quote, Signs, Unsound};

/// How much of a file is looked at.
const HEAD: usize = 64 * 1024;

/// A row that goes on for more lines beyond the head was opened by a quote that is none.
const LINES: usize = 20;

/// The delimiters that are looked for; of equals the first is taken where it makes no difference.
const DELIMITERS: [u8; 4] = [b';', b',', b'\t', b'|'];

/// Finds the signs of a file that stands before its header, or first row. A line `sep=;` above it
/// has named the delimiter already.
pub(super) fn find(text: &mut Text, dialect: &Csv, named: Option<u8>) -> Result<Signs, Unsound> {
    let delimiter = named.or(dialect.delimiter);
    if let (Some(delimiter), Some(quote)) = (delimiter, dialect.quote.told()) {
        return Ok(Signs { delimiter, quote });
    }
    // What cannot be read is told when it is reached.
    while text.ahead().len() <= HEAD && text.more().unwrap_or(false) {}
    let ahead = text.ahead();
    let head = &ahead[..ahead.floor_char_boundary(HEAD)];
    let whole = head.len() == ahead.len();
    let told;
    let delimiters = match delimiter {
        Some(delimiter) => {
            told = [delimiter];
            &told[..]
        }
        None => &DELIMITERS[..],
    };
    let trials: Vec<Trial> = delimiters
        .iter()
        .filter(|delimiter| dialect.quote.told() != Some(Some(**delimiter)))
        .map(|delimiter| Trial::best(head, whole, *delimiter, dialect.quote))
        .collect();
    let chosen = match trials.as_slice() {
        [one] => Ok(one),
        _ => choose(&trials, dialect.header),
    };
    let signs = chosen.and_then(|trial| match &trial.open {
        None => Ok(Signs { delimiter: trial.delimiter, quote: trial.quote }),
        Some(open) => Err((open.clone(), QUOTE_ADVICE.to_owned())),
    });
    signs.map_err(|(what, advice)| Unsound {
        rule: "dialect",
        line: text.line(),
        byte: text.byte(),
        what,
        advice,
    })
}

/// The delimiter that a line such as `sep=;` names, with which files for Excel may begin.
pub(super) fn named(line: &str) -> Option<u8> {
    let bare = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line);
    match bare.as_bytes() {
        [name @ .., sign] if name.eq_ignore_ascii_case(b"sep=") => {
            let parts = *sign == b'\t' || sign.is_ascii_punctuation() && *sign != b'"';
            parts.then_some(*sign)
        }
        _ => None,
    }
}

const QUOTE_ADVICE: &str = "set quote = \"\\\"\" under [input] in the mapping if quotes enclose \
                            fields, or quote = \"none\" if they are ordinary characters";

/// The head of a file, split with one pair of signs.
struct Trial {
    delimiter: u8,
    quote: Option<u8>,
    /// Why the quote stays open, if it does.
    open: Option<String>,
    /// The fields of the first row.
    columns: usize,
    /// The rows below it, and how many of them have as many fields.
    rows: usize,
    fitting: usize,
    quoted: Quoted,
}

/// How the fields of some rows are quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quoted {
    /// Fields that open and close with a quote.
    pub(super) well: usize,
    /// Fields that open with a quote, and hold another that is neither doubled nor their end.
    pub(super) badly: usize,
    /// Those of them that end with a quote all the same.
    pub(super) framed: usize,
}

impl Trial {
    /// Splits with the quote that fits best.
    fn best(head: &str, whole: bool, delimiter: u8, quote: Quote) -> Trial {
        let with = |quote| Trial::of(head, whole, delimiter, quote);
        if let Some(told) = quote.told() {
            return with(told);
        }
        let double = with(Some(b'"'));
        let Quoted { well, badly, framed } = double.quoted;
        match (well, badly) {
            (0, 0) => {
                let single = with(Some(b'\''));
                let Quoted { well, badly, .. } = single.quoted;
                if well > 0 && badly == 0 { single } else { double }
            }
            (0, _) if framed == 0 => with(None),
            _ if well >= badly => double,
            _ => {
                let open = format!(
                    "it cannot be told whether quotes enclose fields: {well} fields are quoted \
                     well, and {badly} hold quotes that are not doubled"
                );
                Trial { open: Some(open), ..double }
            }
        }
    }

    fn of(head: &str, whole: bool, delimiter: u8, quote: Option<u8>) -> Trial {
        let mut trial = Trial {
            delimiter,
            quote,
            open: None,
            columns: 0,
            rows: 0,
            fitting: 0,
            quoted: Quoted::default(),
        };
        let Ok(mut splitter) = Splitter::new(delimiter, quote) else { return trial };
        let mut at = 0;
        loop {
            let ahead = &head[at..];
            match splitter.split(ahead, whole) {
                Split::Row(row) => {
                    let fields = splitter.fields(ahead, row);
                    if trial.columns == 0 {
                        trial.columns = fields;
                    } else {
                        trial.rows += 1;
                        trial.fitting += usize::from(fields == trial.columns);
                    }
                    let quoted = splitter.quoted(ahead, row).0;
                    trial.quoted.well += quoted.well;
                    trial.quoted.badly += quoted.badly;
                    trial.quoted.framed += quoted.framed;
                    at += row.length();
                }
                Split::Blank(row) => at += row.length(),
                Split::Unclosed { .. } => {
                    trial.quoted.badly += 1;
                    return trial;
                }
                Split::Short => {
                    let lines = memchr::memchr2_iter(b'\r', b'\n', ahead.as_bytes()).count();
                    trial.quoted.badly += usize::from(lines > LINES);
                    return trial;
                }
                Split::End => return trial,
            }
        }
    }

    /// How well the rows fit; the best of several is taken if it is alone.
    fn rank(&self, header: bool) -> (u8, usize) {
        let fit = u8::from(2 * self.fitting >= self.rows);
        match header {
            // A header proves itself against the mapping: a wrong choice would find no column.
            true => (fit, self.columns),
            false => (fit + u8::from(self.fitting == self.rows), 0),
        }
    }
}

/// The one delimiter that fits, or what is open and what to do about it.
fn choose(trials: &[Trial], header: bool) -> Result<&Trial, (String, String)> {
    let parting: Vec<&Trial> = trials.iter().filter(|trial| trial.columns > 1).collect();
    let Some(best) = parting.iter().map(|trial| trial.rank(header)).max() else {
        // One column: the delimiter must only not stand in it.
        let alone = trials.iter().find(|trial| trial.fitting == trial.rows);
        return alone.ok_or_else(|| open(trials.iter()));
    };
    let mut fitting = parting.into_iter().filter(|trial| trial.rank(header) == best);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (one, other) => Err(open(one.into_iter().chain(other).chain(fitting))),
    }
}

fn open<'t>(trials: impl Iterator<Item = &'t Trial>) -> (String, String) {
    let signs: Vec<String> =
        trials.map(|trial| format!("{:?}", char::from(trial.delimiter).to_string())).collect();
    (
        format!("the delimiter cannot be told: {} fit alike", signs.join(" and ")),
        "set delimiter under [input] in the mapping, as delimiter = \";\"".to_owned(),
    )
}

#[cfg(test)]
mod tests;
