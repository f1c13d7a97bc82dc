//! What a text promises.

use encoding_rs::{WINDOWS_1252, WINDOWS_1253};
use proptest::prelude::*;

use super::*;

/// Hands out its bytes in pieces of the given sizes, over and over.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    sizes: Vec<usize>,
    turn: usize,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()];
        self.turn += 1;
        let n = size.min(out.len()).min(self.bytes.len() - self.at);
        out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn open(encoding: &'static Encoding, bytes: &[u8]) -> Text {
    Text::open(encoding, Box::new(io::Cursor::new(bytes.to_vec()))).unwrap()
}

fn all(mut text: Text) -> Result<(String, u64, u64), Unsound> {
    let mut out = String::new();
    match text.read_to_string(&mut out) {
        Ok(_) => Ok((out, text.line(), text.byte())),
        Err(error) => Err(Text::unsound(&error)),
    }
}

#[test]
fn cr_lf_and_crlf_end_a_line_once() {
    let mut text = open(UTF_8, b"a\r\nb\rc\nd\r\r\n\n");
    let mut seen = Vec::new();
    for _ in 0..11 {
        text.fill_buf().unwrap();
        text.consume(1);
        seen.push(text.line());
    }
    // After: a CR LF b CR c LF d CR CR LF; one LF is left.
    assert_eq!(seen, [1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6]);
    assert_eq!(all(text).unwrap(), ("\n".to_owned(), 7, 12));
}

#[test]
fn a_byte_order_mark_wins_and_is_no_text() {
    let cases: [(&[u8], &str, u64); 3] = [
        (b"\xEF\xBB\xBFM\xC3\xBC\n", "Mü\n", 7),
        (b"\xFF\xFEM\0\xFC\0\n\0", "Mü\n", 8),
        (b"\xFE\xFF\0M\0\xFC\0\n", "Mü\n", 8),
    ];
    for (bytes, text, end) in cases {
        let opened = open(WINDOWS_1252, bytes);
        assert_eq!(opened.byte(), bytes.len() as u64 - (end - opened.byte()));
        assert_eq!(all(opened).unwrap(), (text.to_owned(), 2, end));
    }
}

#[test]
fn a_file_shorter_than_a_mark_is_read() {
    assert_eq!(all(open(UTF_8, b"")).unwrap(), (String::new(), 1, 0));
    assert_eq!(all(open(UTF_8, b"a")).unwrap(), ("a".to_owned(), 1, 1));
    assert_eq!(all(open(WINDOWS_1252, b"\xE9")).unwrap(), ("é".to_owned(), 1, 1));
}

#[test]
fn a_bad_byte_is_told_with_its_line_and_offset() {
    let fault = all(open(UTF_8, b"one\r\ntwo\nM\xFCller\n")).unwrap_err();
    assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 3, 10));
    assert_eq!(fault.what, "byte FC is not UTF-8 here");
    let fault = all(open(UTF_8, b"\xEF\xBB\xBFone\n\xE2\x82")).unwrap_err();
    assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 2, 7));
    // In windows-1253 the byte D2 stands for nothing (WHATWG Encoding, index windows-1253).
    let fault = all(open(WINDOWS_1253, b"\xC1\n\xD2")).unwrap_err();
    assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 2, 2));
}

#[test]
fn what_stands_before_a_bad_byte_is_read_first() {
    let mut text = open(UTF_8, b"one\ntwo\xFF");
    assert_eq!(text.fill_buf().unwrap(), b"one\ntwo");
    let fault = Text::unsound(&text.more().unwrap_err());
    assert_eq!((fault.line, fault.byte), (2, 7));
    text.consume(4);
    let fault = Text::unsound(&text.more().unwrap_err());
    assert_eq!((fault.line, fault.byte), (2, 7));
}

#[test]
fn half_a_utf_16_unit_and_half_a_pair_are_faults() {
    let fault = all(open(UTF_16LE, b"\xFF\xFEa\0\n\0b")).unwrap_err();
    assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 2, 6));
    let fault = all(open(UTF_16LE, b"\xFF\xFEa\0\x3D\xD8b\0")).unwrap_err();
    assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 1, 4));
}

#[test]
fn utf_16_without_a_mark_is_recognised_and_told() {
    let refused = Text::open(UTF_8, Box::new(&b"<\0a\0"[..])).err().unwrap();
    assert_eq!(refused.rule, "encoding");
    assert!(refused.advice.contains("UTF-16LE"), "{}", refused.advice);
}

#[test]
fn an_encoding_whose_places_cannot_be_told_is_refused() {
    let refused = Text::open(encoding_rs::SHIFT_JIS, Box::new(io::empty())).err().unwrap();
    assert_eq!(refused.rule, "encoding");
}

#[test]
fn a_fault_of_the_disk_comes_after_what_was_read() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let mut text = Text::open(UTF_8, Box::new((&b"one\ntwo"[..]).chain(Broken))).unwrap();
    assert_eq!(text.fill_buf().unwrap(), b"one\ntwo");
    text.consume(7);
    let fault = Text::unsound(&text.fill_buf().unwrap_err());
    assert_eq!((fault.rule, fault.line, fault.byte), ("io", 2, 7));
    assert!(fault.what.contains("bad sector"));
}

/// Every character as each encoding writes it, so that the places can be added up by hand.
fn encode(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    let units = || text.encode_utf16();
    match encoding.name() {
        "UTF-16LE" => [0xFF, 0xFE].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect(),
        "UTF-16BE" => [0xFE, 0xFF].into_iter().chain(units().flat_map(u16::to_be_bytes)).collect(),
        _ => encoding.encode(text).0.into_owned(),
    }
}

fn texts(characters: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(characters), 0..200)
        .prop_map(|parts| parts.concat())
}

/// Reads as an inner reader would, in steps of the given sizes, and compares every place with
/// one counted from the text alone.
fn read_and_compare(text: &str, encoding: &'static Encoding, sizes: &[usize]) {
    let bytes = encode(text, encoding);
    let mark = if encoding.name().starts_with("UTF-16") { 2 } else { 0 };
    let pieces = Pieces { bytes, at: 0, sizes: sizes.to_vec(), turn: 0 };
    let mut stream = Text::open(encoding, Box::new(pieces)).unwrap();
    let mut read = Vec::new();
    for step in sizes.iter().cycle() {
        let ahead = stream.fill_buf().unwrap();
        if ahead.is_empty() {
            break;
        }
        let step = ahead[..(*step).min(ahead.len())].to_vec();
        stream.consume(step.len());
        read.extend_from_slice(&step);
        if let Ok(so_far) = std::str::from_utf8(&read) {
            let bytes = match encoding.name() {
                "UTF-8" => so_far.len(),
                "UTF-16LE" | "UTF-16BE" => 2 * so_far.encode_utf16().count(),
                _ => so_far.chars().count(),
            };
            let unified = so_far.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(stream.line(), 1 + unified.matches('\n').count() as u64);
            assert_eq!(stream.byte(), (mark + bytes) as u64);
        }
    }
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_text_lines_and_bytes(
        text in texts(&["a", "bc;", "é", "€", "😀", "\r", "\n", "\r\n"]),
        sizes in proptest::collection::vec(1_usize..7, 1..5),
    ) {
        for encoding in [UTF_8, UTF_16LE, UTF_16BE] {
            read_and_compare(&text, encoding, &sizes);
        }
    }

    #[test]
    fn any_chunking_of_a_page_gives_the_same_text_lines_and_bytes(
        text in texts(&["a", "bc;", "é", "€", "ÿ", "\r", "\n", "\r\n"]),
        sizes in proptest::collection::vec(1_usize..7, 1..5),
    ) {
        read_and_compare(&text, WINDOWS_1252, &sizes);
    }

    #[test]
    fn windows_1252_never_fails(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let sound = !bytes.iter().take(2).any(|byte| *byte == 0)
            && Encoding::for_bom(&bytes).is_none();
        prop_assume!(sound);
        let length = bytes.len() as u64;
        let (text, _, end) = all(open(WINDOWS_1252, &bytes)).unwrap();
        prop_assert_eq!(text.chars().count() as u64, length);
        prop_assert_eq!(end, length);
    }

    #[test]
    fn any_bytes_are_utf_8_exactly_up_to_the_first_bad_one(
        bytes in proptest::collection::vec(
            proptest::sample::select(vec![b'a', b'\n', b'\r', 0xC3, 0xA9, 0xE2, 0x82, 0xF0, 0x9F]),
            1..40,
        ),
        sizes in proptest::collection::vec(1_usize..7, 1..5),
    ) {
        let bytes = [b"aaa".to_vec(), bytes].concat();
        let pieces = Pieces { bytes: bytes.clone(), at: 0, sizes, turn: 0 };
        let read = all(Text::open(UTF_8, Box::new(pieces)).unwrap());
        match std::str::from_utf8(&bytes) {
            Ok(text) => prop_assert_eq!(read.unwrap().0, text),
            Err(error) => {
                let fault = read.unwrap_err();
                let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap();
                let unified = before.replace("\r\n", "\n").replace('\r', "\n");
                prop_assert_eq!(fault.byte, error.valid_up_to() as u64);
                prop_assert_eq!(fault.line, 1 + unified.matches('\n').count() as u64);
            }
        }
    }

    #[test]
    fn what_is_in_view_grows_and_stays(
        text in texts(&["a", "é", "😀", "\r\n"]),
        consumed in 0_usize..10,
    ) {
        // Larger than a chunk, so that `more` has to keep what is in view.
        let text = text.repeat(1 + CHUNK / (1 + text.len()));
        let mut stream = open(UTF_16LE, &encode(&text, UTF_16LE));
        let mut start = 0;
        while stream.more().unwrap() {
            let step: usize = stream.ahead().chars().take(consumed).map(char::len_utf8).sum();
            stream.consume(step);
            start += step;
            prop_assert!(text[start..].starts_with(stream.ahead()));
        }
        prop_assert_eq!(stream.ahead(), &text[start..]);
    }
}
