//! Output: one record of ten values, two of which need an escape, in each format.

use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::civil::date;
use lighterman::map::{Context, Mapped};
use lighterman::model::Record;

const VALUES: [(&str, &str); 10] = [
    ("reference", "4120000017"),
    ("container.containerNumber", "CSQU3054383"),
    ("container.isoTypeCode", "45G1"),
    ("container.pickupLocation", "BEANR01700"),
    ("container.validUntil", "2026-12-31"),
    ("billOfLading.blNumber", "HALL00412001"),
    ("billOfLading.carrier", "QAAU"),
    ("billOfLading.vessel", "MV \"HALLE\" STAR"),
    ("billOfLading.voyageNumber", "017W"),
    ("consignee.name", "HALLE, JETTE & CO"),
];

#[divan::bench(args = ["json", "ndjson", "xml", "csv"])]
fn record(bencher: Bencher<'_, '_>, format: &str) {
    let names = if format == "xml" { "root = \"Orders\"\nrecord = \"Order\"\n" } else { "" };
    let fields =
        VALUES.map(|(to, _)| format!("[[fields]]\nto = \"{to}\"\nfrom = \"{to}\"\n")).concat();
    let mapping = super::compile(&format!(
        "[input]\nformat = \"csv\"\n[output]\nformat = \"{format}\"\n{names}{fields}"
    ));
    let mut record = Record::default();
    record.start(1);
    for (slot, (_, value)) in VALUES.iter().enumerate() {
        record.push(slot, value);
    }
    let context = Context { customer: "acme".to_owned(), date: date(2026, 11, 22) };
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        out.clear();
        let mapped = mapping.apply(&record, &context, &mut out, &mut problems);
        assert_eq!(mapped, Mapped::Ready);
    });
}
