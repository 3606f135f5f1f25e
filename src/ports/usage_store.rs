//! The usage store: what the line writes and queries read.
//!
//! Contract, run against every implementation by `tests/adapters/usage_store.rs`: a batch below the applied frontier
//! is acknowledged and dropped, across it applied from the frontier on, beyond it refused; a batch is applied whole or
//! not at all; a query sees exactly the events below the applied frontier it was started at.

use crate::domain::fault::Fault;
use crate::domain::metering::query::{
    EventIdentity, EventsQuery, MeterJob, QueryRefusal, StoredEvent, UsageQuery, UsageRow, ValuesQuery,
};
use crate::domain::metering::{Batch, Meter};
use crate::domain::position::{Frontier, Position, Range};
use crate::domain::record::Control;
use crate::domain::time::Instant;
use async_trait::async_trait;
use std::sync::Arc;

/// Why a batch was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApplyError {
    /// Something before it is missing: rewind to `applied`.
    #[error("the batch {range} begins beyond the applied frontier {applied}")]
    Gap { range: Range, applied: Frontier },
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a read was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Refused(#[from] QueryRefusal),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Rows, and the state they were read from.
#[derive(Debug, Clone)]
pub struct UsageAnswer {
    pub rows: Vec<UsageRow>,
    pub applied: Frontier,
}

/// A meter version that the store knows.
#[derive(Debug, Clone)]
pub struct KnownMeter {
    pub meter: Arc<Meter>,
    pub live_at: Position,
    /// When and where it was deleted.
    pub gone: Option<(Position, Instant)>,
}

/// A conflict: an event under an id that another event won.
#[derive(Debug, Clone)]
pub struct StoredConflict {
    pub event: StoredEvent,
    pub winner: Position,
}

/// A quarantined event and what became of it.
#[derive(Debug, Clone)]
pub struct QuarantineEntry {
    pub recorded_at: Position,
    pub event: crate::domain::record::Quarantined,
    pub redriven: Option<Position>,
    pub dropped: Option<Position>,
}

/// What the metrics and the actors page show.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct StoreSnapshot {
    pub applied: Frontier,
    pub durable: Frontier,
    pub events: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    /// Events that counted and count no longer.
    pub voided: u64,
    pub seals: u64,
    pub merges: u64,
    /// Hour and day rows made by merging, and minute runs that were merged away.
    pub hour_rows: u64,
    pub day_rows: u64,
    pub dropped_minute_runs: u64,
    pub runs: u64,
    pub block_files: u64,
    pub blocks_read: u64,
    pub blocks_removed: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub merge_bytes_in: u64,
    pub merge_bytes_out: u64,
    pub merge_backlog: u64,
    /// Files of seals and merges that the last end left unfinished: dropped at this start.
    pub unfinished_files_dropped: u64,
    pub jobs: Vec<MeterJob>,
}

#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Applies a batch by position. Waits when sealing is behind: that is the line's backpressure.
    async fn apply(&self, batch: Batch) -> Result<(), ApplyError>;

    /// What queries see.
    fn applied(&self) -> Frontier;

    /// Changes whenever the applied frontier has moved.
    fn applied_changes(&self) -> tokio::sync::watch::Receiver<Frontier>;

    /// What survives a crash: where the line reads on from.
    fn durable(&self) -> Frontier;

    /// Tells `UsageQuery::progress` what it reads besides rollups.
    async fn usage(&self, query: UsageQuery) -> Result<UsageAnswer, ReadError>;

    /// Events that pass, in the query's order. One that came again or conflicts is listed only where one event is
    /// asked for by its identity; what is in quarantine is listed too.
    async fn events(&self, query: EventsQuery) -> Result<Vec<StoredEvent>, ReadError>;

    /// The events that won this identity, whatever became of them since, by position.
    async fn winners(&self, identity: EventIdentity) -> Result<Vec<StoredEvent>, ReadError>;

    /// Whether an event of this time may be voided: whether the cells it is in can be derived again without it.
    ///
    /// # Errors
    /// Raw events that this takes were removed by retention, or are about to be.
    fn correctable(&self, time: Instant) -> Result<(), QueryRefusal>;

    /// The distinct values, by byte order; a group value that is missing is "".
    async fn dimension_values(&self, query: ValuesQuery) -> Result<Vec<String>, ReadError>;

    /// How many events count that happened at `from` or later, by subject, in its byte order.
    async fn event_counts(&self, namespace: &str, from: Instant) -> Result<Vec<(String, u64)>, ReadError>;

    /// Conflicts below `before` (or all), newest first.
    async fn conflicts(
        &self,
        namespace: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<StoredConflict>, ReadError>;

    /// Every control record below the applied frontier, in position order.
    fn controls(&self) -> Arc<Vec<(Position, Control)>>;

    /// Every meter version, live or gone, by the order of its `meter_live` record.
    fn meters(&self) -> Arc<Vec<KnownMeter>>;

    fn quarantine(&self) -> Vec<QuarantineEntry>;

    /// Makes everything applied durable and closes: an orderly stop.
    async fn close(&self) -> Result<(), Fault>;

    fn snapshot(&self) -> StoreSnapshot;
}
