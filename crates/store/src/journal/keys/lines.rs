//! What memory keeps of a run: 16 bits a key, in lines of 32 that are one wait for memory each.
//!
//! A key's home line follows from its print, and so do its 16 bits. Where a home is full, what
//! comes after it goes to the next line; so whoever looks for a key goes on while a line is full.

use super::entry::Print;

/// 64 bytes, which is what memory hands over at once.
const LANES: usize = 32;
/// How many bytes a line has on the disk.
pub(super) const LINE_BYTES: usize = LANES * 2;
/// How full a line is in the mean. With more, more lines are full and the next one is asked, too.
const IN_LINE: u64 = 24;

/// A line. An empty lane is 0, and lanes are filled from the first on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(64))]
pub(super) struct Line([u16; LANES]);

impl Line {
    const EMPTY: Self = Self([0; LANES]);

    fn has(&self, bits: u16) -> bool {
        // Without a way out in between, this is a handful of vector instructions.
        self.0.iter().fold(false, |found, lane| found | (*lane == bits))
    }

    fn is_full(&self) -> bool {
        self.0[LANES - 1] != 0
    }
}

/// All lines of a run.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Lines {
    /// How many of the lines are homes; what the last one has no room for stands behind them.
    homes: u64,
    lines: Vec<Line>,
    /// How many lanes of the last line are used, while lines are added.
    used: usize,
}

/// The home of `print` among `homes`, and its 16 bits there. Both grow with the print.
fn place(print: Print, homes: u64) -> (usize, u16) {
    let product = u128::from(print.spread()) * u128::from(homes);
    let bits = (product as u64 >> 48) as u16;
    ((product >> 64) as usize, bits.max(1))
}

impl Lines {
    /// Lines for so many keys, which are to be added in their order.
    pub(super) fn for_keys(count: u64) -> Self {
        let homes = count.div_ceil(IN_LINE).max(1);
        Self { homes, lines: Vec::with_capacity(homes as usize + 2), used: LANES }
    }

    pub(super) fn homes(&self) -> u64 {
        self.homes
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds a key that is not before the last one.
    pub(super) fn push(&mut self, print: Print) {
        let (home, bits) = place(print, self.homes);
        if home >= self.lines.len() {
            self.lines.resize(home + 1, Line::EMPTY);
            self.used = 0;
        } else if self.used == LANES {
            self.lines.push(Line::EMPTY);
            self.used = 0;
        }
        let last = self.lines.len() - 1;
        self.lines[last].0[self.used] = bits;
        self.used += 1;
    }

    /// Whether there may be a key with this print; never false if there is one.
    pub(super) fn may_have(&self, print: Print) -> bool {
        let (home, bits) = place(print, self.homes);
        let from_home = self.lines.get(home..).unwrap_or_default();
        for line in from_home {
            if line.has(bits) {
                return true;
            }
            if !line.is_full() {
                break;
            }
        }
        false
    }

    /// Reads what [`may_have`](Self::may_have) reads first.
    pub(super) fn touch(&self, print: Print) -> u64 {
        let (home, _) = place(print, self.homes);
        self.lines.get(home).map_or(0, |line| line.0[0].into())
    }

    /// The bytes of the lines from `start` on, at most `most` lines.
    pub(super) fn bytes(&self, start: usize, most: usize) -> Vec<u8> {
        let lines = &self.lines[start..][..most.min(self.lines.len() - start)];
        let mut bytes = vec![0; lines.len() * LINE_BYTES];
        for (line, bytes) in lines.iter().zip(bytes.as_chunks_mut::<LINE_BYTES>().0) {
            for (lane, bytes) in line.0.iter().zip(bytes.as_chunks_mut::<2>().0) {
                *bytes = lane.to_le_bytes();
            }
        }
        bytes
    }

    /// Room for `count` lines, to be [added](Self::add_bytes) from a file.
    pub(super) fn with_room(homes: u64, count: usize) -> Self {
        Self { homes, lines: Vec::with_capacity(count), used: LANES }
    }

    /// Adds whole lines as [`bytes`](Self::bytes) gave them.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        for line in bytes.as_chunks::<LINE_BYTES>().0 {
            let mut lanes = [0; LANES];
            for (lane, bytes) in lanes.iter_mut().zip(line.as_chunks::<2>().0) {
                *lane = u16::from_le_bytes(*bytes);
            }
            self.lines.push(Line(lanes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(prints: &[Print], homes_for: u64) -> Lines {
        let mut lines = Lines::for_keys(homes_for);
        prints.iter().for_each(|print| lines.push(*print));
        lines
    }

    fn mixed(n: u64) -> Print {
        Print::of(xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()))
    }

    #[test]
    fn every_key_is_found_and_few_others_are() {
        let mut prints: Vec<Print> = (0..100_000).map(mixed).collect();
        prints.sort_unstable();
        let lines = lines(&prints, 100_000);
        assert!(prints.iter().all(|print| lines.may_have(*print)));
        let strangers = (100_000..300_000).map(mixed).filter(|print| lines.may_have(*print));
        let strangers = strangers.count();
        // 24 lanes and now and then a second line, of 2^16 values each: about 75.
        assert!((20..200).contains(&strangers), "{strangers}");
        assert!(lines.len() * LINE_BYTES < 100_000 * 3);
    }

    #[test]
    fn keys_of_one_home_are_all_found_however_many_they_are() {
        for (first, step) in [(0, 0), (u64::MAX << 1 >> 24, 0), ((1 << 41) - 500, 1), (77, 1)] {
            let prints: Vec<Print> =
                (0..500).map(|n| Print::from_bits((first + n * step) & ((1 << 41) - 1))).collect();
            let mut prints = prints;
            prints.sort_unstable();
            for homes_for in [1, 24, 500, 100_000] {
                let lines = lines(&prints, homes_for);
                assert!(prints.iter().all(|print| lines.may_have(*print)), "{first} {homes_for}");
            }
        }
    }

    #[test]
    fn lines_come_back_from_their_bytes() {
        let mut prints: Vec<Print> = (0..5_000).map(mixed).collect();
        prints.sort_unstable();
        let lines = lines(&prints, 5_000);
        let mut again = Lines::with_room(lines.homes(), lines.len());
        (0..lines.len()).step_by(7).for_each(|start| again.add_bytes(&lines.bytes(start, 7)));
        assert_eq!(again.lines, lines.lines);
        assert_eq!(again.homes, lines.homes);
    }
}
