//! The interner: texts of series are allocated and hashed once, not once per event.
//!
//! Lives between batches. A subject is looked up once per event, a series once per measure; each lookup costs one
//! unkeyed hash and one comparison of texts that lie side by side. The keyed hash that is a series' identity is made
//! only for a series that is not here yet. Bounded: when it is full it starts anew.

use super::Series;
use crate::domain::digest::HashKey;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Series and bytes of texts remembered between batches, at most.
const INTERNED_SERIES_MAX: usize = 1 << 16;
const INTERNED_BYTES_MAX: usize = 16 << 20;

/// Known series, each with a slot.
#[derive(Debug, Default)]
pub(super) struct Interner {
    key: Option<HashKey>,
    /// All subjects, then all groups, one after the other.
    subject_texts: String,
    group_texts: Vec<u8>,
    subjects: Vec<SubjectEntry>,
    slots: Vec<Slot>,
    series: Vec<Arc<Series>>,
    subject_table: Table,
    slot_table: Table,
}

/// A subject known to the interner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    index: u32,
    hash: u64,
}

#[derive(Debug)]
struct SubjectEntry {
    hash: u64,
    start: usize,
    end: usize,
}

/// What tells a series from others, without a look at its texts' heap.
#[derive(Debug)]
struct Slot {
    hash: u64,
    meter: u128,
    start: usize,
    length: u32,
    subject: u32,
}

impl Interner {
    /// Must be called before a batch: slots and subjects stay the same until the next call.
    pub fn begin_batch(&mut self) {
        let bytes = self.subject_texts.len() + self.group_texts.len();
        if self.slots.len() > INTERNED_SERIES_MAX || bytes > INTERNED_BYTES_MAX {
            *self = Self { key: self.key, ..Self::default() };
        }
    }

    /// Slots so far: every slot is below this.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn series(&self, slot: u32) -> &Arc<Series> {
        &self.series[slot as usize]
    }

    /// The subject, known or new.
    pub fn subject(&mut self, key: &HashKey, text: &str) -> Subject {
        assert!(*self.key.get_or_insert(*key) == *key, "one installation has one key");
        let hash = xxh3_64_with_seed(text.as_bytes(), key.0);
        let is = |index: u32| {
            let entry = &self.subjects[index as usize];
            entry.hash == hash && self.subject_texts[entry.start..entry.end] == *text
        };
        let index = self.subject_table.find(hash, is).unwrap_or_else(|| {
            let start = self.subject_texts.len();
            self.subject_texts.push_str(text);
            self.subjects.push(SubjectEntry { hash, start, end: self.subject_texts.len() });
            self.subject_table.insert(hash, self.subjects.len(), |index| self.subjects[index].hash)
        });
        Subject { index, hash }
    }

    /// The slot of a series, known or new.
    pub fn slot(&mut self, key: &HashKey, meter: u128, subject: Subject, groups: &[u8]) -> u32 {
        let hash = xxh3_64_with_seed(groups, subject.hash ^ meter as u64 ^ (meter >> 64) as u64);
        let is = |index: u32| {
            let slot = &self.slots[index as usize];
            (slot.hash, slot.meter, slot.subject, slot.length as usize) == (hash, meter, subject.index, groups.len())
                && self.group_texts[slot.start..][..groups.len()] == *groups
        };
        self.slot_table.find(hash, is).unwrap_or_else(|| self.insert(hash, key, meter, subject, groups))
    }

    #[cold]
    fn insert(&mut self, hash: u64, key: &HashKey, meter: u128, subject: Subject, groups: &[u8]) -> u32 {
        let entry = &self.subjects[subject.index as usize];
        let text = &self.subject_texts[entry.start..entry.end];
        let id = key.series(meter, text, groups);
        self.series.push(Arc::new(Series { meter, id, subject: text.into(), groups: groups.into() }));
        let start = self.group_texts.len();
        self.group_texts.extend_from_slice(groups);
        let length = u32::try_from(groups.len()).expect("a measure's groups lie in 32 bits");
        self.slots.push(Slot { hash, meter, start, length, subject: subject.index });
        self.slot_table.insert(hash, self.slots.len(), |index| self.slots[index].hash)
    }
}

/// Open addressing over a list that grows: at most half full, nothing is ever removed.
#[derive(Debug, Default)]
struct Table {
    /// Indices into the list; empty, or a power of two of places.
    places: Vec<u32>,
}

const FREE: u32 = u32::MAX;
const TABLE_PLACES_MIN: usize = 1 << 10;

impl Table {
    fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.places.len().checked_sub(1)?;
        let mut place = hash as usize & mask;
        while self.places[place] != FREE {
            if is(self.places[place]) {
                return Some(self.places[place]);
            }
            place = (place + 1) & mask;
        }
        None
    }

    /// Takes in the last of `length` list entries; answers its index.
    fn insert(&mut self, hash: u64, length: usize, hash_of: impl Fn(usize) -> u64) -> u32 {
        if length * 2 > self.places.len() {
            self.places = vec![FREE; (self.places.len() * 2).max(TABLE_PLACES_MIN)];
            (0..length - 1).for_each(|index| self.put(hash_of(index), index));
        }
        self.put(hash, length - 1);
        (length - 1) as u32
    }

    fn put(&mut self, hash: u64, index: usize) {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        while self.places[place] != FREE {
            place = (place + 1) & mask;
        }
        self.places[place] =
            u32::try_from(index).ok().filter(|i| *i != FREE).expect("a batch has fewer than 2³² events");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey(1, 2);

    #[test]
    fn a_series_has_one_slot_however_often_it_is_asked_for() {
        let mut interner = Interner::default();
        for round in 0..2 {
            interner.begin_batch();
            for number in 0..3_000u32 {
                let subject = interner.subject(&KEY, &format!("s{}", number / 3));
                let groups = [&b"xyz"[..(number % 3) as usize], b""].concat();
                let slot = interner.slot(&KEY, 7, subject, &groups);
                assert_eq!(slot, number, "round {round}");
                let series = interner.series(slot);
                assert_eq!(series.id, KEY.series(7, &format!("s{}", number / 3), &groups));
            }
        }
    }

    #[test]
    fn where_subject_and_groups_meet_does_not_matter() {
        let mut interner = Interner::default();
        let (ab, a) = (interner.subject(&KEY, "ab"), interner.subject(&KEY, "a"));
        let slots = [
            interner.slot(&KEY, 1, ab, b"c"),
            interner.slot(&KEY, 1, a, b"bc"),
            interner.slot(&KEY, 2, ab, b"c"),
            interner.slot(&KEY, 1, ab, b""),
        ];
        assert_eq!(slots, [0, 1, 2, 3]);
    }

    #[test]
    fn a_full_interner_starts_anew_with_the_next_batch() {
        let mut interner = Interner::default();
        interner.begin_batch();
        for number in 0..=INTERNED_SERIES_MAX {
            let subject = interner.subject(&KEY, &number.to_string());
            interner.slot(&KEY, 1, subject, b"");
        }
        assert_eq!(interner.len(), INTERNED_SERIES_MAX + 1);
        interner.begin_batch();
        assert_eq!(interner.len(), 0);
    }
}
