//! Answering: one version of the store, the period cut by the plan, whole buckets from rows, everything else from raw
//! events. Rows and raw parts are disjoint in (time, position), so their sum is exact, whatever is still missing.

use super::engine::Engine;
use super::fold::Fold;
use super::ledger::{MeterState, Times};
use super::raw::{Offsets, RawPart, scan_raw};
use super::rollup::RowScan;
use super::version::Version;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::{DAY, Minutes, Plan, plan};
use crate::domain::metering::query::{QueryRefusal, UsageQuery, UsageRow};
use crate::domain::time::{Instant, MINUTE_NS};
use crate::ports::usage_store::{ReadError, UsageAnswer};
use std::ops::Range;

/// Periods longer than this are clipped to where the meter has rows before they are cut, in nanoseconds: 400 days.
const CLIP_FROM_NS: i64 = 400 * DAY * MINUTE_NS;

impl Engine {
    /// Computes an answer; blocks, so it belongs onto a thread that may.
    pub fn answer(&self, query: &UsageQuery) -> Result<UsageAnswer, ReadError> {
        let version = self.version();
        let rows = Answering { version: &version, query, key: &self.key, rows_max: self.settings.rows_max }.rows()?;
        Ok(UsageAnswer { rows, applied: version.applied.clone() })
    }
}

/// One query over one version.
struct Answering<'a> {
    version: &'a Version,
    query: &'a UsageQuery,
    key: &'a HashKey,
    rows_max: usize,
}

impl Answering<'_> {
    fn rows(&self) -> Result<Vec<UsageRow>, ReadError> {
        let mut fold = Fold::new(self.query, self.rows_max);
        let Some(period) = self.period() else { return Ok(fold.finish()?) };
        let state = self.version.states.get(&self.query.meter.version.0);
        match state {
            Some(state) if !state.rowless() => self.mostly_rows(state, period, &mut fold)?,
            // Unknown here (its record is not applied yet), gone, or without rows: from raw events alone.
            other => {
                let below = other.and_then(|state| state.gone.as_ref()).map(|gone| gone.below.clone());
                let offsets = below.map_or(Offsets::All, Offsets::Below);
                self.raw(&RawPart { times: vec![period], offsets }, &mut fold)?;
            }
        }
        Ok(fold.finish()?)
    }

    /// The instants that count, in nanoseconds; `None` when there are none.
    fn period(&self) -> Option<Range<i64>> {
        let bounds = [self.query.from, self.query.meter.event_from];
        let from = bounds.into_iter().flatten().max().map_or(i64::MIN, Instant::nanos);
        let to = self.query.to.map_or(i64::MAX, Instant::nanos);
        (from < to).then_some(from..to)
    }

    fn mostly_rows(&self, state: &MeterState, period: Range<i64>, fold: &mut Fold<'_>) -> Result<(), ReadError> {
        if let Some(lost) = state.lost.filter(|lost| lost.overlaps(&period)) {
            return Err(removed(lost.last).into());
        }
        let plan = self.plan(&period)?;
        self.scan_rows(&plan, fold)?;
        let missing = Offsets::missing(state, &self.version.applied);
        if !plan.raw.is_empty() {
            self.raw(&RawPart { times: plan.raw, offsets: missing.complement() }, fold)?;
        }
        if let Some(offsets) = missing.any() {
            self.raw(&RawPart { times: vec![period], offsets }, fold)?;
        }
        Ok(())
    }

    /// Cuts the period. What rows cannot answer any more (minutes that were merged away) is raw.
    fn plan(&self, period: &Range<i64>) -> Result<Plan, Fault> {
        let long = period.end.checked_sub(period.start).is_none_or(|length| length > CLIP_FROM_NS);
        let clipped = if long { self.clip(period)? } else { Some(period.clone()) };
        let Some(period) = clipped else { return Ok(Plan::default()) };
        let window = self.query.window.as_ref().map(|(size, zone)| (*size, zone));
        let mut plan = plan(Instant::from_nanos(period.start), Instant::from_nanos(period.end), window);
        let floor = self.version.minutes_from;
        if plan.minutes.first().is_some_and(|first| first.start < floor) {
            let (old, kept) = split_at(&plan.minutes, floor);
            plan.minutes = kept;
            plan.raw.extend(old.into_iter().map(|minutes| minutes.start * MINUTE_NS..minutes.end * MINUTE_NS));
            plan.raw = joined(std::mem::take(&mut plan.raw));
        }
        Ok(plan)
    }

    /// The part of the period in which the meter has rows at all, in whole days; `None` when it has none.
    fn clip(&self, period: &Range<i64>) -> Result<Option<Range<i64>>, Fault> {
        let meter = self.query.meter.version.0;
        let mut bounds: Option<Minutes> = None;
        let mut widen = |more: Minutes| {
            bounds = Some(match &bounds {
                Some(known) => known.start.min(more.start)..known.end.max(more.end),
                None => more,
            });
        };
        for rows in self.version.memories().flat_map(|memory| memory.rows.iter()) {
            rows.bounds(meter).into_iter().for_each(&mut widen);
        }
        for run in self.version.runs.iter() {
            run.bounds(meter)?.into_iter().for_each(&mut widen);
        }
        let Some(bounds) = bounds else { return Ok(None) };
        let first = (bounds.start.div_euclid(DAY) * DAY).saturating_mul(MINUTE_NS);
        let last = ((bounds.end - 1).div_euclid(DAY) * DAY + DAY).saturating_mul(MINUTE_NS);
        let clipped = period.start.max(first)..period.end.min(last);
        Ok((!clipped.is_empty()).then_some(clipped))
    }

    fn scan_rows(&self, plan: &Plan, fold: &mut Fold<'_>) -> Result<(), Fault> {
        let meter = self.query.meter.version.0;
        let subjects = self.query.subjects.as_ref().map(|subjects| {
            let keyed = |subject: &'_ String| self.key.subject_prefix(meter, subject);
            let mut keyed: Vec<(u64, &str)> =
                subjects.iter().map(|subject| (keyed(subject), subject.as_str())).collect();
            keyed.sort_unstable();
            keyed.dedup();
            keyed
        });
        let (days, hours, minutes) = (&plan.days, &plan.hours, &plan.minutes);
        if days.is_empty() && hours.is_empty() && minutes.is_empty() {
            return Ok(());
        }
        let scan = RowScan { meter, subjects: subjects.as_deref(), days, hours, minutes };
        for rows in self.version.memories().flat_map(|memory| memory.rows.iter()) {
            rows.scan(&scan, &mut |series, minute, cell| fold.bucket(series, minute, cell));
        }
        for run in self.version.runs.iter() {
            if fold.overflown() {
                break;
            }
            run.scan(&scan, &mut |series, minute, cell| fold.bucket(series, minute, cell))?;
        }
        Ok(())
    }

    /// Reads raw events, unless some of them have been removed.
    fn raw(&self, part: &RawPart, fold: &mut Fold<'_>) -> Result<(), ReadError> {
        let needed = |gone: &Times| part.times.iter().any(|stretch| gone.overlaps(stretch));
        if let Some(gone) = self.version.removed.filter(needed) {
            return Err(removed(gone.last).into());
        }
        Ok(scan_raw(self.version, self.query, self.key, part, fold)?)
    }
}

/// Refuses, naming the first whole hour of which everything is still there.
fn removed(last: Instant) -> QueryRefusal {
    let hour_ns = 60 * MINUTE_NS;
    let from = (last.nanos().div_euclid(hour_ns) + 1).saturating_mul(hour_ns);
    QueryRefusal::RawRemoved { kept_from: Instant::from_nanos(from).to_rfc3339(), whole: "hour" }
}

/// The stretches below and from `floor` on.
fn split_at(stretches: &[Minutes], floor: i64) -> (Vec<Minutes>, Vec<Minutes>) {
    let below = stretches.iter().map(|stretch| stretch.start..stretch.end.min(floor));
    let above = stretches.iter().map(|stretch| stretch.start.max(floor)..stretch.end);
    let some = |stretch: &Minutes| !stretch.is_empty();
    (below.filter(some).collect(), above.filter(some).collect())
}

/// Ascending and disjoint, with neighbours joined.
fn joined(mut stretches: Vec<Range<i64>>) -> Vec<Range<i64>> {
    stretches.sort_unstable_by_key(|stretch| stretch.start);
    let mut joined: Vec<Range<i64>> = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        match joined.last_mut() {
            Some(last) if last.end >= stretch.start => last.end = last.end.max(stretch.end),
            _ => joined.push(stretch),
        }
    }
    joined
}
