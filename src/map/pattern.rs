//! Pattern: a date format in the words of strftime, read strictly. Plain numeric formats are read
//! and written here, digit by digit; any other is left to jiff.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::Offset;

/// A date format such as `%d/%m/%Y %H:%M`.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    pub text: String,
    /// What it consists of, if it is plain.
    items: Option<Vec<Item>>,
}

/// A date as read: local time, and its offset from UTC if the text gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The date and time of day; midnight where the text has no time.
    pub local: DateTime,
    /// The offset that the text gives.
    pub offset: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Year,
    ShortYear,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Offset,
    Blank,
    Literal(u8),
}

impl Pattern {
    /// Takes a format apart; whether it makes sense is for the caller to try.
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.to_owned(), items: items(text) }
    }

    /// Whether `Z` stands in it as a letter, where the text of most systems means UTC by it.
    pub fn has_literal_zulu(&self) -> bool {
        let Some(items) = &self.items else { return false };
        items.windows(2).any(|pair| {
            matches!(pair[0], Item::Minute | Item::Second | Item::Fraction)
                && pair[1] == Item::Literal(b'Z')
        })
    }

    /// Reads a text that has exactly this form.
    ///
    /// A year of `%Y` has four digits and one of `%y` two, so that "26" is never the year 26.
    /// Months, days and times may lack a leading zero unless digits stand directly beside them.
    pub fn read(&self, text: &str) -> Option<Moment> {
        match &self.items {
            Some(items) => read(items, text.as_bytes()),
            None => read_by_jiff(&self.text, text),
        }
    }

    /// Appends a date in this form, if it is plain and has no offset; `false` if it is not.
    pub fn write(&self, local: DateTime, out: &mut String) -> bool {
        let Some(items) = &self.items else { return false };
        if items.iter().any(|item| matches!(item, Item::Offset | Item::Fraction)) {
            return false;
        }
        let mut bytes = Vec::with_capacity(items.len() * 2);
        for item in items {
            match item {
                Item::Year => {
                    let year = local.year().unsigned_abs();
                    two(year / 100, &mut bytes);
                    two(year % 100, &mut bytes);
                }
                Item::ShortYear => two(local.year().unsigned_abs() % 100, &mut bytes),
                Item::Month => two(local.month().unsigned_abs().into(), &mut bytes),
                Item::Day => two(local.day().unsigned_abs().into(), &mut bytes),
                Item::Hour => two(local.hour().unsigned_abs().into(), &mut bytes),
                Item::Minute => two(local.minute().unsigned_abs().into(), &mut bytes),
                Item::Second => two(local.second().unsigned_abs().into(), &mut bytes),
                Item::Blank => bytes.push(b' '),
                Item::Literal(byte) => bytes.push(*byte),
                Item::Fraction | Item::Offset => {}
            }
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => out.push_str(text),
            Err(_) => return false,
        }
        true
    }
}

/// Two digits.
fn two(number: u16, out: &mut Vec<u8>) {
    out.extend([b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// Takes a plain format apart; `None` for one that holds more than digits can say.
fn items(format: &str) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.bytes().next() {
        if first != b'%' {
            items.push(if first.is_ascii_whitespace() {
                Item::Blank
            } else {
                Item::Literal(first)
            });
            let width = rest.chars().next().map_or(1, char::len_utf8);
            items.extend(rest.bytes().take(width).skip(1).map(Item::Literal));
            rest = &rest[width..];
            continue;
        }
        let (directive, parts): (&str, &[Item]) = PLAIN
            .iter()
            .find(|(directive, _)| rest[1..].starts_with(directive))
            .map(|(directive, parts)| (*directive, *parts))?;
        items.extend(parts);
        rest = &rest[1 + directive.len()..];
    }
    Some(items)
}

/// The directives of plain formats, as jiff knows them (jiff 0.2, `fmt::strtime`).
const PLAIN: [(&str, &[Item]); 15] = [
    ("Y", &[Item::Year]),
    ("y", &[Item::ShortYear]),
    ("m", &[Item::Month]),
    ("d", &[Item::Day]),
    ("H", &[Item::Hour]),
    ("M", &[Item::Minute]),
    ("S", &[Item::Second]),
    (".f", &[Item::Fraction]),
    ("z", &[Item::Offset]),
    (":z", &[Item::Offset]),
    ("%", &[Item::Literal(b'%')]),
    ("F", &[Item::Year, Item::Literal(b'-'), Item::Month, Item::Literal(b'-'), Item::Day]),
    ("D", &[Item::Month, Item::Literal(b'/'), Item::Day, Item::Literal(b'/'), Item::ShortYear]),
    ("R", &[Item::Hour, Item::Literal(b':'), Item::Minute]),
    ("T", &[Item::Hour, Item::Literal(b':'), Item::Minute, Item::Literal(b':'), Item::Second]),
];

impl Item {
    fn is_digits(self) -> bool {
        !matches!(self, Item::Fraction | Item::Offset | Item::Blank | Item::Literal(_))
    }
}

fn read(items: &[Item], text: &[u8]) -> Option<Moment> {
    let (mut year, mut month, mut day) = (None, None, None);
    let (mut hour, mut minute, mut second, mut nanosecond) = (0, 0, 0, 0);
    let mut offset = None;
    let mut rest = text;
    for (place, item) in items.iter().enumerate() {
        let beside = |place: Option<usize>| {
            place.and_then(|place| items.get(place)).is_some_and(|item| item.is_digits())
        };
        let least = match beside(place.checked_sub(1)) || beside(Some(place + 1)) {
            true => 2,
            false => 1,
        };
        match item {
            Item::Year => year = Some(digits(&mut rest, 4, 4)? as i16),
            Item::ShortYear => {
                // The pivot of POSIX strptime: 69 to 99 are 19xx, 00 to 68 are 20xx.
                let short = digits(&mut rest, 2, 2)? as i16;
                year = Some(if short < 69 { 2000 + short } else { 1900 + short });
            }
            Item::Month => month = Some(digits(&mut rest, least, 2)? as i8),
            Item::Day => day = Some(digits(&mut rest, least, 2)? as i8),
            Item::Hour => hour = digits(&mut rest, least, 2)? as i8,
            Item::Minute => minute = digits(&mut rest, least, 2)? as i8,
            Item::Second => second = digits(&mut rest, least, 2)? as i8,
            Item::Fraction => nanosecond = fraction(&mut rest)?,
            Item::Offset => offset = Some(read_offset(&mut rest)?),
            Item::Blank => {
                let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let after_blank = place > 0 && items[place - 1] == Item::Blank;
                if blanks == 0 && !after_blank {
                    return None;
                }
                rest = &rest[blanks..];
            }
            Item::Literal(byte) => {
                let (first, after) = rest.split_first()?;
                if first != byte {
                    return None;
                }
                rest = after;
            }
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let date = Date::new(year.filter(|year| *year >= 1000)?, month?, day?).ok()?;
    let time = Time::new(hour, minute, second, nanosecond).ok()?;
    Some(Moment { local: date.to_datetime(time), offset })
}

/// Takes so many digits off the front.
fn digits(rest: &mut &[u8], least: usize, most: usize) -> Option<u16> {
    let width = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if width < least {
        return None;
    }
    let (digits, after) = rest.split_at(width);
    *rest = after;
    Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// Takes a dot and up to nine digits off the front, as nanoseconds; nothing there is zero.
fn fraction(rest: &mut &[u8]) -> Option<i32> {
    let Some(after) = rest.strip_prefix(b".") else { return Some(0) };
    let width = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&width) {
        return None;
    }
    let (digits, after) = after.split_at(width);
    *rest = after;
    let number = digits.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
    Some(number * 10_i32.pow(9 - width as u32))
}

/// Takes `Z`, `+01`, `+0100` or `+01:00` off the front.
fn read_offset(rest: &mut &[u8]) -> Option<Offset> {
    let (sign, after) = rest.split_first()?;
    *rest = after;
    let sign = match sign {
        b'Z' | b'z' => return Some(Offset::UTC),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = digits(rest, 2, 2)?;
    let minutes = match rest {
        [b':', after @ ..] => {
            *rest = after;
            digits(rest, 2, 2)?
        }
        [b'0'..=b'9', ..] => digits(rest, 2, 2)?,
        _ => 0,
    };
    if minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
}

fn read_by_jiff(format: &str, text: &str) -> Option<Moment> {
    let time = BrokenDownTime::parse(format, text).ok()?;
    let moment = match time.to_datetime() {
        Ok(local) => Moment { local, offset: time.offset() },
        // An instant alone, by `%s`.
        Err(_) => Moment {
            local: Offset::UTC.to_datetime(time.to_timestamp().ok()?),
            offset: Some(Offset::UTC),
        },
    };
    (moment.local.year() >= 1000).then_some(moment)
}

/// What a date looks like in a format; the error says what is wrong with the format.
pub fn example(format: &str, local: DateTime) -> Result<String, String> {
    let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
    strtime::format(format, &zoned).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, text: &str) -> Option<String> {
        let moment = Pattern::new(format).read(text)?;
        let offset = moment.offset.map(|offset| offset.to_string()).unwrap_or_default();
        Some(format!("{}{offset}", moment.local))
    }

    #[test]
    fn plain_formats_are_read_digit_by_digit() {
        for (format, text, moment) in [
            ("%d/%m/%Y %H:%M", "01/03/2026 12:30", "2026-03-01T12:30:00"),
            ("%d/%m/%Y %H:%M", "1/3/2026  9:05", "2026-03-01T09:05:00"),
            ("%d/%m/%Y", "29/02/2024", "2024-02-29T00:00:00"),
            ("%Y%m%d", "20260301", "2026-03-01T00:00:00"),
            ("%Y%m%d %H%M%S", "20260301 123059", "2026-03-01T12:30:59"),
            ("%d%m%y", "010326", "2026-03-01T00:00:00"),
            ("%d.%m.%y", "1.3.69", "1969-03-01T00:00:00"),
            ("%F %T", "2026-03-01 12:30:59", "2026-03-01T12:30:59"),
            ("%D", "03/01/26", "2026-03-01T00:00:00"),
            ("%Y-%m-%dT%R%z", "2026-03-01T12:30Z", "2026-03-01T12:30:00+00"),
            ("%Y-%m-%dT%R%:z", "2026-03-01T12:30-03:30", "2026-03-01T12:30:00-03:30"),
            ("%Y-%m-%dT%T%.f%z", "2026-03-01T12:30:59.250+0100", "2026-03-01T12:30:59.25+01"),
            ("%Y-%m-%dT%T%.f%z", "2026-03-01T12:30:59+01", "2026-03-01T12:30:59+01"),
            ("%Y年%m月%d日", "2026年3月1日", "2026-03-01T00:00:00"),
            ("100%% %Y-%m-%d", "100% 2026-03-01", "2026-03-01T00:00:00"),
        ] {
            assert_eq!(read(format, text).as_deref(), Some(moment), "{format} {text}");
        }
    }

    #[test]
    fn no_date_is_guessed() {
        for (format, text) in [
            ("%d/%m/%Y", "01/03/26"),
            ("%d/%m/%Y", "01/03/0026"),
            ("%d/%m/%Y", "30/02/2026"),
            ("%d/%m/%Y", "29/02/2025"),
            ("%d/%m/%Y", "13/13/2026"),
            ("%d/%m/%Y", "01/03/2026 "),
            ("%d/%m/%Y", "01/03/2026x"),
            ("%d/%m/%Y", "01-03-2026"),
            ("%d/%m/%Y", "０1/03/2026"),
            ("%d/%m/%Y", "-1/03/2026"),
            ("%d/%m/%Y", ""),
            ("%d/%m/%Y %H:%M", "01/03/202612:30"),
            ("%d/%m/%Y %H:%M", "01/03/2026 24:00"),
            ("%d%m%y", "11126"),
            ("%d%m%y", "1 326"),
            ("%Y%m%d", "2026301"),
            ("%Y%m%d", "00000000"),
            ("%d/%m/%y", "01/03/2026"),
            ("%d/%m/%y", "01/03/6"),
            ("%F %T", "2026-03-01 12:30:60"),
            ("%F%z", "2026-03-01"),
            ("%F%z", "2026-03-01+1"),
            ("%F%z", "2026-03-01+01:60"),
            ("%F%z", "2026-03-01+99:00"),
            ("%FT%T%.f", "2026-03-01T12:30:59."),
            ("%FT%T%.f", "2026-03-01T12:30:59.1234567890"),
            ("%d %b %Y", "01 Mar 26"),
        ] {
            assert_eq!(read(format, text), None, "{format} {text}");
        }
    }

    #[test]
    fn other_formats_are_read_by_jiff() {
        assert_eq!(read("%d-%b-%Y", "01-MAR-2026").as_deref(), Some("2026-03-01T00:00:00"));
        assert_eq!(
            read("%d/%m/%Y %I:%M %p", "01/03/2026 01:05 PM").as_deref(),
            Some("2026-03-01T13:05:00")
        );
        assert_eq!(read("%s", "1772364600").as_deref(), Some("2026-03-01T11:30:00+00"));
    }

    #[test]
    fn plain_formats_agree_with_jiff_on_every_day_and_hour() {
        let formats = [
            "%d/%m/%Y %H:%M",
            "%Y%m%d %H%M%S",
            "%d.%m.%y",
            "%F %T",
            "%Y-%m-%dT%H:%M:%S%:z",
            "%D %R",
        ];
        let mut date = jiff::civil::date(1969, 1, 1).at(0, 0, 0, 0);
        while date.year() < 2069 {
            for format in formats {
                let pattern = Pattern::new(format);
                assert!(pattern.items.is_some(), "{format}");
                let text = example(format, date).unwrap();
                assert_eq!(pattern.read(&text), read_by_jiff(format, &text), "{format} {text}");
                let mut written = String::new();
                if pattern.write(date, &mut written) {
                    assert_eq!(written, text);
                }
            }
            date += jiff::Span::new().hours(31).minutes(7).seconds(13);
        }
    }

    #[test]
    fn a_letter_z_behind_the_time_is_seen() {
        assert!(Pattern::new("%Y-%m-%dT%H:%M:%SZ").has_literal_zulu());
        assert!(!Pattern::new("%Y-%m-%dT%H:%M:%S%z").has_literal_zulu());
    }
}
