//! Calendar windows: how a stretch of time is cut into the rows of a meter query.

use crate::domain::time::Instant;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WindowSize {
    Minute,
    Hour,
    Day,
    Month,
}

/// A half-open stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    pub start: Instant,
    pub end: Instant,
}

/// The zone's name is not in the IANA database (exact spelling).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0}")]
pub struct UnknownZone(pub String);

/// Looks a zone up by its exact IANA name; `""` is UTC.
pub fn zone(_name: &str) -> Result<TimeZone, UnknownZone> {
    todo!()
}

impl WindowSize {
    /// The window of this size that contains `at`, in `zone`. Windows tile: every instant lies in exactly one, also
    /// where clocks change by less than an hour (Lord Howe): there a window is clipped at the change.
    pub fn window_at(self, _at: Instant, _zone: &TimeZone) -> Window {
        todo!()
    }
}
