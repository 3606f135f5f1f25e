//! Recurrences: instants that come back in equal steps of the calendar.
//!
//! Boundary n is the anchor plus n × the interval, in UTC and always counted from the anchor, so nothing drifts: with
//! an anchor on January 31 and a month as interval the boundaries are February 28, March 31, April 30.

use super::interval::Interval;
use crate::domain::time::{Instant, MINUTE_NS};
use jiff::Span;
use jiff::tz::Offset;
use std::ops::Range;

/// The first and the last full minute that an [`Instant`] can be: what a period without a boundary there is cut to.
const FIRST: Instant = Instant::from_nanos(i64::MIN).ceil_to_minute();
const LAST: Instant = Instant::from_nanos(i64::MAX).floor_to_minute();

/// After 400 years the Gregorian calendar repeats itself: so many months last so many minutes.
const CYCLE_MONTHS: i128 = 4_800;
const CYCLE_MINUTES: i128 = 146_097 * 1_440;

/// Boundaries at anchor + n × interval, for every whole n.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recurrence {
    pub anchor: Instant,
    pub interval: Interval,
}

impl Recurrence {
    /// Boundary n, months clamped to the month's end; `None` where an instant cannot be.
    pub fn boundary(&self, n: i64) -> Option<Instant> {
        let months = self.interval.months().checked_mul(n)?;
        let minutes = i128::from(self.interval.minutes()) * i128::from(n);
        let start = if months == 0 {
            i128::from(self.anchor.nanos())
        } else {
            let span = Span::new().try_months(months).ok()?;
            let start = Offset::UTC.to_datetime(self.anchor.timestamp()).checked_add(span).ok()?;
            Offset::UTC.to_timestamp(start).ok()?.as_nanosecond()
        };
        i64::try_from(start + minutes * i128::from(MINUTE_NS)).ok().map(Instant::from_nanos)
    }

    /// The stretch between two boundaries that contains `at`.
    pub fn period_at(&self, at: Instant) -> Range<Instant> {
        let (last, next) = self.around(at);
        last.unwrap_or(FIRST)..next.unwrap_or(LAST)
    }

    /// The first boundary at or after `at`.
    pub fn next_from(&self, at: Instant) -> Option<Instant> {
        let (last, next) = self.around(at);
        last.filter(|boundary| *boundary == at).or(next)
    }

    /// The last boundary that is not after `at`, and the one after it. The mean length of the interval leads to within
    /// a step or two of them, however far the anchor is.
    fn around(&self, at: Instant) -> (Option<Instant>, Option<Instant>) {
        let nanos = i128::from(at.nanos()) - i128::from(self.anchor.nanos());
        let (months, minutes) = (i128::from(self.interval.months()), i128::from(self.interval.minutes()));
        let mean = months * CYCLE_MINUTES + minutes * CYCLE_MONTHS;
        let guess = (nanos.div_euclid(i128::from(MINUTE_NS)) * CYCLE_MONTHS).div_euclid(mean);
        let mut n = i64::try_from(guess).expect("64 bits of nanoseconds are fewer minutes");

        // Beyond the calendar is after everything or before everything.
        let is_after = |n: i64, boundary: Option<Instant>| boundary.map_or(n > 0, |boundary| boundary > at);
        let (mut last, mut next) = (self.boundary(n), self.boundary(n + 1));
        while is_after(n, last) {
            n -= 1;
            (last, next) = (self.boundary(n), last);
        }
        while !is_after(n + 1, next) {
            n += 1;
            (last, next) = (next, self.boundary(n + 1));
        }
        (last, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str) -> Instant {
        Instant::parse(text).expect(text)
    }

    fn recurrence(anchor: &str, interval: &str) -> Recurrence {
        Recurrence { anchor: instant(anchor), interval: Interval::parse(interval).expect(interval) }
    }

    #[test]
    fn boundaries_are_counted_from_the_anchor_and_clamped_to_the_months_end() {
        #[rustfmt::skip]
        let table = [
            ("2025-01-31T00:00:00Z", "P1M", &[(-2, "2024-11-30T00:00:00Z"), (0, "2025-01-31T00:00:00Z"),
                (1, "2025-02-28T00:00:00Z"), (2, "2025-03-31T00:00:00Z"), (3, "2025-04-30T00:00:00Z"),
                (13, "2026-02-28T00:00:00Z"), (37, "2028-02-29T00:00:00Z")][..]),
            ("2024-02-29T12:00:00Z", "P1Y", &[(1, "2025-02-28T12:00:00Z"), (4, "2028-02-29T12:00:00Z"),
                (-1, "2023-02-28T12:00:00Z")]),
            ("1990-03-04T05:06:00Z", "PT1H", &[(306_816, "2025-03-04T05:06:00Z")]),
            ("2025-01-31T06:00:00Z", "P1M1DT2H", &[(1, "2025-03-01T08:00:00Z"), (2, "2025-04-02T10:00:00Z")]),
            ("2000-01-01T00:00:00Z", "P100Y", &[(1, "2100-01-01T00:00:00Z"), (-1, "1900-01-01T00:00:00Z")]),
            ("2025-03-09T00:00:00Z", "P1D", &[(1, "2025-03-10T00:00:00Z")]), // no clock change in UTC
            ("2025-01-01T00:00:00.5Z", "P2W", &[(1, "2025-01-15T00:00:00.5Z")]),
        ];
        for (anchor, interval, boundaries) in table {
            let recurrence = recurrence(anchor, interval);
            for (n, expected) in boundaries {
                let boundary = recurrence.boundary(*n).map(Instant::to_rfc3339);
                assert_eq!(boundary.as_deref(), Some(*expected), "{anchor} + {n} × {interval}");
            }
        }
    }

    #[test]
    fn there_are_no_boundaries_beyond_the_calendar() {
        let century = recurrence("2000-01-01T00:00:00Z", "P100Y");
        assert_eq!((century.boundary(3), century.boundary(-4)), (None, None));
        for n in [i64::MIN, i64::MAX, i64::MAX / 1_200] {
            assert_eq!(century.boundary(n), None, "{n}");
            assert_eq!(recurrence("2000-01-01T00:00:00Z", "PT1M").boundary(n), None, "{n}");
        }
        assert_eq!(century.period_at(instant("2261-01-01T00:00:00Z")), instant("2200-01-01T00:00:00Z")..LAST);
        assert_eq!(century.next_from(instant("2200-01-01T00:00:01Z")), None);
        let far = recurrence("2000-01-01T00:00:00Z", "P1000Y");
        assert_eq!(far.period_at(instant("1950-01-01T00:00:00Z")), FIRST..instant("2000-01-01T00:00:00Z"));
    }

    fn intervals() -> impl Strategy<Value = String> {
        prop_oneof![
            (1u32..200).prop_map(|n| format!("PT{n}H")),
            (1u32..100_000).prop_map(|n| format!("PT{n}M")),
            (1u32..40).prop_map(|n| format!("P{n}D")),
            (1u32..30).prop_map(|n| format!("P{n}M")),
            (1u32..120).prop_map(|n| format!("P{n}Y")),
            (0u32..3, 0u32..14, 1u32..40, 1u32..30).prop_map(|(y, m, d, h)| format!("P{y}Y{m}M{d}DT{h}H")),
        ]
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_the_period_that_is_found_for_it(
            anchor in any::<i64>(), at in any::<i64>(), interval in intervals(),
        ) {
            let at = Instant::from_nanos(at);
            let recurrence = Recurrence { anchor: Instant::from_nanos(anchor), interval: Interval::parse(&interval).unwrap() };
            let period = recurrence.period_at(at);
            prop_assert!(period.contains(&at) || at < FIRST || at >= LAST, "{:?}", period);
            match recurrence.next_from(at) {
                Some(next) if next == at => prop_assert_eq!(next, period.start),
                Some(next) => prop_assert_eq!(next, period.end),
                None => prop_assert_eq!(period.end, LAST),
            }
        }
    }
}
