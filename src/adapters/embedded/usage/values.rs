//! What there is: the values of a dimension, and how many events each subject has.
//!
//! The cheapest place that knows is asked. A run whose rows all lie in the period answers by its list of series; of
//! others rows are read as for a usage query. Where raw events decide, subjects are read without the events.

use super::blocks::BlockScan;
use super::cut::{Cut, Cutter, removed};
use super::engine::Engine;
use super::raw::{Offsets, Piece, RawPart, pieces};
use super::rollup::{RowScan, Series};
use super::rows::Rows;
use super::version::Version;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::extract::{Extractor, next_group};
use crate::domain::metering::plan::{Minutes, Plan};
use crate::domain::metering::query::{Dimension, QueryRefusal, ValuesQuery};
use crate::domain::metering::{Aggregation, Meter};
use crate::domain::time::{Instant, MINUTE_NS};
use crate::ports::usage_store::ReadError;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

impl Engine {
    /// Reads files, so it belongs onto a thread that may block.
    pub fn dimension_values(&self, query: &ValuesQuery) -> Result<Vec<String>, ReadError> {
        let version = self.version();
        let bound = |at: Option<Instant>, none: i64| at.map_or(none, Instant::nanos);
        let period = bound(query.from, i64::MIN)..bound(query.to, i64::MAX);
        let place = match &query.dimension {
            Dimension::Subject => Some(Place::Subject),
            Dimension::Group(name) => query.meter.group_by.keys().position(|known| known == name).map(Place::Group),
        };
        let Some(place) = place.filter(|_| !period.is_empty()) else { return Ok(Vec::new()) };
        let rows_max = self.settings.rows_max;
        let mut values = Values { version: &version, meter: &query.meter, place, rows_max, found: BTreeSet::new() };
        values.collect(period, &self.key)?;
        Ok(values.found.into_iter().collect())
    }

    /// Reads files, so it belongs onto a thread that may block.
    pub fn event_counts(&self, namespace: &str, from: Instant) -> Result<Vec<(String, u64)>, ReadError> {
        let version = self.version();
        let period = from.nanos()..i64::MAX;
        if let Some(gone) = version.removed.filter(|gone| gone.overlaps(&period)) {
            return Err(removed(gone.last).into());
        }
        let scan = BlockScan {
            namespace: Some(namespace),
            counted_only: true,
            voids: Some(&version.voids),
            ..BlockScan::default()
        };
        let parts = [RawPart { times: vec![period], offsets: Offsets::All, subject: None }];
        let mut counts = BTreeMap::new();
        for piece in pieces(&version, &parts) {
            piece.subjects(&scan, &mut counts)?;
            self.check_rows(counts.len())?;
        }
        Ok(counts.into_iter().collect())
    }

    fn check_rows(&self, rows: usize) -> Result<(), QueryRefusal> {
        check_rows(rows, self.settings.rows_max)
    }
}

fn check_rows(rows: usize, rows_max: usize) -> Result<(), QueryRefusal> {
    if rows > rows_max { Err(QueryRefusal::TooManyRows { rows_max }) } else { Ok(()) }
}

/// Where an event has the value.
#[derive(Debug, Clone, Copy)]
enum Place {
    Subject,
    /// Index among the meter's dimensions.
    Group(usize),
}

/// The values of one dimension over one version.
struct Values<'a> {
    version: &'a Version,
    meter: &'a Meter,
    place: Place,
    rows_max: usize,
    found: BTreeSet<String>,
}

impl Values<'_> {
    fn collect(&mut self, period: Range<i64>, key: &HashKey) -> Result<(), ReadError> {
        let cutter = Cutter { version: self.version, meter: self.meter, windows: None, subjects: None };
        // Rows know nothing of events before `eventFrom`.
        let counted_from = self.meter.event_from.map_or(i64::MIN, Instant::nanos).clamp(period.start, period.end);
        let mut parts = Vec::new();
        if period.start < counted_from {
            parts.extend(cutter.raw_only(period.start..counted_from)?.raw);
        }
        if counted_from < period.end {
            let cut = cutter.cut(counted_from..period.end)?;
            // A series whose events were all voided is still among those of a run.
            match self.version.voids.concern(self.meter) {
                false => self.take_series_of(&cut.rows, &period)?,
                true => self.take_rows(&cut, key)?,
            }
            parts.extend(cut.raw);
        }
        for piece in pieces(self.version, &parts) {
            self.take_piece(&piece, key)?;
            check_rows(self.found.len(), self.rows_max)?;
        }
        Ok(())
    }

    fn take_rows(&mut self, cut: &Cut, key: &HashKey) -> Result<(), ReadError> {
        let rows = Rows { version: self.version, key, meter: self.meter.version.0 };
        rows.scan(cut, None, &mut |series, _, _| {
            self.take_series(series);
            if self.found.len() > self.rows_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(check_rows(self.found.len(), self.rows_max)?)
    }

    fn take_series_of(
        &mut self,
        Plan { days, hours, minutes, .. }: &Plan,
        period: &Range<i64>,
    ) -> Result<(), ReadError> {
        if days.is_empty() && hours.is_empty() && minutes.is_empty() {
            return Ok(());
        }
        let meter = self.meter.version.0;
        let scan = RowScan { meter, subjects: None, days, hours, minutes };
        let version = self.version;
        for rows in version.memories().flat_map(|memory| memory.rows.iter()) {
            match rows.bounds(meter).is_some_and(|bounds| within(&bounds, period)) {
                true => rows.series_of(meter).iter().for_each(|series| self.take_series(series)),
                false => rows.scan(&scan, &mut |series, _, _| self.take_series(series)),
            }
        }
        for run in version.runs.iter() {
            match run.bounds(meter)?.is_some_and(|bounds| within(&bounds, period)) {
                true => run.series_of(meter, &mut |series| self.take_series(series))?,
                false => run.scan(&scan, &mut |series, _, _| self.take_series(series))?,
            }
            check_rows(self.found.len(), self.rows_max)?;
        }
        Ok(())
    }

    fn take_series(&mut self, series: &Series) {
        match self.place {
            Place::Subject => self.take(&series.subject),
            Place::Group(index) => self.take(nth_group(&series.groups, index)),
        }
    }

    fn take(&mut self, value: &str) {
        if !self.found.contains(value) {
            self.found.insert(value.to_owned());
        }
    }

    fn take_piece(&mut self, piece: &Piece<'_>, key: &HashKey) -> Result<(), Fault> {
        let scan = BlockScan {
            namespace: Some(&self.meter.namespace),
            event_type: Some(&self.meter.event_type),
            counted_only: true,
            voids: Some(&self.version.voids),
            ..BlockScan::default()
        };
        let Place::Group(index) = self.place else { return piece.subjects(&scan, &mut self.found) };
        let extractor = Extractor::of(&only_group(self.meter, index));
        let mut texts = Vec::new();
        let _ = piece.scan(&scan, &mut |stored| {
            if let Some(event) = &stored.event {
                texts.clear();
                // COUNT always reads; only the group's text is wanted.
                let _ = extractor.read(event.data, key, &mut texts);
                self.take(nth_group(&texts, 0));
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

/// A meter that reads nothing but this dimension.
fn only_group(meter: &Meter, index: usize) -> Meter {
    let group = meter.group_by.iter().nth(index).map(|(name, path)| (name.clone(), path.clone()));
    let group_by = group.into_iter().collect();
    Meter { aggregation: Aggregation::Count, value_property: None, group_by, ..meter.clone() }
}

fn nth_group(mut groups: &[u8], index: usize) -> &str {
    std::iter::from_fn(|| next_group(&mut groups)).nth(index).unwrap_or("")
}

/// Whether whole minutes lie in a period of nanoseconds.
fn within(minutes: &Minutes, period: &Range<i64>) -> bool {
    period.start <= minutes.start.saturating_mul(MINUTE_NS) && minutes.end.saturating_mul(MINUTE_NS) <= period.end
}
