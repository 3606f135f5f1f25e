//! Instants: nanoseconds in UTC, and how they are read from and written to RFC 3339.
//!
//! Reading is written out by hand because it runs once per event; a property holds it to the calendar library.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// An instant in UTC, in nanoseconds since 1970-01-01T00:00:00Z. Serialised as that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(i64);

/// Nanoseconds in one minute: the finest bucket of the rollups.
pub const MINUTE_NS: i64 = 60_000_000_000;

const MICRO_NS: i64 = 1_000;
const SECOND_NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// First second of 1900 and of 2262, since the epoch: what an instant may be when it is read.
const READABLE_S: std::ops::Range<i64> = days_before(1900) * DAY_S..days_before(2262) * DAY_S;

/// Why a text is no instant. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("must be an RFC 3339 date-time with seconds and a zone, such as 2025-03-01T10:00:00Z")]
    Format,
    #[error("is not a date and time that exists")]
    NoSuchTime,
    #[error("must lie in the years 1900 to 2261")]
    OutOfRange,
}

impl Instant {
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The same instant without what lies below a microsecond (floored): what business records keep.
    pub const fn floor_to_micros(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(MICRO_NS)))
    }

    /// The full UTC minute at or before this instant: when a grant, a void or a reset takes effect.
    pub const fn floor_to_minute(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(MINUTE_NS)))
    }

    /// The full UTC minute at or after this instant: when a read of a balance is evaluated. The last full minute that
    /// there is for the part of a minute after it.
    pub const fn ceil_to_minute(self) -> Self {
        match self.0.rem_euclid(MINUTE_NS) {
            0 => self,
            past => match self.0.checked_add(MINUTE_NS - past) {
                Some(next) => Self(next),
                None => self.floor_to_minute(),
            },
        }
    }

    /// The UTC minute this instant lies in, counted from the epoch (floored).
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(MINUTE_NS)
    }

    /// Reads RFC 3339: upper-case `T` and `Z`, seconds required, fraction optional (digits beyond the ninth are cut),
    /// zone mandatory. Years 1900 to 2261 of the instant in UTC. A leap second (`:60`) does not exist.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let (clock, rest) = text.as_bytes().split_at_checked(CLOCK_BYTES).ok_or(TimeError::Format)?;
        let clock = Clock::parse(clock).ok_or(TimeError::Format)?;
        let (nanos, rest) = parse_fraction(rest).ok_or(TimeError::Format)?;
        let zone = Zone::parse(rest).ok_or(TimeError::Format)?;
        let second = clock.second().zip(zone.seconds_east()).map(|(local, east)| local - east);
        let second = second.ok_or(TimeError::NoSuchTime)?;
        if !READABLE_S.contains(&second) {
            return Err(TimeError::OutOfRange);
        }
        Ok(Self(second * SECOND_NS + nanos))
    }

    /// RFC 3339 in UTC with `Z`; the fraction without trailing zeros, absent when zero.
    pub fn to_rfc3339(self) -> String {
        self.timestamp().to_string()
    }

    /// RFC 3339 as the clocks of `zone` show it, with their offset; `Z` where that is zero.
    pub fn to_rfc3339_in(self, zone: &TimeZone) -> String {
        let offset = zone.to_offset(self.timestamp());
        if offset.is_zero() {
            return self.to_rfc3339();
        }
        self.timestamp().display_with_offset(offset).to_string()
    }

    pub(super) fn timestamp(self) -> jiff::Timestamp {
        let timestamp = jiff::Timestamp::from_nanosecond(i128::from(self.0));
        timestamp.expect("64-bit nanoseconds lie within the calendar's years")
    }
}

/// Bytes of `2025-03-01T10:00:00`.
const CLOCK_BYTES: usize = 19;

/// A date and a time of day as written, not yet known to exist.
struct Clock {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Clock {
    fn parse(text: &[u8]) -> Option<Self> {
        let marks = [text[4], text[7], text[10], text[13], text[16]];
        if marks != *b"--T::" {
            return None;
        }
        Some(Self {
            year: two_digits(text, 0)? * 100 + two_digits(text, 2)?,
            month: two_digits(text, 5)?,
            day: two_digits(text, 8)?,
            hour: two_digits(text, 11)?,
            minute: two_digits(text, 14)?,
            second: two_digits(text, 17)?,
        })
    }

    /// Seconds since the epoch if the clock shows UTC; `None` when there is no such date or time.
    fn second(&self) -> Option<i64> {
        let date = self.day >= 1 && self.day <= days_in_month(self.year, self.month)?;
        if !date || self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let before = DAYS_BEFORE_MONTH[self.month as usize - 1];
        let leap = i64::from(self.month > 2 && is_leap(self.year));
        let days = days_before(self.year) + before + leap + self.day - 1;
        Some(days * DAY_S + self.hour * 3_600 + self.minute * 60 + self.second)
    }
}

/// The zone as written: `Z`, `+02:00`, `-03:30`.
struct Zone {
    sign: i64,
    hours: i64,
    minutes: i64,
}

impl Zone {
    fn parse(text: &[u8]) -> Option<Self> {
        let sign = match text {
            b"Z" => return Some(Self { sign: 1, hours: 0, minutes: 0 }),
            [b'+', _, _, b':', _, _] => 1,
            [b'-', _, _, b':', _, _] => -1,
            _ => return None,
        };
        Some(Self { sign, hours: two_digits(text, 1)?, minutes: two_digits(text, 4)? })
    }

    fn seconds_east(&self) -> Option<i64> {
        (self.hours <= 23 && self.minutes <= 59).then_some(self.sign * (self.hours * 3_600 + self.minutes * 60))
    }
}

/// Reads `.123` off the front, in nanoseconds; nothing there is 0, a point without digits is no fraction.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    let digit_at = |place: usize| digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    let nanos = (0..9).fold(0, |nanos, place| nanos * 10 + digit_at(place));
    Some((nanos, rest))
}

fn two_digits(text: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> Option<i64> {
    match month {
        2 => Some(28 + i64::from(is_leap(year))),
        4 | 6 | 9 | 11 => Some(30),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        _ => None,
    }
}

/// Days from the epoch to the first of January of a year of the Gregorian calendar.
const fn days_before(year: i64) -> i64 {
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let from_year_1 = past * 365 + leaps;
    from_year_1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_is_read_strictly() {
        use TimeError::*;
        #[rustfmt::skip]
        let table = [
            ("2025-03-01T10:00:00Z",                 Ok(1_740_823_200_000_000_000)),
            ("2025-03-01T10:00:00.5Z",               Ok(1_740_823_200_500_000_000)),
            ("2025-03-01T10:00:00.1234567899999Z",   Ok(1_740_823_200_123_456_789)), // cut, not rounded
            ("2025-03-01T12:00:00+02:00",            Ok(1_740_823_200_000_000_000)),
            ("2025-03-01T06:30:00-03:30",            Ok(1_740_823_200_000_000_000)),
            ("1970-01-01T00:00:00-00:00",            Ok(0)),
            ("1969-12-31T23:59:59.25Z",              Ok(-750_000_000)),
            ("2024-02-29T00:00:00Z",                 Ok(1_709_164_800_000_000_000)),
            ("2025-03-01",                           Err(Format)),
            ("2025-03-01T10:00:00",                  Err(Format)), // no zone
            ("2025-03-01T10:00Z",                    Err(Format)), // no seconds
            ("2025-03-01t10:00:00Z",                 Err(Format)),
            ("2025-03-01T10:00:00z",                 Err(Format)),
            ("2025-03-01 10:00:00Z",                 Err(Format)),
            ("2025-03-01T10:00:00.Z",                Err(Format)),
            ("2025-03-01T10:00:00,5Z",               Err(Format)),
            ("2025-03-01T10:00:00 02:00",            Err(Format)), // an unescaped + in a URL
            ("2025-03-01T10:00:00+0200",             Err(Format)),
            ("2025-03-01T10:00:00ZZ",                Err(Format)),
            ("+025-03-01T10:00:00Z",                 Err(Format)),
            ("",                                     Err(Format)),
            ("2025-02-30T10:00:00Z",                 Err(NoSuchTime)),
            ("1900-02-29T10:00:00Z",                 Err(NoSuchTime)),
            ("2025-13-01T10:00:00Z",                 Err(NoSuchTime)),
            ("2025-00-01T10:00:00Z",                 Err(NoSuchTime)),
            ("2025-03-00T10:00:00Z",                 Err(NoSuchTime)),
            ("2025-03-01T24:00:00Z",                 Err(NoSuchTime)),
            ("2016-12-31T23:59:60Z",                 Err(NoSuchTime)), // a leap second
            ("2025-03-01T10:00:00+24:00",            Err(NoSuchTime)),
            ("1899-12-31T23:59:59.999999999Z",       Err(OutOfRange)),
            ("1900-01-01T00:00:00+00:01",            Err(OutOfRange)), // the year counts in UTC
            ("2262-01-01T00:00:00Z",                 Err(OutOfRange)),
            ("9999-12-31T23:59:59Z",                 Err(OutOfRange)),
        ];
        for (text, expected) in table {
            assert_eq!(Instant::parse(text).map(Instant::nanos), expected, "{text}");
        }
        assert_eq!(Instant::parse("1900-01-01T00:00:00Z").map(Instant::to_rfc3339), Ok("1900-01-01T00:00:00Z".into()));
        let last = "2261-12-31T23:59:59.999999999Z";
        assert_eq!(Instant::parse(last).map(Instant::to_rfc3339), Ok(last.into()));
    }

    #[test]
    fn an_instant_is_written_in_utc_without_trailing_zeros() {
        assert_eq!(Instant::from_nanos(0).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Instant::from_nanos(1_500_000_000).to_rfc3339(), "1970-01-01T00:00:01.5Z");
        assert_eq!(Instant::from_nanos(-1).to_rfc3339(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Instant::from_nanos(i64::MIN).to_rfc3339(), "1677-09-21T00:12:43.145224192Z");
    }

    #[test]
    fn a_business_record_keeps_microseconds() {
        let table = [(1_999, 1_000), (1_000, 1_000), (0, 0), (-1, -1_000), (-1_000, -1_000), (i64::MIN, i64::MIN)];
        for (nanos, kept) in table {
            assert_eq!(Instant::from_nanos(nanos).floor_to_micros(), Instant::from_nanos(kept), "{nanos}");
        }
    }

    #[test]
    fn a_minute_is_the_clock_of_balances() {
        let last = i64::MAX - i64::MAX % MINUTE_NS;
        #[rustfmt::skip]
        let table = [
            (0,                 0,                  0),
            (1,                 0,                  MINUTE_NS),
            (MINUTE_NS,         MINUTE_NS,          MINUTE_NS),
            (-1,                -MINUTE_NS,         0),
            (-MINUTE_NS,        -MINUTE_NS,         -MINUTE_NS),
            (i64::MAX,          last,               last),
            (i64::MIN,          i64::MIN,           i64::MIN - i64::MIN % MINUTE_NS),
        ];
        for (nanos, floor, ceil) in table {
            let instant = Instant::from_nanos(nanos);
            assert_eq!((instant.floor_to_minute().nanos(), instant.ceil_to_minute().nanos()), (floor, ceil), "{nanos}");
        }
    }

    #[test]
    fn an_instant_is_shown_as_the_clocks_of_a_zone_show_it() {
        #[rustfmt::skip]
        let table = [
            ("2025-03-09T08:00:00Z",   "America/Los_Angeles", "2025-03-09T00:00:00-08:00"),
            ("2025-03-10T07:00:00Z",   "America/Los_Angeles", "2025-03-10T00:00:00-07:00"),
            ("2025-06-01T10:15:00.5Z", "Asia/Kathmandu",      "2025-06-01T16:00:00.5+05:45"),
            ("2025-01-01T00:00:00Z",   "Europe/London",       "2025-01-01T00:00:00Z"),
            ("2025-01-01T00:00:00Z",   "UTC",                 "2025-01-01T00:00:00Z"),
        ];
        for (instant, zone, shown) in table {
            let zone = crate::domain::metering::window::zone(zone).unwrap();
            assert_eq!(Instant::parse(instant).unwrap().to_rfc3339_in(&zone), shown);
        }
    }

    proptest! {
        #[test]
        fn reading_agrees_with_the_calendar_library(
            (year, month, day) in (1850u32..2300, 0u32..14, 0u32..33),
            (hour, minute, second) in (0u32..25, 0u32..61, 0u32..60),
            fraction in "(\\.[0-9]{1,9})?",
            zone in "Z|[+-][01][0-9]:[0-5][0-9]",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let expected = text.parse::<jiff::Timestamp>().ok().map(|t| t.as_nanosecond());
            match Instant::parse(&text) {
                Ok(instant) => prop_assert_eq!(Some(i128::from(instant.nanos())), expected, "{}", text),
                Err(TimeError::OutOfRange) => {
                    let year = expected.map(|n| jiff::Timestamp::from_nanosecond(n).unwrap().to_string()[..4].to_owned());
                    prop_assert!(year.is_some_and(|y| !("1900"..="2261").contains(&y.as_str())), "{}", text);
                }
                Err(_) => prop_assert_eq!(expected, None, "{}", text),
            }
        }

        #[test]
        fn what_is_written_reads_back(nanos in READABLE_S.start * SECOND_NS..READABLE_S.end * SECOND_NS) {
            let instant = Instant::from_nanos(nanos);
            prop_assert_eq!(Instant::parse(&instant.to_rfc3339()), Ok(instant));
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".{0,40}", near in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}.{0,8}") {
            let _ = Instant::parse(&text);
            let _ = Instant::parse(&near);
        }
    }
}
