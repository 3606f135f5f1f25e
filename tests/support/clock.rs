//! A clock that stands still until it is moved.

use std::sync::atomic::{AtomicI64, Ordering};
use weir::domain::time::Instant;

pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(nanos: i64) -> Self {
        Self(AtomicI64::new(nanos))
    }

    pub fn advance(&self, nanos: i64) {
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }

    pub fn nanos(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl weir::ports::Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.nanos())
    }
}
