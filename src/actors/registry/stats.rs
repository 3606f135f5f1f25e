//! Counters of the trackers, kept outside them, so that an end loses none.

use crate::ports::line::TrackersSnapshot;
use crate::ports::stats::{Counter, Histogram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct TrackerStats {
    pub woken: Counter,
    pub rebuilt: Counter,
    pub idle_stopped: Counter,
    pub evicted: Counter,
    pub forgotten: Counter,
    pub crashed: Counter,
    pub gaps: Counter,
    pub deltas: Counter,
    pub answered: Counter,
    pub passed_on: Counter,
    pub audited: Counter,
    pub drifted: Counter,
    pub check: Histogram,
    waiting: Arc<AtomicU64>,
}

/// Counts one message as long as it waits.
#[derive(Debug)]
pub struct Waiting(Arc<AtomicU64>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TrackerStats {
    pub fn waiting(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.waiting.clone())
    }

    /// Everything but what only the registry knows.
    pub fn snapshot(&self) -> TrackersSnapshot {
        TrackersSnapshot {
            queued: self.waiting.load(Ordering::Relaxed),
            woken: self.woken.get(),
            rebuilt: self.rebuilt.get(),
            idle_stopped: self.idle_stopped.get(),
            evicted: self.evicted.get(),
            forgotten: self.forgotten.get(),
            crashed: self.crashed.get(),
            gaps: self.gaps.get(),
            deltas: self.deltas.get(),
            answered: self.answered.get(),
            passed_on: self.passed_on.get(),
            audited: self.audited.get(),
            drifted: self.drifted.get(),
            check_seconds: self.check.snapshot(),
            ..TrackersSnapshot::default()
        }
    }
}
