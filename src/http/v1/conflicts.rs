//! `GET /api/v1/conflicts`: events that came under an id that another event, with other content, already had.
//!
//! 200 an array, newest first · 400 a parameter that cannot be read. `before` pages: the last row's position.

use super::event_wire::EventWire;
use crate::domain::position::Position;
use crate::http::problem::Problem;
use crate::http::query_string::{QueryString, format_fault};
use crate::http::{DoorState, freshness, json};
use crate::ports::usage_store::StoredConflict;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

pub async fn list(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let parameters = QueryString::of(&request, &state.settings)?;
    let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let before: Option<Position> = match parameters.one("before")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| format_fault("before", &format!("{error}")))?),
    };
    let seen = freshness::wait(&request, &state).await?;
    let conflicts = state.usage.conflicts(&state.namespace, before, limit).await?;
    let rows: Vec<Row> = conflicts.iter().map(Row::from).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &rows))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    position: String,
    /// Where the event that counts stands.
    winner: String,
    accepted_at: String,
    event: EventWire<'a>,
}

impl<'a> From<&'a StoredConflict> for Row<'a> {
    fn from(conflict: &'a StoredConflict) -> Self {
        Self {
            position: conflict.event.position.to_string(),
            winner: conflict.winner.to_string(),
            accepted_at: conflict.event.accepted_at.to_rfc3339(),
            event: EventWire::from(&conflict.event),
        }
    }
}
