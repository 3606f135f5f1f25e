//! The publisher: what the outbox holds goes into the log, in order, and is then deleted.
//!
//! Appending comes first, deleting second. Whatever fails in between, the rows are appended again later, which is
//! harmless: a meter version is known by its own id, so the line takes each record once. One publisher works at a
//! time, in this process by its turn, over all processes by the outbox's lock.

use super::controls::{APPLY_WAIT_MAX_MS, Changed};
use crate::domain::fault::Fault;
use crate::domain::record::{Control, encode_control};
use crate::ports::EventLog;
use crate::ports::event_log::{Append, AppendError, Appended};
use crate::ports::line::Freshness;
use crate::store::database::{begin, commit};
use crate::store::{CommitError, Database, Transaction, outbox};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// Most records in one append.
const APPEND_RECORDS_MAX: usize = 1_000;
/// How often the outbox is looked at unasked, in milliseconds: a request that was given up between its commit and its
/// publication leaves rows that nobody announces.
const LOOK_EVERY_MS: u64 = 5_000;
/// The first pause after a failure, in milliseconds; it doubles up to [`LOOK_EVERY_MS`].
const BACKOFF_MS: u64 = 100;
/// What a caller is told to wait when the database failed after its commit, in seconds.
const RETRY_AFTER_S: u32 = 2;

/// Why open rows are not in the log, or not known to be. They stay open, and [`Publisher::run`] tries again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Database(#[from] Fault),
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl From<PublishError> for AppendError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Log(error) => error,
            PublishError::Database(fault) => Self::Refused { reason: fault.to_string(), retry_after_s: RETRY_AFTER_S },
        }
    }
}

/// Takes rows from the outbox to the log.
pub struct Publisher {
    database: Database,
    log: Arc<dyn EventLog>,
    freshness: Arc<dyn Freshness>,
    /// Whose turn it is, and what was appended last.
    turn: Mutex<Option<Appended>>,
    look: Notify,
}

impl Publisher {
    pub fn new(database: Database, log: Arc<dyn EventLog>, freshness: Arc<dyn Freshness>) -> Self {
        Self { database, log, freshness, turn: Mutex::default(), look: Notify::new() }
    }

    /// Appends every open row and waits, at most [`APPLY_WAIT_MAX_MS`], until the line has applied the last one: also
    /// when somebody else was faster. `None`: nothing was open, and this process has never published anything.
    pub async fn publish(&self) -> Result<Option<Changed>, PublishError> {
        let bound = Duration::from_millis(APPLY_WAIT_MAX_MS);
        let mut turn = self.turn.lock().await;
        if let Some(appended) = self.append_open().await? {
            *turn = Some(appended.clone());
            drop(turn);
            let wait = self.freshness.wait(Some(appended.frontier.clone()), bound).await;
            return Ok(Some(Changed { appended, wait }));
        }
        let last = turn.clone();
        drop(turn);
        // Taken by another turn, or by another process: it lies below the log's end as of now.
        let end = self.log.durable_end();
        let wait = self.freshness.wait(None, bound).await;
        Ok(last.map(|last| Changed { appended: Appended { frontier: end, ..last }, wait }))
    }

    /// Publishes rows that nobody waits for, until it is cancelled. The caller has published what was open at start.
    pub async fn run(self: Arc<Self>) {
        let mut pause_ms = LOOK_EVERY_MS;
        loop {
            tokio::select! {
                () = self.look.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
            }
            let failed_before = pause_ms < LOOK_EVERY_MS;
            match self.flush().await {
                Ok(()) => pause_ms = LOOK_EVERY_MS,
                Err(error) if failed_before => {
                    tracing::debug!(%error, "the outbox is still not published");
                    pause_ms = (pause_ms * 2).min(LOOK_EVERY_MS);
                }
                Err(error) => {
                    tracing::warn!(%error, "changes wait in the outbox; trying again");
                    pause_ms = BACKOFF_MS;
                }
            }
        }
    }

    /// Has [`Publisher::run`] look at the outbox now: rows may be open that nobody waits for.
    pub fn look(&self) {
        self.look.notify_one();
    }

    async fn flush(&self) -> Result<(), PublishError> {
        let mut turn = self.turn.lock().await;
        if let Some(appended) = self.append_open().await? {
            *turn = Some(appended);
        }
        Ok(())
    }

    /// Appends what is open; what the log said last, `None` when nothing was open.
    async fn append_open(&self) -> Result<Option<Appended>, PublishError> {
        let mut last = None;
        let mut more = true;
        while more {
            let step = self.append_some().await.inspect_err(|_| self.look())?;
            more = step.as_ref().is_some_and(|(_, more)| *more);
            last = step.map(|(appended, _)| appended).or(last);
        }
        Ok(last)
    }

    /// One append. With it, whether more rows may be open.
    async fn append_some(&self) -> Result<Option<(Appended, bool)>, PublishError> {
        let mut client = self.database.client().await?;
        let tx = begin(&mut client).await?;
        let (seqs, controls): (Vec<i64>, Vec<Control>) =
            outbox::open(&tx, APPEND_RECORDS_MAX).await?.into_iter().unzip();
        if seqs.is_empty() {
            return Ok(None);
        }
        let appended = self.log.append(encode(&controls)).await?;
        let full = seqs.len() == APPEND_RECORDS_MAX;
        match forget(tx, &seqs).await {
            Ok(()) => Ok(Some((appended, full))),
            Err(error) => {
                tracing::warn!(%error, "published rows stay in the outbox and will be appended again");
                self.look();
                Ok(Some((appended, false)))
            }
        }
    }
}

fn encode(controls: &[Control]) -> Append {
    let mut append = Append::default();
    for control in controls {
        let start = append.records.len();
        encode_control(control, &mut append.records);
        append.lengths.push(u32::try_from(append.records.len() - start).expect("a control record is small"));
    }
    append
}

async fn forget(tx: Transaction<'_>, seqs: &[i64]) -> Result<(), CommitError> {
    outbox::done(&tx, seqs).await.map_err(CommitError::Refused)?;
    commit(tx).await
}

#[cfg(test)]
mod tests;
