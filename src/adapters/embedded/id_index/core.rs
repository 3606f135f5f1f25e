//! The index's inside: one hot table that takes claims, frozen ones on their way to the disk, and the runs.
//!
//! Three locks, taken in this order and never another: `claims` (held while a batch is answered), `catalog` (held
//! while a manifest is written), `shelf` (held for moments). A claim never waits for the disk but for blocks of ids
//! that the filters admit, and, when sealing falls behind, for room.

use super::Settings;
use super::catalog::{Catalog, Progress};
use super::entry::{Findings, high};
use super::faults::refused;
use super::filter::Place;
use super::hot::HotTable;
use super::run::{Hit, Run, Scratch};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::time::Instant;
use crate::ports::id_index::{Claim, ClaimRequest, IndexSnapshot};
use crate::ports::stats::Counter;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Points that replays may not go behind, kept until the caller names one of them.
const POINTS_MAX: usize = 1_024;

/// A table that takes no more claims and waits for its run.
pub(super) struct Frozen {
    pub number: u64,
    pub table: HotTable,
    /// How far claims had come when it was frozen.
    pub progress: Progress,
}

/// What a lookup asks besides the hot table. Immutable: readers keep the one they began with.
#[derive(Default, Clone)]
pub(super) struct View {
    pub frozen: Vec<Arc<Frozen>>,
    pub runs: Vec<Arc<Run>>,
}

/// What claims change.
struct Claims {
    hot: HotTable,
    progress: Progress,
    /// Number of the next frozen table, and how far claims had come at the last.
    next_frozen: u64,
    frozen_at: Progress,
    // buffers, kept to be used again
    keys: Vec<u64>,
    places: Vec<Place>,
    admitted: Vec<u32>,
    hits: Vec<Hit>,
    scratch: Scratch,
}

/// What the sealing and the merging thread change.
pub(super) struct Shelf {
    pub view: Arc<View>,
    pub durable: Frontier,
    /// Number of the last frozen table that was sealed, plus one.
    pub sealed: u64,
    /// Why the oldest frozen table is not sealed. Whoever asks for it again clears this.
    pub seal_fault: Option<Fault>,
    /// Winners accepted at or before this own their ids no longer, whoever asks.
    pub horizon: Option<Instant>,
    points: VecDeque<Progress>,
    pub stop: bool,
}

#[derive(Default)]
pub(super) struct Counters {
    pub expired_ids: Counter,
    pub expired_runs: Counter,
    pub seals: Counter,
    pub merges: Counter,
    lookups: Counter,
    filters_asked: Counter,
    blocks_read: Counter,
}

pub(super) struct Core {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub settings: Settings,
    claims: Mutex<Claims>,
    pub catalog: Mutex<Catalog>,
    shelf: Mutex<Shelf>,
    /// The shelf has changed: for threads.
    pub changed: Condvar,
    /// A frozen table was sealed, or could not be: for claims that wait for room.
    pub room: tokio::sync::Notify,
    pub counters: Counters,
}

/// A panic while a lock is held leaves whole entries behind, so the data is as good as before.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, settings: Settings, catalog: Catalog, runs: Vec<Arc<Run>>) -> Core {
        let claims = Claims {
            hot: HotTable::for_ids(0),
            progress: catalog.durable.clone(),
            next_frozen: 0,
            frozen_at: catalog.durable.clone(),
            keys: Vec::new(),
            places: Vec::new(),
            admitted: Vec::new(),
            hits: Vec::new(),
            scratch: Scratch::default(),
        };
        let shelf = Shelf {
            view: Arc::new(View { frozen: Vec::new(), runs }),
            durable: catalog.durable.frontier.clone(),
            sealed: 0,
            seal_fault: None,
            horizon: None,
            points: VecDeque::new(),
            stop: false,
        };
        Core {
            disk,
            dir,
            settings,
            claims: Mutex::new(claims),
            catalog: Mutex::new(catalog),
            shelf: Mutex::new(shelf),
            changed: Condvar::new(),
            room: tokio::sync::Notify::new(),
            counters: Counters::default(),
        }
    }

    pub fn shelf(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }

    /// Answers a batch; `None` when there is no room for it yet.
    pub fn try_claim(&self, requests: &[ClaimRequest]) -> Result<Option<Vec<Claim>>, Fault> {
        let mut claims = lock(&self.claims);
        let progress = claims.progress.after(requests)?;
        if !self.make_room(&mut claims, requests.len())? {
            return Ok(None);
        }
        let view = Arc::clone(&self.shelf().view);
        self.find_cold(&view, &mut claims, requests)?;
        let answers = claims.take(requests);
        claims.progress = progress;
        Ok(Some(answers))
    }

    /// Freezes the hot table when these would make it too large. False when that must wait.
    fn make_room(&self, claims: &mut Claims, more: usize) -> Result<bool, Fault> {
        let mut shelf = self.shelf();
        if shelf.stop {
            return Err(refused("the index is closed"));
        }
        if claims.hot.len() == 0 || claims.hot.len() + more <= self.settings.hot_ids_max {
            return Ok(true);
        }
        if shelf.view.frozen.len() < self.settings.frozen_tables_max {
            self.freeze(claims, &mut shelf);
            return Ok(true);
        }
        match shelf.seal_fault.take() {
            None => Ok(false),
            Some(fault) => {
                self.changed.notify_all();
                Err(fault)
            }
        }
    }

    /// Hands the hot table to the sealing thread and begins a new one of the same size.
    fn freeze(&self, claims: &mut Claims, shelf: &mut Shelf) {
        let next = HotTable::for_ids(claims.hot.len());
        let table = std::mem::replace(&mut claims.hot, next);
        let frozen = Frozen { number: claims.next_frozen, table, progress: claims.progress.clone() };
        claims.next_frozen += 1;
        claims.frozen_at = claims.progress.clone();
        shelf.points.push_back(claims.progress.clone());
        if shelf.points.len() > POINTS_MAX {
            shelf.points.pop_front();
        }
        let mut view = View::clone(&shelf.view);
        view.frozen.push(Arc::new(frozen));
        shelf.view = Arc::new(view);
        self.changed.notify_all();
    }

    /// Collects what frozen tables and runs know about the requests into `claims.hits`, in the order of the requests.
    /// Goes table by table, so that the lookups of a batch overlap in the memory system.
    fn find_cold(&self, view: &View, claims: &mut Claims, requests: &[ClaimRequest]) -> Result<(), Fault> {
        let Claims { keys, places, admitted, hits, scratch, .. } = claims;
        hits.clear();
        keys.clear();
        keys.extend(requests.iter().map(|request| high(request.id)));
        for frozen in &view.frozen {
            for (index, request) in (0u32..).zip(requests) {
                frozen.table.find(request, |position, accepted_at, digest| {
                    hits.push(Hit { request: index, position, accepted_at, digest });
                });
            }
        }
        let oldest = requests.iter().map(|r| r.accepted_at).min();
        let reach = requests.iter().map(|r| r.accepted_at.nanos().saturating_sub(r.window_ns)).min();
        let mut filters_asked = 0;
        let mut blocks_read = 0;
        for run in &view.runs {
            let newest = run.footer().accepted.1;
            // Out of every window, and older than every record: neither a rival nor a replay can be in it.
            if reach.is_some_and(|reach| newest.nanos() <= reach) && oldest.is_some_and(|oldest| newest < oldest) {
                continue;
            }
            filters_asked += requests.len() as u64;
            run.admit(keys, places, admitted);
            for index in admitted.iter() {
                blocks_read += run.find(&requests[*index as usize], *index, scratch, hits)?;
            }
        }
        hits.sort_unstable_by_key(|hit| hit.request);
        self.counters.lookups.add(requests.len() as u64);
        self.counters.filters_asked.add(filters_asked);
        self.counters.blocks_read.add(blocks_read);
        Ok(())
    }

    /// See `EmbeddedIdIndex::owners`.
    pub fn owners(&self, id: u128) -> Result<Vec<Position>, Fault> {
        // Asks as a record beyond every other: all winners exist for it.
        let beyond = Position::new(u32::MAX, u64::MAX);
        let (accepted_at, window_ns) = (Instant::from_nanos(i64::MAX), i64::MAX);
        let request = ClaimRequest { id, digest: 0, position: beyond, accepted_at, window_ns };
        let mut owners = Vec::new();
        let view = {
            let claims = lock(&self.claims);
            claims.hot.find(&request, |position, _, _| owners.push(position));
            Arc::clone(&self.shelf().view)
        };
        for frozen in &view.frozen {
            frozen.table.find(&request, |position, _, _| owners.push(position));
        }
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        for run in view.runs.iter().filter(|run| run.may_hold(id)) {
            run.find(&request, 0, &mut scratch, &mut hits)?;
        }
        owners.extend(hits.iter().map(|hit| hit.position));
        owners.sort_unstable();
        owners.dedup();
        Ok(owners)
    }

    /// Makes everything claimed so far durable, and says how far that is. Blocks its thread until it is; claims go on
    /// meanwhile.
    pub fn checkpoint(&self) -> Result<Frontier, Fault> {
        let number = {
            let mut claims = lock(&self.claims);
            if claims.hot.len() > 0 || claims.frozen_at != claims.progress {
                self.freeze(&mut claims, &mut self.shelf());
            }
            claims.next_frozen
        };
        let mut shelf = self.shelf();
        // Asked again, a table that could not be sealed is tried again.
        shelf.seal_fault = None;
        self.changed.notify_all();
        loop {
            if shelf.sealed >= number {
                return Ok(shelf.durable.clone());
            }
            if shelf.stop {
                return Err(refused("the index was closed before the checkpoint was durable"));
            }
            if let Some(fault) = &shelf.seal_fault {
                return Err(fault.clone());
            }
            shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// See `EmbeddedIdIndex::release`.
    pub fn release(&self, below: &Frontier) {
        let mut shelf = self.shelf();
        let mut passed = None;
        while shelf.points.front().is_some_and(|point| below.covers(&point.frontier)) {
            passed = shelf.points.pop_front();
        }
        let horizon = passed.and_then(|point| {
            point.floor().map(|floor| Instant::from_nanos(floor.nanos().saturating_sub(point.window_ns)))
        });
        if horizon > shelf.horizon {
            shelf.horizon = horizon;
            self.changed.notify_all();
        }
    }

    pub fn frontier(&self) -> Frontier {
        lock(&self.claims).progress.frontier.clone()
    }

    /// Tells the threads and everyone who waits to stop.
    pub fn stop(&self) {
        self.shelf().stop = true;
        self.changed.notify_all();
        self.room.notify_waiters();
    }

    pub fn snapshot(&self) -> IndexSnapshot {
        let (hot_ids, hot_bytes) = {
            let claims = lock(&self.claims);
            (claims.hot.len(), claims.hot.bytes())
        };
        let (view, durable) = {
            let shelf = self.shelf();
            (Arc::clone(&shelf.view), shelf.durable.clone())
        };
        let frozen_ids: usize = view.frozen.iter().map(|frozen| frozen.table.len()).sum();
        let frozen_bytes: usize = view.frozen.iter().map(|frozen| frozen.table.bytes()).sum();
        let run_bytes: usize = view.runs.iter().map(|run| run.memory_bytes()).sum();
        IndexSnapshot {
            durable,
            hot_ids: (hot_ids + frozen_ids) as u64,
            sealed_ids: view.runs.iter().map(|run| run.footer().ids).sum(),
            runs: view.runs.len() as u64,
            expired_ids: self.counters.expired_ids.get(),
            expired_runs: self.counters.expired_runs.get(),
            seals: self.counters.seals.get(),
            merges: self.counters.merges.get(),
            lookups: self.counters.lookups.get(),
            filters_asked: self.counters.filters_asked.get(),
            blocks_read: self.counters.blocks_read.get(),
            memory_bytes: (hot_bytes + frozen_bytes + run_bytes) as u64,
            disk_bytes: view.runs.iter().map(|run| run.disk_bytes()).sum(),
        }
    }
}

impl Claims {
    /// Decides in order, so that a batch's own winners count for what follows them in it.
    fn take(&mut self, requests: &[ClaimRequest]) -> Vec<Claim> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut hits = self.hits.iter().peekable();
        for (index, request) in (0u32..).zip(requests) {
            let mut findings = Findings::default();
            while let Some(hit) = hits.next_if(|hit| hit.request == index) {
                findings.add(request, hit.position, hit.accepted_at, hit.digest);
            }
            self.hot.find(request, |position, accepted_at, digest| {
                findings.add(request, position, accepted_at, digest);
            });
            let answer = findings.answer(request);
            if answer == Claim::Won {
                self.hot.insert(request);
            }
            answers.push(answer);
        }
        answers
    }
}
