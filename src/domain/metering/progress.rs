//! How far the reading for one answer has come, so that people can watch a long query.
//!
//! Worked example: a query has to read 5,000 raw events (`expect`), passes over or reads blocks of them (`advance`), and
//! ends early, as the newest were all it wanted (`finish`): 5,000 of 5,000.

use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts events while they are read; shared between who reads and who watches.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    finished: AtomicBool,
}

/// A progress as of one moment: `done_events` is never more than `total_events`, and the same once it is finished.
/// An answer that needs no raw events is finished with 0 of 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ProgressSnapshot {
    pub total_events: u64,
    pub done_events: u64,
    pub finished: bool,
}

impl Progress {
    /// So many events more are to be read.
    pub fn expect(&self, events: u64) {
        self.total.fetch_add(events, Ordering::Relaxed);
    }

    /// So many events were read, or found not to be needed.
    pub fn advance(&self, events: u64) {
        self.done.fetch_add(events, Ordering::Relaxed);
    }

    /// The answer is there: what has not been read is not needed.
    pub fn finish(&self) {
        self.done.store(self.total.load(Ordering::Relaxed), Ordering::Relaxed);
        self.finished.store(true, Ordering::Release);
    }

    pub fn snapshot(&self) -> ProgressSnapshot {
        let finished = self.finished.load(Ordering::Acquire);
        let total_events = self.total.load(Ordering::Relaxed);
        let done_events = self.done.load(Ordering::Relaxed).min(total_events);
        ProgressSnapshot { total_events, done_events, finished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_never_exceeds_total_and_equals_it_at_the_end() {
        let progress = Progress::default();
        let seen = |total_events, done_events, finished| ProgressSnapshot { total_events, done_events, finished };
        assert_eq!(progress.snapshot(), seen(0, 0, false));
        progress.expect(10);
        progress.advance(4);
        assert_eq!(progress.snapshot(), seen(10, 4, false));
        progress.advance(40);
        assert_eq!(progress.snapshot(), seen(10, 10, false));
        progress.expect(5);
        progress.finish();
        assert_eq!(progress.snapshot(), seen(15, 15, true));
    }
}
