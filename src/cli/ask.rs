//! Ask: a person is asked before something is done that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;

use super::USAGE;

/// Asks whether it is to be done, and what it comes to is told before; the exit status if not, with
/// what is said then. Where nobody can answer, only `--yes` will do.
pub fn declined(what: &str, question: &str, left: &str) -> anyhow::Result<Option<u8>> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        eprintln!("lighterman: {what}; say --yes if that is meant");
        return Ok(Some(USAGE));
    }
    eprint!("{what}. {question} [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("no answer could be read")?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(None),
        _ => {
            eprintln!("lighterman: {left}");
            Ok(Some(USAGE))
        }
    }
}
