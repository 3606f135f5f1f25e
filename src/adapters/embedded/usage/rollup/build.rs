//! From a batch's measures to rows: group by (series, minute) by sorting small integers, then fold.
//!
//! Sorting a batch first turns random writes into a map into a walk over memory: the store merges the results.

use super::column::Column;
use super::intern::Interner;
use super::memory::{Key, MemoryRows, Section};
use crate::domain::metering::extract::NotCounted;
use crate::domain::metering::{Batch, Chunk, Fate, Measure};
use crate::domain::time::Instant;
use std::sync::Arc;

/// Makes rows of batches; keeps what is worth keeping between them.
#[derive(Debug)]
pub struct RowBuilder {
    interner: Interner,
    // Room used again from batch to batch.
    pending: Vec<Pending>,
    order: Vec<(u64, u32)>,
    ranks: Vec<u32>,
    touched: Vec<u32>,
}

/// A measure on its way into a row.
#[derive(Debug, Clone, Copy)]
struct Pending {
    time: Instant,
    slot: u32,
    chunk: u32,
    measure: u32,
}

/// Not touched in this batch.
const NO_RANK: u32 = u32::MAX;
/// Measures of a batch for which room is kept until the next; the room of a larger one is given back.
const KEPT_MEASURES_MAX: usize = 1 << 18;

impl Default for RowBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl RowBuilder {
    pub fn new() -> Self {
        Self {
            interner: Interner::new(),
            pending: Vec::new(),
            order: Vec::new(),
            ranks: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// The rows of one batch: all measures of events that count. An event before its meter's `eventFrom` leaves no
    /// trace; one without a countable value moves the bounds of its row only.
    pub fn rows(&mut self, batch: &Batch) -> MemoryRows {
        self.interner.begin_batch();
        self.gather(batch);
        self.rank();
        let rows = self.fold(batch);
        if self.pending.len() > KEPT_MEASURES_MAX {
            (self.pending, self.order) = (Vec::new(), Vec::new());
        }
        rows
    }

    fn gather(&mut self, batch: &Batch) {
        self.pending.clear();
        for (number, chunk) in batch.chunks.iter().enumerate() {
            let mut at = None;
            for (index, measure) in chunk.measures.iter().enumerate() {
                if !leaves_a_trace(chunk, measure) {
                    continue;
                }
                let (_, time, subject) = match at {
                    Some(known @ (event, _, _)) if event == measure.event => known,
                    _ => *at.insert(locate(chunk, measure.event)),
                };
                let meter = chunk.catalog.meters[measure.meter as usize].meter.version.0;
                let slot = self.interner.slot(&chunk.catalog.key, meter, subject, chunk.groups(measure));
                self.pending.push(Pending { time, slot, chunk: number as u32, measure: index as u32 });
            }
        }
    }

    /// Ranks the series of this batch by (meter, id).
    fn rank(&mut self) {
        let Self { interner, pending, ranks, touched, .. } = self;
        ranks.clear();
        ranks.resize(interner.len(), NO_RANK);
        touched.clear();
        for pending in pending.iter() {
            if std::mem::replace(&mut ranks[pending.slot as usize], 0) == NO_RANK {
                touched.push(pending.slot);
            }
        }
        touched.sort_unstable_by_key(|slot| (interner.series(*slot).meter, interner.series(*slot).id));
        for (rank, slot) in touched.iter().enumerate() {
            ranks[*slot as usize] = rank as u32;
        }
    }

    fn fold(&mut self, batch: &Batch) -> MemoryRows {
        let Self { interner, pending, order, ranks, touched } = self;
        order.clear();
        let key = |pending: &Pending| Key::new(ranks[pending.slot as usize], pending.time.minute()).0;
        order.extend(pending.iter().enumerate().map(|(index, pending)| (key(pending), index as u32)));
        order.sort_unstable();
        let (mut sections, mut rest, mut first) = (Vec::new(), &order[..], 0);
        for series in touched.chunk_by(|a, b| interner.series(*a).meter == interner.series(*b).meter) {
            let end = first + series.len();
            let (rows, others) = rest.split_at(rest.partition_point(|(key, _)| (Key(*key).ordinal() as usize) < end));
            let texts = series.iter().map(|slot| interner.series(*slot).clone()).collect();
            sections.push(Arc::new(fold_meter(batch, pending, rows, first as u32, texts)));
            (rest, first) = (others, end);
        }
        MemoryRows::new(sections)
    }
}

/// True for a measure that belongs into a row.
fn leaves_a_trace(chunk: &Chunk, measure: &Measure) -> bool {
    chunk.events[measure.event as usize].fate == Fate::Counts && measure.reading != Err(NotCounted::BeforeEventFrom)
}

/// Index, time and subject (with its hash) of an event.
fn locate(chunk: &Chunk, event: u32) -> (u32, Instant, (&str, u64)) {
    let record = &chunk.events[event as usize];
    let view = chunk.view(record).expect("an event with measures has been read before");
    let hash = Interner::subject_hash(&chunk.catalog.key, view.subject);
    (event, view.instant(record.accepted_at), (view.subject, hash))
}

/// The rows of one meter: `order` is sorted by (rank, minute), ranks begin at `first`.
fn fold_meter(
    batch: &Batch,
    pending: &[Pending],
    order: &[(u64, u32)],
    first: u32,
    series: Vec<Arc<super::Series>>,
) -> Section {
    let of = |index: u32| {
        let pending = pending[index as usize];
        let chunk = &batch.chunks[pending.chunk as usize];
        (pending, chunk, &chunk.measures[pending.measure as usize])
    };
    let (_, chunk, measure) = of(order[0].1);
    let aggregation = chunk.catalog.meters[measure.meter as usize].meter.aggregation;
    let mut column = Column::new(aggregation, order.len());
    let mut keys: Vec<Key> = Vec::with_capacity(order.len());
    for (key, index) in order {
        let key = Key(*key).less(first);
        if keys.last() != Some(&key) {
            keys.push(key);
            column.begin();
        }
        let (pending, chunk, measure) = of(*index);
        if let Ok(reading) = measure.reading {
            column.read(pending.time, chunk.events[measure.event as usize].position, reading);
        }
    }
    column.close();
    Section::new(series, keys, column)
}
