//! Checks: whether a code is well formed, by the rules of those who issue it. Each is a pure
//! function that answers with what to do. Letters and digits are ASCII only.

use regex::Regex;

/// A check that a field names with `check`.
#[derive(Clone, Debug)]
pub enum Check {
    /// A container number.
    Iso6346,
    /// A container's size and type code.
    SizeType,
    /// A UN/LOCODE.
    UnLocode,
    /// A ship's IMO number.
    Imo,
    /// A barge's European number.
    Eni,
    /// A Belgian VAT number.
    BeVat,
    /// A Standard Carrier Alpha Code.
    Scac,
    /// At most so many characters.
    MaxLength(usize),
    /// A regular expression that the whole value must match; kept as it was written.
    Regex(String, Regex),
}

/// The checks as they are written in a mapping.
pub const NAMES: [&str; 9] =
    ["iso6346", "size-type", "unlocode", "imo", "eni", "be-vat", "scac", "max-length:N", "regex:…"];

impl Check {
    /// Reads a check as a mapping writes it; the error says what is known.
    pub fn parse(text: &str) -> Result<Check, String> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        match (name, argument) {
            ("iso6346", None) => Ok(Check::Iso6346),
            ("size-type", None) => Ok(Check::SizeType),
            ("unlocode", None) => Ok(Check::UnLocode),
            ("imo", None) => Ok(Check::Imo),
            ("eni", None) => Ok(Check::Eni),
            ("be-vat", None) => Ok(Check::BeVat),
            ("scac", None) => Ok(Check::Scac),
            ("max-length", argument) => {
                match argument.and_then(|most| most.trim().parse::<usize>().ok()) {
                    Some(most) if most > 0 => Ok(Check::MaxLength(most)),
                    _ => Err("max-length needs a number of characters: \"max-length:35\"".into()),
                }
            }
            ("regex", Some(pattern)) => compile(pattern)
                .map(|regex| Check::Regex(pattern.to_owned(), regex))
                .map_err(|error| format!("the regular expression \"{pattern}\" is wrong: {error}")),
            ("regex", None) => Err("regex needs an expression: \"regex:[A-Z]{3}\"".into()),
            _ => Err(unknown(text)),
        }
    }

    /// The rule's name in a problem.
    pub fn name(&self) -> &'static str {
        match self {
            Check::Iso6346 => "iso6346",
            Check::SizeType => "size-type",
            Check::UnLocode => "unlocode",
            Check::Imo => "imo",
            Check::Eni => "eni",
            Check::BeVat => "be-vat",
            Check::Scac => "scac",
            Check::MaxLength(_) => "max-length",
            Check::Regex(..) => "regex",
        }
    }

    /// Checks a value; the error is the advice.
    pub fn run(&self, value: &str) -> Result<(), String> {
        match self {
            Check::Iso6346 => iso6346(value),
            Check::SizeType => size_type(value),
            Check::UnLocode => unlocode(value),
            Check::Imo => imo(value),
            Check::Eni => eni(value),
            Check::BeVat => be_vat(value),
            Check::Scac => scac(value),
            Check::MaxLength(most) => max_length(value, *most),
            Check::Regex(pattern, regex) if !regex.is_match(value) => {
                Err(format!("does not match {pattern}"))
            }
            Check::Regex(..) => Ok(()),
        }
    }
}

/// Container number: three letters, a category U, J or Z, six digits and a check digit.
///
/// Letters count from 10 upward without the multiples of 11, each place weighs a power of two, the sum is
/// taken modulo 11, and 10 counts as 0 (ISO 6346, Annex A; `reference/domain.md`, section 5).
pub fn iso6346(value: &str) -> Result<(), String> {
    let bytes: &[u8; 11] = match value.as_bytes().try_into() {
        Ok(bytes) => bytes,
        Err(_) => return Err(CONTAINER.to_owned()),
    };
    let form = bytes[..3].iter().all(u8::is_ascii_uppercase)
        && matches!(bytes[3], b'U' | b'J' | b'Z')
        && bytes[4..].iter().all(u8::is_ascii_digit);
    if !form {
        return Err(CONTAINER.to_owned());
    }
    let sum: u32 = bytes[..10]
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let worth = match byte {
                b'0'..=b'9' => u32::from(byte - b'0'),
                _ => LETTERS[usize::from(byte - b'A')],
            };
            worth << place
        })
        .sum();
    let digit = (sum % 11 % 10) as u8;
    if bytes[10] - b'0' == digit { Ok(()) } else { Err(format!("check digit should be {digit}")) }
}

const CONTAINER: &str =
    "a container number is three letters, then U, J or Z, then seven digits, such as CSQU3054383";

/// What the letters A to Z count in a container number.
const LETTERS: [u32; 26] = [
    10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 34, 35, 36,
    37, 38,
];

/// Size and type code: length, height and width, type group, and a digit.
///
/// ISO 6346:1995, Annexes D and E, with the later groups; `reference/domain.md`, section 5. The four digits of 1985 and
/// shorthand such as 20DV or 40HC are not codes.
pub fn size_type(value: &str) -> Result<(), String> {
    let right = match value.as_bytes() {
        [length, height, group, detail] => {
            matches!(length, b'1'..=b'4' | b'A'..=b'H' | b'K'..=b'N' | b'P')
                && matches!(
                    height,
                    b'0' | b'2' | b'4'..=b'6' | b'8' | b'9' | b'C'..=b'F' | b'L'..=b'N' | b'P'
                )
                && matches!(group, b'A' | b'B' | b'G' | b'H' | b'K' | b'N' | b'P' | b'R'..=b'V')
                && detail.is_ascii_digit()
        }
        _ => false,
    };
    if right {
        Ok(())
    } else {
        Err("a size and type code is four characters such as 22G1, 45G1 or L5G1; shorthand such \
             as 40HC is what an AKA table translates"
            .to_owned())
    }
}

/// UN/LOCODE: two letters for the country and three of A to Z and 2 to 9 (UN/ECE Recommendation
/// 16; `reference/domain.md`, section 5).
pub fn unlocode(value: &str) -> Result<(), String> {
    let bytes = value.as_bytes();
    let right = bytes.len() == 5
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..].iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'9'));
    if right {
        Ok(())
    } else {
        Err("a UN/LOCODE is two letters and three of A to Z and 2 to 9, such as BEANR".to_owned())
    }
}

/// IMO number: seven digits; the first six times 7 down to 2 add up to a sum that ends in the
/// seventh (IMO Resolution A.1117(30); `reference/domain.md`, section 5).
pub fn imo(value: &str) -> Result<(), String> {
    let bytes = value.as_bytes();
    if bytes.len() != 7 || !bytes.iter().all(u8::is_ascii_digit) {
        return Err("an IMO number is seven digits, such as 9319466".to_owned());
    }
    let sum: u32 =
        bytes[..6].iter().zip((2..=7).rev()).map(|(byte, by)| u32::from(byte - b'0') * by).sum();
    if u32::from(bytes[6] - b'0') == sum % 10 {
        Ok(())
    } else {
        Err(format!("check digit should be {}", sum % 10))
    }
}

/// European vessel identification number: eight digits, no check digit (`reference/domain.md`,
/// section 5).
pub fn eni(value: &str) -> Result<(), String> {
    if value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    let lost = value.len() == 7 && value.bytes().all(|byte| byte.is_ascii_digit());
    Err(match lost {
        true => format!("an ENI is eight digits: is a leading 0 lost (0{value})?"),
        false => "an ENI is eight digits, such as 06912345".to_owned(),
    })
}

/// Belgian VAT number: ten digits that start with 0 or 1, with or without BE in front; the last
/// two are 97 less the first eight modulo 97 (`reference/domain.md`, section 5).
pub fn be_vat(value: &str) -> Result<(), String> {
    let digits = value.strip_prefix("BE").unwrap_or(value).as_bytes();
    let form = digits.len() == 10
        && matches!(digits[0], b'0' | b'1')
        && digits.iter().all(u8::is_ascii_digit);
    if !form {
        return Err(
            "a Belgian VAT number is BE and ten digits of which the first is 0 or 1, such \
                    as BE0403019261"
                .to_owned(),
        );
    }
    let number =
        |digits: &[u8]| digits.iter().fold(0_u32, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    let check = 97 - number(&digits[..8]) % 97;
    if number(&digits[8..]) == check {
        Ok(())
    } else {
        Err(format!("the last two digits should be {check:02}"))
    }
}

/// Standard Carrier Alpha Code: two to four letters (`reference/domain.md`, section 5).
pub fn scac(value: &str) -> Result<(), String> {
    if (2..=4).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err("a SCAC is two to four letters, such as MAEU".to_owned())
    }
}

/// At most `most` characters.
pub fn max_length(value: &str, most: usize) -> Result<(), String> {
    // Bytes are never fewer than characters, so the common case needs no count.
    if value.len() <= most {
        return Ok(());
    }
    match value.chars().count() {
        length if length > most => Err(format!("has {length} characters, at most {most} fit")),
        _ => Ok(()),
    }
}

/// Compiles an expression that must match the whole value, and whose digits are ASCII.
fn compile(pattern: &str) -> Result<Regex, String> {
    let shorten = |error: regex::Error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
    };
    Regex::new(pattern).map_err(shorten)?;
    Regex::new(&format!(r"\A(?:{})\z", ascii_digits(pattern))).map_err(shorten)
}

/// Writes `\d` and `\D` as classes of ASCII digits, which may stand inside other classes too.
fn ascii_digits(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => text.push_str("[0-9]"),
            Some('D') => text.push_str("[^0-9]"),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

fn unknown(text: &str) -> String {
    match crate::config::section::nearest(text, NAMES.into_iter()) {
        Some(name) => format!("unknown check \"{text}\": did you mean \"{name}\"?"),
        None => format!("unknown check \"{text}\": known are {}", NAMES.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_right(check: fn(&str) -> Result<(), String>, values: &[&str]) {
        for value in values {
            assert_eq!(check(value), Ok(()), "{value}");
        }
    }

    fn all_wrong(check: fn(&str) -> Result<(), String>, values: &[&str]) {
        for value in values {
            assert!(check(value).is_err(), "{value}");
        }
    }

    #[test]
    fn container_numbers_carry_the_digit_of_iso_6346() {
        all_right(iso6346, &["CSQU3054383", "TOLU4734787", "MSKU4733980"]);
        assert_eq!(iso6346("CSQU3054384"), Err("check digit should be 3".to_owned()));
        all_wrong(
            iso6346,
            &[
                "MSKA4733980",
                "",
                "CSQU305438",
                "CSQU30543830",
                "csqu3054383",
                "CSQU 305438",
                "CSQU305438３",
                "СSQU3054383",
                "ВSQU305438",
                "1SQU3054383",
            ],
        );
    }

    #[test]
    fn container_numbers_agree_with_an_independent_computation() {
        // Made with python3 and a fixed seed: letters by value, sum of value times 2**place.
        let made = "GDGZ1706027 XSWJ5917292 ENVZ4836220 BPHJ8028432 HCFJ7521175 XUVU3480580 \
                    KXSU0569673 IOCZ9435764 GSYU2962551 KCMU6397412 XYNZ3251537 RVBU0929253 \
                    LXVJ9835270 PZQU4270297 NYAJ0989218 WJGU3236158 IDQJ3071883 CELZ2448101 \
                    KJXJ0048731 SRKJ3329516 ZHQU4006349 QEGJ1481810 BFTZ3710730 BOYU5196329";
        for number in made.split(' ') {
            let right = number.as_bytes()[10] - b'0';
            for digit in 0..10 {
                let tried = format!("{}{digit}", &number[..10]);
                assert_eq!(iso6346(&tried).is_ok(), digit == right, "{tried}");
            }
        }
    }

    #[test]
    fn size_and_type_codes_are_told_from_shorthand() {
        all_right(size_type, &["22G1", "45G1", "45R1", "L5G1", "22T6", "42U1", "2EG1"]);
        all_wrong(
            size_type,
            &["4310", "20DV", "40HC", "40HQ", "20GP", "22g1", "22G", "22G10", "é1G"],
        );
    }

    #[test]
    fn ports_are_told_by_un_locode() {
        all_right(unlocode, &["BEANR", "AMA3A", "NLRTM"]);
        all_wrong(unlocode, &["BEA0R", "BE ANR", "beanr", "BEAN", "B3ANR", "BEAN1", "ééB"]);
    }

    #[test]
    fn imo_numbers_carry_a_check_digit() {
        all_right(imo, &["9319466", "9074729", "2556118", "5147736", "5868586", "5017979"]);
        assert_eq!(imo("9319467"), Err("check digit should be 6".to_owned()));
        all_wrong(imo, &["931946", "IMO9319466", "931946６", ""]);
    }

    #[test]
    fn an_eni_keeps_its_zero() {
        all_right(eni, &["06912345", "02323232"]);
        assert_eq!(
            eni("6912345"),
            Err("an ENI is eight digits: is a leading 0 lost (06912345)?".to_owned())
        );
        all_wrong(eni, &["069123456", "O6912345"]);
    }

    #[test]
    fn belgian_vat_numbers_are_checked_modulo_97() {
        all_right(
            be_vat,
            &["BE0403019261", "BE1000000021", "0403019261", "BE1767532812", "BE0028095554"],
        );
        assert_eq!(be_vat("BE0161023354"), Err("the last two digits should be 64".to_owned()));
        all_wrong(
            be_vat,
            &["BE403019261", "BE 0403.019.261", "BE2403019261", "NL0403019261", "BE"],
        );
    }

    #[test]
    fn a_scac_is_two_to_four_letters() {
        all_right(scac, &["MAEU", "HL", "CMA"]);
        all_wrong(scac, &["M", "MAEUX", "maeu", "MAE1", ""]);
    }

    #[test]
    fn length_counts_characters() {
        assert_eq!(max_length("ééé", 3), Ok(()));
        assert_eq!(max_length("éééé", 3), Err("has 4 characters, at most 3 fit".to_owned()));
    }

    #[test]
    fn an_expression_matches_the_whole_value_and_its_digits_are_ascii() {
        let check = Check::parse(r"regex:\d{2}|[\dA]{3}").unwrap();
        assert_eq!(check.run("12"), Ok(()));
        assert_eq!(check.run("1A2"), Ok(()));
        assert!(check.run("123 ").is_err());
        assert!(check.run("1２").is_err());
        assert_eq!(check.run("1x"), Err(r"does not match \d{2}|[\dA]{3}".to_owned()));
        assert!(Check::parse(r"regex:\\d").unwrap().run(r"\d").is_ok());
        assert!(Check::parse(r"regex:\D").unwrap().run("x").is_ok());
        assert!(Check::parse(r"regex:\D").unwrap().run("7").is_err());
    }

    #[test]
    fn an_unknown_check_is_told_with_the_nearest() {
        let fault = |text| Check::parse(text).unwrap_err();
        assert_eq!(fault("iso6364"), "unknown check \"iso6364\": did you mean \"iso6346\"?");
        assert!(fault("zzz").starts_with("unknown check \"zzz\": known are iso6346, size-type"));
        assert!(fault("max-length:0").starts_with("max-length needs"));
        assert!(fault("max-length").starts_with("max-length needs"));
        assert!(fault("regex").starts_with("regex needs"));
        assert!(fault("regex:(").starts_with("the regular expression \"(\" is wrong: "));
        assert!(fault("regex:a)(b").contains("is wrong"));
        assert!(fault("imo:7").starts_with("unknown check"));
    }
}
