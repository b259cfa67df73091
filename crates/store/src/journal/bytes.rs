//! The primitives of the record encoding: LEB128 integers and texts after their length.
//!
//! Writing goes to the end of a `Vec`; reading returns `None` where the bytes end too early or
//! make no sense, and never panics on what a disk may hand back.

/// Appends `value` in LEB128: seven bits a byte, the lowest first, the top bit set on all but
/// the last.
pub(super) fn put_uint(out: &mut Vec<u8>, value: u64) {
    put_with(out, UINT_MOST, |put| put.uint(value));
}

/// Appends a signed 128-bit `value`: zigzag, then LEB128.
pub(super) fn put_int(out: &mut Vec<u8>, value: i128) {
    put_with(out, INT_MOST, |put| put.int(value));
}

/// Appends what `write` puts, which has at most `most` bytes.
pub(super) fn put_with(out: &mut Vec<u8>, most: usize, write: impl FnOnce(&mut Put<'_>)) {
    let start = out.len();
    out.resize(start + most, 0);
    let mut put = Put::new(&mut out[start..]);
    write(&mut put);
    let used = put.used();
    out.truncate(start + used);
}

/// Appends `text` after its length in bytes.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The most bytes of a `uint`.
pub(super) const UINT_MOST: usize = 10;
/// The most bytes of an `int`.
pub(super) const INT_MOST: usize = 19;

/// Room for the fields of a record whose most bytes are known before. A vector would be asked for
/// room field by field, which costs more than the fields.
pub(super) struct Put<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl<'a> Put<'a> {
    /// Writes into `room`, from its beginning on.
    pub(super) fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// How many bytes were written.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.room[self.used] = byte;
        self.used += 1;
    }

    pub(super) fn slice(&mut self, bytes: &[u8]) {
        self.room[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }

    pub(super) fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.slice(bytes);
    }

    pub(super) fn uint(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            self.byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    pub(super) fn int(&mut self, value: i128) {
        let mut rest = ((value << 1) ^ (value >> 127)) as u128;
        // Nearly every sum fits 64 bits, and those are shifted in one register.
        while rest > u128::from(u64::MAX) {
            self.byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.uint(rest as u64);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.uint(text.len() as u64);
        self.slice(text.as_bytes());
    }
}

/// What is left to read of a record.
pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl<'a> Take<'a> {
    pub(super) fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (here, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(here)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (here, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*here)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn uint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn int(&mut self) -> Option<i128> {
        let mut zigzag = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if shift == 126 && bits > 3 {
                return None;
            }
            zigzag |= bits << shift;
            if byte < 0x80 {
                return Some((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128));
            }
        }
        None
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.uint()?).ok()?;
        std::str::from_utf8(self.slice(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_back_at_every_length() {
        let mut out = Vec::new();
        let uints: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).collect();
        let ints: Vec<i128> = (0..127).flat_map(|bit| [1 << bit, -(1 << bit)]).collect();
        uints.iter().chain([&u64::MAX]).for_each(|value| put_uint(&mut out, *value));
        ints.iter().chain([&i128::MIN, &i128::MAX]).for_each(|value| put_int(&mut out, *value));
        let mut take = Take(&out);
        for value in uints.iter().chain([&u64::MAX]) {
            assert_eq!(take.uint(), Some(*value));
        }
        for value in ints.iter().chain([&i128::MIN, &i128::MAX]) {
            assert_eq!(take.int(), Some(*value));
        }
        assert_eq!(take.byte(), None);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_none() {
        assert_eq!(Take(&[0x80; 3]).uint(), None);
        assert_eq!(Take(&[0xff; 20]).uint(), None);
        assert_eq!(Take(&[0xff; 20]).int(), None);
        assert_eq!(Take(&[5, b'a']).text(), None);
        assert_eq!(Take(&[1, 0xff]).text(), None);
    }
}
