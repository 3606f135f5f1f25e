//! Terms: everything about a metered entitlement that decides its balance, except the usage.

use super::grant::Grant;
use super::recurrence::Recurrence;
use crate::domain::metering::meter::Aggregation;
use crate::domain::time::Instant;

/// What was agreed. Every instant is a full minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How the meter counts: SUM, COUNT, UNIQUE_COUNT or LATEST; others have no balance.
    pub aggregation: Aggregation,
    /// Usage before this does not exist for the entitlement. The first usage period begins here.
    pub measure_from: Instant,
    /// Where usage periods end.
    pub period: Recurrence,
    /// Whether overage goes on at the end of a period; a reset by hand says it for itself.
    pub preserve_overage_at_reset: bool,
    /// By hand, ascending.
    pub resets: Vec<Reset>,
    /// In any order.
    pub grants: Vec<Grant>,
}

/// A reset that somebody asked for: a new usage period begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    pub at: Instant,
    /// Present: later boundaries are counted from here; absent: as before.
    pub anchor: Option<Instant>,
    /// Whether what was used beyond the balance is owed in the new period, too.
    pub preserve_overage: bool,
}
