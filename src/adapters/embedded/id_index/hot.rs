//! The hot table: the ids that were won most recently, in memory.
//!
//! Entries lie in the order they were claimed in; slots, open-addressed by the id, point at them. Ids are keyed
//! hashes, so their bits serve as they are. An id may be there several times (it was won again after its window):
//! each has a slot of its own, and a lookup sees all of them. Nothing is ever removed: a full table is frozen,
//! sealed into a run, and dropped whole.

use super::entry::Won;
use super::times::Mark;
use crate::domain::position::Position;
use crate::domain::time::Instant;
use crate::ports::id_index::ClaimRequest;

/// Slots of a new table; a power of two.
const SLOTS_MIN: usize = 1_024;

/// Forty bytes: no field is wider than eight, so that none are lost to alignment.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: [u64; 2],
    offset: u64,
    accepted_ns: i64,
    partition: u32,
    digest: u32,
}

/// A table of ids in memory.
#[derive(Debug)]
pub(super) struct HotTable {
    entries: Vec<Entry>,
    /// 0 when empty; else the low half: index of the entry plus one, the high half: a tag from the id, so that a
    /// foreign entry is seldom looked at.
    slots: Vec<u64>,
}

impl HotTable {
    /// A table that does not grow before it holds `ids`.
    pub fn for_ids(ids: usize) -> Self {
        let slots = (ids * 2).next_power_of_two().max(SLOTS_MIN);
        Self { entries: Vec::with_capacity(ids), slots: vec![0; slots] }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.slots.len() * size_of::<u64>()
    }

    /// Calls with position, accepted-at and digest of every winner of the request's id.
    #[inline]
    pub fn find(&self, request: &ClaimRequest, mut visit: impl FnMut(Position, Instant, u32)) {
        let id = halves(request.id);
        let mask = self.slots.len() - 1;
        let mut at = id[0] as usize & mask;
        while self.slots[at] != 0 {
            if tag(self.slots[at]) == tag(id[1]) {
                let entry = &self.entries[entry_index(self.slots[at])];
                if entry.id == id {
                    let position = Position::new(entry.partition, entry.offset);
                    visit(position, Instant::from_nanos(entry.accepted_ns), entry.digest);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Remembers a winner.
    pub fn insert(&mut self, request: &ClaimRequest) {
        if (self.entries.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let entry = Entry {
            id: halves(request.id),
            offset: request.position.offset,
            accepted_ns: request.accepted_at.nanos(),
            partition: request.position.partition,
            digest: request.digest,
        };
        self.entries.push(entry);
        place(&mut self.slots, entry.id, self.entries.len());
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        for (i, entry) in self.entries.iter().enumerate() {
            place(&mut slots, entry.id, i + 1);
        }
        self.slots = slots;
    }

    /// What a run is made of: the winners, sorted by id and position.
    pub fn sorted(&self) -> Vec<Won> {
        let won = |entry: &Entry| Won {
            id: u128::from(entry.id[1]) << 64 | u128::from(entry.id[0]),
            position: Position::new(entry.partition, entry.offset),
            digest: entry.digest,
        };
        let mut all: Vec<Won> = self.entries.iter().map(won).collect();
        all.sort_unstable_by_key(Won::key);
        all
    }

    /// When each winner was accepted, by position.
    pub fn times(&self) -> Vec<Mark> {
        let mark = |entry: &Entry| Mark {
            position: Position::new(entry.partition, entry.offset),
            accepted_at: Instant::from_nanos(entry.accepted_ns),
        };
        let mut all: Vec<Mark> = self.entries.iter().map(mark).collect();
        // A stable sort takes the order of the claims, which is nearly that of the positions, as it finds it.
        all.sort_by_key(|mark| mark.position);
        all
    }
}

fn place(slots: &mut [u64], id: [u64; 2], index_plus_one: usize) {
    let mask = slots.len() - 1;
    let mut at = id[0] as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = tag(id[1]) << 32 | index_plus_one as u64;
}

fn tag(bits: u64) -> u64 {
    bits >> 32
}

fn entry_index(slot: u64) -> usize {
    (slot as u32 - 1) as usize
}

/// Low half first.
fn halves(id: u128) -> [u64; 2] {
    [id as u64, (id >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::super::entry::Findings;
    use super::*;
    use crate::ports::id_index::Claim;

    fn request(id: u128, offset: u64, accepted: i64) -> ClaimRequest {
        let (position, accepted_at) = (Position::new(0, offset), Instant::from_nanos(accepted));
        ClaimRequest { id, digest: 1, position, accepted_at, window_ns: 10 }
    }

    fn ask(table: &HotTable, request: &ClaimRequest) -> Claim {
        let mut findings = Findings::default();
        table.find(request, |position, accepted_at, digest| findings.add(request, position, accepted_at, digest));
        findings.answer(request)
    }

    #[test]
    fn every_version_of_an_id_is_found_however_the_table_grows() {
        let mut table = HotTable::for_ids(0);
        let ids = 400u64;
        for offset in 0..ids * 3 {
            // Ids that differ in neither tag nor slot, so that every probe meets foreign entries.
            table.insert(&request(u128::from(offset % ids / 8), offset, offset as i64));
        }
        assert_eq!(table.len(), 1_200);
        for offset in 0..ids * 3 {
            let id = u128::from(offset % ids / 8);
            assert_eq!(ask(&table, &request(id, offset, offset as i64)), Claim::WonBefore);
        }
        assert_eq!(ask(&table, &request(0, 900, 900)), Claim::Won, "the last winner is out of the window");
        let winner = Position::new(0, 807);
        assert_eq!(ask(&table, &request(0, 812, 812)), Claim::Duplicate { winner });
        assert_eq!(ask(&table, &request(1 << 64, 0, 0)), Claim::Won);
    }

    #[test]
    fn a_run_is_made_in_the_order_of_ids_and_its_times_in_that_of_positions() {
        let mut table = HotTable::for_ids(4);
        for (id, offset) in [(9, 5), (3, 6), (9, 7), (1, 2)] {
            table.insert(&request(id, offset, offset as i64 * 10));
        }
        let sorted: Vec<_> = table.sorted().iter().map(|won| (won.id, won.position.offset)).collect();
        assert_eq!(sorted, [(1, 2), (3, 6), (9, 5), (9, 7)]);
        let times: Vec<_> = table.times().iter().map(|m| (m.position.offset, m.accepted_at.nanos())).collect();
        assert_eq!(times, [(2, 20), (5, 50), (6, 60), (7, 70)]);
    }
}
