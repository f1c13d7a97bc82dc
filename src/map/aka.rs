//! AKA tables: "also known as". What a party calls a code, and what the standard calls it; both
//! ways. Compiled once, looked up without copying.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::clean::trim;
use super::table::{self, Row};
use super::{Context, Direction};
use crate::config::Faults;

/// A table that is ready for lookups.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    fold: bool,
    by_alias: Groups,
    by_code: Groups,
}

/// Rows by a key. The keys come from the provider's own files, never from what is mapped, so that
/// nobody can choose them to collide, and a plain hash does.
type Groups = HashMap<Box<str>, Vec<Row>, BuildHasherDefault<Fnv>>;

/// What a table says of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'t> {
    /// Its code.
    Found(&'t str),
    /// There is no such row.
    Unknown,
    /// There are rows, but none holds on the day.
    Expired,
    /// The alias was looked up without a second key, and means different codes within these two.
    Several(&'t str, &'t str),
}

impl Table {
    /// Compiles a table's text; with `fold`, upper and lower case are the same. Faults are noted.
    ///
    /// Rows that give one alias two codes on one day, for the same customer and second key,
    /// contradict each other where aliases are read: that is a fault with both lines. On the way
    /// out one alias may stand for several codes.
    pub fn parse(
        name: &str,
        file: &Path,
        text: &str,
        fold: bool,
        direction: Direction,
        faults: &Faults,
    ) -> Table {
        let mut rows = table::rows(file, text, faults);
        if fold {
            for row in &mut rows {
                row.within = row.within.to_lowercase();
            }
        }
        let key = |text: &str| if fold { text.to_lowercase() } else { text.to_owned() };
        let by_code = groups(rows.clone(), |row| key(&row.code));
        let mut by_alias = groups(rows, |row| key(&row.alias));
        for rows in by_alias.values_mut() {
            rows.sort_by(|a, b| (&a.within, a.line).cmp(&(&b.within, b.line)));
            if direction == Direction::In {
                contradictions(rows, file, faults);
            }
        }
        Table { name: name.to_owned(), file: file.to_owned(), fold, by_alias, by_code }
    }

    /// Alias to code. `within` is the second key where the field has one; an empty one fits only
    /// rows without.
    ///
    /// A customer's own row beats a general one; then a row of this second key beats one of any.
    pub fn code(&self, alias: &str, within: Option<&str>, context: &Context) -> Lookup<'_> {
        let rows = self.normal(alias, |alias| self.by_alias.get(alias));
        let Some(rows) = rows else { return Lookup::Unknown };
        match within {
            Some(within) => self.normal(within, |within| code_within(rows, within, context)),
            None => code_anywhere(rows, context),
        }
    }

    /// Code to alias: the first such row of the file, where a customer's own row beats a general
    /// one. `within` as for [`Table::code`], but without it any row fits.
    ///
    /// A row is passed over if another, that beats it, gives its alias another code: who reads the
    /// alias would take it for that.
    pub fn alias(&self, code: &str, within: Option<&str>, context: &Context) -> Lookup<'_> {
        let Some(rows) = self.normal(code, |code| self.by_code.get(code)) else {
            return Lookup::Unknown;
        };
        let folded = within.map(|within| self.normal(within, str::to_owned));
        let fits = |row: &&Row| {
            folded.as_ref().is_none_or(|within| row.within.is_empty() || row.within == *within)
        };
        let rank =
            |row: &Row| (!row.customer.is_empty(), within.is_some() && !row.within.is_empty());
        let means_it = |row: &&Row| {
            let others = self.normal(&row.alias, |alias| self.by_alias.get(alias));
            let beats = |other: &&Row| {
                holds(other, context)
                    && fits(other)
                    && rank(other) > rank(row)
                    && !self.same(&other.code, &row.code)
            };
            !others.into_iter().flatten().any(|other| beats(&other))
        };
        let fitting = rows.iter().filter(fits);
        let mut usable = fitting.clone().filter(|row| holds(row, context)).filter(means_it);
        let Some(first) = usable.clone().next() else {
            let expired = |row: &Row| is_ours(row, context) && !holds(row, context);
            return if fitting.clone().any(expired) { Lookup::Expired } else { Lookup::Unknown };
        };
        let own = usable.find(|row| !row.customer.is_empty());
        Lookup::Found(&own.unwrap_or(first).alias)
    }

    /// Whether two texts are the same to this table.
    fn same(&self, one: &str, other: &str) -> bool {
        self.normal(one, |one| self.normal(other, |other| one == other))
    }

    /// The alias, among those that the customer may use, that is most like one that is not there;
    /// `None` if none is near enough to be meant.
    pub fn nearest(&self, alias: &str, context: &Context) -> Option<&str> {
        // A bad file asks this for every record, so that it must stay cheap.
        const MOST: usize = 2000;
        if self.by_alias.len() > MOST {
            return None;
        }
        self.normal(alias, |alias| {
            let near = |known: &str| {
                known.len().abs_diff(alias.len()) <= 2
                    && known.chars().next() == alias.chars().next()
            };
            self.by_alias
                .iter()
                .filter(|(known, _)| near(known))
                .map(|(known, rows)| (strsim::jaro_winkler(alias, known), rows))
                .filter(|(likeness, _)| *likeness > 0.8)
                .filter_map(|(likeness, rows)| {
                    Some((likeness, rows.iter().find(|row| holds(row, context))?.alias.as_str()))
                })
                .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
                .map(|(_, alias)| alias)
        })
    }

    /// Hands on a text as the table's keys are written: trimmed, NFC, folded. The common text is
    /// ASCII and costs no allocation.
    fn normal<R>(&self, text: &str, then: impl FnOnce(&str) -> R) -> R {
        let text = trim(text);
        let composed = match text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
            true => Cow::Borrowed(text),
            false => Cow::Owned(text.nfc().collect()),
        };
        if !self.fold {
            return then(&composed);
        }
        let mut buffer = [0; 64];
        match buffer.get_mut(..composed.len()) {
            Some(lower) if composed.is_ascii() => {
                lower.copy_from_slice(composed.as_bytes());
                lower.make_ascii_lowercase();
                then(std::str::from_utf8(lower).unwrap_or_default())
            }
            _ => then(&composed.to_lowercase()),
        }
    }
}

/// Groups rows by a key; in a group they keep the order of the file.
fn groups(rows: Vec<Row>, key: impl Fn(&Row) -> String) -> Groups {
    let mut groups: Groups = Groups::default();
    for row in rows {
        groups.entry(key(&row).into()).or_default().push(row);
    }
    groups
}

/// Notes rows of one alias, sorted by second key, that do not agree.
fn contradictions(rows: &[Row], file: &Path, faults: &Faults) {
    for same in rows.chunk_by(|a, b| a.within == b.within) {
        let mut same: Vec<&Row> = same.iter().collect();
        same.sort_by_key(|row| (&row.customer, row.from, row.line));
        for same in same.chunk_by(|a, b| a.customer == b.customer) {
            for (place, row) in same.iter().enumerate() {
                let against = same[place + 1..]
                    .iter()
                    .take_while(|other| other.from <= row.until)
                    .find(|other| other.code != row.code);
                if let Some(other) = against {
                    let (first, second) =
                        if row.line < other.line { (row, other) } else { (other, row) };
                    let what = format!(
                        "\"{}\" is {} here, but {} on line {}: correct one, or give them days \
                         that do not overlap",
                        second.alias, second.code, first.code, first.line
                    );
                    faults.error(file, second.line, what);
                }
            }
        }
    }
}

/// The hash FNV-1a of Fowler, Noll and Vo, which is quick on keys as short as codes are.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn holds(row: &Row, context: &Context) -> bool {
    (row.customer.is_empty() || row.customer == context.customer)
        && row.from <= context.date
        && context.date <= row.until
}

/// Finds a code among the rows of one alias that have this second key or none.
fn code_within<'t>(rows: &'t [Row], within: &str, context: &Context) -> Lookup<'t> {
    // Rows are sorted by second key, and those without one come first.
    let any = rows.iter().take_while(|row| row.within.is_empty());
    let own = match within {
        "" => &[],
        _ => {
            let start = rows.partition_point(|row| row.within.as_str() < within);
            &rows[start..]
        }
    };
    let own = own.iter().take_while(|row| row.within == within);
    let mut best: Option<(u8, &Row)> = None;
    let mut expired = false;
    for row in own.chain(any) {
        if !holds(row, context) {
            expired |= is_ours(row, context);
            continue;
        }
        let rank = u8::from(!row.customer.is_empty()) * 2 + u8::from(!row.within.is_empty());
        if best.is_none_or(|(beaten, _)| rank > beaten) {
            best = Some((rank, row));
        }
    }
    match best {
        Some((_, row)) => Lookup::Found(&row.code),
        None if expired => Lookup::Expired,
        None => Lookup::Unknown,
    }
}

/// Finds a code among the rows of one alias where the field has no second key.
fn code_anywhere<'t>(rows: &'t [Row], context: &Context) -> Lookup<'t> {
    if let [row] = rows
        && holds(row, context)
    {
        return Lookup::Found(&row.code);
    }
    for general in [false, true] {
        let mut fitting =
            rows.iter().filter(|row| row.customer.is_empty() == general && holds(row, context));
        let Some(first) = fitting.next() else { continue };
        // A row without a second key stands first, and holds everywhere.
        let differs = |row: &&Row| !first.within.is_empty() && row.code != first.code;
        return match fitting.find(differs) {
            Some(other) => Lookup::Several(&first.within, &other.within),
            None => Lookup::Found(&first.code),
        };
    }
    match rows.iter().any(|row| is_ours(row, context)) {
        true => Lookup::Expired,
        false => Lookup::Unknown,
    }
}

fn is_ours(row: &Row, context: &Context) -> bool {
    row.customer.is_empty() || row.customer == context.customer
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date};

    use super::*;

    fn table(text: &str, fold: bool) -> (Table, Vec<String>) {
        let faults = Faults::default();
        let table =
            Table::parse("terminals", Path::new("t.csv"), text, fold, Direction::In, &faults);
        (table, faults.take().iter().map(|fault| fault.to_string()).collect())
    }

    fn sound(text: &str, fold: bool) -> Table {
        let (table, faults) = table(text, fold);
        assert_eq!(faults, Vec::<String>::new());
        table
    }

    fn on(customer: &str, date: Date) -> Context {
        Context { customer: customer.to_owned(), date }
    }

    fn acme() -> Context {
        on("acme", date(2026, 11, 22))
    }

    #[test]
    fn an_alias_is_found_after_trimming_and_composing() {
        let table = sound("alias,code\nGateway,1700\nCaf\u{e9},C1\n", false);
        assert_eq!(table.code(" Gateway\u{a0}", None, &acme()), Lookup::Found("1700"));
        assert_eq!(table.code("Cafe\u{301}", None, &acme()), Lookup::Found("C1"));
        assert_eq!(table.code("gateway", None, &acme()), Lookup::Unknown);
        assert_eq!(table.code("", None, &acme()), Lookup::Unknown);
    }

    #[test]
    fn case_is_ignored_where_the_field_says_so() {
        let table = sound("alias,code,within\nGateway,1700,BEANR\nÉté,E1,\n", true);
        assert_eq!(table.code("GATEWAY", Some("beanr"), &acme()), Lookup::Found("1700"));
        assert_eq!(table.code("ÉTÉ", Some(""), &acme()), Lookup::Found("E1"));
        let long = "x".repeat(100);
        assert_eq!(table.code(&long, None, &acme()), Lookup::Unknown);
        assert_eq!(table.alias("1700", Some("BeAnr"), &acme()), Lookup::Found("Gateway"));
        assert_eq!(table.alias("e1", None, &acme()), Lookup::Found("Été"));
    }

    #[test]
    fn the_second_key_tells_codes_apart() {
        let table = sound(
            "alias,code,within\nT1,A1,BEANR\nT1,R1,NLRTM\nT2,X2,\nT2,A2,BEANR\nT3,Y,BEANR\nT3,Y,NLRTM\n",
            false,
        );
        assert_eq!(table.code("T1", Some("BEANR"), &acme()), Lookup::Found("A1"));
        assert_eq!(table.code("T1", Some(" NLRTM "), &acme()), Lookup::Found("R1"));
        assert_eq!(table.code("T1", Some("DEHAM"), &acme()), Lookup::Unknown);
        assert_eq!(table.code("T1", Some(""), &acme()), Lookup::Unknown);
        assert_eq!(table.code("T1", None, &acme()), Lookup::Several("BEANR", "NLRTM"));
        assert_eq!(table.code("T2", Some("BEANR"), &acme()), Lookup::Found("A2"));
        assert_eq!(table.code("T2", Some("DEHAM"), &acme()), Lookup::Found("X2"));
        assert_eq!(table.code("T2", None, &acme()), Lookup::Found("X2"));
        assert_eq!(table.code("T3", None, &acme()), Lookup::Found("Y"));
    }

    #[test]
    fn a_customers_own_row_beats_a_general_one() {
        let table = sound(
            "alias,code,within,customer\nT,G,,\nT,GB,BEANR,\nT,O,,acme\nT,N,BEANR,noord\nS,X,,noord\n",
            false,
        );
        let noord = on("noord", date(2026, 1, 1));
        let other = on("other", date(2026, 1, 1));
        assert_eq!(table.code("T", Some("BEANR"), &acme()), Lookup::Found("O"));
        assert_eq!(table.code("T", Some("BEANR"), &noord), Lookup::Found("N"));
        assert_eq!(table.code("T", Some("BEANR"), &other), Lookup::Found("GB"));
        assert_eq!(table.code("T", None, &other), Lookup::Found("G"));
        assert_eq!(table.code("S", None, &other), Lookup::Unknown);
        assert_eq!(table.code("S", Some("BEANR"), &noord), Lookup::Found("X"));
    }

    #[test]
    fn both_days_of_validity_are_inclusive() {
        let table = sound(
            "alias,code,valid_from,valid_until\nT,OLD,,2026-06-30\nT,NEW,2026-07-01,2026-12-31\n",
            false,
        );
        let at = |month, day, year| table.code("T", None, &on("acme", date(year, month, day)));
        assert_eq!(at(6, 30, 2026), Lookup::Found("OLD"));
        assert_eq!(at(7, 1, 2026), Lookup::Found("NEW"));
        assert_eq!(at(12, 31, 2026), Lookup::Found("NEW"));
        assert_eq!(at(1, 1, 2027), Lookup::Expired);
        let within = table.code("T", Some("BEANR"), &on("acme", date(2027, 1, 1)));
        assert_eq!(within, Lookup::Expired);
    }

    #[test]
    fn the_way_back_takes_the_first_row_and_the_customers_own() {
        let table = sound(
            "alias,code,within,customer,valid_until\n\
             Old,1700,,,2020-12-31\nGate,1700,BEANR,,\nGateway,1700,,,\nOurs,1700,,acme,\n",
            false,
        );
        let other = on("other", date(2026, 1, 1));
        assert_eq!(table.alias("1700", None, &other), Lookup::Found("Gate"));
        assert_eq!(table.alias(" 1700", Some("NLRTM"), &other), Lookup::Found("Gateway"));
        assert_eq!(table.alias("1700", Some("BEANR"), &other), Lookup::Found("Gate"));
        assert_eq!(table.alias("1700", None, &acme()), Lookup::Found("Ours"));
        assert_eq!(table.alias("1701", None, &acme()), Lookup::Unknown);
        let past = sound("alias,code,valid_until\nOld,1700,2020-12-31\n", false);
        assert_eq!(past.alias("1700", None, &acme()), Lookup::Expired);
    }

    #[test]
    fn an_alias_that_means_another_code_here_is_not_taken() {
        let table =
            sound("alias,code,within,customer\nT,G,,\nT,GB,BEANR,\nT,O,,acme\nU,G,,\n", false);
        let other = on("other", date(2026, 1, 1));
        assert_eq!(table.alias("G", Some("DEHAM"), &other), Lookup::Found("T"));
        assert_eq!(table.alias("G", Some("BEANR"), &other), Lookup::Found("U"));
        assert_eq!(table.alias("GB", Some("BEANR"), &other), Lookup::Found("T"));
        assert_eq!(table.alias("G", None, &acme()), Lookup::Found("U"));
        assert_eq!(table.alias("O", None, &acme()), Lookup::Found("T"));
        assert_eq!(table.alias("GB", Some("BEANR"), &acme()), Lookup::Unknown);
    }

    #[test]
    fn rows_that_contradict_each_other_are_told_with_both_lines() {
        let text = "alias,code,within,customer,valid_from,valid_until\n\
                    T,A,,,,2026-06-30\n\
                    T,B,,,2026-06-30,\n\
                    T,A,,acme,,\n\
                    T,C,BEANR,,,\n\
                    T,A,,,,2026-01-01\n";
        assert_eq!(
            table(text, false).1,
            ["t.csv:3: \"T\" is B here, but A on line 2: correct one, or give them days that do \
              not overlap"]
        );
        let cases = "alias,code\nab,1\nAB,2\n";
        assert_eq!(table(cases, false).1, Vec::<String>::new());
        assert!(table(cases, true).1[0].starts_with("t.csv:3: \"AB\" is 2 here, but 1 on line 2"));
    }

    #[test]
    fn on_the_way_out_one_alias_may_stand_for_several_codes() {
        let (faults, text) = (Faults::default(), "alias,code\nANTW,1700\nANTW,913\nK,913\n");
        let table = Table::parse("t", Path::new("t.csv"), text, false, Direction::Out, &faults);
        assert!(faults.take().is_empty());
        assert_eq!(table.alias("1700", None, &acme()), Lookup::Found("ANTW"));
        assert_eq!(table.alias("913", None, &acme()), Lookup::Found("ANTW"));
        assert_eq!(table.alias("913", Some("BEANR"), &acme()), Lookup::Found("ANTW"));
    }

    #[test]
    fn a_near_alias_is_known() {
        let table = sound("alias,code,customer\nK913,1,\nGateway,2,\nOostpoort,3,noord\n", false);
        assert_eq!(table.nearest("K912", &acme()), Some("K913"));
        assert_eq!(table.nearest("Gatewya", &acme()), Some("Gateway"));
        assert_eq!(table.nearest("zzz", &acme()), None);
        assert_eq!(table.nearest("Oostpoort1", &acme()), None);
    }
}
