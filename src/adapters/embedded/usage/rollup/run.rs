//! A run on disk: written once, then only read.

use super::footer::{Footer, Level};
use super::frame::FileReader;
use super::memory::{MemoryRows, Section};
use super::reader::{Purpose, RowCursor, SeriesCursor};
use super::row_codec::RowKey;
use super::series_codec::{SeriesBytes, series_key};
use super::stretch::wanted_from;
use super::writer::{RowSink, RunWriter, stats};
use super::{BlockCache, RowScan, RunStats, Series, Visit};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::Minutes;
use crate::domain::metering::{Cell, State};
use crate::domain::position::Frontier;
use std::path::Path;
use std::sync::Arc;

/// A run on disk: immutable. Held in memory are its footer and the roots of its sparse indexes.
pub struct Run {
    pub(super) file: FileReader,
    pub(super) footer: Footer,
}

impl Run {
    /// Writes a run with minute, hour and day rows, and syncs it and its directory. `covers` is kept in the footer.
    pub fn write(disk: &dyn Disk, path: &Path, rows: &MemoryRows, covers: &Frontier) -> Result<RunStats, Fault> {
        let mut writer = RunWriter::create(disk, path)?;
        let series = writer.series(|sink| {
            let mut bytes = SeriesBytes::default();
            for series in rows.sections().iter().flat_map(|section| &section.series) {
                bytes.set(series);
                sink.push(&bytes)?;
            }
            Ok(())
        })?;
        let mut section = |level: Level| writer.rows(|sink| fold_all(rows, level.unit(), sink));
        let [minute, hour, day] = Level::ALL;
        let sections = (series, [section(minute)?, section(hour)?, section(day)?]);
        let bounds = |meter| rows.bounds(meter).expect("a meter with series has rows");
        writer.finish(covers, None, sections, bounds)
    }

    /// Opens and checks header, footer and sparse indexes; rows are checked when read.
    pub fn open(disk: &dyn Disk, path: &Path, cache: Arc<BlockCache>) -> Result<Run, Fault> {
        let file = FileReader::open(disk, path, cache)?;
        let footer = Footer::read(&file)?;
        Ok(Run { file, footer })
    }

    pub fn stats(&self) -> RunStats {
        stats(&self.footer, self.file.length)
    }

    /// What was given when it was written.
    pub fn covers(&self) -> &Frontier {
        &self.footer.covers
    }

    /// Minute rows below this minute were there and are gone; `None` when all are kept.
    pub fn minute_floor(&self) -> Option<i64> {
        self.footer.minute_floor
    }

    /// The meter versions that it has rows of, ascending.
    pub fn meters(&self) -> impl Iterator<Item = u128> + '_ {
        self.footer.meters.iter().map(|info| info.meter)
    }

    /// Earliest and latest minute of any row of this meter version, half-open; `None` when it has none. Dropped minute
    /// rows included: hour and day rows still tell of them.
    pub fn bounds(&self, meter: u128) -> Result<Option<Minutes>, Fault> {
        Ok(self.footer.meter(meter).map(|info| info.bounds.clone()))
    }

    /// True when the run has rows of this meter version.
    pub fn has(&self, meter: u128) -> Result<bool, Fault> {
        Ok(self.footer.meter(meter).is_some())
    }

    /// Day rows of the scan's days, hour rows of its hours, minute rows of its minutes.
    pub fn scan(&self, scan: &RowScan<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let Some(info) = self.footer.meter(scan.meter) else { return Ok(()) };
        let wanted = match scan.subjects {
            Some(subjects) => Some(self.find(scan.meter, subjects)?),
            None => None,
        };
        for (level, stretches) in [(Level::Day, scan.days), (Level::Hour, scan.hours), (Level::Minute, scan.minutes)] {
            let overlaps = |stretch: &Minutes| stretch.start < info.bounds.end && info.bounds.start < stretch.end;
            if !stretches.iter().any(overlaps) {
                continue;
            }
            let mut rows = Rows {
                cursor: RowCursor::new(&self.file, &self.footer, level, Purpose::Query),
                unit: level.unit(),
                stretches,
                start: stretches[0].start.div_euclid(level.unit()),
            };
            match &wanted {
                Some(series) => series.iter().try_for_each(|(ordinal, series)| rows.visit(*ordinal, series, visit))?,
                None => self.scan_meter(scan.meter, &mut rows, visit)?,
            }
        }
        Ok(())
    }

    /// Every series of a meter version.
    pub fn series_of(&self, meter: u128, visit: &mut dyn FnMut(&Series)) -> Result<(), Fault> {
        let Some(info) = self.footer.meter(meter) else { return Ok(()) };
        let mut cursor = SeriesCursor::new(&self.file, &self.footer, Purpose::Query);
        cursor.seek(&series_key(meter, 0))?;
        while cursor.at().is_some_and(|(ordinal, _)| ordinal < info.end_ordinal()) {
            visit(&cursor.series()?);
            cursor.advance()?;
        }
        Ok(())
    }

    /// Series of these subjects with their ordinals, ascending.
    fn find(&self, meter: u128, subjects: &[(u64, &str)]) -> Result<Vec<(u64, Series)>, Fault> {
        let mut found = Vec::new();
        let mut cursor = SeriesCursor::new(&self.file, &self.footer, Purpose::Query);
        for (prefix, subject) in subjects {
            cursor.seek(&series_key(meter, u128::from(*prefix) << 64))?;
            while let Some((ordinal, series)) = cursor.at() {
                if series.meter() != meter || (series.id() >> 64) as u64 != *prefix {
                    break;
                }
                // Two subjects may share a prefix; the text decides.
                if series.subject() == subject.as_bytes() {
                    found.push((ordinal, cursor.series()?));
                }
                cursor.advance()?;
            }
        }
        found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        Ok(found)
    }

    /// All series of a meter: series and rows are walked side by side.
    fn scan_meter(&self, meter: u128, rows: &mut Rows<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let Some(info) = self.footer.meter(meter) else { return Ok(()) };
        let mut series = SeriesCursor::new(&self.file, &self.footer, Purpose::Query);
        series.seek(&series_key(meter, 0))?;
        rows.cursor.seek(RowKey { ordinal: info.first_ordinal, bucket: rows.start })?;
        while let Some(row) = rows.cursor.at().filter(|row| row.ordinal < info.end_ordinal()) {
            while series.at().is_some_and(|(ordinal, _)| ordinal < row.ordinal) {
                series.advance()?;
            }
            if series.at().is_none_or(|(ordinal, _)| ordinal != row.ordinal) {
                return Err(self.file.fault(self.file.length, "rows name a series that is not there"));
            }
            rows.visit(row.ordinal, &series.series()?, visit)?;
            rows.cursor.seek(RowKey { ordinal: row.ordinal + 1, bucket: rows.start })?;
        }
        Ok(())
    }
}

/// The wanted rows of a section.
struct Rows<'r> {
    cursor: RowCursor<'r>,
    unit: i64,
    stretches: &'r [Minutes],
    /// The first wanted bucket.
    start: i64,
}

impl Rows<'_> {
    /// Shows the wanted rows of one series, which is at or after the row at hand.
    fn visit(&mut self, ordinal: u64, series: &Series, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.cursor.seek(RowKey { ordinal, bucket: self.start })?;
        while let Some(bucket) = self.cursor.bucket_of(ordinal) {
            let minute = bucket.saturating_mul(self.unit);
            match wanted_from(self.stretches, minute) {
                Some(wanted) if wanted == minute => {
                    let (minute, cell) = self.cursor.cell()?;
                    visit(series, minute, &cell);
                    self.cursor.advance()?;
                }
                // Stretches are of whole buckets, so the next wanted bucket is a later one.
                Some(wanted) => {
                    let bucket = wanted.div_euclid(self.unit).max(bucket + 1);
                    self.cursor.seek(RowKey { ordinal, bucket })?;
                }
                None => break,
            }
        }
        Ok(())
    }
}

/// The rows of all meters folded into buckets of `unit` minutes.
fn fold_all(rows: &MemoryRows, unit: i64, sink: &mut RowSink<'_, '_>) -> Result<(), Fault> {
    let mut first_ordinal = 0;
    for section in rows.sections() {
        fold(section, unit, first_ordinal, sink)?;
        first_ordinal += section.series.len() as u64;
    }
    Ok(())
}

fn fold(section: &Section, unit: i64, first_ordinal: u64, sink: &mut RowSink<'_, '_>) -> Result<(), Fault> {
    let mut folded = section.column.like(1);
    let mut cell = Cell { first_minute: 0, last_minute: 0, state: State::Count(0) };
    let (mut bytes, mut row) = (Vec::new(), 0);
    let bucket_of = |minute: i64| minute.div_euclid(unit);
    let same = |a: &super::memory::Key, b: &super::memory::Key| {
        a.ordinal() == b.ordinal() && bucket_of(a.minute()) == bucket_of(b.minute())
    };
    for keys in section.keys.chunk_by(same) {
        let (first, last) = (keys[0], keys[keys.len() - 1]);
        if keys.len() == 1 {
            section.column.state_into(row, &mut cell.state);
        } else {
            folded.clear();
            folded.begin();
            (row..row + keys.len()).for_each(|row| folded.take(&section.column, row));
            folded.close();
            folded.state_into(0, &mut cell.state);
        }
        row += keys.len();
        (cell.first_minute, cell.last_minute) = (first.minute(), last.minute());
        let bucket = bucket_of(first.minute());
        bytes.clear();
        cell.encode(bucket * unit, &mut bytes);
        sink.push(RowKey { ordinal: first_ordinal + u64::from(first.ordinal()), bucket }, &bytes)?;
    }
    Ok(())
}
