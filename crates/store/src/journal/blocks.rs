//! The writer's block: what the [`writer`](super::writer) writes begins and ends where the disk's
//! blocks do.
//!
//! Then it can go past the operating system's cache, which spares a copy and a page of memory for
//! every four kilobytes of journal. A frame begins anywhere, so the start of its first block, which
//! is durable already, is written once more with it, and its last block is filled with the zeros
//! that stand there anyway.

use super::writer::LARGEST_KEPT;
use crate::StoreError;
use crate::disk::{BLOCK, DiskFile};

/// A buffer that lies on a block's boundary in memory, too, and the beginning of the block in
/// which the next frame will stand.
#[derive(Default)]
pub(super) struct Blocks {
    /// Where in the file the block of the next frame begins.
    block: u64,
    /// What stands in the block of the next frame before it.
    begun: Vec<u8>,
    buffer: Vec<u8>,
}

impl Blocks {
    /// Goes on after what stands in `file` up to `offset`.
    pub(super) fn after(file: &dyn DiskFile, offset: u64) -> Result<Self, StoreError> {
        let inside = (offset % BLOCK as u64) as usize;
        let (block, mut begun) = (offset - inside as u64, vec![0; inside]);
        file.read_at(&mut begun, block)?;
        Ok(Self { block, begun, buffer: Vec::new() })
    }

    /// Writes `parts`, one behind the other, at `offset`: where the last write ended, after a few
    /// zeros that follow it, or where a block begins.
    ///
    /// # Panics
    /// If `offset` is elsewhere: what is durable there would be lost.
    pub(super) fn write(
        &mut self,
        file: &dyn DiskFile,
        parts: &[&[u8]],
        offset: u64,
    ) -> Result<(), StoreError> {
        let inside = (offset % BLOCK as u64) as usize;
        let block = offset - inside as u64;
        if block == self.block {
            assert!(inside >= self.begun.len(), "what is durable is not written over");
        } else {
            assert!(inside == 0, "what stands before it in its block is known");
            self.begun.clear();
        }
        // There may be zeros between two frames.
        self.begun.resize(inside, 0);
        let bytes = inside + parts.iter().map(|part| part.len()).sum::<usize>();
        let whole = bytes.next_multiple_of(BLOCK);
        let start = self.room(whole);
        let buffer = &mut self.buffer[start..start + whole];
        let mut at = 0;
        for part in [self.begun.as_slice()].iter().chain(parts) {
            buffer[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        buffer[at..].fill(0);
        file.write_blocks(buffer, block)?;
        let written = bytes - bytes % BLOCK;
        self.block = block + written as u64;
        self.begun.clear();
        self.begun.extend_from_slice(&buffer[written..bytes]);
        if self.buffer.len() > LARGEST_KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Where in the buffer a block begins after which there is room for `whole` bytes.
    fn room(&mut self, whole: usize) -> usize {
        if self.buffer.len() < whole + BLOCK {
            self.buffer.clear();
            self.buffer.resize(whole + BLOCK, 0);
        }
        self.buffer.as_ptr().align_offset(BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    use super::*;
    use crate::disk::Disk;
    use crate::faulty::FaultyDisk;

    #[test]
    fn what_is_written_stands_there_and_what_was_before_it_still_does() {
        let (disk, path) = (FaultyDisk::new(1), Path::new("/blocks"));
        let file = disk.create(path).unwrap();
        file.set_len(16 * BLOCK as u64).unwrap();
        let mut expected = vec![0; 16 * BLOCK];
        let mut blocks = Blocks::default();
        let mut offset = BLOCK;
        for length in [100, 1, BLOCK, 3 * BLOCK + 7, BLOCK - 116, 5000, 8, 8] {
            let part = vec![length as u8 | 1; length];
            blocks
                .write(&*file, &[&part[..length / 2], &part[length / 2..]], offset as u64)
                .unwrap();
            expected[offset..offset + length].copy_from_slice(&part);
            assert_eq!(disk.bytes(path).unwrap(), expected);
            offset = (offset + length).next_multiple_of(8);
            // As after a restart.
            if length == 5000 {
                blocks = Blocks::after(&*file, offset as u64).unwrap();
            }
        }
        // Another segment begins with whole blocks, whatever was begun in this one.
        let next = disk.create(Path::new("/next")).unwrap();
        blocks.write(&*next, &[&[7; BLOCK + 8]], 0).unwrap();
        blocks.write(&*next, &[&[8; 8]], BLOCK as u64 + 16).unwrap();
        let bytes = disk.bytes(Path::new("/next")).unwrap();
        assert_eq!(bytes[..BLOCK + 8], [7; BLOCK + 8]);
        assert_eq!(bytes[BLOCK + 8..BLOCK + 16], [0; 8]);
        assert_eq!(bytes[BLOCK + 16..BLOCK + 24], [8; 8]);
        assert_eq!(disk.bytes(path).unwrap(), expected);
    }

    #[test]
    fn what_is_durable_is_never_written_over() {
        let disk = FaultyDisk::new(1);
        let file = disk.create(Path::new("/blocks")).unwrap();
        for wrong in [0, 96, BLOCK as u64 + 8] {
            let mut blocks = Blocks::default();
            blocks.write(&*file, &[&[1; 100]], 0).unwrap();
            let over = catch_unwind(AssertUnwindSafe(|| blocks.write(&*file, &[&[2]], wrong)));
            assert!(over.is_err(), "{wrong}");
            assert_eq!(disk.bytes(Path::new("/blocks")).unwrap()[..100], [1; 100]);
        }
    }

    #[test]
    fn a_huge_buffer_is_not_kept() {
        let file = FaultyDisk::new(1).create(Path::new("/blocks")).unwrap();
        let mut blocks = Blocks::default();
        blocks.write(&*file, &[&vec![1; LARGEST_KEPT]], 0).unwrap();
        assert_eq!(blocks.buffer.capacity(), 0);
    }
}
