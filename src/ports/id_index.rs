//! The id index: which position won an id.
//!
//! Contract, run against every implementation: the first position to claim an id wins; the same position again is let
//! through (a replay); another position inside the window is a duplicate (same digest) or a conflict; positions after
//! the one that asks do not exist for it, so a replay decides the same as the first run did.

use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::time::Instant;
use async_trait::async_trait;

/// One event that wants its id.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest {
    /// `HashKey::event_id` of namespace, source and id.
    pub id: u128,
    /// `digest::payload_digest` of the event.
    pub digest: u32,
    pub position: Position,
    pub accepted_at: Instant,
    /// How long an id is remembered as of this record, in nanoseconds: a winner accepted less than this before
    /// `accepted_at` still owns it.
    pub window_ns: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Won,
    /// This very position had won it before: a replay.
    WonBefore,
    Duplicate {
        winner: Position,
    },
    Conflict {
        winner: Position,
    },
}

/// What the metrics and the actors page show.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct IndexSnapshot {
    pub durable: Frontier,
    pub hot_ids: u64,
    pub sealed_ids: u64,
    pub runs: u64,
    pub expired_ids: u64,
    pub expired_runs: u64,
    pub seals: u64,
    pub merges: u64,
    /// Filters asked and blocks read, over all lookups so far.
    pub lookups: u64,
    pub filters_asked: u64,
    pub blocks_read: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

#[async_trait]
pub trait IdIndex: Send + Sync {
    /// Claims ids in position order, one answer each. One round trip for the whole batch. Either all claims are made
    /// or, on a fault, any of them may be: claiming again is safe.
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, Fault>;

    /// Everything claimed below this survives a crash.
    fn durable(&self) -> Frontier;

    fn snapshot(&self) -> IndexSnapshot;
}
