//! Any bytes in any encoding: text, places and faults, in any chunking.
#![no_main]

use std::io::Read;

use lighterman::read::Unsound;
use lighterman::read::text::{Encoding, Text};
use lighterman_fuzz::{encoding, pieces};

/// The text, its last line and the file's end, or what stopped it, and the last place before that.
fn decode(
    encoding: Encoding,
    lenient: bool,
    bytes: &[u8],
    size: usize,
) -> Result<(String, u64, u64), Unsound> {
    let text = Text::open(encoding, pieces(bytes, size))?;
    let mut text = if lenient { text.lenient() } else { text };
    let mut out = String::new();
    match text.read_to_string(&mut out) {
        Ok(_) => Ok((out, text.line(), text.byte())),
        Err(error) => Err(Text::unsound(&error)),
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choice, kind, bytes @ ..] = data else { return };
    let (encoding, lenient) = (encoding(choice >> 1), kind & 1 == 1);
    let whole = decode(encoding, lenient, bytes, usize::MAX);
    for size in [1, 3] {
        assert_eq!(decode(encoding, lenient, bytes, size), whole);
    }
    let jis = encoding.is_stateful();
    let (text, line, end) = match whole {
        Ok(whole) => whole,
        Err(unsound) => {
            assert!(unsound.byte <= bytes.len() as u64, "{unsound}");
            assert!(
                !lenient || jis || unsound.rule != "encoding" || unsound.byte == 0,
                "{unsound}"
            );
            return;
        }
    };
    // The end mark of DOS is no text.
    let dos_end = u64::from(lenient && !jis && bytes.last() == Some(&0x1A));
    assert!(jis || end == bytes.len() as u64 || end + dos_end == bytes.len() as u64);
    let ends = text.replace("\r\n", "\n").matches(['\n', '\r']).count() as u64;
    assert_eq!(line, 1 + ends);
    if let (Encoding::Whatwg(whatwg), false) = (encoding, lenient) {
        // A byte order mark may have chosen another one.
        let (expected, _, bad) = whatwg.decode(bytes);
        assert!(!bad && text == expected, "{text:?} {expected:?}");
    }
});
