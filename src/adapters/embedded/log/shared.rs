//! What appending threads, readers and the committer share.

use super::Settings;
use super::frame::Group;
use super::queue::Queue;
use super::recover::Recovered;
use super::room::Room;
use super::segment::{Mark, Segment};
use super::tail::{ReadCache, Tail};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::position::Frontier;
use crate::ports::Clock;
use crate::ports::stats::{Counter, Histogram};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The embedded log has this partition only.
pub const PARTITION: u32 = 0;

pub struct Shared {
    // wiring
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    // work in progress
    pub queue: Queue,
    pub room: Room,
    segments: Mutex<Segments>,
    tail: Mutex<Tail>,
    cache: Mutex<ReadCache>,
    end: AtomicU64,
    pub growth: watch::Sender<Frontier>,
    // counters
    pub counters: Counters,
}

#[derive(Default)]
pub struct Counters {
    pub appended_events: Counter,
    pub appended_bytes: Counter,
    pub refused_appends: Counter,
    pub failed_syncs: Counter,
    pub deleted_segments: Counter,
    pub torn_bytes_cut: Counter,
    pub sync_seconds: Histogram,
}

/// All segments, oldest first, and how far the line has come in them.
pub struct Segments {
    pub list: VecDeque<Segment>,
    /// The line has applied everything below.
    applied: u64,
}

impl Shared {
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, settings: Settings, log: &Recovered) -> Result<Self, Fault> {
        let active = log.segments.last().expect("a log that was opened has a segment");
        let end = active.next_offset;
        let segments = Segments { list: log.segments.iter().cloned().collect(), applied: active.first_offset };
        let room = Room::new(&*disk, &settings, clock.now())?;
        let counters = Counters::default();
        counters.torn_bytes_cut.add(log.torn_bytes);
        Ok(Self {
            disk,
            clock,
            queue: Queue::new(&settings),
            room,
            segments: Mutex::new(segments),
            tail: Mutex::new(Tail::new(settings.tail_bytes_max)),
            cache: Mutex::new(ReadCache::default()),
            end: AtomicU64::new(end),
            growth: watch::Sender::new(Frontier::at(PARTITION, end)),
            settings,
            counters,
        })
    }

    /// Just past the last durable record.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The oldest offset kept.
    pub fn start(&self) -> u64 {
        self.segments().list.front().expect("the active segment is never deleted").first_offset
    }

    pub fn segments(&self) -> MutexGuard<'_, Segments> {
        unpoisoned(&self.segments)
    }

    pub fn find_in_memory(&self, offset: u64) -> Option<Arc<Group>> {
        // One lock at a time: the line finds what it wants in the tail.
        let in_tail = unpoisoned(&self.tail).find(offset);
        in_tail.or_else(|| unpoisoned(&self.cache).find(offset))
    }

    pub fn remember_read(&self, group: Arc<Group>) {
        unpoisoned(&self.cache).push(group);
    }

    /// A group is durable: readers may have it. `file_end` is where it ends in the active segment's file.
    pub fn publish(&self, group: Group, file_end: u64) {
        let end = group.next_offset();
        {
            let mut segments = self.segments();
            let active = segments.list.back_mut().expect("the active segment is never deleted");
            let first = group.frames[0];
            active.mark(Mark { offset: first.head.first_offset, file_offset: first.file_offset });
            (active.next_offset, active.end) = (end, file_end);
            self.room.appended(group.bytes.len() as u64, &*self.disk, self.clock.now());
        }
        unpoisoned(&self.tail).push(Arc::new(group));
        self.end.store(end, Ordering::Release);
        self.growth.send_replace(Frontier::at(PARTITION, end));
    }

    /// The line has applied everything below `applied`.
    pub fn set_applied(&self, applied: u64) {
        let mut segments = self.segments();
        segments.applied = applied;
        self.room.set_backlog(segments.backlog_bytes());
    }
}

impl Segments {
    /// Bytes of frames that the line has not applied, a mark's distance more at most.
    fn backlog_bytes(&self) -> u64 {
        let behind = self.list.iter().rev().take_while(|segment| segment.next_offset > self.applied);
        behind.map(|segment| segment.end - segment.mark_for(self.applied).file_offset).sum()
    }
}

/// Nothing panics while it holds one of these locks, and what they guard is whole between two statements.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
