//! What the store's writer, readers and threads share: the published version, the ledger, and the one way in which
//! each of them changes.

use super::bell::{Bell, lock};
use super::blocks::BlockFile;
use super::control::ControlFile;
use super::files::{self, FileKind, Kept};
use super::ledger::{Ledger, MANIFEST};
use super::rollup::{BlockCache, RowBuilder, Run};
use super::settings::Settings;
use super::threads::SEAL;
use super::version::{States, Version};
use crate::adapters::embedded::disk::Disk;
use crate::adapters::embedded::manifest;
use crate::domain::digest::HashKey;
use crate::domain::fault::{Fault, Verdict};
use crate::domain::position::{Frontier, Position};
use crate::domain::time::Instant;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::{Semaphore, watch};
use ulid::Ulid;

/// Called before a seal is committed, with the frontier that the commit makes durable: what must never be behind the
/// store (the id index) makes itself durable there, and answers how far it is. The manifest remembers that.
pub type BeforeCommit = Box<dyn Fn(&Frontier) -> Result<Frontier, Fault> + Send + Sync>;

/// Where the events that won an id stand.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    pub positions: Vec<Position>,
    /// Winners accepted at or before this may be forgotten; `None` when none are.
    pub forgotten: Option<Instant>,
}

/// Asks the id index who owns an id.
pub type OwnersOf = Box<dyn Fn(u128) -> Result<Owners, Fault> + Send + Sync>;

pub struct Engine {
    // wiring
    /// Without it an event that is asked for by its identity is looked for everywhere.
    pub owners_of: OnceLock<OwnersOf>,
    pub disk: Arc<dyn Disk>,
    pub settings: Settings,
    pub key: HashKey,
    pub cache: Arc<BlockCache>,
    /// Files that the last end left unfinished, and this start dropped.
    pub unfinished_dropped: u64,
    pub before_commit: BeforeCommit,
    pub queries: Arc<Semaphore>,
    // state
    version: ArcSwap<Version>,
    /// Held while the next version is made of the last.
    publishing: Mutex<()>,
    /// Held while a commit is made: the ledger and the version change together.
    ledger: Mutex<Ledger>,
    pub control_file: Mutex<ControlFile>,
    next_file: AtomicU64,
    /// By files that are no longer listed.
    retired_blocks_read: AtomicU64,
    /// One apply at a time.
    pub applying: tokio::sync::Mutex<RowBuilder>,
    /// Below this the log has let go of its segments: event files are the only truth there.
    pub released: Mutex<Frontier>,
    /// How the last step of each thread failed, by the thread's name; none for those that are well.
    faults: Mutex<BTreeMap<&'static str, Fault>>,
    closed: AtomicBool,
    // signals
    pub applied: watch::Sender<Frontier>,
    /// Changes with every try to seal.
    pub sealed: watch::Sender<Frontier>,
    pub sealing: Bell,
    pub merging: Bell,
    pub backfilling: Bell,
}

/// What a start has found.
pub struct Found {
    pub ledger: Ledger,
    pub version: Version,
    pub control_file: ControlFile,
    pub cache: Arc<BlockCache>,
    pub unfinished_dropped: u64,
}

impl Engine {
    pub fn new(
        disk: Arc<dyn Disk>,
        settings: Settings,
        key: HashKey,
        before_commit: BeforeCommit,
        found: Found,
    ) -> Self {
        let Found { ledger, version, control_file, cache, unfinished_dropped } = found;
        Self {
            owners_of: OnceLock::new(),
            queries: Arc::new(Semaphore::new(settings.queries_max)),
            next_file: AtomicU64::new(ledger.next_file),
            retired_blocks_read: AtomicU64::new(0),
            applied: watch::Sender::new(version.applied.clone()),
            sealed: watch::Sender::new(ledger.durable.clone()),
            version: ArcSwap::from_pointee(version),
            publishing: Mutex::new(()),
            ledger: Mutex::new(ledger),
            control_file: Mutex::new(control_file),
            applying: tokio::sync::Mutex::new(RowBuilder::new()),
            released: Mutex::new(Frontier::default()),
            faults: Mutex::default(),
            closed: AtomicBool::new(false),
            sealing: Bell::default(),
            merging: Bell::default(),
            backfilling: Bell::default(),
            disk,
            settings,
            key,
            cache,
            unfinished_dropped,
            before_commit,
        }
    }

    /// The store as of now; stays as it is for as long as it is held.
    pub fn version(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// What the manifest on disk says.
    pub fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    pub fn durable(&self) -> Frontier {
        lock(&self.ledger).durable.clone()
    }

    /// Makes the next version of the last and lets readers have it.
    pub fn publish<R>(&self, change: impl FnOnce(&mut Version) -> R) -> R {
        let _one = lock(&self.publishing);
        let mut next = Version::clone(&self.version.load());
        let result = change(&mut next);
        self.version.store(Arc::new(next));
        result
    }

    /// The one way in which anything becomes durable: `edit` and `states` change the ledger, which is written; then
    /// `states` and `publish` change the version. On a fault neither has changed; files that were to be listed stay
    /// until the next start, as the manifest may or may not list them.
    pub fn commit(
        &self,
        edit: impl FnOnce(&mut Ledger),
        states: impl Fn(&mut States),
        publish: impl FnOnce(&mut Version),
    ) -> Result<(), Fault> {
        let mut ledger = lock(&self.ledger);
        let mut next = ledger.clone();
        edit(&mut next);
        next.next_file = self.next_file.load(Ordering::Relaxed);
        let mut known = States::clone(&self.version().states);
        states(&mut known);
        let durable = known.iter().filter_map(|(version, state)| Some((Ulid(*version), state.below(&next.durable)?)));
        next.meters = durable.collect::<BTreeMap<_, _>>();
        let dir = Path::new(files::DIR);
        // New files must be found wherever the manifest that lists them is.
        self.disk.sync_dir(dir).map_err(|error| Fault::retry("usage store", format!("{}: {error}", dir.display())))?;
        manifest::store(&*self.disk, dir, MANIFEST, &next)?;
        self.publish(|version| {
            states(Arc::make_mut(&mut version.states));
            version.work = next.work;
            publish(version);
        });
        *ledger = next;
        Ok(())
    }

    /// A name that no file has had in this process, nor has in the manifest.
    pub fn new_name(&self, kind: FileKind) -> String {
        kind.name(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    pub fn open_run(&self, name: String) -> Result<Arc<Kept<Run>>, Fault> {
        let run = Run::open(&*self.disk, &files::path(&name), self.cache.clone())?;
        Ok(Kept::new(run, name, self.disk.clone()))
    }

    pub fn open_events(&self, name: String) -> Result<Arc<Kept<BlockFile>>, Fault> {
        let file = BlockFile::open(&*self.disk, &files::path(&name))?;
        Ok(Kept::new(file, name, self.disk.clone()))
    }

    /// To be called once the manifest that does not list these files is durable.
    pub fn retire_events(&self, files: &[Arc<Kept<BlockFile>>]) {
        for file in files {
            self.retired_blocks_read.fetch_add(file.blocks_read(), Ordering::Relaxed);
            file.retire();
        }
    }

    pub fn retired_blocks_read(&self) -> u64 {
        self.retired_blocks_read.load(Ordering::Relaxed)
    }

    /// Ends the live memory, so that everything applied so far gets sealed.
    pub fn freeze(&self) {
        if self.publish(Version::freeze) {
            self.sealing.ring();
        }
    }

    pub fn ring_workers(&self) {
        self.merging.ring();
        self.backfilling.ring();
    }

    /// Remembers how a thread's last step went.
    pub fn note(&self, thread: &'static str, fault: Option<Fault>) {
        let mut faults = lock(&self.faults);
        match fault {
            Some(fault) => drop(faults.insert(thread, fault)),
            None => drop(faults.remove(thread)),
        }
    }

    /// How a thread's last step failed, when it did.
    pub fn fault_of(&self, thread: &str) -> Option<Fault> {
        lock(&self.faults).get(thread).cloned()
    }

    /// Why sealing has stopped for good, when it has.
    pub fn standing_fault(&self) -> Option<Fault> {
        self.fault_of(SEAL).filter(|fault| fault.verdict == Verdict::GiveUp)
    }

    /// Wakes those who wait for room.
    pub fn tell_sealed(&self) {
        self.sealed.send_replace(self.durable());
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.tell_sealed();
    }

    /// A fault once the store is closed.
    pub fn closed(&self) -> Result<(), Fault> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Fault::give_up("usage store", "the store is closed")),
            false => Ok(()),
        }
    }

    /// Stops the store's threads, wherever they are between two steps.
    pub fn stop(&self) {
        [&self.sealing, &self.merging, &self.backfilling].into_iter().for_each(Bell::stop);
    }
}
