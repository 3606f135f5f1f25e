//! `/api/v1/meters`: create, list, look at, change, delete.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 404 no such meter (a slug finds live ones only, an id deleted ones
//! too) · 409 the slug is taken, or the idempotency key was another request's · 503 not accepted, or unknown. Answers
//! to changes that concern the line carry `X-Weir-Position`, and say with `X-Weir-Behind-…` when the line has not
//! applied them yet.

use super::wire::{Annotations, Metadata, SortOrder};
use crate::domain::metering::meter::{MeterDraft, MeterRefusal};
use crate::domain::time::Instant;
use crate::http::aggregation::meter_aggregation;
use crate::http::caller::{self, answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, json};
use crate::services::meters::{MeterChanges, MeterError, StoredMeter};
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Most meters in one list.
const LIST_MAX: usize = 1_000;

#[utoipa::path(get, path = "/api/v1/meters", operation_id = "listMeters", tag = "Meters", params(List),
    responses((status = 200, body = Vec<Meter>), V1Problems))]
pub async fn list(Params(asked): Params<List>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let mut meters = state.meters.list(&state.namespace, asked.include_deleted.unwrap_or(false)).await?;
    order(&mut meters, asked.order_by.unwrap_or(MeterOrderBy::Key), asked.order == Some(SortOrder::Desc));
    let rows: Vec<Meter> = meters.iter().take(LIST_MAX).map(Meter::from).collect();
    Ok(json(HttpResponse::Ok(), &rows))
}

#[utoipa::path(get, path = "/api/v1/meters/{meterIdOrSlug}", operation_id = "getMeter", tag = "Meters",
    params(MeterPath), responses((status = 200, body = Meter), V1NotFound, V1Problems))]
pub async fn get(Params(path): Params<MeterPath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let meter = state.meters.get(&state.namespace, &path.meter_id_or_slug).await?;
    Ok(json(HttpResponse::Ok(), &Meter::from(&meter)))
}

#[utoipa::path(post, path = "/api/v1/meters", operation_id = "createMeter", tag = "Meters", request_body = MeterCreate,
    responses((status = 201, body = Meter), V1Conflict, V1Problems))]
pub async fn create(
    request: HttpRequest,
    body: Body<MeterCreate>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |meter: &StoredMeter| kept(StatusCode::CREATED, &Meter::from(meter));
    Ok(answer(state.meters.create(&caller, body.value.into(), &[], show).await?))
}

#[utoipa::path(put, path = "/api/v1/meters/{meterIdOrSlug}", operation_id = "updateMeter", tag = "Meters",
    params(MeterPath), request_body = MeterUpdate,
    responses((status = 200, body = Meter), V1NotFound, V1Conflict, V1Problems))]
pub async fn update(
    Params(path): Params<MeterPath>,
    request: HttpRequest,
    body: Body<MeterUpdate>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |meter: &StoredMeter| kept(StatusCode::OK, &Meter::from(meter));
    Ok(answer(state.meters.update(&caller, &path.meter_id_or_slug, body.value.into(), &[], show).await?))
}

#[utoipa::path(delete, path = "/api/v1/meters/{meterIdOrSlug}", operation_id = "deleteMeter", tag = "Meters",
    params(MeterPath), responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn delete(
    Params(path): Params<MeterPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.meters.delete(&caller, &path.meter_id_or_slug, nothing()).await?))
}

/// The path's id or slug.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct MeterPath {
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$|^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"
    )]
    pub meter_id_or_slug: String,
}

/// Paging is checked and otherwise without effect, as clients know it.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(minimum = 1, default = 1)]
    #[serde(rename = "page")]
    _page: Option<i64>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    #[serde(rename = "pageSize")]
    _page_size: Option<i64>,
    #[param(default = "ASC")]
    order: Option<SortOrder>,
    order_by: Option<MeterOrderBy>,
    #[param(default = false)]
    include_deleted: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum MeterOrderBy {
    Key,
    Name,
    Aggregation,
    CreatedAt,
    UpdatedAt,
}

/// A total order: what is equal is ordered by id, ascending.
pub fn order(meters: &mut [StoredMeter], by: MeterOrderBy, descending: bool) {
    meters.sort_by(|a, b| {
        let (x, y) = (&a.meter, &b.meter);
        let ordering = match by {
            MeterOrderBy::Key => x.slug.cmp(&y.slug),
            MeterOrderBy::Name => x.name.cmp(&y.name),
            MeterOrderBy::Aggregation => x.aggregation.as_str().cmp(y.aggregation.as_str()),
            MeterOrderBy::CreatedAt => x.created_at.cmp(&y.created_at),
            MeterOrderBy::UpdatedAt => x.updated_at.cmp(&y.updated_at),
        };
        let ordering = if descending { ordering.reverse() } else { ordering };
        ordering.then_with(|| x.id.cmp(&y.id))
    });
}

impl From<MeterError> for Problem {
    fn from(error: MeterError) -> Self {
        match error {
            MeterError::NotFound(_) => Problem::not_found(error),
            MeterError::Refused(refusal) => refusal.into(),
            MeterError::SlugTaken | MeterError::HasFeatures | MeterError::HasEntitlements => Problem::conflict(error),
            MeterError::DimensionUsed { .. } => Problem::conflict(error),
            MeterError::Fault(fault) => fault.into(),
            MeterError::Write(error) => caller::told(error, |never| match never {}),
        }
    }
}

/// A rule with a code is told as an issue, any other by its text.
impl From<MeterRefusal> for Problem {
    fn from(refusal: MeterRefusal) -> Self {
        let problem = Problem::validation(&refusal);
        match refusal.code {
            Some(code) => problem.with_issue(code, &refusal.field, &refusal.message, []),
            None => problem,
        }
    }
}

meter_aggregation!("SCREAMING_SNAKE_CASE");

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterCreate {
    #[schema(max_length = 1024)]
    description: Option<String>,
    metadata: Option<Metadata>,
    #[schema(min_length = 1, max_length = 256)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    slug: String,
    aggregation: MeterAggregation,
    #[schema(min_length = 1)]
    event_type: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    event_from: Option<DateTime>,
    #[schema(min_length = 1)]
    value_property: Option<String>,
    group_by: Option<BTreeMap<String, String>>,
}

impl From<MeterCreate> for MeterDraft {
    fn from(sent: MeterCreate) -> Self {
        Self {
            slug: sent.slug,
            name: sent.name,
            description: sent.description,
            aggregation: sent.aggregation.into(),
            event_type: sent.event_type,
            event_from: sent.event_from.map(|time| time.instant),
            value_property: sent.value_property,
            group_by: sent.group_by.unwrap_or_default(),
            metadata: sent.metadata.map(|metadata| metadata.0),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterUpdate {
    #[schema(max_length = 1024)]
    description: Option<String>,
    metadata: Option<Metadata>,
    #[schema(min_length = 1, max_length = 256)]
    name: Option<String>,
    group_by: Option<BTreeMap<String, String>>,
}

impl From<MeterUpdate> for MeterChanges {
    fn from(sent: MeterUpdate) -> Self {
        Self {
            name: sent.name,
            description: sent.description,
            metadata: sent.metadata.map(|metadata| metadata.0),
            group_by: sent.group_by.unwrap_or_default(),
        }
    }
}

/// `metadata` and `annotations` are always there, null when unset; the rest is left out when unset.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meter {
    aggregation: MeterAggregation,
    #[schema(read_only, required = false)]
    annotations: Option<Annotations>,
    #[schema(read_only, value_type = String, format = DateTime)]
    created_at: String,
    #[schema(read_only, value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    #[schema(max_length = 1024)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    event_from: Option<String>,
    #[schema(min_length = 1)]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_by: Option<BTreeMap<String, String>>,
    #[schema(read_only, pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    id: String,
    #[schema(required = false)]
    metadata: Option<Metadata>,
    #[schema(min_length = 1, max_length = 256, required = false)]
    name: String,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    slug: String,
    #[schema(read_only, value_type = String, format = DateTime)]
    updated_at: String,
    #[schema(min_length = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    value_property: Option<String>,
}

impl From<&StoredMeter> for Meter {
    fn from(stored: &StoredMeter) -> Self {
        let meter = &stored.meter;
        Self {
            aggregation: meter.aggregation.into(),
            annotations: None,
            created_at: meter.created_at.to_rfc3339(),
            deleted_at: stored.deleted_at.map(Instant::to_rfc3339),
            description: meter.description.clone(),
            event_from: meter.event_from.map(Instant::to_rfc3339),
            event_type: meter.event_type.clone(),
            group_by: (!meter.group_by.is_empty()).then(|| meter.group_by.clone()),
            id: meter.id.to_string(),
            metadata: meter.metadata.clone().map(Metadata),
            name: meter.name.clone(),
            slug: meter.slug.clone(),
            updated_at: meter.updated_at.to_rfc3339(),
            value_property: meter.value_property.clone(),
        }
    }
}
