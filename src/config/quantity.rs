//! Quantity: time spans and sizes as a config writes them.

use std::time::Duration;

/// The longest time span that is understood: sums of points in time stay far from overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Reads "500ms", "30s", "5m", "24h" or "90d"; at most 100 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(24 * 3600),
        _ => None,
    };
    duration.filter(|duration| *duration <= LONGEST)
}

/// Reads "512", "512 B", "16 KiB", "1 MiB" or "1 GiB".
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    match unit {
        "" | "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        "TiB" => number.checked_mul(1 << 40),
        _ => None,
    }
}

/// Reads a rate such as "50/s", "600/m" or "1000/h" as the time from one to the next.
pub fn parse_rate(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let per = match unit.strip_prefix('/')?.trim_start() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return None,
    };
    let number = u32::try_from(number).ok().filter(|number| (1..=1_000_000).contains(number))?;
    Some(per / number)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_of_every_unit_are_read() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("5 m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("90d"), Some(Duration::from_secs(7_776_000)));
        assert_eq!(parse_duration("36500d"), Some(LONGEST));
    }

    #[test]
    fn what_is_no_time_span_is_refused() {
        for text in ["", "5", "s", "-5s", "1.5s", "5 min", "36501d", "99999999999999999999s", "٣s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration("18446744073709551615d"), None);
    }

    #[test]
    fn rates_are_read_as_the_time_from_one_to_the_next() {
        assert_eq!(parse_rate("50/s"), Some(Duration::from_millis(20)));
        assert_eq!(parse_rate("600/m"), Some(Duration::from_millis(100)));
        assert_eq!(parse_rate("1000 / h"), Some(Duration::from_millis(3600)));
        for text in ["", "50", "/s", "0/s", "-1/s", "1.5/s", "50/d", "50 s", "2000000/s"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_of_every_unit_are_read() {
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("512 B"), Some(512));
        assert_eq!(parse_size("16KiB"), Some(16_384));
        assert_eq!(parse_size("1 MiB"), Some(1_048_576));
        assert_eq!(parse_size("1 GiB"), Some(1_073_741_824));
        for text in ["", "MiB", "1 MB", "-1", "1.5 MiB", "18446744073709551615 KiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
