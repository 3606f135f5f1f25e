//! `/api/v1/meters`: create, list, look at, delete.
//!
//! 200, 201, 204 · 400 a draft that breaks a rule, named · 404 no such meter (a slug finds live ones only, an id
//! deleted ones too) · 409 the slug is taken · 503 not accepted, or unknown. Answers to changes carry
//! `X-Weir-Position`, and say with `X-Weir-Behind-…` when the line has not applied them yet.

use crate::domain::metering::Meter;
use crate::domain::metering::meter::{Aggregation, MeterDraft, SLUG_CHARS_MAX};
use crate::domain::time::Instant;
use crate::http::freshness::Seen;
use crate::http::json_body::{self, Members};
use crate::http::problem::Problem;
use crate::http::query_string::{QueryString, path_parameter};
use crate::http::{DoorState, POSITION, freshness, json};
use crate::ports::usage_store::KnownMeter;
use crate::services::controls::Changed;
use crate::services::meters::MeterError;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most meters in one list, and most per page where a page is asked for.
const LIST_MAX: usize = 1_000;

pub async fn list(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let parameters = QueryString::of(&request, &state.settings)?;
    // Paging is checked and otherwise without effect, as clients know it.
    parameters.number("page", 1, usize::MAX)?;
    parameters.number("pageSize", 1, LIST_MAX)?;
    let order_by = parameters.choice("orderBy", &ORDERS)?.unwrap_or(OrderBy::Key);
    let descending = parameters.choice("order", &[("ASC", false), ("DESC", true)])?.unwrap_or(false);
    let include_deleted = parameters.truth("includeDeleted")?.unwrap_or(false);
    let seen = freshness::wait(&request, &state).await?;
    let mut meters = state.meters.list(&state.namespace, include_deleted);
    order(&mut meters, order_by, descending);
    let rows: Vec<MeterWire> = meters.iter().take(LIST_MAX).map(MeterWire::from).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &rows))
}

pub async fn get(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let id_or_slug = id_or_slug(&request)?;
    let seen = freshness::wait(&request, &state).await?;
    let known = state.meters.find(&state.namespace, &id_or_slug)?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &MeterWire::from(&known)))
}

pub async fn create(request: HttpRequest, payload: Payload, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let body = json_body::read(&request, payload, &state, "MeterCreate").await?;
    let (meter, changed) = state.meters.create(&state.namespace, draft(&body)?).await?;
    Ok(json(changed_answer(HttpResponse::Created(), changed), &MeterWire::of(&meter, None)))
}

pub async fn delete(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let id_or_slug = id_or_slug(&request)?;
    let mut response = HttpResponse::NoContent();
    if let Some(changed) = state.meters.delete(&state.namespace, &id_or_slug).await? {
        response = changed_answer(response, changed);
    }
    Ok(response.finish())
}

fn changed_answer(mut response: HttpResponseBuilder, changed: Changed) -> HttpResponseBuilder {
    response.insert_header((POSITION, changed.appended.frontier.to_string()));
    Seen::of(changed.wait).mark(&mut response);
    response
}

fn draft(body: &Members) -> Result<MeterDraft, Problem> {
    let choices = Aggregation::ALL.map(|aggregation| (aggregation.as_str(), aggregation));
    let slug = body.required_text("slug")?;
    let aggregation = body.choice("aggregation", &choices)?;
    let aggregation = aggregation.ok_or_else(|| body.fault("aggregation", "property \"aggregation\" is missing"))?;
    Ok(MeterDraft {
        slug,
        name: body.text("name")?,
        description: body.any_text("description")?,
        aggregation,
        event_type: body.required_text("eventType")?,
        event_from: body.time("eventFrom")?.map(|(_, instant)| instant),
        value_property: body.text("valueProperty")?,
        group_by: body.text_map("groupBy", false)?.unwrap_or_default(),
        metadata: body.text_map("metadata", true)?,
    })
}

/// The path's id or slug; what can be neither is a 400, as clients know it.
pub fn id_or_slug(request: &HttpRequest) -> Result<String, Problem> {
    const NAME: &str = "meterIdOrSlug";
    let text = path_parameter(request, NAME)?;
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_slug = text.len() <= SLUG_CHARS_MAX && text.split('_').all(word);
    if is_slug || ulid::Ulid::from_string(&text).is_ok() {
        return Ok(text);
    }
    let reason = "string doesn't match the regular expression \"^[a-z0-9]+(?:_[a-z0-9]+)*$|^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$\"";
    Err(Problem::parameter(NAME, "path", reason))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderBy {
    Key,
    Name,
    Aggregation,
    CreatedAt,
    UpdatedAt,
}

const ORDERS: [(&str, OrderBy); 5] = [
    ("key", OrderBy::Key),
    ("name", OrderBy::Name),
    ("aggregation", OrderBy::Aggregation),
    ("createdAt", OrderBy::CreatedAt),
    ("updatedAt", OrderBy::UpdatedAt),
];

/// A total order: what is equal is ordered by id, ascending.
fn order(meters: &mut [KnownMeter], by: OrderBy, descending: bool) {
    meters.sort_by(|a, b| {
        let (x, y) = (&a.meter, &b.meter);
        let ordering = match by {
            OrderBy::Key => x.slug.cmp(&y.slug),
            OrderBy::Name => x.name.cmp(&y.name),
            OrderBy::Aggregation => x.aggregation.as_str().cmp(y.aggregation.as_str()),
            OrderBy::CreatedAt => x.created_at.cmp(&y.created_at),
            OrderBy::UpdatedAt => updated_at(a).cmp(&updated_at(b)),
        };
        let ordering = if descending { ordering.reverse() } else { ordering };
        ordering.then_with(|| x.id.cmp(&y.id))
    });
}

/// Deleting moves it too.
fn updated_at(known: &KnownMeter) -> Instant {
    known.gone.map_or(known.meter.updated_at, |(_, at)| at)
}

impl From<MeterError> for Problem {
    fn from(error: MeterError) -> Self {
        match error {
            MeterError::NotFound(_) => Problem::not_found(error),
            MeterError::Refused(refusal) => Problem::validation(refusal),
            MeterError::SlugTaken => Problem::conflict(error),
            MeterError::Append(error) => error.into(),
        }
    }
}

/// `metadata` and `annotations` are always there, null when unset; the rest is left out when unset.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MeterWire<'a> {
    aggregation: &'static str,
    annotations: Option<()>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_from: Option<String>,
    event_type: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    group_by: &'a BTreeMap<String, String>,
    id: String,
    metadata: Option<&'a BTreeMap<String, String>>,
    name: &'a str,
    slug: &'a str,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_property: Option<&'a str>,
}

impl<'a> MeterWire<'a> {
    fn of(meter: &'a Meter, deleted_at: Option<Instant>) -> Self {
        Self {
            aggregation: meter.aggregation.as_str(),
            annotations: None,
            created_at: meter.created_at.to_rfc3339(),
            deleted_at: deleted_at.map(Instant::to_rfc3339),
            description: meter.description.as_deref(),
            event_from: meter.event_from.map(Instant::to_rfc3339),
            event_type: &meter.event_type,
            group_by: &meter.group_by,
            id: meter.id.to_string(),
            metadata: meter.metadata.as_ref(),
            name: &meter.name,
            slug: &meter.slug,
            updated_at: deleted_at.unwrap_or(meter.updated_at).to_rfc3339(),
            value_property: meter.value_property.as_deref(),
        }
    }
}

impl<'a> From<&'a KnownMeter> for MeterWire<'a> {
    fn from(known: &'a KnownMeter) -> Self {
        Self::of(&known.meter, known.gone.map(|(_, at)| at))
    }
}
