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
use std::sync::{Arc, Mutex, MutexGuard};

/// What survives or not as one, in bytes.
const PAGE: usize = 4096;
/// Free space of a new disk, in bytes.
const FREE_BYTES: u64 = 1 << 40;

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
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
    operations_left: Option<u64>,
    fail_syncs: u64,
    fail_writes: u64,
    free_bytes: u64,
    counts: SimCounts,
}

/// One file: as the page cache shows it, as the platter has it, and the pages that differ with all their versions.
#[derive(Clone, Default)]
struct Inode {
    shown: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// A change of directory entries that no directory sync has covered yet.
#[derive(Clone)]
enum Change {
    Create { path: PathBuf, inode: u64 },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
    Remove { path: PathBuf, inode: u64 },
}

impl Change {
    fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Create { path, .. } | Self::Remove { path, .. } => parent(path) == dir,
            Self::Rename { from, to, .. } => parent(from) == dir || parent(to) == dir,
        }
    }

    /// Applied by what it means, not by what was there before: an earlier change may be lost.
    fn apply(&self, entries: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Create { path: to, inode } | Self::Rename { to, inode, .. } => {
                entries.retain(|_, there| there != inode);
                entries.insert(to.clone(), *inode);
            }
            Self::Remove { path, inode } => {
                if entries.get(path) == Some(inode) {
                    entries.remove(path);
                }
            }
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
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
            operations_left: None,
            fail_syncs: 0,
            fail_writes: 0,
            free_bytes: FREE_BYTES,
            counts: SimCounts::default(),
        })
    }

    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets this many more operations through; every later one fails.
    pub fn power_cut_after(&self, operations: u64) {
        self.lock().operations_left = Some(operations);
    }

    /// Cuts the power now: every operation fails from here on.
    pub fn power_cut(&self) {
        self.lock().powered = false;
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
        let state = State { powered: true, operations_left: None, fail_syncs: 0, fail_writes: 0, ..old.clone() };
        old.powered = false;
        old.random.next();
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

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let before = self.shown.len();
        let end = offset + bytes.len();
        self.shown.resize(before.max(end), 0);
        self.shown[offset..end].copy_from_slice(bytes);
        self.touch(offset.min(before), end);
    }

    fn truncate(&mut self, length: usize) {
        let before = self.shown.len();
        self.shown.resize(length, 0);
        self.touch(before.min(length), before.max(length).max(self.durable.len()));
    }

    /// Notes a version of every page in `[from, to)`.
    fn touch(&mut self, from: usize, to: usize) {
        for page in from / PAGE..to.div_ceil(PAGE) {
            let version = page_of(&self.shown, page).to_vec();
            self.dirty.entry(page).or_default().push(version);
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.shown.len(), 0);
        for page in std::mem::take(&mut self.dirty).into_keys() {
            let version = page_of(&self.shown, page);
            self.durable[page * PAGE..][..version.len()].copy_from_slice(version);
        }
    }

    /// Moves a random subset to the platter and forgets the rest; how many pages were lost.
    fn keep_some(&mut self, random: &mut Random) -> u64 {
        let (least, most) = (self.durable.len().min(self.shown.len()), self.durable.len().max(self.shown.len()));
        let length = match random.below(4) {
            0 => self.durable.len(),
            1 => least + random.below(most - least + 1),
            _ => self.shown.len(),
        };
        self.durable.resize(length, 0);
        let mut lost = 0;
        for (page, versions) in std::mem::take(&mut self.dirty) {
            let start = page * PAGE;
            if start >= length || random.coin() {
                lost += 1;
                continue;
            }
            let version = if random.coin() { versions.last() } else { versions.get(random.below(versions.len())) };
            let version = version.expect("a dirty page has a version");
            let end = length.min(start + version.len());
            self.durable[start..end].copy_from_slice(&version[..end - start]);
        }
        lost
    }
}

/// The bytes of a page that lie in the file.
fn page_of(bytes: &[u8], page: usize) -> &[u8] {
    let start = (page * PAGE).min(bytes.len());
    &bytes[start..bytes.len().min(start + PAGE)]
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

/// splitmix64: small, and the same everywhere.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[cfg(test)]
#[path = "sim_tests.rs"]
mod tests;
