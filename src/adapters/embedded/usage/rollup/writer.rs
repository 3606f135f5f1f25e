//! A run in the making, streamed: first its series, then its rows, level by level, then what it says about itself.

use super::RunStats;
use super::footer::{Footer, Level, MeterInfo, SectionInfo, write_header};
use super::frame::FileWriter;
use super::index::IndexWriter;
use super::row_codec::{ROW_KEY_BYTES, RowBlockWriter, RowKey};
use super::series_codec::{SERIES_KEY_BYTES, SeriesBlockWriter, SeriesBytes};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::Minutes;
use crate::domain::position::Frontier;
use std::path::Path;

pub(super) struct RunWriter<'d> {
    file: FileWriter<'d>,
    /// Room for a block's bytes.
    raw: Vec<u8>,
    meters: Vec<MeterInfo>,
}

impl<'d> RunWriter<'d> {
    pub fn create(disk: &'d dyn Disk, path: &'d Path) -> Result<Self, Fault> {
        let mut file = FileWriter::create(disk, path)?;
        write_header(&mut file)?;
        Ok(Self { file, raw: Vec::new(), meters: Vec::new() })
    }

    /// The series section. `fill` is given a sink that takes series in ascending order and numbers them.
    pub fn series(
        &mut self,
        fill: impl FnOnce(&mut SeriesSink<'_, 'd>) -> Result<(), Fault>,
    ) -> Result<SectionInfo, Fault> {
        let index = IndexWriter::new(SERIES_KEY_BYTES);
        let mut sink = SeriesSink { run: self, block: SeriesBlockWriter::new(), index, count: 0 };
        fill(&mut sink)?;
        sink.close()?;
        let SeriesSink { run, index, count, .. } = sink;
        Ok(SectionInfo { rows: count, root: index.finish(&mut run.file)? })
    }

    /// A section of rows. `fill` is given a sink that takes rows in ascending order.
    pub fn rows(&mut self, fill: impl FnOnce(&mut RowSink<'_, 'd>) -> Result<(), Fault>) -> Result<SectionInfo, Fault> {
        let index = IndexWriter::new(ROW_KEY_BYTES);
        let mut sink = RowSink { run: self, block: RowBlockWriter::new(), index, count: 0 };
        fill(&mut sink)?;
        sink.close()?;
        let RowSink { run, index, count, .. } = sink;
        Ok(SectionInfo { rows: count, root: index.finish(&mut run.file)? })
    }

    /// Completes the file and makes it durable. `bounds` answers for each meter version that has series.
    pub fn finish(
        mut self,
        covers: &Frontier,
        minute_floor: Option<i64>,
        sections: (SectionInfo, [SectionInfo; 3]),
        bounds: impl Fn(u128) -> Minutes,
    ) -> Result<RunStats, Fault> {
        let mut meters = std::mem::take(&mut self.meters);
        meters.iter_mut().for_each(|info| info.bounds = bounds(info.meter));
        let (series, rows) = sections;
        let footer = Footer { covers: covers.clone(), minute_floor, series, rows, meters };
        footer.write(&mut self.file)?;
        let bytes = self.file.finish()?;
        Ok(stats(&footer, bytes))
    }

    fn count_series(&mut self, meter: u128, ordinal: u64) {
        match self.meters.last_mut() {
            Some(info) if info.meter == meter => info.series += 1,
            _ => self.meters.push(MeterInfo { meter, first_ordinal: ordinal, series: 1, bounds: 0..0 }),
        }
    }
}

/// The metrics' view of a run.
pub(super) fn stats(footer: &Footer, bytes: u64) -> RunStats {
    RunStats {
        minute_rows: footer.section(Level::Minute).rows,
        hour_rows: footer.section(Level::Hour).rows,
        day_rows: footer.section(Level::Day).rows,
        series: footer.series.rows,
        bytes,
        bytes_read: 0,
        minutes_dropped: footer.minute_floor.is_some(),
    }
}

/// Takes series.
pub(super) struct SeriesSink<'w, 'd> {
    run: &'w mut RunWriter<'d>,
    block: SeriesBlockWriter,
    index: IndexWriter,
    count: u64,
}

impl SeriesSink<'_, '_> {
    /// Gives the series the next ordinal.
    pub fn push(&mut self, series: &SeriesBytes) -> Result<(), Fault> {
        self.run.count_series(series.meter(), self.count);
        let full = self.block.push(self.count, series);
        self.count += 1;
        if full { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), Fault> {
        let run = &mut *self.run;
        let Some(first) = self.block.take(&mut run.raw) else { return Ok(()) };
        let place = run.file.block(&run.raw)?;
        self.index.add(&first, place, &mut run.file)
    }
}

/// Takes rows.
pub(super) struct RowSink<'w, 'd> {
    run: &'w mut RunWriter<'d>,
    block: RowBlockWriter,
    index: IndexWriter,
    count: u64,
}

impl RowSink<'_, '_> {
    /// `cell` as `Cell::encode` wrote it for this bucket.
    pub fn push(&mut self, key: RowKey, cell: &[u8]) -> Result<(), Fault> {
        self.count += 1;
        if self.block.push(key, cell) { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), Fault> {
        let run = &mut *self.run;
        let Some(first) = self.block.take(&mut run.raw) else { return Ok(()) };
        let place = run.file.block(&run.raw)?;
        self.index.add(&first.to_bytes(), place, &mut run.file)
    }
}
