//! Rollups: what queries read instead of events. Cells per (series, minute) in memory, sealed into runs on disk, each
//! with minute, hour and day rows over the same range of positions, merged into larger runs in the background.
//!
//! A series is (meter version, subject, group values), known by its keyed 128-bit hash; every chunk and run carries
//! the texts of its own series, so there is no global dictionary to load, to grow or to lose.
//!
//! Memory: [`RowBuilder`] makes [`MemoryRows`] of a batch, [`MemoryRows::merge`] joins them. Disk: [`Run::write`] seals
//! them, [`Run::merge`] joins runs by streaming, [`Run::scan`] reads what a plan wants through the [`BlockCache`].

mod build;
mod cache;
mod column;
mod footer;
mod frame;
mod index;
mod intern;
mod memory;
mod merge;
mod reader;
mod row_codec;
mod run;
mod series_codec;
mod stretch;
#[cfg(test)]
mod tests;
mod writer;

pub use build::RowBuilder;
pub use cache::{BlockCache, FileId};
pub use memory::MemoryRows;
pub use run::Run;

use crate::domain::metering::Cell;
use crate::domain::metering::plan::Minutes;
use std::collections::BTreeMap;

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

/// What to read: the rows of one meter version, in whole buckets. Stretches are ascending and disjoint.
pub struct RowScan<'a> {
    pub meter: u128,
    /// (prefix of `HashKey::subject_prefix`, subject), each subject once; `None`: all subjects.
    pub subjects: Option<&'a [(u64, &'a str)]>,
    pub days: &'a [Minutes],
    pub hours: &'a [Minutes],
    pub minutes: &'a [Minutes],
}

/// Called with a series, the bucket's first minute, and its cell.
pub type Visit<'a> = dyn FnMut(&Series, i64, &Cell) + 'a;

/// What writing or merging made, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunStats {
    pub minute_rows: u64,
    pub hour_rows: u64,
    pub day_rows: u64,
    pub series: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Read from the runs that were merged; 0 for a run that was opened or sealed.
    pub bytes_read: u64,
    /// The minute section was dropped as too old, wholly or in part.
    pub minutes_dropped: bool,
}

/// Whole days of subjects, as stretches of minutes: by meter version and subject.
pub type Days = BTreeMap<u128, BTreeMap<Vec<u8>, Vec<Minutes>>>;

/// What a merge leaves out.
pub struct Retain<'a> {
    /// Minute rows below this minute are not kept.
    pub minutes_from: i64,
    /// Rows of meter versions for which this is false are not kept.
    pub meter: &'a (dyn Fn(u128) -> bool + Sync),
    /// Rows of these days are not kept. Their series stay.
    pub without: &'a Days,
}
