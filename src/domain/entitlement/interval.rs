//! Intervals: how long a usage period or the pause between two refills of a grant is.
//!
//! An interval has a calendar part, in months, and a clock part, in minutes: `P1Y2M10DT2H30M` is 14 months and 14,550
//! minutes. A day is 24 hours, because periods are counted in UTC. Balances know no time shorter than a minute, so an
//! interval has none either.

/// Longest interval, in months: a thousand years.
pub const INTERVAL_MONTHS_MAX: u64 = 12_000;
/// Longest clock part of an interval, in minutes: a thousand leap years.
pub const INTERVAL_MINUTES_MAX: u64 = 1_000 * 366 * DAY_MINUTES;

const HOUR_MINUTES: u64 = 60;
const DAY_MINUTES: u64 = 24 * HOUR_MINUTES;
const WEEK_MINUTES: u64 = 7 * DAY_MINUTES;
const MINUTE_S: u64 = 60;

/// An ISO 8601 duration with calendar and clock parts: `PT1H`, `P1D`, `P2W`, `P1M`, `P1Y2M10DT2H30M`. No fractions, not
/// negative, not empty, whole minutes. Two intervals are equal when they were written alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interval {
    text: Box<str>,
    months: u64,
    minutes: u64,
}

/// The intervals that the API has names for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamedInterval {
    Day,
    Week,
    Month,
    Year,
}

/// Why a text is no interval. Ordered: the first that applies is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    #[error("must be an ISO 8601 duration such as PT1H, P1D, P2W or P1Y6M")]
    Format,
    #[error("must not have fractions")]
    Fraction,
    #[error("must not be longer than 1,000 years")]
    TooLong,
    #[error("must be whole minutes")]
    PartOfAMinute,
    #[error("must be longer than nothing")]
    Empty,
}

impl Interval {
    /// Reads upper-case ISO 8601: years, months, weeks, days, then after a `T` hours, minutes, seconds; each at most
    /// once, in this order.
    pub fn parse(text: &str) -> Result<Self, IntervalError> {
        if text.contains(['.', ',']) {
            return Err(IntervalError::Fraction);
        }
        let parts = text.strip_prefix('P').ok_or(IntervalError::Format)?;
        let (date, clock) = match parts.split_once('T') {
            Some((_, "")) => return Err(IntervalError::Format),
            Some(parts) => parts,
            None if parts.is_empty() => return Err(IntervalError::Format),
            None => (parts, ""),
        };
        let [years, months, weeks, days] = amounts(date, ['Y', 'M', 'W', 'D'])?;
        let [hours, minutes, seconds] = amounts(clock, ['H', 'M', 'S'])?;
        let months = years * 12 + months;
        let minutes = weeks * WEEK_MINUTES + days * DAY_MINUTES + hours * HOUR_MINUTES + minutes + seconds / MINUTE_S;
        if months > INTERVAL_MONTHS_MAX || minutes > INTERVAL_MINUTES_MAX {
            return Err(IntervalError::TooLong);
        }
        if seconds % MINUTE_S != 0 {
            return Err(IntervalError::PartOfAMinute);
        }
        if (months, minutes) == (0, 0) {
            return Err(IntervalError::Empty);
        }
        Ok(Self { text: text.into(), months, minutes })
    }

    pub fn from_named(name: NamedInterval) -> Self {
        let (text, months, minutes) = match name {
            NamedInterval::Day => ("P1D", 0, DAY_MINUTES),
            NamedInterval::Week => ("P1W", 0, WEEK_MINUTES),
            NamedInterval::Month => ("P1M", 1, 0),
            NamedInterval::Year => ("P1Y", 12, 0),
        };
        Self { text: text.into(), months, minutes }
    }

    /// The text as it was sent and is stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of what this comes to: `PT24H` is a day, `P7D` a week, `P12M` a year.
    pub fn named(&self) -> Option<NamedInterval> {
        match (self.months, self.minutes) {
            (0, DAY_MINUTES) => Some(NamedInterval::Day),
            (0, WEEK_MINUTES) => Some(NamedInterval::Week),
            (1, 0) => Some(NamedInterval::Month),
            (12, 0) => Some(NamedInterval::Year),
            _ => None,
        }
    }

    pub fn is_shorter_than_an_hour(&self) -> bool {
        self.months == 0 && self.minutes < HOUR_MINUTES
    }

    /// The calendar part, at most [`INTERVAL_MONTHS_MAX`].
    pub(super) fn months(&self) -> i64 {
        self.months as i64
    }

    /// The clock part, at most [`INTERVAL_MINUTES_MAX`].
    pub(super) fn minutes(&self) -> i64 {
        self.minutes as i64
    }
}

impl NamedInterval {
    pub const ALL: [NamedInterval; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// The wire text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    /// Reads [`NamedInterval::as_str`], exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// Reads numbers, each followed by its unit, off one part of a duration; 0 for a unit that is not there.
fn amounts<const N: usize>(mut part: &str, units: [char; N]) -> Result<[u64; N], IntervalError> {
    let mut amounts = [0; N];
    let mut rest = &units[..];
    while !part.is_empty() {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = part.split_at(digits);
        let unit = tail.chars().next().ok_or(IntervalError::Format)?;
        let skipped = rest.iter().position(|known| *known == unit).ok_or(IntervalError::Format)?;
        if number.is_empty() {
            return Err(IntervalError::Format);
        }
        let at = N - rest.len() + skipped;
        // Only digits are left, so a number that does not fit is a long one; 32 bits leave room to add them up.
        amounts[at] = u64::from(number.parse::<u32>().map_err(|_| IntervalError::TooLong)?);
        (part, rest) = (&tail[1..], &rest[skipped + 1..]);
    }
    Ok(amounts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_interval_is_months_and_minutes() {
        use IntervalError::*;
        #[rustfmt::skip]
        let table = [
            ("PT1H",                Ok((0, 60))),
            ("P1D",                 Ok((0, 1_440))),
            ("P2W",                 Ok((0, 20_160))),
            ("P1M",                 Ok((1, 0))),
            ("PT1M",                Ok((0, 1))),
            ("P1Y2M10DT2H30M",      Ok((14, 14_550))),
            ("P1Y1M1W1DT1H1M60S",   Ok((13, 10_080 + 1_440 + 62))),
            ("PT3600S",             Ok((0, 60))),
            ("P100Y",               Ok((1_200, 0))),
            ("P007D",               Ok((0, 10_080))),
            ("P1000Y",              Ok((12_000, 0))),
            ("",                    Err(Format)),
            ("P",                   Err(Format)),
            ("PT",                  Err(Format)),
            ("P1DT",                Err(Format)),
            ("P1",                  Err(Format)),
            ("PD",                  Err(Format)),
            ("1D",                  Err(Format)),
            ("p1d",                 Err(Format)),
            ("-P1D",                Err(Format)),
            ("P-1D",                Err(Format)),
            ("P+1D",                Err(Format)),
            ("P1D1Y",               Err(Format)), // out of order
            ("P1D1D",               Err(Format)),
            ("P1H",                 Err(Format)),
            ("PT1D",                Err(Format)),
            ("P1DT1HT1M",           Err(Format)),
            ("P1D ",                Err(Format)),
            ("P１D",                Err(Format)),
            ("P1é",                 Err(Format)),
            ("P0.5D",               Err(Fraction)),
            ("PT1,5H",              Err(Fraction)),
            ("PT30S",               Err(PartOfAMinute)),
            ("P1DT61S",             Err(PartOfAMinute)),
            ("P0D",                 Err(Empty)),
            ("PT0S",                Err(Empty)),
            ("P1001Y",              Err(TooLong)),
            ("P4294967295M",        Err(TooLong)),
            ("P4294967295WT1H",     Err(TooLong)),
            ("P99999999999D",       Err(TooLong)),
        ];
        for (text, expected) in table {
            assert_eq!(Interval::parse(text).map(|i| (i.months, i.minutes)), expected, "{text}");
        }
        assert_eq!(Interval::parse("PT3600S").unwrap().as_str(), "PT3600S");
    }

    #[test]
    fn an_interval_has_the_name_of_what_it_comes_to() {
        use NamedInterval::*;
        #[rustfmt::skip]
        let table = [
            ("P1D", Some(Day)), ("PT24H", Some(Day)), ("PT1440M", Some(Day)), ("PT86400S", Some(Day)),
            ("P1W", Some(Week)), ("P7D", Some(Week)), ("PT168H", Some(Week)), ("P6DT24H", Some(Week)),
            ("P1M", Some(Month)), ("P30D", None),
            ("P1Y", Some(Year)), ("P12M", Some(Year)), ("P365D", None), ("P1Y1D", None), ("PT1H", None),
        ];
        for (text, name) in table {
            assert_eq!(Interval::parse(text).unwrap().named(), name, "{text}");
        }
        for name in NamedInterval::ALL {
            let interval = Interval::from_named(name);
            assert_eq!(Interval::parse(interval.as_str()), Ok(interval.clone()));
            assert_eq!((interval.named(), NamedInterval::parse(name.as_str())), (Some(name), Some(name)));
        }
    }

    #[test]
    fn an_hour_is_not_shorter_than_an_hour() {
        for (text, shorter) in [("PT59M", true), ("PT60M", false), ("PT1H", false), ("P1M", false), ("PT3599S", true)] {
            let interval = Interval::parse(text);
            assert_eq!(interval.map_or(true, |interval| interval.is_shorter_than_an_hour()), shorter, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in ".{0,20}", near in "P([0-9]{0,12}[YMWD.])*(T([0-9]{0,12}[HMSé])*)?") {
            let _ = Interval::parse(&text);
            if let Ok(interval) = Interval::parse(&near) {
                prop_assert!(interval.months + interval.minutes > 0);
            }
        }
    }
}
