//! A stage's counters, kept outside its actors, so that a restart loses none.

use crate::ports::stats::{Counter, Histogram};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub struct StageStats {
    pub messages: Counter,
    pub batches: Counter,
    pub events: Counter,
    /// Messages of older generations, dropped on sight.
    pub shed: Counter,
    pub busy_us: Counter,
    /// Time in which there was something to do and no room further down.
    pub blocked_us: Counter,
    pub handler: Histogram,
    rejections: Mutex<BTreeMap<&'static str, u64>>,
}

impl StageStats {
    pub fn rejected(&self, reason: &'static str, events: u64) {
        if events > 0 {
            *self.rejections.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += events;
        }
    }

    pub fn rejections(&self) -> BTreeMap<String, u64> {
        let rejections = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        rejections.iter().map(|(reason, events)| ((*reason).to_owned(), *events)).collect()
    }
}
