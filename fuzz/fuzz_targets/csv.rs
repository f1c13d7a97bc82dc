//! Any bytes as CSV and as fixed-width lines.
#![no_main]

use lighterman::read::Dialect;
use lighterman_fuzz::{check, csv, encoding, fixed};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choice, kind, bytes @ ..] = data else { return };
    let (format, selectors) = if kind & 1 == 0 { csv(*choice) } else { fixed(*choice) };
    check(&Dialect { format, encoding: encoding(kind >> 1) }, &selectors, bytes);
});
