//! The event log: where an acknowledged event is durable.
//!
//! Contract, run against every implementation by `tests/adapters/event_log.rs`, with three partitions and holes:
//! an appended batch is whole or not there; positions grow; nothing is read before it is durable; what was durable is
//! there after any crash; accepted-at never goes back within a partition.

use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position, Range};
use crate::domain::record::Control;
use crate::domain::time::Instant;
use async_trait::async_trait;
use bytes::Bytes;

/// Encoded records on their way into the log: all become durable together, or none.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Records as `domain::record` encodes them, one after the other.
    pub records: Vec<u8>,
    /// Length of each record in `records`, in order.
    pub lengths: Vec<u32>,
}

/// What the log says once the records are durable.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Just past the records: what `X-Weir-Position` carries.
    pub frontier: Frontier,
    pub ranges: Vec<Range>,
    pub accepted_at: Instant,
}

/// Why an append was not acknowledged. The two are never mixed up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Said before the append began: nothing was kept. Try again after `retry_after_s`.
    #[error("not accepted: {reason}")]
    Refused { reason: String, retry_after_s: u32 },
    /// The sync failed or timed out: the events may or may not be there. Retry with the same ids, which is safe.
    #[error("unknown outcome: {reason}; retry with the same ids, which is safe")]
    Unknown { reason: String },
}

/// Records read back.
#[derive(Debug, Clone)]
pub struct LogSlice {
    /// What was read, holes included: reading goes on at `range.to`.
    pub range: Range,
    /// In position order. Every record lies in one of these buffers.
    pub chunks: Vec<LogChunk>,
}

/// Records that share one buffer.
#[derive(Debug, Clone)]
pub struct LogChunk {
    pub bytes: Bytes,
    pub records: Vec<LogRecord>,
}

/// One record in a chunk's bytes, length and kind included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRecord {
    pub offset: u64,
    pub accepted_at: Instant,
    pub start: u32,
    pub end: u32,
}

/// What the metrics and the actors page show.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct LogSnapshot {
    /// Oldest offset kept and the durable end, per partition.
    pub start: Frontier,
    pub end: Frontier,
    pub segments: u64,
    pub bytes: u64,
    pub appended_events: u64,
    pub appended_bytes: u64,
    pub queued_appends: u64,
    pub refused_appends: u64,
    pub failed_syncs: u64,
    pub deleted_segments: u64,
    /// Bytes cut off as a torn tail when the log was opened.
    pub torn_bytes_cut: u64,
    pub sync_seconds: super::stats::HistogramSnapshot,
}

/// Says whether the store has every record of a slice, byte for byte.
pub type Verify<'a> = dyn Fn(&LogSlice) -> Result<bool, Fault> + Sync + 'a;

#[async_trait]
pub trait EventLog: Send + Sync {
    /// Makes the records durable, then answers.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Whether an append would be taken right now; the reason when not. Asked before a body is read.
    fn room(&self) -> Result<(), AppendError>;

    /// Reads on from `from`: up to `events_max` records and about `bytes_max` bytes, at least one record when there is
    /// one. An empty range when `from` is at the durable end.
    async fn read(&self, from: Position, events_max: usize, bytes_max: usize) -> Result<LogSlice, Fault>;

    /// The durable end: nothing at or beyond it is ever read.
    fn durable_end(&self) -> Frontier;

    /// Changes whenever the durable end has grown.
    fn growth(&self) -> tokio::sync::watch::Receiver<Frontier>;

    /// The oldest offset still kept, per partition.
    fn start(&self) -> Frontier;

    /// All control records at or beyond `from`, with positions and accepted-at, without going through events one by one.
    async fn controls_from(&self, from: &Frontier) -> Result<Vec<(Position, Instant, Control)>, Fault>;

    /// What lies below may be deleted, segment by segment, as far as `verify` agrees: it is given the segment's slice,
    /// part by part, and says whether the store has every record of it, byte for byte.
    async fn release(&self, below: &Frontier, verify: &Verify<'_>) -> Result<(), Fault>;

    fn snapshot(&self) -> LogSnapshot;
}
