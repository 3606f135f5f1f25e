//! The embedded id index: which position won an id. Exact, 128-bit.
//!
//! Recent ids live in a hot table in memory. When it is full, or a checkpoint asks for it, it is frozen and sealed on
//! a thread of its own into a sorted run, while a new table takes claims. Runs are merged in the background, and
//! dropped when their ids are out of every window. In front of each run stands a filter: a new id, the common case,
//! is decided in memory.
//!
//! The manifest lists the runs and the frontier below which every claim is in them. Whoever keeps effects of claims
//! takes a [`checkpoint`](EmbeddedIdIndex::checkpoint) before committing them, so the index is never behind; where it
//! is ahead, replayed claims find themselves and answer `WonBefore`. Nothing here reads a clock: an id expires by the
//! accepted-at of the records that ask, and only once no replay can ask for it again.

mod bits;
mod block;
mod catalog;
mod check;
mod core;
mod entry;
mod faults;
mod filter;
mod hot;
mod merge;
mod plan;
mod run;
mod times;
mod workers;

#[cfg(test)]
mod tests;

use self::core::{Core, lock};
use super::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::time::Instant;
use crate::ports::id_index::{Claim, ClaimRequest, IdIndex, IndexSnapshot};
use async_trait::async_trait;
use catalog::Catalog;
use faults::{failed, refused};
use run::Run;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Where the index lives in the data directory.
const DIRECTORY: &str = "ids";

/// How the index is cut. Bounds its memory and its work, not what it knows.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Ids in the hot table before it is sealed. A batch larger than this still goes in whole.
    pub hot_ids_max: usize,
    /// Frozen tables that may wait to be sealed; then claims wait.
    pub frozen_tables_max: usize,
    /// Ids in a run at most; runs of more than half of that are merged no further.
    pub run_ids_max: u64,
    /// Runs of about one size before they are merged.
    pub merge_factor: u64,
    /// After this many ids a merge lets others go first.
    pub merge_pause_every_ids: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hot_ids_max: 262_144,
            frozen_tables_max: 4,
            run_ids_max: 32 * 1024 * 1024,
            merge_factor: 4,
            merge_pause_every_ids: 65_536,
        }
    }
}

impl Settings {
    /// All that is wrong with the numbers, one line each.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        #[rustfmt::skip]
        let rules = [
            ((1..=16_777_216).contains(&self.hot_ids_max), "hot_ids_max must lie in 1 to 16,777,216"),
            ((1..=64).contains(&self.frozen_tables_max), "frozen_tables_max must lie in 1 to 64"),
            ((1..=67_108_864).contains(&self.run_ids_max), "run_ids_max must lie in 1 to 67,108,864"),
            ((2..=16).contains(&self.merge_factor), "merge_factor must lie in 2 to 16"),
            (self.merge_pause_every_ids >= 1, "merge_pause_every_ids must be at least 1"),
        ];
        let wrong: Vec<String> = rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule.into()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// The id index in a data directory. One per directory.
pub struct EmbeddedIdIndex {
    core: Arc<Core>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl EmbeddedIdIndex {
    /// Opens the index, or begins one where there is none: a rebuild is an empty directory and all claims again.
    /// Files that the manifest does not list are removed. Bad bytes are a fault that names file and offset.
    pub fn open(disk: Arc<dyn Disk>, settings: Settings) -> Result<Arc<Self>, Fault> {
        settings.validate().map_err(|wrong| refused(wrong.join("; ")))?;
        let dir = Path::new(DIRECTORY);
        disk.create_dir(dir).map_err(|e| failed(dir, "creating the directory", &e))?;
        let catalog = Catalog::load(&*disk, dir)?;
        catalog.drop_unlisted(&*disk, dir)?;
        let runs = catalog.open_runs(&*disk, dir)?;
        let core = Arc::new(Core::new(disk, dir.to_path_buf(), settings, catalog, runs));
        let index = Self { core, workers: Mutex::default() };
        index.spawn("ids-seal", workers::seal_all)?;
        index.spawn("ids-merge", workers::merge_all)?;
        Ok(Arc::new(index))
    }

    fn spawn(&self, name: &str, work: fn(&Core)) -> Result<(), Fault> {
        let core = Arc::clone(&self.core);
        let worker = std::thread::Builder::new().name(name.into()).spawn(move || work(&core));
        let worker = worker.map_err(|e| Fault::retry("id index", format!("thread {name} cannot start: {e}")))?;
        lock(&self.workers).push(worker);
        Ok(())
    }

    /// Makes everything claimed so far durable and returns how far that is. Blocks the calling thread for a seal;
    /// claims go on meanwhile. A fault leaves all of it as it was: call again.
    pub fn checkpoint(&self) -> Result<Frontier, Fault> {
        self.core.checkpoint()
    }

    /// No record below this frontier will ever ask again (the usage store has committed it): ids whose window had
    /// passed there may be dropped. Until it is called, nothing expires.
    ///
    /// A partition without records holds expiry back, since its next record may be as old as its last.
    pub fn release(&self, below: &Frontier) {
        self.core.release(below);
    }

    /// Winners accepted at or before this may be forgotten; `None` when none are. A record that is redriven after more
    /// than a window asks about a time that the index no longer knows whole.
    pub fn horizon(&self) -> Option<Instant> {
        self.core.shelf().horizon
    }

    /// The positions that won this id, ascending, as far as they are remembered (see [`Self::horizon`]). Its cost does
    /// not depend on how many ids there are.
    pub fn owners(&self, id: u128) -> Result<Vec<Position>, Fault> {
        self.core.owners(id)
    }

    /// Whether claims have come past this position.
    pub fn covers(&self, position: Position) -> bool {
        self.core.frontier().has(position)
    }

    /// Seals what is in memory and stops the threads. Without it a restart claims again from the last checkpoint.
    pub fn close(&self) -> Result<(), Fault> {
        let sealed = self.core.checkpoint();
        self.stop();
        sealed.map(|_| ())
    }

    fn stop(&self) {
        self.core.stop();
        for worker in lock(&self.workers).drain(..) {
            // Its panics were caught and reported where they happened.
            let _ = worker.join();
        }
    }
}

/// Only stops: what is not durable is claimed again.
impl Drop for EmbeddedIdIndex {
    fn drop(&mut self) {
        self.stop();
    }
}

#[async_trait]
impl IdIndex for EmbeddedIdIndex {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, Fault> {
        loop {
            let room = self.core.room.notified();
            tokio::pin!(room);
            // From here on no notification is missed.
            room.as_mut().enable();
            if let Some(answers) = self.core.try_claim(requests)? {
                return Ok(answers);
            }
            room.await;
        }
    }

    fn durable(&self) -> Frontier {
        self.core.shelf().durable.clone()
    }

    fn snapshot(&self) -> IndexSnapshot {
        self.core.snapshot()
    }
}

/// What `weir doctor` learns from reading everything.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    pub runs: u64,
    pub ids: u64,
    pub blocks: u64,
    /// The first fault of each run and section, with file and offset.
    pub faults: Vec<Fault>,
}

/// Reads every block of every run that the manifest lists. Not while the index is open. A fault as the result means
/// that the manifest itself cannot be read.
pub fn check(disk: &dyn Disk) -> Result<CheckReport, Fault> {
    let dir = Path::new(DIRECTORY);
    let mut report = CheckReport::default();
    for number in Catalog::load(disk, dir)?.runs {
        report.runs += 1;
        match Run::open(disk, dir, number) {
            Err(fault) => report.faults.push(fault),
            Ok(run) => {
                report.ids += run.footer().ids;
                let (blocks, faults) = check::check_run(&Arc::new(run));
                report.blocks += blocks;
                report.faults.extend(faults);
            }
        }
    }
    Ok(report)
}
