//! `/api/v1/events/void` and `/api/v1/events/replace`: an event that was wrong counts no longer, and another may count
//! instead.
//!
//! 200 · 400 a replacement that is no event, or that has the id of the event it replaces · 404 no such event counts ·
//! 409 already voided, several events are meant, raw events are gone, or the replacement's id is taken · 503 not
//! accepted, or unknown. The answer comes once the store has applied the change; it carries `X-Weir-Position`.

use super::event_wire::Event;
use crate::domain::metering::query::StoredEvent;
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use crate::http::caller::{self, answer, caller, kept};
use crate::http::contract::{Body, Unjudged};
use crate::http::ingest::{Form, Limits, parse};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, HttpSettings};
use crate::services::corrections::{Corrected, Correction, CorrectionError};
use crate::services::writes::Kept;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Longest reason, in characters, as the document has it.
const REASON_CHARS_MAX: usize = 4_096;

#[utoipa::path(post, path = "/api/v1/events/void", operation_id = "voidEvent", tag = "weir",
    request_body = EventVoid,
    responses((status = 200, body = CorrectedEvent), V1NotFound, V1Conflict, V1Problems))]
pub async fn void(
    request: HttpRequest,
    body: Body<EventVoid>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let EventVoid { source, id, reason, time } = body.value;
    let correction = Correction { source, id, reason, time: instant(time), replacement: None };
    Ok(answer(state.corrections.correct(&caller, correction, show).await?))
}

#[utoipa::path(post, path = "/api/v1/events/replace", operation_id = "replaceEvent", tag = "weir",
    request_body = EventReplace,
    responses((status = 200, body = CorrectedEvent), V1NotFound, V1Conflict, V1Problems))]
pub async fn replace(
    request: HttpRequest,
    Unjudged(body): Unjudged<EventReplace>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    body.value.check()?;
    let EventReplace { source, id, reason, time, event } = body.value;
    let replacement = Some(encoded(&event, &state.namespace, &state.settings)?);
    let correction = Correction { source, id, reason, time: instant(time), replacement };
    Ok(answer(state.corrections.correct(&caller, correction, show).await?))
}

/// The one record of the event, by the rules of ingest.
fn encoded(event: &RawValue, namespace: &str, settings: &HttpSettings) -> Result<Vec<u8>, Problem> {
    Ok(parse(event.get().as_bytes(), Form::One, namespace, Limits::from(settings))?.records)
}

fn instant(time: Option<DateTime>) -> Option<Instant> {
    time.map(|time| time.instant)
}

fn show(corrected: &Corrected) -> Kept {
    kept(StatusCode::OK, &CorrectedEvent::from(corrected))
}

/// Which event, and why.
#[derive(Deserialize, ToSchema)]
pub struct EventVoid {
    #[schema(min_length = 1)]
    source: String,
    #[schema(min_length = 1)]
    id: String,
    #[schema(min_length = 1, max_length = 4096)]
    reason: String,
    /// When the event happened: needed where it is older than the dedupe window, or where its id came again after it.
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<DateTime>,
}

/// Which event, why, and what counts instead.
#[derive(Deserialize, ToSchema)]
pub struct EventReplace {
    #[schema(min_length = 1)]
    source: String,
    #[schema(min_length = 1)]
    id: String,
    #[schema(min_length = 1, max_length = 4096)]
    reason: String,
    /// When the event happened: needed where it is older than the dedupe window, or where its id came again after it.
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<DateTime>,
    /// With an id of its own.
    #[schema(value_type = Event)]
    event: Box<RawValue>,
}

impl EventReplace {
    /// What the document promises of everything but the event.
    fn check(&self) -> Result<(), Problem> {
        let length = self.reason.chars().count();
        let broken = [
            ("source", self.source.is_empty(), "minimum string length is 1".to_string()),
            ("id", self.id.is_empty(), "minimum string length is 1".to_string()),
            ("reason", length == 0, "minimum string length is 1".to_string()),
            ("reason", length > REASON_CHARS_MAX, format!("maximum string length is {REASON_CHARS_MAX}")),
        ];
        match broken.into_iter().find(|(_, is_broken, _)| *is_broken) {
            None => Ok(()),
            Some((member, _, reason)) => {
                Err(Problem::bad_request(format!("request body has an error: Error at \"/{member}\": {reason}")))
            }
        }
    }
}

/// The event that counts no longer.
#[derive(Serialize, ToSchema)]
pub struct CorrectedEvent<'a> {
    position: String,
    source: &'a str,
    id: &'a str,
    r#type: &'a str,
    subject: &'a str,
    #[schema(format = DateTime)]
    time: String,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<EventReplacement<'a>>,
}

/// The event that counts instead.
#[derive(Serialize, ToSchema)]
pub struct EventReplacement<'a> {
    source: &'a str,
    id: &'a str,
    r#type: &'a str,
    subject: &'a str,
}

impl<'a> From<&'a Corrected> for CorrectedEvent<'a> {
    fn from(corrected: &'a Corrected) -> Self {
        let Corrected { event, void } = corrected;
        Self {
            position: event.position.to_string(),
            source: &event.source,
            id: &event.id,
            r#type: &event.event_type,
            subject: &event.subject,
            time: event.time.to_rfc3339(),
            reason: &void.reason,
            replacement: corrected.replacement().map(EventReplacement::from),
        }
    }
}

impl<'a> From<EventView<'a>> for EventReplacement<'a> {
    fn from(event: EventView<'a>) -> Self {
        Self { source: event.source, id: event.id, r#type: event.event_type, subject: event.subject }
    }
}

impl From<CorrectionError> for Problem {
    fn from(error: CorrectionError) -> Self {
        use CorrectionError::*;
        match error {
            SameIdentity => Problem::validation(error),
            NotFound { .. } => Problem::not_found(error),
            Several(ref events) => {
                let listed: Vec<Value> = events.iter().map(listed).collect();
                Problem::conflict(&error).with_extension("events", listed)
            }
            Voided { .. } | RawRemoved(_) | AllRemoved | IdTaken(_) => Problem::conflict(error),
            Behind(error) => error.into(),
            Fault(fault) => fault.into(),
            Write(error) => caller::told(error, |never| match never {}),
        }
    }
}

/// One of several: what tells it from the others.
fn listed(event: &StoredEvent) -> Value {
    json!({
        "position": event.position.to_string(),
        "time": event.time.to_rfc3339(),
        "acceptedAt": event.accepted_at.to_rfc3339(),
        "subject": event.subject,
    })
}
