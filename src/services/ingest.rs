//! Ingest: checked and encoded events become durable, or the caller is told that they did not, or may not have.

use crate::ports::EventLog;
use crate::ports::event_log::{Append, AppendError, Appended};
use std::sync::Arc;

/// The way of events into the log.
pub struct Ingest {
    log: Arc<dyn EventLog>,
}

impl Ingest {
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log }
    }

    /// Asked before a body is read: a door that cannot take events does no work for them.
    pub fn room(&self) -> Result<(), AppendError> {
        self.log.room()
    }

    /// Answers once the events are durable. Nothing to append is durable at once, at the log's end.
    pub async fn append(&self, append: Append) -> Result<crate::domain::position::Frontier, AppendError> {
        if append.lengths.is_empty() {
            return Ok(self.log.durable_end());
        }
        let Appended { frontier, .. } = self.log.append(append).await?;
        Ok(frontier)
    }
}
