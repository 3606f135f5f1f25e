//! Usage: meter queries and the events list, with what belongs to both tiers alike.

use crate::domain::metering::Aggregation;
use crate::domain::metering::progress::ProgressSnapshot;
use crate::domain::metering::query::{
    EventsQuery, MeterJob, StoredEvent, UsageQuery, UsageRow, ValuesQuery, order_rows,
};
use crate::domain::position::Position;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use crate::ports::UsageStore;
use crate::ports::usage_store::{ReadError, StoredConflict, UsageAnswer};
use std::sync::Arc;

/// What the usage store knows.
pub struct Usage {
    store: Arc<dyn UsageStore>,
}

impl Usage {
    pub fn new(store: Arc<dyn UsageStore>) -> Self {
        Self { store }
    }

    /// A meter's usage, in the order clients rely on. Counting nothing, without windows and groups, is one row with 0: clients rely on it.
    pub async fn query(&self, query: UsageQuery) -> Result<UsageAnswer, ReadError> {
        let (nothing, windowed) = (zero_row(&query), query.window.is_some());
        let mut answer = self.store.usage(query).await?;
        if answer.rows.is_empty() {
            answer.rows.extend(nothing);
        }
        order(&mut answer.rows, windowed);
        Ok(answer)
    }

    /// Events, in the order that is asked for.
    pub async fn events(&self, query: EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        self.store.events(query).await
    }

    /// The values of a dimension, by byte order.
    pub async fn dimension_values(&self, query: ValuesQuery) -> Result<Vec<String>, ReadError> {
        self.store.dimension_values(query).await
    }

    /// How many events count that happened at `from` or later, by subject.
    pub async fn event_counts(&self, namespace: &str, from: Instant) -> Result<Vec<(String, u64)>, ReadError> {
        self.store.event_counts(namespace, from).await
    }

    /// How far the past of a live meter has been counted.
    pub fn backfill(&self, meter_id: &str) -> Option<ProgressSnapshot> {
        let jobs = self.store.snapshot().jobs;
        let job = jobs.into_iter().find(|job| job.kind == "backfill" && job.meter_id == meter_id)?;
        let MeterJob { done, total, finished, .. } = job;
        Some(ProgressSnapshot { total_events: total, done_events: done, finished })
    }

    /// Conflicts below `before`, newest first.
    pub async fn conflicts(
        &self,
        namespace: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<StoredConflict>, ReadError> {
        self.store.conflicts(namespace, before, limit).await
    }
}

/// Without windows each row begins at its own first event, which says nothing about order: subject and groups alone do.
fn order(rows: &mut [UsageRow], windowed: bool) {
    match windowed {
        true => order_rows(rows),
        false => rows.sort_by(UsageRow::order_in_window),
    }
}

/// The row of COUNT and UNIQUE_COUNT over nothing. Bounds that were not asked for are the epoch's first minute.
fn zero_row(query: &UsageQuery) -> Option<UsageRow> {
    let counts = matches!(query.meter.aggregation, Aggregation::Count | Aggregation::UniqueCount);
    (counts && !query.is_grouped() && query.window.is_none()).then(|| UsageRow {
        window_start: query.from.unwrap_or(Instant::from_nanos(0)),
        window_end: query.to.unwrap_or(Instant::from_nanos(MINUTE_NS)),
        subject: None,
        customer: None,
        groups: Vec::new(),
        value: Quantity::ZERO,
    })
}
