//! Any bytes as JSON and as NDJSON; what serde_json refuses is refused.
#![no_main]

use lighterman::read::{Dialect, Encoding, Format, Json};
use lighterman_fuzz::{check, encoding, json, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choice, kind, bytes @ ..] = data else { return };
    let (format, selectors) = json(*choice);
    check(&Dialect { format, encoding: encoding(kind >> 1) }, &selectors, bytes);

    let dialect = Dialect {
        format: Format::Json(Json { records: String::new() }),
        encoding: Encoding::UTF_8,
    };
    let marked = encoding_rs::Encoding::for_bom(bytes).is_some();
    let nested = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if !marked && nested < 100 {
        let sound =
            read(&dialect, &[], bytes, usize::MAX).is_ok_and(|whole| whole.unsound.is_none());
        let judged = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).ok());
        let holds = judged.is_some_and(|value| value.get().starts_with(['[', '{', 'n']));
        let blank = bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        assert_eq!(sound, holds || blank);
    }
});
