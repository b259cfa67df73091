//! The ledger's values as PostgreSQL sends and takes them, in its binary form.

use std::error::Error;
use std::ops::RangeInclusive;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use tongjang_core::Timestamp;

type Failed = Box<dyn Error + Sync + Send>;

/// A whole number as a `numeric`: groups of four decimal digits, the highest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Numeric(pub(super) i128);

/// What a group of digits counts up to.
const GROUP: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        // 39 digits are ten groups.
        let mut groups = [0u16; 10];
        let mut count = 0;
        let mut rest = self.0.unsigned_abs();
        while rest > 0 {
            groups[count] = u16::try_from(rest % GROUP).expect("less than 10,000");
            rest /= GROUP;
            count += 1;
        }
        // Groups of zeros at the end are not sent; the weight tells that they are there.
        let zeros = groups[..count].iter().take_while(|group| **group == 0).count();
        let number = |n: usize| u16::try_from(n).expect("at most ten");
        let sign = if self.0 < 0 { NEGATIVE } else { 0 };
        for field in [number(count - zeros), number(count.saturating_sub(1)), sign, 0] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        for group in groups[zeros..count].iter().rev() {
            out.extend_from_slice(&group.to_be_bytes());
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        let mut fields = raw.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        let mut field = || fields.next().ok_or("a numeric ends early");
        let (count, weight, sign, _scale) = (field()?, field()?, field()?, field()?);
        let weight = i16::from_be_bytes(weight.to_be_bytes());
        let beyond = "a numeric that is no whole number of 128 bits";
        let mut sum = 0u128;
        for nth in 0..count {
            let group = field()?;
            let after = i32::from(weight) - i32::from(nth);
            let power = u32::try_from(after).ok().and_then(|power| GROUP.checked_pow(power));
            let value = power.and_then(|power| power.checked_mul(group.into()));
            sum = value.and_then(|value| sum.checked_add(value)).ok_or(beyond)?;
        }
        let signed = match sign {
            0 => i128::try_from(sum).ok(),
            NEGATIVE => 0i128.checked_sub_unsigned(sum),
            _ => None,
        };
        signed.map(Self).ok_or_else(|| beyond.into())
    }

    accepts!(NUMERIC);
}

/// 128 bits as a `uuid`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Uuid(pub(super) u128);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(Self(u128::from_be_bytes(raw.try_into()?)))
    }

    accepts!(UUID);
}

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds after 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// The times that the tables allow: from 0001-01-01Z to 9999-12-31Z.
const YEARS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_214_400_000_000;

/// An instant as a `timestamptz`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Instant(pub(super) Timestamp);

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        let since = self.0.micros().checked_sub(EPOCH).ok_or("a time before PostgreSQL's first")?;
        out.extend_from_slice(&since.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Instant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        let since = i64::from_be_bytes(raw.try_into()?);
        let micros = since.checked_add(EPOCH).filter(|micros| YEARS.contains(micros));
        let micros = micros.ok_or("a time that the tables do not allow")?;
        Ok(Self(Timestamp::from_micros(micros)))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: ToSql + for<'a> FromSql<'a>>(value: &T, kind: &Type) -> T {
        let mut bytes = BytesMut::new();
        value.to_sql(kind, &mut bytes).unwrap();
        T::from_sql(kind, &bytes).unwrap()
    }

    #[test]
    fn every_whole_number_of_128_bits_comes_back() {
        let edges = [0, 1, 9_999, 10_000, 10_001, 1 << 96, i128::MAX, 100_000_000, 123_456_789];
        for edge in edges.into_iter().flat_map(|edge| [edge, -edge]).chain([i128::MIN]) {
            assert_eq!(there_and_back(&Numeric(edge), &Type::NUMERIC), Numeric(edge));
        }
    }

    #[test]
    fn a_number_is_sent_as_postgresql_would() {
        let mut bytes = BytesMut::new();
        Numeric(-1_230_000).to_sql(&Type::NUMERIC, &mut bytes).unwrap();
        // One group and a weight of one: -123 · 10,000.
        assert_eq!(bytes[..], [0, 1, 0, 1, 0x40, 0, 0, 0, 0, 123]);
    }

    #[test]
    fn what_is_no_whole_number_is_not_taken() {
        let fraction = [0, 1, 0xff, 0xff, 0, 0, 0, 1, 0x13, 0x88];
        let nan = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        let huge = [0, 1, 0, 10, 0, 0, 0, 0, 0, 1];
        let short = [0, 2, 0, 1, 0, 0, 0, 0, 0, 1];
        for raw in [&fraction[..], &nan, &huge, &short, &[]] {
            assert!(Numeric::from_sql(&Type::NUMERIC, raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn times_and_ids_come_back() {
        for micros in [0, 1, -1, EPOCH, 1_795_338_000_000_001] {
            let instant = Instant(Timestamp::from_micros(micros));
            assert_eq!(there_and_back(&instant, &Type::TIMESTAMPTZ), instant);
        }
        let before = Instant(Timestamp::from_micros(i64::MIN));
        assert!(before.to_sql(&Type::TIMESTAMPTZ, &mut BytesMut::new()).is_err());
        assert_eq!(there_and_back(&Uuid(7), &Type::UUID), Uuid(7));
    }
}
