//! Instants, in microseconds since 1970-01-01T00:00:00Z.

/// An instant in microseconds since the Unix epoch, without leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The instant `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The next instant that can be told apart from this one.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("292,000 years after 1970 no ledger runs"))
    }
}
