//! `/api/v1/features`: create, list, look at, archive.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 404 no such feature (archived ones are found by the list alone), or
//! no such meter · 409 the key is taken, or the idempotency key was another request's · 503 not accepted, or unknown.

use super::feature_wire::{Feature, FeatureCreateInputs};
use super::paging::{OffsetParams, PageParams, Part, paginated};
use super::wire::SortOrder;
use crate::http::caller::{self, answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, json};
use crate::services::features::{Feature as Known, FeatureError, FeatureRefusal};
use crate::services::page::Page;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/features", operation_id = "listFeatures", tag = "Product Catalog",
    params(List, PageParams, OffsetParams), responses((status = 200, body = ListFeaturesResult), V1Problems))]
pub async fn list(
    Params(asked): Params<List>,
    Params(page): Params<PageParams>,
    Params(rows): Params<OffsetParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let by = asked.order()?;
    let mut features = state.features.list(&state.namespace, asked.include_archived.unwrap_or(false)).await?;
    features.retain(|feature| asked.includes(feature));
    order(&mut features, by, asked.order == Some(SortOrder::Desc));
    let result = match Part::page(&page) {
        Some(part) => ListFeaturesResult::Page(FeaturePaginatedResponse::of(part, &cut(features, part))),
        None => ListFeaturesResult::Rows(
            cut(features, Part::rows_or_first(&rows)).items.iter().map(Feature::from).collect(),
        ),
    };
    Ok(json(HttpResponse::Ok(), &result))
}

#[utoipa::path(post, path = "/api/v1/features", operation_id = "createFeature", tag = "Product Catalog",
    request_body = FeatureCreateInputs,
    responses((status = 201, body = Feature), V1NotFound, V1Conflict, V1Problems))]
pub async fn create(
    request: HttpRequest,
    body: Body<FeatureCreateInputs>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let (draft, meter_slug) = body.value.draft(state.settings.filter_depth_max)?;
    let show = |feature: &Known| kept(StatusCode::CREATED, &Feature::from(feature));
    Ok(answer(state.features.create(&caller, draft, meter_slug.as_deref(), show).await?))
}

#[utoipa::path(get, path = "/api/v1/features/{featureId}", operation_id = "getFeature", tag = "Product Catalog",
    params(FeaturePath), responses((status = 200, body = Feature), V1NotFound, V1Problems))]
pub async fn get(Params(path): Params<FeaturePath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let feature = state.features.get(&state.namespace, &path.feature_id).await?;
    Ok(json(HttpResponse::Ok(), &Feature::from(&feature)))
}

#[utoipa::path(delete, path = "/api/v1/features/{featureId}", operation_id = "deleteFeature", tag = "Product Catalog",
    params(FeaturePath), responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn delete(
    Params(path): Params<FeaturePath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.features.archive(&caller, &path.feature_id, nothing()).await?))
}

/// The path's id or key.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct FeaturePath {
    feature_id: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct List {
    meter_slug: Option<Vec<String>>,
    #[param(default = false)]
    include_archived: Option<bool>,
    #[param(default = "ASC")]
    order: Option<SortOrder>,
    order_by: Option<FeatureOrderBy>,
}

impl List {
    /// By the id is published and refused, as clients know it.
    fn order(&self) -> Result<FeatureOrderBy, Problem> {
        match self.order_by.unwrap_or(FeatureOrderBy::Key) {
            FeatureOrderBy::Id => Err(Problem::validation("invalid feature order by: id")),
            by => Ok(by),
        }
    }

    fn includes(&self, feature: &Known) -> bool {
        let slugs = self.meter_slug.as_deref().unwrap_or_default();
        slugs.is_empty() || feature.meter_slug.as_ref().is_some_and(|slug| slugs.contains(slug))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum FeatureOrderBy {
    Id,
    Key,
    Name,
    CreatedAt,
    UpdatedAt,
}

/// A total order: what is equal is ordered by id, ascending.
pub fn order(features: &mut [Known], by: FeatureOrderBy, descending: bool) {
    features.sort_by(|a, b| {
        let ordering = match by {
            FeatureOrderBy::Id => a.id.cmp(&b.id),
            FeatureOrderBy::Key => a.key.cmp(&b.key),
            FeatureOrderBy::Name => a.name.cmp(&b.name),
            FeatureOrderBy::CreatedAt => a.created_at.cmp(&b.created_at),
            FeatureOrderBy::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        };
        let ordering = if descending { ordering.reverse() } else { ordering };
        ordering.then_with(|| a.id.cmp(&b.id))
    });
}

fn cut(features: Vec<Known>, part: Part) -> Page<Known> {
    let (ask, total) = (part.ask(), features.len() as u64);
    // A number of rows that does not fit lies beyond every list.
    let [offset, limit] = [ask.offset, ask.limit].map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
    Page { items: features.into_iter().skip(offset).take(limit).collect(), total }
}

impl From<FeatureError> for Problem {
    fn from(error: FeatureError) -> Self {
        match error {
            FeatureError::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
            FeatureError::MeterNotFound(_) => Problem::not_found(error),
            FeatureError::Refused(refusal) => refusal.into(),
            FeatureError::KeyTaken { .. } => Problem::new(StatusCode::CONFLICT, error.to_string()),
            FeatureError::Fault(fault) => fault.into(),
            FeatureError::Write(error) => caller::told(error, |never| match never {}),
        }
    }
}

impl From<FeatureRefusal> for Problem {
    fn from(refusal: FeatureRefusal) -> Self {
        Problem::validation(refusal)
    }
}

paginated!(FeaturePaginatedResponse of Feature);

/// Pages where one was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ListFeaturesResult {
    Rows(Vec<Feature>),
    Page(FeaturePaginatedResponse),
}
