//! A file on its second reading: it must be what it was on the first.
//!
//! Lines without a key of their own are known by their file's hash. Rows that were added or changed
//! after that was taken would be booked under a name that is not theirs, and again in the next run.

use std::io::{self, Read, Take};

use sha2::{Digest, Sha256};

/// Reads as many bytes as there were, and fails at their end if they are others.
pub(crate) struct Same<R> {
    inner: Take<R>,
    sha: Sha256,
    hash: String,
}

impl<R: Read> Same<R> {
    /// Reads `inner` again, which had so many bytes and this SHA-256, in hexadecimal.
    pub(crate) fn as_before(inner: R, bytes: u64, hash: String) -> Self {
        Self { inner: inner.take(bytes), sha: Sha256::new(), hash }
    }
}

impl<R: Read> Read for Same<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sha.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() {
            let now = hexadecimal(self.sha.clone());
            if now != self.hash {
                return Err(io::Error::other(
                    "the file was changed while it was imported; what was done before stays. \
                     Lines without a key are known by the file that they are in: look what was \
                     done (`tongjang history`) before you import the changed one",
                ));
            }
        }
        Ok(count)
    }
}

/// The hash as a job is named by it.
pub(super) fn hexadecimal(sha: Sha256) -> String {
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(bytes: &[u8]) -> io::Result<String> {
        let before = b"three\nlines\nof text";
        let hash = hexadecimal(Sha256::new_with_prefix(before));
        let mut text = String::new();
        let mut same = Same::as_before(bytes, before.len() as u64, hash);
        same.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn what_was_added_is_not_read_and_what_was_changed_is_noticed() {
        assert_eq!(again(b"three\nlines\nof text").unwrap(), "three\nlines\nof text");
        assert_eq!(again(b"three\nlines\nof text\nand one").unwrap(), "three\nlines\nof text");
        assert!(again(b"three\nlines\nof texts").is_ok(), "that is an addition, too");
        for changed in [&b"three\nlines\nof"[..], b"three\nlinen\nof text", b""] {
            assert!(again(changed).unwrap_err().to_string().contains("was changed"));
        }
    }
}
