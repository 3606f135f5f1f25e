//! What entitlements give.

use super::burndown::Balance;
use super::record::EntitlementType;
use ulid::Ulid;

/// What one entitlement gives at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub has_access: bool,
    /// Present for a metered one that is active at that instant.
    pub metered: Option<Balance>,
    /// Present for a static one that is active at that instant: JSON text.
    pub config: Option<String>,
}

/// What one of a customer's features gives, and by which entitlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub feature_key: String,
    pub entitlement_id: Ulid,
    pub entitlement_type: EntitlementType,
    pub standing: Standing,
}
