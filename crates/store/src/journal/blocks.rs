//! The writer's block: what is written begins and ends where the disk's blocks do.
//!
//! Then it can go past the operating system's cache, which spares a copy and a page of memory for
//! every four kilobytes of journal. A frame begins anywhere, so the start of its first block, which
//! is durable already, is written once more with it, and its last block is filled with the zeros
//! that stand there anyway.

use crate::StoreError;
use crate::disk::{BLOCK, DiskFile};

/// A buffer that lies on a block's boundary in memory, too, and the beginning of the block in
/// which the next frame will stand.
#[derive(Default)]
pub(super) struct Blocks {
    /// What stands in the block of the next frame before it.
    begun: Vec<u8>,
    buffer: Vec<u8>,
}

impl Blocks {
    /// Goes on after what stands in `file` up to `offset`.
    pub(super) fn after(file: &dyn DiskFile, offset: u64) -> Result<Self, StoreError> {
        let mut blocks = Self::default();
        let start = offset - offset % BLOCK as u64;
        blocks.begun.resize((offset - start) as usize, 0);
        file.read_at(&mut blocks.begun, start)?;
        Ok(blocks)
    }

    /// Writes `parts`, one behind the other, at `offset`, where the last write ended or after
    /// zeros that follow it.
    pub(super) fn write(
        &mut self,
        file: &dyn DiskFile,
        parts: &[&[u8]],
        offset: u64,
    ) -> Result<(), StoreError> {
        let inside = (offset % BLOCK as u64) as usize;
        // A new segment begins with a new block; within one there may be zeros between two frames.
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
        file.write_blocks(buffer, offset - inside as u64)?;
        self.begun.clear();
        self.begun.extend_from_slice(&buffer[bytes - bytes % BLOCK..bytes]);
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
    }
}
