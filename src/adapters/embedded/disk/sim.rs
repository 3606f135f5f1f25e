//! A disk in memory that forgets, for tests only (unit and integration tests alike).
//!
//! It keeps apart what the page cache shows and what the platter has: 4 KiB pages, a file's length, and directory
//! entries become durable by a sync alone. At a power cut a random subset of what was not synced survives, in any
//! combination: any of the versions a page had since its last sync, any length between the durable and the last one,
//! any subset of the directory's changes (a rename is atomic). What was synced always survives.
//! A sync that fails loses some of its pages for good and calls the rest clean, as Linux does, so that whoever just
//! syncs again is found out. Everything follows from the seed.

use super::{Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

mod platter;

use platter::{Change, Inode, Random, parent};

/// Free space of a new disk, in bytes.
const FREE_BYTES: u64 = 1 << 40;

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Told when syncs may go on, or never will.
    let_go: Arc<Condvar>,
}

/// How many operations of each sort were asked for, failed ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// All of them, those that only look included.
    pub operations: u64,
    pub reads: u64,
    pub writes: u64,
    pub written_bytes: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
    /// Syncs that failed because a test wanted it.
    pub failed_syncs: u64,
    /// Pages and directory changes that a power cut took.
    pub lost: u64,
}

#[derive(Clone)]
struct State {
    random: Random,
    files: BTreeMap<u64, Inode>,
    dirs: BTreeSet<PathBuf>,
    entries: BTreeMap<PathBuf, u64>,
    durable_entries: BTreeMap<PathBuf, u64>,
    pending: Vec<Change>,
    next_inode: u64,
    powered: bool,
    holds_syncs: bool,
    operations_left: Option<u64>,
    fail_syncs: u64,
    fail_writes: u64,
    free_bytes: u64,
    counts: SimCounts,
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl SimDisk {
    /// An empty disk; everything random about it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(State {
            random: Random(seed),
            files: BTreeMap::new(),
            dirs: BTreeSet::from([PathBuf::new()]),
            entries: BTreeMap::new(),
            durable_entries: BTreeMap::new(),
            pending: Vec::new(),
            next_inode: 0,
            powered: true,
            holds_syncs: false,
            operations_left: None,
            fail_syncs: 0,
            fail_writes: 0,
            free_bytes: FREE_BYTES,
            counts: SimCounts::default(),
        })
    }

    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), let_go: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this many more operations through; every later one fails.
    pub fn power_cut_after(&self, operations: u64) {
        self.lock().operations_left = Some(operations);
    }

    /// Cuts the power now: every operation fails from here on.
    pub fn power_cut(&self) {
        self.lock().powered = false;
        self.let_go.notify_all();
    }

    /// From here on file syncs wait, as on a slow disk, until [`SimDisk::let_syncs_go`] or a power cut.
    pub fn hold_syncs(&self) {
        self.lock().holds_syncs = true;
    }

    pub fn let_syncs_go(&self) {
        self.lock().holds_syncs = false;
        self.let_go.notify_all();
    }

    /// Whether the power is still on.
    pub fn is_on(&self) -> bool {
        self.lock().powered
    }

    /// Cuts the power and brings up the disk that survived, with nothing left un-synced.
    pub fn restart(&self) -> SimDisk {
        let mut state = self.take_over();
        state.lose();
        Self::with(state)
    }

    /// Ends the process but not the machine: what was not synced is still shown, and can still be lost.
    /// Handles of the old process fail as after a power cut.
    pub fn kill(&self) -> SimDisk {
        Self::with(self.take_over())
    }

    fn take_over(&self) -> State {
        let mut old = self.lock();
        let state = State {
            powered: true,
            holds_syncs: false,
            operations_left: None,
            fail_syncs: 0,
            fail_writes: 0,
            ..old.clone()
        };
        old.powered = false;
        old.random.next();
        self.let_go.notify_all();
        state
    }

    /// Flips one bit of a file, on the platter too; `bit` is counted from the start of the file (byte × 8 + bit).
    ///
    /// # Panics
    /// When there is no such file or bit: the test is wrong.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut state = self.lock();
        let inode = *state.entries.get(path).expect("a file to flip a bit in");
        let file = state.files.get_mut(&inode).expect("every entry has its file");
        let (byte, mask) = (usize::try_from(bit / 8).expect("a bit in memory"), 1u8 << (bit % 8));
        file.shown[byte] ^= mask;
        if let Some(durable) = file.durable.get_mut(byte) {
            *durable ^= mask;
        }
    }

    /// The next file sync fails, and loses some of its pages.
    pub fn fail_next_sync(&self) {
        self.fail_next_syncs(1);
    }

    /// The next `count` file syncs fail.
    pub fn fail_next_syncs(&self, count: u64) {
        self.lock().fail_syncs = count;
    }

    /// The next `count` writes fail, having written some of their bytes.
    pub fn fail_next_writes(&self, count: u64) {
        self.lock().fail_writes = count;
    }

    /// What [`Disk::free_bytes`] says from here on.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.lock().free_bytes = bytes;
    }

    pub fn counts(&self) -> SimCounts {
        self.lock().counts
    }

    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.counts.operations += 1;
        if state.operations_left == Some(0) {
            state.powered = false;
        }
        if !state.powered {
            return Err(off());
        }
        state.operations_left = state.operations_left.map(|left| left - 1);
        Ok(state)
    }

    fn handle(&self, inode: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), inode })
    }
}

impl State {
    /// Keeps a random subset of what was not synced.
    fn lose(&mut self) {
        let mut entries = std::mem::take(&mut self.durable_entries);
        for change in std::mem::take(&mut self.pending) {
            if self.random.coin() {
                change.apply(&mut entries);
            } else {
                self.counts.lost += 1;
            }
        }
        self.entries = entries.clone();
        self.durable_entries = entries;
        for file in self.files.values_mut() {
            self.counts.lost += file.keep_some(&mut self.random);
            file.shown = file.durable.clone();
        }
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.entries.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.entries);
        self.pending.push(change);
    }

    fn dir(&self, path: &Path) -> io::Result<()> {
        if self.dirs.contains(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.begin()?.inode(path)?;
        Ok(self.handle(inode))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.begin()?;
        state.dir(parent(path))?;
        if state.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.files.insert(inode, Inode::default());
        state.change(Change::Create { path: path.to_path_buf(), inode });
        drop(state);
        Ok(self.handle(inode))
    }

    fn exists(&self, path: &Path) -> bool {
        self.begin().is_ok_and(|state| state.entries.contains_key(path) || state.dirs.contains(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.begin()?;
        state.dir(dir)?;
        let below = state.entries.keys().chain(&state.dirs).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> =
            below.filter_map(|path| path.file_name()).filter_map(|name| name.to_str().map(String::from)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.begin()?;
        state.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin()?;
        let inode = state.inode(from)?;
        state.dir(parent(to))?;
        state.change(Change::Rename { from: from.to_path_buf(), to: to.to_path_buf(), inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin()?;
        let inode = state.inode(path)?;
        state.change(Change::Remove { path: path.to_path_buf(), inode });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.begin()?;
        state.dir(dir)?;
        state.counts.dir_syncs += 1;
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending).into_iter().partition(|c| c.touches(dir));
        for change in &now {
            change.apply(&mut state.durable_entries);
        }
        state.pending = later;
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.begin()?.free_bytes)
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Inode) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.begin()?;
        let mut file = state.files.remove(&self.inode).expect("an open file is there until the disk goes");
        let result = act(&mut state, &mut file);
        state.files.insert(self.inode, file);
        result
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|state, file| {
            state.counts.writes += 1;
            state.counts.written_bytes += bytes.len() as u64;
            if state.fail_writes > 0 {
                state.fail_writes -= 1;
                file.write(offset, &bytes[..state.random.below(bytes.len() + 1)]);
                return Err(io::Error::other("a write failed, as the test wanted"));
            }
            file.write(offset, bytes);
            Ok(())
        })
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|_, file| Ok(file.shown.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|state, file| {
            state.counts.reads += 1;
            let bytes = offset.checked_add(buffer.len()).and_then(|end| file.shown.get(offset..end));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(offset, bytes)
    }

    fn write_parts_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.write(offset, &parts.concat())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.with(|_, file| {
            file.truncate(length);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let held = self.disk.let_go.wait_while(self.disk.lock(), |state| state.holds_syncs && state.powered);
        drop(held);
        self.with(|state, file| {
            state.counts.syncs += 1;
            if state.fail_syncs > 0 {
                state.fail_syncs -= 1;
                state.counts.failed_syncs += 1;
                state.counts.lost += file.keep_some(&mut state.random);
                return Err(io::Error::other("a sync failed, as the test wanted"));
            }
            file.sync();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
