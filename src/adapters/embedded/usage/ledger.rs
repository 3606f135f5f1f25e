//! The ledger: what the store's manifest says. Whatever is durable about the store beyond its files stands here, and
//! changes with them in one step.

use super::files::Kept;
use crate::domain::position::{Frontier, Position};
use crate::domain::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use ulid::Ulid;

/// The manifest's name in the store's directory.
pub const MANIFEST: &str = "manifest";

/// The store as of its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Everything below is in the files that are listed here.
    pub durable: Frontier,
    /// How far the id index was durable then: it must not be found behind.
    pub index: Frontier,
    /// Number of the next file.
    pub next_file: u64,
    pub runs: Vec<RunEntry>,
    /// Names of the event files.
    pub files: Vec<String>,
    /// By meter version.
    pub meters: BTreeMap<Ulid, MeterState>,
    pub counters: Counters,
    pub work: Work,
    /// Minute rows below this minute are not complete: they are read from raw events.
    pub minutes_from: i64,
    /// Raw events that retention removed.
    pub removed: Option<Times>,
    /// Voided events of which the runs know nothing any more.
    #[serde(default)]
    pub healed: BTreeSet<Position>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            durable: Frontier::default(),
            index: Frontier::default(),
            next_file: 1,
            runs: Vec::new(),
            files: Vec::new(),
            meters: BTreeMap::new(),
            counters: Counters::default(),
            work: Work::default(),
            minutes_from: i64::MIN,
            removed: None,
            healed: BTreeSet::new(),
        }
    }
}

/// A run that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEntry {
    pub name: String,
    /// No minute row of it lies below this minute.
    pub oldest_minute: i64,
}

/// What has been taken up, as of a frontier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    pub events: u64,
    pub duplicates: u64,
    pub conflicts: u64,
}

impl Counters {
    /// Everything that is stored as an event, whatever became of it.
    pub fn stored(&self) -> u64 {
        self.events + self.duplicates + self.conflicts
    }
}

/// What the store's own threads have done, over its whole life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    pub seals: u64,
    pub merges: u64,
    pub hour_rows: u64,
    pub day_rows: u64,
    pub dropped_minute_runs: u64,
    pub blocks_removed: u64,
    pub merge_bytes_in: u64,
    pub merge_bytes_out: u64,
}

/// A stretch of event times, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    pub first: Instant,
    pub last: Instant,
}

impl Times {
    pub fn join(known: Option<Self>, (first, last): (Instant, Instant)) -> Self {
        match known {
            Some(times) => Self { first: times.first.min(first), last: times.last.max(last) },
            None => Self { first, last },
        }
    }

    /// True when some instant lies in both; `stretch` is half-open, in nanoseconds.
    pub fn overlaps(&self, stretch: &Range<i64>) -> bool {
        !stretch.is_empty() && stretch.start <= self.last.nanos() && self.first.nanos() < stretch.end
    }
}

/// How far one meter version has been counted, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterState {
    pub live_at: Position,
    /// Per partition, the first offset that the line counted. A partition that is not named has not come so far.
    pub counted_from: BTreeMap<u32, u64>,
    /// Below this the past has been counted by backfill.
    pub backfilled_to: Frontier,
    pub gone: Option<Gone>,
    /// It has nearly as many series as events: it keeps no rows and is answered from raw events.
    pub near_unique: bool,
    /// Gone or nearly unique, and no run has rows of it any more.
    pub rows_removed: bool,
    /// A past that retention had removed before it could be counted.
    pub lost: Option<Times>,
    pub spread: Spread,
}

/// Where a meter version stopped counting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    pub at: Position,
    /// Per partition, the offset from which on it does not count.
    pub below: Frontier,
}

impl MeterState {
    pub fn live(live_at: Position, lost: Option<Times>) -> Self {
        Self {
            live_at,
            counted_from: BTreeMap::from([(live_at.partition, live_at.offset)]),
            backfilled_to: Frontier::default(),
            gone: None,
            near_unique: false,
            rows_removed: false,
            lost,
            spread: Spread::default(),
        }
    }

    /// True when its rows are never read.
    pub fn rowless(&self) -> bool {
        self.near_unique || self.gone.is_some()
    }

    /// The offsets of a partition, below `applied`, that no row has counted yet.
    pub fn missing(&self, partition: u32, applied: u64) -> Range<u64> {
        let end = self.counted_from.get(&partition).map_or(applied, |from| (*from).min(applied));
        self.backfilled_to.next(partition).min(end)..end
    }

    /// True when rows have everything below `applied`.
    pub fn complete(&self, applied: &Frontier) -> bool {
        applied.iter().all(|(partition, next)| self.missing(partition, next).is_empty())
    }

    /// The state as a restart at `durable` may know it: what happened beyond happens again.
    pub fn below(&self, durable: &Frontier) -> Option<Self> {
        if !durable.has(self.live_at) {
            return None;
        }
        let mut state = self.clone();
        state.counted_from.retain(|partition, from| *from <= durable.next(*partition));
        state.gone = state.gone.filter(|gone| durable.has(gone.at));
        state.rows_removed &= state.rowless();
        Some(state)
    }
}

/// How many series a meter has beside its events: the smallest hashes of its series, a sketch of fixed size whose
/// estimate is off by about an eighth. That is enough to tell "nearly one series per event" from "many".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub events: u64,
    /// Ascending, without repetition, at most [`Spread::HASHES_MAX`].
    smallest: Vec<u64>,
}

impl Spread {
    const HASHES_MAX: usize = 64;

    /// Takes up a series by a hash of it. Seen before: no change.
    pub fn see(&mut self, hash: u64) {
        if self.smallest.len() == Self::HASHES_MAX && self.smallest.last().is_some_and(|last| hash >= *last) {
            return;
        }
        if let Err(at) = self.smallest.binary_search(&hash) {
            self.smallest.insert(at, hash);
            self.smallest.truncate(Self::HASHES_MAX);
        }
    }

    /// About how many different series were seen.
    pub fn series(&self) -> u64 {
        match self.smallest.last() {
            Some(last) if self.smallest.len() == Self::HASHES_MAX => {
                let spaces = (Self::HASHES_MAX as u128 - 1) << 64;
                u64::try_from(spaces / (u128::from(*last) + 1)).unwrap_or(u64::MAX)
            }
            _ => self.smallest.len() as u64,
        }
    }

    pub fn join(&mut self, other: &Spread) {
        self.events += other.events;
        other.smallest.iter().for_each(|hash| self.see(*hash));
    }

    /// More than `events_min` events, and a series for every other of them.
    pub fn near_unique(&self, events_min: u64) -> bool {
        self.events > events_min && self.series() > self.events / 2
    }
}

/// Names of kept files.
pub fn names<T>(files: &[std::sync::Arc<Kept<T>>]) -> Vec<String> {
    files.iter().map(|file| file.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(n: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
    }

    #[test]
    fn a_spread_tells_few_series_from_one_per_event() {
        let table = [(1u64, false), (50, false), (1_000, false), (20_000, false), (90_000, true), (100_000, true)];
        for (series, unique) in table {
            let mut spread = Spread { events: 100_000, ..Spread::default() };
            (0..100_000).for_each(|event| spread.see(mixed(event % series)));
            assert_eq!(spread.near_unique(10_000), unique, "{series} series, estimated {}", spread.series());
            assert!(!spread.near_unique(100_000), "not before the least number of events");
        }
    }

    #[test]
    fn spreads_of_parts_join_to_that_of_the_whole() {
        let (mut whole, mut left, mut right) = (Spread::default(), Spread::default(), Spread::default());
        for n in 0..500 {
            whole.see(mixed(n));
            if n % 3 == 0 { left.see(mixed(n)) } else { right.see(mixed(n)) }
        }
        left.join(&right);
        assert_eq!(left, whole);
    }

    #[test]
    fn what_is_missing_lies_between_backfill_and_line() {
        let mut state = MeterState::live(Position::new(0, 100), None);
        assert_eq!(state.missing(0, 500), 0..100);
        assert_eq!(state.missing(0, 40), 0..40);
        assert_eq!(state.missing(1, 7), 0..7, "a partition that the line has not counted in yet");
        state.backfilled_to.raise(0, 60);
        assert_eq!(state.missing(0, 500), 60..100);
        state.backfilled_to.raise(0, 100);
        assert!(state.missing(0, 500).is_empty());
    }

    #[test]
    fn a_restart_forgets_what_lies_beyond_its_frontier() {
        let mut state = MeterState::live(Position::new(0, 100), None);
        state.gone = Some(Gone { at: Position::new(0, 200), below: Frontier::at(0, 200) });
        assert_eq!(state.below(&Frontier::at(0, 100)), None);
        assert_eq!(state.below(&Frontier::at(0, 150)).expect("live there").gone, None);
        assert_eq!(state.below(&Frontier::at(0, 201)), Some(state));
    }
}
