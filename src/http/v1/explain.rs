//! `GET /api/v1/events/explain?id=&source=`: what became of an event, and why.
//!
//! 200 every event under this id, newest first · 400 no id · 404 none. Without `source`: of any source.

use super::event_wire::EventWire;
use crate::domain::metering::Fate;
use crate::domain::metering::query::{EventsQuery, StoredEvent};
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::{DoorState, freshness, json};
use crate::services::explain::{Judges, Verdict, summary};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most events explained in one answer: the winner, its duplicates and conflicts.
const EVENTS_MAX: usize = 100;

pub async fn explain(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let parameters = QueryString::of(&request, &state.settings)?;
    let id = parameters.one("id")?.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Problem::parameter("id", "query", "value is required but missing"))?;
    let source = parameters.one("source")?;
    let query = EventsQuery {
        identity: Some((source.map(str::to_string), id.to_string())),
        ..EventsQuery::newest(&state.namespace, EVENTS_MAX)
    };
    let seen = freshness::wait(&request, &state).await?;
    let events = state.usage.events(query).await?;
    if events.is_empty() {
        let source = source.map(|source| format!(" and source {source}")).unwrap_or_default();
        return Err(Problem::not_found(format!("no event with id {id}{source}")));
    }
    let judges = Judges::of(&state.meters.list(&state.namespace, false));
    let explained: Vec<Explained> = events.iter().map(|event| Explained::of(event, &judges)).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &explained))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained<'a> {
    position: String,
    accepted_at: String,
    fate: &'static str,
    /// The event that counts in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    winner: Option<String>,
    summary: String,
    meters: Vec<ByMeter>,
    event: EventWire<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ByMeter {
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

impl<'a> Explained<'a> {
    fn of(event: &'a StoredEvent, judges: &Judges) -> Self {
        let (fate, winner) = match event.fate {
            Fate::Counts => ("counts", None),
            Fate::Duplicate { winner } => ("duplicate", Some(winner.to_string())),
            Fate::Conflict { winner } => ("conflict", Some(winner.to_string())),
            Fate::Quarantined => ("quarantined", None),
        };
        // What does not count is not held against meters: a stored duplicate does not even keep its data.
        let verdicts = if event.fate == Fate::Counts { judges.verdicts(event) } else { Vec::new() };
        Self {
            position: event.position.to_string(),
            accepted_at: event.accepted_at.to_rfc3339(),
            fate,
            winner,
            summary: summary(event, &verdicts),
            meters: verdicts.into_iter().map(ByMeter::from).collect(),
            event: EventWire::from(event),
        }
    }
}

impl From<Verdict> for ByMeter {
    fn from(verdict: Verdict) -> Self {
        let why = |code| verdict.reason.clone().unwrap_or_else(|| format!("{code:?}"));
        Self {
            id: verdict.meter.id.to_string(),
            slug: verdict.meter.slug.clone(),
            counted: verdict.value.is_ok(),
            reason: verdict.value.as_ref().err().map(|code| match code {
                crate::domain::metering::extract::NotCounted::BeforeEventFrom => {
                    "the event's time is before the meter's eventFrom".to_string()
                }
                code => why(code),
            }),
            value: verdict.value.ok(),
            group_by: verdict.groups,
        }
    }
}
