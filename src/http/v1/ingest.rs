//! `POST /api/v1/events`: take usage events, durably.
//!
//! 204 durable · 400 nothing was taken, every bad event is named · 408 the body did not come · 413 too many bytes or
//! events · 415 a compression weir does not read · 503 not accepted, or unknown; both are safe to retry with the same
//! ids. A 204 carries `X-Weir-Position`: a read with it as `X-Weir-After` sees these events.

use crate::http::DoorState;
use crate::http::POSITION;
use crate::http::body::{self, Bounds, Received};
use crate::http::budget::Held;
use crate::http::ingest::{self, Form, Limits};
use crate::http::problem::Problem;
use crate::ports::event_log::Append;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::time::Duration;

/// Bodies up to this are parsed where they arrived, in bytes as sent; larger ones, and compressed ones, on a thread
/// of their own, so that other connections do not wait for them.
const PARSE_INLINE_BYTES_MAX: usize = 512 << 10;

pub async fn ingest(request: HttpRequest, payload: Payload, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    state.ingest.room()?;
    let form = form(request.headers())?;
    let bounds = Bounds {
        bytes_max: state.settings.body_bytes_max,
        timeout: Duration::from_millis(state.settings.body_timeout_ms),
        budget: &state.budget,
    };
    let received = body::read(payload, request.headers(), bounds).await?;
    // The body's part of the budget is given back when its records are in the log.
    let (append, _held) = parse(received, form, &state).await?;
    let (events, bytes) = (append.lengths.len() as u64, append.records.len() as u64);
    let frontier = state.ingest.append(append).await?;
    state.stats.accepted(events, bytes);
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

async fn parse(received: Received, form: Form, state: &Data<DoorState>) -> Result<(Append, Held), Problem> {
    if !received.is_compressed() && received.sent_bytes() <= PARSE_INLINE_BYTES_MAX {
        return unfold_and_parse(received, form, state);
    }
    let state = state.clone();
    let parsed = web::block(move || unfold_and_parse(received, form, &state)).await;
    parsed.map_err(|error| {
        tracing::error!(%error, "the parser's thread ended without an answer");
        Problem::bare(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR)
    })?
}

fn unfold_and_parse(received: Received, form: Form, state: &DoorState) -> Result<(Append, Held), Problem> {
    let mut body = received.decompress()?;
    body.held.grow(body.bytes.len())?;
    let append = ingest::parse(&body.bytes, form, &state.namespace, Limits::from(&state.settings))?;
    Ok((append, body.held))
}
