//! Path: the keys that lead to a value, as a mapping writes them: `order.lines.no`, `../customer/id`,
//! `site."a.b"`.

/// A path from a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::read) struct Path {
    /// How many objects above the record it starts; the arrays between do not count.
    pub(in crate::read) up: usize,
    /// The keys, outermost first.
    pub(in crate::read) keys: Vec<String>,
}

impl Path {
    /// Reads a path: dots or slashes between the keys, `../` in front for each object above. A key
    /// that holds a dot, a slash or a quote stands in double quotes, as TOML writes such keys, with
    /// a backslash before a quote or a backslash in it.
    pub(in crate::read) fn parse(text: &str) -> Result<Path, String> {
        let mut rest = text;
        let mut up = 0;
        while let Some(below) = rest.strip_prefix("../") {
            up += 1;
            rest = below;
        }
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let end = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let (key, length) = unquoted(quoted)
                        .ok_or_else(|| format!("the quote in {rest} is not closed"))?;
                    keys.push(key);
                    1 + length
                }
                None => {
                    let end = rest.find(['.', '/']).unwrap_or(rest.len());
                    if end > 0 {
                        keys.push(rest[..end].to_owned());
                    }
                    end
                }
            };
            rest = &rest[end..];
            match rest.strip_prefix(['.', '/']) {
                Some(behind) => rest = behind,
                None if rest.is_empty() => {}
                None => return Err(format!("a dot must stand between a quoted key and {rest}")),
            }
        }
        if up > 0 && keys.is_empty() {
            return Err("it names no key".to_owned());
        }
        Ok(Path { up, keys })
    }
}

/// The key up to its closing quote, and how many bytes it took with that.
fn unquoted(text: &str) -> Option<(String, usize)> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((key, at + 1)),
            '\\' => key.push(characters.next()?.1),
            other => key.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_keys_with_dots_or_slashes_between_them() {
        for (text, up, keys) in [
            ("a", 0, &["a"][..]),
            ("a.b/c", 0, &["a", "b", "c"]),
            ("/a/b", 0, &["a", "b"]),
            ("", 0, &[]),
            ("../customer/id", 1, &["customer", "id"]),
            ("../../no", 2, &["no"]),
            ("site.\"a.b\".c", 0, &["site", "a.b", "c"]),
            ("\"..\"", 0, &[".."]),
            ("\"\"", 0, &[""]),
            (r#""say \"a\\b\"""#, 0, &["say \"a\\b\""]),
            ("5\"", 0, &["5\""]),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!(path.up, up, "{text}");
            assert_eq!(path.keys, keys, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["\"a", "\"a\"b", "../", "\"a\\\"", "../.."] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
