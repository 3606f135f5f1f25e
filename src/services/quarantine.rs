//! Quarantine: events that made a stage panic, looked at, taken up again, or given up.
//!
//! What becomes of one is decided once: a redrive or a drop that stands in the log is final.

use super::controls::{Changed, Controls};
use crate::domain::position::Position;
use crate::domain::record::{Control, decode_event};
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

    /// A namespace's entries, by position.
    pub fn list(&self, namespace: &str) -> Vec<QuarantineEntry> {
        let mut entries = self.store.quarantine();
        entries.retain(|entry| concerns(entry, namespace));
        entries.sort_by_key(|entry| entry.event.position);
        entries
    }

    pub fn get(&self, namespace: &str, position: Position) -> Result<QuarantineEntry, QuarantineError> {
        let is_it = |entry: &QuarantineEntry| entry.event.position == position && concerns(entry, namespace);
        let entry = self.store.quarantine().into_iter().find(is_it);
        entry.ok_or(QuarantineError::NotFound(position))
    }

    /// Takes the event up again, under its old position: from now on it counts.
    pub async fn redrive(&self, namespace: &str, position: Position) -> Result<Changed, QuarantineError> {
        let turn = self.controls.turn().await?;
        let entry = self.undecided(namespace, position)?;
        let accepted_at = entry.event.accepted_at;
        let subject = decode_event(&entry.event.record.0).ok().map(|event| event.subject.to_string());
        let changed = turn.make(&Control::Redriven { position, accepted_at, record: entry.event.record }).await?;
        self.controls.forget_subjects(namespace, subject.into_iter().collect(), &changed).await;
        Ok(changed)
    }

    /// Gives the event up: it will never count.
    pub async fn drop(&self, namespace: &str, position: Position, reason: String) -> Result<Changed, QuarantineError> {
        let turn = self.controls.turn().await?;
        self.undecided(namespace, position)?;
        Ok(turn.make(&Control::Dropped { position, reason }).await?)
    }

    fn undecided(&self, namespace: &str, event: Position) -> Result<QuarantineEntry, QuarantineError> {
        let entry = self.get(namespace, event)?;
        match (entry.redriven, entry.dropped) {
            (Some(by), _) => Err(QuarantineError::Redriven { event, by }),
            (None, Some(by)) => Err(QuarantineError::Dropped { event, by }),
            (None, None) => Ok(entry),
        }
    }
}

/// Whether the namespace may see it. A record that cannot be read does not say whose it is: every namespace may.
fn concerns(entry: &QuarantineEntry, namespace: &str) -> bool {
    decode_event(&entry.event.record.0).map_or(true, |event| event.namespace == namespace)
}
