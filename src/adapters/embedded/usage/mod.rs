//! The embedded usage store: rollups and compressed event blocks in one directory.
//!
//! Applying ([`apply`]) adds rows and events to memory and publishes a new [`version`]; sealing ([`seal`]) makes memory
//! files; merging ([`merge`]) makes few files of many; [`backfill`] counts the past of new meters; [`retention`]
//! removes old raw events. Events that were voided are taken out of every answer ([`voids`]), and out of the rows before
//! retention comes ([`heal`]). What is durable is said by the [`ledger`]; a restart ([`recover`]) opens what it lists and
//! has the line send the rest again. Queries ([`query`]) read one version and wait for nobody.

mod apply;
mod backfill;
mod bell;
pub mod blocks;
pub mod check;
pub mod control;
mod correct;
mod cut;
mod engine;
mod files;
mod fold;
mod heal;
mod ledger;
pub mod list;
mod merge;
mod query;
mod raw;
mod rebuild;
mod recover;
mod release;
mod retention;
pub mod rollup;
mod rows;
mod seal;
mod settings;
mod snapshot;
#[cfg(test)]
pub(super) mod tests;
mod threads;
mod tiers;
mod values;
mod version;
mod voids;

pub use engine::{BeforeCommit, Owners, OwnersOf};
pub use rebuild::reset_rollups;
pub use settings::Settings;

use super::disk::Disk;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use crate::domain::metering::query::{EventIdentity, EventsQuery, QueryRefusal, StoredEvent, UsageQuery, ValuesQuery};
use crate::domain::position::{Frontier, Position};
use crate::domain::record::Control;
use crate::domain::time::Instant;
use crate::ports::id_index::ClaimRequest;
use crate::ports::usage_store::{
    ApplyError, KnownMeter, QuarantineEntry, ReadError, StoreSnapshot, StoredConflict, UsageAnswer, UsageStore,
};
use async_trait::async_trait;
use bell::lock;
use engine::Engine;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// The usage store of a data directory. One per directory.
pub struct EmbeddedUsage {
    engine: Arc<Engine>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl EmbeddedUsage {
    /// Opens what the manifest lists, or begins an empty store, and starts its threads.
    ///
    /// # Errors
    /// Give up: wrong settings, or bad bytes, with file and offset. Retry: the disk failed.
    pub fn open(
        disk: Arc<dyn Disk>,
        settings: Settings,
        key: HashKey,
        before_commit: BeforeCommit,
    ) -> Result<Arc<Self>, Fault> {
        settings.validate().map_err(|wrong| Fault::give_up("usage store", wrong.join("; ")))?;
        settings.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        let found = recover::recover(&disk, &settings)?;
        let engine = Arc::new(Engine::new(disk, settings, key, before_commit, found));
        let threads = threads::start(&engine)?;
        Ok(Arc::new(Self { engine, threads: Mutex::new(threads) }))
    }

    /// Changes with every seal, and with every try that failed: when the log may have something to release.
    pub fn seals(&self) -> watch::Receiver<Frontier> {
        self.engine.sealed.subscribe()
    }

    /// Why what was applied is not getting durable, when the last try failed.
    pub fn sealing_fault(&self) -> Option<Fault> {
        self.engine.fault_of(threads::SEAL)
    }

    /// Why the past of a meter is not being counted, when the last try failed.
    pub fn backfill_fault(&self) -> Option<Fault> {
        self.engine.fault_of(threads::BACKFILL)
    }

    /// How far the id index was durable at the last commit.
    pub fn index_at_commit(&self) -> Frontier {
        self.engine.ledger().index
    }

    /// Remembers that the id index was made anew and is durable up to there.
    pub fn note_index(&self, durable: Frontier) -> Result<(), Fault> {
        self.engine.commit(|ledger| ledger.index = durable, |_| {}, |_| {})
    }

    /// Every event in files that owns its id, file by file in position order, as `visit` is called with a file's events
    /// by position: what an id index is rebuilt from.
    pub fn owners(&self, visit: &mut dyn FnMut(Vec<ClaimRequest>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.engine.owners(visit)
    }

    /// Lets the id index say where an event stands that is asked for by its identity. Set once, at the start.
    pub fn find_owners_with(&self, owners_of: OwnersOf) {
        // Set a second time it stays what it was.
        let _ = self.engine.owners_of.set(owners_of);
    }

    /// Seals everything applied so far. Does not wait for it.
    pub fn seal_now(&self) {
        self.engine.freeze();
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let failed = |what: &str| ReadError::Fault(Fault::retry("usage store", format!("a query {what}")));
        let permit = self.engine.queries.clone().acquire_owned().await.map_err(|_| failed("came after the close"))?;
        let engine = self.engine.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&engine)
        });
        read.await.map_err(|_| failed("panicked"))?
    }
}

/// Only stops the threads: what is not durable is applied again after a restart.
impl Drop for EmbeddedUsage {
    fn drop(&mut self) {
        self.engine.close();
        self.engine.stop();
        join(&self.threads);
    }
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    for thread in lock(threads).drain(..) {
        // Its panics were caught and told where they happened.
        let _ = thread.join();
    }
}

#[async_trait]
impl UsageStore for EmbeddedUsage {
    async fn apply(&self, batch: Batch) -> Result<(), ApplyError> {
        self.apply_in_order(batch).await
    }

    fn applied(&self) -> Frontier {
        self.engine.version().applied.clone()
    }

    fn applied_changes(&self) -> watch::Receiver<Frontier> {
        self.engine.applied.subscribe()
    }

    fn durable(&self) -> Frontier {
        self.engine.durable()
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsageAnswer, ReadError> {
        self.reading(move |engine| engine.answer(&query)).await
    }

    async fn events(&self, query: EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        self.reading(move |engine| engine.list_events(&query)).await
    }

    async fn conflicts(
        &self,
        namespace: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<StoredConflict>, ReadError> {
        let namespace = namespace.to_string();
        self.reading(move |engine| engine.list_conflicts(&namespace, before, limit)).await
    }

    async fn winners(&self, identity: EventIdentity) -> Result<Vec<StoredEvent>, ReadError> {
        self.reading(move |engine| engine.winners(&identity)).await
    }

    fn correctable(&self, time: Instant) -> Result<(), QueryRefusal> {
        self.engine.correctable(time)
    }

    async fn dimension_values(&self, query: ValuesQuery) -> Result<Vec<String>, ReadError> {
        self.reading(move |engine| engine.dimension_values(&query)).await
    }

    async fn event_counts(&self, namespace: &str, from: Instant) -> Result<Vec<(String, u64)>, ReadError> {
        let namespace = namespace.to_string();
        self.reading(move |engine| engine.event_counts(&namespace, from)).await
    }

    fn controls(&self) -> Arc<Vec<(Position, Control)>> {
        let version = self.engine.version();
        let mut controls: Vec<_> = version.controls.iter().flat_map(|part| part.iter().cloned()).collect();
        controls.sort_by_key(|(position, _)| *position);
        Arc::new(controls)
    }

    fn meters(&self) -> Arc<Vec<KnownMeter>> {
        self.engine.version().meters.clone()
    }

    fn quarantine(&self) -> Vec<QuarantineEntry> {
        snapshot::quarantine(&self.engine.version())
    }

    async fn close(&self) -> Result<(), Fault> {
        self.engine.close();
        // Whoever is applying finishes first.
        drop(self.engine.applying.lock().await);
        self.engine.freeze();
        let mut outcomes = self.engine.sealed.subscribe();
        let sealed = loop {
            outcomes.borrow_and_update();
            if self.engine.version().frozen.is_empty() {
                break Ok(());
            }
            if let Some(fault) = self.sealing_fault() {
                break Err(fault);
            }
            if outcomes.changed().await.is_err() {
                break Ok(());
            }
        };
        self.engine.stop();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let joined = tokio::task::spawn_blocking(move || join(&Mutex::new(threads))).await;
        sealed.and(joined.map_err(|_| Fault::retry("usage store", "closing was interrupted")))
    }

    fn snapshot(&self) -> StoreSnapshot {
        self.engine.snapshot()
    }
}
