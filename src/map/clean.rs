//! Clean: what a field does to a text before it looks at it. Works in the order written.

use std::borrow::Cow;

use crate::config::Section;
use crate::config::section::TextOrSection;

/// One step of `clean`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clean {
    /// Takes white space off both ends.
    Trim,
    /// Makes every letter upper case.
    Uppercase,
    /// Makes every letter lower case.
    Lowercase,
    /// Takes out each of these characters.
    Remove(Set),
}

/// A set of characters, in which ASCII is looked up fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    ascii: u128,
    others: String,
}

impl Set {
    /// The set of all characters of a text.
    pub fn new(characters: &str) -> Set {
        let is_ascii = |c: &char| c.is_ascii();
        Set {
            ascii: characters.chars().filter(is_ascii).fold(0, |set, c| set | 1 << u32::from(c)),
            others: characters.chars().filter(|c| !is_ascii(c)).collect(),
        }
    }

    fn has(&self, character: char) -> bool {
        match character.is_ascii() {
            true => self.ascii >> u32::from(character) & 1 == 1,
            false => self.others.contains(character),
        }
    }

    /// Whether a text has none of the characters.
    fn misses(&self, text: &str) -> bool {
        match text.is_ascii() {
            true => text.bytes().all(|byte| self.ascii >> (byte & 127) & 1 == 0),
            false => !text.contains(|c| self.has(c)),
        }
    }
}

impl Clean {
    /// Reads `clean` of a field; faults are noted.
    pub fn parse(section: &mut Section) -> Vec<Clean> {
        let mut steps = Vec::new();
        for step in section.texts_or_sections("clean").unwrap_or_default() {
            match step {
                TextOrSection::Text(word) => match word.as_str() {
                    "trim" => steps.push(Clean::Trim),
                    "uppercase" => steps.push(Clean::Uppercase),
                    "lowercase" => steps.push(Clean::Lowercase),
                    other => section.error(
                        "clean",
                        format!(
                            "clean does not know \"{other}\": known are trim, uppercase, \
                             lowercase and {{ remove = \"…\" }}"
                        ),
                    ),
                },
                TextOrSection::Section(mut step) => {
                    steps
                        .extend(step.required("remove").map(|text| Clean::Remove(Set::new(&text))));
                    step.finish();
                }
            }
        }
        steps
    }

    /// Does the step; a text that stays as it is, or is only cut, is not copied.
    pub fn run<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        match self {
            Clean::Trim => match text {
                Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
                Cow::Owned(text) if trim(&text).len() == text.len() => Cow::Owned(text),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            },
            Clean::Uppercase
                if text.bytes().any(|byte| byte.is_ascii_lowercase() || byte > 127) =>
            {
                Cow::Owned(text.to_uppercase())
            }
            Clean::Lowercase
                if text.bytes().any(|byte| byte.is_ascii_uppercase() || byte > 127) =>
            {
                Cow::Owned(text.to_lowercase())
            }
            Clean::Remove(unwanted) if !unwanted.misses(&text) => {
                Cow::Owned(text.chars().filter(|c| !unwanted.has(*c)).collect())
            }
            Clean::Uppercase | Clean::Lowercase | Clean::Remove(_) => text,
        }
    }
}

/// Takes white space off both ends; fast where there is none.
pub fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [one] | [one, .., _] if !one.is_ascii_graphic() => text.trim(),
        [.., last] if last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// Whether there is nothing but white space; fast where there is something.
pub fn is_blank(text: &str) -> bool {
    match text.as_bytes().first() {
        None => true,
        Some(byte) => !byte.is_ascii_graphic() && text.trim().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &[Clean], text: &str) -> String {
        steps.iter().fold(Cow::Borrowed(text), |text, step| step.run(text)).into_owned()
    }

    #[test]
    fn steps_work_in_the_order_written() {
        let container = [Clean::Trim, Clean::Uppercase, Clean::Remove(Set::new("- \u{a0}"))];
        assert_eq!(run(&container, "\u{a0} csqu 305-438\u{a0}3 "), "CSQU3054383");
        assert_eq!(run(&[Clean::Remove(Set::new("-")), Clean::Trim], "- a -"), "a");
        assert_eq!(run(&[Clean::Lowercase], "ÉTÉ Abc"), "été abc");
        assert_eq!(run(&[Clean::Uppercase], "straße"), "STRASSE");
        assert_eq!(run(&[], " a "), " a ");
    }

    #[test]
    fn a_text_that_needs_nothing_is_not_copied() {
        let text = Clean::Remove(Set::new("- ")).run(Clean::Uppercase.run(Cow::Borrowed("AB1")));
        assert!(matches!(text, Cow::Borrowed("AB1")));
    }

    #[test]
    fn the_fast_ways_agree_with_the_plain_ones() {
        for text in
            ["", " ", "a", " a", "a ", "\u{a0}", "\u{a0}é", "é\u{a0}", "é", "\u{1f}", "\t\n", "ab"]
        {
            assert_eq!(trim(text), text.trim(), "{text:?}");
            assert_eq!(is_blank(text), text.trim().is_empty(), "{text:?}");
        }
    }
}
