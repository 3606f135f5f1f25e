//! `/api/v3/openmeter/…/entitlement-access`: which features a customer may use, and who of many may use which.
//!
//! 200, also when some of many customers are not there: they are listed as errors · 400 a page or a body that cannot be
//! read · 404 no such customer · 412 the customer is deleted.

mod pages;
pub mod query;

use super::customers::CustomerPath;
use super::wire::ResourceKey;
use crate::domain::entitlement::record;
use crate::http::contract::Params;
use crate::http::freshness::Seen;
use crate::http::openapi::problems::{V3NotFound, V3Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json};
use crate::ports::line::Checked;
use crate::services::balances::Given;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

#[utoipa::path(get, path = "/openmeter/customers/{customerId}/entitlement-access",
    operation_id = "list-customer-entitlement-access", tag = "OpenMeter Entitlements", params(CustomerPath),
    responses((status = 200, body = ListCustomerEntitlementAccessResponseData), V3NotFound, V3Problems))]
pub async fn list(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let customer = state.customers.get(&state.namespace, path.named()).await?;
    if customer.deleted_at.is_some() {
        let detail = format!("Customer is deleted [namespace={} customer.id={}]", customer.namespace, customer.id);
        return Err(Problem::in_v3(StatusCode::PRECONDITION_FAILED, detail));
    }
    let id = customer.id.to_string();
    let Checked { given, wait, .. } = state.balances.check(&freshness::check(&request, &state, &id, None)?).await?;
    let data = given.into_iter().map(BillingEntitlementAccessResult::from).collect();
    let mut response = HttpResponse::Ok();
    Seen::of(wait).mark(&mut response);
    Ok(json(response, &ListCustomerEntitlementAccessResponseData { data }))
}

/// What is active, by feature key.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListCustomerEntitlementAccessResponseData {
    #[schema(read_only)]
    data: Vec<BillingEntitlementAccessResult>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BillingEntitlementAccessResult {
    #[schema(read_only)]
    r#type: BillingEntitlementType,
    #[schema(read_only)]
    feature_key: ResourceKey,
    #[schema(read_only)]
    has_access: bool,
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BillingEntitlementType {
    Metered,
    Static,
    Boolean,
}

impl From<record::EntitlementType> for BillingEntitlementType {
    fn from(kind: record::EntitlementType) -> Self {
        match kind {
            record::EntitlementType::Metered => Self::Metered,
            record::EntitlementType::Static => Self::Static,
            record::EntitlementType::Boolean => Self::Boolean,
        }
    }
}

impl From<Given> for BillingEntitlementAccessResult {
    fn from(given: Given) -> Self {
        Self {
            r#type: given.entitlement_type.into(),
            feature_key: ResourceKey(given.feature_key),
            has_access: given.standing.has_access,
            config: given.standing.config,
        }
    }
}
