//! Which grants are listed, and in which order.

use crate::http::v1::wire::{IdOrKey, SortOrder};
use crate::services::entitlements::{GrantOrder, GrantsQuery};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GrantOrderBy {
    Id,
    CreatedAt,
    UpdatedAt,
}

impl From<GrantOrderBy> for GrantOrder {
    fn from(by: GrantOrderBy) -> Self {
        match by {
            GrantOrderBy::Id => Self::Id,
            GrantOrderBy::CreatedAt => Self::CreatedAt,
            GrantOrderBy::UpdatedAt => Self::UpdatedAt,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct GrantOrdering {
    #[param(default = "ASC")]
    order: Option<SortOrder>,
    order_by: Option<GrantOrderBy>,
}

impl GrantOrdering {
    /// Every grant in this order, by `usual` where none is named.
    pub fn or(self, usual: GrantOrder) -> GrantsQuery {
        let order = self.order_by.map_or(usual, GrantOrder::from);
        GrantsQuery { order, descending: self.order == Some(SortOrder::Desc), ..GrantsQuery::default() }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct WithDeleted {
    #[param(default = false)]
    include_deleted: Option<bool>,
}

impl WithDeleted {
    pub fn of(self, query: GrantsQuery) -> GrantsQuery {
        GrantsQuery { include_deleted: self.include_deleted.unwrap_or(false), ..query }
    }
}

/// An entitlement's grants, as v1 asks for them.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct OfEntitlementInV1 {
    #[param(default = false)]
    include_deleted: Option<bool>,
    #[param(default = "updatedAt")]
    order_by: Option<GrantOrderBy>,
}

impl From<OfEntitlementInV1> for GrantsQuery {
    fn from(sent: OfEntitlementInV1) -> Self {
        Self {
            include_deleted: sent.include_deleted.unwrap_or(false),
            order: sent.order_by.map_or(GrantOrder::UpdatedAt, GrantOrder::from),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfSubjects {
    /// Ids or keys.
    feature: Option<Vec<String>>,
    /// Keys; a customer's own key is none.
    subject: Option<Vec<String>>,
}

impl OfSubjects {
    pub fn narrow(self, query: GrantsQuery) -> GrantsQuery {
        let (features, subject_keys) = (self.feature.unwrap_or_default(), self.subject.unwrap_or_default());
        GrantsQuery { features, subject_keys, ..query }
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfCustomers {
    /// Ids or keys.
    feature: Option<Vec<String>>,
    customer: Option<Vec<IdOrKey>>,
}

impl OfCustomers {
    pub fn narrow(self, query: GrantsQuery) -> GrantsQuery {
        let customers = self.customer.into_iter().flatten().map(|customer| customer.0).collect();
        GrantsQuery { features: self.feature.unwrap_or_default(), customers, ..query }
    }
}
