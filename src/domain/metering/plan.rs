//! The cut of a query's period into whole days, hours and minutes (UTC buckets of the rollups) and raw edges.
//!
//! Every piece lies within one window of the query, so a bucket's cell can be added to its window whole. Worked
//! example: a day in Kathmandu (+05:45) lasts from 18:15Z to 18:15Z. No UTC day fits, 23 UTC hours do (19:00Z to
//! 18:00Z), and the edges are 45 minutes before and 15 after.

use super::window::{WindowSize, Windows};
use crate::domain::time::{Instant, MINUTE_NS};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ops::Range;

/// Half-open stretch of UTC minutes since the epoch.
pub type Minutes = Range<i64>;

/// Minutes in an hour bucket and in a day bucket of the rollups.
pub const HOUR: i64 = 60;
pub const DAY: i64 = 1_440;

/// Where each part of the period is read from. The lists are disjoint, ascending, and together cover the period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whole UTC days (bounds are multiples of 1,440), each inside one window.
    pub days: Vec<Minutes>,
    /// Whole UTC hours (multiples of 60), each inside one window.
    pub hours: Vec<Minutes>,
    /// Whole UTC minutes, each inside one window.
    pub minutes: Vec<Minutes>,
    /// What no bucket fits: read from raw events. Half-open, nanoseconds.
    pub raw: Vec<Range<i64>>,
}

/// Cuts `[from, to)`. `windows` is `None` for one row over everything.
///
/// A stretch may span several windows; each of its buckets lies in one, the one its first minute lies in.
pub fn plan(from: Instant, to: Instant, windows: Option<&Windows>) -> Plan {
    let mut plan = Plan::default();
    let span = from.nanos()..to.nanos();
    match windows {
        _ if span.is_empty() => {}
        None => plan.cut(span, Coarsest::Day),
        Some(Windows::Calendar(size @ (WindowSize::Minute | WindowSize::Hour), zone)) => {
            by_offset(span, zone, |part, offset_s| plan.cut(part, coarsest_in_clock_windows(*size, offset_s)));
        }
        // Where the clocks are UTC's, local days and months are made of UTC days.
        Some(Windows::Calendar(_, zone)) if always_utc(&span, zone) => plan.cut(span, Coarsest::Day),
        Some(windows) => by_window(span, windows, |part| plan.cut(part, Coarsest::Day)),
    }
    plan
}

/// The largest bucket that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Coarsest {
    Raw,
    Minute,
    Hour,
    Day,
}

/// While the offset stays the same, MINUTE and HOUR windows differ from UTC's buckets by their phase alone.
fn coarsest_in_clock_windows(size: WindowSize, offset_s: i32) -> Coarsest {
    match size {
        _ if offset_s % 60 != 0 => Coarsest::Raw,
        WindowSize::Hour if offset_s % 3_600 == 0 => Coarsest::Hour,
        _ => Coarsest::Minute,
    }
}

/// Calls `part` with each stretch of constant offset (in seconds): a few a year, however long the period.
fn by_offset(span: Range<i64>, zone: &TimeZone, mut part: impl FnMut(Range<i64>, i32)) {
    let mut start = span.start;
    for change in zone.following(timestamp(span.start)) {
        let at = nanos(change.timestamp());
        if at >= span.end {
            break;
        }
        part(start..at, zone.to_offset(timestamp(start)).seconds());
        start = at;
    }
    part(start..span.end, zone.to_offset(timestamp(start)).seconds());
}

/// Calls `part` with each window, clipped to the span: at most some 130,000 days in all the years there are, or as many
/// as there are cuts.
fn by_window(span: Range<i64>, windows: &Windows, mut part: impl FnMut(Range<i64>)) {
    let mut start = span.start;
    while start < span.end {
        let end = windows.window_at(Instant::from_nanos(start)).end.nanos().min(span.end);
        assert!(start < end, "windows tile: one that contains {start} ends beyond it");
        part(start..end);
        start = end;
    }
}

/// True when the zone's offset is 0 in the whole span.
fn always_utc(span: &Range<i64>, zone: &TimeZone) -> bool {
    let from = timestamp(span.start);
    let stays = || zone.following(from).next().is_none_or(|change| nanos(change.timestamp()) >= span.end);
    zone.to_offset(from).seconds() == 0 && stays()
}

/// Every 64-bit count of nanoseconds lies in the calendar's years.
fn timestamp(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanos.into()).expect("64 bits of nanoseconds reach from 1677 to 2262")
}

/// Nanoseconds of a clock change; one beyond the reach of 64 bits is as far away as can be.
fn nanos(change: Timestamp) -> i64 {
    i64::try_from(change.as_nanosecond()).unwrap_or(i64::MAX)
}

impl Plan {
    /// Adds a part of the period: it lies in one window, or every bucket up to the coarsest that fits into it does.
    fn cut(&mut self, part: Range<i64>, coarsest: Coarsest) {
        let whole = ceil(part.start, MINUTE_NS)..part.end.div_euclid(MINUTE_NS);
        if coarsest == Coarsest::Raw || whole.is_empty() {
            return add(&mut self.raw, part);
        }
        add(&mut self.raw, part.start..whole.start * MINUTE_NS);
        add(&mut self.raw, whole.end * MINUTE_NS..part.end);
        self.cut_minutes(whole, coarsest);
    }

    fn cut_minutes(&mut self, part: Minutes, coarsest: Coarsest) {
        let whole = inner(&part, HOUR);
        if coarsest < Coarsest::Hour || whole.is_empty() {
            return add(&mut self.minutes, part);
        }
        add(&mut self.minutes, part.start..whole.start);
        add(&mut self.minutes, whole.end..part.end);
        self.cut_hours(whole, coarsest);
    }

    fn cut_hours(&mut self, part: Minutes, coarsest: Coarsest) {
        let whole = inner(&part, DAY);
        if coarsest < Coarsest::Day || whole.is_empty() {
            return add(&mut self.hours, part);
        }
        add(&mut self.hours, part.start..whole.start);
        add(&mut self.hours, whole.end..part.end);
        add(&mut self.days, whole);
    }
}

/// The whole buckets inside a stretch.
fn inner(part: &Minutes, bucket: i64) -> Minutes {
    ceil(part.start, bucket) * bucket..part.end.div_euclid(bucket) * bucket
}

fn ceil(number: i64, unit: i64) -> i64 {
    number.div_euclid(unit) + i64::from(number.rem_euclid(unit) != 0)
}

/// Adds a stretch; one that begins where the last one ends continues it.
fn add(list: &mut Vec<Range<i64>>, part: Range<i64>) {
    match list.last_mut() {
        _ if part.is_empty() => {}
        Some(last) if last.end == part.start => last.end = part.end,
        _ => list.push(part),
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::zone;
    use super::*;
    use proptest::prelude::*;

    const ZONES: [&str; 10] = [
        "",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/New_York",
        "America/St_Johns",
        "Europe/London",
        "Europe/Amsterdam",
        "Africa/Monrovia",
        "Asia/Kolkata",
        "Pacific/Apia",
    ];
    const SIZES: [WindowSize; 4] = [WindowSize::Minute, WindowSize::Hour, WindowSize::Day, WindowSize::Month];

    fn at(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    fn cuts(at: impl IntoIterator<Item = i64>) -> Windows {
        Windows::Cuts(at.into_iter().map(Instant::from_nanos).collect())
    }

    #[test]
    fn between_cuts_whole_days_and_hours_are_used() {
        let ends = ["2025-03-01T00:00:00Z", "2025-03-04T02:30:00Z", "2025-03-06T00:00:00Z"].map(at);
        let plan = plan(Instant::from_nanos(ends[0]), Instant::from_nanos(ends[2]), Some(&cuts(ends)));
        let days = vec![
            minutes("2025-03-01T00:00:00Z", "2025-03-04T00:00:00Z"),
            minutes("2025-03-05T00:00:00Z", "2025-03-06T00:00:00Z"),
        ];
        let hours = vec![
            minutes("2025-03-04T00:00:00Z", "2025-03-04T02:00:00Z"),
            minutes("2025-03-04T03:00:00Z", "2025-03-05T00:00:00Z"),
        ];
        let minutes = vec![minutes("2025-03-04T02:00:00Z", "2025-03-04T03:00:00Z")];
        assert_eq!(plan, Plan { days, hours, minutes, raw: vec![] });
    }

    fn planned(from: &str, to: &str, size: Option<WindowSize>, name: &str) -> Plan {
        let zone = zone(name).unwrap();
        plan(
            Instant::from_nanos(at(from)),
            Instant::from_nanos(at(to)),
            size.map(|size| Windows::Calendar(size, zone)).as_ref(),
        )
    }

    fn minutes(from: &str, to: &str) -> Minutes {
        at(from) / MINUTE_NS..at(to) / MINUTE_NS
    }

    #[test]
    fn a_month_in_utc_is_one_stretch_of_days() {
        for size in [None, Some(WindowSize::Day), Some(WindowSize::Month)] {
            let plan = planned("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z", size, "");
            let days = vec![minutes("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z")];
            assert_eq!(plan, Plan { days, ..Plan::default() }, "{size:?}");
        }
    }

    #[test]
    fn a_day_in_kathmandu_is_hours_with_minutes_at_the_edges() {
        let plan = planned("2025-06-01T18:15:00Z", "2025-06-02T18:15:00Z", Some(WindowSize::Day), "Asia/Kathmandu");
        let hours = vec![minutes("2025-06-01T19:00:00Z", "2025-06-02T18:00:00Z")];
        let first = minutes("2025-06-01T18:15:00Z", "2025-06-01T19:00:00Z");
        let last = minutes("2025-06-02T18:00:00Z", "2025-06-02T18:15:00Z");
        assert_eq!(plan, Plan { hours, minutes: vec![first, last], ..Plan::default() });
    }

    #[test]
    fn an_end_within_a_minute_is_read_from_raw_events() {
        let plan = planned("2025-06-01T10:00:30Z", "2025-06-01T10:02:00.5Z", None, "");
        let raw = vec![
            at("2025-06-01T10:00:30Z")..at("2025-06-01T10:01:00Z"),
            at("2025-06-01T10:02:00Z")..at("2025-06-01T10:02:00.5Z"),
        ];
        let minutes = vec![minutes("2025-06-01T10:01:00Z", "2025-06-01T10:02:00Z")];
        assert_eq!(plan, Plan { minutes, raw, ..Plan::default() });
    }

    #[test]
    fn centuries_of_hours_and_minutes_are_a_few_stretches() {
        let ends = ("1900-01-01T00:00:00Z", "2261-01-01T00:00:00Z");
        for (size, name) in [(WindowSize::Hour, "America/New_York"), (WindowSize::Minute, "Australia/Lord_Howe")] {
            let plan = planned(ends.0, ends.1, Some(size), name);
            let pieces = plan.days.len() + plan.hours.len() + plan.minutes.len() + plan.raw.len();
            assert!(pieces < 1_000, "{pieces} pieces of {size:?} in {name}");
        }
    }

    #[test]
    fn where_an_offset_had_seconds_windows_are_read_from_raw_events() {
        // Monrovia stood at -00:44:30 until 1972.
        let ends = ("1930-01-01T00:00:00Z", "1930-01-02T00:00:00Z");
        let hours = planned(ends.0, ends.1, Some(WindowSize::Hour), "Africa/Monrovia");
        assert_eq!(hours.raw, vec![at(ends.0)..at(ends.1)]);
    }

    #[test]
    fn the_ends_of_time_are_planned_too() {
        for size in [None, Some(WindowSize::Hour), Some(WindowSize::Month)] {
            let zone = zone("America/New_York").unwrap();
            let windows = size.map(|size| Windows::Calendar(size, zone));
            let all = plan(Instant::from_nanos(i64::MIN), Instant::from_nanos(i64::MAX), windows.as_ref());
            assert_eq!(pieces(&all).first().unwrap().0.start, i64::MIN, "{size:?}");
        }
    }

    /// All pieces in nanoseconds, ascending, each with its bucket in nanoseconds (0: raw).
    fn pieces(plan: &Plan) -> Vec<(Range<i64>, i64)> {
        let scaled = |list: &[Minutes], bucket: i64| -> Vec<(Range<i64>, i64)> {
            list.iter().map(|m| (m.start * MINUTE_NS..m.end * MINUTE_NS, bucket * MINUTE_NS)).collect()
        };
        let mut all = [scaled(&plan.days, DAY), scaled(&plan.hours, HOUR), scaled(&plan.minutes, 1)].concat();
        all.extend(plan.raw.iter().map(|raw| (raw.clone(), 0)));
        all.sort_by_key(|(piece, _)| piece.start);
        all
    }

    fn ascends(list: &[Range<i64>]) -> bool {
        list.iter().all(|piece| !piece.is_empty()) && list.windows(2).all(|pair| pair[0].end < pair[1].start)
    }

    proptest! {
        #[test]
        fn pieces_cover_the_period_once_and_every_bucket_lies_in_one_window(
            name in proptest::sample::select(&ZONES[..]),
            size in proptest::option::of(proptest::sample::select(&SIZES[..])),
            start_s in prop_oneof![-2_200_000_000i64..2_000_000_000, 1_700_000_000i64..1_760_000_000],
            length_s in prop_oneof![1i64..4_000, 1i64..5_000_000],
            nanos in 0i64..3,
            by_cuts in any::<bool>(),
            inner in proptest::collection::btree_set(1i64..80_000, 0..9),
        ) {
            let zone = zone(name).unwrap();
            let (from, to) = (start_s * 1_000_000_000 + nanos, (start_s + length_s) * 1_000_000_000);
            let inner = inner.into_iter().map(|at| from + at * MINUTE_NS).filter(|at| *at < to);
            let windows = match size {
                Some(size) => Some(Windows::Calendar(size, zone)),
                None if by_cuts => Some(cuts([from].into_iter().chain(inner).chain([to]))),
                None => None,
            };
            let plan = plan(Instant::from_nanos(from), Instant::from_nanos(to), windows.as_ref());
            prop_assert!([&plan.days, &plan.hours, &plan.minutes, &plan.raw].iter().all(|list| ascends(list)));
            let mut covered = from;
            for (piece, bucket) in pieces(&plan) {
                prop_assert_eq!(piece.start, covered);
                covered = piece.end;
                prop_assert!(bucket == 0 || (piece.start % bucket == 0 && piece.end % bucket == 0));
                let Some(windows) = windows.as_ref().filter(|_| bucket > 0) else { continue };
                for start in (piece.start..piece.end).step_by(bucket as usize).take(3_000) {
                    let window = windows.window_at(Instant::from_nanos(start));
                    prop_assert!(start + bucket <= window.end.nanos(), "{start} of {piece:?} in {window:?}");
                }
            }
            prop_assert_eq!(covered, to);
        }

        #[test]
        fn without_windows_the_coarsest_buckets_are_taken(start_h in 0i64..2_000, length_h in 1i64..2_000) {
            let ends = [start_h, start_h + length_h].map(|hour| Instant::from_nanos(hour * HOUR * MINUTE_NS));
            let plan = plan(ends[0], ends[1], None);
            prop_assert!(plan.minutes.is_empty() && plan.raw.is_empty());
            prop_assert!(plan.hours.iter().all(|stretch| stretch.end - stretch.start < DAY * 2));
            prop_assert!(length_h < 48 || plan.days.len() == 1);
        }
    }
}
