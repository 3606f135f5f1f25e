//! Answering: one version of the store, the period cut, whole buckets from rows, everything else from raw events.

use super::cut::Cutter;
use super::engine::Engine;
use super::fold::Fold;
use super::raw::scan_raw;
use super::rows::Rows;
use super::version::Version;
use crate::domain::digest::HashKey;
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::domain::time::Instant;
use crate::ports::usage_store::{ReadError, UsageAnswer};
use std::ops::{ControlFlow, Range};

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
            let cutter = Cutter {
                version: self.version,
                meter: &self.query.meter,
                windows: self.query.window.as_ref(),
                subjects: self.query.subjects.as_deref(),
            };
            let cut = cutter.cut(period)?;
            let rows = Rows { version: self.version, key: self.key, meter: self.query.meter.version.0 };
            rows.scan(&cut, self.query.subjects.as_deref(), &mut |series, minute, cell| {
                fold.bucket(series, minute, cell);
                if fold.overflown() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            scan_raw(self.version, self.query, self.key, &cut.raw, &mut fold)?;
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
}
