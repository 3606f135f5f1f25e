//! Handles into the running line: implemented in `actors`, handed out by `app`.

use super::stats::HistogramSnapshot;
use crate::domain::entitlement::standing::Given;
use crate::domain::position::Frontier;
use crate::domain::time::Instant;
use async_trait::async_trait;
use std::time::Duration;
use tokio::sync::watch;
use ulid::Ulid;

/// What a reader learns when it has waited for a frontier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Everything asked for is applied.
    Reached,
    /// The wait was bounded: the answer is what is applied, this many events behind.
    Behind { events: u64, seconds: u64 },
}

/// Makes "an accepted event is visible to the next query" true.
#[async_trait]
pub trait Freshness: Send + Sync {
    /// Waits until `target` is applied; `None`: the log's end as of now.
    async fn wait(&self, target: Option<Frontier>, at_most: Duration) -> Wait;
}

/// Drops what trackers remember of customers. Each call returns once no answer can come from the old state any more: a
/// load that had begun before is thrown away. Called after every write that can alter a balance and before that write
/// is answered, also when the commit's outcome is unknown.
#[async_trait]
pub trait Forget: Send + Sync {
    /// Of these customers.
    async fn customers(&self, namespace: &str, ids: &[Ulid]);

    /// Of whoever owns these subjects.
    async fn subjects(&self, namespace: &str, subjects: &[String]);

    /// Of every customer: a meter or a feature changed.
    async fn all(&self, namespace: &str);
}

/// What a check asks of a customer.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    pub namespace: &'a str,
    /// By id or key.
    pub customer: &'a str,
    /// Only this feature; `None`: everything that is active.
    pub feature_key: Option<&'a str>,
    /// What the answer must see; in any case it sees every acknowledged event of the customer.
    pub after: Option<Frontier>,
    /// Longest wait for that. Then the answer is what is applied.
    pub at_most: Duration,
}

/// What a customer's entitlements give, by feature key.
#[derive(Debug, Clone)]
pub struct Checked {
    pub at: Instant,
    pub given: Vec<Given>,
    /// Every event below it has its part in the numbers.
    pub applied: Frontier,
    pub wait: Wait,
}

/// The trackers: one for each customer that is asked for, with its balances in memory.
#[async_trait]
pub trait Trackers: Send + Sync {
    /// Answers from memory, as of now. `None`: no tracker can tell (there is no such customer, say, or the records are
    /// away); the records and the usage store know.
    async fn check(&self, check: &Check<'_>) -> Option<Checked>;

    /// Changes when the balances of a customer may have, by anything but time. As long as somebody keeps asking.
    fn changes(&self, customer: Ulid) -> watch::Receiver<u64>;

    fn snapshot(&self) -> TrackersSnapshot;
}

/// What the metrics and the actors page show of trackers.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct TrackersSnapshot {
    /// With balances in memory.
    pub live: u64,
    /// Still loading.
    pub loading: u64,
    /// Messages that wait in mailboxes.
    pub queued: u64,
    /// Everything below it has reached the trackers concerned.
    pub routed: Frontier,
    /// Started because somebody asked; of these, after a crash, a write or whatever else had dropped one.
    pub woken: u64,
    pub rebuilt: u64,
    /// Ended: nobody asked any more; there were too many; a write altered what they stood on; they panicked or could
    /// not go on.
    pub idle_stopped: u64,
    pub evicted: u64,
    pub forgotten: u64,
    pub crashed: u64,
    /// Stretches of the log that did not reach the trackers, so that all of them were dropped.
    pub gaps: u64,
    /// Usage handed to trackers.
    pub deltas: u64,
    /// Checks answered from memory, and those that no tracker could answer.
    pub answered: u64,
    pub passed_on: u64,
    /// Balances that were computed anew and compared, and how many differed.
    pub audited: u64,
    pub drifted: u64,
    pub check_seconds: HistogramSnapshot,
}

/// Why the line is not healthy, in words an operator can act on; `None` when it is.
pub type Sickness = Option<String>;

/// The line as seen from outside.
pub trait LineView: Send + Sync {
    /// The compiled graph with each stage's snapshot.
    fn snapshot(&self) -> LineSnapshot;

    /// Red when there is backlog and no progress for `stall_ms`.
    fn health(&self) -> Sickness;
}

/// Serializable: the actors page, the metrics and post-mortems all read this.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LineSnapshot {
    pub generation: u64,
    pub state: String,
    pub log_end: Frontier,
    pub applied: Frontier,
    pub durable: Frontier,
    pub backlog_events: u64,
    /// Age of the oldest record that is not applied, in milliseconds; 0 when there is none.
    pub freshness_ms: u64,
    pub in_flight_events: u64,
    pub rewinds: u64,
    pub line_restarts: u64,
    pub quarantined: u64,
    pub stages: Vec<StageSnapshot>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct StageSnapshot {
    pub name: String,
    pub kind: String,
    pub inputs: Vec<String>,
    pub width: usize,
    /// `running`, `restarting`, `stopped`.
    pub state: String,
    pub messages: u64,
    pub batches: u64,
    pub events: u64,
    pub busy_us: u64,
    /// Time spent waiting for room further down.
    pub blocked_us: u64,
    pub queue_depth: u64,
    pub restarts: u64,
    /// Reason → events.
    pub rejections: std::collections::BTreeMap<String, u64>,
    pub handler_seconds: super::stats::HistogramSnapshot,
    /// What this kind of stage adds.
    pub detail: serde_json::Value,
}
