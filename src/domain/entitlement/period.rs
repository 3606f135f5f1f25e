//! Usage periods: the stretches over which usage is counted and after which balances are reset.
//!
//! The first period begins when measuring begins, later ones at the boundaries of the entitlement's recurrence; a reset
//! by hand cuts the running period short and may move the anchor from which later boundaries are counted. Measured from
//! January 15 10:30 with a month anchored on January 1, the periods are January 15 10:30 to February 1, then February;
//! a reset on February 10 that moves the anchor makes February 1 to 10, then February 10 to March 10.

use super::recurrence::Recurrence;
use super::terms::Reset;
use crate::domain::time::Instant;
use std::ops::Range;

/// The usage periods of one entitlement.
#[derive(Debug, Clone)]
pub struct UsagePeriods {
    /// Ascending, never empty.
    stretches: Vec<Stretch>,
}

/// From `from` to the next stretch, periods follow one recurrence.
#[derive(Debug, Clone)]
struct Stretch {
    from: Instant,
    recurrence: Recurrence,
    /// The reset that it begins with; the first one begins without.
    reset: Option<ResetKind>,
}

/// That balances were reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetKind {
    /// The period ended by itself.
    Automatic,
    /// Somebody asked for it, and whether overage goes on.
    Manual { preserve_overage: bool },
}

impl UsagePeriods {
    /// `resets` are the ones by hand, ascending. One at or before the begin of measuring changes nothing.
    pub fn new(measure_from: Instant, recurrence: Recurrence, resets: &[Reset]) -> Self {
        let mut stretches = vec![Stretch { from: measure_from, recurrence: recurrence.clone(), reset: None }];
        let mut recurrence = recurrence;
        for reset in resets.iter().filter(|reset| reset.at > measure_from) {
            recurrence.anchor = reset.anchor.unwrap_or(recurrence.anchor);
            let kind = ResetKind::Manual { preserve_overage: reset.preserve_overage };
            stretches.push(Stretch { from: reset.at, recurrence: recurrence.clone(), reset: Some(kind) });
        }
        Self { stretches }
    }

    /// The period that contains `at`; before measuring begins, the first one.
    pub fn period_at(&self, at: Instant) -> Range<Instant> {
        let (stretch, next) = self.stretch_at(at);
        let period = stretch.recurrence.period_at(at.max(stretch.from));
        period.start.max(stretch.from)..next.map_or(period.end, |next| period.end.min(next.from))
    }

    /// The reset that happens exactly at `at`. By hand on the boundary of a period is one reset, by hand. None where
    /// measuring begins.
    pub fn reset_at(&self, at: Instant) -> Option<ResetKind> {
        let (stretch, _) = self.stretch_at(at);
        if stretch.from == at {
            return stretch.reset;
        }
        (self.period_at(at).start == at).then_some(ResetKind::Automatic)
    }

    fn stretch_at(&self, at: Instant) -> (&Stretch, Option<&Stretch>) {
        let begun = self.stretches.partition_point(|stretch| stretch.from <= at).max(1);
        (&self.stretches[begun - 1], self.stretches.get(begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entitlement::testing::{at, recurrence};

    #[test]
    fn periods_begin_with_measuring_and_with_resets() {
        let reset = |when, anchor: Option<&str>| Reset { at: at(when), anchor: anchor.map(at), preserve_overage: true };
        let resets = [
            reset("01-15 10:30", None), // no reset: measuring begins here
            reset("02-10", Some("02-10")),
            reset("02-20", None),
            reset("03-31", Some("03-31")),
            reset("05-31", None),
        ];
        let periods = UsagePeriods::new(at("01-15 10:30"), recurrence("01-01", "P1M"), &resets);
        let bounds = ["01-15 10:30", "02-01", "02-10", "02-20", "03-10", "03-31", "04-30", "05-31", "06-30", "07-31"];
        let manual = ["02-10", "02-20", "03-31", "05-31"];
        for ends in bounds.windows(2) {
            let period = at(ends[0])..at(ends[1]);
            let last = Instant::from_nanos(period.end.nanos() - 1);
            for instant in [period.start, last] {
                assert_eq!(periods.period_at(instant), period, "{ends:?}");
            }
            let expected = match ends[0] {
                "01-15 10:30" => None,
                start if manual.contains(&start) => Some(ResetKind::Manual { preserve_overage: true }),
                _ => Some(ResetKind::Automatic),
            };
            assert_eq!((periods.reset_at(period.start), periods.reset_at(last)), (expected, None), "{ends:?}");
        }
        assert_eq!(periods.period_at(at("2024-01-01")), at(bounds[0])..at(bounds[1]));
        assert_eq!(periods.reset_at(at("01-01")), None);
    }
}
