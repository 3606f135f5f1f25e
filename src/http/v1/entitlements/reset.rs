//! A reset on the wire.

use crate::http::times::DateTime;
use crate::services::entitlements::ResetDraft;
use serde::Deserialize;
use utoipa::ToSchema;

/// Now, with periods counted from the reset on and overage as the entitlement says, unless said otherwise.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetEntitlementUsageInput {
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_at: Option<DateTime>,
    retain_anchor: Option<bool>,
    preserve_overage: Option<bool>,
}

impl From<ResetEntitlementUsageInput> for ResetDraft {
    fn from(sent: ResetEntitlementUsageInput) -> Self {
        Self {
            effective_at: sent.effective_at.map(|time| time.instant),
            retain_anchor: sent.retain_anchor.unwrap_or(false),
            preserve_overage: sent.preserve_overage,
        }
    }
}
