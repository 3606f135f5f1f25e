//! `POST /api/v1/events`: take usage events, durably.
//!
//! 204 durable · 400 nothing was taken, every bad event is named · 408 the body did not come · 413 too many bytes or
//! events · 415 a compression weir does not read · 503 not accepted, or unknown; both are safe to retry with the same
//! ids. A 204 carries `X-Weir-Position`: a read with it as `X-Weir-After` sees these events.

use super::event_wire::{Event, IngestEventsBody};
use crate::http::DoorState;
use crate::http::POSITION;
use crate::http::ingest::{Attributes, Form, Terms, take};
use crate::http::openapi::problems::V1Problems;
use crate::http::problem::Problem;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

#[utoipa::path(post, path = "/api/v1/events", operation_id = "ingestEvents", tag = "Events",
    request_body(content((Event = "application/cloudevents+json"),
        (Vec<Event> = "application/cloudevents-batch+json"), (IngestEventsBody = "application/json"))),
    responses((status = 204), V1Problems))]
pub async fn ingest(request: HttpRequest, payload: Payload, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    state.ingest.room()?;
    let terms = Terms { form: form(request.headers())?, attributes: Attributes::Open, told: Problem::from };
    let frontier = take(&request, payload, &state, terms).await?;
    Ok(HttpResponse::NoContent().insert_header((POSITION, frontier.to_string())).finish())
}

/// The three media types, exactly; parameters are refused, as clients know it.
fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let sent = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    match sent {
        b"application/cloudevents+json" => Ok(Form::One),
        b"application/cloudevents-batch+json" => Ok(Form::Batch),
        b"application/json" => Ok(Form::Either),
        other => {
            let other = String::from_utf8_lossy(other);
            let known = ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"];
            let with_parameters = known.contains(&other.split(';').next().unwrap_or("").trim());
            Err(Problem::bad_request(match with_parameters {
                true => format!("invalid content type: {other}"),
                false => format!("request body has an error: header Content-Type has unexpected value {other:?}"),
            }))
        }
    }
}
