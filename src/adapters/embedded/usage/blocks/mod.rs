//! Event blocks: every accepted event, re-sorted by (namespace, type, subject, time) and compressed.
//!
//! For listing, cut windows, backfill of new meters, proofs and rebuilds. A duplicate is kept as position,
//! accepted-at and winner; a conflict and a quarantined event whole.
//!
//! A file is written once, from a seal's batches (`write`) or from older files (`merge`), and then only read. Its blocks
//! are columns of about 128 KiB of records (`builder`, `block`) inside a checked frame (`frame`); an index of two levels
//! (`zone`) says what each holds, and is read when asked for (`reader`), so that memory does not grow with events.

mod block;
mod builder;
mod bytes;
mod duplicates;
mod filter;
mod footer;
mod frame;
mod id_text;
mod merge;
mod ordered;
mod proof;
mod reader;
mod scan;
mod subjects;
mod time_text;
mod write;
mod writer;
mod zone;

#[cfg(test)]
pub(super) mod tests;

pub use proof::{Proof, SegmentProof, holds, proof_of};
pub use scan::scan_batch;

pub(super) use filter::{Filter, Texts, sorted};
pub(super) use ordered::sort_by_edge;
pub(super) use scan::scan_batch_filtered;
pub(super) use subjects::{Subjects, batch_subjects};

use super::super::disk::{Disk, DiskFile};
use super::voids::Voids;
use crate::domain::fault::Fault;
use crate::domain::metering::{Batch, Fate, Progress};
use crate::domain::position::{Position, Range};
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

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
    /// Events that count no longer.
    pub voids: Option<&'a Voids>,
    /// Told of every whole event that was read or passed over.
    pub progress: Option<&'a Progress>,
}

pub type Visit<'a> = dyn FnMut(Stored<'_>) -> ControlFlow<()> + 'a;

/// What a file says about itself without being read.
#[derive(Debug, Clone)]
pub struct FileSummary {
    /// What the file covers, holes and control records included.
    pub range: Range,
    /// All events, whatever their fate.
    pub events: u64,
    /// How many of them are duplicates, and how many conflicts.
    pub duplicates: u64,
    pub conflicts: u64,
    /// Of the file.
    pub bytes: u64,
    /// Least and greatest event time of events kept whole; `None` when there are none.
    pub times: Option<(Instant, Instant)>,
    /// Least and greatest accepted-at of all events; `None` when there are none.
    pub accepted: Option<(Instant, Instant)>,
}

impl FileSummary {
    /// Events that are kept whole: all but duplicates.
    pub fn whole_events(&self) -> u64 {
        self.events.saturating_sub(self.duplicates)
    }
}

/// A file of event blocks: immutable.
pub struct BlockFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    footer: footer::Footer,
    summary: FileSummary,
    proof: Proof,
    blocks_read: AtomicU64,
}

impl BlockFile {
    /// Sorts, compresses, writes and syncs the events of consecutive batches, then reads the file back and compares it
    /// with the log's own bytes. `path` must not exist; its directory is synced too.
    ///
    /// # Errors
    /// Retry: the disk failed, and what was written is removed. Give up: the batches are no neighbours, or what was
    /// written does not read back.
    pub fn write(disk: &dyn Disk, path: &Path, batches: &[Arc<Batch>]) -> Result<FileSummary, Fault> {
        write::write(disk, path, batches)
    }

    /// One file of several of one partition, given in any order: everything in them, by streaming; memory does not grow
    /// with their size. It covers from the first to the last, gaps included, so no other file may lie between them.
    /// Synced and read back as by [`BlockFile::write`]. The files stay.
    pub fn merge(disk: &dyn Disk, path: &Path, files: &[Arc<BlockFile>]) -> Result<FileSummary, Fault> {
        Ok(merge::merge(disk, path, files)?.summary)
    }
}
