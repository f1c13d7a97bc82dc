//! Mapping: what one rule costs on one value that it takes.

use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::civil::date;
use lighterman::map::{Context, Mapped};
use lighterman::model::Record;

/// A rule and a value.
const RULES: [(&str, &str); 9] = [
    ("", "00412001"),
    ("clean = [\"trim\", \"uppercase\", { remove = \"- \" }]", " csqu 305438-3 "),
    ("check = \"iso6346\"", "CSQU3054383"),
    ("check = \"unlocode\"", "BEANR"),
    ("check = \"regex:[0-9]+\"", "00412001"),
    ("values = { A = \"assign\", U = \"unassign\" }", "A"),
    ("aka = \"terminals\"", "QUAY 177"),
    (
        "date = { read = [\"%d/%m/%Y %H:%M\"], timezone = \"Europe/Brussels\", write = \"rfc3339\" }",
        "31/12/2026 23:59",
    ),
    ("number = { decimal = \",\", group = \".\" }", "24.500,5"),
];

#[divan::bench(args = RULES.map(|(rule, _)| rule))]
fn rule(bencher: Bencher<'_, '_>, rule: &str) {
    let value = RULES.iter().find(|(known, _)| *known == rule).map_or("", |(_, value)| value);
    let field = format!("[[fields]]\nto = \"a\"\nfrom = \"A\"\n{rule}\n");
    let mapping = super::compile(&format!("[input]\nformat = \"csv\"\n{field}"));
    let mut record = Record::default();
    record.start(1);
    record.push(0, value);
    let context = Context { customer: "acme".to_owned(), date: date(2026, 11, 22) };
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        out.clear();
        let mapped = mapping.apply(&record, &context, &mut out, &mut problems);
        assert_eq!(mapped, Mapped::Ready);
    });
}
