//! `/api/v3/openmeter/meters`: create, list, look at, change, delete.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 404 no such meter; an id finds deleted ones too · 409 the key is
//! taken, or the idempotency key was another request's · 503 not accepted, or unknown. The answers carry the headers
//! that v1's do.

use super::field_filters::StringFieldFilter;
use super::filter::{Field, Filters, Kind};
use super::meter_wire::{CreateMeterRequest, Meter, UpdateMeterRequest};
use super::page::{Page, PageQuery, PaginatedMeta};
use super::sort::{self, SortQuery};
use super::wire::UlidText;
use crate::http::caller::{answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V3Conflict, V3NotFound, V3Problems};
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::v1::meters::{MeterOrderBy, order};
use crate::http::{DoorState, json};
use crate::services::meters::StoredMeter;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Dimensions that every meter has: no other may have their names.
pub const RESERVED_DIMENSIONS: [&str; 2] = [SUBJECT, CUSTOMER];
pub const SUBJECT: &str = "subject";
pub const CUSTOMER: &str = "customer_id";

const FILTERS: [Field; 2] = [("key", Kind::Text), ("name", Kind::Text)];

const SORTS: [(&str, MeterOrderBy); 5] = [
    ("key", MeterOrderBy::Key),
    ("name", MeterOrderBy::Name),
    ("aggregation", MeterOrderBy::Aggregation),
    ("created_at", MeterOrderBy::CreatedAt),
    ("updated_at", MeterOrderBy::UpdatedAt),
];

#[utoipa::path(get, path = "/openmeter/meters", operation_id = "list-meters", tag = "Meters", params(List),
    responses((status = 200, body = MeterPagePaginatedResponse), V3Problems))]
pub async fn list(
    Params(asked): Params<List>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let page = Page::of(asked.page)?;
    let filters = Filters::read(&QueryString::of(&request, &state.settings)?, &FILTERS)?;
    let sorted = asked.sort.map(|sort| sort::read(&sort.0, &SORTS, false)).transpose()?;
    let mut meters = state.meters.list(&state.namespace, false).await?;
    meters.retain(|StoredMeter { meter, .. }| {
        filters.accept("key", Some(&meter.slug)) && filters.accept("name", Some(&meter.name))
    });
    let (by, descending) = sorted.map_or((MeterOrderBy::CreatedAt, false), |sort| (sort.by, sort.descending));
    order(&mut meters, by, descending);
    let (rows, meta) = page.cut(meters);
    let data = rows.iter().map(Meter::from).collect();
    Ok(json(HttpResponse::Ok(), &MeterPagePaginatedResponse { data, meta }))
}

#[utoipa::path(get, path = "/openmeter/meters/{meterId}", operation_id = "get-meter", tag = "Meters",
    params(MeterPath), responses((status = 200, body = Meter), V3NotFound, V3Problems))]
pub async fn get(Params(path): Params<MeterPath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let meter = state.meters.get(&state.namespace, &path.meter_id.0).await?;
    Ok(json(HttpResponse::Ok(), &Meter::from(&meter)))
}

#[utoipa::path(post, path = "/openmeter/meters", operation_id = "create-meter", tag = "Meters",
    request_body = CreateMeterRequest, responses((status = 201, body = Meter), V3Conflict, V3Problems))]
pub async fn create(
    request: HttpRequest,
    body: Body<CreateMeterRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let draft = body.value.draft()?;
    let show = |meter: &StoredMeter| kept(StatusCode::CREATED, &Meter::from(meter));
    Ok(answer(state.meters.create(&caller, draft, &RESERVED_DIMENSIONS, show).await?))
}

#[utoipa::path(put, path = "/openmeter/meters/{meterId}", operation_id = "update-meter", tag = "Meters",
    params(MeterPath), request_body = UpdateMeterRequest,
    responses((status = 200, body = Meter), V3NotFound, V3Conflict, V3Problems))]
pub async fn update(
    Params(path): Params<MeterPath>,
    request: HttpRequest,
    body: Body<UpdateMeterRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let changes = body.value.changes()?;
    let show = |meter: &StoredMeter| kept(StatusCode::OK, &Meter::from(meter));
    Ok(answer(state.meters.update(&caller, &path.meter_id.0, changes, &RESERVED_DIMENSIONS, show).await?))
}

#[utoipa::path(delete, path = "/openmeter/meters/{meterId}", operation_id = "delete-meter", tag = "Meters",
    params(MeterPath), responses((status = 204), V3NotFound, V3Conflict, V3Problems))]
pub async fn delete(
    Params(path): Params<MeterPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.meters.delete(&caller, &path.meter_id.0, nothing()).await?))
}

/// The path's id.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct MeterPath {
    pub meter_id: UlidText,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(style = DeepObject, inline)]
    page: Option<PageQuery>,
    sort: Option<SortQuery>,
    #[param(style = DeepObject, value_type = Option<ListMetersParamsFilter>)]
    #[serde(rename = "filter")]
    _filter: Option<IgnoredAny>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is only described")]
pub struct ListMetersParamsFilter {
    key: Option<StringFieldFilter>,
    name: Option<StringFieldFilter>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MeterPagePaginatedResponse {
    data: Vec<Meter>,
    meta: PaginatedMeta,
}
