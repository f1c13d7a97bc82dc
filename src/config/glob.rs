//! Globs: patterns for the names of files, letters of either case.

use globset::{Glob, GlobBuilder};

/// Compiles a pattern; an error says why it cannot be one.
pub(super) fn compile(pattern: &str) -> Result<Glob, String> {
    if pattern.is_empty() {
        return Err("is empty".to_owned());
    }
    if pattern.contains('/') {
        return Err("holds a slash: it is for a file's name, not its path".to_owned());
    }
    GlobBuilder::new(&either_case(pattern))
        .case_insensitive(true)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("is no pattern: {}", error.kind()))
}

/// globset takes letters of either case in ASCII only; others become a choice of both.
fn either_case(pattern: &str) -> String {
    if pattern.is_ascii() {
        return pattern.to_owned();
    }
    let mut out = String::new();
    let mut in_class = false;
    for c in pattern.chars() {
        match c {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        let lower: String = c.to_lowercase().collect();
        let upper: String = c.to_uppercase().collect();
        if c.is_ascii() || in_class || lower == upper {
            out.push(c);
        } else {
            out.push_str(&format!("{{{lower},{upper}}}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern).unwrap().compile_matcher().is_match(name)
    }

    #[test]
    fn letters_of_either_case_match() {
        assert!(matches("RELEASE_*.csv", "release_1.CSV"));
        assert!(matches("*.tmp", "X.TMP"));
        assert!(matches("FÉVRIER*.csv", "février-1.csv"));
        assert!(matches("{été,hiver}*.csv", "ÉTÉ 1.csv"));
        assert!(matches("[ab]é.csv", "BÉ.csv"));
        assert!(!matches("RELEASE_*.csv", "RELEASE_1.xml"));
    }

    #[test]
    fn a_star_matches_any_part_of_a_name() {
        assert!(matches("*", "a b.c"));
        assert!(matches(".*", ".hidden"));
        assert!(!matches(".*", "shown"));
        assert!(matches("a?.csv", "a1.csv"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(compile("").unwrap_err(), "is empty");
        assert!(compile("in/*.csv").unwrap_err().starts_with("holds a slash"));
        assert!(compile("[a").unwrap_err().starts_with("is no pattern: "));
        assert!(compile("{a").unwrap_err().starts_with("is no pattern: "));
    }
}
