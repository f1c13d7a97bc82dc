//! Name: what a file is called where its own name is taken.

use std::path::Path;

/// A file's name with a number: the name itself for 1, else `-n` behind its stem, so that it still
/// matches the route that it came by.
pub fn numbered(name: &str, number: u32) -> String {
    if number <= 1 {
        return name.to_owned();
    }
    let path = Path::new(name);
    match (
        path.file_stem().and_then(|stem| stem.to_str()),
        path.extension().and_then(|extension| extension.to_str()),
    ) {
        (Some(stem), Some(extension)) => format!("{stem}-{number}.{extension}"),
        _ => format!("{name}-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_behind_the_stem() {
        assert_eq!(numbered("RELEASE_1.csv", 1), "RELEASE_1.csv");
        assert_eq!(numbered("RELEASE_1.csv", 2), "RELEASE_1-2.csv");
        assert_eq!(numbered("RELEASE", 3), "RELEASE-3");
        assert_eq!(numbered("a.b.csv", 2), "a.b-2.csv");
    }
}
