//! `GET /api/v1/events/explain?id=&source=`: what became of an event, and why.
//!
//! 200 every event under this id, newest first · 400 no id · 404 none. Without `source`: of any source.

use super::event_wire::Event;
use crate::domain::metering::Fate;
use crate::domain::metering::extract::NotCounted;
use crate::domain::metering::query::{EventsQuery, StoredEvent};
use crate::http::contract::Params;
use crate::http::openapi::problems::{V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json};
use crate::services::explain::{Judges, Verdict, summary};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Most events explained in one answer: the winner, its duplicates and conflicts.
const EVENTS_MAX: usize = 100;

#[utoipa::path(get, path = "/api/v1/events/explain", operation_id = "explainEvent", tag = "weir", params(Identity),
    responses((status = 200, body = Vec<ExplainedEvent>), V1NotFound, V1Problems))]
pub async fn explain(
    Params(Identity { id, source }): Params<Identity>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let query = EventsQuery {
        identity: Some((source.clone(), id.clone())),
        ..EventsQuery::newest(&state.namespace, EVENTS_MAX)
    };
    let seen = freshness::wait(&request, &state).await?;
    let events = state.usage.events(query).await?;
    if events.is_empty() {
        let source = source.map(|source| format!(" and source {source}")).unwrap_or_default();
        return Err(Problem::not_found(format!("no event with id {id}{source}")));
    }
    let judges = Judges::of(&state.meters.live(&state.namespace));
    let explained: Vec<ExplainedEvent> = events.iter().map(|event| ExplainedEvent::of(event, &judges)).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &explained))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Identity {
    #[param(min_length = 1)]
    id: String,
    source: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEvent<'a> {
    position: String,
    #[schema(format = DateTime)]
    accepted_at: String,
    fate: &'static str,
    /// The event that counts in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    winner: Option<String>,
    /// What took it out again, and why; where the fate is `voided`.
    #[serde(skip_serializing_if = "Option::is_none")]
    voided: Option<EventVoiding<'a>>,
    summary: String,
    meters: Vec<EventByMeter>,
    event: Event<'a>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventVoiding<'a> {
    /// Where the record of it stands.
    by: String,
    reason: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventByMeter {
    id: String,
    slug: String,
    counted: bool,
    /// What was read, as plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Why nothing counts here.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    group_by: BTreeMap<String, String>,
}

impl<'a> ExplainedEvent<'a> {
    fn of(event: &'a StoredEvent, judges: &Judges) -> Self {
        let voided = event.voided.as_ref();
        let (fate, winner) = match event.fate {
            _ if voided.is_some() => ("voided", None),
            Fate::Counts => ("counts", None),
            Fate::Duplicate { winner } => ("duplicate", Some(winner.to_string())),
            Fate::Conflict { winner } => ("conflict", Some(winner.to_string())),
            Fate::Quarantined => ("quarantined", None),
        };
        // What does not count is not held against meters: a stored duplicate does not even keep its data.
        let verdicts = if fate == "counts" { judges.verdicts(event) } else { Vec::new() };
        Self {
            position: event.position.to_string(),
            accepted_at: event.accepted_at.to_rfc3339(),
            fate,
            winner,
            voided: voided.map(|voided| EventVoiding { by: voided.by.to_string(), reason: &voided.reason }),
            summary: summary(event, &verdicts),
            meters: verdicts.into_iter().map(EventByMeter::from).collect(),
            event: Event::from(event),
        }
    }
}

impl From<Verdict> for EventByMeter {
    fn from(verdict: Verdict) -> Self {
        let why = |code| verdict.reason.clone().unwrap_or_else(|| format!("{code:?}"));
        Self {
            id: verdict.meter.id.to_string(),
            slug: verdict.meter.slug.clone(),
            counted: verdict.value.is_ok(),
            reason: verdict.value.as_ref().err().map(|code| match code {
                NotCounted::BeforeEventFrom => "the event's time is before the meter's eventFrom".to_string(),
                code => why(code),
            }),
            value: verdict.value.ok(),
            group_by: verdict.groups,
        }
    }
}
