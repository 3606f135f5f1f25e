//! `/api/v2/customers/{customerIdOrKey}/entitlements` and `/api/v2/entitlements`: what a customer may use, asked for by
//! the customer.
//!
//! Statuses as in [`super::entitlements`], 412 for a customer that is deleted. An entitlement named by its id is found
//! whoever's it is, and shown as its owner's.

use super::customers::CustomerPath;
use super::entitlements::{
    At, ById, EntitlementOrdering, EntitlementType, EntitlementV2, EntitlementV2CreateInputs, EntitlementValueV2,
    HistoryParams, ResetEntitlementUsageInput, WindowedBalanceHistory, standing, told,
};
use super::paging::{OffsetParams, PageParams, Part, paginated};
use super::wire::IdOrKey;
use crate::http::caller::{answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, json};
use crate::services::entitlements::{EntitlementError, EntitlementsQuery, Owner, Shown, Which};
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;

#[utoipa::path(get, path = "/api/v2/customers/{customerIdOrKey}/entitlements",
    operation_id = "listCustomerEntitlementsV2", tag = "Entitlements",
    params(CustomerPath, ListOfCustomer, EntitlementOrdering, PageParams),
    responses((status = 200, body = EntitlementV2PaginatedResponse), V1NotFound, V1Problems))]
pub async fn list_of_customer(
    Params(path): Params<CustomerPath>,
    Params(order): Params<EntitlementOrdering>,
    Params(page): Params<PageParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let (owner, part) = (Owner::Customer(path.name()), Part::page_or_first(&page));
    let found = state.entitlements.list_active(&state.namespace, owner, order.into(), part.ask()).await?;
    Ok(json(HttpResponse::Ok(), &EntitlementV2PaginatedResponse::of(part, &found)))
}

#[utoipa::path(post, path = "/api/v2/customers/{customerIdOrKey}/entitlements",
    operation_id = "createCustomerEntitlementV2", tag = "Entitlements", params(CustomerPath),
    request_body = EntitlementV2CreateInputs,
    responses((status = 201, body = EntitlementV2), V1NotFound, V1Conflict, V1Problems))]
pub async fn create(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    body: Body<EntitlementV2CreateInputs>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |shown: &Shown| kept(StatusCode::CREATED, &EntitlementV2::from(shown));
    let owner = Owner::Customer(path.name());
    Ok(answer(state.entitlements.create(&caller, owner, body.value.into(), show).await?))
}

#[utoipa::path(get, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}",
    operation_id = "getCustomerEntitlementV2", tag = "Entitlements", params(CustomerPath, EntitlementOfCustomer),
    responses((status = 200, body = EntitlementV2), V1NotFound, V1Problems))]
pub async fn get(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let shown = found(&state, &path, &which).await?;
    Ok(json(HttpResponse::Ok(), &EntitlementV2::from(&shown)))
}

async fn found(state: &DoorState, path: &CustomerPath, which: &EntitlementOfCustomer) -> Result<Shown, Problem> {
    let (owner, name) = (Owner::Customer(path.name()), &which.entitlement_id_or_feature_key);
    let found = state.entitlements.find_of_customer(&state.namespace, owner, name, None).await?;
    let not_found = || EntitlementError::NotFound { namespace: state.namespace.clone(), id_or_key: name.clone() };
    Ok(found.ok_or_else(not_found)?)
}

#[utoipa::path(get, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/value",
    operation_id = "getCustomerEntitlementValueV2", tag = "Entitlements",
    params(CustomerPath, EntitlementOfCustomer, At),
    responses((status = 200, body = EntitlementValueV2), V1NotFound, V1Problems))]
pub async fn value(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    Params(asked): Params<At>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let (owner, name) = (Owner::Customer(path.name()), &which.entitlement_id_or_feature_key);
    let (seen, standing) = standing(&request, &state, owner, name, asked.instant()).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &standing.as_ref().map(EntitlementValueV2::from).unwrap_or_default()))
}

#[utoipa::path(get, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/history",
    operation_id = "getCustomerEntitlementHistoryV2", tag = "Entitlements",
    params(CustomerPath, EntitlementOfCustomer, HistoryParams),
    responses((status = 200, body = WindowedBalanceHistory), V1NotFound, V1Problems))]
pub async fn history(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    Params(asked): Params<HistoryParams>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let shown = found(&state, &path, &which).await?;
    told(&request, &state, &shown, &asked).await
}

#[utoipa::path(delete, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}",
    operation_id = "deleteCustomerEntitlementV2", tag = "Entitlements", params(CustomerPath, EntitlementOfCustomer),
    responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn delete(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.entitlements.delete(&caller, which.of(&path), nothing()).await?))
}

#[utoipa::path(put, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/override",
    operation_id = "overrideCustomerEntitlementV2", tag = "Entitlements", params(CustomerPath, Overridden),
    request_body = EntitlementV2CreateInputs,
    responses((status = 201, body = EntitlementV2), V1NotFound, V1Conflict, V1Problems))]
pub async fn replace(
    Params(path): Params<CustomerPath>,
    Params(old): Params<Overridden>,
    request: HttpRequest,
    body: Body<EntitlementV2CreateInputs>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |shown: &Shown| kept(StatusCode::CREATED, &EntitlementV2::from(shown));
    let (owner, old) = (Owner::Customer(path.name()), &old.entitlement_id_or_feature_key.0);
    Ok(answer(state.entitlements.replace(&caller, owner, old, body.value.into(), show).await?))
}

#[utoipa::path(post, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/reset",
    operation_id = "resetCustomerEntitlementUsageV2", tag = "Entitlements",
    params(CustomerPath, EntitlementOfCustomer), request_body = ResetEntitlementUsageInput,
    responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn reset(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    request: HttpRequest,
    body: Body<ResetEntitlementUsageInput>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    Ok(answer(state.entitlements.reset(&caller, which.of(&path), body.value.into(), nothing()).await?))
}

#[utoipa::path(get, path = "/api/v2/entitlements", operation_id = "listEntitlementsV2", tag = "Entitlements",
    params(List, EntitlementOrdering, PageParams, OffsetParams),
    responses((status = 200, body = EntitlementV2PaginatedResponse), V1Problems))]
pub async fn list(
    Params(asked): Params<List>,
    Params(order): Params<EntitlementOrdering>,
    Params(page): Params<PageParams>,
    Params(rows): Params<OffsetParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let part = Part::page(&page).or_else(|| Part::rows(&rows)).unwrap_or_else(|| Part::page_or_first(&page));
    let active = asked.exclude_inactive.unwrap_or(false);
    let found = state.entitlements.list(&state.namespace, asked.query(order), active, part.ask()).await?;
    Ok(json(HttpResponse::Ok(), &EntitlementV2PaginatedResponse::of(part, &found)))
}

#[utoipa::path(get, path = "/api/v2/entitlements/{entitlementId}", operation_id = "getEntitlementByIdV2",
    tag = "Entitlements", params(ById), responses((status = 200, body = EntitlementV2), V1NotFound, V1Problems))]
pub async fn get_by_id(Params(path): Params<ById>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let shown = state.entitlements.get(&state.namespace, &path.entitlement_id).await?;
    Ok(json(HttpResponse::Ok(), &EntitlementV2::from(&shown)))
}

paginated!(EntitlementV2PaginatedResponse of EntitlementV2);

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct EntitlementOfCustomer {
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$|^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"
    )]
    pub entitlement_id_or_feature_key: String,
}

impl EntitlementOfCustomer {
    pub fn of<'a>(&'a self, customer: &'a CustomerPath) -> Which<'a> {
        Which::Of(Owner::Customer(customer.name()), &self.entitlement_id_or_feature_key)
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct Overridden {
    entitlement_id_or_feature_key: IdOrKey,
}

/// Checked, and otherwise without effect, as clients know it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListOfCustomer {
    #[param(default = false)]
    #[serde(rename = "includeDeleted")]
    _include_deleted: Option<bool>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct List {
    /// Ids or keys.
    feature: Option<Vec<String>>,
    customer_keys: Option<Vec<String>>,
    customer_ids: Option<Vec<String>>,
    entitlement_type: Option<Vec<EntitlementType>>,
    #[param(default = false)]
    exclude_inactive: Option<bool>,
}

impl List {
    fn query(&self, order: EntitlementOrdering) -> EntitlementsQuery {
        EntitlementsQuery {
            features: self.feature.clone().unwrap_or_default(),
            customer_keys: self.customer_keys.clone().unwrap_or_default(),
            customer_ids: self.customer_ids.clone().unwrap_or_default(),
            kinds: self.entitlement_type.iter().flatten().copied().map(Into::into).collect(),
            ..order.into()
        }
    }
}
