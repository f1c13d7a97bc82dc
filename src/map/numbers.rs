//! Numbers: a number as people write it, made a JSON number digit by digit, never by way of a
//! float, so that no digit changes.

use super::Direction;
use super::clean::trim;
use super::output::Output;
use crate::config::Section;

/// More digits than this are no quantity, and JSON readers choke on them.
const MOST_DIGITS: usize = 100;

/// How numbers of one field are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    decimal: char,
    group: Option<char>,
    /// In: these signs are read. Out: they are written.
    direction: Direction,
}

impl Number {
    /// Reads `number` of a field: `decimal` (default ".") and `group` (default none).
    pub fn parse(field: &mut Section, direction: Direction, output: Output) -> Option<Number> {
        let mut section = field.section("number")?;
        let sign = |section: &mut Section, key: &str| {
            let text = section.text(key)?;
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(sign), None) if !sign.is_alphanumeric() && !"+-".contains(sign) => Some(sign),
                _ => {
                    section.error(key, format!("{key} is \"{text}\", but must be one sign"));
                    None
                }
            }
        };
        let decimal = sign(&mut section, "decimal").unwrap_or('.');
        let group = sign(&mut section, "group");
        if group == Some(decimal) {
            let key = if section.has("decimal") { "decimal" } else { "group" };
            section.error(key, format!("decimal and group are both \"{decimal}\""));
        }
        if direction == Direction::Out && output.is_json() && (decimal != '.' || group.is_some()) {
            let key = if decimal != '.' { "decimal" } else { "group" };
            let what = "a number in JSON has a point and no groups (RFC 8259, section 6)";
            section.error(key, what);
        }
        section.finish();
        Some(Number { decimal, group, direction })
    }

    /// Writes `text` as a JSON number, or says how numbers look.
    ///
    /// One sign, digits, and at most one decimal sign with digits behind it. Where groups are
    /// used at all, each but the first has exactly three digits.
    pub fn convert(&self, text: &str) -> Result<String, String> {
        if self.direction == Direction::Out {
            let plain = Number { decimal: '.', group: None, direction: Direction::In };
            return plain.convert(text).map(|number| self.write(&number));
        }
        self.try_convert(trim(text)).ok_or_else(|| match self.group {
            Some(group) => {
                let decimal = self.decimal;
                format!("numbers look like 1234{decimal}5 or 1{group}234{decimal}5")
            }
            None => format!("numbers look like 1234{}5", self.decimal),
        })
    }

    /// Writes a JSON number with this field's signs.
    fn write(&self, number: &str) -> String {
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", number),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let mut written = sign.to_owned();
        for (place, digit) in whole.chars().enumerate() {
            if let Some(group) = self.group.filter(|_| place > 0 && (whole.len() - place) % 3 == 0)
            {
                written.push(group);
            }
            written.push(digit);
        }
        if let Some(fraction) = fraction {
            written.push(self.decimal);
            written.push_str(fraction);
        }
        written
    }

    fn try_convert(&self, text: &str) -> Option<String> {
        let (minus, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match unsigned.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (unsigned, None),
        };
        let mut number = String::with_capacity(text.len() + 1);
        if minus {
            number.push('-');
        }
        let unpadded = number.len();
        self.push_whole(whole, &mut number)?;
        let zeros = number[unpadded..].bytes().take_while(|byte| *byte == b'0').count();
        number.drain(unpadded..unpadded + zeros);
        if number.len() == unpadded {
            number.push('0');
        }
        if let Some(fraction) = fraction {
            if fraction.is_empty() || !all_digits(fraction) {
                return None;
            }
            number.push('.');
            number.push_str(fraction);
        } else if whole.is_empty() {
            return None;
        }
        (number.len() <= MOST_DIGITS).then_some(number)
    }

    /// Appends the digits of the part before the decimal sign.
    fn push_whole(&self, whole: &str, number: &mut String) -> Option<()> {
        match self.group.filter(|group| whole.contains(*group)) {
            None if all_digits(whole) => number.push_str(whole),
            None => return None,
            Some(group) => {
                for (place, digits) in whole.split(group).enumerate() {
                    let width = digits.len();
                    let fits = if place == 0 { (1..=3).contains(&width) } else { width == 3 };
                    if !fits || !all_digits(digits) {
                        return None;
                    }
                    number.push_str(digits);
                }
            }
        }
        Some(())
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_every_digit() {
        let dutch = Number { decimal: ',', group: Some('.'), direction: Direction::In };
        for (text, number) in [
            ("1.234,50", "1234.50"),
            ("1234,50", "1234.50"),
            ("1.234.567", "1234567"),
            ("007", "7"),
            ("0", "0"),
            ("000,10", "0.10"),
            ("-0", "-0"),
            ("+12", "12"),
            (" -12,5 ", "-12.5"),
            (",5", "0.5"),
            ("0,1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(dutch.convert(text).as_deref(), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_told_how_numbers_look() {
        let dutch = Number { decimal: ',', group: Some('.'), direction: Direction::In };
        for text in [
            "", "-", "+", ",", "5,", "1,2,3", "--1", "1-", "1e3", "0x10", "12.34", "1.2345",
            ".123", "1..234", "1.234.", "1,234.5", "1 234", "１２", "1234.567", "NaN", "€ 5",
        ] {
            let advice = "numbers look like 1234,5 or 1.234,5".to_owned();
            assert_eq!(dutch.convert(text), Err(advice), "{text}");
        }
        let plain = Number { decimal: '.', group: None, direction: Direction::In };
        assert_eq!(plain.convert("1,234"), Err("numbers look like 1234.5".to_owned()));
        assert!(plain.convert(&"9".repeat(101)).is_err());
    }

    #[test]
    fn a_group_may_be_any_sign() {
        let french = Number { decimal: ',', group: Some('\u{202f}'), direction: Direction::In };
        assert_eq!(french.convert("1\u{202f}234,5").as_deref(), Ok("1234.5"));
    }

    #[test]
    fn on_the_way_out_the_signs_are_written() {
        let number = |decimal, group| Number { decimal, group, direction: Direction::Out };
        let dutch = number(',', Some('.'));
        for (text, written) in [
            ("1234567.50", "1.234.567,50"),
            ("-1234", "-1.234"),
            ("123", "123"),
            ("0.5", "0,5"),
            ("-999999", "-999.999"),
            ("007", "7"),
        ] {
            assert_eq!(dutch.convert(text).as_deref(), Ok(written), "{text}");
        }
        assert_eq!(number(',', None).convert("1234.5").as_deref(), Ok("1234,5"));
        for text in ["1.234,5", "1e3", "", "NaN"] {
            let advice = "numbers look like 1234.5".to_owned();
            assert_eq!(dutch.convert(text), Err(advice), "{text}");
        }
    }
}
