//! A rejects file holds exactly the records that were chosen, as they were.
#![no_main]

use lighterman::read::{Dialect, excerpt};
use lighterman_fuzz::{csv, encoding, fixed, json, pieces, read, xml};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choice, kind, chosen, bytes @ ..] = data else { return };
    let (format, selectors) = match kind & 3 {
        // What is found from the head of a file may be found otherwise from fewer rows.
        0 if choice >> 1 & 3 == 3 => return,
        // Without a header the first row tells how many columns there are; another may be the first.
        0 => csv(choice & !1),
        // A record that starts like a header line may come to stand right below the header.
        1 => fixed(choice | (choice & 1) << 1),
        2 => xml(*choice),
        _ => json(*choice),
    };
    let dialect = Dialect { format, encoding: encoding(kind >> 2) };
    let Ok(whole) = read(&dialect, &selectors, bytes, usize::MAX) else { return };
    if whole.unsound.is_some() {
        return;
    }
    // Zeros and byte order marks mean something else where they come to stand at a file's start.
    let wide = whole.layout.encoding.starts_with("UTF-16");
    let marks = |at: usize| encoding_rs::Encoding::for_bom(&bytes[at..]).is_some();
    if !wide && bytes.contains(&0) || (1..bytes.len()).any(marks) {
        return;
    }
    let keep = |ordinal: u64| chosen >> (ordinal % 8) & 1 == 1;
    let mut out = Vec::new();
    let kept = excerpt(&dialect, || Ok(pieces(bytes, 7)), &mut |ordinal| keep(ordinal), &mut out)
        .expect("a sound file has an excerpt");
    let again = read(&dialect, &selectors, &out, usize::MAX).expect("an excerpt opens");
    assert_eq!(again.unsound, None, "{}", String::from_utf8_lossy(&out));
    assert_eq!(again.taken.len() as u64, kept);
    let expected = whole.taken.iter().filter(|one| keep(one.ordinal));
    for (one, expected) in again.taken.iter().zip(expected) {
        assert_eq!(one.texts, expected.texts, "{}", String::from_utf8_lossy(&out));
        assert_eq!(one.faults.len(), expected.faults.len());
    }
    if *chosen == 0xFF {
        assert_eq!(out, bytes, "all records are the whole file");
    }
});
