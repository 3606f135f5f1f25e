//! Event blocks: every accepted event, re-sorted by (namespace, type, subject, time) and compressed.
//!
//! For listing, cut windows, backfill of new meters, proofs and rebuilds. A duplicate is kept as position,
//! accepted-at and winner; a conflict and a quarantined event whole.

use super::super::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::metering::{Batch, Fate};
use crate::domain::position::{Position, Range};
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// One stored event as a scan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Where the record that brought it stands (differs from `position` when redriven).
    pub at: u64,
    pub position: Position,
    pub accepted_at: Instant,
    pub fate: Fate,
    /// Absent for a duplicate.
    pub event: Option<EventView<'a>>,
}

/// Which events a scan wants. Everything given must hold; zone maps skip what cannot match.
#[derive(Debug, Clone, Default)]
pub struct BlockScan<'a> {
    pub namespace: Option<&'a str>,
    pub event_type: Option<&'a str>,
    pub subjects: Option<&'a [String]>,
    /// Event time, nanoseconds, half-open stretches, ascending and disjoint; `None`: any.
    pub times: Option<&'a [std::ops::Range<i64>]>,
    /// Of `Stored::at`, half-open.
    pub offsets: Option<std::ops::Range<u64>>,
    /// Only events that count.
    pub counted_only: bool,
}

pub type Visit<'a> = dyn FnMut(Stored<'_>) -> ControlFlow<()> + 'a;

/// What a file says about itself without being read.
#[derive(Debug, Clone)]
pub struct FileSummary {
    pub range: Range,
    pub events: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    pub bytes: u64,
    /// Least and greatest event time of events kept whole; `None` when there are none.
    pub times: Option<(Instant, Instant)>,
    pub accepted: Option<(Instant, Instant)>,
}

/// A file of event blocks: immutable.
pub struct BlockFile {}

impl BlockFile {
    /// Sorts, compresses, writes and syncs the events of consecutive batches.
    pub fn write(_disk: &dyn Disk, _path: &Path, _batches: &[Arc<Batch>]) -> Result<FileSummary, Fault> {
        todo!()
    }
    pub fn open(_disk: &dyn Disk, _path: &Path) -> Result<BlockFile, Fault> {
        todo!()
    }
    pub fn summary(&self) -> &FileSummary {
        todo!()
    }
    /// In file order (namespace, type, subject, time), block by block.
    pub fn scan(&self, _scan: &BlockScan<'_>, _visit: &mut Visit<'_>) -> Result<ControlFlow<()>, Fault> {
        todo!()
    }
    /// Blocks read so far.
    pub fn blocks_read(&self) -> u64 {
        todo!()
    }
}

/// The same scan over batches that are not sealed yet.
pub fn scan_batch(_batch: &Batch, _scan: &BlockScan<'_>, _visit: &mut Visit<'_>) -> ControlFlow<()> {
    todo!()
}
