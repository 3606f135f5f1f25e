//! Windows: how a stretch of time is cut into the rows of a usage query.
//!
//! A calendar window is the calendar minute, hour, day or month *in the query's time zone*. A day is therefore 23 or 25 hours
//! long when the clocks change: in New York, 9 March 2025 lasts from 05:00Z to 04:00Z the next day. Windows tile: each
//! ends where the next begins, and every instant lies in exactly one, `[start, end)`.

use crate::domain::time::Instant;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase, TimeZoneTransition};
use jiff::{Span, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

/// The sizes that the API offers. `Minute` and `Hour` are aligned to local clock time as well: in a zone with a
/// 45-minute offset an hour starts at a quarter past, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WindowSize {
    Minute,
    Hour,
    Day,
    Month,
}

/// A half-open stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    pub start: Instant,
    pub end: Instant,
}

/// The zone's name is not in the IANA database (exact spelling).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0}")]
pub struct UnknownZone(pub String);

/// The database inside the binary, not the machine's: every process cuts alike.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Looks a zone up by its exact IANA name; `""` is UTC.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    // The database takes any case and knows names for "unknown": the one found must be the one asked for.
    let found = ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name) && !zone.is_unknown());
    found.ok_or_else(|| UnknownZone(name.to_owned()))
}

impl Window {
    pub fn contains(&self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

/// How the rows of a usage query are told apart by time. Windows tile: every instant lies in exactly one.
#[derive(Debug, Clone, PartialEq)]
pub enum Windows {
    /// Calendar windows on the clock of a zone.
    Calendar(WindowSize, TimeZone),
    /// One window for each stretch between neighbouring cuts: at least two, strictly ascending; the query's `from` is
    /// the first and its `to` the last. Cuts on whole minutes need no raw events. `[9:00, 12:00, 12:30]` is two
    /// windows, of three hours and of half an hour.
    Cuts(Arc<[Instant]>),
}

impl Windows {
    /// The window that contains `at`. What lies before the first cut, or after the last, is one window.
    pub fn window_at(&self, at: Instant) -> Window {
        match self {
            Self::Calendar(size, zone) => size.window_at(at, zone),
            Self::Cuts(cuts) => {
                let after = cuts.partition_point(|cut| *cut <= at);
                let start = after.checked_sub(1).map_or(Instant::from_nanos(i64::MIN), |before| cuts[before]);
                let end = cuts.get(after).copied().unwrap_or(Instant::from_nanos(i64::MAX));
                Window { start, end }
            }
        }
    }

    /// The zone on whose clock windows are shown; cuts have none.
    pub fn zone(&self) -> Option<&TimeZone> {
        match self {
            Self::Calendar(_, zone) => Some(zone),
            Self::Cuts(_) => None,
        }
    }
}

impl WindowSize {
    /// The window of this size that contains `at`, in `zone`. Windows tile: every instant lies in exactly one, also
    /// where clocks change by less than an hour (Lord Howe): there a window is clipped at the change. Bounds beyond
    /// what an [`Instant`] holds are its ends.
    pub fn window_at(self, at: Instant, zone: &TimeZone) -> Window {
        match self {
            Self::Minute => clock_window(at, zone, 60),
            Self::Hour => clock_window(at, zone, 3_600),
            Self::Day => calendar_window(at, zone, |date| date, 1.day()),
            Self::Month => calendar_window(at, zone, Date::first_of_month, 1.month()),
        }
    }
}

const SECOND_NS: i64 = 1_000_000_000;

/// Why calendar arithmetic cannot fail: it knows the years from -9999 to 9999.
const WITHIN_CALENDAR: &str = "64-bit nanoseconds lie within the years 1677 to 2262";

/// Minutes and hours have a fixed length; their phase depends on the zone's offset at that instant.
fn clock_window(at: Instant, zone: &TimeZone, length_s: i64) -> Window {
    let (now, second) = (timestamp(at), at.nanos().div_euclid(SECOND_NS));
    let offset_s = i64::from(zone.to_offset(now).seconds());
    let start_s = second - (second + offset_s).rem_euclid(length_s);
    let end_s = start_s + length_s;

    // A change of offset by whole windows leaves the phase, and so the windows, as they are. Any other cuts.
    let cuts = |change: &i64| {
        let [before, after] =
            [*change - 1, *change].map(|second| i64::from(zone.to_offset(at_second(second)).seconds()));
        (after - before).rem_euclid(length_s) != 0
    };
    let second_of = |change: TimeZoneTransition| change.timestamp().as_second();
    let mut past = zone.preceding(now + 1.nanosecond()).map(second_of).take_while(|change| *change > start_s);
    let mut coming = zone.following(now).map(second_of).take_while(|change| *change < end_s);
    let start_s = past.find(cuts).unwrap_or(start_s);
    let end_s = coming.find(cuts).unwrap_or(end_s);
    Window { start: clamped(at_second(start_s)), end: clamped(at_second(end_s)) }
}

/// Days and months have a start and an end on the calendar, whatever happened to the clocks in between.
fn calendar_window(at: Instant, zone: &TimeZone, first_of: impl Fn(Date) -> Date, step: Span) -> Window {
    let now = timestamp(at);
    let mut first = first_of(zone.to_datetime(now).date());
    loop {
        let next = first + step;
        let (start, end) = (start_of(first, zone), start_of(next, zone));
        // Where clocks went back over midnight, the end of the old date is shown again after the new one began.
        if now >= end {
            first = next;
        } else {
            return Window { start: clamped(start), end: clamped(end) };
        }
    }
}

/// The first instant at which the zone's clocks show this date, or, where it was skipped, a later one.
fn start_of(date: Date, zone: &TimeZone) -> Timestamp {
    let midnight = date.to_datetime(Time::midnight());
    match zone.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(midnight).expect(WITHIN_CALENDAR)
        }
        // The clocks jumped over midnight: the date begins with the jump.
        AmbiguousOffset::Gap { before, .. } => {
            let beyond = before.to_timestamp(midnight).expect(WITHIN_CALENDAR) + 1.nanosecond();
            zone.preceding(beyond).next().expect("a gap is a change of offset").timestamp()
        }
    }
}

fn timestamp(at: Instant) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at.nanos())).expect(WITHIN_CALENDAR)
}

fn at_second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect(WITHIN_CALENDAR)
}

fn clamped(timestamp: Timestamp) -> Instant {
    let nanos = timestamp.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Instant::from_nanos(i64::try_from(nanos).expect("just clamped"))
}

#[cfg(test)]
mod tests;
