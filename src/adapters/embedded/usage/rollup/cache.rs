//! The block cache: decoded blocks of runs and event files, bounded by bytes, shared by all readers.
//!
//! CLOCK: a block that was used since the hand last passed gets another round; the hand drops the others.

use crate::domain::fault::Fault;
use crate::ports::stats::Counter;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Readers that do not meet in one shard do not wait for each other.
const SHARDS: usize = 16;
/// What an entry costs beyond its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// A file in this process's caches; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId(u64);

/// Decoded blocks, by (file, offset).
#[derive(Debug)]
pub struct BlockCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
    files: AtomicU64,
    hits: Counter,
    misses: Counter,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<(FileId, u64), usize>,
    entries: Vec<Entry>,
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    key: (FileId, u64),
    block: Arc<[u8]>,
    used: bool,
}

impl BlockCache {
    /// Holds at most `bytes_max` bytes. A block larger than a sixteenth of it is never kept.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            shard_bytes_max: bytes_max / SHARDS,
            files: AtomicU64::new(0),
            hits: Counter::default(),
            misses: Counter::default(),
        })
    }

    /// A name for a file that was just opened.
    pub fn register(&self) -> FileId {
        FileId(self.files.fetch_add(1, Ordering::Relaxed))
    }

    /// The block at (file, offset), read when it is not here. Two readers may read the same block at once.
    pub fn get_or_read(
        &self,
        file: FileId,
        offset: u64,
        read: impl FnOnce() -> Result<Arc<[u8]>, Fault>,
    ) -> Result<Arc<[u8]>, Fault> {
        let key = (file, offset);
        if let Some(block) = self.shard(key).get(key) {
            self.hits.inc();
            return Ok(block);
        }
        self.misses.inc();
        let block = read()?;
        self.shard(key).insert(key, block.clone(), self.shard_bytes_max);
        Ok(block)
    }

    /// Drops all blocks of a file that is gone.
    pub fn forget(&self, file: FileId) {
        for shard in &self.shards {
            lock(shard).forget(file);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).bytes).sum()
    }

    /// Lookups so far that found their block, and that had to read it.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    fn shard(&self, key: (FileId, u64)) -> MutexGuard<'_, Shard> {
        let mixed = (key.0.0 ^ key.1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        lock(&self.shards[(mixed >> 60) as usize % SHARDS])
    }
}

/// A shard is consistent between any two statements that can panic.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn get(&mut self, key: (FileId, u64)) -> Option<Arc<[u8]>> {
        let entry = &mut self.entries[*self.places.get(&key)?];
        entry.used = true;
        Some(entry.block.clone())
    }

    fn insert(&mut self, key: (FileId, u64), block: Arc<[u8]>, bytes_max: usize) {
        let cost = cost(&block);
        if cost > bytes_max || self.places.contains_key(&key) {
            return;
        }
        while self.bytes + cost > bytes_max {
            self.evict_one();
        }
        self.bytes += cost;
        self.places.insert(key, self.entries.len());
        self.entries.push(Entry { key, block, used: false });
    }

    /// Only called when there is an entry.
    fn evict_one(&mut self) {
        loop {
            self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
            let place = self.hand;
            // The youngest entry moves into a freed place: the hand passes it by, so that it gets its round.
            self.hand += 1;
            if !std::mem::take(&mut self.entries[place].used) {
                return self.remove(place);
            }
        }
    }

    fn forget(&mut self, file: FileId) {
        for place in (0..self.entries.len()).rev() {
            if self.entries[place].key.0 == file {
                self.remove(place);
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let entry = self.entries.swap_remove(place);
        self.bytes -= cost(&entry.block);
        self.places.remove(&entry.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key, place);
        }
    }
}

fn cost(block: &[u8]) -> usize {
    block.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(length: usize) -> Arc<[u8]> {
        vec![7; length].into()
    }

    #[test]
    fn a_block_is_read_once_and_forgotten_with_its_file() {
        let cache = BlockCache::new(1 << 20);
        let (a, b) = (cache.register(), cache.register());
        let read = |file| cache.get_or_read(file, 5, || Ok(block(10))).unwrap();
        for file in [a, b, a, b] {
            read(file);
        }
        assert_eq!(cache.hits_and_misses(), (2, 2));
        cache.forget(a);
        read(a);
        assert_eq!(cache.hits_and_misses(), (2, 3));
    }

    #[test]
    fn memory_stays_bounded_whatever_is_read() {
        let bytes_max = 1 << 16;
        let cache = BlockCache::new(bytes_max);
        let file = cache.register();
        for offset in 0..5_000 {
            let length = (offset as usize * 37) % 9_000;
            assert_eq!(cache.get_or_read(file, offset, || Ok(block(length))).unwrap().len(), length);
            assert!(cache.bytes() <= bytes_max);
        }
        assert!(cache.bytes() > bytes_max / 2, "a cache that keeps nothing is none");
    }

    #[test]
    fn a_block_in_use_outlives_a_scan() {
        let cache = BlockCache::new(SHARDS * 8 * (1_000 + ENTRY_OVERHEAD_BYTES));
        let file = cache.register();
        let mut read_again = 0;
        for offset in 0..2_000 {
            cache
                .get_or_read(file, 1_000_000, || {
                    read_again += 1;
                    Ok(block(1_000))
                })
                .unwrap();
            cache.get_or_read(file, offset, || Ok(block(1_000))).unwrap();
        }
        assert_eq!(read_again, 1);
    }

    #[test]
    fn a_fault_is_passed_on_and_not_kept() {
        let cache = BlockCache::new(1 << 20);
        let file = cache.register();
        assert!(cache.get_or_read(file, 0, || Err(Fault::give_up("usage store", "bad"))).is_err());
        assert!(cache.get_or_read(file, 0, || Ok(block(1))).is_ok());
    }
}
