//! What a text promises.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, IBM866, ISO_2022_JP, ISO_8859_15, KOI8_R,
    SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, WINDOWS_1253, WINDOWS_1258,
};
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
    assert_eq!((fault.rule, fault.line, fault.byte), ("truncated", 2, 7));
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
    assert_eq!((fault.rule, fault.line, fault.byte), ("truncated", 2, 6));
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
fn utf_16_of_the_other_byte_order_is_told() {
    let refused = Text::open(UTF_16LE, Box::new(&b"\0<\0a"[..])).err().unwrap();
    assert!(refused.advice.contains("UTF-16BE"), "{}", refused.advice);
    // U+4E00 is the Chinese one.
    assert_eq!(all(open(UTF_16LE, b"\0\x4E;\0a\0")).unwrap().0, "一;a");
    assert_eq!(all(open(UTF_16LE, b"\0\x4E")).unwrap().0, "一");
    assert_eq!(all(open(UTF_16LE, b"a\0\xAC\x20")).unwrap().0, "a€");
    assert_eq!(all(open(UTF_16BE, b"\0a\x20\xAC")).unwrap().0, "a€");
}

/// Expected values: `"…".encode(…)` of Python.
#[test]
fn characters_of_several_bytes_keep_their_places() {
    for (encoding, bytes, text) in [
        (SHIFT_JIS, &b"\x93\x8c\n\xb1\\\x8b\x9e\n"[..], "東\nｱ\\京\n"),
        (EUC_JP, b"\xc5\xec\n\x8e\xb1\x8f\xb0\xa1\n", "東\nｱ丂\n"),
        (GB18030, b"\xb6\xab\n\x94\x39\xda\x33\n", "东\n💩\n"),
        (GBK, b"\xb6\xab\n\x80\xa2\xe3\n", "东\n€€\n"),
        (BIG5, b"\xaaF\n\x88\x62\n", "東\nÊ̄\n"),
        (EUC_KR, b"\xc7\xd1\na\n", "한\na\n"),
        (ISO_2022_JP, b"\x1b$B\x45\x6c\x1b(B\n\x1b(J\x5c\x1b(B\n", "東\n¥\n"),
    ] {
        for size in 1..9 {
            let pieces = Pieces { bytes: bytes.to_vec(), at: 0, sizes: vec![size], turn: 0 };
            let mut stream = Text::open(encoding, Box::new(pieces)).unwrap();
            let mut read = String::new();
            let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() as u64;
            while !read.ends_with('\n') {
                let ahead = stream.fill_buf().unwrap();
                let character = std::str::from_utf8(ahead).unwrap().chars().next().unwrap();
                read.push(character);
                stream.consume(character.len_utf8());
            }
            assert_eq!((stream.line(), stream.byte()), (2, first + 1), "{}", encoding.name());
            let end = bytes.len() as u64;
            assert_eq!(all(stream).unwrap(), (text[read.len()..].to_owned(), 3, end));
        }
    }
}

#[test]
fn half_a_character_at_the_end_is_truncation() {
    for (encoding, bytes) in [
        (UTF_8, &b"one\n\xE2\x82"[..]),
        (SHIFT_JIS, b"one\n\x93"),
        (GB18030, b"one\n\x94\x39\xda"),
        (ISO_2022_JP, b"one\n\x1b$B\x45"),
    ] {
        for text in [open(encoding, bytes), open(encoding, bytes).lenient()] {
            let fault = all(text).unwrap_err();
            assert_eq!((fault.rule, fault.line), ("truncated", 2), "{}", encoding.name());
        }
    }
}

#[test]
fn an_escape_sequence_may_end_the_file() {
    let mut text = open(ISO_2022_JP, b"a\n\x1b$B");
    assert!(text.more().unwrap());
    assert_eq!(text.ahead(), "a\n");
    while text.more().unwrap() {}
    assert!(!text.more().unwrap());
}

#[test]
fn what_parts_lines_in_iso_2022_jp_is_ascii() {
    let fault = all(open(ISO_2022_JP, b"a\n\x1b(J\x5c\n")).unwrap_err();
    assert_eq!((fault.rule, fault.line), ("encoding", 2));
}

#[test]
fn a_lenient_text_passes_over_bad_bytes_and_tells_the_first_since_it_was_asked() {
    let bytes = b"one\nM\xFCll\xFCr\ncaf\x82\n\xE2\x82x\nr\x1A\n\xC3\xA9";
    let mut text = open(UTF_8, bytes).lenient();
    let mut told = Vec::new();
    let mut read = String::new();
    while text.more().unwrap() || !text.ahead().is_empty() {
        while let Some(end) = text.ahead().find('\n') {
            read.push_str(&text.ahead()[..=end]);
            text.consume_line(end + 1);
            told.extend(text.take_flaw().map(|flaw| {
                let unsound = flaw.unsound;
                (flaw.value, unsound.line, unsound.byte, unsound.advice.contains("cp850"))
            }));
        }
        if text.ahead() == "é" {
            break;
        }
    }
    assert_eq!(read, "one\nM\u{1a}ll\u{1a}r\ncaf\u{1a}\n\u{1a}\u{1a}x\nr\u{1a}\n");
    let told: Vec<_> =
        told.iter().map(|(v, line, byte, dos)| (v.as_str(), *line, *byte, *dos)).collect();
    assert_eq!(
        told,
        [
            ("byte FC", 2, 5, false),
            ("byte 82", 3, 14, true),
            ("byte E2", 4, 16, false),
            ("byte 1A", 5, 21, false)
        ]
    );
    assert_eq!(text.byte(), 23);
}

#[test]
fn the_end_mark_of_dos_is_no_text() {
    for size in 1..6 {
        let bytes = [&[b'a'; CHUNK][..], b"\n\x1A"].concat();
        for bytes in [bytes[1..].to_vec(), bytes[2..].to_vec(), bytes] {
            let pieces = Pieces { bytes: bytes.clone(), at: 0, sizes: vec![size], turn: 0 };
            let text = Text::open(WINDOWS_1252, Box::new(pieces)).unwrap().lenient();
            let (text, line, _) = all(text).unwrap();
            assert_eq!((text.len(), line), (bytes.len() - 1, 2));
        }
    }
}

#[test]
fn a_fault_of_the_disk_comes_after_what_was_read() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let mut text = Text::open(UTF_8, Box::new((&b"one\ntwelve"[..]).chain(Broken))).unwrap();
    assert_eq!(text.fill_buf().unwrap(), b"one\ntwelve");
    text.consume(10);
    let fault = Text::unsound(&text.fill_buf().unwrap_err());
    assert_eq!((fault.rule, fault.line, fault.byte), ("io", 2, 10));
    assert!(fault.what.contains("bad sector"));
}

const ENCODINGS: [&Encoding; 17] = [
    UTF_8,
    UTF_16LE,
    UTF_16BE,
    SHIFT_JIS,
    EUC_JP,
    ISO_2022_JP,
    GB18030,
    GBK,
    BIG5,
    EUC_KR,
    WINDOWS_1252,
    WINDOWS_1253,
    WINDOWS_1258,
    ISO_8859_15,
    KOI8_R,
    IBM866,
    encoding_rs::MACINTOSH,
];

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
                _ => encoding.encode(so_far).0.len(),
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
    fn characters_of_several_bytes_have_true_places_in_any_chunking(
        text in texts(&["a", "bc;", "東", "京都", "い", "Б", "\r", "\n", "\r\n"]),
        sizes in proptest::collection::vec(1_usize..7, 1..5),
    ) {
        for encoding in [SHIFT_JIS, EUC_JP, GB18030, GBK, BIG5, EUC_KR] {
            // Not all of them have all of these.
            let text: String =
                text.chars().filter(|c| !encoding.encode(c.encode_utf8(&mut [0; 4])).2).collect();
            read_and_compare(&text, encoding, &sizes);
        }
    }

    #[test]
    fn any_bytes_are_what_encoding_rs_says_up_to_the_first_bad_one(
        bytes in proptest::collection::vec(
            prop_oneof![
                any::<u8>(),
                proptest::sample::select(b"\x1b$B(J\n\r\x81\x8e\x8f\xe3\x30\x39\xa1".to_vec()),
            ],
            0..200,
        ),
        which in 0..ENCODINGS.len(),
        sizes in proptest::collection::vec(1_usize..7, 1..5),
    ) {
        let bytes = [b"aaa".to_vec(), bytes].concat();
        let encoding = ENCODINGS[which];
        let expected = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        let pieces = Pieces { bytes: bytes.clone(), at: 0, sizes, turn: 0 };
        match (all(Text::open(encoding, Box::new(pieces)).unwrap()), expected) {
            (Ok((text, line, end)), expected) => {
                prop_assert_eq!(&text, &expected.unwrap());
                let unified = text.replace("\r\n", "\n").replace('\r', "\n");
                prop_assert_eq!(line, 1 + unified.matches('\n').count() as u64);
                // ISO-2022-JP: escape sequences with no character behind them.
                prop_assert!(end == bytes.len() as u64 || encoding == ISO_2022_JP);
            }
            (Err(fault), None) => {
                let (before, _) = encoding.decode_without_bom_handling(&bytes[..fault.byte as usize]);
                let tail = before.trim_end_matches('\u{FFFD}');
                prop_assert!(encoding == ISO_2022_JP || tail.len() == before.len());
            }
            // What stands for a control character, and the Roman set at a line's end.
            (Err(fault), Some(text)) => {
                let control = text.chars().any(|c| matches!(c, '\u{80}'..='\u{9F}'));
                let page = Encoding::is_single_byte(encoding) && control;
                prop_assert!(page || encoding == ISO_2022_JP, "{}", fault);
            }
        }
    }

    #[test]
    fn a_lenient_text_loses_no_byte_and_no_line(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        which in 0..ENCODINGS.len(),
        sizes in proptest::collection::vec(1_usize..7, 1..5),
    ) {
        let encoding = ENCODINGS[which];
        prop_assume!(encoding != ISO_2022_JP);
        let wide = encoding == UTF_16LE || encoding == UTF_16BE;
        let bytes = match wide {
            true => [b"aaaa".to_vec(), bytes, b"\n\n\n\n".to_vec()].concat(),
            false => [b"aaa".to_vec(), bytes, b"\n".to_vec()].concat(),
        };
        prop_assume!(!wide || bytes.len() % 2 == 0);
        let read = |sizes: Vec<usize>| {
            let pieces = Pieces { bytes: bytes.clone(), at: 0, sizes, turn: 0 };
            all(Text::open(encoding, Box::new(pieces)).unwrap().lenient()).unwrap()
        };
        let (text, line, end) = read(sizes);
        prop_assert_eq!(end, bytes.len() as u64);
        if !wide {
            let unified = bytes.iter().filter(|byte| **byte != b'\n' && **byte != b'\r').count();
            let ends = bytes.len() - unified;
            let pairs = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
            prop_assert_eq!(line, 1 + (ends - pairs) as u64);
        }
        prop_assert_eq!((text, line, end), read(vec![200]));
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
