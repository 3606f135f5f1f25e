//! Reads that can be watched: how far each has come, by the id that its client chose.
//!
//! A read is known while it goes on and for a while after its end. So many beginnings are remembered at most: the
//! oldest is forgotten for a new one, so a client cannot make this grow.

use super::settings::HttpSettings;
use crate::domain::metering::Progress;
use crate::domain::metering::progress::ProgressSnapshot;
use crate::domain::time::Instant;
use crate::ports::Clock;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECOND_NS: i64 = 1_000_000_000;

/// All reads that are watched.
pub struct ProgressBoard {
    clock: Arc<dyn Clock>,
    /// Most beginnings remembered.
    reads_max: usize,
    /// How long an ended read is known, in nanoseconds.
    kept_ns: i64,
    reads: Mutex<Reads>,
}

#[derive(Default)]
struct Reads {
    by_id: HashMap<String, Read>,
    /// Every beginning, the oldest first; an id that began again stands here more than once.
    begun: VecDeque<(u64, String)>,
    /// Number of the next beginning.
    next: u64,
}

struct Read {
    number: u64,
    progress: Arc<Progress>,
    ended_at: Option<Instant>,
}

/// A read that goes on; it ends when this is dropped, however the read ends.
pub struct Watched<'a> {
    board: &'a ProgressBoard,
    id: String,
    number: u64,
    progress: Arc<Progress>,
}

impl ProgressBoard {
    pub fn new(clock: Arc<dyn Clock>, settings: &HttpSettings) -> Self {
        let kept_ns = i64::try_from(settings.progress_kept_s).unwrap_or(i64::MAX).saturating_mul(SECOND_NS);
        Self { clock, reads_max: settings.progress_reads_max, kept_ns, reads: Mutex::default() }
    }

    /// Begins a read under this id; an earlier one under the same id is no longer shown.
    pub fn watch(&self, id: &str) -> Watched<'_> {
        let (now, progress) = (self.clock.now(), Arc::new(Progress::default()));
        let mut reads = self.lock();
        let number = reads.next;
        reads.next += 1;
        reads.begun.push_back((number, id.to_string()));
        reads.by_id.insert(id.to_string(), Read { number, progress: progress.clone(), ended_at: None });
        while reads.begun.len() > self.reads_max || reads.oldest_is_over(|ended| self.is_over(ended, now)) {
            reads.forget_oldest();
        }
        Watched { board: self, id: id.to_string(), number, progress }
    }

    /// How far the read under this id is, and as of when.
    pub fn shown(&self, id: &str) -> Option<(ProgressSnapshot, Instant)> {
        let now = self.clock.now();
        let reads = self.lock();
        let read = reads.by_id.get(id).filter(|read| !read.ended_at.is_some_and(|ended| self.is_over(ended, now)))?;
        Some((read.progress.snapshot(), read.ended_at.unwrap_or(now)))
    }

    fn is_over(&self, ended: Instant, now: Instant) -> bool {
        now.nanos().saturating_sub(ended.nanos()) >= self.kept_ns
    }

    /// Every change leaves the reads whole, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reads {
    /// Whether the oldest beginning is of no use any more: it ended long ago, or its id has begun again.
    fn oldest_is_over(&self, is_over: impl Fn(Instant) -> bool) -> bool {
        let Some((number, id)) = self.begun.front() else { return false };
        let read = self.by_id.get(id).filter(|read| read.number == *number);
        read.is_none_or(|read| read.ended_at.is_some_and(is_over))
    }

    fn forget_oldest(&mut self) {
        let Some((number, id)) = self.begun.pop_front() else { return };
        if self.by_id.get(&id).is_some_and(|read| read.number == number) {
            self.by_id.remove(&id);
        }
    }
}

impl Watched<'_> {
    /// What the reading tells how far it is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let now = self.board.clock.now();
        if let Some(read) = self.board.lock().by_id.get_mut(&self.id).filter(|read| read.number == self.number) {
            read.ended_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    fn board(reads_max: usize) -> (Arc<Hand>, ProgressBoard) {
        let clock = Arc::new(Hand::default());
        let settings = HttpSettings { progress_reads_max: reads_max, progress_kept_s: 300, ..HttpSettings::default() };
        (clock.clone(), ProgressBoard::new(clock, &settings))
    }

    #[test]
    fn a_read_is_shown_while_it_goes_on_and_for_five_minutes_after() {
        let (clock, board) = board(10);
        assert!(board.shown("me").is_none());
        let watched = board.watch("me");
        watched.progress().expect(10);
        watched.progress().advance(4);
        clock.0.store(7, Ordering::Relaxed);
        let (shown, at) = board.shown("me").unwrap();
        assert_eq!((shown.done_events, shown.total_events, at.nanos()), (4, 10, 7));
        drop(watched);
        clock.0.store(300 * SECOND_NS + 6, Ordering::Relaxed);
        assert_eq!(board.shown("me").unwrap().1.nanos(), 7, "as of its end");
        clock.0.store(300 * SECOND_NS + 7, Ordering::Relaxed);
        assert!(board.shown("me").is_none());
    }

    #[test]
    fn the_end_of_an_earlier_read_is_not_the_end_of_the_one_under_the_same_id() {
        let (clock, board) = board(10);
        let first = board.watch("me");
        let _second = board.watch("me");
        drop(first);
        clock.0.store(400 * SECOND_NS, Ordering::Relaxed);
        assert!(board.shown("me").is_some());
    }

    #[test]
    fn the_oldest_beginning_is_forgotten_for_a_new_one() {
        let (clock, board) = board(2);
        let running = [board.watch("a"), board.watch("b"), board.watch("c")];
        assert_eq!(["a", "b", "c"].map(|id| board.shown(id).is_some()), [false, true, true]);
        drop(running);
        for _ in 0..100 {
            board.watch("same");
        }
        assert!(board.lock().begun.len() <= 2);
        clock.0.store(300 * SECOND_NS, Ordering::Relaxed);
        board.watch("new");
        let reads = board.lock();
        assert_eq!((reads.begun.len(), reads.by_id.len()), (1, 1), "what is over is forgotten");
    }
}
