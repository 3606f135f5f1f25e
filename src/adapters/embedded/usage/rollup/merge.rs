//! Merging runs: a walk over all of them side by side, once for the series and once per level of rows.
//!
//! Memory holds one block per run and section. A row that only one run has, the common case, is copied as it lies;
//! cells are decoded and merged only where runs meet. Hour and day rows are merged among themselves, never made anew
//! from minute rows, which may be gone.

use super::footer::Level;
use super::reader::{Purpose, RowCursor, SeriesCursor};
use super::row_codec::RowKey;
use super::run::Run;
use super::series_codec::SeriesKey;
use super::writer::{RowSink, RunWriter, SeriesSink};
use super::{Retain, RunStats};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::metering::Cell;
use crate::domain::metering::plan::Minutes;
use crate::domain::position::Frontier;
use std::path::Path;
use std::sync::Arc;

impl Run {
    /// Merges runs by streaming: memory does not grow with their size. The result is synced, with its directory.
    pub fn merge(
        disk: &dyn Disk,
        path: &Path,
        runs: &[Arc<Run>],
        retain: &Retain<'_>,
        covers: &Frontier,
    ) -> Result<RunStats, Fault> {
        let mut writer = RunWriter::create(disk, path)?;
        let merge = Merge { runs, retain, minute_floor: minute_floor(runs, retain) };
        let mut bytes_read = 0;
        let series = writer.series(|sink| merge.series(sink, &mut bytes_read))?;
        let mut section = |level| writer.rows(|sink| merge.rows(level, sink, &mut bytes_read));
        let [minute, hour, day] = Level::ALL;
        let sections = (series, [section(minute)?, section(hour)?, section(day)?]);
        let stats = writer.finish(covers, merge.minute_floor, sections, |meter| merge.bounds(meter))?;
        Ok(RunStats { bytes_read, ..stats })
    }
}

/// Below which minute the result has no rows though there were some: what one run has dropped already would be
/// incomplete from the others alone.
fn minute_floor(runs: &[Arc<Run>], retain: &Retain<'_>) -> Option<i64> {
    let dropped = runs.iter().filter_map(|run| run.minute_floor()).max();
    let floor = dropped.map_or(retain.minutes_from, |floor| floor.max(retain.minutes_from));
    let kept = runs.iter().flat_map(|run| &run.footer.meters).filter(|info| (retain.meter)(info.meter));
    let first = kept.map(|info| info.bounds.start).min()?;
    (first < floor).then_some(floor)
}

struct Merge<'a> {
    runs: &'a [Arc<Run>],
    retain: &'a Retain<'a>,
    minute_floor: Option<i64>,
}

/// One run's part in a pass over rows.
struct Input<'a> {
    series: SeriesCursor<'a>,
    rows: RowCursor<'a>,
}

impl Merge<'_> {
    fn series(&self, sink: &mut SeriesSink<'_, '_>, bytes_read: &mut u64) -> Result<(), Fault> {
        let mut cursors = Vec::with_capacity(self.runs.len());
        for run in self.runs {
            cursors.push(first_series(run)?);
        }
        while let Some((key, keep)) = self.next_series(cursors.iter()) {
            let mut written = !keep;
            for cursor in &mut cursors {
                let Some((_, series)) = cursor.at().filter(|(_, series)| series.key() == key) else { continue };
                if !std::mem::replace(&mut written, true) {
                    sink.push(series)?;
                }
                cursor.advance()?;
            }
        }
        *bytes_read += cursors.iter().map(SeriesCursor::bytes_read).sum::<u64>();
        Ok(())
    }

    fn rows(&self, level: Level, sink: &mut RowSink<'_, '_>, bytes_read: &mut u64) -> Result<(), Fault> {
        let from = match self.minute_floor {
            Some(floor) if level == Level::Minute => floor,
            _ => i64::MIN,
        };
        let mut inputs = Vec::with_capacity(self.runs.len());
        for run in self.runs {
            let rows = RowCursor::new(&run.file, &run.footer, level, Purpose::Merge);
            inputs.push(Input { series: first_series(run)?, rows });
        }
        let mut ordinal = 0;
        let mut meeting = Meeting::default();
        while let Some((key, keep)) = self.next_series(inputs.iter().map(|input| &input.series)) {
            meeting.members.clear();
            let mut without: &[Minutes] = &[];
            for (number, input) in inputs.iter_mut().enumerate() {
                let Some((own, series)) = input.series.at().filter(|(_, series)| series.key() == key) else { continue };
                let days = self.retain.without.get(&series.meter()).and_then(|days| days.get(series.subject()));
                without = days.map_or(&[], Vec::as_slice);
                if keep {
                    input.rows.seek(RowKey { ordinal: own, bucket: from })?;
                    meeting.members.push((number, own));
                }
                input.series.advance()?;
            }
            if keep {
                let is_kept = |bucket: i64| !without.iter().any(|days| days.contains(&(bucket * level.unit())));
                meeting.merge(&mut inputs, ordinal, &is_kept, sink)?;
                ordinal += 1;
            }
        }
        *bytes_read += inputs.iter().map(|input| input.series.bytes_read() + input.rows.bytes_read()).sum::<u64>();
        Ok(())
    }

    /// The least series at hand, and whether it is kept.
    fn next_series<'c>(&self, cursors: impl Iterator<Item = &'c SeriesCursor<'c>>) -> Option<(SeriesKey, bool)> {
        let (key, meter) = cursors.filter_map(|cursor| cursor.at().map(|(_, s)| (s.key(), s.meter()))).min()?;
        Some((key, (self.retain.meter)(meter)))
    }

    fn bounds(&self, meter: u128) -> Minutes {
        let all = || self.runs.iter().filter_map(|run| run.footer.meter(meter)).map(|info| &info.bounds);
        match (all().map(|bounds| bounds.start).min(), all().map(|bounds| bounds.end).max()) {
            (Some(start), Some(end)) => start..end,
            _ => unreachable!("a merged series comes from a run"),
        }
    }
}

fn first_series(run: &Run) -> Result<SeriesCursor<'_>, Fault> {
    let mut cursor = SeriesCursor::new(&run.file, &run.footer, Purpose::Merge);
    cursor.advance()?;
    Ok(cursor)
}

/// The runs that have the series at hand.
#[derive(Default)]
struct Meeting {
    /// Number of the run, and the series' ordinal there.
    members: Vec<(usize, u64)>,
    bytes: Vec<u8>,
}

impl Meeting {
    /// Writes the rows of the series, bucket by bucket.
    fn merge(
        &mut self,
        inputs: &mut [Input<'_>],
        ordinal: u64,
        is_kept: &dyn Fn(i64) -> bool,
        sink: &mut RowSink<'_, '_>,
    ) -> Result<(), Fault> {
        let Self { members, bytes } = self;
        while let Some((bucket, alone)) = least_bucket(inputs, members) {
            let is_kept = is_kept(bucket);
            let key = RowKey { ordinal, bucket };
            let mut merged: Option<(i64, Cell)> = None;
            for (number, own) in members.iter() {
                let rows = &mut inputs[*number].rows;
                if rows.bucket_of(*own) != Some(bucket) {
                    continue;
                }
                if !is_kept {
                    // Only passed over.
                } else if alone {
                    sink.push(key, rows.cell_bytes())?;
                } else {
                    let (minute, cell) = rows.cell()?;
                    match &mut merged {
                        Some((_, all)) => all.merge(&cell),
                        None => merged = Some((minute, cell)),
                    }
                }
                rows.advance()?;
            }
            if let Some((minute, cell)) = merged {
                bytes.clear();
                cell.encode(minute, bytes);
                sink.push(key, bytes)?;
            }
        }
        Ok(())
    }
}

/// The least bucket at hand, and whether only one run has it; `None` when no run has more rows of the series.
fn least_bucket(inputs: &[Input<'_>], members: &[(usize, u64)]) -> Option<(i64, bool)> {
    let mut least = None;
    for (number, own) in members {
        let Some(bucket) = inputs[*number].rows.bucket_of(*own) else { continue };
        least = match least {
            Some((other, _)) if other == bucket => Some((bucket, false)),
            Some((other, alone)) if other < bucket => Some((other, alone)),
            _ => Some((bucket, true)),
        };
    }
    least
}
