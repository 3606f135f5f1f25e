//! Faults: the world failed. Built only in adapters, each with a verdict.

use std::fmt;

/// What the caller may do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same call may succeed later: retry with backoff, within bounds.
    Retry,
    /// It will not get better by itself: stop, say so, wait for a person.
    GiveUp,
}

/// A system that weir stands on did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Fault {
    /// Which system, in one word: `log`, `id index`, `usage store`, …
    pub system: &'static str,
    pub verdict: Verdict,
    /// What happened, with file and offset where there are some, and what to do next.
    pub message: String,
}

impl Fault {
    pub fn retry(system: &'static str, message: impl Into<String>) -> Self {
        Self { system, verdict: Verdict::Retry, message: message.into() }
    }

    pub fn give_up(system: &'static str, message: impl Into<String>) -> Self {
        Self { system, verdict: Verdict::GiveUp, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.system, self.message)
    }
}
