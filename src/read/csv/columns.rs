//! Columns: the names of a CSV file's columns, and which of them the selectors mean.

use unicode_normalization::UnicodeNormalization;

/// The columns of one file, in order.
pub(super) struct Columns {
    /// Their names, trimmed and in NFC.
    pub(super) names: Vec<String>,
    pub(super) from: Names,
}

/// Where the names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The file's header.
    Header,
    /// "1", "2", …, as many as the first row has fields.
    Numbers,
}

impl Columns {
    pub(super) fn named<'a>(header: impl Iterator<Item = &'a str>) -> Columns {
        Columns { names: header.map(plain).collect(), from: Names::Header }
    }

    pub(super) fn numbered(count: usize) -> Columns {
        let names = (1..=count).map(|number| number.to_string()).collect();
        Columns { names, from: Names::Numbers }
    }

    /// For each selector the position of its column, or what is wrong with all that have none or
    /// several, and what to do about it.
    pub(super) fn slots(&self, selectors: &[String]) -> Result<Vec<usize>, (String, String)> {
        let mut slots = Vec::with_capacity(selectors.len());
        let mut missing = Vec::new();
        let mut repeated = Vec::new();
        for selector in selectors {
            let wanted = plain(selector);
            let mut found = (0..self.names.len()).filter(|at| self.names[*at] == wanted);
            match (found.next(), found.count()) {
                (Some(at), 0) => slots.push(at),
                (Some(_), _) if !repeated.contains(&wanted) => repeated.push(wanted),
                (None, _) if !missing.contains(&wanted) => missing.push(wanted),
                _ => {}
            }
        }
        if missing.is_empty() && repeated.is_empty() {
            return Ok(slots);
        }
        let mut what = Vec::new();
        let mut advice = Vec::new();
        if !missing.is_empty() {
            what.push(format!("there is no column {}", list(&missing)));
            if !self.are_one() {
                advice.extend(missing.iter().filter_map(|name| self.nearest(name)));
            }
            advice.push(format!("{}; correct the header or the mapping", self.all()));
        }
        if !repeated.is_empty() {
            what.push(format!("there is more than one column {}", list(&repeated)));
            advice.push("give each column a name of its own".to_owned());
        }
        Err((what.join(" and "), advice.join("; ")))
    }

    /// How many there are, as a sentence.
    pub(super) fn count(&self) -> String {
        let what = match self.from {
            Names::Header => "the header",
            Names::Numbers => "the first row",
        };
        match self.names.len() {
            1 => format!("{what} has 1 column"),
            count => format!("{what} has {count} columns"),
        }
    }

    /// Whether the whole header is one column that holds what may be another delimiter.
    fn are_one(&self) -> bool {
        self.from == Names::Header
            && matches!(self.names.as_slice(), [one] if one.contains([',', ';', '\t', '|']))
    }

    fn nearest(&self, name: &str) -> Option<String> {
        if self.from == Names::Numbers {
            return None;
        }
        let lower = name.to_lowercase();
        let near =
            |other: &String| strsim::normalized_damerau_levenshtein(&lower, &other.to_lowercase());
        let nearest = self.names.iter().max_by(|a, b| near(a).total_cmp(&near(b)))?;
        Some(format!("the nearest to \"{}\" is \"{}\"", short(name), short(nearest)))
    }

    fn all(&self) -> String {
        match (self.from, self.names.as_slice()) {
            (Names::Numbers, names) => format!("the columns are named 1 to {}", names.len()),
            (Names::Header, _) if self.are_one() => {
                "the whole header is one column, so the delimiter may be another".to_owned()
            }
            (Names::Header, names) => {
                format!("{}: {}", self.count(), list(&names[..names.len().min(20)]))
            }
        }
    }
}

/// A name as it is compared: without blanks around it, composed (Unicode Standard Annex 15, NFC).
fn plain(name: &str) -> String {
    name.trim().nfc().collect()
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{}\"", short(name))).collect();
    quoted.join(", ")
}

fn short(name: &str) -> String {
    match name.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}
