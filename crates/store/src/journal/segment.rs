//! Segments: the files of a log, each zeroed once to its full length before it is used.
//!
//! Overwriting zeroed blocks lets a sync write nothing but the data, while a growing file has
//! its length and its extents written with each sync. Here is where things lie in them.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::frame::{
    FIRST_EVENT, FRAME_ALIGN, FRAME_HEADER, Mark, VERSION, is_known, u32_at, u64_at,
};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// How long a segment's header is; its first frame begins right after.
pub const SEGMENT_HEADER: usize = 4096;
/// What a segment begins with.
pub const SEGMENT_MAGIC: [u8; 8] = *b"TONGJANG";
/// No log is longer, and so all positions are below: four TiB. An index of keys has so many bits
/// for one.
pub const LONGEST_LOG: u64 = 1 << 42;
/// How long a segment is, unless told otherwise.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// A frame is begun only where this much is left, so its place is known before its length.
const MIN_ROOM: u64 = 64 << 10;
const CHECKSUM_AT: usize = SEGMENT_HEADER - 8;
/// Zeros are written in pieces of this many bytes.
const PIECE: usize = 1 << 20;
/// So many pieces at most wait for a sync, so that the disk stays free for the commits.
const PIECES_A_SYNC: usize = 8;
static ZEROS: Zeros = Zeros([0; PIECE]);

/// Zeros that lie in memory as a disk wants what is written past the cache.
#[repr(align(4096))]
struct Zeros([u8; PIECE]);

/// Where things lie, given how long the segments are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    segment_bytes: u64,
}

impl Layout {
    /// The layout with segments of this many bytes: 16 KiB to 1 GiB, a multiple of 4096.
    pub fn new(segment_bytes: u64) -> Option<Self> {
        let fits = (16 << 10..=1 << 30).contains(&segment_bytes);
        (fits && segment_bytes.is_multiple_of(4096)).then_some(Self { segment_bytes })
    }

    /// How long a segment is.
    pub fn segment_bytes(self) -> u64 {
        self.segment_bytes
    }

    /// The segment in which `position` lies.
    pub fn segment_of(self, position: u64) -> u64 {
        position / self.segment_bytes
    }

    /// Where in its segment `position` lies.
    pub fn offset_of(self, position: u64) -> u64 {
        position % self.segment_bytes
    }

    /// The file in which `position` lies, and where in it.
    pub fn place(self, dir: &Path, position: u64) -> (PathBuf, u64) {
        (segment_path(dir, self.segment_of(position)), self.offset_of(position))
    }

    /// Where the first frame of a segment begins.
    pub fn first_frame_of(self, segment: u64) -> u64 {
        segment * self.segment_bytes + SEGMENT_HEADER as u64
    }

    /// The largest body of a frame that begins at `position`.
    pub fn room_at(self, position: u64) -> usize {
        let left = self.segment_bytes - self.offset_of(position);
        usize::try_from(left).expect("a segment fits into memory").saturating_sub(FRAME_HEADER)
    }

    /// Where the frame after one that ends at `end` begins: the next multiple of 8, or the next
    /// segment if too little of this one is left.
    pub fn next_frame(self, end: u64) -> u64 {
        // The end belongs to the segment of the frame's last byte, even if it fills it.
        let segment = self.segment_of(end - 1);
        let start = end.next_multiple_of(FRAME_ALIGN);
        let left = ((segment + 1) * self.segment_bytes).saturating_sub(start);
        if left < self.min_room() { self.first_frame_of(segment + 1) } else { start }
    }

    /// The mark at which an empty log stands.
    pub fn start(self) -> Mark {
        Mark {
            position: self.first_frame_of(0),
            frame_position: 0,
            frame_number: 0,
            checksum: 0,
            next_event: FIRST_EVENT,
            time: tongjang_core::Timestamp::EPOCH,
        }
    }

    fn min_room(self) -> u64 {
        MIN_ROOM.min(self.segment_bytes / 8)
    }
}

/// A segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// The ledger that the segment belongs to.
    pub ledger_id: [u8; 16],
    /// How long the ledger's segments are.
    pub segment_bytes: u64,
    /// The segment's number, from 0.
    pub number: u64,
    /// The number of its first frame.
    pub first_frame: u64,
    /// The checksum of the frame before that; 0 if there is none.
    pub previous: u64,
    /// The number of its first event.
    pub first_event: u64,
}

/// What the first 4096 bytes of a segment turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodedSegment {
    /// A segment's header.
    Header(SegmentHeader),
    /// A header of a version that is not known.
    TooNew(u16),
    /// No header.
    Nothing,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> Box<[u8; SEGMENT_HEADER]> {
        let mut bytes = Box::new([0; SEGMENT_HEADER]);
        let length = u32::try_from(self.segment_bytes).expect("a layout has at most 1 GiB");
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.ledger_id);
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.first_event.to_le_bytes());
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER]) -> DecodedSegment {
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        if bytes[0..8] != SEGMENT_MAGIC || checksum != u64_at(bytes, CHECKSUM_AT) {
            return DecodedSegment::Nothing;
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if !is_known(version) {
            return DecodedSegment::TooNew(version);
        }
        DecodedSegment::Header(Self {
            ledger_id: bytes[16..32].try_into().expect("sixteen bytes are sixteen bytes"),
            segment_bytes: u64::from(u32_at(bytes, 12)),
            number: u64_at(bytes, 32),
            first_frame: u64_at(bytes, 40),
            previous: u64_at(bytes, 48),
            first_event: u64_at(bytes, 56),
        })
    }
}

/// The path of segment `number` in `dir`.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// The number of the segment with this file name, if it is one's.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let number = digits.parse().ok()?;
    (format!("{number:08}") == digits).then_some(number)
}

/// Makes segment `number` ready: there, of full length, all zero, and durable.
///
/// It gets its name when its zeros are durable, so a spare that has its name can be trusted in
/// its length; one that a crash left behind is taken again, and written only where it is not zero.
///
/// # Errors
/// If the disk is full or fails.
pub fn prepare(
    disk: &dyn Disk,
    dir: &Path,
    layout: Layout,
    number: u64,
) -> Result<Arc<dyn DiskFile>, StoreError> {
    let path = segment_path(dir, number);
    if disk.exists(&path)? {
        let file = disk.open(&path)?;
        zero(&*file, layout.segment_bytes)?;
        file.sync()?;
        disk.sync_dir(dir)?;
        return Ok(file);
    }
    make(disk, dir, layout, number, |_| Ok(()))
}

/// Makes segment `number` under another name, all zero but for what `fill` writes, and renames
/// it when it is durable.
pub(super) fn make(
    disk: &dyn Disk,
    dir: &Path,
    layout: Layout,
    number: u64,
    fill: impl FnOnce(&dyn DiskFile) -> Result<(), StoreError>,
) -> Result<Arc<dyn DiskFile>, StoreError> {
    let path = segment_path(dir, number);
    let temporary = path.with_extension("seg.tmp");
    let file = disk.create(&temporary)?;
    zero(&*file, layout.segment_bytes)?;
    fill(&*file)?;
    file.sync()?;
    disk.rename(&temporary, &path)?;
    disk.sync_dir(dir)?;
    disk.open(&path)
}

/// Makes `file` `length` zeros; the last of them are not synced.
fn zero(file: &dyn DiskFile, length: u64) -> Result<(), StoreError> {
    let had = file.len()?;
    if had > length {
        file.set_len(length)?;
    }
    let mut unsynced = 0;
    let mut there = Vec::new();
    for offset in (0..length).step_by(PIECE) {
        let piece = &ZEROS.0[..PIECE.min(usize::try_from(length - offset).unwrap_or(PIECE))];
        if offset + piece.len() as u64 <= had {
            there.resize(piece.len(), 0);
            file.read_at(&mut there, offset)?;
            if there == piece {
                continue;
            }
        }
        file.write_blocks(piece, offset)?;
        unsynced += 1;
        if unsynced == PIECES_A_SYNC {
            file.sync()?;
            unsynced = 0;
        }
    }
    Ok(())
}

/// Overwrites `length` bytes from `offset` on by zeros; not synced.
pub(super) fn blank(file: &dyn DiskFile, mut offset: u64, length: u64) -> Result<(), StoreError> {
    let end = offset + length;
    while offset < end {
        let piece = &ZEROS.0[..PIECE.min(usize::try_from(end - offset).unwrap_or(PIECE))];
        file.write_at(&[IoSlice::new(piece)], offset)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        ledger_id: [3; 16],
        segment_bytes: 16 << 10,
        number: 2,
        first_frame: 17,
        previous: 99,
        first_event: 40,
    };

    #[test]
    fn a_segment_header_is_read_back_unless_a_bit_of_it_flipped() {
        let bytes = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&bytes), DecodedSegment::Header(HEADER));
        for bit in (0..100 * 8).chain((SEGMENT_HEADER - 20) * 8..SEGMENT_HEADER * 8) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&damaged), DecodedSegment::Nothing, "bit {bit}");
        }
    }

    #[test]
    fn a_segment_of_a_later_version_is_told_from_a_damaged_one() {
        let mut bytes = HEADER.encode();
        bytes[8] = 3;
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), DecodedSegment::TooNew(3));
    }

    #[test]
    fn a_frame_begins_only_where_there_is_room() {
        let layout = Layout::new(16 << 10).unwrap();
        let segment = 16 << 10;
        assert_eq!(layout.next_frame(segment + 4097), segment + 4104);
        assert_eq!(layout.next_frame(segment + 4104), segment + 4104);
        // The last place with an eighth of the segment left, and the first without.
        let last = 2 * segment - segment / 8;
        assert_eq!(layout.next_frame(last), last);
        assert_eq!(layout.next_frame(last + 1), 2 * segment + 4096);
        assert_eq!(layout.next_frame(2 * segment), 2 * segment + 4096);
        assert_eq!(layout.room_at(last), (segment / 8) as usize - FRAME_HEADER);
    }

    #[test]
    fn only_names_that_the_log_gives_are_segments() {
        assert_eq!(segment_number("00000012.seg"), Some(12));
        assert_eq!(segment_number("123456789.seg"), Some(123_456_789));
        for name in ["12.seg", "00000012.seg.tmp", "0000000x.seg", "LOCK", "+0000001.seg"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }

    #[test]
    fn lengths_that_no_segment_can_have_are_refused() {
        for length in [0, 4096, (16 << 10) - 4096, (16 << 10) + 1, (1 << 30) + 4096] {
            assert_eq!(Layout::new(length), None, "{length}");
        }
    }
}
