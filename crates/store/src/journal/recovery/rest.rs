//! What lies after the end of the chain: zeros, an unfinished write, or proof of damage.
//!
//! No frame and no segment of this ledger can be there but the one frame that was on its way:
//! segments are zeroed before they are used, and an unfinished write is zeroed before the next.

use std::path::{Path, PathBuf};

use super::walk::open;
use super::window::Window;
use crate::StoreError;
use crate::disk::Disk;
use crate::journal::frame::{
    Decoded, FRAME_ALIGN, FRAME_HEADER, FRAME_MAGIC, FrameHeader, Mark, Seal,
};
use crate::journal::segment::{Layout, SEGMENT_HEADER, segment_number};

/// Pieces in which a segment is looked through for what is not zero.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Something that was written after the frame at which the chain ends.
pub(super) struct Later {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) what: String,
}

/// What a part of a segment holds.
#[derive(Default)]
pub(super) struct Content {
    /// A frame of this ledger: where, and which.
    pub(super) frame: Option<(u64, String)>,
    /// Where what is not zero ends. Not told if there is a frame.
    pub(super) end: Option<u64>,
}

/// Looks through a segment from `begin` on. The frame that follows `own` may be in its place.
pub(super) fn look_through(
    window: &mut Window,
    begin: u64,
    layout: Layout,
    seal: Seal,
    own: Option<Mark>,
) -> Result<Content, StoreError> {
    let mut content = Content::default();
    let end = window.len().min(layout.segment_bytes());
    for block in (begin..end).step_by(BLOCK) {
        // A header may begin in this block and end in the next.
        let bytes = window.at(block, BLOCK + FRAME_HEADER)?;
        let own_bytes = &bytes[..bytes.len().min(BLOCK)];
        if own_bytes == &ZEROS[..own_bytes.len()] {
            continue;
        }
        let last = own_bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        content.end = Some(block + last as u64 + 1);
        for at in (0..own_bytes.len()).step_by(FRAME_ALIGN as usize) {
            let Some(header) = bytes[at..].first_chunk() else { break };
            if header[..4] != FRAME_MAGIC {
                continue;
            }
            let offset = block + at as u64;
            let what = match FrameHeader::decode(header, seal) {
                Decoded::Nothing => continue,
                Decoded::TooNew(version) => format!("is a frame of version {version}"),
                Decoded::Header(frame, _) => {
                    let in_place = own.is_some_and(|own| {
                        layout.offset_of(own.position) == offset
                            && frame.number == own.frame_number + 1
                            && frame.previous == own.checksum
                    });
                    if in_place {
                        continue;
                    }
                    format!("is the whole header of frame {}", frame.number)
                }
            };
            content.frame = Some((offset, what));
            return Ok(content);
        }
    }
    Ok(content)
}

/// The first segment after `number` that is more than a spare.
pub(super) fn later_segment(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    layout: Layout,
    seal: Seal,
) -> Result<Option<Later>, StoreError> {
    let mut names = disk.list(dir)?;
    names.retain(|name| segment_number(name).is_some_and(|later| later > number));
    names.sort_by_key(|name| segment_number(name));
    for name in names {
        let path = dir.join(name);
        let Some((header, mut window)) = open(disk, &path)? else { continue };
        if let Some(header) = header {
            let what = format!("is a segment whose first frame is {}", header.first_frame);
            return Ok(Some(Later { path, offset: 0, what }));
        }
        let begin = SEGMENT_HEADER as u64;
        if let Some((offset, what)) = look_through(&mut window, begin, layout, seal, None)?.frame {
            return Ok(Some(Later { path, offset, what }));
        }
    }
    Ok(None)
}
