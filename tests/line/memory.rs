//! Small ports in memory: a log with one partition and holes, an exact id index, and a store that remembers the fate and
//! the measures of every event. They keep what the contracts say, and nothing else.
#![allow(dead_code)] // each test file uses its own part

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use weir::actors::LinePorts;
use weir::domain::digest::HashKey;
use weir::domain::fault::Fault;
use weir::domain::metering::query::{EventIdentity, EventsQuery, QueryRefusal, StoredEvent, UsageQuery, ValuesQuery};
use weir::domain::metering::{Aggregation, Batch, Fate, Meter};
use weir::domain::position::{Frontier, Position, Range, Standing};
use weir::domain::record::{Control, EventView, Kind, decode_control, encode_control, encode_event, peek};
use weir::domain::time::Instant;
use weir::ports::event_log::{Append, AppendError, Appended, LogChunk, LogRecord, LogSlice, LogSnapshot, Verify};
use weir::ports::id_index::{Claim, ClaimRequest, IndexSnapshot};
use weir::ports::usage_store::{
    ApplyError, KnownMeter, QuarantineEntry, ReadError, StoreSnapshot, StoredConflict, UsageAnswer,
};
use weir::ports::{Clock, EventLog, IdIndex, UsageStore};

pub const KEY: HashKey = HashKey(7, 11);

/// A clock that moves by one millisecond whenever it is read.
#[derive(Default)]
pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.fetch_add(1_000_000, Ordering::Relaxed))
    }
}

/// See the module.
pub struct MemoryLog {
    records: Mutex<BTreeMap<u64, Bytes>>,
    end: watch::Sender<Frontier>,
    /// Reads that fail from now on, with a verdict to try again.
    pub failing_reads: AtomicU64,
}

impl MemoryLog {
    pub fn new() -> Self {
        Self { records: Mutex::default(), end: watch::channel(Frontier::at(0, 0)).0, failing_reads: AtomicU64::new(0) }
    }

    fn push(&self, records: Vec<Bytes>) -> Range {
        let mut all = self.records.lock().unwrap();
        let from = self.end.borrow().next(0);
        let mut offset = from;
        for record in records {
            all.insert(offset, record);
            // Every seventh offset is a hole, as if an append had failed there.
            offset += if offset % 7 == 5 { 2 } else { 1 };
        }
        self.end.send_replace(Frontier::at(0, offset));
        Range::new(0, from, offset)
    }

    pub fn append_controls(&self, controls: &[Control]) -> Range {
        let encode = |control: &Control| {
            let mut bytes = Vec::new();
            encode_control(control, &mut bytes);
            Bytes::from(bytes)
        };
        self.push(controls.iter().map(encode).collect())
    }

    pub fn append_events(&self, ids: &[String]) -> Range {
        self.push(ids.iter().map(|id| event(id)).collect())
    }

    /// All records, in order.
    pub fn records(&self) -> Vec<(u64, Bytes)> {
        self.records.lock().unwrap().iter().map(|(offset, bytes)| (*offset, bytes.clone())).collect()
    }

    pub fn controls(&self) -> Vec<(Position, Control)> {
        let control = |(offset, bytes): (u64, Bytes)| {
            let (_, kind) = peek(&bytes).unwrap();
            (kind != Kind::Event).then(|| (Position::new(0, offset), decode_control(&bytes).unwrap()))
        };
        self.records().into_iter().filter_map(control).collect()
    }
}

/// An event of type `call` whose data is one number, the length of its id.
pub fn event(id: &str) -> Bytes {
    let data = format!("{{\"n\":{}}}", id.len());
    let view = EventView {
        namespace: "default",
        id,
        source: "test",
        event_type: "call",
        subject: "acme",
        specversion: "1.0",
        time_text: None,
        time: None,
        dataschema: None,
        datacontenttype: None,
        extensions: "",
        data: Some(&data),
    };
    let mut bytes = Vec::new();
    encode_event(&view, &mut bytes);
    Bytes::from(bytes)
}

/// A meter that sums `n` over events of type `call`.
pub fn meter() -> Control {
    Control::MeterLive(Arc::new(Meter {
        id: ulid::Ulid(1),
        version: ulid::Ulid(2),
        namespace: "default".to_owned(),
        slug: "calls".to_owned(),
        name: "calls".to_owned(),
        description: None,
        aggregation: Aggregation::Sum,
        event_type: "call".to_owned(),
        event_from: None,
        value_property: Some("$.n".to_owned()),
        group_by: BTreeMap::new(),
        metadata: None,
        created_at: Instant::from_nanos(0),
        updated_at: Instant::from_nanos(0),
    }))
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut rest = Bytes::from(append.records);
        let range = self.push(append.lengths.iter().map(|length| rest.split_to(*length as usize)).collect());
        Ok(Appended { frontier: Frontier::at(0, range.to), ranges: vec![range], accepted_at: Instant::from_nanos(0) })
    }

    fn room(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn read(&self, from: Position, events_max: usize, _: usize) -> Result<LogSlice, Fault> {
        let fails = |left: u64| left.checked_sub(1);
        if self.failing_reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return Err(Fault::retry("log", "the disk coughs"));
        }
        let records = self.records.lock().unwrap();
        let taken: Vec<(u64, Bytes)> =
            records.range(from.offset..).take(events_max).map(|(o, b)| (*o, b.clone())).collect();
        let end = self.end.borrow().next(0);
        let to = records
            .range(taken.last().map_or(end, |(offset, _)| offset + 1)..)
            .next()
            .map_or(end, |(offset, _)| *offset);
        // Two buffers, so that a batch has more than one chunk.
        let chunks = taken.chunks(taken.len().div_ceil(2).max(1)).map(chunk).collect();
        Ok(LogSlice { range: Range::new(0, from.offset, to.max(from.offset)), chunks })
    }

    fn durable_end(&self) -> Frontier {
        self.end.borrow().clone()
    }

    fn growth(&self) -> watch::Receiver<Frontier> {
        self.end.subscribe()
    }

    fn start(&self) -> Frontier {
        Frontier::at(0, 0)
    }

    async fn controls_from(&self, from: &Frontier) -> Result<Vec<(Position, Instant, Control)>, Fault> {
        let beyond = self.controls().into_iter().filter(|(position, _)| !from.has(*position));
        Ok(beyond.map(|(position, control)| (position, Instant::from_nanos(0), control)).collect())
    }

    async fn release(&self, _: &Frontier, _: &Verify<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn snapshot(&self) -> LogSnapshot {
        LogSnapshot::default()
    }
}

fn chunk(records: &[(u64, Bytes)]) -> LogChunk {
    let mut bytes = Vec::new();
    let mut placed = Vec::new();
    for (offset, record) in records {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(record);
        placed.push(LogRecord {
            offset: *offset,
            accepted_at: Instant::from_nanos(*offset as i64),
            start,
            end: bytes.len() as u32,
        });
    }
    LogChunk { bytes: Bytes::from(bytes), records: placed }
}

/// Who claimed an id first in log order; what comes later in the log does not exist for a claim.
#[derive(Default)]
pub struct MemoryIndex {
    winners: Mutex<HashMap<u128, (Position, u32)>>,
    pub failing_claims: AtomicU64,
}

#[async_trait]
impl IdIndex for MemoryIndex {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, Fault> {
        let fails = |left: u64| left.checked_sub(1);
        if self.failing_claims.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return Err(Fault::give_up("id index", "a run cannot be read"));
        }
        let mut winners = self.winners.lock().unwrap();
        let claim = |request: &ClaimRequest| {
            let known = winners.get(&request.id).copied().filter(|(winner, _)| *winner <= request.position);
            match known {
                None => {
                    winners.insert(request.id, (request.position, request.digest));
                    Claim::Won
                }
                Some((winner, _)) if winner == request.position => Claim::WonBefore,
                Some((winner, digest)) if digest == request.digest => Claim::Duplicate { winner },
                Some((winner, _)) => Claim::Conflict { winner },
            }
        };
        Ok(requests.iter().map(claim).collect())
    }

    fn durable(&self) -> Frontier {
        Frontier::default()
    }

    fn snapshot(&self) -> IndexSnapshot {
        IndexSnapshot { hot_ids: self.winners.lock().unwrap().len() as u64, ..IndexSnapshot::default() }
    }
}

/// What the store keeps of one event: its fate, and how many meters counted it.
pub type Stored = BTreeMap<(u64, Position), (Fate, usize)>;

#[derive(Default)]
struct Kept {
    events: Stored,
    controls: Arc<Vec<(Position, Control)>>,
}

/// See the module.
pub struct MemoryStore {
    kept: Mutex<Kept>,
    applied: watch::Sender<Frontier>,
    pub applies: AtomicU64,
    pub failing_applies: AtomicU64,
    /// While set, `apply` waits.
    pub held: watch::Sender<bool>,
}

impl MemoryStore {
    pub fn new() -> Self {
        let applied = watch::channel(Frontier::at(0, 0)).0;
        Self {
            kept: Mutex::default(),
            applied,
            applies: AtomicU64::new(0),
            failing_applies: AtomicU64::new(0),
            held: watch::channel(false).0,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// By the offset of the record that brought the event, and the event's own position.
    pub fn events(&self) -> Stored {
        self.kept().events.clone()
    }

    /// Throws away whatever it has at and beyond `offset`.
    pub fn forget_from(&self, offset: u64) {
        let mut kept = self.kept();
        kept.events.retain(|(at, _), _| *at < offset);
        let controls = kept.controls.iter().filter(|(position, _)| position.offset < offset).cloned().collect();
        kept.controls = Arc::new(controls);
        self.applied.send_replace(Frontier::at(0, offset));
    }
}

#[async_trait]
impl UsageStore for MemoryStore {
    async fn apply(&self, mut batch: Batch) -> Result<(), ApplyError> {
        let mut held = self.held.subscribe();
        held.wait_for(|held| !*held).await.expect("the store is there");
        let fails = |left: u64| left.checked_sub(1);
        if self.failing_applies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return Err(Fault::retry("usage store", "no space left").into());
        }
        let mut kept = self.kept();
        let applied = self.applied.borrow().clone();
        match applied.standing(&batch.range) {
            Standing::Gap => return Err(ApplyError::Gap { range: batch.range, applied }),
            Standing::Below => return Ok(()),
            Standing::Across => batch.drop_before(applied.next(0)),
            Standing::Next => {}
        }
        let mut controls = (*kept.controls).clone();
        for chunk in &batch.chunks {
            controls.extend(chunk.controls.iter().cloned());
            for (index, event) in chunk.events.iter().enumerate() {
                let measures = chunk.measures.iter().filter(|m| m.event as usize == index && m.reading.is_ok()).count();
                let before = kept.events.insert((event.at, event.position), (event.fate, measures));
                assert!(before.is_none(), "{} was applied twice", event.position);
            }
        }
        kept.controls = Arc::new(controls);
        self.applies.fetch_add(1, Ordering::Relaxed);
        self.applied.send_replace(Frontier::at(0, batch.range.to));
        Ok(())
    }

    fn applied(&self) -> Frontier {
        self.applied.borrow().clone()
    }

    fn applied_changes(&self) -> watch::Receiver<Frontier> {
        self.applied.subscribe()
    }

    fn durable(&self) -> Frontier {
        self.applied()
    }

    async fn usage(&self, _: UsageQuery) -> Result<UsageAnswer, ReadError> {
        unreachable!("the line asks no queries")
    }

    async fn events(&self, _: EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        unreachable!("the line asks no queries")
    }

    async fn winners(&self, _: EventIdentity) -> Result<Vec<StoredEvent>, ReadError> {
        unreachable!("the line asks no queries")
    }

    fn correctable(&self, _: Instant) -> Result<(), QueryRefusal> {
        unreachable!("the line asks no queries")
    }

    async fn dimension_values(&self, _: ValuesQuery) -> Result<Vec<String>, ReadError> {
        unreachable!("the line asks no queries")
    }

    async fn event_counts(&self, _: &str, _: Instant) -> Result<Vec<(String, u64)>, ReadError> {
        unreachable!("the line asks no queries")
    }

    async fn conflicts(&self, _: &str, _: Option<Position>, _: usize) -> Result<Vec<StoredConflict>, ReadError> {
        unreachable!("the line asks no queries")
    }

    fn controls(&self) -> Arc<Vec<(Position, Control)>> {
        self.kept().controls.clone()
    }

    fn meters(&self) -> Arc<Vec<KnownMeter>> {
        Arc::default()
    }

    fn quarantine(&self) -> Vec<QuarantineEntry> {
        Vec::new()
    }

    async fn close(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn snapshot(&self) -> StoreSnapshot {
        StoreSnapshot { events: self.kept().events.len() as u64, ..StoreSnapshot::default() }
    }
}

/// A world in memory.
pub struct World {
    pub log: Arc<MemoryLog>,
    pub index: Arc<MemoryIndex>,
    pub store: Arc<MemoryStore>,
}

impl World {
    pub fn new() -> Self {
        Self { log: Arc::new(MemoryLog::new()), index: Arc::default(), store: Arc::new(MemoryStore::new()) }
    }

    /// One meter, then events with these ids.
    pub fn with_events(ids: &[String]) -> Self {
        let world = Self::new();
        world.log.append_controls(&[meter()]);
        world.log.append_events(ids);
        world
    }

    pub fn ports(&self) -> LinePorts {
        LinePorts {
            log: self.log.clone(),
            index: self.index.clone(),
            store: self.store.clone(),
            registry: None,
            clock: Arc::new(TestClock::default()),
            key: KEY,
        }
    }

    /// What a sequential run over the log leaves in the store, computed from the records alone: each id counts at its
    /// first position, or, when that is in quarantine, at its first redrive.
    pub fn reference(&self) -> Stored {
        let controls = self.log.controls();
        let quarantined = |position: Position| {
            controls.iter().any(|(_, control)| matches!(control, Control::Quarantined(q) if q.position == position))
        };
        let (mut winners, mut redriven, mut stored) = (HashMap::new(), Vec::new(), Stored::new());
        for (offset, bytes) in self.log.records() {
            let at = Position::new(0, offset);
            match peek(&bytes).unwrap().1 {
                Kind::Event => {
                    let id = weir::domain::record::decode_event(&bytes).unwrap().id.to_owned();
                    let winner = *winners.entry(id).or_insert(at);
                    let fate = match winner == at {
                        _ if quarantined(at) => Fate::Quarantined,
                        true => Fate::Counts,
                        false => Fate::Duplicate { winner },
                    };
                    // The validator stands before the deduper: it reads duplicates too, the store does not count them.
                    stored.insert((offset, at), (fate, usize::from(fate != Fate::Quarantined)));
                }
                Kind::Redriven => {
                    let Control::Redriven { position, .. } = decode_control(&bytes).unwrap() else { unreachable!() };
                    if quarantined(position) && !redriven.contains(&position) {
                        redriven.push(position);
                        stored.insert((offset, position), (Fate::Counts, 1));
                    }
                }
                _ => {}
            }
        }
        stored
    }
}

/// Distinct ids with a repetition now and then.
pub fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| if n % 10 == 9 { format!("id-{}", n - 7) } else { format!("id-{n}") }).collect()
}
