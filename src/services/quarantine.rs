//! Quarantine: events that made a stage panic, looked at, taken up again, or given up.
//!
//! What becomes of one is decided once: a redrive or a drop that stands in the log is final.

use super::controls::{Changed, Controls};
use crate::domain::position::Position;
use crate::domain::record::Control;
use crate::ports::UsageStore;
use crate::ports::event_log::AppendError;
use crate::ports::usage_store::QuarantineEntry;
use std::sync::Arc;

/// Why an operation on a quarantined event was refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QuarantineError {
    #[error("no quarantined event at position {0}")]
    NotFound(Position),
    #[error("the event at {event} was already redriven, by the record at {by}")]
    Redriven { event: Position, by: Position },
    #[error("the event at {event} was already dropped, by the record at {by}")]
    Dropped { event: Position, by: Position },
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// The quarantine as the store has applied it.
pub struct Quarantine {
    store: Arc<dyn UsageStore>,
    controls: Arc<Controls>,
}

impl Quarantine {
    pub fn new(store: Arc<dyn UsageStore>, controls: Arc<Controls>) -> Self {
        Self { store, controls }
    }

    /// All entries, by position.
    pub fn list(&self) -> Vec<QuarantineEntry> {
        let mut entries = self.store.quarantine();
        entries.sort_by_key(|entry| entry.event.position);
        entries
    }

    pub fn get(&self, position: Position) -> Result<QuarantineEntry, QuarantineError> {
        let entry = self.store.quarantine().into_iter().find(|entry| entry.event.position == position);
        entry.ok_or(QuarantineError::NotFound(position))
    }

    /// Takes the event up again, under its old position: from now on it counts.
    pub async fn redrive(&self, position: Position) -> Result<Changed, QuarantineError> {
        let turn = self.controls.turn().await?;
        let entry = self.undecided(position)?;
        let accepted_at = entry.event.accepted_at;
        Ok(turn.make(&Control::Redriven { position, accepted_at, record: entry.event.record }).await?)
    }

    /// Gives the event up: it will never count.
    pub async fn drop(&self, position: Position, reason: String) -> Result<Changed, QuarantineError> {
        let turn = self.controls.turn().await?;
        self.undecided(position)?;
        Ok(turn.make(&Control::Dropped { position, reason }).await?)
    }

    fn undecided(&self, event: Position) -> Result<QuarantineEntry, QuarantineError> {
        let entry = self.get(event)?;
        match (entry.redriven, entry.dropped) {
            (Some(by), _) => Err(QuarantineError::Redriven { event, by }),
            (None, Some(by)) => Err(QuarantineError::Dropped { event, by }),
            (None, None) => Ok(entry),
        }
    }
}
