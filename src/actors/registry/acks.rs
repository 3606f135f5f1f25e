//! Acknowledgements: up to where a subject's events have been acknowledged, so that a check waits for those and not for
//! everybody's.
//!
//! There are not as many slots as subjects: those that share one wait for each other's events, too, which costs time and
//! nothing else. What was acknowledged before this process began lies below the log's end at its start.

use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::record::{Control, Kind, decode_event, peek};
use crate::domain::time::Instant;
use crate::ports::EventLog;
use crate::ports::event_log::{Append, AppendError, Appended, LogSlice, LogSnapshot, Verify};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// How many slots there are in a partition.
const SLOTS: usize = 65_536;

/// Up to where each slot's events have been acknowledged.
pub struct Acks {
    key: HashKey,
    /// Where the log ended when this process began.
    floor: Frontier,
    /// Per partition and slot, the next offset.
    slots: RwLock<BTreeMap<u32, Arc<[AtomicU64]>>>,
}

impl Acks {
    pub fn new(key: HashKey, log_end: Frontier) -> Self {
        Self { key, floor: log_end, slots: RwLock::default() }
    }

    /// The name of a text that events may carry as their subject.
    pub fn name(&self, namespace: &str, text: &str) -> u128 {
        self.key.subject(namespace, text)
    }

    /// The slot of a name.
    pub fn slot(name: u128) -> u16 {
        name as u16
    }

    /// What has to be there for every acknowledged event of these slots to be there.
    pub fn target(&self, slots: &[u16]) -> Frontier {
        let mut target = self.floor.clone();
        for (partition, offsets) in self.slots.read().unwrap_or_else(PoisonError::into_inner).iter() {
            for slot in slots {
                target.raise(*partition, offsets[usize::from(*slot)].load(Ordering::Acquire));
            }
        }
        target
    }

    fn acknowledge(&self, slots: &[u16], appended: &Appended) {
        for range in &appended.ranges {
            let offsets = self.partition(range.partition);
            for slot in slots {
                offsets[usize::from(*slot)].fetch_max(range.to, Ordering::AcqRel);
            }
        }
    }

    fn partition(&self, partition: u32) -> Arc<[AtomicU64]> {
        if let Some(offsets) = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(&partition) {
            return offsets.clone();
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.entry(partition).or_insert_with(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect()).clone()
    }

    /// The slots of the events among these records.
    fn slots_of(&self, append: &Append) -> Vec<u16> {
        let mut rest = &append.records[..];
        let mut slots = Vec::with_capacity(append.lengths.len());
        for length in &append.lengths {
            let Some((record, next)) = rest.split_at_checked(*length as usize) else { break };
            rest = next;
            if peek(record).is_ok_and(|(_, kind)| kind == Kind::Event)
                && let Ok(event) = decode_event(record)
            {
                slots.push(Self::slot(self.name(event.namespace, event.subject)));
            }
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}

/// The event log, noting for whom what is acknowledged.
pub struct NotedLog {
    pub log: Arc<dyn EventLog>,
    pub acks: Arc<Acks>,
}

#[async_trait]
impl EventLog for NotedLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let slots = self.acks.slots_of(&append);
        let appended = self.log.append(append).await?;
        self.acks.acknowledge(&slots, &appended);
        Ok(appended)
    }

    fn room(&self) -> Result<(), AppendError> {
        self.log.room()
    }

    async fn read(&self, from: Position, events_max: usize, bytes_max: usize) -> Result<LogSlice, Fault> {
        self.log.read(from, events_max, bytes_max).await
    }

    fn durable_end(&self) -> Frontier {
        self.log.durable_end()
    }

    fn growth(&self) -> watch::Receiver<Frontier> {
        self.log.growth()
    }

    fn start(&self) -> Frontier {
        self.log.start()
    }

    async fn controls_from(&self, from: &Frontier) -> Result<Vec<(Position, Instant, Control)>, Fault> {
        self.log.controls_from(from).await
    }

    async fn release(&self, below: &Frontier, verify: &Verify<'_>) -> Result<(), Fault> {
        self.log.release(below, verify).await
    }

    fn snapshot(&self) -> LogSnapshot {
        self.log.snapshot()
    }
}
