//! Report: what all rounds found, as a table and as ratios. Of several rounds the best and the
//! median are told; a ratio is taken between the best, and between parts of the same round.

use std::collections::BTreeMap;
use std::fmt;

use crate::measure::Figures;

/// The figures of every part, round by round.
pub struct Report {
    records: u64,
    calls: u64,
    parts: BTreeMap<String, Vec<Figures>>,
    order: Vec<String>,
}

impl Report {
    pub fn new(records: u64, calls: u64) -> Report {
        Report { records, calls, parts: BTreeMap::new(), order: Vec::new() }
    }

    pub fn add(&mut self, part: &str, mut figures: Figures) {
        if figures.server.first > 0.0 {
            figures.first = figures.server.first - figures.began;
            figures.last = figures.server.last - figures.began;
        }
        if !self.order.iter().any(|known| known == part) {
            self.order.push(part.to_owned());
        }
        self.parts.entry(part.to_owned()).or_default().push(figures);
    }

    fn rate(&self, part: &str) -> Option<(f64, f64)> {
        let rates =
            self.parts.get(part)?.iter().map(|figures| figures.records as f64 / figures.seconds);
        Some(best_and_median(rates, true))
    }

    fn cpu(&self, part: &str) -> Option<(f64, f64)> {
        Some(best_and_median(self.parts.get(part)?.iter().map(|figures| figures.cpu), false))
    }

    fn ratio(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        part: &str,
        of: &str,
        goal: &str,
    ) -> fmt::Result {
        let (Some(parts), Some(others)) = (self.parts.get(part), self.parts.get(of)) else {
            return Ok(());
        };
        let (Some(rate), Some(rate_of)) = (self.rate(part), self.rate(of)) else { return Ok(()) };
        let (Some(cpu), Some(cpu_of)) = (self.cpu(part), self.cpu(of)) else { return Ok(()) };
        // Parts of one round ran one after the other, so that much the same ran beside them.
        let by_round = parts.iter().zip(others).map(|(part, of)| of.seconds / part.seconds);
        writeln!(
            f,
            "{what}: {:.0} % of the best, {:.0} % at the median of the rounds, {:.0} % by median \
             CPU time; goal: {goal}",
            100.0 * rate.0 / rate_of.0,
            100.0 * best_and_median(by_round, true).1,
            100.0 * cpu_of.1 / cpu.1,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<18} {:>12} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "part", "best /s", "median /s", "best s", "median s", "CPU s", "peak MiB", "MB out"
        )?;
        for name in &self.order {
            let rounds = &self.parts[name];
            let (Some(rate), Some(cpu)) = (self.rate(name), self.cpu(name)) else { continue };
            let seconds = best_and_median(rounds.iter().map(|figures| figures.seconds), false);
            let peak = rounds.iter().map(|figures| figures.peak_kib).max().unwrap_or(0);
            let bytes = rounds.iter().map(|figures| figures.bytes.max(figures.server.bytes)).max();
            writeln!(
                f,
                "{name:<18} {:>12.0} {:>12.0} {:>9.3} {:>9.3} {:>9.2} {:>9.1} {:>9.1}",
                rate.0,
                rate.1,
                seconds.0,
                seconds.1,
                cpu.1,
                peak as f64 / 1024.0,
                bytes.unwrap_or(0) as f64 / 1e6,
            )?;
        }
        writeln!(f)?;
        self.ratio(f, "read + map + serialise / bare loop", "map", "bare", "70 %")?;
        self.ratio(f, "whole path / limit", "whole", "limit", "60 %")?;
        self.ratio(f, "send / post", "send", "post", "-")?;
        self.ratio(f, "large file, SFTP / OpenSSH", "sftp-big", "openssh-big", "80 %")?;
        self.ratio(f, "the same, aes128-gcm both", "sftp-big", "openssh-big-gcm", "-")?;
        self.ratio(f, "the same, durable both", "sftp-big", "openssh-big-fsync", "-")?;
        self.ratio(f, "small files, SFTP / OpenSSH", "sftp-small", "openssh-small", "300 %")?;
        self.ratio(f, "the same, kept there", "sftp-small-kept", "openssh-small", "300 %")?;
        if let (Some(ours), Some(plain)) = (self.rate("scr"), self.rate("scr-plain")) {
            writeln!(
                f,
                "SCR, {} calls: {:.3} x the plain client; goal: 1.03",
                self.calls,
                plain.0 / ours.0
            )?;
        }
        if let Some(rounds) = self.parts.get("whole") {
            let per = |bytes: u64| bytes as f64 / self.records.max(1) as f64;
            let pick = |of: fn(&Figures) -> f64| best_and_median(rounds.iter().map(of), false).1;
            writeln!(
                f,
                "whole: first message after {:.3} s, last answered after {:.3} s, end after {:.3} s (medians)",
                pick(|figures| figures.first),
                pick(|figures| figures.last),
                pick(|figures| figures.seconds),
            )?;
            if let Some(figures) = rounds.last() {
                writeln!(
                    f,
                    "ledger: {:.2} bytes a record on disk at the most, {:.2} at the end; at most {} messages open",
                    per(figures.ledger_peak),
                    per(figures.ledger_end),
                    figures.server.open,
                )?;
                let cpu = |(name, cpu): &(String, f64)| format!("{name} {cpu:.2} s");
                let threads: Vec<String> = figures.threads.iter().map(cpu).collect();
                writeln!(f, "CPU by thread: {}", threads.join(", "))?;
            }
        }
        for (name, rounds) in &self.parts {
            for figures in rounds.iter().filter(|figures| !figures.note.is_empty()) {
                writeln!(f, "{name}: {}", figures.note)?;
            }
        }
        Ok(())
    }
}

/// The best and the median of some numbers; `high` tells whether the highest is the best.
fn best_and_median(numbers: impl Iterator<Item = f64>, high: bool) -> (f64, f64) {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let best = if high { numbers.last() } else { numbers.first() };
    (best.copied().unwrap_or(0.0), numbers.get(numbers.len() / 2).copied().unwrap_or(0.0))
}
