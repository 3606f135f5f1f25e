//! Freshness: an accepted event is visible to the next read.
//!
//! A read may say what it must see (`X-Weir-After`, as an ingest answer gave it, of any process); otherwise it waits
//! for the log's end as of its arrival. The wait is bounded; an answer given before its end says how far it is behind.

use super::DoorState;
use super::problem::Problem;
use crate::domain::position::Frontier;
use crate::ports::line::{Check, Wait};
use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponseBuilder};
use std::time::Duration;

const AFTER: HeaderName = HeaderName::from_static("x-weir-after");
const BEHIND_EVENTS: HeaderName = HeaderName::from_static("x-weir-behind-events");
const BEHIND_SECONDS: HeaderName = HeaderName::from_static("x-weir-behind-seconds");
/// Longest frontier read from a header, in bytes.
const AFTER_BYTES_MAX: usize = 8_192;

/// What an answer shows of the line's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen(Wait);

impl Seen {
    pub fn of(wait: Wait) -> Self {
        Self(wait)
    }

    /// Says in the answer's headers when it is behind.
    pub fn mark(&self, response: &mut HttpResponseBuilder) {
        if let Wait::Behind { events, seconds } = &self.0 {
            response.insert_header((BEHIND_EVENTS, events.to_string()));
            response.insert_header((BEHIND_SECONDS, seconds.to_string()));
        }
    }
}

/// Waits, within bounds, for what this read must see.
pub async fn wait(request: &HttpRequest, state: &DoorState) -> Result<Seen, Problem> {
    let target = after(request)?;
    let bound = Duration::from_millis(state.settings.read_wait_max_ms);
    Ok(Seen(state.freshness.wait(target, bound).await))
}

/// What a check of a customer must see, and how long it may wait for that. It waits for itself, for its own customer's
/// events alone.
pub fn check<'a>(
    request: &HttpRequest,
    state: &'a DoorState,
    customer: &'a str,
    feature_key: Option<&'a str>,
) -> Result<Check<'a>, Problem> {
    let at_most = Duration::from_millis(state.settings.read_wait_max_ms);
    Ok(Check { namespace: &state.namespace, customer, feature_key, after: after(request)?, at_most })
}

fn after(request: &HttpRequest) -> Result<Option<Frontier>, Problem> {
    let Some(value) = request.headers().get(AFTER) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() <= AFTER_BYTES_MAX);
    let frontier = text.and_then(|text| text.parse().ok());
    let fault =
        || Problem::bad_request("header X-Weir-After must be a position as X-Weir-Position gave it, such as 0:412");
    frontier.map(Some).ok_or_else(fault)
}
