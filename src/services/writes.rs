//! One business write: one transaction with everything that belongs to it, then its publication.
//!
//! The idempotency key is taken first, so that a repeat waits for the first and gets its answer. Then the work itself,
//! the control records it decided (into the outbox), the audit, the kept answer, and the commit. A refusal leaves
//! nothing behind. Nothing is retried here once the work has begun: every failure before the commit is definite, and
//! transactions that wait for each other's rows only ever do so in one order (key, entity, outbox), so they do not
//! lock each other out.

use super::controls::Changed;
use super::ids::Ids;
use super::publisher::Publisher;
use crate::domain::fault::Fault;
use crate::domain::record::Control;
use crate::domain::time::Instant;
use crate::ports::Clock;
use crate::ports::event_log::AppendError;
use crate::store::audit::{self, AuditEntry};
use crate::store::database::{begin, commit};
use crate::store::idempotency::{self, Answer, Claim};
use crate::store::{CommitError, Database, Transaction, outbox};
use std::convert::Infallible;
use std::sync::Arc;

/// Who wants something, as the door knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub namespace: String,
    pub request_id: String,
    pub actor: String,
    pub idempotency: Option<IdempotencyKey>,
}

/// Names a request, so that it can be repeated without being done twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 characters.
    pub key: String,
    /// Of method, path and body.
    pub request_hash: u128,
}

/// The answer as a repeat gets it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The HTTP status.
    pub status: u16,
    /// JSON text, or empty.
    pub body: String,
}

/// What a transaction did.
#[derive(Debug, Clone)]
pub struct Done {
    pub kept: Kept,
    pub audit: Vec<Change>,
    /// What goes into the log, in this order.
    pub controls: Vec<Control>,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `meter.create`
    pub operation: &'static str,
    /// `meter`
    pub entity_kind: &'static str,
    pub entity_id: String,
    /// The entity as JSON; absent when there was none.
    pub before: Option<String>,
    /// Likewise; absent when there is none any more.
    pub after: Option<String>,
}

/// A write that is durable.
#[derive(Debug, Clone)]
pub struct Answered {
    pub kept: Kept,
    /// Whether this is the answer to an earlier request with the same key.
    pub replayed: bool,
    /// Where its records are in the log and whether the line has applied them; `None` when it had none.
    pub effect: Option<Changed>,
}

/// Why the work stops. Nothing of it is kept.
#[derive(Debug, Clone)]
pub enum Stop<E> {
    Refused(E),
    Fault(Fault),
}

impl<E> From<Fault> for Stop<E> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Why a write was not answered. `E`: the operation's own refusals.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError<E> {
    #[error("{0}")]
    Refused(E),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Nothing was kept.
    #[error("{0}")]
    Fault(Fault),
    /// The connection ended during the commit: everything was kept, or nothing. A repeat with the same key finds out.
    #[error("unknown outcome: {0}")]
    Unknown(Fault),
    /// Kept, but the log has not taken its records yet; they are tried again until it does.
    #[error("kept, but not in effect yet: {0}")]
    NotLive(AppendError),
}

impl<E> WriteError<E> {
    /// The operation's own refusal, or what went wrong besides.
    pub fn refusal(self) -> Result<E, WriteError<Infallible>> {
        Err(match self {
            Self::Refused(refusal) => return Ok(refusal),
            Self::KeyReused => WriteError::KeyReused,
            Self::Fault(fault) => WriteError::Fault(fault),
            Self::Unknown(fault) => WriteError::Unknown(fault),
            Self::NotLive(error) => WriteError::NotLive(error),
        })
    }
}

impl<E> From<Fault> for WriteError<E> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<E> From<Stop<E>> for WriteError<E> {
    fn from(stop: Stop<E>) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::Refused(refusal),
            Stop::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// Makes business writes.
pub struct Writes {
    database: Database,
    clock: Arc<dyn Clock>,
    publisher: Arc<Publisher>,
    /// Of the audit's entries.
    ids: Ids,
}

/// What is committed, or was committed by an earlier request with the same key.
struct Committed {
    kept: Kept,
    replayed: bool,
    /// Whether records went into the outbox.
    announced: bool,
}

impl Writes {
    pub fn new(database: Database, clock: Arc<dyn Clock>, publisher: Arc<Publisher>) -> Self {
        Self { database, clock, publisher, ids: Ids::default() }
    }

    /// Does the work in one transaction, together with its key, its outbox and its audit, and answers once the line
    /// has its records. `work` gets the time in whole microseconds, as rows give it back.
    pub async fn write<E>(
        &self,
        caller: &Caller,
        work: impl AsyncFnOnce(&Transaction<'_>, Instant) -> Result<Done, Stop<E>>,
    ) -> Result<Answered, WriteError<E>> {
        let Committed { kept, replayed, announced } = self.transact(caller, work).await?;
        // The connection is back in the pool: the publisher takes its own. A repeat publishes too, since the first
        // request may have been told that its records are not in effect yet.
        let effect = match announced {
            true => self.publisher.publish().await.map_err(|error| WriteError::NotLive(error.into()))?,
            false => None,
        };
        Ok(Answered { kept, replayed, effect })
    }

    async fn transact<E>(
        &self,
        caller: &Caller,
        work: impl AsyncFnOnce(&Transaction<'_>, Instant) -> Result<Done, Stop<E>>,
    ) -> Result<Committed, WriteError<E>> {
        let mut client = self.database.client().await?;
        let tx = begin(&mut client).await?;
        let now = self.clock.now().floor_to_micros();
        if let Some(IdempotencyKey { key, request_hash }) = &caller.idempotency {
            match idempotency::claim(&tx, &caller.namespace, key, *request_hash, now).await? {
                Claim::New => idempotency::prune(&tx, now).await?,
                Claim::Other => return Err(WriteError::KeyReused),
                Claim::Answered(Answer { status, body, outbox_seq }) => {
                    let announced = outbox_seq.is_some();
                    return Ok(Committed { kept: Kept { status, body }, replayed: true, announced });
                }
            };
        }
        let Done { kept, audit, controls } = work(&tx, now).await?;
        let mut outbox_seq = None;
        for control in &controls {
            outbox_seq = Some(outbox::push(&tx, &caller.namespace, control, now).await?);
        }
        for change in audit {
            audit::push(&tx, &self.entry(caller, change, now)).await?;
        }
        if let Some(IdempotencyKey { key, .. }) = &caller.idempotency {
            let answer = Answer { status: kept.status, body: kept.body.clone(), outbox_seq };
            idempotency::keep(&tx, &caller.namespace, key, &answer).await?;
        }
        commit(tx).await.map_err(|error| match error {
            CommitError::Refused(fault) => WriteError::Fault(fault),
            CommitError::Unknown(fault) => {
                self.publisher.look();
                WriteError::Unknown(fault)
            }
        })?;
        Ok(Committed { kept, replayed: false, announced: outbox_seq.is_some() })
    }

    fn entry(&self, caller: &Caller, change: Change, at: Instant) -> AuditEntry {
        AuditEntry {
            id: self.ids.next(at),
            namespace: caller.namespace.clone(),
            at,
            actor: caller.actor.clone(),
            request_id: caller.request_id.clone(),
            operation: change.operation.to_string(),
            entity_kind: change.entity_kind.to_string(),
            entity_id: change.entity_id,
            before: change.before,
            after: change.after,
        }
    }
}

#[cfg(test)]
mod tests;
