//! Grants: amounts that usage is taken from.
//!
//! A grant of 100 with a maximum rollover of 50 that has 70 left when the usage period ends begins the next one with
//! 50. With a daily recurrence it is 100 again every day, whatever was left.

use super::recurrence::Recurrence;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use jiff::tz::Offset;
use jiff::{Span, Timestamp, ToSpan};
use std::cmp::Ordering;
use ulid::Ulid;

/// An amount that a customer may use, from when until when and after which others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: Ulid,
    /// What it begins with, and what a recurrence sets it to; positive.
    pub amount: Quantity,
    /// Lower is used first.
    pub priority: u8,
    /// A full minute.
    pub effective_at: Instant,
    /// A full minute; exclusive, as the other two ends are.
    pub expires_at: Option<Instant>,
    /// A full minute. At or before `effective_at`: the grant was never in force.
    pub voided_at: Option<Instant>,
    /// Counts from the minute it lies in.
    pub deleted_at: Option<Instant>,
    /// A reset leaves at least this …
    pub min_rollover: Quantity,
    /// … but never more than this.
    pub max_rollover: Quantity,
    /// When it is set back to its amount.
    pub recurrence: Option<Recurrence>,
    pub created_at: Instant,
}

impl Grant {
    /// When it ends, for whatever reason comes first: a full minute, exclusive.
    pub fn ends_at(&self) -> Option<Instant> {
        let deleted_at = self.deleted_at.map(Instant::floor_to_minute);
        [self.expires_at, self.voided_at, deleted_at].into_iter().flatten().min()
    }

    pub fn is_active(&self, at: Instant) -> bool {
        self.effective_at <= at && self.ends_at().is_none_or(|end| at < end)
    }

    /// Whether it is in force at some time from `first` to `last`, both included.
    pub(super) fn is_in_force_within(&self, first: Instant, last: Instant) -> bool {
        let begins_first = self.ends_at().is_none_or(|end| end > first.max(self.effective_at));
        begins_first && self.effective_at <= last
    }

    /// The order in which grants are used: priority, then what expires first, then the older, then the lower id.
    pub fn burn_order(&self, other: &Self) -> Ordering {
        let expiry = |grant: &Self| (grant.expires_at.is_none(), grant.expires_at);
        let rank = |grant: &Self| (grant.priority, expiry(grant), grant.created_at, grant.id);
        rank(self).cmp(&rank(other))
    }

    /// Whether a recurrence sets it to its amount exactly at `at`.
    pub(super) fn is_refilled_at(&self, at: Instant) -> bool {
        let recurs = |recurrence: &Recurrence| recurrence.next_from(at) == Some(at);
        self.is_active(at) && self.recurrence.as_ref().is_some_and(recurs)
    }

    /// When it begins or ends, next after `at`.
    pub(super) fn turns_after(&self, at: Instant) -> Option<Instant> {
        let end = self.ends_at();
        let begins = Some(self.effective_at).filter(|begin| end.is_none_or(|end| *begin < end));
        begins.into_iter().chain(begins.and(end)).find(|turn| *turn > at)
    }

    /// When its recurrence sets it to its amount, next after `at`.
    pub(super) fn refilled_after(&self, at: Instant) -> Option<Instant> {
        let from = Instant::from_nanos(at.nanos().saturating_add(MINUTE_NS)).max(self.effective_at);
        self.recurrence.as_ref()?.next_from(from).filter(|tick| self.is_active(*tick))
    }

    /// What a reset leaves of a balance.
    pub(super) fn rolled_over(&self, balance: Quantity) -> Quantity {
        balance.max(self.min_rollover).min(self.max_rollover)
    }
}

/// In what a grant's life is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpirationUnit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// How long after it begins a grant expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiration {
    pub count: u32,
    pub unit: ExpirationUnit,
}

impl ExpirationUnit {
    pub const ALL: [ExpirationUnit; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The wire text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    /// Reads [`ExpirationUnit::as_str`], exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == text)
    }
}

impl Expiration {
    /// The exclusive end. Months and years are added as clients know it, on the clock `offset_s` seconds east of UTC: a
    /// day that the month does not have runs over into the next one. January 31 + 1 MONTH is March 3, in leap years
    /// March 2. `None` where an instant cannot be.
    pub fn after(&self, effective_at: Instant, offset_s: i32) -> Option<Instant> {
        let offset = Offset::from_seconds(offset_s).ok()?;
        let count = i64::from(self.count);
        let end = match self.unit {
            ExpirationUnit::Hour => effective_at.timestamp().checked_add(Span::new().try_hours(count).ok()?).ok()?,
            ExpirationUnit::Day => days_later(effective_at, offset, count)?,
            ExpirationUnit::Week => days_later(effective_at, offset, count * 7)?,
            ExpirationUnit::Month => months_later(effective_at, offset, count)?,
            ExpirationUnit::Year => months_later(effective_at, offset, count * 12)?,
        };
        i64::try_from(end.as_nanosecond()).ok().map(Instant::from_nanos)
    }
}

fn days_later(at: Instant, offset: Offset, days: i64) -> Option<Timestamp> {
    let end = offset.to_datetime(at.timestamp()).checked_add(Span::new().try_days(days).ok()?).ok()?;
    offset.to_timestamp(end).ok()
}

/// As many months on from the first of the month, then on to the day.
fn months_later(at: Instant, offset: Offset, months: i64) -> Option<Timestamp> {
    let begin = offset.to_datetime(at.timestamp());
    let into_month = i64::from(begin.day() - 1).days();
    let first = begin.checked_sub(into_month).ok()?;
    let end = first.checked_add(Span::new().try_months(months).ok()?).ok()?.checked_add(into_month).ok()?;
    offset.to_timestamp(end).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entitlement::testing::{at, grant};
    use ExpirationUnit::{Day, Hour, Month, Week, Year};

    const EAST_2H: i32 = 7_200;

    #[test]
    fn a_day_that_the_month_does_not_have_runs_over_into_the_next() {
        #[rustfmt::skip]
        let table = [
            ("2025-01-31",       1,  Month, 0,        "2025-03-03"),
            ("2024-01-31",       1,  Month, 0,        "2024-03-02"),
            ("2025-03-31",       1,  Month, 0,        "2025-05-01"),
            ("2025-10-31 10:30", 4,  Month, 0,        "2026-03-03 10:30"),
            ("2025-01-15",       12, Month, 0,        "2026-01-15"),
            ("2024-02-29",       1,  Year,  0,        "2025-03-01"),
            ("2024-02-29",       4,  Year,  0,        "2028-02-29"),
            ("2025-01-01",       10, Day,   0,        "2025-01-11"),
            ("2025-03-29",       2,  Week,  0,        "2025-04-12"),
            ("2025-12-31 23:00", 2,  Hour,  0,        "2026-01-01 01:00"),
            ("2025-01-31",       0,  Month, 0,        "2025-01-31"),
            // On a clock two hours east this is January 31 in the first case, February 1 in the second.
            ("2025-01-31 21:00", 1,  Month, EAST_2H,  "2025-03-03 21:00"),
            ("2025-01-31 23:00", 1,  Month, EAST_2H,  "2025-02-28 23:00"),
            ("2025-01-31 23:00", 1,  Month, 0,        "2025-03-03 23:00"),
            ("2025-01-01 01:00", 1,  Month, -EAST_2H, "2025-02-01 01:00"),
        ];
        for (effective_at, count, unit, offset_s, end) in table {
            let expiration = Expiration { count, unit };
            assert_eq!(
                expiration.after(at(effective_at), offset_s),
                Some(at(end)),
                "{effective_at} + {count} {unit:?}"
            );
        }
    }

    #[test]
    fn an_end_beyond_the_calendar_is_none() {
        for unit in ExpirationUnit::ALL {
            assert_eq!(ExpirationUnit::parse(unit.as_str()), Some(unit));
            assert_eq!(Expiration { count: u32::MAX, unit }.after(at("2025-01-01"), 0), None, "{unit:?}");
            for nanos in [i64::MIN, i64::MAX] {
                let _ = Expiration { count: 1_000, unit }.after(Instant::from_nanos(nanos), 50_400);
            }
        }
        assert_eq!(Expiration { count: 1_000, unit: Year }.after(at("2025-01-01"), 0), None);
        assert_eq!(Expiration { count: 1, unit: Year }.after(at("2025-01-01"), i32::MAX), None);
    }

    #[test]
    fn a_grant_is_in_force_from_its_begin_until_its_first_end() {
        let ends = |expires, voids, deletes| Grant {
            effective_at: at("01-10"),
            expires_at: Option::map(expires, at),
            voided_at: Option::map(voids, at),
            deleted_at: Option::map(deletes, at),
            ..grant("A", "1", 1)
        };
        #[rustfmt::skip]
        let table = [
            (ends(None, None, None),                                   None,                &["01-10", "2200-01-01"][..], &["01-09 23:59:59"][..]),
            (ends(Some("01-20"), None, None),                          Some("01-20"),       &["01-19 23:59"],             &["01-20"]),
            (ends(Some("01-20"), Some("01-15"), None),                 Some("01-15"),       &["01-14 23:59"],             &["01-15"]),
            (ends(Some("01-20"), Some("01-15"), Some("01-12 06:07:08")), Some("01-12 06:07"), &["01-12 06:06"],           &["01-12 06:07"]),
            (ends(None, Some("01-10"), None),                          Some("01-10"),       &[],                          &["01-09", "01-10", "01-11"]),
        ];
        for (grant, end, active, inactive) in table {
            assert_eq!(grant.ends_at(), end.map(at));
            assert!(active.iter().all(|when| grant.is_active(at(when))), "{end:?}");
            assert!(!inactive.iter().any(|when| grant.is_active(at(when))), "{end:?}");
        }
    }
}
