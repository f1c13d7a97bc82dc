//! Ordinals: a set of record numbers, kept and stored in chunks of 4,096.

use std::collections::BTreeMap;

/// Numbers in one chunk.
pub const CHUNK: u64 = 4096;
const WORDS: usize = (CHUNK / 64) as usize;

/// A set of ordinals. Memory grows with the chunks that are filled in part: 512 bytes each. Those
/// that are full, as most are of a big file that was delivered, cost next to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordinals {
    chunks: BTreeMap<u32, Chunk>,
    len: u64,
}

/// What a chunk holds, as bits; it holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    Full,
    Part(Box<Words>),
}

type Words = [u64; WORDS];

const FULL: Words = [u64::MAX; WORDS];

impl Chunk {
    fn words(&self) -> &Words {
        match self {
            Chunk::Full => &FULL,
            Chunk::Part(words) => words,
        }
    }
}

impl Ordinals {
    /// Adds all from `first` to `last`, both inclusive; tells how many were new.
    pub fn insert(&mut self, first: u64, last: u64) -> u64 {
        let mut added = 0;
        let mut next = first;
        while next <= last {
            let begin = next;
            let chunk = chunk_of(begin);
            let end = last.min((u64::from(chunk) + 1) * CHUNK - 1);
            next = end + 1;
            let held =
                self.chunks.entry(chunk).or_insert_with(|| Chunk::Part(Box::new([0; WORDS])));
            let Chunk::Part(words) = held else { continue };
            let (from, to) = ((begin % CHUNK) as usize, (end % CHUNK) as usize);
            for (index, word) in words.iter_mut().enumerate().take(to / 64 + 1).skip(from / 64) {
                let low = if index == from / 64 { from % 64 } else { 0 };
                let high = if index == to / 64 { to % 64 } else { 63 };
                let mask = (u64::MAX >> (63 - high)) & (u64::MAX << low);
                added += u64::from((mask & !*word).count_ones());
                *word |= mask;
            }
            if **words == FULL {
                *held = Chunk::Full;
            }
        }
        self.len += added;
        added
    }

    /// Takes all from `first` to `last`, both inclusive, out of the set; tells how many were in it.
    pub fn remove(&mut self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        let mut gone = 0;
        let mut emptied = Vec::new();
        for (chunk, held) in self.chunks.range_mut(chunk_of(first)..=chunk_of(last)) {
            if *held == Chunk::Full {
                *held = Chunk::Part(Box::new(FULL));
            }
            let Chunk::Part(words) = held else { continue };
            let start = u64::from(*chunk) * CHUNK;
            for (index, word) in words.iter_mut().enumerate() {
                let low = start + index as u64 * 64;
                if low > last || low + 63 < first {
                    continue;
                }
                let from = first.saturating_sub(low);
                let to = (last - low).min(63);
                let mask = (u64::MAX >> (63 - to)) & (u64::MAX << from);
                gone += u64::from((mask & *word).count_ones());
                *word &= !mask;
            }
            if words.iter().all(|word| *word == 0) {
                emptied.push(*chunk);
            }
        }
        for chunk in emptied {
            self.chunks.remove(&chunk);
        }
        self.len -= gone;
        gone
    }

    /// Whether the ordinal is in the set.
    pub fn contains(&self, ordinal: u64) -> bool {
        let at = (ordinal % CHUNK) as usize;
        self.chunks
            .get(&chunk_of(ordinal))
            .is_some_and(|held| held.words()[at / 64] >> (at % 64) & 1 == 1)
    }

    /// Whether the set holds something of this chunk.
    pub fn holds_of(&self, chunk: u32) -> bool {
        self.chunks.contains_key(&chunk)
    }

    /// How many are in the set.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether none is in the set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of those from `first` to `last`, both inclusive, are in the set.
    pub fn count(&self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        let mut count = 0;
        for (chunk, held) in self.chunks.range(chunk_of(first)..=chunk_of(last)) {
            let start = u64::from(*chunk) * CHUNK;
            for (index, word) in held.words().iter().enumerate() {
                let low = start + index as u64 * 64;
                let high = low + 63;
                if high < first || low > last || *word == 0 {
                    continue;
                }
                let mut word = *word;
                if first > low {
                    word &= u64::MAX << (first - low);
                }
                if last < high {
                    word &= u64::MAX >> (high - last);
                }
                count += u64::from(word.count_ones());
            }
        }
        count
    }

    /// The set as ranges, both ends inclusive, in order.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (chunk, held) in &self.chunks {
            for (from, to) in chunk_ranges(held.words()) {
                let start = u64::from(*chunk) * CHUNK;
                let (first, last) = (start + u64::from(from), start + u64::from(to));
                match ranges.last_mut() {
                    Some(range) if range.1 + 1 == first => range.1 = last,
                    _ => ranges.push((first, last)),
                }
            }
        }
        ranges
    }

    /// Those from 1 to `total` that are not in the set, as ranges.
    pub fn others(&self, total: u64) -> Vec<(u64, u64)> {
        let mut others = Vec::new();
        let mut next = 1;
        for (first, last) in self.ranges() {
            if first > next {
                others.push((next, (first - 1).min(total)));
            }
            next = last + 1;
        }
        if next <= total {
            others.push((next, total));
        }
        others.retain(|(first, last)| first <= last);
        others
    }

    /// The chunks that hold something.
    pub fn chunks(&self) -> impl Iterator<Item = u32> {
        self.chunks.keys().copied()
    }

    /// The chunks that ordinals from `first` to `last` lie in.
    pub fn chunks_of(first: u64, last: u64) -> std::ops::RangeInclusive<u32> {
        chunk_of(first)..=chunk_of(last)
    }

    /// One chunk as it is stored, at most 513 bytes: its ranges or its bits, whichever is shorter.
    pub fn chunk_to_bytes(&self, chunk: u32) -> Vec<u8> {
        let Some(words) = self.chunks.get(&chunk).map(Chunk::words) else { return vec![RANGES] };
        let ranges = chunk_ranges(words);
        if ranges.len() * 4 < WORDS * 8 {
            let ends = ranges.iter().flat_map(|(from, to)| [from.to_be_bytes(), to.to_be_bytes()]);
            std::iter::once(RANGES).chain(ends.flatten()).collect()
        } else {
            let bits = words.iter().flat_map(|word| word.to_be_bytes());
            std::iter::once(BITS).chain(bits).collect()
        }
    }

    /// Takes in a stored chunk. `None` if the bytes are not one.
    pub fn add_chunk(&mut self, chunk: u32, bytes: &[u8]) -> Option<()> {
        let start = u64::from(chunk) * CHUNK;
        match bytes.split_first()? {
            (&RANGES, ends) if ends.len() % 4 == 0 => {
                for pair in ends.chunks_exact(4) {
                    let from = u64::from(u16::from_be_bytes([pair[0], pair[1]]));
                    let to = u64::from(u16::from_be_bytes([pair[2], pair[3]]));
                    if from > to || to >= CHUNK {
                        return None;
                    }
                    self.insert(start + from, start + to);
                }
            }
            (&BITS, bits) if bits.len() == WORDS * 8 => {
                for (index, byte) in bits.iter().enumerate() {
                    for bit in 0..8 {
                        if byte >> (7 - bit) & 1 == 1 {
                            let at = (index / 8 * 64) as u64 + 63 - (index % 8 * 8 + bit) as u64;
                            self.insert(start + at, start + at);
                        }
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }
}

const RANGES: u8 = 0;
const BITS: u8 = 1;

fn chunk_of(ordinal: u64) -> u32 {
    (ordinal / CHUNK) as u32
}

fn chunk_ranges(words: &Words) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let low = rest.trailing_zeros();
            let run = (rest >> low).trailing_ones();
            let from = (index * 64) as u16 + low as u16;
            let to = from + run as u16 - 1;
            match ranges.last_mut() {
                Some(range) if range.1 + 1 == from => range.1 = to,
                _ => ranges.push((from, to)),
            }
            rest = if low + run == 64 { 0 } else { rest & (u64::MAX << (low + run)) };
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_chunk_is_stored_in_five_bytes() {
        let mut set = Ordinals::default();
        set.insert(CHUNK, 2 * CHUNK - 1);
        assert_eq!(set.chunk_to_bytes(1), [0, 0, 0, 0x0f, 0xff]);
    }

    #[test]
    fn chunks_that_are_full_take_no_room_however_they_were_filled() {
        let mut at_once = Ordinals::default();
        at_once.insert(0, 1000 * CHUNK - 1);
        assert!(at_once.chunks.values().all(|chunk| *chunk == Chunk::Full));
        let mut by_and_by = Ordinals::default();
        for first in (0..1000 * CHUNK).step_by(1000) {
            by_and_by.insert(first, (first + 999).min(1000 * CHUNK - 1));
        }
        assert_eq!(by_and_by, at_once);
        assert_eq!(at_once.remove(5 * CHUNK + 7, 5 * CHUNK + 7), 1);
        assert!(!at_once.contains(5 * CHUNK + 7));
        assert_eq!(at_once.remove(9, 8), 0);
        at_once.insert(5 * CHUNK + 7, 5 * CHUNK + 7);
        assert_eq!(at_once, by_and_by);
        assert_eq!(at_once.ranges(), [(0, 1000 * CHUNK - 1)]);
    }

    #[test]
    fn the_others_are_those_that_are_not_in_it() {
        let mut set = Ordinals::default();
        set.insert(3, 4);
        set.insert(9, 9);
        assert_eq!(set.others(10), [(1, 2), (5, 8), (10, 10)]);
        assert_eq!(set.others(9), [(1, 2), (5, 8)]);
        assert_eq!(set.others(6), [(1, 2), (5, 6)]);
        assert_eq!(Ordinals::default().others(2), [(1, 2)]);
        assert_eq!(Ordinals::default().others(0), []);
        let mut all = Ordinals::default();
        all.insert(0, 5);
        assert_eq!(all.others(5), []);
    }

    #[test]
    fn bytes_that_are_no_chunk_are_refused() {
        assert_eq!(Ordinals::default().add_chunk(0, &[]), None);
        assert_eq!(Ordinals::default().add_chunk(0, &[0, 0, 5, 0, 4]), None);
        assert_eq!(Ordinals::default().add_chunk(0, &[1, 0]), None);
        assert_eq!(Ordinals::default().add_chunk(0, &[7]), None);
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(
            ranges in prop::collection::vec((1u64..20_000, 0u64..600), 0..60),
            probe in (1u64..20_000, 0u64..9_000),
        ) {
            let mut set = Ordinals::default();
            let mut plain = BTreeSet::new();
            for (first, more) in ranges {
                let before = plain.len() as u64;
                plain.extend(first..=first + more);
                prop_assert_eq!(set.insert(first, first + more), plain.len() as u64 - before);
            }
            prop_assert_eq!(set.len(), plain.len() as u64);
            let (first, last) = (probe.0, probe.0 + probe.1);
            prop_assert_eq!(set.count(first, last), plain.range(first..=last).count() as u64);
            prop_assert_eq!(set.contains(first), plain.contains(&first));
            let listed: BTreeSet<u64> =
                set.ranges().into_iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(&listed, &plain);

            let mut fewer = set.clone();
            let gone = fewer.remove(first, last);
            prop_assert_eq!(gone, set.count(first, last));
            prop_assert_eq!(fewer.len(), set.len() - gone);
            let left: BTreeSet<u64> =
                fewer.ranges().into_iter().flat_map(|(first, last)| first..=last).collect();
            let mut plain_left = plain.clone();
            plain_left.retain(|ordinal| !(first..=last).contains(ordinal));
            prop_assert_eq!(left, plain_left);

            let mut again = Ordinals::default();
            for chunk in Ordinals::chunks_of(1, 30_000) {
                let bytes = set.chunk_to_bytes(chunk);
                prop_assert!(bytes.len() <= 513);
                prop_assert_eq!(again.add_chunk(chunk, &bytes), Some(()));
            }
            prop_assert_eq!(again.ranges(), set.ranges());
        }

        #[test]
        fn scattered_ordinals_are_stored_as_bits(seed in prop::collection::vec(any::<bool>(), 4096)) {
            let mut set = Ordinals::default();
            for (at, there) in seed.iter().enumerate() {
                if *there { set.insert(at as u64, at as u64); }
            }
            let mut again = Ordinals::default();
            prop_assert_eq!(again.add_chunk(0, &set.chunk_to_bytes(0)), Some(()));
            prop_assert_eq!(again.ranges(), set.ranges());
        }
    }
}
