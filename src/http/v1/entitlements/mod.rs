//! `/api/v1/subjects/{subjectIdOrKey}/entitlements` and `/api/v1/entitlements`: what a customer may use, asked for by
//! one of its subjects; and what these routes share with those of v2 by customer.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 403 only its subscription changes it · 404 no such subject, customer
//! of it, feature or entitlement · 409 the customer has one for this feature, or the idempotency key was another
//! request's · 412 the subject is deleted · 503 not accepted, or unknown.
//!
//! An entitlement named by its id is found whatever stands before it in the path, as clients know it.

mod create;
mod history;
mod list;
pub mod period;
mod problems;
mod reset;
mod shown;
mod value;

pub use create::{EntitlementCreateInputs, EntitlementType, EntitlementV2CreateInputs};
pub use history::{HistoryParams, WindowedBalanceHistory};
pub use list::{EntitlementOrderBy, EntitlementOrdering};
pub use reset::ResetEntitlementUsageInput;
pub use shown::{Entitlement, EntitlementV2};
pub use value::{EntitlementValue, EntitlementValueV2, by_grant};

use super::paging::{OffsetParams, PageParams, Part, paginated};
use crate::domain::time::Instant;
use crate::http::caller::{answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::freshness::{self, Seen};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, json};
use crate::ports::line::Checked;
use crate::services::balances::Standing;
use crate::services::entitlements::{EntitlementError, EntitlementsQuery, Owner, Shown, Which};
use crate::services::page::PageAsk;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements", operation_id = "listSubjectEntitlements",
    tag = "Entitlements", params(OfSubject, ListOfSubject),
    responses((status = 200, body = Vec<Entitlement>), V1NotFound, V1Problems))]
pub async fn list_of_subject(Params(path): Params<OfSubject>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let query = EntitlementsQuery::default();
    let found = state.entitlements.list_active(&state.namespace, path.owner(), query, PageAsk::ALL).await?;
    let rows: Vec<Entitlement> = found.items.iter().map(Entitlement::from).collect();
    Ok(json(HttpResponse::Ok(), &rows))
}

#[utoipa::path(post, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements", operation_id = "createEntitlement",
    tag = "Entitlements", params(OfSubject), request_body = EntitlementCreateInputs,
    responses((status = 201, body = Entitlement), V1NotFound, V1Conflict, V1Problems))]
pub async fn create(
    Params(path): Params<OfSubject>,
    request: HttpRequest,
    body: Body<EntitlementCreateInputs>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |shown: &Shown| kept(StatusCode::CREATED, &Entitlement::from(shown));
    Ok(answer(state.entitlements.create(&caller, path.owner(), body.value.into(), show).await?))
}

#[utoipa::path(get, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}",
    operation_id = "getEntitlement", tag = "Entitlements", params(OfSubject, EntitlementPath),
    responses((status = 200, body = Entitlement), V1NotFound, V1Problems))]
pub async fn get(Params(path): Params<EntitlementPath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let shown = state.entitlements.get(&state.namespace, &path.entitlement_id).await?;
    Ok(json(HttpResponse::Ok(), &Entitlement::from(&shown)))
}

#[utoipa::path(delete, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}",
    operation_id = "deleteEntitlement", tag = "Entitlements", params(OfSubject, EntitlementPath),
    responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn delete(
    Params(path): Params<EntitlementPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.entitlements.delete(&caller, Which::Id(&path.entitlement_id), nothing()).await?))
}

#[utoipa::path(put, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/override",
    operation_id = "overrideEntitlement", tag = "Entitlements", params(OfSubject, EntitlementOfSubject),
    request_body = EntitlementCreateInputs,
    responses((status = 201, body = Entitlement), V1NotFound, V1Conflict, V1Problems))]
pub async fn replace(
    Params(path): Params<OfSubject>,
    Params(old): Params<EntitlementOfSubject>,
    request: HttpRequest,
    body: Body<EntitlementCreateInputs>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |shown: &Shown| kept(StatusCode::CREATED, &Entitlement::from(shown));
    let old = &old.entitlement_id_or_feature_key;
    Ok(answer(state.entitlements.replace(&caller, path.owner(), old, body.value.into(), show).await?))
}

#[utoipa::path(post, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}/reset",
    operation_id = "resetEntitlementUsage", tag = "Entitlements", params(OfSubject, EntitlementPath),
    request_body = ResetEntitlementUsageInput, responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn reset(
    Params(path): Params<EntitlementPath>,
    request: HttpRequest,
    body: Body<ResetEntitlementUsageInput>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let which = Which::Id(&path.entitlement_id);
    Ok(answer(state.entitlements.reset(&caller, which, body.value.into(), nothing()).await?))
}

#[utoipa::path(get, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/value",
    operation_id = "getEntitlementValue", tag = "Entitlements", params(OfSubject, EntitlementOfSubject, At),
    responses((status = 200, body = EntitlementValue), V1NotFound, V1Problems))]
pub async fn value(
    Params(path): Params<OfSubject>,
    Params(which): Params<EntitlementOfSubject>,
    Params(asked): Params<At>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let name = &which.entitlement_id_or_feature_key;
    let (seen, standing) = standing(&request, &state, path.owner(), name, asked.instant()).await?;
    let not_found = || EntitlementError::NotFound { namespace: state.namespace.clone(), id_or_key: name.clone() };
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &EntitlementValue::from(&standing.ok_or_else(not_found)?)))
}

#[utoipa::path(get, path = "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}/history",
    operation_id = "getEntitlementHistory", tag = "Entitlements", params(OfSubject, EntitlementPath, HistoryParams),
    responses((status = 200, body = WindowedBalanceHistory), V1NotFound, V1Problems))]
pub async fn history(
    Params(path): Params<EntitlementPath>,
    Params(asked): Params<HistoryParams>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let shown = state.entitlements.get(&state.namespace, &path.entitlement_id).await?;
    told(&request, &state, &shown, &asked).await
}

/// What the entitlement of this name gives its owner, at an instant or now; none where there is none.
pub async fn standing(
    request: &HttpRequest,
    state: &DoorState,
    owner: Owner<'_>,
    id_or_feature_key: &str,
    at: Option<Instant>,
) -> Result<(Seen, Option<Standing>), Problem> {
    // An id may be of anybody's; a feature key is the customer's.
    if let (None, Owner::Customer(customer), Err(_)) = (at, owner, Ulid::from_string(id_or_feature_key)) {
        let check = freshness::check(request, state, customer, Some(id_or_feature_key))?;
        let Checked { mut given, wait, .. } = state.balances.check(&check).await?;
        return Ok((Seen::of(wait), given.pop().map(|given| given.standing)));
    }
    let seen = freshness::wait(request, state).await?;
    let at = at.unwrap_or_else(|| state.balances.now());
    let found = state.entitlements.find_of_customer(&state.namespace, owner, id_or_feature_key, Some(at)).await?;
    let standing = match found {
        Some(shown) => Some(state.balances.of(&state.namespace, &shown, at).await?),
        None => None,
    };
    Ok((seen, standing))
}

/// The history of this entitlement, as it is answered.
pub async fn told(
    request: &HttpRequest,
    state: &DoorState,
    shown: &Shown,
    asked: &HistoryParams,
) -> Result<HttpResponse, Problem> {
    let ask = asked.ask()?;
    let seen = freshness::wait(request, state).await?;
    let history = state.balances.history(&state.namespace, shown, &ask).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &WindowedBalanceHistory::of(&ask, &history)))
}

#[utoipa::path(get, path = "/api/v1/entitlements", operation_id = "listEntitlements", tag = "Entitlements",
    params(List, EntitlementOrdering, PageParams, OffsetParams),
    responses((status = 200, body = ListEntitlementsResult), V1Problems))]
pub async fn list(
    Params(asked): Params<List>,
    Params(order): Params<EntitlementOrdering>,
    Params(page): Params<PageParams>,
    Params(rows): Params<OffsetParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let active = asked.exclude_inactive.unwrap_or(false);
    let (paged, query) = (Part::page(&page), asked.query(order));
    let part = paged.unwrap_or_else(|| Part::rows_or_first(&rows));
    let found = state.entitlements.list(&state.namespace, query, active, part.ask()).await?;
    let result = match paged {
        Some(_) => ListEntitlementsResult::Page(EntitlementPaginatedResponse::of(part, &found)),
        None => ListEntitlementsResult::Rows(found.items.iter().map(Entitlement::from).collect()),
    };
    Ok(json(HttpResponse::Ok(), &result))
}

#[utoipa::path(get, path = "/api/v1/entitlements/{entitlementId}", operation_id = "getEntitlementById",
    tag = "Entitlements", params(ById), responses((status = 200, body = Entitlement), V1NotFound, V1Problems))]
pub async fn get_by_id(Params(path): Params<ById>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let shown = state.entitlements.get(&state.namespace, &path.entitlement_id).await?;
    Ok(json(HttpResponse::Ok(), &Entitlement::from(&shown)))
}

paginated!(EntitlementPaginatedResponse of Entitlement);

/// Pages where one was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ListEntitlementsResult {
    Rows(Vec<Entitlement>),
    Page(EntitlementPaginatedResponse),
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct OfSubject {
    subject_id_or_key: String,
}

impl OfSubject {
    /// Who owns the subject's key.
    pub fn owner(&self) -> Owner<'_> {
        Owner::Subject(&self.subject_id_or_key)
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct EntitlementPath {
    pub entitlement_id: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct EntitlementOfSubject {
    pub entitlement_id_or_feature_key: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct ById {
    #[param(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    pub entitlement_id: String,
}

/// Now, unless said otherwise.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct At {
    #[param(value_type = Option<String>, format = DateTime)]
    time: Option<DateTime>,
}

impl At {
    pub fn instant(&self) -> Option<Instant> {
        self.time.as_ref().map(|time| time.instant)
    }
}

/// Checked, and otherwise without effect, as clients know it.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListOfSubject {
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
    /// Keys; a customer's own key is none.
    subject: Option<Vec<String>>,
    entitlement_type: Option<Vec<EntitlementType>>,
    #[param(default = false)]
    exclude_inactive: Option<bool>,
}

impl List {
    fn query(&self, order: EntitlementOrdering) -> EntitlementsQuery {
        EntitlementsQuery {
            features: self.feature.clone().unwrap_or_default(),
            subject_keys: self.subject.clone().unwrap_or_default(),
            kinds: self.entitlement_type.iter().flatten().copied().map(Into::into).collect(),
            ..order.into()
        }
    }
}
