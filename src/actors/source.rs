//! Source: reads the log as the line orders it, and makes batches of it.
//!
//! Receives read orders from the conductor. Sends one batch for each, with every record's position and accepted-at, the
//! catalog of meters that counts there, and the fate of events in quarantine. Holds the catalog as a fold over the
//! control records so far; after a restart or rewind it is built anew from those the store has. Loses nothing: what
//! was sent and not applied is ordered again.

use super::runtime::machine::{Input, ReadOrder};
use super::runtime::quarantine::QuarantineLedger;
use super::runtime::{self, Context, Flow, Interrupt, Stage};
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::{Batch, Catalog, Chunk, Event, Fate};
use crate::domain::position::{Frontier, Position, Range};
use crate::domain::record::{Control, Kind, RecordError, decode_control};
use crate::domain::time::Instant;
use crate::pipeline::{self, Insane};
use crate::ports::event_log::{LogChunk, LogRecord};
use crate::ports::stats::Counter;
use crate::ports::{EventLog, UsageStore};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What a user may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Events that one read may bring.
    pub batch_events_max: u64,
    /// Bytes that one read may bring; a single larger record is read all the same.
    pub batch_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_events_max: 4_000, batch_bytes_max: 4 << 20 }
    }
}

impl pipeline::Settings for Settings {
    fn validate(&self) -> Vec<Insane> {
        let mut insane = Vec::new();
        Insane::unless(self.batch_events_max >= 1, "batch_events_max", "must be at least 1", &mut insane);
        Insane::unless(self.batch_bytes_max >= 1_024, "batch_bytes_max", "must be at least 1024", &mut insane);
        insane
    }
}

/// When the oldest events under way were accepted: what freshness is told by.
#[derive(Debug, Default)]
pub struct Marks(Mutex<BTreeMap<(u32, u64), Instant>>);

impl Marks {
    fn sent(&self, range: Range, accepted_at: Instant, applied: &Frontier) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|(partition, to), _| *to > applied.next(*partition));
        marks.insert((range.partition, range.to), accepted_at);
    }

    /// Forgets what `applied` has, and says when the oldest of the rest was accepted.
    pub fn oldest(&self, applied: &Frontier) -> Option<Instant> {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|(partition, to), _| *to > applied.next(*partition));
        marks.values().min().copied()
    }
}

/// Makes sources; see [`runtime::Blueprint`].
pub struct Blueprint {
    pub settings: Settings,
    pub log: Arc<dyn EventLog>,
    pub store: Arc<dyn UsageStore>,
    pub key: HashKey,
    pub ledger: Arc<Mutex<QuarantineLedger>>,
    pub marks: Arc<Marks>,
    pub counters: Arc<Counters>,
}

/// What the source counts besides the usual.
#[derive(Debug, Default)]
pub struct Counters {
    events: Counter,
    controls: Counter,
    redriven: Counter,
    passed_over: Counter,
    catalogs_built: Counter,
}

impl runtime::Blueprint<ReadOrder> for Blueprint {
    fn build(&self) -> Box<dyn Stage<ReadOrder>> {
        Box::new(Source {
            bytes_max: usize::try_from(self.settings.batch_bytes_max).unwrap_or(usize::MAX),
            log: self.log.clone(),
            store: self.store.clone(),
            key: self.key,
            ledger: self.ledger.clone(),
            marks: self.marks.clone(),
            counters: self.counters.clone(),
            lanes: HashMap::new(),
        })
    }

    fn snapshot(&self) -> serde_json::Value {
        let counters = &self.counters;
        serde_json::json!({
            "events": counters.events.get(),
            "controls": counters.controls.get(),
            "redriven": counters.redriven.get(),
            "passed_over": counters.passed_over.get(),
            "catalogs_built": counters.catalogs_built.get(),
        })
    }
}

/// See the module.
pub struct Source {
    // wiring
    bytes_max: usize,
    log: Arc<dyn EventLog>,
    store: Arc<dyn UsageStore>,
    key: HashKey,
    ledger: Arc<Mutex<QuarantineLedger>>,
    marks: Arc<Marks>,
    // work in progress
    lanes: HashMap<u32, Lane>,
    // counters
    counters: Arc<Counters>,
}

/// How far one partition's records are folded.
struct Lane {
    next: u64,
    catalog: Arc<Catalog>,
    /// Where the catalog last changed: from there on it need not be built again after a rewind.
    changed_at: u64,
}

#[async_trait(?Send)]
impl Stage<ReadOrder> for Source {
    async fn handle(&mut self, order: ReadOrder, cx: &Context) -> Flow {
        let events_max = usize::try_from(order.events_max).unwrap_or(usize::MAX);
        let slice = cx.attempt(order.generation, || self.log.read(order.from, events_max, self.bytes_max)).await?;
        let partition = order.from.partition;
        let to = slice.range.to.min(order.until);
        let range = Range::new(partition, order.from.offset, to.max(order.from.offset));
        cx.works_on(order.generation, range);
        let mut lane = self.lane_at(order.from)?;
        let mut batch = Batch { generation: order.generation, range, chunks: Vec::with_capacity(slice.chunks.len()) };
        for chunk in slice.chunks {
            self.fold(chunk, &mut lane, &mut batch).map_err(|(at, error)| unreadable(at, &error))?;
        }
        lane.next = range.to;
        self.lanes.insert(partition, lane);
        if let Some(first) = batch.chunks.iter().find_map(|chunk| chunk.events.first()) {
            self.marks.sent(range, first.accepted_at, &self.store.applied());
        }
        // Said before it is sent: an acknowledgement must not come before the batch is known.
        cx.shared.report(Input::ReadDone { generation: order.generation, range, events: batch.events() as u64 });
        cx.stats.batches.inc();
        cx.stats.events.add(batch.events() as u64);
        if range.is_empty() { Ok(()) } else { cx.forward(batch) }
    }
}

impl Source {
    /// The fold as of `from`: the one at hand, or built from the records that the store has.
    fn lane_at(&mut self, from: Position) -> Result<Lane, Interrupt> {
        if let Some(lane) = self.lanes.remove(&from.partition)
            && (lane.next == from.offset || (lane.changed_at < from.offset && from.offset < lane.next))
        {
            return Ok(lane);
        }
        if !self.store.applied().covers(&Frontier::at(from.partition, from.offset)) {
            return Err(Interrupt::Rewind(format!("the store has less than {from}")));
        }
        self.counters.catalogs_built.inc();
        let mut lane = Lane { next: from.offset, catalog: Arc::new(Catalog::empty(self.key)), changed_at: 0 };
        for (position, control) in
            self.store.controls().iter().filter(|(p, _)| p.partition == from.partition && p.offset < from.offset)
        {
            lane.take_up(*position, control);
        }
        Ok(lane)
    }

    /// Appends a log chunk's records to the batch, as far as its range goes.
    fn fold(&self, source: LogChunk, lane: &mut Lane, batch: &mut Batch) -> Result<(), (Position, RecordError)> {
        let range = batch.range;
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunk = next_chunk(&source.bytes, lane);
        chunk.events.reserve(source.records.len());
        for record in source.records.iter().filter(|record| range.from <= record.offset && record.offset < range.to) {
            let at = Position::new(range.partition, record.offset);
            let bytes =
                source.bytes.get(record.start as usize..record.end as usize).ok_or((at, RecordError::Lengths))?;
            let kind = bytes.get(4).copied().ok_or((at, RecordError::Lengths))?;
            if kind == Kind::Event as u8 {
                let passed_over = !ledger.is_empty() && ledger.passes_over(at, at);
                chunk.events.push(self.event(record, at, passed_over));
                continue;
            }
            Kind::from_byte(kind).ok_or((at, RecordError::UnknownKind(kind)))?;
            let control = decode_control(bytes).map_err(|error| (at, error))?;
            self.counters.controls.inc();
            ledger.record(at, &control);
            if lane.take_up(at, &control) {
                close(&mut chunk, next_chunk(&source.bytes, lane), batch);
            }
            match brought(at, record, &control, &ledger) {
                Some((own, event)) => {
                    self.counters.redriven.add(u64::from(event.position != at));
                    self.counters.passed_over.add(u64::from(event.fate == Fate::Quarantined));
                    close(&mut chunk, next_chunk(&own, lane), batch);
                    chunk.events.push(event);
                    chunk.controls.push((at, control));
                    close(&mut chunk, next_chunk(&source.bytes, lane), batch);
                }
                None => chunk.controls.push((at, control)),
            }
        }
        close(&mut chunk, next_chunk(&Bytes::new(), lane), batch);
        Ok(())
    }

    fn event(&self, record: &LogRecord, at: Position, passed_over: bool) -> Event {
        self.counters.events.inc();
        self.counters.passed_over.add(u64::from(passed_over));
        let fate = if passed_over { Fate::Quarantined } else { Fate::Counts };
        Event {
            start: record.start,
            end: record.end,
            at: at.offset,
            position: at,
            accepted_at: record.accepted_at,
            fate,
        }
    }
}

impl Lane {
    /// True when the catalog is another one from here on.
    fn take_up(&mut self, at: Position, control: &Control) -> bool {
        let Some(catalog) = self.catalog.with(at, control) else { return false };
        self.catalog = Arc::new(catalog);
        self.changed_at = at.offset;
        true
    }
}

fn next_chunk(bytes: &Bytes, lane: &Lane) -> Chunk {
    Chunk::new(bytes.clone(), lane.catalog.clone())
}

/// Ends a chunk and goes on with the next one; an empty one leaves no trace.
fn close(chunk: &mut Chunk, next: Chunk, batch: &mut Batch) {
    let done = std::mem::replace(chunk, next);
    if !done.events.is_empty() || !done.controls.is_empty() {
        batch.chunks.push(done);
    }
}

/// The event that a control record brings, in bytes of its own; `None` when there is none that counts. A redrive takes
/// one up under its old position; the replacement of a voided one stands where the void does.
fn brought(at: Position, record: &LogRecord, control: &Control, ledger: &QuarantineLedger) -> Option<(Bytes, Event)> {
    debug_assert_eq!(at.offset, record.offset);
    let (position, accepted_at, fate, bytes) = match control {
        Control::Redriven { position, accepted_at, record } if ledger.redrive_counts(*position, at) => {
            (*position, *accepted_at, Fate::Counts, record)
        }
        Control::Void(void) => {
            let fate = if ledger.passes_over(at, at) { Fate::Quarantined } else { Fate::Counts };
            (at, record.accepted_at, fate, void.replacement.as_ref()?)
        }
        _ => return None,
    };
    let end = u32::try_from(bytes.0.len()).expect("a record is smaller than 4 GiB");
    let event = Event { start: 0, end, at: at.offset, position, accepted_at, fate };
    Some((Bytes::copy_from_slice(&bytes.0), event))
}

/// A record that this binary cannot read stops the line: skipping it would count wrongly.
fn unreadable(at: Position, error: &RecordError) -> Interrupt {
    Interrupt::Fault(Fault::give_up("log", format!("the record at {at} cannot be read: {error}")))
}
