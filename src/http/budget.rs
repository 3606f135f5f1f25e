//! A bound on all request bodies in memory together: as sent, decompressed, and as records on their way to the log.
//!
//! One body is bounded by itself; many at once would not be. A request that does not fit any more is refused before it
//! is kept, with the advice to come back.

use super::problem::Problem;
use crate::ports::event_log::AppendError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is left for bodies.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
    retry_after_s: u32,
}

/// One request's part of it; given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes_max: usize, retry_after_s: u32) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), bytes_max, retry_after_s })
    }

    /// A part that holds nothing yet.
    pub fn hold(self: &Arc<Self>) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Takes more, or refuses: 503, not accepted.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes <= self.budget.bytes_max {
            return Ok(());
        }
        let reason =
            format!("request bodies under way take up all of the {} bytes there are for them", self.budget.bytes_max);
        Err(AppendError::Refused { reason, retry_after_s: self.budget.retry_after_s }.into())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_dropped_fits_again() {
        let budget = Budget::new(100, 3);
        let mut first = budget.hold();
        first.grow(60).unwrap();
        first.grow(40).unwrap();
        let problem = budget.hold().grow(1).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.retry_after_s), (503, Some(3)));
        assert_eq!(problem.extensions["outcome"], "not_accepted");
        drop(first);
        assert!(budget.hold().grow(100).is_ok());
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
