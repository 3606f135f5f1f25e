//! From a batch's measures to rows: group by (series, minute) by sorting small integers, then fold.
//!
//! Sorting a batch first turns random writes into a map into a walk over memory: the store merges the results.

use super::Series;
use super::column::{Column, shrink};
use super::intern::Interner;
use super::memory::{Key, MemoryRows, Section};
use crate::domain::metering::extract::{NotCounted, Reading};
use crate::domain::metering::{Aggregation, Batch, Chunk, Event, Fate, Measure};
use crate::domain::record::EventView;
use std::sync::Arc;

/// Makes rows of batches; keeps what is worth keeping between them.
#[derive(Debug, Default)]
pub struct RowBuilder {
    interner: Interner,
    // Room used again from batch to batch.
    entries: Vec<Entry>,
    /// Per slot of the interner, its series' rank among those of this batch.
    ranks: Vec<u32>,
    touched: Vec<u32>,
}

/// A measure on its way into a row. Ordered by series and minute; small, because it is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Ordinals are slots of the interner first, then ranks.
    key: Key,
    chunk: u32,
    measure: u32,
}

/// Not touched in this batch.
const NO_RANK: u32 = u32::MAX;
/// Measures of a batch for which room is kept until the next; the room of a larger one is given back.
const KEPT_MEASURES_MAX: usize = 1 << 18;

impl RowBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows of one batch: all measures of events that count. An event before its meter's `eventFrom` leaves no
    /// trace; one without a countable value moves the bounds of its row only.
    pub fn rows(&mut self, batch: &Batch) -> MemoryRows {
        self.interner.begin_batch();
        self.gather(batch);
        self.rank();
        self.entries.sort_unstable();
        let rows = self.fold(batch);
        if self.entries.len() > KEPT_MEASURES_MAX {
            self.entries = Vec::new();
        }
        rows
    }

    fn gather(&mut self, batch: &Batch) {
        self.entries.clear();
        for (number, chunk) in batch.chunks.iter().enumerate() {
            let key = &chunk.catalog.key;
            let mut at = None;
            for (index, measure) in chunk.measures.iter().enumerate() {
                if !leaves_a_trace(chunk, measure) {
                    continue;
                }
                let (_, minute, subject) = match at {
                    Some(known @ (event, _, _)) if event == measure.event => known,
                    _ => {
                        let record = &chunk.events[measure.event as usize];
                        let view = read(chunk, record);
                        let minute = view.instant(record.accepted_at).minute();
                        *at.insert((measure.event, minute, self.interner.subject(key, view.subject)))
                    }
                };
                let meter = chunk.catalog.meters[measure.meter as usize].meter.version.0;
                let slot = self.interner.slot(key, meter, subject, chunk.groups(measure));
                self.entries.push(Entry { key: Key::new(slot, minute), chunk: number as u32, measure: index as u32 });
            }
        }
    }

    /// Ranks the series of this batch by (meter, id), and names the entries by rank.
    fn rank(&mut self) {
        let Self { interner, entries, ranks, touched } = self;
        ranks.clear();
        ranks.resize(interner.len(), NO_RANK);
        touched.clear();
        for entry in entries.iter() {
            let slot = entry.key.ordinal();
            if std::mem::replace(&mut ranks[slot as usize], 0) == NO_RANK {
                touched.push(slot);
            }
        }
        touched.sort_by_cached_key(|slot| (interner.series(*slot).meter, interner.series(*slot).id));
        for (rank, slot) in touched.iter().enumerate() {
            ranks[*slot as usize] = rank as u32;
        }
        for entry in entries {
            entry.key = entry.key.of(ranks[entry.key.ordinal() as usize]);
        }
    }

    fn fold(&mut self, batch: &Batch) -> MemoryRows {
        let Self { interner, entries, touched, .. } = self;
        let (mut sections, mut rest, mut first) = (Vec::new(), &entries[..], 0);
        for series in touched.chunk_by(|a, b| interner.series(*a).meter == interner.series(*b).meter) {
            let end = first + series.len();
            let (rows, others) = rest.split_at(rest.partition_point(|entry| (entry.key.ordinal() as usize) < end));
            let texts = series.iter().map(|slot| interner.series(*slot).clone()).collect();
            sections.push(Arc::new(fold_meter(batch, rows, first as u32, texts)));
            (rest, first) = (others, end);
        }
        MemoryRows::new(sections)
    }
}

/// True for a measure that belongs into a row.
fn leaves_a_trace(chunk: &Chunk, measure: &Measure) -> bool {
    chunk.events[measure.event as usize].fate == Fate::Counts && measure.reading != Err(NotCounted::BeforeEventFrom)
}

fn read<'a>(chunk: &'a Chunk, event: &Event) -> EventView<'a> {
    chunk.view(event).expect("an event with measures has been read before")
}

/// The rows of one meter: `entries` are sorted by (rank, minute), ranks begin at `first`.
fn fold_meter(batch: &Batch, entries: &[Entry], first: u32, series: Vec<Arc<Series>>) -> Section {
    let of = |entry: &Entry| {
        let chunk = &batch.chunks[entry.chunk as usize];
        (chunk, &chunk.measures[entry.measure as usize])
    };
    let (chunk, measure) = of(&entries[0]);
    let aggregation = chunk.catalog.meters[measure.meter as usize].meter.aggregation;
    let mut column = Column::new(aggregation, entries.len());
    let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
    for entry in entries {
        let key = entry.key.of(entry.key.ordinal() - first);
        if keys.last() != Some(&key) {
            keys.push(key);
            column.begin();
        }
        let (chunk, measure) = of(entry);
        match measure.reading {
            Ok(Reading::Value(value)) if aggregation == Aggregation::Latest => {
                // Only LATEST asks when and where, so only here the event is looked at again.
                let event = &chunk.events[measure.event as usize];
                let time = read(chunk, event).instant(event.accepted_at);
                column.read_at(time, event.position, value);
            }
            Ok(reading) => column.read(reading),
            Err(_) => {}
        }
    }
    column.close();
    column.shrink();
    shrink(&mut keys);
    Section::new(series, keys, column)
}
