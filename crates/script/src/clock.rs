//! RFC 3339 in UTC, as far as the scripts need it, between text and microseconds.
//!
//! The calendar is the proleptic Gregorian one, counted in years that begin in March, so that the
//! leap day is a year's last.

use tongjang_core::Timestamp;

const DAY_SECONDS: i64 = 86_400;

/// The instant that `text` names: `2026-11-22T09:00:00Z`, with up to six decimals of a second.
pub fn instant(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, decimals) = time.split_once('.').unwrap_or((time, ""));
    let part = |text: Option<&str>, most: i64| {
        let number: i64 = text?.parse().ok()?;
        (0..=most).contains(&number).then_some(number)
    };
    let (mut dates, mut times) = (date.split('-'), time.split(':'));
    let (year, month, day) =
        (part(dates.next(), 9999)?, part(dates.next(), 12)?, part(dates.next(), 31)?);
    let (hour, minute, second) =
        (part(times.next(), 23)?, part(times.next(), 59)?, part(times.next(), 59)?);
    let micros = if decimals.len() <= 6 {
        format!("{decimals:0<6}").parse::<i64>().ok()?
    } else {
        return None;
    };
    let seconds = days(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    let instant = Timestamp::from_micros(seconds * 1_000_000 + micros);
    // A date that does not exist, as February 30, comes back as another one.
    let ended = dates.next().is_none() && times.next().is_none();
    (ended && written(instant).starts_with(date)).then_some(instant)
}

/// `instant` as the API writes it: UTC with six decimals.
pub fn written(instant: Timestamp) -> String {
    let (seconds, micros) =
        (instant.micros().div_euclid(1_000_000), instant.micros().rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Days from 1970-01-01 to this date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The date so many days after 1970-01-01.
fn date(since: i64) -> (i64, i64, i64) {
    // Counting the years is slow and plain.
    let year = (0..).take_while(|year| days(*year, 1, 1) <= since).last().unwrap_or(0);
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= since).unwrap_or(1);
    (year, month, since - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written_back() {
        for (text, micros) in [
            ("1970-01-01T00:00:00.000000Z", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2000-02-29T12:34:56.000007Z", 951_827_696_000_007),
            ("2026-11-22T09:00:00.000000Z", 1_795_338_000_000_000),
            ("2100-03-01T00:00:00.000000Z", 4_107_542_400_000_000),
        ] {
            assert_eq!(instant(text), Some(Timestamp::from_micros(micros)), "{text}");
            assert_eq!(written(Timestamp::from_micros(micros)), text);
        }
        assert_eq!(instant("2026-11-22T09:00:00Z"), instant("2026-11-22T09:00:00.0Z"));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "2026-11-22",
            "2026-11-22T09:00:00",
            "2026-02-29T09:00:00Z",
            "2026-13-01T09:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T09:00:00.0000001Z",
            "2026-11-22T09:00:00+09:00",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
