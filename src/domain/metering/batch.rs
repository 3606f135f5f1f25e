//! A batch: what travels on the line. Events stay in the bytes they were logged in; stages add to them.
//!
//! The source fills in positions and accepted-at times, the validator the measures, the deduper the fates. A batch
//! always covers its whole range, also when nothing in it counts. It is made of chunks: each a run of consecutive
//! records that share one buffer and one catalog of meters, so joining batches copies nothing.

use super::catalog::Catalog;
use super::extract::{NotCounted, Reading};
use crate::domain::position::{Position, Range};
use crate::domain::record::{Control, EventView, RecordError, decode_event};
use crate::domain::time::Instant;
use bytes::Bytes;
use std::sync::Arc;

/// A stretch of the log on its way through the stages.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Raised by every rewind; stages shed batches of older generations on sight.
    pub generation: u64,
    /// What the batch covers, holes and control records included.
    pub range: Range,
    /// In position order.
    pub chunks: Vec<Chunk>,
}

/// Consecutive records of one buffer, under one catalog.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The log's own bytes; events point into it.
    pub bytes: Bytes,
    /// The meters that count at these positions.
    pub catalog: Arc<Catalog>,
    pub events: Vec<Event>,
    /// Records that are not events, by position; they lie before or between the events by offset.
    pub controls: Vec<(Position, Control)>,
    /// What the validator read out of the events, in event order.
    pub measures: Vec<Measure>,
    /// Group values of the measures, see [`Measure::groups`].
    pub texts: Vec<u8>,
}

/// One usage event of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The record (length and kind included) in the chunk's bytes.
    pub start: u32,
    pub end: u32,
    /// Where the record that brought the event here stands: inside the batch's range, strictly growing.
    pub at: u64,
    /// The event's own position: the same as `at`, or, when redriven, where it was first. The id index knows it by
    /// this, and LATEST breaks ties by it.
    pub position: Position,
    pub accepted_at: Instant,
    pub fate: Fate,
}

/// What became of an event. Only `Counts` reaches a meter; all are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    Counts,
    /// The same event again: same id, same content.
    Duplicate {
        winner: Position,
    },
    /// Another event under a known id: kept whole for the operator, with the one that won.
    Conflict {
        winner: Position,
    },
    /// Passed over, because it made a stage panic. It still owns its id.
    Quarantined,
}

/// What one event means to one meter.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Index into the chunk's events; never falls from one measure to the next.
    pub event: u32,
    /// Index into [`Catalog::meters`].
    pub meter: u32,
    /// A reading, or why there is none. An event without a reading still moves the meter's time bounds.
    pub reading: Result<Reading, NotCounted>,
    /// The group values, as bytes in [`Chunk::texts`], from `.0` to `.1`, in the order of the meter's dimension names:
    /// for each, its length as LEB128 and its UTF-8. Equal bytes are equal groups.
    pub groups: (u32, u32),
}

impl Chunk {
    pub fn new(bytes: Bytes, catalog: Arc<Catalog>) -> Self {
        Self { bytes, catalog, events: Vec::new(), controls: Vec::new(), measures: Vec::new(), texts: Vec::new() }
    }

    pub fn record(&self, event: &Event) -> &[u8] {
        &self.bytes[event.start as usize..event.end as usize]
    }

    pub fn view(&self, event: &Event) -> Result<EventView<'_>, RecordError> {
        decode_event(self.record(event))
    }

    pub fn groups(&self, measure: &Measure) -> &[u8] {
        &self.texts[measure.groups.0 as usize..measure.groups.1 as usize]
    }

    /// Drops what lies below `offset`: a sink that already has a prefix applies only the rest.
    pub fn drop_before(&mut self, offset: u64) {
        let cut = self.events.partition_point(|event| event.at < offset);
        self.controls.retain(|(position, _)| position.offset >= offset);
        if cut == 0 {
            return;
        }
        self.events.drain(..cut);
        let measures = self.measures.partition_point(|measure| (measure.event as usize) < cut);
        self.measures.drain(..measures);
        for measure in &mut self.measures {
            measure.event -= cut as u32;
        }
    }

    /// Drops what lies at or beyond `offset`.
    pub fn drop_from(&mut self, offset: u64) {
        let keep = self.events.partition_point(|event| event.at < offset);
        self.events.truncate(keep);
        self.measures.truncate(self.measures.partition_point(|measure| (measure.event as usize) < keep));
        self.controls.retain(|(position, _)| position.offset < offset);
    }
}

impl Batch {
    pub fn events(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.events.len()).sum()
    }

    /// Bytes of the records in it.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().flat_map(|chunk| &chunk.events).map(|event| (event.end - event.start) as usize).sum()
    }

    /// Drops the prefix below `offset`, which must lie in the range.
    pub fn drop_before(&mut self, offset: u64) {
        assert!(self.range.from <= offset && offset <= self.range.to, "{offset} is not in {}", self.range);
        self.range.from = offset;
        for chunk in &mut self.chunks {
            chunk.drop_before(offset);
        }
        self.chunks.retain(|chunk| !chunk.events.is_empty() || !chunk.controls.is_empty());
    }

    /// Cuts the batch in two at `offset`, which must lie in the range; the second part is returned.
    pub fn split_at(&mut self, offset: u64) -> Batch {
        let mut rest = self.clone();
        rest.drop_before(offset);
        self.range.to = offset;
        for chunk in &mut self.chunks {
            chunk.drop_from(offset);
        }
        self.chunks.retain(|chunk| !chunk.events.is_empty() || !chunk.controls.is_empty());
        rest
    }

    /// Takes up the batch that follows this one: same partition, same generation, no gap.
    pub fn append(&mut self, next: Batch) {
        assert_eq!(
            (self.range.partition, self.range.to, self.generation),
            (next.range.partition, next.range.from, next.generation),
            "only neighbours are joined"
        );
        self.range.to = next.range.to;
        self.chunks.extend(next.chunks);
    }
}
