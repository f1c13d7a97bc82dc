//! What the targets share: dialects that the first bytes of an input choose, and what must hold for
//! every file that is read.

use std::io::{self, Read};

use lighterman::model::Record;
use lighterman::read::{
    Column, Csv, Dialect, Encoding, Fixed, Format, Json, Layout, Mark, Quote, Reader, Span,
    Trailer, Unsound, Xml,
};

/// Encodings of every kind: ASCII inside or not, of one byte or several, with a state.
pub const ENCODINGS: [&str; 12] = [
    "utf-8",
    "windows-1252",
    "utf-16le",
    "utf-16be",
    "cp850",
    "iso-8859-15",
    "shift_jis",
    "gb18030",
    "big5",
    "euc-jp",
    "euc-kr",
    "iso-2022-jp",
];

/// An encoding, more often than not UTF-8.
pub fn encoding(choice: u8) -> Encoding {
    let label = ENCODINGS.get(usize::from(choice % 24)).unwrap_or(&"utf-8");
    Encoding::for_label(label).unwrap_or(Encoding::UTF_8)
}

/// A CSV dialect, with the selectors that go with it.
pub fn csv(choice: u8) -> (Format, Vec<String>) {
    let bit = |n: u8| choice >> n & 1 == 1;
    let header = !bit(0);
    let csv = Csv {
        delimiter: [Some(b';'), Some(b','), Some(b'|'), None][usize::from(choice >> 1 & 3)],
        quote: match (bit(3), choice >> 1 & 3) {
            (false, _) => Quote::Sign(b'"'),
            (true, 3) => Quote::Auto,
            (true, _) => Quote::None,
        },
        header,
        skip: u64::from(bit(4)),
        pad: bit(5),
        trailer: bit(6)
            .then(|| Trailer { starts_with: vec!["99".to_owned()], count: bit(7).then_some(2) }),
    };
    let selectors = if header { ["A", "B"] } else { ["1", "2"] };
    (Format::Csv(csv), owned(&selectors))
}

/// A fixed-width dialect, with the selectors that go with it.
pub fn fixed(choice: u8) -> (Format, Vec<String>) {
    let bit = |n: u8| choice >> n & 1 == 1;
    let column =
        |name: &str, start, length| Column { name: name.to_owned(), span: Span { start, length } };
    let fixed = Fixed {
        columns: vec![column("A", 2, 3), column("B", 6, 2)],
        header: if bit(0) { vec!["0".to_owned()] } else { Vec::new() },
        records: if bit(1) { owned(&["1", "2"]) } else { Vec::new() },
        trailer: bit(2).then(|| Trailer {
            starts_with: vec!["9".to_owned()],
            count: bit(3).then_some(Span { start: 2, length: 4 }),
        }),
        skip: u64::from(bit(4)),
        pad: bit(5),
    };
    (Format::Fixed(fixed), owned(&["B", "A"]))
}

/// An XML dialect, with the selectors that go with it.
pub fn xml(choice: u8) -> (Format, Vec<String>) {
    let records = ["r/o", "**/o", "r/*", "n:r/n:o"][usize::from(choice & 3)];
    let namespaces = vec![("n".to_owned(), "urn:n".to_owned())];
    let mut selectors = owned(&["a", "a/b", "@k", "a[b='1']/c", "."]);
    if choice & 4 == 4 {
        selectors.push("../h".to_owned());
        selectors.push("../@k".to_owned());
    }
    (Format::Xml(Xml { records: records.to_owned(), namespaces }), selectors)
}

/// A JSON dialect, with the selectors that go with it.
pub fn json(choice: u8) -> (Format, Vec<String>) {
    let records = ["", "o", "d.o", "\"d.o\""][usize::from(choice & 3)];
    let mut selectors = owned(&["a", "a.b", "b", "c", "\"a.b\""]);
    if choice & 4 == 4 && !records.is_empty() {
        selectors.push("../h".to_owned());
    }
    if choice & 8 == 8 {
        return (Format::Ndjson, owned(&["a", "a.b", "b"]));
    }
    (Format::Json(Json { records: records.to_owned() }), selectors)
}

fn owned(selectors: &[&str]) -> Vec<String> {
    selectors.iter().map(|selector| (*selector).to_owned()).collect()
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    pub ordinal: u64,
    pub line: u64,
    pub byte: u64,
    pub length: u64,
    pub texts: Vec<Vec<String>>,
    pub faults: Vec<String>,
    /// Whether a mark may stand here.
    pub resumable: bool,
}

impl Taken {
    fn mark(&self) -> Mark {
        Mark { ordinal: self.ordinal, line: self.line, byte: self.byte }
    }
}

/// A file that was read as far as it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    pub taken: Vec<Taken>,
    pub layout: Layout,
    pub unsound: Option<Unsound>,
}

/// Hands out its bytes in pieces of one size.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    size: usize,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.size.min(out.len()).min(self.bytes.len() - self.at);
        out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Bytes that arrive in pieces of one size.
pub fn pieces(bytes: &[u8], size: usize) -> Box<dyn Read + Send> {
    Box::new(Pieces { bytes: bytes.to_vec(), at: 0, size })
}

fn rest(reader: &mut Reader, selectors: &[String]) -> (Vec<Taken>, Option<Unsound>) {
    let mut record = Record::default();
    let mut taken = Vec::new();
    loop {
        match reader.next(&mut record) {
            Ok(true) => taken.push(Taken {
                ordinal: record.ordinal,
                line: record.place.line,
                byte: record.place.byte,
                length: record.place.length,
                texts: (0..selectors.len())
                    .map(|slot| record.texts(slot).map(str::to_owned).collect())
                    .collect(),
                faults: record.faults.iter().map(|fault| format!("{fault:?}")).collect(),
                resumable: reader.resumable(),
            }),
            Ok(false) => return (taken, None),
            Err(unsound) => return (taken, Some(unsound)),
        }
    }
}

/// Reads a file that arrives in pieces of one size, and keeps what marks need as `inspect` does.
pub fn read(
    dialect: &Dialect,
    selectors: &[String],
    bytes: &[u8],
    size: usize,
) -> Result<Whole, Unsound> {
    let mut reader = Reader::open(dialect, selectors, pieces(bytes, size))?;
    let asked = dialect.format.above(selectors);
    let mut layout = Layout { asked: asked.clone(), ..reader.layout() };
    let (taken, unsound) = rest(&mut reader, selectors);
    if !asked.is_empty() {
        let mut reader = Reader::open(dialect, &asked, pieces(bytes, size))?;
        let mut record = Record::default();
        while let Ok(true) = reader.next(&mut record) {
            if reader.resumable() {
                layout.note_above(record.ordinal, reader.above());
            }
        }
    }
    Ok(Whole { taken, layout, unsound })
}

/// Checks all that must hold for a file, whatever it holds.
pub fn check(dialect: &Dialect, selectors: &[String], bytes: &[u8]) {
    let whole = read(dialect, selectors, bytes, usize::MAX);
    for size in [1, 7] {
        assert_eq!(read(dialect, selectors, bytes, size), whole, "in pieces of {size}");
    }
    let whole = match whole {
        Ok(whole) => whole,
        Err(unsound) => return check_place(&unsound, bytes),
    };
    if let Some(unsound) = &whole.unsound {
        check_place(unsound, bytes);
    }
    check_places(dialect, &whole, bytes);
    check_marks(dialect, selectors, &whole, bytes);
    // Looking for no text finds the same records.
    if let Ok(bare) = read(dialect, &[], bytes, usize::MAX) {
        let places = |whole: &Whole| -> Vec<_> {
            whole.taken.iter().map(|one| (one.ordinal, one.line, one.byte, one.length)).collect()
        };
        assert_eq!(places(&bare), places(&whole));
        assert_eq!(bare.unsound, whole.unsound);
    }
}

fn check_place(unsound: &Unsound, bytes: &[u8]) {
    assert!(unsound.byte <= bytes.len() as u64, "{unsound}");
    assert!(unsound.line >= 1 && unsound.line <= 1 + bytes.len() as u64, "{unsound}");
}

/// Ordinals count up, places follow each other inside the file, and lines are the file's own.
fn check_places(dialect: &Dialect, whole: &Whole, bytes: &[u8]) {
    let encoding = Encoding::for_label(&whole.layout.encoding).unwrap_or(dialect.encoding);
    // There a line end is one byte, and that byte is nothing else.
    let plain = !encoding.name().starts_with("UTF-16") && !encoding.is_stateful();
    let mut end = 0;
    for (n, one) in whole.taken.iter().enumerate() {
        assert_eq!(one.ordinal, n as u64 + 1);
        assert!(one.byte >= end && one.length > 0, "{one:?}");
        end = one.byte + one.length;
        assert!(end <= bytes.len() as u64, "{one:?}");
        if plain {
            assert_eq!(one.line, 1 + line_ends(&bytes[..one.byte as usize]), "{one:?}");
        }
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    let ends = |(n, byte): (usize, &u8)| {
        *byte == b'\r' || *byte == b'\n' && (n == 0 || bytes[n - 1] != b'\r')
    };
    bytes.iter().enumerate().filter(|(n, byte)| ends((*n, byte))).count() as u64
}

/// Reading on from any mark gives what reading from the start gave. Of many marks a few are tried.
fn check_marks(dialect: &Dialect, selectors: &[String], whole: &Whole, bytes: &[u8]) {
    let step = 1 + whole.taken.len() / 8;
    for (n, one) in whole.taken.iter().enumerate().step_by(step).filter(|(_, one)| one.resumable) {
        let tail = pieces(&bytes[one.byte as usize..], 5);
        let mut reader = Reader::resume(dialect, selectors, &whole.layout, one.mark(), tail)
            .unwrap_or_else(|unsound| panic!("cannot resume at {one:?}: {unsound}"));
        let (taken, unsound) = rest(&mut reader, selectors);
        assert_eq!(taken, whole.taken[n..], "from {one:?}");
        assert_eq!(unsound, whole.unsound, "from {one:?}");
    }
}
