//! A world in memory for tests of services and routes: a log that applies itself at once, a store that answers what it
//! was told to. It proves what the door and the services do; what the engine does is proved over the real one.

pub mod records;

use super::records::{Foundation, Records};
use super::{balances, meters};
use crate::domain::fault::Fault;
use crate::domain::metering::query::{
    EventIdentity, EventsQuery, MeterJob, QueryRefusal, StoredEvent, TextFilter, UsageQuery, UsageRow, ValuesQuery,
    Voided,
};
use crate::domain::metering::{Batch, Fate};
use crate::domain::position::{Frontier, Position, Range};
use crate::domain::record::{Control, Kind, Quarantined, decode_control, decode_event, peek};
use crate::domain::time::Instant;
use crate::ports::event_log::{Append, AppendError, Appended, LogSlice, LogSnapshot, Verify};
use crate::ports::line::{
    Check, Checked, Forget, Freshness, LineSnapshot, LineView, Sickness, Trackers, TrackersSnapshot, Wait,
};
use crate::ports::usage_store::{
    ApplyError, KnownMeter, QuarantineEntry, ReadError, StoreSnapshot, StoredConflict, UsageAnswer,
};
use crate::ports::{Clock, EventLog, UsageStore};
use crate::store::Database;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use ulid::Ulid;

/// Everything at once.
#[derive(Default)]
pub struct World {
    state: Mutex<State>,
}

/// What tests set and look at.
#[derive(Default)]
pub struct State {
    pub now: i64,
    pub next: u64,
    /// What `room` answers.
    pub refuse: Option<AppendError>,
    /// What `append` answers.
    pub fail: Option<AppendError>,
    pub behind: Option<(u64, u64)>,
    pub sick: Sickness,
    pub events: Vec<StoredEvent>,
    pub meters: Vec<KnownMeter>,
    pub quarantine: Vec<QuarantineEntry>,
    pub conflicts: Vec<StoredConflict>,
    /// Raw events before this are removed.
    pub raw_kept_from: Option<Instant>,
    /// What `usage` answers, and what it was asked last.
    pub rows: Vec<UsageRow>,
    pub asked: Option<UsageQuery>,
    pub asked_events: Option<EventsQuery>,
    /// What `dimension_values` and `event_counts` answer, and what the values were asked for last.
    pub values: Vec<String>,
    pub counts: Vec<(String, u64)>,
    pub asked_values: Option<ValuesQuery>,
    /// Backfills and removals.
    pub jobs: Vec<MeterJob>,
    pub waited_for: Option<Option<Frontier>>,
    /// Whose trackers were dropped, in order: `customer <id>`, `subject <key>`, `all`.
    pub forgotten: Vec<String>,
}

impl World {
    pub fn new(now: &str) -> Arc<Self> {
        let world = Self::default();
        world.with(|state| state.now = Instant::parse(now).expect("a time").nanos());
        Arc::new(world)
    }

    pub fn with<R>(&self, use_it: impl FnOnce(&mut State) -> R) -> R {
        use_it(&mut self.state.lock().expect("no test panics while it holds the world"))
    }

    /// The business records over this world. Their gate is open, whatever the database: the catalog can be read.
    pub fn records(self: &Arc<Self>, database: Database) -> Arc<Records> {
        let records = Records::new(Foundation {
            database,
            log: self.clone(),
            store: self.clone(),
            freshness: self.clone(),
            forget: self.clone(),
            trackers: self.clone(),
            clock: self.clone(),
            metering: meters::Settings::default(),
            balances: balances::Settings::default(),
        });
        records.gate.open();
        Arc::new(records)
    }

    /// Puts an event into quarantine and gives its position.
    pub fn poison(&self, record: Vec<u8>) -> Position {
        self.with(|state| {
            let position = Position::new(0, state.next);
            let event = Quarantined {
                position,
                accepted_at: Instant::from_nanos(state.now),
                stage: "validator".to_string(),
                reason: "it panicked".to_string(),
                record: crate::domain::record::RecordBytes(record),
            };
            let recorded_at = Position::new(0, state.next + 1);
            state.next += 2;
            state.quarantine.push(QuarantineEntry { recorded_at, event, redriven: None, dropped: None });
            position
        })
    }
}

impl State {
    fn take(&mut self, record: &[u8]) {
        let at = Position::new(0, self.next);
        self.next += 1;
        let (_, kind) = peek(record).expect("what is appended is a record");
        if kind == Kind::Event {
            self.events.push(self.stored(at, record));
            return;
        }
        match decode_control(record).expect("a control record") {
            // As in the real store, a repeated record changes nothing.
            Control::MeterLive(meter) => {
                if !self.meters.iter().any(|known| known.meter.version == meter.version) {
                    self.meters.push(KnownMeter { meter, live_at: at, gone: None });
                }
            }
            Control::MeterGone { version, at: when, .. } => {
                for known in self.meters.iter_mut().filter(|known| known.meter.version == version) {
                    known.gone = known.gone.or(Some((at, when)));
                }
            }
            Control::Redriven { position, .. } => self.entry(position).redriven = Some(at),
            Control::Dropped { position, .. } => self.entry(position).dropped = Some(at),
            Control::Void(void) => {
                for event in self.events.iter_mut().filter(|event| event.position == void.position) {
                    event.voided = event.voided.take().or(Some(Voided { by: at, reason: void.reason.clone() }));
                }
                let replacement = void.replacement.as_ref().map(|record| self.stored(at, &record.0));
                self.events.extend(replacement);
            }
            other => panic!("no test appends {other:?}"),
        }
    }

    fn entry(&mut self, position: Position) -> &mut QuarantineEntry {
        self.quarantine.iter_mut().find(|entry| entry.event.position == position).expect("it is quarantined")
    }

    fn stored(&self, position: Position, record: &[u8]) -> StoredEvent {
        let view = decode_event(record).expect("an event record");
        let accepted_at = Instant::from_nanos(self.now);
        StoredEvent {
            position,
            accepted_at,
            time: view.instant(accepted_at),
            fate: Fate::Counts,
            id: view.id.to_string(),
            source: view.source.to_string(),
            event_type: view.event_type.to_string(),
            subject: view.subject.to_string(),
            specversion: view.specversion.to_string(),
            time_text: view.time_text.map(str::to_string),
            dataschema: view.dataschema.map(str::to_string),
            datacontenttype: view.datacontenttype.map(str::to_string),
            extensions: view.extensions.to_string(),
            data: view.data.map(str::to_string),
            voided: None,
        }
    }
}

impl Clock for World {
    fn now(&self) -> Instant {
        self.with(|state| Instant::from_nanos(state.now))
    }
}

#[async_trait]
impl EventLog for World {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.with(|state| {
            if let Some(error) = state.fail.clone() {
                return Err(error);
            }
            let from = state.next;
            let mut at = 0;
            for length in &append.lengths {
                let end = at + *length as usize;
                state.take(&append.records[at..end]);
                at = end;
            }
            Ok(Appended {
                frontier: Frontier::at(0, state.next),
                ranges: vec![Range::new(0, from, state.next)],
                accepted_at: Instant::from_nanos(state.now),
            })
        })
    }

    fn room(&self) -> Result<(), AppendError> {
        self.with(|state| state.refuse.clone().map_or(Ok(()), Err))
    }

    async fn read(&self, _: Position, _: usize, _: usize) -> Result<LogSlice, Fault> {
        panic!("the door does not read the log")
    }

    fn durable_end(&self) -> Frontier {
        self.with(|state| Frontier::at(0, state.next))
    }

    fn growth(&self) -> watch::Receiver<Frontier> {
        panic!("the door does not follow the log")
    }

    fn start(&self) -> Frontier {
        Frontier::default()
    }

    async fn controls_from(&self, _: &Frontier) -> Result<Vec<(Position, Instant, Control)>, Fault> {
        panic!("the door does not read the log")
    }

    async fn release(&self, _: &Frontier, _: &Verify<'_>) -> Result<(), Fault> {
        panic!("the door does not release segments")
    }

    fn snapshot(&self) -> LogSnapshot {
        LogSnapshot::default()
    }
}

#[async_trait]
impl UsageStore for World {
    async fn apply(&self, _: Batch) -> Result<(), ApplyError> {
        panic!("the door does not write to the store")
    }

    fn applied(&self) -> Frontier {
        self.durable_end()
    }

    fn applied_changes(&self) -> watch::Receiver<Frontier> {
        panic!("the door does not follow the store")
    }

    fn durable(&self) -> Frontier {
        self.durable_end()
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsageAnswer, ReadError> {
        let applied = self.durable_end();
        self.with(|state| {
            state.asked = Some(query);
            Ok(UsageAnswer { rows: state.rows.clone(), applied })
        })
    }

    async fn events(&self, query: EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        self.with(|state| {
            let mut found: Vec<_> = state.events.iter().filter(|event| passes(&query, event)).cloned().collect();
            found.sort_by_key(|event| query.order.cursor(event));
            if query.order.descending {
                found.reverse();
            }
            let is_after = |event: &StoredEvent| {
                query.after.is_none_or(|after| query.order.precedes(after, query.order.cursor(event)))
            };
            found.retain(is_after);
            found.truncate(query.limit);
            state.asked_events = Some(query);
            Ok(found)
        })
    }

    async fn winners(&self, identity: EventIdentity) -> Result<Vec<StoredEvent>, ReadError> {
        let is_meant = |event: &&StoredEvent| {
            (&event.source, &event.id) == (&identity.source, &identity.id)
                && matches!(event.fate, Fate::Counts | Fate::Quarantined)
                && identity.time.is_none_or(|time| event.time == time)
        };
        Ok(self.with(|state| state.events.iter().filter(is_meant).cloned().collect()))
    }

    fn correctable(&self, time: Instant) -> Result<(), QueryRefusal> {
        let kept_from = self.with(|state| state.raw_kept_from);
        match kept_from.filter(|kept_from| time < *kept_from) {
            Some(from) => Err(QueryRefusal::RawRemoved { kept_from: from.to_rfc3339(), whole: "hour" }),
            None => Ok(()),
        }
    }

    async fn dimension_values(&self, query: ValuesQuery) -> Result<Vec<String>, ReadError> {
        self.with(|state| {
            state.asked_values = Some(query);
            Ok(state.values.clone())
        })
    }

    async fn event_counts(&self, _: &str, _: Instant) -> Result<Vec<(String, u64)>, ReadError> {
        Ok(self.with(|state| state.counts.clone()))
    }

    async fn conflicts(
        &self,
        _: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<StoredConflict>, ReadError> {
        let below = |conflict: &&StoredConflict| before.is_none_or(|before| conflict.event.position < before);
        Ok(self.with(|state| state.conflicts.iter().rev().filter(below).take(limit).cloned().collect()))
    }

    fn controls(&self) -> Arc<Vec<(Position, Control)>> {
        Arc::new(Vec::new())
    }

    fn meters(&self) -> Arc<Vec<KnownMeter>> {
        Arc::new(self.with(|state| state.meters.clone()))
    }

    fn quarantine(&self) -> Vec<QuarantineEntry> {
        self.with(|state| state.quarantine.clone())
    }

    async fn close(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn snapshot(&self) -> StoreSnapshot {
        StoreSnapshot { jobs: self.with(|state| state.jobs.clone()), ..StoreSnapshot::default() }
    }
}

/// Whether the events list asks for this event; periods are not looked at.
fn passes(query: &EventsQuery, event: &StoredEvent) -> bool {
    let accept = |filters: &[TextFilter], text: &str| filters.iter().all(|filter| filter.accepts(text));
    let is_asked = match &query.identity {
        Some((source, id)) => event.id == *id && source.as_ref().is_none_or(|source| event.source == *source),
        None => query.subjects.as_ref().is_none_or(|subjects| subjects.contains(&event.subject)),
    };
    is_asked
        && accept(&query.id, &event.id)
        && accept(&query.source, &event.source)
        && accept(&query.subject, &event.subject)
        && accept(&query.event_type, &event.event_type)
        && query.time.iter().all(|filter| filter.accepts(event.time))
        && query.ingested_at.iter().all(|filter| filter.accepts(event.accepted_at))
}

#[async_trait]
impl Freshness for World {
    async fn wait(&self, target: Option<Frontier>, _: Duration) -> Wait {
        self.with(|state| {
            state.waited_for = Some(target);
            state.behind.map_or(Wait::Reached, |(events, seconds)| Wait::Behind { events, seconds })
        })
    }
}

#[async_trait]
impl Forget for World {
    async fn customers(&self, _: &str, ids: &[Ulid]) {
        self.with(|state| state.forgotten.extend(ids.iter().map(|id| format!("customer {id}"))));
    }

    async fn subjects(&self, _: &str, subjects: &[String]) {
        self.with(|state| state.forgotten.extend(subjects.iter().map(|subject| format!("subject {subject}"))));
    }

    async fn all(&self, _: &str) {
        self.with(|state| state.forgotten.push("all".to_string()));
    }
}

/// Nobody is tracked.
#[async_trait]
impl Trackers for World {
    async fn check(&self, _: &Check<'_>) -> Option<Checked> {
        None
    }

    fn changes(&self, _: Ulid) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn snapshot(&self) -> TrackersSnapshot {
        TrackersSnapshot::default()
    }
}

impl LineView for World {
    fn snapshot(&self) -> LineSnapshot {
        LineSnapshot {
            generation: 3,
            state: "running".to_string(),
            log_end: self.durable_end(),
            applied: self.durable_end(),
            durable: self.durable_end(),
            backlog_events: 0,
            freshness_ms: 0,
            in_flight_events: 0,
            rewinds: 0,
            line_restarts: 0,
            quarantined: 0,
            stages: Vec::new(),
        }
    }

    fn health(&self) -> Sickness {
        self.with(|state| state.sick.clone())
    }
}
