//! `/api/v1/quarantine`: events that made a stage panic; looked at, taken up again (`redrive`), given up (`drop`).
//!
//! 200 · 400 not a position, or no reason · 404 nothing quarantined there · 409 already redriven or dropped · 503 not
//! accepted, or unknown. An answer to a change carries `X-Weir-Position`.

use crate::domain::position::Position;
use crate::domain::record::decode_event;
use crate::http::freshness::Seen;
use crate::http::problem::Problem;
use crate::http::query_string::path_parameter;
use crate::http::{DoorState, POSITION, freshness, json, json_body};
use crate::ports::usage_store::QuarantineEntry;
use crate::services::controls::Changed;
use crate::services::quarantine::QuarantineError;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::value::RawValue;

/// Longest reason for a drop, in bytes.
const REASON_BYTES_MAX: usize = 4_096;

pub async fn list(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(&request, &state).await?;
    let rows: Vec<Row> = state.quarantine.list().iter().map(Row::from).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &rows))
}

pub async fn get(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let position = position(&request)?;
    let seen = freshness::wait(&request, &state).await?;
    let entry = state.quarantine.get(position)?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &Row::from(&entry)))
}

pub async fn redrive(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let position = position(&request)?;
    let changed = state.quarantine.redrive(position).await?;
    changed_answer(position, changed, &state)
}

pub async fn drop(request: HttpRequest, payload: Payload, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let position = position(&request)?;
    let body = json_body::read(&request, payload, &state, "QuarantineDrop").await?;
    let reason = body.required_text("reason")?;
    if reason.len() > REASON_BYTES_MAX {
        return Err(body.fault("reason", &format!("maximum length is {REASON_BYTES_MAX} bytes")));
    }
    let changed = state.quarantine.drop(position, reason).await?;
    changed_answer(position, changed, &state)
}

fn changed_answer(position: Position, changed: Changed, state: &DoorState) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    response.insert_header((POSITION, changed.appended.frontier.to_string()));
    Seen::of(changed.wait).mark(&mut response);
    Ok(json(response, &Row::from(&state.quarantine.get(position)?)))
}

fn position(request: &HttpRequest) -> Result<Position, Problem> {
    let text = path_parameter(request, "position")?;
    text.parse().map_err(|error| Problem::parameter("position", "path", error))
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    position: String,
    /// `quarantined`, `redriven`, `dropped`.
    state: &'static str,
    stage: String,
    reason: String,
    accepted_at: String,
    /// Where the record stands that quarantined it.
    quarantined_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    redriven_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_by: Option<String>,
    #[serde(flatten)]
    event: Option<Content>,
}

/// The event's own content, as far as its record can be read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    source: String,
    id: String,
    r#type: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

impl From<&QuarantineEntry> for Row {
    fn from(entry: &QuarantineEntry) -> Self {
        let event = decode_event(&entry.event.record.0).ok().map(|view| Content {
            source: view.source.to_string(),
            id: view.id.to_string(),
            r#type: view.event_type.to_string(),
            subject: view.subject.to_string(),
            time: view.time_text.map(str::to_string),
            data: view.data.and_then(|data| RawValue::from_string(data.to_string()).ok()),
        });
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
            event,
        }
    }
}
