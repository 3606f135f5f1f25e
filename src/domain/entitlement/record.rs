//! What is kept of entitlements: what a customer may use of a feature, from when to when, and the grants it is used
//! from.
//!
//! A metered entitlement gives access while its balance lasts; a static one carries a configuration; a boolean one just
//! says yes. A metered one from 10:30 on, by the month from the 1st, has the periods 10:30 to the 1st, then the 1st to
//! the 1st, until a reset cuts one short.

use super::grant::{Expiration, Grant};
use super::period::UsagePeriods;
use super::recurrence::Recurrence;
use super::terms::Reset;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use std::collections::BTreeMap;
use std::ops::Range;
use ulid::Ulid;

/// The annotation of what a subscription made; its value is the subscription's id.
pub const SUBSCRIPTION_ANNOTATION: &str = "subscription.id";

/// What a customer may use of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    pub id: Ulid,
    pub namespace: String,
    pub customer_id: Ulid,
    pub feature_id: Ulid,
    /// One entitlement of a customer is active under it at a time, whichever feature had the key when it was made.
    pub feature_key: String,
    pub kind: Kind,
    pub metadata: BTreeMap<String, String>,
    /// What weir itself notes.
    pub annotations: BTreeMap<String, String>,
    pub active_from: Instant,
    /// Exclusive. Absent: for good.
    pub active_to: Option<Instant>,
    pub created_at: Instant,
    pub updated_at: Instant,
    pub deleted_at: Option<Instant>,
}

/// How an entitlement decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// By its balance.
    Metered(Metered),
    /// Access, with a configuration.
    Static {
        /// JSON text as PostgreSQL's jsonb writes it.
        config: String,
        usage_period: Option<Recurrence>,
    },
    /// Access.
    Boolean { usage_period: Option<Recurrence> },
}

/// The settings of a metered entitlement. All instants are whole minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Whether there is access without a balance, too.
    pub is_soft_limit: bool,
    /// What the default grant holds again after each reset; absent or 0: there is no default grant.
    pub issue_after_reset: Option<Quantity>,
    /// As it was asked for.
    pub issue_after_reset_priority: Option<u8>,
    /// Whether overage is carried over a reset that does not say.
    pub preserve_overage_at_reset: bool,
    /// Usage before it does not count. The original one; resets are rows of their own.
    pub measure_from: Instant,
    /// The original one, before any reset moved its anchor.
    pub usage_period: Recurrence,
}

/// The kinds by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntitlementType {
    Metered,
    Static,
    Boolean,
}

impl EntitlementType {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Static => "static",
            Self::Boolean => "boolean",
        }
    }

    /// Reads what [`EntitlementType::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Metered, Self::Static, Self::Boolean].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Kind {
    pub fn name(&self) -> EntitlementType {
        match self {
            Self::Metered(_) => EntitlementType::Metered,
            Self::Static { .. } => EntitlementType::Static,
            Self::Boolean { .. } => EntitlementType::Boolean,
        }
    }

    /// The original one. A metered one always has one.
    pub fn usage_period(&self) -> Option<&Recurrence> {
        match self {
            Self::Metered(metered) => Some(&metered.usage_period),
            Self::Static { usage_period, .. } | Self::Boolean { usage_period } => usage_period.as_ref(),
        }
    }
}

impl Entitlement {
    /// Whether it is there and decides at this instant.
    pub fn is_active_at(&self, at: Instant) -> bool {
        self.deleted_at.is_none() && self.active_from <= at && self.active_to.is_none_or(|to| at < to)
    }

    /// Whether a subscription made it: then nobody else ends, resets or grants.
    pub fn is_managed(&self) -> bool {
        self.annotations.contains_key(SUBSCRIPTION_ANNOTATION)
    }

    pub fn metered(&self) -> Option<&Metered> {
        match &self.kind {
            Kind::Metered(metered) => Some(metered),
            Kind::Static { .. } | Kind::Boolean { .. } => None,
        }
    }

    /// The last manual reset, or else where measuring began; a period's end moves it never. None unless metered.
    /// `resets`: its own, ascending.
    pub fn last_reset(&self, resets: &[Reset]) -> Option<Instant> {
        self.metered().map(|metered| resets.last().map_or(metered.measure_from, |reset| reset.at))
    }

    /// The usage period at an instant; none without a usage period. `resets`: its own, ascending.
    pub fn usage_period_at(&self, resets: &[Reset], at: Instant) -> Option<Range<Instant>> {
        match &self.kind {
            Kind::Metered(metered) => Some(metered.usage_period_at(resets, at)),
            Kind::Static { usage_period, .. } | Kind::Boolean { usage_period } => {
                usage_period.as_ref().map(|period| period.period_at(at))
            }
        }
    }
}

impl Metered {
    /// The usage period at an instant; before measuring begins, the first one. `resets`: ascending.
    pub fn usage_period_at(&self, resets: &[Reset], at: Instant) -> Range<Instant> {
        UsagePeriods::new(self.measure_from, self.usage_period.clone(), resets).period_at(at)
    }
}

/// A grant with what only its representation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRecord {
    pub grant: Grant,
    pub namespace: String,
    pub entitlement_id: Ulid,
    /// As it was asked for; the grant has the instant.
    pub expiration: Option<Expiration>,
    pub metadata: BTreeMap<String, String>,
    /// A JSON object as text, as it came.
    pub annotations: Option<String>,
    pub updated_at: Instant,
}

#[cfg(test)]
mod tests;
