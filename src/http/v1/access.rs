//! `/api/v1/customers/{customerIdOrKey}/access` and `…/entitlements/{featureKey}/value`: what a customer may use now.
//!
//! 200, also for a feature that gives nothing · 404 no such customer · 412 the customer is deleted.

use super::customers::CustomerPath;
use super::entitlements::{At, EntitlementValue, EntitlementValueV2, standing};
use crate::http::contract::Params;
use crate::http::freshness::Seen;
use crate::http::openapi::problems::{V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json};
use crate::ports::line::Checked;
use crate::services::balances::Given;
use crate::services::entitlements::Owner;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Ref, Schema, Type};
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/customers/{customerIdOrKey}/access", operation_id = "getCustomerAccess",
    tag = "Entitlements", params(CustomerPath), responses((status = 200, body = CustomerAccess), V1NotFound, V1Problems))]
pub async fn access(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let Checked { given, wait, .. } =
        state.balances.check(&freshness::check(&request, &state, path.name(), None)?).await?;
    let value = |given: Given| (given.feature_key, EntitlementValueV2::from(&given.standing));
    let mut response = HttpResponse::Ok();
    Seen::of(wait).mark(&mut response);
    Ok(json(response, &CustomerAccess { entitlements: given.into_iter().map(value).collect() }))
}

#[utoipa::path(get, path = "/api/v1/customers/{customerIdOrKey}/entitlements/{featureKey}/value",
    operation_id = "getCustomerEntitlementValue", tag = "Entitlements", params(CustomerPath, FeaturePath, At),
    responses((status = 200, body = EntitlementValue), V1NotFound, V1Problems))]
pub async fn value(
    Params(path): Params<CustomerPath>,
    Params(feature): Params<FeaturePath>,
    Params(asked): Params<At>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let owner = Owner::Customer(path.name());
    let (seen, standing) = standing(&request, &state, owner, &feature.feature_key, asked.instant()).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &standing.as_ref().map(EntitlementValue::from).unwrap_or_default()))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct FeaturePath {
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    feature_key: String,
}

/// What is active, by feature key. The published contract says less of each than its API answers.
#[derive(Serialize, ToSchema)]
pub struct CustomerAccess {
    #[schema(schema_with = values_by_key)]
    entitlements: BTreeMap<String, EntitlementValueV2>,
}

/// `read_only` has no effect on a map.
fn values_by_key() -> RefOr<Schema> {
    let value = Ref::from_schema_name("EntitlementValue");
    ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(value)).read_only(true).into()
}
