//! Cursors: where a listing goes on, sealed so that a caller can neither forge one nor use it
//! for anything but the listing it was made for.
//!
//! A cursor is base64url of the position's bytes and the first 16 bytes of an HMAC-SHA-256
//! (RFC 2104) over them and over what the cursor is bound to: the listing, the caller and the
//! account. What is bound is not in the cursor; whoever reads it back must bind the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

const TAG: usize = 16;
const BLOCK: usize = 64;

/// The longest cursor that is looked at: a position with the longest memo filter fits in it.
const MAX_CHARS: usize = 2048;

/// The ledger's secret key for cursors.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

/// A text that is no cursor of this listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotACursor;

impl CursorKey {
    /// The key with these bytes, which nobody but the server may know.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The cursor that holds `position` and is good only together with `bound`.
    pub fn seal(&self, bound: &[impl AsRef<[u8]>], position: &[u8]) -> String {
        let mut sealed = position.to_vec();
        sealed.extend_from_slice(&self.tag(bound, position));
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The position that [`seal`](Self::seal) put into `cursor` together with `bound`.
    pub fn open(&self, bound: &[impl AsRef<[u8]>], cursor: &str) -> Result<Vec<u8>, NotACursor> {
        if cursor.len() > MAX_CHARS {
            return Err(NotACursor);
        }
        let mut position = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| NotACursor)?;
        let length = position.len().checked_sub(TAG).ok_or(NotACursor)?;
        let given = position.split_off(length);
        let tag = self.tag(bound, &position);
        // Every byte is compared, so that the time taken tells nothing about the right tag.
        let difference = given.iter().zip(tag).fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference == 0 { Ok(position) } else { Err(NotACursor) }
    }

    fn tag(&self, bound: &[impl AsRef<[u8]>], position: &[u8]) -> [u8; TAG] {
        let mut message = Vec::with_capacity(128 + position.len());
        for part in bound.iter().map(AsRef::as_ref).chain([position]) {
            // Each part after its length, so that no two lists of parts are the same message.
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        let mut tag = [0; TAG];
        tag.copy_from_slice(&hmac(&self.0, &message)[..TAG]);
        tag
    }
}

/// HMAC-SHA-256 of RFC 2104, for keys no longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// Writes a position: fixed-size fields, and texts after their length.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A byte.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Whether there is a value, and it.
    pub(crate) fn optional<const N: usize>(&mut self, bytes: Option<[u8; N]>) {
        self.byte(bytes.is_some().into());
        if let Some(bytes) = bytes {
            self.0.extend_from_slice(&bytes);
        }
    }

    /// Whether there is a text, and it.
    pub(crate) fn optional_text(&mut self, text: Option<&str>) {
        self.optional(text.map(|text| (text.len() as u32).to_be_bytes()));
        self.0.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

/// Reads what [`Writer`] wrote.
pub(crate) struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// Begins at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    pub(crate) fn byte(&mut self) -> Result<u8, NotACursor> {
        let (first, rest) = self.0.split_first().ok_or(NotACursor)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A value, if there is one.
    pub(crate) fn optional<const N: usize>(&mut self) -> Result<Option<[u8; N]>, NotACursor> {
        match self.byte()? {
            0 => Ok(None),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk().ok_or(NotACursor)?;
                self.0 = rest;
                Ok(Some(*bytes))
            }
            _ => Err(NotACursor),
        }
    }

    /// A text, if there is one.
    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a str>, NotACursor> {
        let Some(length) = self.optional()? else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| NotACursor)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(NotACursor)?;
        self.0 = rest;
        std::str::from_utf8(text).map(Some).map_err(|_| NotACursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_cursor_is_good_only_for_what_it_was_made_for() {
        let key = CursorKey::new([7; 32]);
        let cursor = key.seal(&["entries", "me"], b"at 5");
        assert_eq!(key.open(&["entries", "me"], &cursor), Ok(b"at 5".to_vec()));
        for bound in [["entries", "you"], ["accounts", "me"], ["entriesm", "e"]] {
            assert_eq!(key.open(&bound, &cursor), Err(NotACursor));
        }
        let other = CursorKey::new([8; 32]);
        assert_eq!(other.open(&["entries", "me"], &cursor), Err(NotACursor));
    }

    #[test]
    fn no_byte_of_a_cursor_can_be_changed() {
        let key = CursorKey::new([7; 32]);
        let cursor = key.seal(&[b"entries"], b"at 5");
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert_eq!(key.open(&[b"entries"], &forged), Err(NotACursor), "byte {place}");
        }
        for text in ["", "x", "=", "적요", &cursor[1..], &format!("{cursor}A"), &"A".repeat(5000)]
        {
            assert_eq!(key.open(&[b"entries"], text), Err(NotACursor), "{text}");
        }
    }

    #[test]
    fn a_position_is_read_back_as_it_was_written() {
        let mut writer = Writer::default();
        writer.byte(9);
        writer.optional(Some(7u64.to_be_bytes()));
        writer.optional::<16>(None);
        writer.optional_text(Some("적요"));
        writer.optional_text(None);
        let mut scanner = Scanner::new(writer.bytes());
        assert_eq!(scanner.byte(), Ok(9));
        assert_eq!(scanner.optional(), Ok(Some(7u64.to_be_bytes())));
        assert_eq!(scanner.optional::<16>(), Ok(None));
        assert_eq!(scanner.optional_text(), Ok(Some("적요")));
        assert_eq!(scanner.optional_text(), Ok(None));
        assert!(scanner.is_at_end());
        assert_eq!(scanner.byte(), Err(NotACursor));
    }
}
