//! `/api/v1/quarantine`: events that made a stage panic; looked at, taken up again (`redrive`), given up (`drop`).
//!
//! 200 · 400 not a position, or no reason · 404 nothing quarantined there · 409 already redriven or dropped · 503 not
//! accepted, or unknown. An answer to a change carries `X-Weir-Position`.

use super::wire::PositionText;
use crate::domain::position::Position;
use crate::domain::record::decode_event;
use crate::http::contract::{Body, Params};
use crate::http::freshness::Seen;
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, POSITION, freshness, json};
use crate::ports::usage_store::QuarantineEntry;
use crate::services::controls::Changed;
use crate::services::quarantine::QuarantineError;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/quarantine", operation_id = "listQuarantine", tag = "weir",
    responses((status = 200, body = Vec<QuarantinedEvent>), V1Problems))]
pub async fn list(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(&request, &state).await?;
    let rows: Vec<QuarantinedEvent> =
        state.quarantine.list(&state.namespace).iter().map(QuarantinedEvent::from).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &rows))
}

#[utoipa::path(get, path = "/api/v1/quarantine/{position}", operation_id = "getQuarantined", tag = "weir",
    params(PositionPath), responses((status = 200, body = QuarantinedEvent), V1NotFound, V1Problems))]
pub async fn get(
    Params(path): Params<PositionPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(&request, &state).await?;
    let entry = state.quarantine.get(&state.namespace, path.position.0)?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &QuarantinedEvent::from(&entry)))
}

#[utoipa::path(post, path = "/api/v1/quarantine/{position}/redrive", operation_id = "redriveQuarantined", tag = "weir",
    params(PositionPath), responses((status = 200, body = QuarantinedEvent), V1NotFound, V1Conflict, V1Problems))]
pub async fn redrive(Params(path): Params<PositionPath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let changed = state.quarantine.redrive(&state.namespace, path.position.0).await?;
    changed_answer(path.position.0, changed, &state)
}

#[utoipa::path(post, path = "/api/v1/quarantine/{position}/drop", operation_id = "dropQuarantined", tag = "weir",
    params(PositionPath), request_body = QuarantineDrop,
    responses((status = 200, body = QuarantinedEvent), V1NotFound, V1Conflict, V1Problems))]
pub async fn drop(
    Params(path): Params<PositionPath>,
    body: Body<QuarantineDrop>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let changed = state.quarantine.drop(&state.namespace, path.position.0, body.value.reason).await?;
    changed_answer(path.position.0, changed, &state)
}

fn changed_answer(position: Position, changed: Changed, state: &DoorState) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    response.insert_header((POSITION, changed.appended.frontier.to_string()));
    Seen::of(changed.wait).mark(&mut response);
    Ok(json(response, &QuarantinedEvent::from(&state.quarantine.get(&state.namespace, position)?)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PositionPath {
    #[param(inline)]
    position: PositionText,
}

#[derive(Deserialize, ToSchema)]
pub struct QuarantineDrop {
    #[schema(min_length = 1, max_length = 4096)]
    reason: String,
}

impl From<QuarantineError> for Problem {
    fn from(error: QuarantineError) -> Self {
        match error {
            QuarantineError::NotFound(_) => Problem::not_found(error),
            QuarantineError::Redriven { .. } | QuarantineError::Dropped { .. } => Problem::conflict(error),
            QuarantineError::Append(error) => error.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedEvent {
    position: String,
    /// `quarantined`, `redriven`, `dropped`.
    state: &'static str,
    stage: String,
    reason: String,
    #[schema(format = DateTime)]
    accepted_at: String,
    /// Where the record stands that quarantined it.
    quarantined_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    redriven_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_by: Option<String>,
    /// The event's own content, as far as its record can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
}

impl From<&QuarantineEntry> for QuarantinedEvent {
    fn from(entry: &QuarantineEntry) -> Self {
        let event = decode_event(&entry.event.record.0).ok();
        let event = event.as_ref();
        let data = event.and_then(|view| view.data).filter(|data| *data != "null").map(str::to_string);
        Self {
            position: entry.event.position.to_string(),
            state: match (entry.redriven, entry.dropped) {
                (Some(_), _) => "redriven",
                (None, Some(_)) => "dropped",
                (None, None) => "quarantined",
            },
            stage: entry.event.stage.clone(),
            reason: entry.event.reason.clone(),
            accepted_at: entry.event.accepted_at.to_rfc3339(),
            quarantined_by: entry.recorded_at.to_string(),
            redriven_by: entry.redriven.map(|by| by.to_string()),
            dropped_by: entry.dropped.map(|by| by.to_string()),
            source: event.map(|view| view.source.to_string()),
            id: event.map(|view| view.id.to_string()),
            r#type: event.map(|view| view.event_type.to_string()),
            subject: event.map(|view| view.subject.to_string()),
            time: event.and_then(|view| view.time_text).map(str::to_string),
            data: data.and_then(|data| RawValue::from_string(data).ok()),
        }
    }
}
