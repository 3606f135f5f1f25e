//! Answering: one version of the store, the period cut, whole buckets from rows, everything else from raw events.

use super::cut::{Cut, Cutter};
use super::engine::Engine;
use super::fold::Fold;
use super::raw::scan_raw;
use super::rollup::RowScan;
use super::version::Version;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::Plan;
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::domain::time::Instant;
use crate::ports::usage_store::{ReadError, UsageAnswer};
use std::ops::Range;

impl Engine {
    /// Computes an answer; blocks, so it belongs onto a thread that may.
    pub fn answer(&self, query: &UsageQuery) -> Result<UsageAnswer, ReadError> {
        let version = self.version();
        let rows = Answering { version: &version, query, key: &self.key, rows_max: self.settings.rows_max }.rows()?;
        query.progress.iter().for_each(|progress| progress.finish());
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
        if let Some(period) = self.period() {
            let windows = self.query.window.as_ref();
            let Cut { rows, raw } = Cutter { version: self.version, meter: &self.query.meter, windows }.cut(period)?;
            self.scan_rows(&rows, &mut fold)?;
            scan_raw(self.version, self.query, self.key, &raw, &mut fold)?;
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
}
