//! New grants, voids and resets: what a client asks for, and what is refused.
//!
//! All three may reach back, but never behind the usage period that is running: what is over stays as it is.

use super::draft::PeriodDraft;
use super::grant::{Expiration, Grant};
use super::record::{GrantRecord, Metered};
use super::recurrence::Recurrence;
use super::terms::Reset;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use std::collections::BTreeMap;
use ulid::Ulid;

/// A grant as a client wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantDraft {
    pub amount: Quantity,
    /// Lower burns first; 0 when none was sent.
    pub priority: u8,
    /// Cut to the minute.
    pub effective_at: Instant,
    /// Of the clock on which `effective_at` was sent, in seconds east of UTC: months of the expiration are counted on it.
    pub offset_s: i32,
    pub expiration: Option<Expiration>,
    pub min_rollover: Quantity,
    pub max_rollover: Quantity,
    /// When it is filled up again; without an anchor, counted from where it takes effect.
    pub recurrence: Option<PeriodDraft>,
    pub metadata: BTreeMap<String, String>,
    /// A JSON object.
    pub annotations: Option<String>,
}

/// Why a grant or its void is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    #[error("amount must be positive")]
    AmountNotPositive,
    #[error("{0} must not be negative")]
    NegativeRollover(&'static str),
    #[error("{0} must not contain the character U+0000")]
    Nul(&'static str),
    #[error("grant effective date {} is before the current usage period {}", .effective_at.to_rfc3339(), .period_from.to_rfc3339())]
    BeforePeriod { effective_at: Instant, period_from: Instant },
    #[error("expiration must end before the year 2262")]
    ExpiresTooLate,
    #[error("grant already voided")]
    Voided,
    #[error("grant cannot be voided in the future: {}", .0.to_rfc3339())]
    VoidInFuture(Instant),
    #[error("grant cannot be voided at {}, before the current usage period {}", .at.to_rfc3339(), .period_from.to_rfc3339())]
    VoidBeforePeriod { at: Instant, period_from: Instant },
}

impl GrantDraft {
    /// The rules that need nothing but the draft.
    pub fn check(&self) -> Result<(), GrantRefusal> {
        if self.amount <= Quantity::ZERO {
            return Err(GrantRefusal::AmountNotPositive);
        }
        for (field, amount) in [("minRolloverAmount", self.min_rollover), ("maxRolloverAmount", self.max_rollover)] {
            if amount < Quantity::ZERO {
                return Err(GrantRefusal::NegativeRollover(field));
            }
        }
        if self.metadata.iter().any(|(key, value)| key.contains('\0') || value.contains('\0')) {
            return Err(GrantRefusal::Nul("metadata"));
        }
        Ok(())
    }

    /// A new grant of the entitlement. `period_from`: where its current usage period begins.
    pub fn create(
        self,
        namespace: &str,
        entitlement_id: Ulid,
        period_from: Instant,
        id: Ulid,
        now: Instant,
    ) -> Result<GrantRecord, GrantRefusal> {
        self.check()?;
        let effective_at = self.effective_at.floor_to_minute();
        if effective_at < period_from {
            return Err(GrantRefusal::BeforePeriod { effective_at, period_from });
        }
        let expires =
            |expiration: &Expiration| expiration.after(effective_at, self.offset_s).ok_or(GrantRefusal::ExpiresTooLate);
        let expires_at = self.expiration.as_ref().map(expires).transpose()?;
        let recurrence = self.recurrence.map(|PeriodDraft { interval, anchor }| Recurrence {
            anchor: anchor.map_or(effective_at, Instant::floor_to_minute),
            interval,
        });
        let grant = Grant {
            id,
            amount: self.amount,
            priority: self.priority,
            effective_at,
            expires_at,
            voided_at: None,
            deleted_at: None,
            min_rollover: self.min_rollover,
            max_rollover: self.max_rollover,
            recurrence,
            created_at: now,
        };
        Ok(GrantRecord {
            grant,
            namespace: namespace.to_string(),
            entitlement_id,
            expiration: self.expiration,
            metadata: self.metadata,
            annotations: self.annotations,
            updated_at: now,
        })
    }
}

impl GrantRecord {
    /// The grant without effect from `at` on, or from now on. `period_from`: where the current usage period begins.
    pub fn void(&self, at: Option<Instant>, period_from: Instant, now: Instant) -> Result<Self, GrantRefusal> {
        if self.grant.voided_at.is_some() {
            return Err(GrantRefusal::Voided);
        }
        let at = at.unwrap_or(now).floor_to_minute();
        if at > now {
            return Err(GrantRefusal::VoidInFuture(at));
        }
        if at < period_from {
            return Err(GrantRefusal::VoidBeforePeriod { at, period_from });
        }
        let mut voided = self.clone();
        voided.grant.voided_at = Some(at);
        voided.updated_at = now;
        Ok(voided)
    }
}

/// A reset as a client wants it to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResetDraft {
    /// Absent: now. Cut to the minute.
    pub effective_at: Option<Instant>,
    /// Whether later usage periods keep their boundaries; otherwise they are counted from the reset.
    pub retain_anchor: bool,
    /// Absent: as the entitlement says.
    pub preserve_overage: Option<bool>,
}

/// Why a reset is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResetRefusal {
    #[error("reset at {} is in the future", .0.to_rfc3339())]
    InFuture(Instant),
    #[error("reset at {} must be after last reset at {}", .at.to_rfc3339(), .last.to_rfc3339())]
    NotAfterLast { at: Instant, last: Instant },
    #[error("reset at {} is before the current usage period {}", .at.to_rfc3339(), .period_from.to_rfc3339())]
    BeforePeriod { at: Instant, period_from: Instant },
}

impl ResetDraft {
    /// The reset of an entitlement that has had these, ascending.
    pub fn create(&self, metered: &Metered, resets: &[Reset], now: Instant) -> Result<Reset, ResetRefusal> {
        let asked = self.effective_at.unwrap_or(now);
        if asked > now {
            return Err(ResetRefusal::InFuture(asked));
        }
        let at = asked.floor_to_minute();
        let last = resets.last().map_or(metered.measure_from, |reset| reset.at);
        if at <= last {
            return Err(ResetRefusal::NotAfterLast { at, last });
        }
        let period_from = metered.usage_period_at(resets, now).start;
        if at < period_from {
            return Err(ResetRefusal::BeforePeriod { at, period_from });
        }
        let preserve_overage = self.preserve_overage.unwrap_or(metered.preserve_overage_at_reset);
        Ok(Reset { at, anchor: (!self.retain_anchor).then_some(at), preserve_overage })
    }
}

#[cfg(test)]
mod tests;
