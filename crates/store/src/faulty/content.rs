//! What a file of the faulty disk holds: seen, durable, and on the way from one to the other.
//!
//! A write is kept as the sectors that it leaves behind, since whole sectors are what survives.

use super::random::Random;

/// The unit in which a disk writes: all of it or nothing.
pub const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub(super) struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    /// From this sector on these bytes; the last sector may be short, at the end of the file.
    Write(usize, Vec<u8>),
    Length(usize),
}

/// How much of what was not synced survives a crash.
#[derive(Clone, Copy)]
enum Mood {
    Nothing,
    Everything,
    /// Each write is lost, kept or torn.
    Mixed,
}

impl Content {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn settled(&self) -> Self {
        Self::durable(self.seen.clone())
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        let first = offset / SECTOR;
        let last = end.next_multiple_of(SECTOR).min(self.seen.len());
        self.unsynced.push(Change::Write(first, self.seen[first * SECTOR..last].to_vec()));
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.seen.resize(len, 0);
        self.unsynced.push(Change::Length(len));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable, |_| true);
        }
    }

    /// As the kernel does after an error: what was on its way counts as written, whether it came
    /// to the disk or not, and the next sync does not try again.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.survive_into_durable(random);
        self.unsynced.clear();
    }

    pub(super) fn survive(&self, random: &mut Random) -> Self {
        let mut survivor = self.clone();
        survivor.survive_into_durable(random);
        Self::durable(survivor.durable)
    }

    fn survive_into_durable(&mut self, random: &mut Random) {
        let mood = match random.below(6) {
            0 => Mood::Nothing,
            1 => Mood::Everything,
            _ => Mood::Mixed,
        };
        for change in &self.unsynced {
            match (mood, random.below(3)) {
                (Mood::Nothing, _) | (Mood::Mixed, 0) => {}
                (Mood::Everything, _) | (Mood::Mixed, 1) => {
                    change.apply(&mut self.durable, |_| true);
                }
                (Mood::Mixed, _) => {
                    // Few, half or nearly all of the sectors: short writes tear in one place.
                    let odds = [1, 4, 7][random.below(3)];
                    change.apply(&mut self.durable, |_| random.chance(odds, 8));
                }
            }
        }
    }

    pub(super) fn flip(&mut self, offset: usize, mask: u8) {
        self.seen[offset] ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
    }
}

impl Change {
    /// Brings the sectors that `survives` chooses onto the disk.
    fn apply(&self, durable: &mut Vec<u8>, mut survives: impl FnMut(usize) -> bool) {
        match self {
            Self::Length(len) => durable.resize(*len, 0),
            Self::Write(first, bytes) => {
                for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                    if !survives(first + index) {
                        continue;
                    }
                    let begin = (first + index) * SECTOR;
                    let end = begin + sector.len();
                    if durable.len() < end {
                        durable.resize(end, 0);
                    }
                    durable[begin..end].copy_from_slice(sector);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivors(content: &Content) -> Vec<Vec<u8>> {
        (0..200).map(|seed| content.survive(&mut Random::new(seed)).seen).collect()
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_may_in_any_part() {
        let mut content = Content::default();
        content.write(0, &[1; 4 * SECTOR]);
        content.sync();
        content.write(0, &[2; 4 * SECTOR]);
        let survivors = survivors(&content);
        assert!(survivors.contains(&vec![1; 4 * SECTOR]), "lost");
        assert!(survivors.contains(&vec![2; 4 * SECTOR]), "kept");
        let torn = [[1; SECTOR], [2; SECTOR], [1; SECTOR], [2; SECTOR]].concat();
        assert!(survivors.contains(&torn), "torn, and a later sector without the one before");
        for survivor in survivors {
            assert_eq!(survivor.len(), 4 * SECTOR);
            let sectors = survivor.chunks(SECTOR);
            assert!(sectors.into_iter().all(|s| s == [1; SECTOR] || s == [2; SECTOR]));
        }
    }

    #[test]
    fn a_later_write_may_survive_without_an_earlier_one() {
        let mut content = Content::durable(vec![0; 2 * SECTOR]);
        content.write(0, &[1; SECTOR]);
        content.write(SECTOR, &[2; SECTOR]);
        assert!(survivors(&content).contains(&[[0; SECTOR], [2; SECTOR]].concat()));
    }

    #[test]
    fn a_sector_that_was_written_twice_is_never_a_mixture() {
        let mut content = Content::durable(vec![0; SECTOR]);
        content.write(0, &[1; 100]);
        content.write(100, &[2; 100]);
        for survivor in survivors(&content) {
            let state = (survivor[0], survivor[100]);
            assert!([(0, 0), (1, 0), (1, 2)].contains(&state), "{state:?}");
        }
    }

    #[test]
    fn after_a_failed_sync_a_second_one_proves_nothing() {
        let lost = (0..50).any(|seed| {
            let mut content = Content::durable(vec![0; SECTOR]);
            content.write(0, &[1; SECTOR]);
            content.fail_sync(&mut Random::new(seed));
            content.sync();
            assert_eq!(content.seen, [1; SECTOR], "the page cache still shows it");
            content.survive(&mut Random::new(0)).seen == [0; SECTOR]
        });
        assert!(lost);
    }
}
