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
    Remove(String),
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
                    steps.extend(step.required("remove").map(Clean::Remove));
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
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
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
            Clean::Remove(unwanted) if text.contains(|c| unwanted.contains(c)) => {
                Cow::Owned(text.chars().filter(|c| !unwanted.contains(*c)).collect())
            }
            Clean::Uppercase | Clean::Lowercase | Clean::Remove(_) => text,
        }
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
        let container = [Clean::Trim, Clean::Uppercase, Clean::Remove("- \u{a0}".to_owned())];
        assert_eq!(run(&container, "\u{a0} csqu 305-438\u{a0}3 "), "CSQU3054383");
        assert_eq!(run(&[Clean::Remove("-".to_owned()), Clean::Trim], "- a -"), "a");
        assert_eq!(run(&[Clean::Lowercase], "ÉTÉ Abc"), "été abc");
        assert_eq!(run(&[Clean::Uppercase], "straße"), "STRASSE");
        assert_eq!(run(&[], " a "), " a ");
    }

    #[test]
    fn a_text_that_needs_nothing_is_not_copied() {
        let text = Clean::Remove("- ".to_owned()).run(Clean::Uppercase.run(Cow::Borrowed("AB1")));
        assert!(matches!(text, Cow::Borrowed("AB1")));
    }
}
