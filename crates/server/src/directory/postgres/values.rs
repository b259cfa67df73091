//! The types of the tables' columns: ids as `uuid`, times as `timestamptz`.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use tongjang_core::{Timestamp, UserId};

/// A user's id, all of whose 128 bits are the `uuid`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Id(pub(super) UserId);

impl ToSql for Id {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u128(self.0.bits());
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(UserId::from_bits(u128::from_be_bytes(raw.try_into()?))))
    }

    accepts!(UUID);
}

/// What PostgreSQL counts its microseconds from, 2000-01-01T00:00:00Z, in those since 1970.
const CENTURY: i64 = 946_684_800_000_000;

/// A time. Both sides count microseconds, so it comes back as it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment(pub(super) Timestamp);

impl ToSql for Moment {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0.micros().checked_sub(CENTURY).ok_or("a time too long ago")?);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let micros = micros.checked_add(CENTURY).ok_or("a time without end")?;
        Ok(Self(Timestamp::from_micros(micros)))
    }

    accepts!(TIMESTAMPTZ);
}
