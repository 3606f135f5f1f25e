//! The interner: texts of series are allocated and hashed once, not once per event.
//!
//! Lives between batches. A lookup costs one unkeyed hash and one comparison of texts; the keyed hash that is the
//! series' identity is made only for a series that is not here. Bounded: when it is full it starts anew.

use super::Series;
use crate::domain::digest::HashKey;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Series remembered between batches, at most.
const INTERNED_SERIES_MAX: usize = 1 << 16;
/// Places in the table at the start; a power of two.
const TABLE_PLACES_MIN: usize = 1 << 10;
const FREE: u32 = u32::MAX;

/// Known series, each with a slot.
#[derive(Debug)]
pub(super) struct Interner {
    key: Option<HashKey>,
    slots: Vec<Slot>,
    /// Open addressing over `slots`; at most half full.
    table: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    /// The unkeyed hash that finds it.
    hash: u64,
    series: Arc<Series>,
}

impl Interner {
    pub fn new() -> Self {
        Self { key: None, slots: Vec::new(), table: vec![FREE; TABLE_PLACES_MIN] }
    }

    /// Must be called before a batch: slots stay the same until the next call.
    pub fn begin_batch(&mut self) {
        if self.slots.len() > INTERNED_SERIES_MAX {
            *self = Self { key: self.key, ..Self::new() };
        }
    }

    /// Slots so far: every slot is below this.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn series(&self, slot: u32) -> &Arc<Series> {
        &self.slots[slot as usize].series
    }

    /// Hash of a subject, to be given to [`Interner::slot`] for each of its measures.
    pub fn subject_hash(key: &HashKey, subject: &str) -> u64 {
        xxh3_64_with_seed(subject.as_bytes(), key.0)
    }

    /// The slot of a series, known or new.
    pub fn slot(&mut self, key: &HashKey, meter: u128, subject: (&str, u64), groups: &[u8]) -> u32 {
        assert!(*self.key.get_or_insert(*key) == *key, "one installation has one key");
        let seed = subject.1 ^ meter as u64 ^ (meter >> 64) as u64;
        let hash = xxh3_64_with_seed(groups, seed);
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        while self.table[place] != FREE {
            let slot = &self.slots[self.table[place] as usize];
            if slot.hash == hash && slot.is(meter, subject.0, groups) {
                return self.table[place];
            }
            place = (place + 1) & mask;
        }
        self.insert(place, hash, key, meter, subject.0, groups)
    }

    #[cold]
    fn insert(&mut self, place: usize, hash: u64, key: &HashKey, meter: u128, subject: &str, groups: &[u8]) -> u32 {
        let id = key.series(meter, subject, groups);
        let series = Arc::new(Series { meter, id, subject: subject.into(), groups: groups.into() });
        let slot = u32::try_from(self.slots.len()).expect("a batch has fewer than 2³² measures");
        self.slots.push(Slot { hash, series });
        self.table[place] = slot;
        if self.slots.len() * 2 > self.table.len() {
            self.grow();
        }
        slot
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        self.table = vec![FREE; mask + 1];
        for (index, slot) in self.slots.iter().enumerate() {
            let mut place = slot.hash as usize & mask;
            while self.table[place] != FREE {
                place = (place + 1) & mask;
            }
            self.table[place] = index as u32;
        }
    }
}

impl Slot {
    fn is(&self, meter: u128, subject: &str, groups: &[u8]) -> bool {
        self.series.meter == meter && *self.series.subject == *subject && *self.series.groups == *groups
    }
}
