//! In which order entitlements are listed, in both versions.

use crate::http::v1::wire::SortOrder;
use crate::services::entitlements::{EntitlementOrder, EntitlementsQuery};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EntitlementOrderBy {
    CreatedAt,
    UpdatedAt,
}

/// By the time of their making, the oldest first, unless said otherwise.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EntitlementOrdering {
    #[param(default = "ASC")]
    order: Option<SortOrder>,
    order_by: Option<EntitlementOrderBy>,
}

/// Everything, in this order.
impl From<EntitlementOrdering> for EntitlementsQuery {
    fn from(sent: EntitlementOrdering) -> Self {
        let order = match sent.order_by {
            Some(EntitlementOrderBy::UpdatedAt) => EntitlementOrder::UpdatedAt,
            Some(EntitlementOrderBy::CreatedAt) | None => EntitlementOrder::CreatedAt,
        };
        Self { order, descending: sent.order == Some(SortOrder::Desc), ..Self::default() }
    }
}
