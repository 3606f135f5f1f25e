//! Startup: what has to be true before the business records are open.
//!
//! Database reached → schema up to date → the records are this log's → open outbox rows in the log → the line has applied the log → the log's and
//! the database's meters are the same ones → meters of the file exist → gate open. Each step can be repeated without
//! doing anything twice, so whatever fails for now, everything is tried again; and a start after an orderly stop finds
//! nothing to do. The door takes events meanwhile.
//!
//! Meters that only the log has come from a weir that kept them there alone, or the database is a fresh one: they are
//! taken over. Meters that only the database has come from a fresh data directory: the log is told of them.

use super::controls::APPLY_WAIT_MAX_MS;
use super::meters::{gone, newest_versions};
use super::meters_file::{self, Ensured, MetersFileError};
use super::publisher::PublishError;
use super::records::Records;
use crate::domain::fault::{Fault, Verdict};
use crate::domain::metering::Meter;
use crate::domain::metering::meter::MeterDraft;
use crate::domain::record::Control;
use crate::domain::time::Instant;
use crate::ports::line::Wait;
use crate::ports::usage_store::KnownMeter;
use crate::store::database::{begin, commit};
use crate::store::meters::StoredMeter;
use crate::store::{CommitError, Transaction, event_log, meters, outbox};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use ulid::Ulid;

/// The first pause after a step that failed for now, in milliseconds; it doubles up to [`PAUSE_MAX_MS`].
const PAUSE_MS: u64 = 100;
/// Longest pause between two tries, in milliseconds.
const PAUSE_MAX_MS: u64 = 2_000;

/// What is to be started.
pub struct Parts {
    pub records: Arc<Records>,
    /// The event log that the records go with.
    pub event_log: EventLogId,
    /// The namespace that the API serves.
    pub namespace: String,
    /// Meters that have to be there, in that namespace.
    pub file_meters: Vec<MeterDraft>,
}

/// Tells one event log from another.
#[derive(Debug, Clone)]
pub struct EventLogId {
    pub id: String,
    /// The records are this log's from now on, whichever they went with before.
    pub take_over: bool,
}

/// Why weir cannot work with what it found. Ordered: the first that applies is reported.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the line is {events} events behind: the log is read first")]
    Behind { events: u64 },
    #[error(
        "the database goes with another data directory (its log is {theirs}, this one's {ours}): each would miss what the \
         other publishes. Give this one a database of its own; or, when the other directory is gone for good, set \
         database.take_over = true for one start"
    )]
    OtherLog { ours: String, theirs: String },
    #[error(
        "the data directory has meter {id} with the slug {slug}, the database another one; they do not belong together. \
         Start with the database that goes with this data directory, or with a new one of either"
    )]
    SlugTwice { slug: String, id: Ulid },
    #[error(transparent)]
    File(#[from] MetersFileError),
}

impl StartupError {
    /// Whether it may be over the next time.
    fn passes(&self) -> bool {
        match self {
            Self::Fault(fault) | Self::Publish(PublishError::Database(fault)) => fault.verdict == Verdict::Retry,
            Self::Commit(CommitError::Refused(fault)) => fault.verdict == Verdict::Retry,
            // What a commit did that was not answered, the next try finds out.
            Self::Commit(CommitError::Unknown(_)) | Self::Publish(PublishError::Log(_)) | Self::Behind { .. } => true,
            Self::OtherLog { .. } | Self::SlugTwice { .. } => false,
            Self::File(error) => error.passes(),
        }
    }
}

/// Starts, and then keeps publishing what a request left behind, until it is cancelled. Returns only when weir cannot
/// work with what it found. `attach` tells the database where its server is; it is asked until it knows.
pub async fn run(parts: Parts, attach: impl AsyncFn() -> Result<(), Fault>) -> Result<(), StartupError> {
    let ensured = start(&parts, attach).await?;
    let kept = ensured.kept.len();
    tracing::info!(created = ?ensured.created, kept, "the business records are open");
    parts.records.publisher.clone().run().await;
    Ok(())
}

/// Returns once the gate is open.
pub async fn start(parts: &Parts, attach: impl AsyncFn() -> Result<(), Fault>) -> Result<Ensured, StartupError> {
    let mut attached = false;
    let mut pause_ms = PAUSE_MS;
    loop {
        let tried = async {
            if !attached {
                attach().await?;
                attached = true;
            }
            attempt(parts).await
        };
        match tried.await {
            Ok(ensured) => {
                parts.records.gate.open();
                return Ok(ensured);
            }
            Err(error) if error.passes() => {
                tracing::debug!(%error, pause_ms, "the business records are not up yet");
                parts.records.gate.waits_for(error.to_string());
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(PAUSE_MAX_MS);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn attempt(Parts { records, event_log, namespace, file_meters }: &Parts) -> Result<Ensured, StartupError> {
    records.database.migrate().await?;
    claim(records, event_log).await?;
    records.publisher.publish().await?;
    match records.freshness.wait(None, Duration::from_millis(APPLY_WAIT_MAX_MS)).await {
        Wait::Reached => {}
        Wait::Behind { events, .. } => return Err(StartupError::Behind { events }),
    }
    reconcile(records, namespace).await?;
    Ok(meters_file::ensure(&records.meters, namespace, file_meters).await?)
}

/// Before anything is published: whose records are these?
async fn claim(records: &Records, EventLogId { id, take_over }: &EventLogId) -> Result<(), StartupError> {
    let mut client = records.database.client().await?;
    let tx = begin(&mut client).await?;
    let owner = event_log::claim(&tx, id, *take_over).await?;
    commit(tx).await?;
    if owner == *id { Ok(()) } else { Err(StartupError::OtherLog { ours: id.clone(), theirs: owner }) }
}

/// Afterwards log and database know the same meters.
async fn reconcile(records: &Records, namespace: &str) -> Result<(), StartupError> {
    let catalog = records.store.meters();
    let versions: HashSet<Ulid> = catalog.iter().map(|known| known.meter.version).collect();
    let newest = newest_versions(&catalog);
    let namespaces: BTreeSet<&str> =
        newest.iter().map(|known| known.meter.namespace.as_str()).chain([namespace]).collect();
    let mut client = records.database.client().await?;
    let tx = begin(&mut client).await?;
    for namespace in namespaces {
        let stored = meters::list(&tx, namespace, true).await?;
        let ids: HashSet<Ulid> = stored.iter().map(|stored| stored.meter.id).collect();
        let only_in_log = |known: &&KnownMeter| known.meter.namespace == namespace && !ids.contains(&known.meter.id);
        for known in newest.iter().filter(only_in_log) {
            take_over(&tx, known).await?;
        }
        for stored in stored.into_iter().filter(|stored| !versions.contains(&stored.meter.version)) {
            announce(&tx, stored, records.clock.now()).await?;
        }
    }
    commit(tx).await?;
    drop(client);
    records.publisher.publish().await?;
    Ok(())
}

/// Puts a meter into the database that only the log has.
async fn take_over(tx: &Transaction<'_>, known: &KnownMeter) -> Result<(), StartupError> {
    let deleted_at = known.gone.map(|(_, at)| at);
    let meter = Meter { updated_at: deleted_at.unwrap_or(known.meter.updated_at), ..Meter::clone(&known.meter) };
    tracing::info!(slug = meter.slug, id = %meter.id, "a meter that only the log has is taken over");
    match meters::take_over(tx, &meter, deleted_at).await? {
        true => Ok(()),
        false => Err(StartupError::SlugTwice { slug: meter.slug, id: meter.id }),
    }
}

/// Has the log told of a meter that only the database has.
async fn announce(tx: &Transaction<'_>, stored: StoredMeter, now: Instant) -> Result<(), Fault> {
    let StoredMeter { meter, deleted_at } = stored;
    tracing::info!(slug = meter.slug, id = %meter.id, "the log is told of a meter that only the database has");
    let ends = deleted_at.map(|at| gone(&meter, at));
    let namespace = meter.namespace.clone();
    for control in [Control::MeterLive(Arc::new(meter))].into_iter().chain(ends) {
        outbox::push(tx, &namespace, &control, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
