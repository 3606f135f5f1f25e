//! The audit: who changed what, newest first.

use super::gate::Gate;
use crate::domain::fault::Fault;
use crate::store::{Database, audit};
use std::sync::Arc;
use ulid::Ulid;

pub use crate::store::audit::{AuditEntry, AuditQuery};

/// What was written down with every change.
pub struct Audit {
    database: Database,
    gate: Arc<Gate>,
}

/// Entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// What [`AuditQuery::before`] has to be for the next page; `None`: this is the last one.
    pub next: Option<Ulid>,
}

impl Audit {
    pub fn new(database: Database, gate: Arc<Gate>) -> Self {
        Self { database, gate }
    }

    /// At most `query.limit` entries that pass.
    pub async fn list(&self, query: AuditQuery) -> Result<AuditPage, Fault> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let limit = query.limit;
        let mut entries = audit::list(&client, &AuditQuery { limit: limit.saturating_add(1), ..query }).await?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(AuditPage { next: entries.last().filter(|_| more).map(|entry| entry.id), entries })
    }
}

#[cfg(test)]
mod tests;
