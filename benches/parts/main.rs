//! The parts, each measured alone on something small: readers, mapping rules, outputs, the ledger.
//! `benches/whole_path` measures them at work.
//!
//! `cargo bench --bench parts [-- FILTER]`

mod ledger;
mod mapping;
mod output;
mod readers;

use lighterman::config::{Environments, Faults};
use lighterman::map::{Bundle, Mapping};

fn main() {
    divan::main();
}

/// A mapping of this text, with one table `terminals` of 120 rows.
fn compile(text: &str) -> Mapping {
    let mut table = "alias,code\n".to_owned();
    table.extend((100..220).map(|n| format!("QUAY {n},BEANR{:05}\n", n + 1600)));
    let bundle = Bundle {
        name: "parts".to_owned(),
        file: "parts.toml".into(),
        text: text.to_owned(),
        tables: [("terminals".to_owned(), ("terminals.csv".into(), table))].into(),
    };
    let faults = Faults::default();
    let mapping = Mapping::compile(&bundle, &Environments::default(), &faults);
    mapping.unwrap_or_else(|| {
        let told: Vec<String> = faults.take().iter().map(ToString::to_string).collect();
        panic!("{}", told.join("\n"))
    })
}
