//! A version: the whole state of the store as of one applied frontier, immutable. A reader takes one and keeps it for
//! as long as it reads; the writer publishes the next and waits for nobody.

use super::blocks::BlockFile;
use super::files::Kept;
use super::ledger::{Counters, Gone, MeterState, Times, Work};
use super::rollup::{MemoryRows, Run};
use super::tiers::{Part, Tiers};
use super::voids::Voids;
use crate::domain::metering::catalog::{Catalog, DEDUPE_WINDOW_DAYS};
use crate::domain::metering::{Batch, Chunk, Fate};
use crate::domain::position::{Frontier, Position};
use crate::domain::record::{Control, event_time};
use crate::domain::time::Instant;
use crate::ports::usage_store::KnownMeter;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Meter version → its state.
pub type States = BTreeMap<u128, MeterState>;

#[derive(Clone)]
pub struct Version {
    pub applied: Frontier,
    /// What was applied since the last freeze.
    pub live: Memory,
    /// Waiting to be sealed, oldest first.
    pub frozen: Vec<Arc<Frozen>>,
    pub runs: Arc<Vec<Arc<Kept<Run>>>>,
    /// By partition and position; their ranges do not overlap.
    pub files: Arc<Vec<Arc<Kept<BlockFile>>>>,
    /// Every record that is not an event.
    pub controls: Tiers<Vec<(Position, Control)>>,
    pub voids: Arc<Voids>,
    pub meters: Arc<Vec<KnownMeter>>,
    pub states: Arc<States>,
    pub counters: Counters,
    pub work: Work,
    /// Minute rows below this minute are not complete.
    pub minutes_from: i64,
    /// Raw events that retention removed.
    pub removed: Option<Times>,
    pub newest_accepted: Option<Instant>,
    pub dedupe_window_days: u32,
    /// Per partition, the last catalog that was looked at by [`Version::note_counting`].
    noted: BTreeMap<u32, Arc<Catalog>>,
}

/// What has been applied and is not on disk.
#[derive(Clone, Default)]
pub struct Memory {
    pub rows: Tiers<MemoryRows>,
    pub tail: Tiers<Tail>,
    pub controls: Tiers<Vec<(Position, Control)>>,
    /// Offsets covered, holes included.
    pub span: u64,
    /// Bytes of records.
    pub bytes: u64,
}

/// Neighbouring batches, in the order in which they were applied.
pub struct Tail {
    pub batches: Vec<Waiting>,
    /// How many events each meter version measured in them.
    pub measured: BTreeMap<u128, u64>,
}

/// A batch that is in no event file yet.
#[derive(Clone)]
pub struct Waiting {
    pub batch: Arc<Batch>,
    /// Where the times of its events lie, in nanoseconds, half-open.
    pub times: Range<i64>,
}

impl Waiting {
    /// Whether any of its events may lie in one of the stretches.
    pub fn may_hold(&self, stretches: &[Range<i64>]) -> bool {
        stretches.iter().any(|stretch| stretch.start < self.times.end && self.times.start < stretch.end)
    }
}

/// A memory that nothing is added to any more, and what was true when it was frozen.
pub struct Frozen {
    pub memory: Memory,
    pub covers: Frontier,
    pub counters: Counters,
}

impl Part for MemoryRows {
    fn join(parts: &[Arc<Self>]) -> Self {
        MemoryRows::merge(parts)
    }
}

impl Part for Tail {
    fn join(parts: &[Arc<Self>]) -> Self {
        let mut measured = BTreeMap::new();
        for (version, events) in parts.iter().flat_map(|part| &part.measured) {
            *measured.entry(*version).or_default() += events;
        }
        Self { batches: parts.iter().flat_map(|part| part.batches.iter().cloned()).collect(), measured }
    }
}

impl Part for Vec<(Position, Control)> {
    fn join(parts: &[Arc<Self>]) -> Self {
        parts.iter().flat_map(|part| part.iter().cloned()).collect()
    }
}

impl Memory {
    pub fn batches(&self) -> impl Iterator<Item = &Waiting> + '_ {
        self.tail.iter().flat_map(|part| &part.batches)
    }

    /// Bytes held, about.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes + self.rows.iter().map(|rows| rows.bytes() as u64).sum::<u64>()
    }
}

/// Where the times of a batch's events lie.
fn times(batch: &Batch) -> Range<i64> {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for chunk in &batch.chunks {
        for event in &chunk.events {
            let nanos = event_time(chunk.record(event)).unwrap_or(event.accepted_at).nanos();
            (first, last) = (first.min(nanos), last.max(nanos));
        }
    }
    first..last.saturating_add(1)
}

impl Version {
    /// An empty store.
    pub fn empty() -> Self {
        Self {
            applied: Frontier::default(),
            live: Memory::default(),
            frozen: Vec::new(),
            runs: Arc::default(),
            files: Arc::default(),
            controls: Tiers::default(),
            voids: Arc::default(),
            meters: Arc::default(),
            states: Arc::default(),
            counters: Counters::default(),
            work: Work::default(),
            minutes_from: i64::MIN,
            removed: None,
            newest_accepted: None,
            dedupe_window_days: DEDUPE_WINDOW_DAYS,
            noted: BTreeMap::new(),
        }
    }

    /// Everything in memory, oldest first.
    pub fn memories(&self) -> impl Iterator<Item = &Memory> + '_ {
        self.frozen.iter().map(|frozen| &frozen.memory).chain([&self.live])
    }

    /// Batches that are in no event file yet, in the order in which they were applied.
    pub fn tail(&self) -> impl Iterator<Item = &Waiting> + '_ {
        self.memories().flat_map(Memory::batches)
    }

    /// Takes up a batch that begins at the applied frontier, and the rows made of it. Cannot fail.
    pub fn take(&mut self, batch: Arc<Batch>, rows: MemoryRows, measured: BTreeMap<u128, u64>) {
        let mut controls = Vec::new();
        for chunk in &batch.chunks {
            self.take_controls(chunk, &mut controls);
            self.note_counting(batch.range.partition, chunk);
            self.count(chunk);
        }
        if !controls.is_empty() {
            self.controls.push(controls.clone());
            self.live.controls.push(controls);
        }
        self.applied.raise(batch.range.partition, batch.range.to);
        self.live.span += batch.range.span();
        self.live.bytes += batch.bytes() as u64;
        if rows.rows() > 0 {
            self.live.rows.push(rows);
        }
        let times = times(&batch);
        self.live.tail.push(Tail { batches: vec![Waiting { batch, times }], measured });
    }

    fn take_controls(&mut self, chunk: &Chunk, controls: &mut Vec<(Position, Control)>) {
        for (position, control) in &chunk.controls {
            let earlier_in_chunk = chunk.events.first().is_some_and(|event| event.at < position.offset);
            self.learn(*position, control, self.counters.stored() == 0 && !earlier_in_chunk);
            controls.push((*position, control.clone()));
        }
    }

    /// What a control record changes in the store. `nothing_before`: no event stands anywhere before it, so a new meter
    /// has no past to count.
    pub fn learn(&mut self, position: Position, control: &Control, nothing_before: bool) {
        match control {
            Control::MeterLive(meter) if !self.states.contains_key(&meter.version.0) => {
                let mut state = MeterState::live(position, self.removed);
                if nothing_before {
                    state.backfilled_to.raise(position.partition, position.offset);
                }
                Arc::make_mut(&mut self.states).insert(meter.version.0, state);
                self.noted.clear();
                let known = KnownMeter { meter: meter.clone(), live_at: position, gone: None };
                Arc::make_mut(&mut self.meters).push(known);
            }
            Control::MeterGone { version, at, .. } => self.learn_gone(position, version.0, *at),
            Control::Void(void) => Arc::make_mut(&mut self.voids).learn(position, void),
            Control::Settings { dedupe_window_days } => self.dedupe_window_days = *dedupe_window_days,
            _ => {}
        }
    }

    fn learn_gone(&mut self, position: Position, version: u128, at: Instant) {
        let mut below = self.applied.clone();
        below.set(position.partition, position.offset);
        let states = Arc::make_mut(&mut self.states);
        let Some(state) = states.get_mut(&version).filter(|state| state.gone.is_none()) else { return };
        state.gone = Some(Gone { at: position, below });
        let meters = Arc::make_mut(&mut self.meters);
        for known in meters.iter_mut().filter(|known| known.meter.version.0 == version) {
            known.gone = Some((position, at));
        }
    }

    /// Notes from where on a meter is counted in a partition other than the one of its `meter_live` record: from the
    /// first event that came with a catalog that has it.
    fn note_counting(&mut self, partition: u32, chunk: &Chunk) {
        let Some(first) = chunk.events.first() else { return };
        if self.noted.get(&partition).is_some_and(|catalog| Arc::ptr_eq(catalog, &chunk.catalog)) {
            return;
        }
        self.noted.insert(partition, chunk.catalog.clone());
        for live in &chunk.catalog.meters {
            let version = live.meter.version.0;
            let waits = self.states.get(&version).is_some_and(|state| !state.counted_from.contains_key(&partition));
            if let Some(state) = Arc::make_mut(&mut self.states).get_mut(&version).filter(|_| waits) {
                state.counted_from.insert(partition, first.at);
            }
        }
    }

    fn count(&mut self, chunk: &Chunk) {
        for event in &chunk.events {
            match event.fate {
                Fate::Duplicate { .. } => self.counters.duplicates += 1,
                Fate::Conflict { .. } => self.counters.conflicts += 1,
                Fate::Counts | Fate::Quarantined => self.counters.events += 1,
            }
        }
        let newest = chunk.events.iter().map(|event| event.accepted_at).max();
        self.newest_accepted = self.newest_accepted.max(newest);
    }

    /// Ends the live memory and puts it in the queue for sealing; false when nothing was in it.
    pub fn freeze(&mut self) -> bool {
        if self.live.span == 0 {
            return false;
        }
        let memory = std::mem::take(&mut self.live);
        let frozen = Frozen { memory, covers: self.applied.clone(), counters: self.counters };
        self.frozen.push(Arc::new(frozen));
        true
    }
}
