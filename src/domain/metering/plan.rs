//! The cut of a query's period into whole days, hours and minutes (UTC buckets of the rollups) and raw edges.

use super::window::WindowSize;
use crate::domain::time::Instant;
use jiff::tz::TimeZone;

/// Half-open stretch of UTC minutes since the epoch.
pub type Minutes = std::ops::Range<i64>;

/// Where each part of the period is read from. The lists are disjoint, ascending, and together cover the period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whole UTC days (bounds are multiples of 1,440), each inside one window.
    pub days: Vec<Minutes>,
    /// Whole UTC hours (multiples of 60), each inside one window.
    pub hours: Vec<Minutes>,
    /// Whole UTC minutes, each inside one window.
    pub minutes: Vec<Minutes>,
    /// What no bucket fits: read from raw events. Half-open, nanoseconds.
    pub raw: Vec<std::ops::Range<i64>>,
}

/// Cuts `[from, to)`. `window` is `None` for one row over everything.
pub fn plan(_from: Instant, _to: Instant, _window: Option<(WindowSize, &TimeZone)>) -> Plan {
    todo!()
}
