//! `/api/v3/openmeter/features`: create, list, look at, change the cost of, archive.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 404 no such feature (archived ones are not shown), or no such meter ·
//! 409 the key is taken, or the idempotency key was another request's · 503 not accepted, or unknown.

use super::feature_wire::{CreateFeatureRequest, Feature, UpdateFeatureRequest};
use super::field_filters::{StringFieldFilter, ULIDFieldFilter};
use super::filter::{Field, Filters, Kind};
use super::page::{Page, PageQuery, PaginatedMeta};
use super::sort::{self, SortQuery};
use super::wire::UlidText;
use crate::http::caller::{answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V3Conflict, V3Gone, V3NotFound, V3Problems};
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::v1::features::{FeatureOrderBy, order};
use crate::http::{DoorState, json};
use crate::services::features::Feature as Known;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const FILTERS: [Field; 3] = [("meter_id", Kind::Ulid), ("key", Kind::Text), ("name", Kind::Text)];

const SORTS: [(&str, FeatureOrderBy); 4] = [
    ("key", FeatureOrderBy::Key),
    ("name", FeatureOrderBy::Name),
    ("created_at", FeatureOrderBy::CreatedAt),
    ("updated_at", FeatureOrderBy::UpdatedAt),
];

#[utoipa::path(get, path = "/openmeter/features", operation_id = "list-features", tag = "OpenMeter Features",
    params(List), responses((status = 200, body = FeaturePagePaginatedResponse), V3Problems))]
pub async fn list(
    Params(asked): Params<List>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let page = Page::of(asked.page)?;
    let filters = Filters::read(&QueryString::of(&request, &state.settings)?, &FILTERS)?;
    let sorted = asked.sort.map(|sort| sort::read(&sort.0, &SORTS, false)).transpose()?;
    let mut features = state.features.list(&state.namespace, false).await?;
    features.retain(|feature| {
        let meter_id = feature.meter_id.map(|id| id.to_string());
        filters.accept("key", Some(&feature.key))
            && filters.accept("name", Some(&feature.name))
            && filters.accept("meter_id", meter_id.as_deref())
    });
    let (by, descending) = sorted.map_or((FeatureOrderBy::CreatedAt, false), |sort| (sort.by, sort.descending));
    order(&mut features, by, descending);
    let (rows, meta) = page.cut(features);
    let data = rows.iter().map(Feature::from).collect();
    Ok(json(HttpResponse::Ok(), &FeaturePagePaginatedResponse { data, meta }))
}

#[utoipa::path(post, path = "/openmeter/features", operation_id = "create-feature", tag = "OpenMeter Features",
    request_body = CreateFeatureRequest,
    responses((status = 201, body = Feature), V3NotFound, V3Conflict, V3Problems))]
pub async fn create(
    request: HttpRequest,
    body: Body<CreateFeatureRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let (draft, meter_id) = body.value.draft()?;
    let show = |feature: &Known| kept(StatusCode::CREATED, &Feature::from(feature));
    Ok(answer(state.features.create(&caller, draft, meter_id.as_deref(), show).await?))
}

#[utoipa::path(get, path = "/openmeter/features/{featureId}", operation_id = "get-feature",
    tag = "OpenMeter Features", params(FeaturePath),
    responses((status = 200, body = Feature), V3NotFound, V3Gone, V3Problems))]
pub async fn get(Params(path): Params<FeaturePath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let feature = state.features.get(&state.namespace, &path.feature_id.0).await?;
    Ok(json(HttpResponse::Ok(), &Feature::from(&feature)))
}

#[utoipa::path(patch, path = "/openmeter/features/{featureId}", operation_id = "update-feature",
    tag = "OpenMeter Features", params(FeaturePath), request_body = UpdateFeatureRequest,
    responses((status = 200, body = Feature), V3NotFound, V3Conflict, V3Problems))]
pub async fn update(
    Params(path): Params<FeaturePath>,
    request: HttpRequest,
    body: Body<UpdateFeatureRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let unit_cost = body.value.unit_cost()?;
    let show = |feature: &Known| kept(StatusCode::OK, &Feature::from(feature));
    Ok(answer(state.features.update_cost(&caller, &path.feature_id.0, unit_cost, show).await?))
}

#[utoipa::path(delete, path = "/openmeter/features/{featureId}", operation_id = "delete-feature",
    tag = "OpenMeter Features", params(FeaturePath), responses((status = 204), V3NotFound, V3Conflict, V3Problems))]
pub async fn delete(
    Params(path): Params<FeaturePath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.features.archive(&caller, &path.feature_id.0, nothing()).await?))
}

/// The path's id.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct FeaturePath {
    feature_id: UlidText,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(style = DeepObject, inline)]
    page: Option<PageQuery>,
    sort: Option<SortQuery>,
    #[param(style = DeepObject, value_type = Option<ListFeatureParamsFilter>)]
    #[serde(rename = "filter")]
    _filter: Option<IgnoredAny>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is only described")]
pub struct ListFeatureParamsFilter {
    meter_id: Option<ULIDFieldFilter>,
    key: Option<StringFieldFilter>,
    name: Option<StringFieldFilter>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FeaturePagePaginatedResponse {
    data: Vec<Feature>,
    meta: PaginatedMeta,
}
