//! Lanes: what is read, in flight and applied, per partition. Credits are counted here.

use crate::domain::position::{Frontier, Range};
use std::collections::{BTreeMap, VecDeque};

/// One partition of the log on its way into the store. `applied ≤ next ≤ end`, except that a store may have come
/// further on its own (a batch of an older generation that was already under way).
#[derive(Debug, Default)]
pub struct Lane {
    /// The log's durable end.
    pub end: u64,
    /// What is read next.
    pub next: u64,
    pub applied: u64,
    /// The read that is under way may bring this many events.
    pub reading: Option<u64>,
    /// Sent and not yet acknowledged: where each batch ends, and its events.
    flights: VecDeque<(u64, u64)>,
}

/// All partitions.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<u32, Lane>,
}

impl Lane {
    pub fn has_backlog(&self) -> bool {
        self.applied < self.end
    }

    pub fn sent(&mut self, range: Range, events: u64) {
        assert_eq!(self.next, range.from, "a read begins where it was asked to");
        self.reading = None;
        self.next = range.to;
        self.flights.push_back((range.to, events));
    }

    fn applied_to(&mut self, applied: u64) -> bool {
        let moved = applied > self.applied;
        self.applied = self.applied.max(applied);
        while self.flights.front().is_some_and(|(to, _)| *to <= self.applied) {
            self.flights.pop_front();
        }
        if self.reading.is_none() {
            self.next = self.next.max(self.applied);
        }
        moved
    }

    fn rewind(&mut self, applied: u64) {
        self.applied = applied;
        self.next = applied;
        self.end = self.end.max(applied);
        self.reading = None;
        self.flights.clear();
    }
}

impl Lanes {
    /// Everything below `applied` is in the store.
    pub fn from(applied: &Frontier) -> Self {
        let mut lanes = Self::default();
        lanes.rewind(applied);
        lanes
    }

    pub fn lane(&mut self, partition: u32) -> &mut Lane {
        self.lanes.entry(partition).or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Lane)> {
        self.lanes.iter().map(|(partition, lane)| (*partition, lane))
    }

    pub fn grew(&mut self, end: &Frontier) {
        for (partition, end) in end.iter() {
            let lane = self.lane(partition);
            lane.end = lane.end.max(end);
        }
    }

    /// The store's frontier moved; true when that was new.
    pub fn applied_to(&mut self, applied: &Frontier) -> bool {
        applied.iter().fold(false, |moved, (partition, next)| self.lane(partition).applied_to(next) || moved)
    }

    /// Everything not in the store is to be read again. The store's word counts, also when it has less than before.
    pub fn rewind(&mut self, applied: &Frontier) {
        for (partition, _) in applied.iter() {
            self.lane(partition);
        }
        for (partition, lane) in &mut self.lanes {
            lane.rewind(applied.next(*partition));
        }
    }

    pub fn next(&self, partition: u32) -> u64 {
        self.lanes.get(&partition).map_or(0, |lane| lane.next)
    }

    pub fn has_backlog(&self) -> bool {
        self.lanes.values().any(Lane::has_backlog)
    }

    pub fn backlog(&self) -> u64 {
        self.lanes.values().map(|lane| lane.end.saturating_sub(lane.applied)).sum()
    }

    pub fn batches_in_flight(&self) -> usize {
        self.lanes.values().map(|lane| lane.flights.len() + usize::from(lane.reading.is_some())).sum()
    }

    /// Events read and not acknowledged; what a read under way may bring counts in full.
    pub fn events_in_flight(&self) -> u64 {
        let sent = |lane: &Lane| lane.flights.iter().map(|(_, events)| events).sum::<u64>();
        self.lanes.values().map(|lane| sent(lane) + lane.reading.unwrap_or_default()).sum()
    }

    pub fn is_quiet(&self) -> bool {
        self.batches_in_flight() == 0
    }

    pub fn applied(&self) -> Frontier {
        self.lanes.iter().fold(Frontier::default(), |mut frontier, (partition, lane)| {
            frontier.set(*partition, lane.applied);
            frontier
        })
    }
}
