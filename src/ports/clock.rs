//! The clock: time comes in as a parameter; only `app` and tests make clocks.

use crate::domain::time::Instant;

pub trait Clock: Send + Sync {
    /// The wall clock. May go back; whoever needs more takes the maximum with what it had.
    fn now(&self) -> Instant;
}
