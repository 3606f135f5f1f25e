//! Grants, in both versions: given to and listed of an entitlement, by subject and by customer; listed of all; voided.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 403 only its subscription changes the entitlement · 404 no such
//! subject, customer, entitlement or grant · 409 the idempotency key was another request's · 412 the subject or the
//! customer is deleted · 503 not accepted, or unknown.

mod list;
pub mod wire;

pub use list::GrantOrderBy;
pub use wire::{EntitlementGrantCreateInput, EntitlementGrantCreateInputV2};

use super::customers::CustomerPath;
use super::entitlements::{EntitlementOfSubject, OfSubject};
use super::entitlements_v2::EntitlementOfCustomer;
use super::paging::{OffsetParams, PageParams, Part, paginated};
use crate::http::caller::{answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, json};
use crate::services::entitlements::{GrantOrder, ShownGrant, Which};
use crate::services::page::PageAsk;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use list::{GrantOrdering, OfCustomers, OfEntitlementInV1, OfSubjects, WithDeleted};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::{EntitlementGrant, EntitlementGrantV2};

/// Most grants in v1's list of an entitlement's.
const OF_ENTITLEMENT: PageAsk = PageAsk { offset: 0, limit: 1_000 };

#[utoipa::path(get, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    operation_id = "listEntitlementGrants", tag = "Entitlements",
    params(OfSubject, EntitlementOfSubject, OfEntitlementInV1),
    responses((status = 200, body = Vec<EntitlementGrant>), V1NotFound, V1Problems))]
pub async fn list_of_subject(
    Params(path): Params<OfSubject>,
    Params(which): Params<EntitlementOfSubject>,
    Params(asked): Params<OfEntitlementInV1>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let which = Which::Of(path.owner(), &which.entitlement_id_or_feature_key);
    let found = state.entitlements.grants_of(&state.namespace, which, asked.into(), OF_ENTITLEMENT).await?;
    let rows: Vec<EntitlementGrant> = found.items.iter().map(EntitlementGrant::from).collect();
    Ok(json(HttpResponse::Ok(), &rows))
}

#[utoipa::path(post, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    operation_id = "createGrant", tag = "Entitlements", params(OfSubject, EntitlementOfSubject),
    request_body = EntitlementGrantCreateInput,
    responses((status = 201, body = EntitlementGrant), V1NotFound, V1Conflict, V1Problems))]
pub async fn create_of_subject(
    Params(path): Params<OfSubject>,
    Params(which): Params<EntitlementOfSubject>,
    request: HttpRequest,
    body: Body<EntitlementGrantCreateInput>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let which = Which::Of(path.owner(), &which.entitlement_id_or_feature_key);
    let clock = body.value.clock();
    let show = |grant: &ShownGrant| kept(StatusCode::CREATED, &EntitlementGrant::on(&clock, grant));
    Ok(answer(state.entitlements.create_grant(&caller, which, body.value.into(), show).await?))
}

#[utoipa::path(get, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    operation_id = "listCustomerEntitlementGrantsV2", tag = "Entitlements",
    params(CustomerPath, EntitlementOfCustomer, WithDeleted, GrantOrdering, PageParams, OffsetParams),
    responses((status = 200, body = GrantV2PaginatedResponse), V1NotFound, V1Problems))]
pub async fn list_of_customer(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    Params(asked): Params<WithDeleted>,
    Params(order): Params<GrantOrdering>,
    Params(page): Params<PageParams>,
    Params(rows): Params<OffsetParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let part = Part::page(&page).or_else(|| Part::rows(&rows)).unwrap_or_else(|| Part::page_or_first(&page));
    let query = asked.of(order.or(GrantOrder::CreatedAt));
    let found = state.entitlements.grants_of(&state.namespace, which.of(&path), query, part.ask()).await?;
    Ok(json(HttpResponse::Ok(), &GrantV2PaginatedResponse::of(part, &found)))
}

#[utoipa::path(post, path = "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    operation_id = "createCustomerEntitlementGrantV2", tag = "Entitlements",
    params(CustomerPath, EntitlementOfCustomer), request_body = EntitlementGrantCreateInputV2,
    responses((status = 201, body = EntitlementGrantV2), V1NotFound, V1Conflict, V1Problems))]
pub async fn create_of_customer(
    Params(path): Params<CustomerPath>,
    Params(which): Params<EntitlementOfCustomer>,
    request: HttpRequest,
    body: Body<EntitlementGrantCreateInputV2>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let clock = body.value.clock();
    let show = |grant: &ShownGrant| kept(StatusCode::CREATED, &EntitlementGrantV2::on(&clock, grant));
    Ok(answer(state.entitlements.create_grant(&caller, which.of(&path), body.value.into(), show).await?))
}

#[utoipa::path(get, path = "/api/v1/grants", operation_id = "listGrants", tag = "Entitlements",
    params(OfSubjects, WithDeleted, GrantOrdering, PageParams, OffsetParams),
    responses((status = 200, body = inline(ListGrantsResult)), V1Problems))]
pub async fn list(
    Params(of): Params<OfSubjects>,
    Params(asked): Params<WithDeleted>,
    Params(order): Params<GrantOrdering>,
    Params(page): Params<PageParams>,
    Params(rows): Params<OffsetParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let paged = Part::page(&page);
    let part = paged.unwrap_or_else(|| Part::rows_or_first(&rows));
    let query = of.narrow(asked.of(order.or(GrantOrder::EffectiveAt)));
    let found = state.entitlements.list_grants(&state.namespace, query, part.ask()).await?;
    let result = match paged {
        Some(_) => ListGrantsResult::Page(GrantPaginatedResponse::of(part, &found)),
        None => ListGrantsResult::Rows(found.items.iter().map(EntitlementGrant::from).collect()),
    };
    Ok(json(HttpResponse::Ok(), &result))
}

#[utoipa::path(get, path = "/api/v2/grants", operation_id = "listGrantsV2", tag = "Entitlements",
    params(OfCustomers, WithDeleted, GrantOrdering, PageParams, OffsetParams),
    responses((status = 200, body = GrantV2PaginatedResponse), V1NotFound, V1Problems))]
pub async fn list_v2(
    Params(of): Params<OfCustomers>,
    Params(asked): Params<WithDeleted>,
    Params(order): Params<GrantOrdering>,
    Params(page): Params<PageParams>,
    Params(rows): Params<OffsetParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let part = Part::page(&page).unwrap_or_else(|| Part::rows_or_first(&rows));
    let query = of.narrow(asked.of(order.or(GrantOrder::EffectiveAt)));
    let found = state.entitlements.list_grants(&state.namespace, query, part.ask()).await?;
    Ok(json(HttpResponse::Ok(), &GrantV2PaginatedResponse::of(part, &found)))
}

#[utoipa::path(delete, path = "/api/v1/grants/{grantId}", operation_id = "voidGrant", tag = "Entitlements",
    params(GrantPath, VoidAt), responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn void(
    Params(path): Params<GrantPath>,
    Params(asked): Params<VoidAt>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    let at = asked.at.map(|time| time.instant);
    Ok(answer(state.entitlements.void_grant(&caller, &path.grant_id, at, nothing()).await?))
}

paginated!(GrantPaginatedResponse of EntitlementGrant);
paginated!(GrantV2PaginatedResponse of EntitlementGrantV2);

/// Pages where one was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ListGrantsResult {
    Rows(Vec<EntitlementGrant>),
    Page(GrantPaginatedResponse),
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct GrantPath {
    grant_id: String,
}

/// From when on it has no effect; now, unless said otherwise.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VoidAt {
    #[param(value_type = Option<String>, format = DateTime)]
    at: Option<DateTime>,
}
