//! Where an account's entries since its newest block stand: five bytes each, inside the account's
//! own place, so that booking on it waits for no further line of memory.

use tongjang_core::Direction;

use super::trail::BLOCK;

/// One fewer than a block has: with the next entry the tail becomes a block.
const MOST: usize = BLOCK as usize - 1;

/// The positions of fewer than sixteen entries, the oldest first, and which of them are credits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tail {
    /// The positions in units of eight bytes: their lower 32 bits here, the other 8 in `high`.
    low: [u32; MOST],
    high: [u8; MOST],
    len: u8,
    credits: u16,
}

impl Tail {
    /// The tail of these positions, which are multiples of eight below 2^43; `None` if they are
    /// none such, are too many, or `credits` names one that is not there.
    pub(super) fn of(positions: &[u64], credits: u16) -> Option<Self> {
        let fits = |position: &u64| position.is_multiple_of(8) && *position < 1 << 43;
        let sound = positions.len() <= MOST
            && u32::from(credits) >> positions.len() == 0
            && positions.iter().all(fits);
        let mut tail = Self::default();
        if sound {
            positions.iter().for_each(|position| tail.put(*position));
            tail.credits = credits;
        }
        sound.then_some(tail)
    }

    /// Takes in the next entry. With the sixteenth, the positions of all sixteen are returned, and
    /// the tail is to be cleared.
    pub(super) fn push(
        &mut self,
        position: u64,
        direction: Direction,
    ) -> Option<[u64; BLOCK as usize]> {
        if direction == Direction::Credit {
            self.credits |= 1 << self.len;
        }
        if self.len() < MOST {
            self.put(position);
            return None;
        }
        let mut all = [position; BLOCK as usize];
        all.iter_mut().zip(self.iter()).for_each(|(place, position)| *place = position);
        Some(all)
    }

    fn put(&mut self, position: u64) {
        let (units, nth) = (position >> 3, self.len());
        assert!(units >> 40 == 0, "a journal below 8 TiB");
        self.low[nth] = units as u32;
        self.high[nth] = (units >> 32) as u8;
        self.len += 1;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// The position of the `nth` entry, from 0.
    pub(super) fn get(&self, nth: usize) -> u64 {
        (u64::from(self.high[nth]) << 32 | u64::from(self.low[nth])) << 3
    }

    /// All positions, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.len()).map(|nth| self.get(nth))
    }

    /// Which are credits, the oldest in the lowest bit.
    pub(super) fn credits(&self) -> u16 {
        self.credits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_as_they_went_in() {
        let positions: Vec<u64> = (0..16).map(|nth| ((1 << 43) - 8) >> nth & !7).collect();
        let mut tail = Tail::default();
        for (nth, position) in positions[..15].iter().enumerate() {
            assert_eq!(tail.push(*position, Direction::Credit), None);
            assert_eq!(tail.get(nth), *position);
        }
        assert_eq!(Tail::of(&positions[..15], tail.credits()), Some(tail.clone()));
        let all = tail.push(positions[15], Direction::Debit).expect("sixteen are a block");
        assert_eq!(all.to_vec(), positions);
        assert_eq!(tail.credits(), 0x7fff);
    }

    #[test]
    fn what_is_no_tail_is_not_taken() {
        assert!(Tail::of(&[8, 16], 3).is_some());
        assert_eq!(Tail::of(&[8; 16], 0), None, "that is a block");
        assert_eq!(Tail::of(&[12], 0), None, "records begin at multiples of eight");
        assert_eq!(Tail::of(&[1 << 43], 0), None);
        assert_eq!(Tail::of(&[8], 2), None, "there is no second entry");
    }
}
