//! The cut of a period of one meter: whole buckets that rows answer, and the parts that only raw events do. Both are
//! disjoint in (time, position), so their sum is exact, whatever is still missing.

use super::ledger::{MeterState, Times};
use super::raw::{Offsets, RawPart};
use super::version::Version;
use super::voids::Stale;
use crate::domain::fault::Fault;
use crate::domain::metering::Meter;
use crate::domain::metering::plan::{DAY, Minutes, Plan, plan};
use crate::domain::metering::query::QueryRefusal;
use crate::domain::metering::time_filter::joined;
use crate::domain::metering::window::Windows;
use crate::domain::time::{Instant, MINUTE_NS};
use crate::ports::usage_store::ReadError;
use std::collections::BTreeMap;
use std::ops::Range;

/// Periods longer than this are clipped to where the meter has rows before they are cut, in nanoseconds: 400 days.
const CLIP_FROM_NS: i64 = 400 * DAY * MINUTE_NS;

/// Where a period is read from.
#[derive(Default)]
pub struct Cut {
    /// Its own raw edges are among `raw`.
    pub rows: Plan,
    pub raw: Vec<RawPart>,
    /// What of these rows is not to be read, by subject, and what is instead; its raw parts are among `raw`.
    pub stale: BTreeMap<String, Stale>,
}

/// One meter over one version.
pub struct Cutter<'a> {
    pub version: &'a Version,
    pub meter: &'a Meter,
    pub windows: Option<&'a Windows>,
    /// Only these subjects are asked for; `None`: all.
    pub subjects: Option<&'a [String]>,
}

impl Cutter<'_> {
    /// Cuts a period in which the meter counts, in nanoseconds.
    ///
    /// # Errors
    /// Refused: some of what it takes was removed by retention.
    pub fn cut(&self, period: Range<i64>) -> Result<Cut, ReadError> {
        let Some(state) = self.state().filter(|state| !state.rowless()) else { return self.raw_only(period) };
        if let Some(lost) = state.lost.filter(|lost| lost.overlaps(&period)) {
            return Err(removed(lost.last).into());
        }
        let mut rows = self.plan(&period)?;
        let missing = Offsets::missing(state, &self.version.applied);
        let counted = missing.complement();
        let mut raw = Vec::new();
        if !rows.raw.is_empty() {
            raw.push(RawPart { times: std::mem::take(&mut rows.raw), offsets: counted.clone(), subject: None });
        }
        raw.extend(missing.any().map(|offsets| RawPart { times: vec![period], offsets, subject: None }));
        let mut stale = Stale::of(self.version, self.meter, &rows, self.subjects);
        for Stale { subject, instead, .. } in stale.values_mut() {
            self.leave_dropped_minutes(instead);
            let times = std::mem::take(&mut instead.raw);
            raw.push(RawPart { times, offsets: counted.clone(), subject: Some([subject.clone()]) });
        }
        self.kept(Cut { rows, raw, stale })
    }

    /// The whole period from raw events: for a meter that is unknown here (its record is not applied yet), gone, or
    /// without rows, and for times at which the meter does not count.
    ///
    /// # Errors
    /// As [`Cutter::cut`].
    pub fn raw_only(&self, period: Range<i64>) -> Result<Cut, ReadError> {
        let below = self.state().and_then(|state| state.gone.as_ref()).map(|gone| gone.below.clone());
        let offsets = below.map_or(Offsets::All, Offsets::Below);
        self.kept(Cut { raw: vec![RawPart { times: vec![period], offsets, subject: None }], ..Cut::default() })
    }

    fn state(&self) -> Option<&MeterState> {
        self.version.states.get(&self.meter.version.0)
    }

    /// The cut, unless raw events that it takes have been removed.
    fn kept(&self, cut: Cut) -> Result<Cut, ReadError> {
        match self.version.removed.filter(|gone| cut.raw.iter().any(|part| part.needs(gone))) {
            Some(gone) => Err(removed(gone.last).into()),
            None => Ok(cut),
        }
    }

    /// Cuts the period. What rows cannot answer any more (minutes that were merged away) is raw.
    fn plan(&self, period: &Range<i64>) -> Result<Plan, Fault> {
        let long = period.end.checked_sub(period.start).is_none_or(|length| length > CLIP_FROM_NS);
        let clipped = if long { self.clip(period)? } else { Some(period.clone()) };
        let Some(period) = clipped else { return Ok(Plan::default()) };
        let mut plan = plan(Instant::from_nanos(period.start), Instant::from_nanos(period.end), self.windows);
        self.leave_dropped_minutes(&mut plan);
        Ok(plan)
    }

    /// Minutes that were merged away are raw.
    fn leave_dropped_minutes(&self, plan: &mut Plan) {
        let floor = self.version.minutes_from;
        if plan.minutes.first().is_some_and(|first| first.start < floor) {
            let (old, kept) = split_at(&plan.minutes, floor);
            plan.minutes = kept;
            plan.raw.extend(old.into_iter().map(|minutes| minutes.start * MINUTE_NS..minutes.end * MINUTE_NS));
            plan.raw = joined(std::mem::take(&mut plan.raw));
        }
    }

    /// The part of the period in which the meter has rows at all, in whole days; `None` when it has none.
    fn clip(&self, period: &Range<i64>) -> Result<Option<Range<i64>>, Fault> {
        let meter = self.meter.version.0;
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
}

impl RawPart {
    fn needs(&self, gone: &Times) -> bool {
        self.times.iter().any(|stretch| gone.overlaps(stretch))
    }
}

/// Refuses, naming the first whole hour of which everything is still there.
pub fn removed(last: Instant) -> QueryRefusal {
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
