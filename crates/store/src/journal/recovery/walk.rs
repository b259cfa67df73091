//! The walk along the chain of frames, and what is done where it ends.
//!
//! It begins at a snapshot's mark or at the first frame, and gives every frame to the replay.

use std::path::{Path, PathBuf};

use super::rest::{self, Later};
use super::window::Window;
use super::{Found, Manner};
use crate::StoreError;
use crate::disk::Disk;
use crate::journal::frame::{Decoded, FRAME_HEADER, FrameHeader, FrameInfo, Mark, Seal, VERSION};
use crate::journal::log::{Known, Recovered, Torn};
use crate::journal::segment::{
    DecodedSegment, Layout, SEGMENT_HEADER, SegmentHeader, segment_path,
};
use crate::journal::writer::segment_header;

const WAY_OUT: &str = "restore a backup, or run `tongjang verify` to see how far it reads";

/// Reads the log in `dir` and says where it ends.
pub(in crate::journal) fn walk(
    disk: &dyn Disk,
    dir: &Path,
    known: Known,
    manner: Manner,
    mut replay: impl FnMut(FrameInfo, &[u8]) -> Result<(), StoreError>,
) -> Result<Found, StoreError> {
    let mut walk = Walk::begin(disk, dir)?;
    if let Some(mark) = known.from.filter(|mark| mark.frame_number > 0) {
        walk.go_to(mark)?;
    }
    let begun = walk.at;
    let mut doubted = None;
    let torn = loop {
        walk.check_passing(known.durable)?;
        if walk.step(&mut replay)? {
            continue;
        }
        let (later, torn) = walk.what_follows()?;
        match later {
            None if walk.forgive()? => {}
            None => break torn,
            // A server may have written this frame and more since it was read: look once more.
            Some(_) if manner == Manner::Beside && doubted != Some(walk.at.position) => {
                doubted = Some(walk.at.position);
                walk.segment = None;
            }
            Some(later) => return Err(walk.damaged(&later)),
        }
    };
    walk.check_end(known.durable)?;
    let Walk { at: end, layout, ledger_id, end_of_bytes, opens_segment, .. } = walk;
    let frames = end.frame_number - begun.frame_number;
    let events = end.next_event - begun.next_event;
    let recovered = Recovered { ledger_id, frames, events, torn, end };
    Ok(Found { layout, recovered, end_of_bytes, opens_segment })
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    layout: Layout,
    ledger_id: [u8; 16],
    seal: Seal,
    /// The place after the last frame that was read.
    at: Mark,
    end_of_bytes: u64,
    opens_segment: Option<SegmentHeader>,
    /// The segment in which `at` lies, unless there is none yet.
    segment: Option<Segment>,
}

struct Segment {
    number: u64,
    path: PathBuf,
    window: Window,
    /// Its header does not check, which is forgiven only if its first frame is whole and the
    /// last of all.
    suspect: bool,
}

impl<'a> Walk<'a> {
    /// Segment 0 and its header were durable before the first frame was taken in.
    fn begin(disk: &'a dyn Disk, dir: &'a Path) -> Result<Self, StoreError> {
        let path = segment_path(dir, 0);
        let Some((header, _)) = open(disk, &path)? else {
            return Err(corrupt(&path, 0, "the first segment is missing"));
        };
        let header = header.ok_or_else(|| corrupt(&path, 0, "the segment's header is damaged"))?;
        let layout = Layout::new(header.segment_bytes)
            .ok_or_else(|| corrupt(&path, 0, "the header names an impossible length"))?;
        Ok(Self {
            disk,
            dir,
            layout,
            ledger_id: header.ledger_id,
            seal: Seal::of(&header.ledger_id),
            at: layout.start(),
            end_of_bytes: layout.start().position,
            opens_segment: None,
            segment: None,
        })
    }

    /// Goes to a snapshot's mark, after a look whether the frame before it is the one meant.
    fn go_to(&mut self, mark: Mark) -> Result<(), StoreError> {
        let position = mark.frame_position;
        let number = self.layout.segment_of(position);
        let (path, offset) = (segment_path(self.dir, number), self.layout.offset_of(position));
        let lost = || {
            let frame = mark.frame_number;
            corrupt(&path, offset, format!("a snapshot covers frame {frame}, which is not here"))
        };
        let Some((_, mut window)) = open(self.disk, &path)? else { return Err(lost()) };
        let Some((frame, info, _)) =
            frame_at(&mut window, &path, self.layout, self.seal, position)?
        else {
            return Err(lost());
        };
        if after(info, self.layout) != mark {
            return Err(lost());
        }
        self.opens_segment = self.opening(position, &frame);
        self.at = mark;
        self.end_of_bytes = info.body_position + u64::from(info.body_len);
        Ok(())
    }

    /// Reads the next frame and gives it to `replay`. Says whether there was one.
    fn step(
        &mut self,
        replay: &mut impl FnMut(FrameInfo, &[u8]) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        if !self.enter()? {
            return Ok(false);
        }
        let (at, layout, seal) = (self.at, self.layout, self.seal);
        let Some(Segment { path, window, suspect: false, .. }) = &mut self.segment else {
            return Ok(false);
        };
        let found = frame_at(window, path, layout, seal, at.position)?;
        let Some((frame, info, body)) = found.filter(|(frame, ..)| follows(frame, at)) else {
            return Ok(false);
        };
        replay(info, body)?;
        self.opens_segment = self.opening(at.position, &frame);
        self.at = after(info, layout);
        self.end_of_bytes = info.body_position + u64::from(info.body_len);
        Ok(true)
    }

    /// Opens the segment in which the next frame must lie. Says whether it can hold one.
    fn enter(&mut self) -> Result<bool, StoreError> {
        let number = self.layout.segment_of(self.at.position);
        if self.segment.as_ref().is_some_and(|segment| segment.number == number) {
            return Ok(true);
        }
        self.segment = None;
        let path = segment_path(self.dir, number);
        let Some((header, window)) = open(self.disk, &path)? else { return Ok(false) };
        let fresh = self.is_fresh();
        let expected = segment_header(self.ledger_id, self.layout, self.at);
        let right = |header: &SegmentHeader| {
            let same_frames = SegmentHeader {
                first_frame: expected.first_frame,
                previous: expected.previous,
                first_event: expected.first_event,
                ..*header
            };
            // In the middle of a segment it is not known any more what came before its first.
            *header == expected || !fresh && same_frames == expected
        };
        match header {
            Some(header) if !right(&header) => {
                let what = "the header is that of another place or of another ledger";
                return Err(corrupt(&path, 0, what));
            }
            None if !fresh => return Err(corrupt(&path, 0, "the segment's header is damaged")),
            _ => {}
        }
        // No segment has its name before it has its length.
        if window.len() < self.layout.segment_bytes() {
            return Err(corrupt(&path, window.len(), "the segment is cut short"));
        }
        self.segment = Some(Segment { number, path, window, suspect: header.is_none() });
        Ok(true)
    }

    /// Whether the next frame is the first of a segment whose header comes with it.
    fn is_fresh(&self) -> bool {
        let Self { layout, at, .. } = self;
        layout.segment_of(at.position) > 0 && layout.offset_of(at.position) == SEGMENT_HEADER as u64
    }

    /// Looks for anything that was written after the chain's end, and for the unfinished write.
    fn what_follows(&mut self) -> Result<(Option<Later>, Option<Torn>), StoreError> {
        let begin = self.layout.offset_of(self.at.position);
        let first_of_all = if self.is_fresh() { 0 } else { begin };
        let mut torn = None;
        if let Some(Segment { path, window, .. }) = &mut self.segment {
            let own = Some(self.at);
            let found = rest::look_through(window, first_of_all, self.layout, self.seal, own)?;
            if let Some((offset, what)) = found.frame {
                return Ok((Some(Later { path: path.clone(), offset, what }), None));
            }
            torn = found.end.map(|end| Torn {
                path: path.clone(),
                offset: first_of_all,
                bytes: end - first_of_all,
            });
        }
        let number = self.layout.segment_of(self.at.position);
        let later = rest::later_segment(self.disk, self.dir, number, self.layout, self.seal)?;
        Ok((later, torn))
    }

    /// Lets a segment pass whose header does not check but whose first frame is whole, since
    /// nothing follows it. Says whether that is the case.
    fn forgive(&mut self) -> Result<bool, StoreError> {
        let (at, layout, seal) = (self.at, self.layout, self.seal);
        let Some(Segment { path, window, suspect, .. }) = &mut self.segment else {
            return Ok(false);
        };
        let frame = frame_at(window, path, layout, seal, at.position)?;
        let whole = frame.is_some_and(|(frame, ..)| follows(&frame, at));
        Ok(std::mem::take(suspect) && whole)
    }

    /// The header that the frame at `position` was written with, if it begins a segment.
    fn opening(&self, position: u64, frame: &FrameHeader) -> Option<SegmentHeader> {
        let number = self.layout.segment_of(position);
        let opens = number > 0 && position == self.layout.first_frame_of(number);
        let before = Mark {
            position,
            frame_number: frame.number - 1,
            checksum: frame.previous,
            next_event: frame.events.first_event,
            ..self.layout.start()
        };
        opens.then(|| segment_header(self.ledger_id, self.layout, before))
    }

    fn damaged(&self, later: &Later) -> StoreError {
        let frame = self.at.frame_number + 1;
        let Later { path, offset, what } = later;
        let path = path.display();
        let what =
            format!("frame {frame} does not check, but after it, at {path}:{offset}, {what}");
        match &self.segment {
            Some(Segment { suspect: false, .. }) => self.corrupt_here(what),
            Some(Segment { path, .. }) => corrupt(path, 0, what),
            None => {
                let path = segment_path(self.dir, self.layout.segment_of(self.at.position));
                corrupt(&path, 0, format!("the segment is missing: {what}"))
            }
        }
    }

    /// The chain must pass through a mark that was durable, and not beside it.
    fn check_passing(&self, durable: Option<Mark>) -> Result<(), StoreError> {
        match durable {
            Some(mark) if mark.frame_number == self.at.frame_number && mark != self.at => {
                let frame = mark.frame_number;
                Err(self.corrupt_here(format!("frame {frame} is not the one that was durable")))
            }
            _ => Ok(()),
        }
    }

    fn check_end(&self, durable: Option<Mark>) -> Result<(), StoreError> {
        match durable {
            Some(mark) if mark.frame_number > self.at.frame_number => {
                let (last, frame) = (self.at.frame_number, mark.frame_number);
                let what = format!("frame {last} is the last here, but frame {frame} was durable");
                Err(self.corrupt_here(what))
            }
            _ => Ok(()),
        }
    }

    fn corrupt_here(&self, what: String) -> StoreError {
        let position = self.at.position;
        let path = segment_path(self.dir, self.layout.segment_of(position));
        corrupt(&path, self.layout.offset_of(position), what)
    }
}

/// Opens a segment, if it exists, and reads its header, if it has one.
pub(super) fn open(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Option<(Option<SegmentHeader>, Window)>, StoreError> {
    if !disk.exists(path)? {
        return Ok(None);
    }
    let mut window = Window::new(disk.open_to_read(path)?)?;
    let header = match window.at(0, SEGMENT_HEADER)?.try_into().map(SegmentHeader::decode) {
        Ok(DecodedSegment::Header(header)) => Some(header),
        Ok(DecodedSegment::TooNew(found)) => return Err(too_new(path, found)),
        Ok(DecodedSegment::Nothing) | Err(_) => None,
    };
    Ok(Some((header, window)))
}

/// The frame at `position`, if a whole one of this ledger is there.
#[expect(clippy::type_complexity, reason = "the three parts have no other use together")]
fn frame_at<'w>(
    window: &'w mut Window,
    path: &Path,
    layout: Layout,
    seal: Seal,
    position: u64,
) -> Result<Option<(FrameHeader, FrameInfo, &'w [u8])>, StoreError> {
    let offset = layout.offset_of(position);
    let bytes = window.at(offset, FRAME_HEADER)?;
    let (frame, checksum) = match bytes.try_into().map(|bytes| FrameHeader::decode(bytes, seal)) {
        Ok(Decoded::Header(frame, checksum)) => (frame, checksum),
        Ok(Decoded::TooNew(found)) => return Err(too_new(path, found)),
        Ok(Decoded::Nothing) | Err(_) => return Ok(None),
    };
    let length = usize::try_from(frame.body_len).expect("32 bits fit into a usize");
    if length > layout.room_at(position) {
        return Ok(None);
    }
    let body = &window.at(offset, FRAME_HEADER + length)?[FRAME_HEADER..];
    if body.len() != length || seal.checksum(body) != frame.body_checksum {
        return Ok(None);
    }
    let info = FrameInfo {
        position,
        body_position: position + FRAME_HEADER as u64,
        body_len: frame.body_len,
        number: frame.number,
        events: frame.events,
        checksum,
    };
    Ok(Some((frame, info, body)))
}

/// Whether `frame` is the one that comes after the place `at`.
fn follows(frame: &FrameHeader, at: Mark) -> bool {
    frame.number == at.frame_number + 1
        && frame.previous == at.checksum
        && frame.events.first_event == at.next_event
}

/// The place after the frame.
fn after(info: FrameInfo, layout: Layout) -> Mark {
    Mark {
        position: layout.next_frame(info.body_position + u64::from(info.body_len)),
        frame_position: info.position,
        frame_number: info.number,
        checksum: info.checksum,
        next_event: info.events.first_event + u64::from(info.events.event_count),
        time: info.events.time,
    }
}

fn too_new(path: &Path, found: u16) -> StoreError {
    StoreError::TooNew { path: path.to_owned(), found, known: VERSION }
}

fn corrupt(path: &Path, offset: u64, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), offset, what: format!("{what}; {WAY_OUT}") }
}
