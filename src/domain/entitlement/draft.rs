//! New entitlements: what a client asks for, what is refused, and the entitlement with its default grant.
//!
//! An entitlement of 100 a month made on May 20 10:30:45 without anchor measures from 10:30 on, its months begin on the
//! 20th at 10:30, and its default grant gives 100 again in each.

use super::grant_draft::GrantDraft;
use super::interval::Interval;
use super::record::{Entitlement, EntitlementType, Kind, Metered};
use super::recurrence::Recurrence;
use crate::domain::catalog::feature::Feature;
use crate::domain::customer::Customer;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use std::collections::BTreeMap;
use ulid::Ulid;

/// Annotations of a default grant.
const DEFAULT_GRANT: &str = r#"{"issueAfterReset":true}"#;
/// Priority of a default grant that was given none.
const DEFAULT_GRANT_PRIORITY: u8 = 1;

/// An entitlement as a client wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitlementDraft {
    /// Goes before the key.
    pub feature_id: Option<String>,
    pub feature_key: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub kind: KindDraft,
}

/// The part of a draft that depends on the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindDraft {
    Metered(MeteredDraft),
    Static {
        /// JSON text.
        config: String,
        usage_period: Option<PeriodDraft>,
    },
    Boolean {
        usage_period: Option<PeriodDraft>,
    },
}

/// A metered entitlement as a client wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeteredDraft {
    pub is_soft_limit: bool,
    pub usage_period: PeriodDraft,
    pub measure_from: MeasureFrom,
    /// Also when it is 0.
    pub issue_after_reset: Option<Quantity>,
    pub issue_after_reset_priority: Option<u8>,
    pub preserve_overage_at_reset: bool,
    /// Made with the entitlement, in this order.
    pub grants: Vec<GrantDraft>,
}

/// A recurring period as a client wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodDraft {
    pub interval: Interval,
    /// Absent: now, or where the grant takes effect.
    pub anchor: Option<Instant>,
}

/// From when on usage counts. Cut to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureFrom {
    Now,
    /// The start of the usage period that is running now, counted from its anchor in UTC.
    CurrentPeriodStart,
    At(Instant),
}

/// What a draft calls its feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureName<'a> {
    Id(&'a str),
    Key(&'a str),
}

impl<'a> FeatureName<'a> {
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Id(text) | Self::Key(text) => text,
        }
    }
}

/// Why an entitlement is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntitlementRefusal {
    #[error("{0} must not contain the character U+0000")]
    Nul(&'static str),
    #[error("either featureId or featureKey must be provided")]
    FeatureUnnamed,
    #[error("issueAfterReset and grants cannot be used together")]
    IssueAndGrants,
    #[error("issueAfterResetPriority needs issueAfterReset")]
    PriorityAlone,
    #[error("issueAfterReset must not be negative")]
    NegativeIssue,
    #[error("UsagePeriod must be at least 1 hour")]
    PeriodTooShort,
    #[error("invalid feature {0}: Feature has no meter")]
    NoMeter(Ulid),
    #[error("invalid JSON config")]
    InvalidConfig,
    /// No event could name the customer.
    #[error("customer {0} has neither a key nor subject keys")]
    CustomerUnnamed(Ulid),
    #[error("old and new entitlements belong to different features")]
    OtherFeature,
    #[error("old and new entitlements belong to different customers")]
    OtherCustomer,
    /// What is over, or has its end set, is not replaced.
    #[error("entitlement {0} has an end already")]
    Ended(Ulid),
}

/// Only metered entitlements have grants, resets and a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected entitlement type metered but got {}", .0.as_str())]
pub struct NotMetered(pub EntitlementType);

impl EntitlementDraft {
    /// What the feature is called.
    pub fn feature(&self) -> Result<FeatureName<'_>, EntitlementRefusal> {
        let id = self.feature_id.as_deref().map(FeatureName::Id);
        id.or(self.feature_key.as_deref().map(FeatureName::Key)).ok_or(EntitlementRefusal::FeatureUnnamed)
    }

    /// The rules that need nothing but the draft; grants have rules of their own.
    pub fn check(&self) -> Result<(), EntitlementRefusal> {
        if self.metadata.iter().any(|(key, value)| key.contains('\0') || value.contains('\0')) {
            return Err(EntitlementRefusal::Nul("metadata"));
        }
        self.feature()?;
        if let KindDraft::Metered(metered) = &self.kind {
            metered.check()?;
        }
        match self.usage_period() {
            Some(period) if period.interval.is_shorter_than_an_hour() => Err(EntitlementRefusal::PeriodTooShort),
            _ => Ok(()),
        }
    }

    fn usage_period(&self) -> Option<&PeriodDraft> {
        match &self.kind {
            KindDraft::Metered(metered) => Some(&metered.usage_period),
            KindDraft::Static { usage_period, .. } | KindDraft::Boolean { usage_period } => usage_period.as_ref(),
        }
    }

    /// A new entitlement, active from now on. A configuration is taken as it is: it must be JSON already.
    pub fn create(
        self,
        feature: &Feature,
        customer: &Customer,
        id: Ulid,
        now: Instant,
    ) -> Result<Entitlement, EntitlementRefusal> {
        let kind = match self.kind {
            KindDraft::Metered(_) if feature.meter_id.is_none() => return Err(EntitlementRefusal::NoMeter(feature.id)),
            KindDraft::Metered(metered) => Kind::Metered(metered.settle(now)),
            KindDraft::Static { config, usage_period } => {
                Kind::Static { config, usage_period: usage_period.map(|period| period.settle(now)) }
            }
            KindDraft::Boolean { usage_period } => {
                Kind::Boolean { usage_period: usage_period.map(|period| period.settle(now)) }
            }
        };
        if customer.key.is_none() && customer.subject_keys.is_empty() {
            return Err(EntitlementRefusal::CustomerUnnamed(customer.id));
        }
        Ok(Entitlement {
            id,
            namespace: customer.namespace.clone(),
            customer_id: customer.id,
            feature_id: feature.id,
            feature_key: feature.key.clone(),
            kind,
            metadata: self.metadata,
            annotations: BTreeMap::new(),
            active_from: now,
            active_to: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        })
    }
}

impl MeteredDraft {
    fn check(&self) -> Result<(), EntitlementRefusal> {
        if self.issue_after_reset.is_some() && !self.grants.is_empty() {
            return Err(EntitlementRefusal::IssueAndGrants);
        }
        if self.issue_after_reset.is_none() && self.issue_after_reset_priority.is_some() {
            return Err(EntitlementRefusal::PriorityAlone);
        }
        match self.issue_after_reset {
            Some(amount) if amount < Quantity::ZERO => Err(EntitlementRefusal::NegativeIssue),
            _ => Ok(()),
        }
    }

    fn settle(self, now: Instant) -> Metered {
        let anchor = self.usage_period.anchor.unwrap_or(now).floor_to_minute();
        let usage_period = Recurrence { anchor, interval: self.usage_period.interval };
        let measure_from = match self.measure_from {
            MeasureFrom::Now => now,
            MeasureFrom::CurrentPeriodStart => usage_period.period_at(now).start,
            MeasureFrom::At(at) => at,
        };
        Metered {
            is_soft_limit: self.is_soft_limit,
            issue_after_reset: self.issue_after_reset,
            issue_after_reset_priority: self.issue_after_reset_priority,
            preserve_overage_at_reset: self.preserve_overage_at_reset,
            measure_from: measure_from.floor_to_minute(),
            usage_period,
        }
    }
}

impl PeriodDraft {
    /// Of what has no meter: its anchor keeps its seconds.
    fn settle(self, now: Instant) -> Recurrence {
        Recurrence { anchor: self.anchor.unwrap_or(now).floor_to_micros(), interval: self.interval }
    }
}

impl Metered {
    /// The grant that each reset fills up again, effective from the start of the usage period that is running now.
    pub fn default_grant(&self, now: Instant) -> Option<GrantDraft> {
        let amount = self.issue_after_reset.filter(|amount| *amount > Quantity::ZERO)?;
        Some(GrantDraft {
            amount,
            priority: self.issue_after_reset_priority.unwrap_or(DEFAULT_GRANT_PRIORITY),
            effective_at: self.usage_period_at(&[], now).start,
            offset_s: 0,
            expiration: None,
            min_rollover: amount,
            max_rollover: amount,
            recurrence: None,
            metadata: BTreeMap::new(),
            annotations: Some(DEFAULT_GRANT.to_string()),
        })
    }
}

#[cfg(test)]
mod tests;
