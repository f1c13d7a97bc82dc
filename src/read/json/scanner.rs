//! Scanner: steps through a document token by token and keeps of it what it is asked to keep.

use std::io::BufRead;

use super::super::Unsound;
use super::super::bounded::{Bounded, Spot};
use super::grammar::{Grammar, expected};

/// A document and the value in hand.
pub(super) struct Scanner {
    input: Bounded,
    value: Vec<u8>,
}

impl Scanner {
    pub(super) fn new(input: Bounded) -> Scanner {
        Scanner { input, value: Vec::new() }
    }

    /// The name of the encoding in use.
    pub(super) fn encoding(&self) -> &'static str {
        self.input.encoding()
    }

    /// Where in the file the scanner stands.
    pub(super) fn spot(&self) -> Spot {
        self.input.spot()
    }

    /// The first byte behind blanks (RFC 8259, section 2), without taking it; the end of the file
    /// is an error.
    pub(super) fn token(&mut self) -> Result<u8, Unsound> {
        self.token_or_end()?.ok_or_else(|| self.truncated())
    }

    /// The first byte behind blanks, without taking it; none at the end of the file.
    pub(super) fn token_or_end(&mut self) -> Result<Option<u8>, Unsound> {
        loop {
            self.input.measure_anew();
            let chunk = self.input.chunk()?;
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let count = chunk.iter().position(|byte| !blank(byte)).unwrap_or(chunk.len());
            let token = chunk.get(count).copied();
            let ended = chunk.is_empty();
            self.input.consume(count);
            if ended || token.is_some() {
                return Ok(token);
            }
        }
    }

    /// Takes the byte that `token` told.
    pub(super) fn take(&mut self) {
        self.input.consume(1);
    }

    /// Takes a key and its colon, inside `depth` containers.
    pub(super) fn key(&mut self, depth: usize) -> Result<String, Unsound> {
        match self.token()? {
            b'"' => {}
            other => return Err(self.unsound(expected("a key in quotes", other))),
        }
        let raw = self.value(depth)?;
        let key = serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned());
        match self.token()? {
            b':' => self.take(),
            other => return Err(self.unsound(expected("a colon", other))),
        }
        Ok(key)
    }

    /// Takes the value that starts here, inside `depth` containers, of a record's size at most.
    pub(super) fn value(&mut self, depth: usize) -> Result<&str, Unsound> {
        self.input.measure_anew();
        self.run(depth, true)?;
        match std::str::from_utf8(&self.value) {
            Ok(value) => Ok(value),
            Err(_) => Err(self.unsound("bytes that are no text".to_owned())),
        }
    }

    /// Passes over a value of any size.
    pub(super) fn pass_value(&mut self, depth: usize) -> Result<(), Unsound> {
        self.token()?;
        self.run(depth, false)
    }

    fn run(&mut self, depth: usize, keep: bool) -> Result<(), Unsound> {
        self.value.clear();
        let mut grammar = Grammar::below(depth);
        loop {
            if !keep {
                self.input.measure_anew();
            }
            let chunk = self.input.chunk()?;
            if chunk.is_empty() {
                return if grammar.may_end() { Ok(()) } else { Err(self.truncated()) };
            }
            match grammar.feed(chunk) {
                Ok(fed) => {
                    if keep {
                        self.value.extend_from_slice(&chunk[..fed.used]);
                    }
                    self.input.consume(fed.used);
                    if fed.complete {
                        return Ok(());
                    }
                }
                Err(wrong) => {
                    self.input.consume(wrong.at);
                    return Err(self.unsound(wrong.what));
                }
            }
        }
    }

    /// The document breaks the grammar here.
    pub(super) fn unsound(&self, what: String) -> Unsound {
        self.spot().unsound("json", what, "write a document that a JSON parser takes")
    }

    fn truncated(&self) -> Unsound {
        let what = "the file ends in the middle of the document".to_owned();
        self.spot().unsound("truncated", what, "send the whole file again")
    }
}
