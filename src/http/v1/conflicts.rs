//! `GET /api/v1/conflicts`: events that came under an id that another event, with other content, already had.
//!
//! 200 an array, newest first · 400 a parameter that cannot be read. `before` pages: the last row's position.

use super::event_wire::Event;
use super::wire::PositionText;
use crate::http::contract::Params;
use crate::http::openapi::problems::V1Problems;
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json};
use crate::ports::usage_store::StoredConflict;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: usize = 100;

#[utoipa::path(get, path = "/api/v1/conflicts", operation_id = "listConflicts", tag = "weir", params(List),
    responses((status = 200, body = Vec<Conflict>), V1Problems))]
pub async fn list(
    Params(asked): Params<List>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(&request, &state).await?;
    let before = asked.before.map(|PositionText(position)| position);
    let conflicts = state.usage.conflicts(&state.namespace, before, asked.limit.unwrap_or(LIMIT_DEFAULT)).await?;
    let rows: Vec<Conflict> = conflicts.iter().map(Conflict::from).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &rows))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct List {
    /// Only what stands before this.
    #[param(inline)]
    before: Option<PositionText>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflict<'a> {
    position: String,
    /// Where the event that counts stands.
    winner: String,
    #[schema(format = DateTime)]
    accepted_at: String,
    event: Event<'a>,
}

impl<'a> From<&'a StoredConflict> for Conflict<'a> {
    fn from(conflict: &'a StoredConflict) -> Self {
        Self {
            position: conflict.event.position.to_string(),
            winner: conflict.winner.to_string(),
            accepted_at: conflict.event.accepted_at.to_rfc3339(),
            event: Event::from(&conflict.event),
        }
    }
}
