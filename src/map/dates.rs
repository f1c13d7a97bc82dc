//! Dates: from the customer's way of writing a date to the channel's. Local time is a time of the
//! field's time zone; one that a clock change skips or repeats is a problem, not a guess.

use jiff::Zoned;
use jiff::civil::{DateTime, date};
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::Direction;
use super::clean::trim;
use super::pattern::{Moment, Pattern, example};
use crate::config::Section;

/// The word for dates with their offset (RFC 3339, section 5.6).
const RFC3339: &str = "rfc3339";

/// The format that this word reads: seconds may have a fraction, and the offset may be `Z`.
const ANY_RFC3339: &str = "%Y-%m-%dT%H:%M:%S%.f%:z";

/// How a field's dates are read and written.
#[derive(Debug)]
pub struct Dates {
    read: Vec<Pattern>,
    zone: Option<TimeZone>,
    write: Write,
    /// What dates look like, for advice.
    looks: String,
}

#[derive(Debug)]
enum Write {
    Rfc3339,
    Local(Pattern),
    Instant(String),
}

impl Dates {
    /// Reads `date` of a field; faults are noted.
    pub fn parse(field: &mut Section, direction: Direction) -> Option<Dates> {
        let mut section = field.section("date")?;
        let sample = date(2026, 12, 31).at(23, 59, 58, 0);
        let formats = match (section.has("read"), direction) {
            (false, Direction::Out) => Some(vec![RFC3339.to_owned()]),
            (false, Direction::In) => {
                section.missing("read");
                None
            }
            (true, _) => section.texts("read"),
        };
        if formats.as_ref().is_some_and(Vec::is_empty) {
            section.error("read", "read lists no format");
        }
        let mut read = Vec::new();
        let mut looks = Vec::new();
        for format in formats.iter().flatten() {
            let format = if format == RFC3339 { ANY_RFC3339 } else { format };
            let pattern = Pattern::new(format);
            match example(format, sample) {
                Err(error) => section.error("read", format!("the format \"{format}\": {error}")),
                Ok(text) if pattern.read(&text).is_none() => section
                    .error("read", format!("the format \"{format}\" does not give a whole date")),
                Ok(text) => looks.push(text),
            }
            if pattern.has_literal_zulu() {
                section.warning(
                    "read",
                    format!("Z in \"{format}\" is a mere letter: %z reads it as UTC"),
                );
            }
            read.push(pattern);
        }
        let zone = section.time_zone("timezone");
        let write = match section.text("write").as_deref() {
            None | Some(RFC3339) => Write::Rfc3339,
            Some(format) => write(&section, format, sample)?,
        };
        let offset_in_data = |pattern: &Pattern| {
            example(&pattern.text, sample)
                .ok()
                .and_then(|text| pattern.read(&text))
                .is_none_or(|moment| moment.offset.is_some())
        };
        let local = matches!(write, Write::Local(_));
        let needs_zone = !local && !read.iter().all(offset_in_data);
        if needs_zone && !section.has("timezone") {
            section.error(
                "timezone",
                "timezone is missing: what is written has an offset, and what is read has none",
            );
        }
        let drops_offset = local && read.iter().any(offset_in_data);
        if direction == Direction::Out && drops_offset && !section.has("timezone") {
            section.error(
                "timezone",
                "timezone is missing: what is read has an offset, and what is written has none",
            );
        }
        section.finish();
        Some(Dates { read, zone, write, looks: looks.join(" or ") })
    }

    /// Writes the date that `text` is, or says what to do.
    pub fn convert(&self, text: &str) -> Result<String, String> {
        let text = trim(text);
        let moment = self
            .read
            .iter()
            .find_map(|pattern| pattern.read(text))
            .ok_or_else(|| format!("dates look like {}", self.looks))?;
        let (local, offset) = self.settle(moment)?;
        let offset = match (&self.write, offset) {
            (Write::Local(_), offset) => offset.unwrap_or(Offset::UTC),
            (_, Some(offset)) => offset,
            (_, None) => return Err("the date has no offset from UTC; give one".to_owned()),
        };
        self.write(local, offset)
    }

    /// Finds local time and offset in the field's zone.
    fn settle(&self, moment: Moment) -> Result<(DateTime, Option<Offset>), String> {
        let local = moment.local;
        let Some(zone) = &self.zone else { return Ok((local, moment.offset)) };
        if let Some(given) = moment.offset {
            let instant = given.to_timestamp(local).map_err(|error| error.to_string())?;
            let offset = zone.to_offset(instant);
            return Ok((offset.to_datetime(instant), Some(offset)));
        }
        let name = || zone.iana_name().unwrap_or("the time zone").to_owned();
        match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok((local, Some(offset))),
            AmbiguousOffset::Gap { before, after } => Err(format!(
                "the clock skips this time in {}: it goes from offset {} to {}; give a time that \
                 exists",
                name(),
                colon(before),
                colon(after)
            )),
            // What is written without an offset says no less than what was read.
            AmbiguousOffset::Fold { before, .. } if matches!(self.write, Write::Local(_)) => {
                Ok((local, Some(before)))
            }
            AmbiguousOffset::Fold { before, after } => Err(format!(
                "the clock shows this time twice in {}: with offset {} and with {}; give the \
                 offset too",
                name(),
                colon(before),
                colon(after)
            )),
        }
    }

    fn write(&self, local: DateTime, offset: Offset) -> Result<String, String> {
        match &self.write {
            Write::Rfc3339 => Ok(rfc3339(local, offset)),
            Write::Local(pattern) => {
                let mut text = String::with_capacity(32);
                if pattern.write(local, &mut text) {
                    return Ok(text);
                }
                strtime::format(&pattern.text, local).map_err(|error| error.to_string())
            }
            Write::Instant(format) => {
                let instant = offset.to_timestamp(local).map_err(|error| error.to_string())?;
                let zone = self.zone.clone().unwrap_or_else(|| TimeZone::fixed(offset));
                let zoned = Zoned::new(instant, zone);
                strtime::format(format, &zoned).map_err(|error| error.to_string())
            }
        }
    }
}

/// Sees whether a format to write needs to know the offset.
fn write(section: &Section, format: &str, sample: DateTime) -> Option<Write> {
    if format.contains('%') && strtime::format(format, sample).is_ok() {
        return Some(Write::Local(Pattern::new(format)));
    }
    match example(format, sample) {
        Ok(_) if format.contains('%') => Some(Write::Instant(format.to_owned())),
        Ok(_) => {
            let what = format!(
                "write is \"{format}\", but must be \"rfc3339\" or a format such as \"%Y-%m-%d\""
            );
            section.error("write", what);
            None
        }
        Err(error) => {
            section.error("write", format!("the format \"{format}\": {error}"));
            None
        }
    }
}

/// A date and time with its offset (RFC 3339, section 5.6).
fn rfc3339(local: DateTime, offset: Offset) -> String {
    let mut text = [0_u8; 25];
    let mut put = |at: usize, number: u32| {
        text[at] = b'0' + (number / 10 % 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    };
    let year = u32::from(local.year().unsigned_abs());
    let seconds = offset.seconds();
    put(0, year / 100);
    put(2, year % 100);
    put(5, local.month().unsigned_abs().into());
    put(8, local.day().unsigned_abs().into());
    put(11, local.hour().unsigned_abs().into());
    put(14, local.minute().unsigned_abs().into());
    put(17, local.second().unsigned_abs().into());
    put(20, seconds.unsigned_abs() / 3600);
    put(23, seconds.unsigned_abs() / 60 % 60);
    for (at, sign) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (22, b':')] {
        text[at] = sign;
    }
    text[19] = if seconds < 0 { b'-' } else { b'+' };
    if local.subsec_nanosecond() != 0 || seconds % 60 != 0 {
        // Fractions and the odd offsets of the 19th century are rare: jiff knows how to write them.
        if let Ok(instant) = offset.to_timestamp(local) {
            return instant.display_with_offset(offset).to_string();
        }
    }
    std::str::from_utf8(&text).map(str::to_owned).unwrap_or_default()
}

fn colon(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environments, Faults};

    fn parse(text: &str) -> (Option<Dates>, Vec<String>) {
        let faults = Faults::default();
        let file = Path::new("m.toml");
        let mut section = Section::parse(file, text, &Environments::default(), &faults).unwrap();
        let dates = Dates::parse(&mut section, Direction::In);
        (dates, faults.take().iter().map(|fault| fault.to_string()).collect())
    }

    fn dates(text: &str) -> Dates {
        let (dates, faults) = parse(text);
        assert_eq!(faults, Vec::<String>::new());
        dates.unwrap()
    }

    const BRUSSELS: &str = "date = { read = [\"%d/%m/%Y %H:%M\", \"%d/%m/%Y\"], \
                            timezone = \"Europe/Brussels\", write = \"rfc3339\" }";

    #[test]
    fn local_time_is_written_with_its_offset() {
        let dates = dates(BRUSSELS);
        for (text, written) in [
            ("01/03/2026 12:30", "2026-03-01T12:30:00+01:00"),
            ("01/07/2026 12:30", "2026-07-01T12:30:00+02:00"),
            (" 01/07/2026 ", "2026-07-01T00:00:00+02:00"),
            ("29/03/2026 03:00", "2026-03-29T03:00:00+02:00"),
            ("31/12/9998 23:59", "9998-12-31T23:59:00+01:00"),
        ] {
            assert_eq!(dates.convert(text).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_date_is_told_how_dates_look() {
        let advice = "dates look like 31/12/2026 23:59 or 31/12/2026".to_owned();
        for text in ["2026-03-01", "30/02/2026", "tomorrow", "01/03/26"] {
            assert_eq!(dates(BRUSSELS).convert(text), Err(advice.clone()), "{text}");
        }
    }

    #[test]
    fn times_that_a_clock_change_skips_or_repeats_are_not_guessed() {
        let dates = dates(BRUSSELS);
        assert_eq!(
            dates.convert("29/03/2026 02:30"),
            Err("the clock skips this time in Europe/Brussels: it goes from offset +01:00 to \
                 +02:00; give a time that exists"
                .to_owned())
        );
        assert_eq!(
            dates.convert("25/10/2026 02:30"),
            Err("the clock shows this time twice in Europe/Brussels: with offset +02:00 and with \
                 +01:00; give the offset too"
                .to_owned())
        );
    }

    #[test]
    fn an_offset_in_the_data_decides() {
        let zoned =
            dates("date = { read = \"%Y-%m-%dT%H:%M:%S%.f%z\", timezone = \"Europe/Brussels\" }");
        assert_eq!(
            zoned.convert("2026-10-25T00:30:00Z").as_deref(),
            Ok("2026-10-25T02:30:00+02:00")
        );
        assert_eq!(
            zoned.convert("2026-10-25T01:30:00.5Z").as_deref(),
            Ok("2026-10-25T02:30:00.5+01:00")
        );
        let kept = dates("date = { read = \"%Y-%m-%dT%H:%M%z\" }");
        assert_eq!(
            kept.convert("2026-01-01T10:00-05:00").as_deref(),
            Ok("2026-01-01T10:00:00-05:00")
        );
    }

    #[test]
    fn a_format_of_ones_own_is_written() {
        let local = dates("date = { read = \"%d.%m.%Y\", write = \"%Y%m%d\" }");
        assert_eq!(local.convert("1.3.2026").as_deref(), Ok("20260301"));
        let named = dates("date = { read = \"%d-%b-%Y\", write = \"%a %d %B\" }");
        assert_eq!(named.convert("01-mar-2026").as_deref(), Ok("Sun 01 March"));
        let folded = dates(
            "date = { read = \"%F %R\", write = \"%d/%m/%Y %H:%M\", timezone = \"Europe/Brussels\" }",
        );
        assert_eq!(folded.convert("2026-10-25 02:30").as_deref(), Ok("25/10/2026 02:30"));
        let epoch = dates("date = { read = \"%F\", write = \"%s\", timezone = \"UTC\" }");
        assert_eq!(epoch.convert("1970-01-02").as_deref(), Ok("86400"));
        let zoned = dates(
            "date = { read = \"%F %R\", write = \"%d/%m/%Y %H:%M %Z\", timezone = \"Europe/Brussels\" }",
        );
        assert_eq!(zoned.convert("2026-07-01 12:00").as_deref(), Ok("01/07/2026 12:00 CEST"));
    }

    #[test]
    fn what_cannot_work_is_a_fault_at_load() {
        let fault = |text| parse(text).1.join("; ");
        assert_eq!(
            fault("date = { read = \"%d/%m/%Y\" }"),
            "m.toml:1: timezone is missing: what is written has an offset, and what is read has none"
        );
        assert_eq!(
            fault("date = { read = \"%F\", timezone = \"Europe/Brusels\" }"),
            "m.toml:1: unknown time zone \"Europe/Brusels\": did you mean \"Europe/Brussels\"?"
        );
        assert_eq!(
            fault("date = { read = \"%H:%M\", timezone = \"UTC\" }"),
            "m.toml:1: the format \"%H:%M\" does not give a whole date"
        );
        assert!(fault("date = { read = \"%J\", write = \"%F\" }").contains("the format \"%J\": "));
        assert!(fault("date = { read = \"%F\", write = \"%J\" }").contains("the format \"%J\": "));
        assert!(fault("date = { read = \"%F\", write = \"iso\" }").contains("must be \"rfc3339\""));
        assert!(fault("date = { }").contains("lacks \"read\""));
        assert!(fault("date = { read = [], write = \"%F\" }").contains("read lists no format"));
        assert!(
            fault("date = { raed = \"%F\", read = \"%F\", write = \"%F\" }")
                .contains("unknown key \"raed\"")
        );
        assert_eq!(
            fault("date = { read = \"%FT%TZ\", timezone = \"UTC\" }"),
            "m.toml:1: warning: Z in \"%FT%TZ\" is a mere letter: %z reads it as UTC"
        );
    }
}
