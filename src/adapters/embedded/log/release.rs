//! Deleting segments that the store has, after it was shown every record of them.

use super::reader::Filling;
use super::segment::{self, Segment};
use super::shared::Shared;
use super::{EmbeddedLog, io_fault};
use crate::domain::fault::Fault;
use crate::ports::event_log::Verify;
use std::path::Path;
use std::sync::Arc;

/// What `verify` is shown at once.
const SLICE_EVENTS_MAX: usize = 10_000;
const SLICE_BYTES_MAX: usize = 1 << 20;

impl EmbeddedLog {
    /// Deletes the oldest segments, as long as they lie below `below` and `verify` agrees.
    pub(super) async fn release_below(&self, below: u64, verify: &Verify<'_>) -> Result<(), Fault> {
        let _one_at_a_time = self.releasing.lock().await;
        while let Some(segment) = self.shared.oldest_below(below) {
            if !self.agrees(&segment, verify).await? {
                break;
            }
            let shared = self.shared.clone();
            super::blocking(move || shared.delete(&segment)).await?;
        }
        Ok(())
    }

    async fn agrees(&self, segment: &Segment, verify: &Verify<'_>) -> Result<bool, Fault> {
        let mut from = segment.first_offset;
        while from < segment.next_offset {
            let filling = Filling::new(from, segment.next_offset, SLICE_EVENTS_MAX, SLICE_BYTES_MAX);
            // From disk, checked: what was never read back is not deleted.
            let slice = self.fill(filling, Source::Disk).await?;
            if !verify(&slice)? {
                tracing::warn!(segment = segment.number, range = %slice.range, "the store does not have every record: kept");
                return Ok(false);
            }
            from = slice.range.to;
        }
        Ok(true)
    }
}

/// Where records are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    MemoryFirst,
    Disk,
}

impl Shared {
    /// The oldest segment, when all of it lies below and it is not the one being written.
    fn oldest_below(&self, below: u64) -> Option<Segment> {
        let segments = self.segments();
        let oldest = segments.list.front().filter(|_| segments.list.len() > 1)?;
        (oldest.next_offset <= below).then(|| oldest.clone())
    }

    /// One at a time and synced: a crash never leaves a gap between segments.
    fn delete(self: &Arc<Self>, segment: &Segment) -> Result<(), Fault> {
        let path = segment::path(segment.number);
        segment::remove_if_there(&*self.disk, &path)
            .and_then(|()| self.disk.sync_dir(Path::new(segment::DIR)))
            .map_err(|error| io_fault(&path, "delete", &error))?;
        self.segments().list.pop_front();
        self.counters.deleted_segments.inc();
        Ok(())
    }
}
