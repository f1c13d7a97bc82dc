//! Names: which of the known ones may have been meant, and which cannot be one.

/// The nearest of some names, if one is near enough to be meant: alike on the whole, or one slip
/// of a finger away.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        let other = candidate.to_lowercase();
        let likeness = strsim::jaro_winkler(&name, &other);
        let one_slip = || name.len() > 2 && strsim::osa_distance(&name, &other) == 1;
        if (likeness > 0.8 || one_slip()) && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Why a name cannot be one, if it cannot: names become parts of paths, keys and lines of a log.
pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("is empty")
    } else if name.starts_with('.') {
        Some("starts with a dot")
    } else if name.contains(['/', '\\']) || name.chars().any(char::is_control) {
        Some("holds a slash or a control character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_in_spite_of_slips() {
        let known = ["erp", "channel_id", "client", "client_id"];
        for (typed, meant) in [
            ("epr", "erp"),
            ("ERP", "erp"),
            ("channel-id", "channel_id"),
            ("channelid", "channel_id"),
            ("clientid", "client_id"),
            ("cleint", "client"),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_name_that_is_far_from_all_has_no_nearest() {
        let known = ["erp", "channel_id"];
        for typed in ["", "x", "sap", "zzz"] {
            assert_eq!(nearest(typed, known.into_iter()), None, "{typed}");
        }
    }
}
