//! The embedded tier as one: opens log, id index and usage store of a data directory in the right order, checks that
//! they belong together, and keeps them going: the log learns what is applied and lets go of what is stored.
//!
//! Order of durability: log, then id index, then usage store. A seal of the store takes a checkpoint of the index
//! first, and a segment of the log goes only when the store proves that it has every record of it.

use super::disk::Disk;
use super::id_index::EmbeddedIdIndex;
use super::key;
use super::log::EmbeddedLog;
use super::usage::{BeforeCommit, EmbeddedUsage, Owners, OwnersOf};
use super::{id_index, log, usage};
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::position::Frontier;
use crate::ports::{Clock, EventLog, IdIndex, UsageStore};
use futures::executor::block_on;
use futures::future::{Either, select};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Settings of the tier's parts.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub log: log::Settings,
    pub ids: id_index::Settings,
    pub usage: usage::Settings,
}

impl Settings {
    /// Everything that is wrong with the numbers, each with its part's name.
    pub fn validate(&self) -> Vec<String> {
        let parts = [("log", self.log.validate()), ("ids", self.ids.validate()), ("usage", self.usage.validate())];
        let named = |(part, wrong): (&str, Result<(), Vec<String>>)| {
            wrong.err().into_iter().flatten().map(move |mistake| format!("{part}.{mistake}")).collect::<Vec<_>>()
        };
        parts.into_iter().flat_map(named).collect()
    }
}

/// Everything of one data directory. One per directory.
pub struct Embedded {
    pub log: Arc<EmbeddedLog>,
    pub index: Arc<EmbeddedIdIndex>,
    pub usage: Arc<EmbeddedUsage>,
    pub key: HashKey,
    stop: watch::Sender<bool>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl Embedded {
    /// Opens a data directory, or begins one.
    ///
    /// # Errors
    /// Give up: bad bytes, with file and offset; or parts that do not belong together, by name.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self, Fault> {
        let wrong = settings.validate();
        if !wrong.is_empty() {
            return Err(Fault::give_up("settings", wrong.join("; ")));
        }
        let key = key::load_or_draw(&*disk)?;
        let log = EmbeddedLog::open(disk.clone(), clock, settings.log)?;
        let index = EmbeddedIdIndex::open(disk.clone(), settings.ids)?;
        let usage = EmbeddedUsage::open(disk, settings.usage, key, checkpoint(&index))?;
        check_together(&*log, &*index, &usage)?;
        usage.find_owners_with(owners_of(&index));
        log.set_backlog_from(&usage.applied());
        let (stop, stopped) = watch::channel(false);
        let embedded = Self { log, index, usage, key, stop, keepers: Mutex::default() };
        embedded.keep("weir-release", stopped.clone(), embedded.usage.seals(), release)?;
        embedded.keep("weir-backlog", stopped, embedded.usage.applied_changes(), tell_applied)?;
        Ok(embedded)
    }

    /// Starts a thread that does `work` at once and at every change.
    fn keep(
        &self,
        name: &'static str,
        mut stopped: watch::Receiver<bool>,
        mut changes: watch::Receiver<Frontier>,
        work: fn(&Parts) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let parts = Parts { log: self.log.clone(), index: self.index.clone(), usage: Arc::downgrade(&self.usage) };
        let body = move || {
            loop {
                changes.borrow_and_update();
                if let Err(fault) = work(&parts) {
                    // Comes again with the next change.
                    tracing::error!(thread = name, %fault, "not done");
                }
                let ended = block_on(async {
                    let (change, stop) = (pin!(changes.changed()), pin!(stopped.wait_for(|stop| *stop)));
                    !matches!(select(change, stop).await, Either::Left((Ok(()), _)))
                });
                if ended {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(body);
        let thread = thread
            .map_err(|error| Fault::retry("data directory", format!("the thread {name} cannot start: {error}")))?;
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// An orderly stop, once nobody appends or applies any more: the store seals what it has (and checkpoints the index
    /// on the way), then index and log close. All are closed, whatever goes wrong with one; the first fault is told.
    pub async fn close(&self) -> Result<(), Fault> {
        let stored = self.usage.close().await;
        self.stop.send_replace(true);
        let keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        let (index, log) = (self.index.clone(), self.log.clone());
        let rest = tokio::task::spawn_blocking(move || {
            keepers.into_iter().for_each(|thread| drop(thread.join()));
            index.close().and(log.close())
        });
        let closed = rest.await.map_err(|_| Fault::retry("data directory", "closing was interrupted"));
        stored.and(closed?)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.keepers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Its faults were told where they happened.
            let _ = thread.join();
        }
    }
}

/// What the keeping threads see. They do not keep the store alive.
struct Parts {
    log: Arc<EmbeddedLog>,
    index: Arc<EmbeddedIdIndex>,
    usage: std::sync::Weak<EmbeddedUsage>,
}

/// The index knows where an event stands.
fn owners_of(index: &Arc<EmbeddedIdIndex>) -> OwnersOf {
    let index = index.clone();
    Box::new(move |id| Ok(Owners { positions: index.owners(id)?, forgotten: index.horizon() }))
}

/// The index is durable before the store is.
pub(super) fn checkpoint(index: &Arc<EmbeddedIdIndex>) -> BeforeCommit {
    let index = index.clone();
    Box::new(move |_| index.checkpoint())
}

/// What is durable in the store need not stay in the log, nor be ready to be asked of the index again.
fn release(parts: &Parts) -> Result<(), Fault> {
    let Some(usage) = parts.usage.upgrade() else { return Ok(()) };
    let durable = usage.durable();
    parts.index.release(&durable);
    block_on(usage.release_log(&*parts.log, &durable))
}

fn tell_applied(parts: &Parts) -> Result<(), Fault> {
    if let Some(usage) = parts.usage.upgrade() {
        parts.log.set_backlog_from(&usage.applied());
    }
    Ok(())
}

/// A store that is ahead of its log, or an index behind its store, is not what any crash leaves: bytes were lost, or
/// directories mixed up.
fn check_together(log: &dyn EventLog, index: &dyn IdIndex, usage: &EmbeddedUsage) -> Result<(), Fault> {
    let (durable, end, start) = (usage.durable(), log.durable_end(), log.start());
    if !end.covers(&durable) {
        let message = format!(
            "usage/ has records up to {durable}, the log ends at {end}: log/ has lost its end, or is of another data \
             directory; restore both from one backup"
        );
        return Err(Fault::give_up("log", message));
    }
    if !durable.covers(&start) {
        let message = format!(
            "usage/ has records up to {durable} only, the log begins at {start}: what lies between is missing; restore \
             log/ and usage/ from one backup"
        );
        return Err(Fault::give_up("usage store", message));
    }
    if !index.durable().covers(&usage.index_at_commit()) {
        let message = format!(
            "ids/ has ids up to {}, usage/ was counted with ids up to {}: run `weir doctor --rebuild`, which derives \
             ids/ again",
            index.durable(),
            usage.index_at_commit()
        );
        return Err(Fault::give_up("id index", message));
    }
    Ok(())
}
