//! Reading a log back, and telling a write that a crash interrupted from damage.
//!
//! The writer never has more than one frame on its way. So after a crash there is the chain of
//! whole frames, then at most one unfinished frame, then zeros. A frame that does not check is
//! that one only if nothing after it is a frame of a higher number; otherwise the log is damaged
//! and is not opened. See `docs/journal-format.md`.

mod rest;
mod walk;
mod window;

use std::io::IoSlice;
use std::path::Path;

use super::frame::{FRAME_HEADER, Mark};
use super::log::{Recovered, first_header};
use super::segment::{Layout, SEGMENT_HEADER, SegmentHeader, blank, segment_path};
use crate::StoreError;
use crate::disk::Disk;

pub(super) use walk::walk;

/// Who else may be at the log while it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Nobody: the reader holds the lock.
    Alone,
    /// Perhaps a server that appends: what did not check a moment ago may do so now.
    Beside,
}

/// What a walk through the log found.
pub(super) struct Found {
    pub(super) layout: Layout,
    pub(super) recovered: Recovered,
    /// Where the last frame's bytes end.
    pub(super) end_of_bytes: u64,
    /// The header of the segment that the last frame begins, if it does begin one.
    pub(super) opens_segment: Option<SegmentHeader>,
}

/// Cuts off the unfinished write that was found, and writes the last frame once more.
///
/// The second is for a process that died after a failed sync: the last frame may then be in the
/// device's cache only, or where it went through the page cache in that one, marked as if it were
/// on the disk. Written again, it is new again, and this sync tells the truth. All frames before
/// it were followed by a sync that succeeded.
///
/// # Errors
/// If the disk fails. The next attempt finds the same.
pub(super) fn settle(disk: &dyn Disk, dir: &Path, found: &Found) -> Result<(), StoreError> {
    if let Some(torn) = &found.recovered.torn {
        let file = disk.open(&torn.path)?;
        blank(&*file, torn.offset, torn.bytes)?;
        file.sync()?;
    }
    rewrite_last(disk, dir, found)?;
    disk.sync_dir(dir)
}

fn rewrite_last(disk: &dyn Disk, dir: &Path, found: &Found) -> Result<(), StoreError> {
    let Found { layout, recovered: Recovered { end, ledger_id, .. }, .. } = found;
    let Mark { frame_number, frame_position, .. } = *end;
    if frame_number == 0 {
        let file = disk.open(&segment_path(dir, 0))?;
        let header = first_header(*ledger_id, *layout, *end).encode();
        file.write_at(&[IoSlice::new(&header[..])], 0)?;
        return file.sync();
    }
    let file = disk.open(&segment_path(dir, layout.segment_of(frame_position)))?;
    let length = usize::try_from(found.end_of_bytes - frame_position).expect("a frame fits");
    debug_assert!(length >= FRAME_HEADER);
    let mut frame = vec![0; length];
    let offset = layout.offset_of(frame_position);
    file.read_at(&mut frame, offset)?;
    match found.opens_segment {
        // Its header was written with it, and came to the disk with it or not at all.
        Some(header) => {
            debug_assert!(offset == SEGMENT_HEADER as u64);
            file.write_at(&[IoSlice::new(&header.encode()[..]), IoSlice::new(&frame)], 0)?;
        }
        None => file.write_at(&[IoSlice::new(&frame)], offset)?,
    }
    file.sync()
}
