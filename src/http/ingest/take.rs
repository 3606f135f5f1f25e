//! The way of an ingest request, whatever wire version it speaks: its body, its records, the log.

use super::{Attributes, Form, Limits, Refusal, parse};
use crate::domain::position::Frontier;
use crate::http::DoorState;
use crate::http::body::{self, Bounds, Received};
use crate::http::budget::Held;
use crate::http::problem::Problem;
use crate::ports::event_log::Append;
use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload};
use std::time::Duration;

/// Bodies up to this are parsed where they arrived, in bytes as sent; larger ones, and compressed ones, on a thread
/// of their own, so that other connections do not wait for them.
const PARSE_INLINE_BYTES_MAX: usize = 512 << 10;

/// What a wire version asks of a request, and how it tells what is wrong with it.
#[derive(Clone, Copy)]
pub struct Terms {
    pub form: Form,
    pub attributes: Attributes,
    pub told: fn(Refusal) -> Problem,
}

/// Takes the events of a request: where they end, once they are durable.
pub async fn take(
    request: &HttpRequest,
    payload: Payload,
    state: &Data<DoorState>,
    terms: Terms,
) -> Result<Frontier, Problem> {
    let bounds = Bounds {
        bytes_max: state.settings.body_bytes_max,
        timeout: Duration::from_millis(state.settings.body_timeout_ms),
        budget: &state.budget,
    };
    let received = body::read(payload, request.headers(), bounds).await?;
    // The body's part of the budget is given back when its records are in the log.
    let (append, _held) = unfold(received, terms, state).await?;
    let (events, bytes) = (append.lengths.len() as u64, append.records.len() as u64);
    let frontier = state.ingest.append(append).await?;
    state.stats.accepted(events, bytes);
    Ok(frontier)
}

async fn unfold(received: Received, terms: Terms, state: &Data<DoorState>) -> Result<(Append, Held), Problem> {
    if !received.is_compressed() && received.sent_bytes() <= PARSE_INLINE_BYTES_MAX {
        return unfold_and_parse(received, terms, state);
    }
    let state = state.clone();
    let parsed = web::block(move || unfold_and_parse(received, terms, &state)).await;
    parsed.map_err(|error| {
        tracing::error!(%error, "the parser's thread ended without an answer");
        Problem::bare(StatusCode::INTERNAL_SERVER_ERROR)
    })?
}

fn unfold_and_parse(received: Received, terms: Terms, state: &DoorState) -> Result<(Append, Held), Problem> {
    let mut body = received.decompress()?;
    body.held.grow(body.bytes.len())?;
    let limits = Limits { attributes: terms.attributes, ..Limits::from(&state.settings) };
    let append = parse(&body.bytes, terms.form, &state.namespace, limits).map_err(terms.told)?;
    Ok((append, body.held))
}
