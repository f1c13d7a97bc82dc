//! Any bytes as XML.
#![no_main]

use lighterman::read::Dialect;
use lighterman_fuzz::{check, encoding, xml};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choice, kind, bytes @ ..] = data else { return };
    let (format, selectors) = xml(*choice);
    check(&Dialect { format, encoding: encoding(kind >> 1) }, &selectors, bytes);
});
