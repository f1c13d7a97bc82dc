//! The records: a release order a line, the same in every run, and the tables that their codes
//! are in. The names are invented.

use std::io::{self, Write};

/// Bytes of a line, its line end included.
pub const WIDTH: usize = 168;

pub const HEADER: &str = "ORDER_NO;CONT_NO;BL_NO;CARRIER;SIZE;TERMINAL;PORT;VESSEL;VOYAGE;VALID_TO;\
                          GROSS;SEAL;CONSIGNEE";

/// The columns of a record that the bare loop reads by number.
pub mod column {
    pub const ORDER_NO: usize = 0;
    pub const CONT_NO: usize = 1;
    pub const BL_NO: usize = 2;
    pub const CARRIER: usize = 3;
    pub const SIZE: usize = 4;
    pub const TERMINAL: usize = 5;
    pub const VESSEL: usize = 7;
    pub const VOYAGE: usize = 8;
    pub const VALID_TO: usize = 9;
    pub const CONSIGNEE: usize = 12;
}

const TOWNS: [&str; 20] = [
    "AALTER",
    "BEVEREN",
    "COMINES",
    "DENDER",
    "EVERGEM",
    "FLEURUS",
    "GENK",
    "HALLE",
    "IZEGEM",
    "JETTE",
    "KALLO",
    "LOKEREN",
    "MENEN",
    "NINOVE",
    "OPWIJK",
    "PUURS",
    "QUAREGNON",
    "RANST",
    "SCHOTEN",
    "TEMSE",
];
const OWNERS: [&str; 8] = ["CSQU", "TEMU", "OOLU", "HLXU", "YMLU", "CAIU", "BMOU", "KRVU"];
const SIZES: [(&str, &str); 12] = [
    ("20DV", "22G1"),
    ("40DV", "42G1"),
    ("40HC", "45G1"),
    ("45HC", "L5G1"),
    ("20RF", "22R1"),
    ("40RF", "42R1"),
    ("40RH", "45R1"),
    ("20OT", "22U1"),
    ("40OT", "42U1"),
    ("20FR", "22P1"),
    ("40FR", "42P1"),
    ("20TK", "22T1"),
];

/// Alias and code of every carrier.
pub fn carriers() -> Vec<(String, String)> {
    let letters = |n: usize| [b'A' + (n / 26) as u8, b'A' + (n % 26) as u8];
    (0..60)
        .map(|n| {
            let [first, second] = letters(n);
            let code = [b'Q', first, second, b'U'].map(char::from).iter().collect();
            (format!("{} LINE {n:02}", TOWNS[n % TOWNS.len()]), code)
        })
        .collect()
}

/// Alias and code of every size.
pub fn sizes() -> Vec<(String, String)> {
    SIZES.map(|(alias, code)| (alias.to_owned(), code.to_owned())).to_vec()
}

/// Alias and code of every terminal.
pub fn terminals() -> Vec<(String, String)> {
    (0..120).map(|n| (format!("QUAY {}", 100 + n), format!("BEANR{:05}", 1700 + n))).collect()
}

/// Writes so many records under a header.
pub fn write(count: u64, out: &mut impl Write) -> io::Result<()> {
    let (carriers, terminals) = (carriers(), terminals());
    let mut dice = Dice(0x11_47_e5);
    let mut line = Vec::with_capacity(WIDTH);
    writeln!(out, "{HEADER}")?;
    for number in 0..count {
        line.clear();
        let town = dice.pick(&TOWNS);
        let carrier = &dice.pick(&carriers).0;
        write!(
            line,
            "{:010};{};{}{:08};{carrier};{};{};BEANR;MV {town} STAR;{:03}W;{:02}/{:02}/2026;{}.{:03},5;SL{:07};{town} TRADING NV ",
            4_120_000_000 + number,
            container(&mut dice),
            &carrier[..4],
            dice.below(100_000_000),
            dice.pick(&SIZES).0,
            dice.pick(&terminals).0,
            dice.below(1000),
            1 + dice.below(28),
            1 + dice.below(12),
            10 + dice.below(18),
            dice.below(1000),
            dice.below(10_000_000),
        )?;
        while line.len() < WIDTH - 1 {
            line.push(b'A' + dice.below(26) as u8);
        }
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

/// A container number with its check digit (ISO 6346, Annex A).
fn container(dice: &mut Dice) -> String {
    let mut text = format!("{}{:06}", dice.pick(&OWNERS), dice.below(1_000_000));
    let digit = crate::bare::check_digit(text.as_bytes());
    text.push(char::from(b'0' + digit));
    text
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len() as u64) as usize]
    }
}
