//! The newest part of the journal once more, in memory.
//!
//! Frames are written past the operating system's cache, so what was just booked would have to
//! come from the disk when its owner looks at his passbook, which is when he mostly does.

use parking_lot::RwLock;

/// So much of the journal is kept; some hundred thousand transactions.
const BYTES: u64 = 64 << 20;

/// A ring: the byte at a position of the journal stands at that position modulo its length.
#[derive(Default)]
pub(super) struct Recent(RwLock<Ring>);

#[derive(Default)]
struct Ring {
    bytes: Vec<u8>,
    /// What stands in it: from here …
    from: u64,
    /// … up to here.
    until: u64,
}

impl Recent {
    /// Takes in what was written at `position`. What is between that and what was written before
    /// it is given out as zeros: a few that stand there, or at a roll a segment's header, which
    /// nobody reads here.
    pub(super) fn keep(&self, position: u64, parts: &[&[u8]]) {
        let mut ring = self.0.write();
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if length > BYTES {
            (ring.from, ring.until) = (position + length, position + length);
            return;
        }
        if ring.bytes.is_empty() {
            // Zeros that nobody touched yet take no memory.
            ring.bytes = vec![0; BYTES as usize];
            (ring.from, ring.until) = (position, position);
        }
        let until = ring.until;
        match position.checked_sub(until) {
            Some(gap) if gap <= BYTES => ring.fill(until, gap),
            _ => ring.from = position,
        }
        let mut at = position;
        for part in parts {
            ring.put(at, part);
            at += part.len() as u64;
        }
        ring.until = at;
        ring.from = ring.from.max(at.saturating_sub(BYTES));
    }

    /// Fills `bytes` from `position` on, if all of that is here.
    pub(super) fn read(&self, position: u64, bytes: &mut [u8]) -> bool {
        let ring = self.0.read();
        let here = position >= ring.from && position + bytes.len() as u64 <= ring.until;
        if here && !bytes.is_empty() {
            let start = (position % BYTES) as usize;
            let first = bytes.len().min(BYTES as usize - start);
            let (head, rest) = bytes.split_at_mut(first);
            head.copy_from_slice(&ring.bytes[start..start + first]);
            rest.copy_from_slice(&ring.bytes[..rest.len()]);
        }
        here
    }
}

impl Ring {
    fn put(&mut self, position: u64, part: &[u8]) {
        let start = (position % BYTES) as usize;
        let (head, rest) = part.split_at(part.len().min(BYTES as usize - start));
        self.bytes[start..start + head.len()].copy_from_slice(head);
        self.bytes[..rest.len()].copy_from_slice(rest);
    }

    fn fill(&mut self, position: u64, length: u64) {
        let start = (position % BYTES) as usize;
        let end = start + length as usize;
        let first = end.min(BYTES as usize);
        self.bytes[start..first].fill(0);
        self.bytes[..end - first].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(recent: &Recent, position: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![9; length];
        recent.read(position, &mut bytes).then_some(bytes)
    }

    #[test]
    fn what_was_written_last_is_here_and_what_is_too_old_is_not() {
        let recent = Recent::default();
        assert_eq!(kept(&recent, 0, 1), None);
        // Nobody knows what is before the first frame that it saw.
        let begin = 3 * BYTES - 5;
        recent.keep(begin, &[b"he", b"llo world"]);
        assert_eq!(kept(&recent, begin, 11).as_deref(), Some(&b"hello world"[..]));
        assert_eq!(kept(&recent, begin - 1, 3), None);
        assert_eq!(kept(&recent, begin, 12), None);
        // A gap is zeros, whatever stood there one round ago.
        recent.keep(begin + BYTES - 4, &[b"end"]);
        assert_eq!(kept(&recent, begin + BYTES - 6, 5).as_deref(), Some(&b"\0\0end"[..]));
        assert_eq!(kept(&recent, begin + 9, 4).as_deref(), Some(&b"ld\0\0"[..]));
        recent.keep(begin + BYTES - 1, &[b"and on"]);
        assert_eq!(kept(&recent, begin + 4, 2), None);
        assert_eq!(kept(&recent, begin + 5, 2).as_deref(), Some(&b" w"[..]));
        // After a leap nothing of before is here.
        recent.keep(begin + 9 * BYTES, &[b"leap"]);
        assert_eq!(kept(&recent, begin + 9 * BYTES - 1, 2), None);
        assert_eq!(kept(&recent, begin + 9 * BYTES, 4).as_deref(), Some(&b"leap"[..]));
    }
}
