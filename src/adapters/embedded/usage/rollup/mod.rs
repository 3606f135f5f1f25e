//! Rollups: what queries read instead of events. Cells per (series, minute) in memory, sealed into runs on disk, each
//! with minute, hour and day rows over the same range of positions, merged into larger runs in the background.
//!
//! A series is (meter version, subject, group values), known by its keyed 128-bit hash; every chunk and run carries
//! the texts of its own series, so there is no global dictionary to load, to grow or to lose.

use super::super::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::metering::plan::Minutes;
use crate::domain::metering::{Batch, Cell};
use crate::domain::position::Frontier;
use std::path::Path;
use std::sync::Arc;

/// (meter version, subject, group values), with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub meter: u128,
    /// `HashKey::series`.
    pub id: u128,
    pub subject: Box<str>,
    /// In the form of `Measure::groups`.
    pub groups: Box<[u8]>,
}

/// What to read: the rows of one meter version, in whole buckets.
pub struct RowScan<'a> {
    pub meter: u128,
    /// (prefix of `HashKey::subject_prefix`, subject); `None`: all subjects.
    pub subjects: Option<&'a [(u64, &'a str)]>,
    pub days: &'a [Minutes],
    pub hours: &'a [Minutes],
    pub minutes: &'a [Minutes],
}

/// Called with a series, the bucket's first minute, and its cell.
pub type Visit<'a> = dyn FnMut(&Series, i64, &Cell) + 'a;

/// Rows in memory: immutable, sorted by (meter, series, minute).
pub struct MemoryRows {}

impl MemoryRows {
    /// The rows of one batch. Fails on nothing: a batch is applied whole or not at all.
    pub fn of(_batch: &Batch) -> Self {
        todo!()
    }
    pub fn merge(_parts: &[Arc<MemoryRows>]) -> Self {
        todo!()
    }
    pub fn rows(&self) -> usize {
        todo!()
    }
    pub fn bytes(&self) -> usize {
        todo!()
    }
    /// Every row whose minute lies in any of the scan's stretches.
    pub fn scan(&self, _scan: &RowScan<'_>, _visit: &mut Visit<'_>) {
        todo!()
    }
}

/// What merging made, for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunStats {
    pub minute_rows: u64,
    pub hour_rows: u64,
    pub day_rows: u64,
    pub series: u64,
    pub bytes: u64,
    pub bytes_read: u64,
    /// The minute section was dropped as too old, wholly or in part.
    pub minutes_dropped: bool,
}

/// A run on disk: immutable.
pub struct Run {}

/// What a merge leaves out.
pub struct Retain<'a> {
    /// Minute rows below this minute are not kept.
    pub minutes_from: i64,
    /// Rows of meter versions for which this is false are not kept.
    pub meter: &'a (dyn Fn(u128) -> bool + Sync),
}

impl Run {
    /// Writes a run with minute, hour and day rows, and syncs it. `covers` is kept in the footer.
    pub fn write(_disk: &dyn Disk, _path: &Path, _rows: &MemoryRows, _covers: &Frontier) -> Result<RunStats, Fault> {
        todo!()
    }
    /// Opens and checks header, footer and sparse indexes; rows are checked when read.
    pub fn open(_disk: &dyn Disk, _path: &Path, _cache: Arc<BlockCache>) -> Result<Run, Fault> {
        todo!()
    }
    /// Merges runs by streaming: memory does not grow with their size.
    pub fn merge(_disk: &dyn Disk, _path: &Path, _runs: &[Arc<Run>], _retain: &Retain<'_>, _covers: &Frontier) -> Result<RunStats, Fault> {
        todo!()
    }
    pub fn stats(&self) -> RunStats {
        todo!()
    }
    /// Day rows of the scan's days, hour rows of its hours, minute rows of its minutes.
    pub fn scan(&self, _scan: &RowScan<'_>, _visit: &mut Visit<'_>) -> Result<(), Fault> {
        todo!()
    }
    /// Earliest and latest minute of any row of this meter version; `None` when it has none.
    pub fn bounds(&self, _meter: u128) -> Result<Option<Minutes>, Fault> {
        todo!()
    }
    /// True when the run has rows of this meter version.
    pub fn has(&self, _meter: u128) -> Result<bool, Fault> {
        todo!()
    }
}

/// Decoded blocks of runs and event files, bounded by bytes, shared by all readers.
pub struct BlockCache {}

impl BlockCache {
    pub fn new(_bytes_max: usize) -> Arc<Self> {
        todo!()
    }
}

#[allow(unused)]
type Unused = Arc<dyn DiskFile>;
