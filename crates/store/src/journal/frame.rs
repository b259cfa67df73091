//! A frame: what one commit writes. 64 bytes that say what follows, and then the body.
//!
//! Every frame names the checksum of the one before it, so the frames of a ledger are a chain
//! in which none can be missing, doubled or taken from elsewhere.

use tongjang_core::Timestamp;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How long a frame's header is.
pub const FRAME_HEADER: usize = 64;
/// Frames begin at multiples of this.
pub const FRAME_ALIGN: u64 = 8;
/// The newest version of frames and segments that is known. Those of earlier versions differ only
/// in what the bodies of their frames may hold.
pub const VERSION: u16 = 2;
/// What a frame begins with.
pub const FRAME_MAGIC: [u8; 4] = *b"TJFR";
/// The number of a ledger's first event.
pub const FIRST_EVENT: u64 = 1;

/// What makes the checksums of a ledger its own: a frame of another ledger is no frame here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal(u64);

impl Seal {
    /// The seal of the ledger with this id.
    pub fn of(ledger_id: &[u8; 16]) -> Self {
        Self(xxh3_64(ledger_id))
    }

    /// The checksum of `bytes` under this seal.
    pub fn checksum(self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.0)
    }
}

/// Which events a body holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameEvents {
    /// The number of the first; it follows the last event of the frame before.
    pub first_event: u64,
    /// How many there are.
    pub event_count: u32,
    /// When the last of them happened.
    pub time: Timestamp,
}

/// A frame's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// How many bytes the body has.
    pub body_len: u32,
    /// The events in the body.
    pub events: FrameEvents,
    /// The frame's number: 1, 2, 3 … without a gap.
    pub number: u64,
    /// The checksum of the frame before; 0 in the first.
    pub previous: u64,
    /// The checksum of the body.
    pub body_checksum: u64,
}

/// What 64 bytes turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoded {
    /// A header of this ledger, and the frame's checksum.
    Header(FrameHeader, u64),
    /// A header of this ledger of a version that is not known.
    TooNew(u16),
    /// No header of this ledger.
    Nothing,
}

impl FrameHeader {
    /// The header's bytes, and its checksum, which is the frame's: it covers the body's.
    pub fn encode(&self, seal: Seal) -> ([u8; FRAME_HEADER], u64) {
        let mut bytes = [0; FRAME_HEADER];
        bytes[0..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.events.event_count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.events.first_event.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.events.time.micros().to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.body_checksum.to_le_bytes());
        let checksum = seal.checksum(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads a header back. The body is not looked at.
    pub fn decode(bytes: &[u8; FRAME_HEADER], seal: Seal) -> Decoded {
        let checksum = u64_at(bytes, 56);
        if bytes[0..4] != FRAME_MAGIC || seal.checksum(&bytes[..56]) != checksum {
            return Decoded::Nothing;
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if !is_known(version) {
            return Decoded::TooNew(version);
        }
        let events = FrameEvents {
            first_event: u64_at(bytes, 24),
            event_count: u32_at(bytes, 12),
            time: Timestamp::from_micros(u64_at(bytes, 32).cast_signed()),
        };
        let header = Self {
            body_len: u32_at(bytes, 8),
            events,
            number: u64_at(bytes, 16),
            previous: u64_at(bytes, 40),
            body_checksum: u64_at(bytes, 48),
        };
        Decoded::Header(header, checksum)
    }
}

/// Whether frames and segments of `version` are known here.
pub(super) fn is_known(version: u16) -> bool {
    (1..=VERSION).contains(&version)
}

/// A frame that is read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameInfo {
    /// Where its header begins.
    pub position: u64,
    /// Where its body begins.
    pub body_position: u64,
    /// How many bytes the body has.
    pub body_len: u32,
    /// The frame's number.
    pub number: u64,
    /// The events in it.
    pub events: FrameEvents,
    /// Its checksum.
    pub checksum: u64,
}

/// A place between two frames, and all that is needed to go on from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Where the next frame begins.
    pub position: u64,
    /// Where the frame before begins; 0 if there is none.
    pub frame_position: u64,
    /// The number of the frame before; 0 if there is none.
    pub frame_number: u64,
    /// The checksum of the frame before; 0 if there is none.
    pub checksum: u64,
    /// The number of the next event.
    pub next_event: u64,
    /// When the last event before happened.
    pub time: Timestamp,
}

impl Mark {
    /// How many bytes a mark is stored in.
    pub const BYTES: usize = 48;

    /// The mark's bytes: its members in their order, little-endian.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let members = [
            self.position,
            self.frame_position,
            self.frame_number,
            self.checksum,
            self.next_event,
            self.time.micros().cast_unsigned(),
        ];
        for (place, member) in bytes.chunks_exact_mut(8).zip(members) {
            place.copy_from_slice(&member.to_le_bytes());
        }
        bytes
    }

    /// Reads a mark back.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self {
            position: u64_at(bytes, 0),
            frame_position: u64_at(bytes, 8),
            frame_number: u64_at(bytes, 16),
            checksum: u64_at(bytes, 24),
            next_event: u64_at(bytes, 32),
            time: Timestamp::from_micros(u64_at(bytes, 40).cast_signed()),
        }
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: FrameHeader = FrameHeader {
        body_len: 7,
        events: FrameEvents { first_event: 41, event_count: 2, time: Timestamp::from_micros(-5) },
        number: 9,
        previous: 0xdead_beef,
        body_checksum: 0x0123_4567_89ab_cdef,
    };

    #[test]
    fn a_header_is_read_back_by_its_own_ledger_only() {
        let seal = Seal::of(&[7; 16]);
        let (bytes, checksum) = HEADER.encode(seal);
        assert_eq!(FrameHeader::decode(&bytes, seal), Decoded::Header(HEADER, checksum));
        assert_eq!(FrameHeader::decode(&bytes, Seal::of(&[8; 16])), Decoded::Nothing);
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_no_header() {
        let seal = Seal::of(&[7; 16]);
        let (bytes, _) = HEADER.encode(seal);
        for bit in 0..FRAME_HEADER * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&damaged, seal), Decoded::Nothing, "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_a_later_version_is_told_from_a_damaged_one() {
        let seal = Seal::of(&[7; 16]);
        let (mut bytes, _) = HEADER.encode(seal);
        bytes[4] = 3;
        let checksum = seal.checksum(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(FrameHeader::decode(&bytes, seal), Decoded::TooNew(3));
    }

    #[test]
    fn a_mark_is_read_back_from_its_bytes() {
        let mark = Mark {
            position: 1,
            frame_position: 2,
            frame_number: 3,
            checksum: 4,
            next_event: 5,
            time: Timestamp::from_micros(-6),
        };
        assert_eq!(Mark::from_bytes(&mark.to_bytes()), mark);
    }
}
