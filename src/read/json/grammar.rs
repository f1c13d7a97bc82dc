//! Grammar: checks bytes against the JSON grammar (RFC 8259) as they come, in pieces of any size,
//! and finds where one value ends. It keeps no byte.

/// How deep values may be nested in one document.
pub(in crate::read) const DEPTH_LIMIT: usize = 128;

/// One value, as far as it was seen.
pub(in crate::read) struct Grammar {
    state: State,
    in_key: bool,
    /// One bit for each open container, the innermost lowest: 1 is an object.
    open: u128,
    depth: usize,
    limit: usize,
}

/// What a piece of bytes brought.
pub(in crate::read) struct Fed {
    /// How many of the bytes belong to the value.
    pub(in crate::read) used: usize,
    /// Whether the value has ended.
    pub(in crate::read) complete: bool,
}

/// Where and how a piece of bytes breaks the grammar.
#[derive(Debug)]
pub(in crate::read) struct Wrong {
    /// The offset of the offending byte in the piece.
    pub(in crate::read) at: usize,
    /// What is wrong there.
    pub(in crate::read) what: String,
}

#[derive(Clone, Copy)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Text,
    Escape,
    Hex(u8),
    Literal(&'static [u8]),
    Number(Number),
    Complete,
}

/// The part of a number that was read last (RFC 8259, section 6).
#[derive(Clone, Copy)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Grammar {
    /// Expects one value inside `depth` open containers, its first byte coming next.
    pub(in crate::read) fn below(depth: usize) -> Grammar {
        let limit = DEPTH_LIMIT.saturating_sub(depth);
        Grammar { state: State::Value, in_key: false, open: 0, depth: 0, limit }
    }

    /// Whether the value is whole if nothing more comes.
    pub(in crate::read) fn may_end(&self) -> bool {
        use Number::{Fraction, Integer, Power, Zero};
        match self.state {
            State::Complete => true,
            State::Number(Zero | Integer | Fraction | Power) => self.depth == 0,
            _ => false,
        }
    }

    /// Takes the next bytes, up to the value's end.
    pub(in crate::read) fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Wrong> {
        let mut at = 0;
        while at < bytes.len() && !matches!(self.state, State::Complete) {
            match self.state {
                State::Text => at += self.text(&bytes[at..]).map_err(|wrong| wrong.behind(at))?,
                State::Number(number) => match number.after(bytes[at]) {
                    Some(next) => {
                        self.state = State::Number(next);
                        at += 1;
                    }
                    // The byte behind a number is not the number's.
                    None if number.may_end() => self.value_ends(),
                    None => return Err(wrong(at, "a digit", bytes[at])),
                },
                _ => {
                    self.step(bytes[at]).map_err(|wrong| wrong.behind(at))?;
                    at += 1;
                }
            }
        }
        Ok(Fed { used: at, complete: matches!(self.state, State::Complete) })
    }

    /// Reads on in a string; how many bytes were its own.
    fn text(&mut self, bytes: &[u8]) -> Result<usize, Wrong> {
        let end = memchr::memchr2(b'"', b'\\', bytes);
        let plain = &bytes[..end.unwrap_or(bytes.len())];
        // Folding over all bytes is many times faster than stopping at the first.
        if plain.iter().fold(false, |found, byte| found | (*byte < 0x20)) {
            let at = plain.iter().position(|byte| *byte < 0x20).unwrap_or(0);
            let what = format!("a string holds the control character U+{:04X}", plain[at]);
            return Err(Wrong { at, what });
        }
        match end {
            None => return Ok(bytes.len()),
            Some(at) if bytes[at] == b'\\' => self.state = State::Escape,
            Some(_) if self.in_key => {
                self.in_key = false;
                self.state = State::Colon;
            }
            Some(_) => self.value_ends(),
        }
        Ok(plain.len() + 1)
    }

    /// Takes one byte outside the runs of strings and numbers.
    fn step(&mut self, byte: u8) -> Result<(), Wrong> {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match (self.state, byte) {
            (State::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.state = State::Text;
            }
            (State::Escape, b'u') => self.state = State::Hex(4),
            (State::Escape, _) => return Err(wrong(0, "an escape such as \\n", byte)),
            (State::Hex(left), _) if byte.is_ascii_hexdigit() => {
                self.state = if left == 1 { State::Text } else { State::Hex(left - 1) };
            }
            (State::Hex(_), _) => return Err(wrong(0, "four hexadecimal digits", byte)),
            (State::Literal(rest), _) if rest.first() == Some(&byte) => match &rest[1..] {
                [] => self.value_ends(),
                rest => self.state = State::Literal(rest),
            },
            (State::Literal(_), _) => return Err(wrong(0, "true, false or null", byte)),
            (_, _) if blank => {}
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') => self.container_ends(),
            (State::Value | State::ValueOrEnd, _) => self.value_starts(byte)?,
            (State::Key | State::KeyOrEnd, b'"') => {
                self.in_key = true;
                self.state = State::Text;
            }
            (State::Key | State::KeyOrEnd, _) => return Err(wrong(0, "a key in quotes", byte)),
            (State::Colon, b':') => self.state = State::Value,
            (State::Colon, _) => return Err(wrong(0, "a colon", byte)),
            (State::CommaOrEnd, b',') if self.in_object() => self.state = State::Key,
            (State::CommaOrEnd, b',') => self.state = State::Value,
            (State::CommaOrEnd, b'}') if self.in_object() => self.container_ends(),
            (State::CommaOrEnd, b']') if !self.in_object() => self.container_ends(),
            (State::CommaOrEnd, _) if self.in_object() => {
                return Err(wrong(0, "a comma or }", byte));
            }
            (State::CommaOrEnd, _) => return Err(wrong(0, "a comma or ]", byte)),
            (State::Text | State::Number(_) | State::Complete, _) => {}
        }
        Ok(())
    }

    fn value_starts(&mut self, byte: u8) -> Result<(), Wrong> {
        self.state = match byte {
            b'"' => State::Text,
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            b'{' | b'[' if self.depth == self.limit => {
                let what = format!("values are nested more than {DEPTH_LIMIT} deep");
                return Err(Wrong { at: 0, what });
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.open = self.open << 1 | u128::from(byte == b'{');
                if byte == b'{' { State::KeyOrEnd } else { State::ValueOrEnd }
            }
            _ => return Err(wrong(0, "a value", byte)),
        };
        Ok(())
    }

    fn in_object(&self) -> bool {
        self.open & 1 == 1
    }

    fn container_ends(&mut self) {
        self.depth -= 1;
        self.open >>= 1;
        self.value_ends();
    }

    fn value_ends(&mut self) {
        self.state = if self.depth == 0 { State::Complete } else { State::CommaOrEnd };
    }
}

impl Number {
    fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Integer | Number::Fraction | Number::Power)
    }

    fn after(self, byte: u8) -> Option<Number> {
        match (self, byte) {
            (Number::Minus, b'0') => Some(Number::Zero),
            (Number::Minus, b'1'..=b'9') => Some(Number::Integer),
            (Number::Integer, b'0'..=b'9') => Some(Number::Integer),
            (Number::Zero | Number::Integer, b'.') => Some(Number::Point),
            (Number::Point | Number::Fraction, b'0'..=b'9') => Some(Number::Fraction),
            (Number::Zero | Number::Integer | Number::Fraction, b'e' | b'E') => {
                Some(Number::Exponent)
            }
            (Number::Exponent, b'+' | b'-') => Some(Number::Sign),
            (Number::Exponent | Number::Sign | Number::Power, b'0'..=b'9') => Some(Number::Power),
            _ => None,
        }
    }
}

impl Wrong {
    fn behind(self, before: usize) -> Wrong {
        Wrong { at: before + self.at, ..self }
    }
}

/// What was expected and the byte that came instead.
pub(in crate::read) fn expected(what: &str, byte: u8) -> String {
    match byte {
        b'!'..=b'~' => format!("expected {what}, found {}", byte as char),
        b' ' | b'\t' => format!("expected {what}, found a blank"),
        b'\n' | b'\r' => format!("expected {what}, found a line end"),
        0x80.. => format!("expected {what}, found a character that is not ASCII"),
        _ => format!("expected {what}, found the control character U+{byte:04X}"),
    }
}

fn wrong(at: usize, what: &str, byte: u8) -> Wrong {
    Wrong { at, what: expected(what, byte) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether the bytes are exactly one value, fed in pieces of `step` bytes.
    fn accepts(bytes: &[u8], step: usize) -> bool {
        let mut grammar = Grammar::below(0);
        let mut used = 0;
        for piece in bytes.chunks(step) {
            match grammar.feed(piece) {
                Ok(fed) => used += fed.used,
                Err(_) => return false,
            }
        }
        used == bytes.len() && grammar.may_end()
    }

    #[test]
    fn what_is_json_is_accepted_in_pieces_of_any_size() {
        for text in [
            "0",
            "-0",
            "12",
            "-1.50",
            "1e9",
            "1E+09",
            "2.5e-3",
            "true",
            "false",
            "null",
            "\"\"",
            "\"a\\u00e9\\n\\\\\\\"\"",
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,2]",
            "[1 , [ 2 ] , {\"a\":[]}]",
            "{\"a\":{\"b\":null},\"c\":\"é€\"}",
            "[0]",
            "[-0.0e0 ]",
        ] {
            for step in 1..=text.len() {
                assert!(accepts(text.as_bytes(), step), "{text} by {step}");
            }
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "-",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e+",
            "tru",
            "True",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "[1 2]",
            "[1}",
            "{",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1",
            "{\"a\" 1}",
            "{1:1}",
            "{\"a\":1]",
            "1 2",
            "[]]",
            "'a'",
            "NaN",
            "-x",
            "[1.]",
            "[-]",
        ] {
            for step in 1..=text.len().max(1) {
                assert!(!accepts(text.as_bytes(), step), "{text} by {step}");
            }
        }
    }

    #[test]
    fn nesting_is_bounded_and_what_is_around_counts() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(accepts(deep(128).as_bytes(), 7));
        assert!(!accepts(deep(129).as_bytes(), 7));
        assert!(Grammar::below(100).feed(deep(28).as_bytes()).is_ok());
        assert!(Grammar::below(100).feed(deep(29).as_bytes()).is_err());
    }

    #[test]
    fn the_offending_byte_is_told() {
        let wrong = Grammar::below(0).feed(b"{\"a\": 1, b: 2}").err().unwrap();
        assert_eq!((wrong.at, wrong.what.as_str()), (9, "expected a key in quotes, found b"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_as_serde_json_judges_them(
            text in "[\\[\\]{}:,\"a0-2.eE+\\\\ -]{0,12}", step in 1usize..5
        ) {
            let judged = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(accepts(text.trim().as_bytes(), step), judged);
        }
    }
}
