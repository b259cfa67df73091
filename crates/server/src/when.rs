//! Times at the edge: the filters `from`, `to`, `at` and `tz` on the way in, RFC 3339 on the
//! way out. What goes further in is an instant in microseconds, without a zone.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tongjang_core::Timestamp;

use crate::problem::Text;

/// Why a text is no time, or names no zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeError {
    /// It is neither an RFC 3339 time with an offset nor a plain date.
    Form,
    /// It has a space where an offset's `+` was lost on its way through a query string.
    Space,
    /// It names a day or an hour that no calendar has, or that is out of the range of times.
    Calendar,
    /// No such zone in the IANA time zone database.
    Zone,
}

impl TimeError {
    /// What is wrong, for the caller.
    pub fn text(self) -> Text {
        match self {
            Self::Form => Text::fixed(
                "must be a date such as 2026-11-22, or an RFC 3339 time with an offset such as \
                 2026-11-22T09:30:00Z",
                "2026-11-22 같은 날짜이거나 2026-11-22T09:30:00Z처럼 오프셋이 있는 RFC 3339 \
                 시각이어야 합니다",
            ),
            Self::Space => Text::fixed(
                "must not contain a space; write the + of an offset as %2B in a query",
                "공백이 있을 수 없습니다. 오프셋의 +는 쿼리에서 %2B로 쓰세요",
            ),
            Self::Calendar => Text::fixed(
                "must be a time that exists in the calendar",
                "달력에 있는 시각이어야 합니다",
            ),
            Self::Zone => Text::fixed(
                "must be a time zone of the IANA database, such as Asia/Seoul",
                "Asia/Seoul 같은 IANA 시간대 이름이어야 합니다",
            ),
        }
    }
}

/// A time as a caller wrote it: an instant, or a whole day whose borders depend on a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// An instant, in nanoseconds since the epoch.
    Instant(i128),
    /// A day of the calendar.
    Day(Date),
}

const NANOS_A_MICRO: i128 = 1_000;

impl When {
    /// Reads a date (`2026-11-22`) or an RFC 3339 time with an offset.
    ///
    /// Stricter than what jiff takes: one spelling of the date, a `T`, seconds, and an offset.
    pub fn read(text: &str) -> Result<Self, TimeError> {
        if text.contains(' ') {
            return Err(TimeError::Space);
        }
        let (date, rest) = text.split_at_checked(10).ok_or(TimeError::Form)?;
        if !fits(date, "dddd-dd-dd") {
            return Err(TimeError::Form);
        }
        if rest.is_empty() {
            return date.parse().map(Self::Day).map_err(|_| TimeError::Calendar);
        }
        if !is_time_of_day(rest) {
            return Err(TimeError::Form);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimeError::Calendar)?;
        Ok(Self::Instant(instant.as_nanosecond()))
    }

    /// As the inclusive beginning of a range: a day counts from its first instant in `zone`.
    pub fn from(self, zone: &TimeZone) -> Result<Timestamp, TimeError> {
        match self {
            // Nothing is booked between two microseconds, so the border moves up to the next.
            Self::Instant(nanos) => micros(-(-nanos).div_euclid(NANOS_A_MICRO)),
            Self::Day(day) => Ok(start_of(day, zone)),
        }
    }

    /// As the exclusive end of a range: a day counts up to the first instant of the next one.
    pub fn to(self, zone: &TimeZone) -> Result<Timestamp, TimeError> {
        match self {
            Self::Instant(_) => self.from(zone),
            Self::Day(day) => {
                Ok(day.tomorrow().map_or_else(|_| last(), |next| start_of(next, zone)))
            }
        }
    }

    /// As the one instant that is meant: of a day, its last microsecond.
    pub fn at(self, zone: &TimeZone) -> Result<Timestamp, TimeError> {
        match self {
            Self::Instant(nanos) => micros(nanos.div_euclid(NANOS_A_MICRO)),
            Self::Day(_) => self.to(zone).map(|end| Timestamp::from_micros(end.micros() - 1)),
        }
    }
}

/// The zone of this IANA name.
pub fn zone(name: &str) -> Result<TimeZone, TimeError> {
    match TimeZone::get(name) {
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ => Err(TimeError::Zone),
    }
}

/// The first instant of `day` in `zone`; on a day whose midnight the clocks skip, the first
/// that there is.
fn start_of(day: Date, zone: &TimeZone) -> Timestamp {
    let start = day.to_zoned_datetime(zone.clone()).and_then(|midnight| midnight.start_of_day());
    // It cannot fail but for the very last days, whose borders are beyond all times.
    start
        .map_or_else(|_| last(), |start| Timestamp::from_micros(start.timestamp().as_microsecond()))
}

/// The last whole second there is. 9999-12-31 is what many write for "without an end".
fn last() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::MAX.as_second() * 1_000_000)
}

fn micros(micros: i128) -> Result<Timestamp, TimeError> {
    i64::try_from(micros).map(Timestamp::from_micros).map_err(|_| TimeError::Calendar)
}

/// `THH:MM:SS`, perhaps a fraction, and `Z` or `±HH:MM`.
fn is_time_of_day(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(9) else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            let digits = fraction.len() - offset.len();
            if !(1..=9).contains(&digits) {
                return false;
            }
            offset
        }
        None => rest,
    };
    fits(clock, "Tdd:dd:dd") && (rest == "Z" || fits(rest, "+dd:dd") || fits(rest, "-dd:dd"))
}

/// Whether `text` has the shape of `pattern`, in which a `d` stands for a digit.
fn fits(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(letter, shape)| match shape {
            b'd' => letter.is_ascii_digit(),
            shape => letter == shape,
        })
}

/// An instant as answers show it: UTC with six decimals, `2026-11-22T00:30:00.000001Z`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Utc(pub Timestamp);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.micros()) {
            Ok(instant) => write!(f, "{instant:.6}"),
            // Beyond the year 9999 RFC 3339 has no form; no clock that a ledger reads is there.
            Err(_) => write!(f, "{}us", self.0.micros()),
        }
    }
}

impl serde::Serialize for Utc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time: Result<Timestamp, TimeError>) -> String {
        time.map(|time| Utc(time).to_string()).unwrap_or_else(|error| format!("{error:?}"))
    }

    fn from(text: &str, name: &str) -> String {
        shown(When::read(text).unwrap().from(&zone(name).unwrap()))
    }

    fn to(text: &str, name: &str) -> String {
        shown(When::read(text).unwrap().to(&zone(name).unwrap()))
    }

    #[test]
    fn a_day_begins_and_ends_at_midnight_of_its_zone() {
        assert_eq!(from("2026-11-22", "Asia/Seoul"), "2026-11-21T15:00:00.000000Z");
        assert_eq!(to("2026-11-22", "Asia/Seoul"), "2026-11-22T15:00:00.000000Z");
        assert_eq!(from("2026-11-22", "UTC"), "2026-11-22T00:00:00.000000Z");
        assert_eq!(to("2026-12-31", "UTC"), "2027-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_day_on_which_the_clocks_change_has_23_or_25_hours() {
        assert_eq!(from("2026-03-08", "America/New_York"), "2026-03-08T05:00:00.000000Z");
        assert_eq!(to("2026-03-08", "America/New_York"), "2026-03-09T04:00:00.000000Z");
        assert_eq!(from("2026-11-01", "America/New_York"), "2026-11-01T04:00:00.000000Z");
        assert_eq!(to("2026-11-01", "America/New_York"), "2026-11-02T05:00:00.000000Z");
        // In São Paulo the clocks skipped midnight itself: that day began at one.
        assert_eq!(from("2018-11-04", "America/Sao_Paulo"), "2018-11-04T03:00:00.000000Z");
        assert_eq!(to("2018-11-03", "America/Sao_Paulo"), "2018-11-04T03:00:00.000000Z");
    }

    #[test]
    fn an_instant_keeps_its_offset_and_no_zone_changes_it() {
        for name in ["UTC", "Asia/Seoul"] {
            assert_eq!(from("2026-11-22T09:00:00+09:00", name), "2026-11-22T00:00:00.000000Z");
            assert_eq!(to("2026-11-22T00:00:00.5Z", name), "2026-11-22T00:00:00.500000Z");
            assert_eq!(from("2026-11-21T20:00:00-04:00", name), "2026-11-22T00:00:00.000000Z");
        }
    }

    #[test]
    fn a_border_between_two_microseconds_moves_up_and_a_moment_moves_down() {
        let zone = zone("UTC").unwrap();
        let fine = When::read("2026-11-22T00:00:00.000000001Z").unwrap();
        assert_eq!(shown(fine.from(&zone)), "2026-11-22T00:00:00.000001Z");
        assert_eq!(shown(fine.to(&zone)), "2026-11-22T00:00:00.000001Z");
        assert_eq!(shown(fine.at(&zone)), "2026-11-22T00:00:00.000000Z");
        let early = When::read("1969-12-31T23:59:59.9999995Z").unwrap();
        assert_eq!(shown(early.from(&zone)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(early.at(&zone)), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn a_moment_given_as_a_day_is_its_last_microsecond() {
        let day = When::read("2026-11-22").unwrap();
        let seoul = zone("Asia/Seoul").unwrap();
        assert_eq!(shown(day.at(&seoul)), "2026-11-22T14:59:59.999999Z");
    }

    #[test]
    fn the_last_day_of_the_calendar_means_without_an_end() {
        let day = When::read("9999-12-31").unwrap();
        for name in ["UTC", "Asia/Seoul", "America/New_York", "Pacific/Kiritimati"] {
            let zone = zone(name).unwrap();
            assert_eq!(day.to(&zone), Ok(last()), "{name}");
            assert!(day.from(&zone).is_ok(), "{name}");
            assert!(day.at(&zone).unwrap() < last(), "{name}");
        }
        assert_eq!(Utc(last()).to_string(), "9999-12-30T22:00:00.000000Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (text, error) in [
            ("", TimeError::Form),
            ("now", TimeError::Form),
            ("2026-11-2", TimeError::Form),
            ("20261122", TimeError::Form),
            ("2026-11-22T", TimeError::Form),
            ("2026-11-22T09:00:00", TimeError::Form),
            ("2026-11-22T09:00Z", TimeError::Form),
            ("2026-11-22T09:00:00.Z", TimeError::Form),
            ("2026-11-22T09:00:00.0000000001Z", TimeError::Form),
            ("2026-11-22T09:00:00+0900", TimeError::Form),
            ("2026-11-22T09:00:00Z[Asia/Seoul]", TimeError::Form),
            ("+002026-11-22", TimeError::Form),
            ("적적적a", TimeError::Form),
            ("2026-11-22T09:00:00 09:00", TimeError::Space),
            ("2026-02-29", TimeError::Calendar),
            ("2026-13-01", TimeError::Calendar),
            ("2026-11-22T24:00:00Z", TimeError::Calendar),
            ("2026-11-22T09:00:00+99:00", TimeError::Calendar),
        ] {
            assert_eq!(When::read(text), Err(error), "{text}");
        }
        for name in ["", "Asia/Nowhere", "Etc/Unknown", "+09:00"] {
            assert_eq!(zone(name).err(), Some(TimeError::Zone), "{name}");
        }
    }
}
