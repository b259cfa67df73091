//! The primitives of the record encoding: LEB128 integers and texts after their length.
//!
//! Writing goes to the end of a `Vec`; reading returns `None` where the bytes end too early or
//! make no sense, and never panics on what a disk may hand back.

/// Appends `value` in LEB128: seven bits a byte, the lowest first, the top bit set on all but
/// the last.
pub(super) fn put_uint(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a signed 128-bit `value`: zigzag, then LEB128.
pub(super) fn put_int(out: &mut Vec<u8>, value: i128) {
    let mut rest = ((value << 1) ^ (value >> 127)) as u128;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends `text` after its length in bytes.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
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
