//! `GET /api/v1/events`: what came in, newest first, with what keeps it from counting as of now.
//!
//! 200 an array · 400 a filter that cannot be read, or a period that is too old.

use super::event_wire::EventWire;
use crate::domain::metering::query::{EventsQuery, Pattern, StoredEvent, TextFilter};
use crate::domain::time::Instant;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::{DoorState, freshness, json};
use crate::services::explain::Judges;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

/// Most events in one answer, and how many when none is asked for.
const LIMIT_MAX: usize = 100;
/// How far back a list may begin, in days.
const PERIOD_DAYS_MAX: i64 = 32;
const DAY_NS: i64 = 86_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// Longest client id, in characters.
const CLIENT_ID_CHARS_MAX: usize = 36;

pub async fn list(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let parameters = QueryString::of(&request, &state.settings)?;
    let query = read(&parameters, &state.namespace, state.clock.now())?;
    let seen = freshness::wait(&request, &state).await?;
    let events = state.usage.events(query).await?;
    let judges = Judges::of(&state.meters.list(&state.namespace, false));
    let rows: Vec<Row> = events.iter().map(|event| Row::of(event, &judges)).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &rows))
}

fn read(parameters: &QueryString, namespace: &str, now: Instant) -> Result<EventsQuery, Problem> {
    check_client_id(parameters)?;
    check_customers(parameters, namespace)?;
    let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_MAX);
    let oldest = Instant::from_nanos(now.nanos().saturating_sub(PERIOD_DAYS_MAX * DAY_NS));
    let bound = |name: &str| parameters.time(name).map(|bound| bound.map(|(_, instant)| instant));
    let (from, to) = (bound("from")?, bound("to")?);
    let (ingested_from, ingested_to) = (bound("ingestedAtFrom")?, bound("ingestedAtTo")?);
    check_age("from", from, oldest)?;
    check_age("ingestedAtFrom", ingested_from, oldest)?;
    check_order("to", from, to)?;
    check_order("ingestedAtTo", ingested_from, ingested_to)?;
    let subject = parameters.one("subject")?.filter(|subject| !subject.is_empty());
    let id = parameters.one("id")?.filter(|id| !id.is_empty());
    Ok(EventsQuery {
        // One second later than the oldest allowed, so that the default itself is never too old.
        from: from.or(Some(Instant::from_nanos(oldest.nanos().saturating_add(SECOND_NS)))),
        to,
        ingested_from,
        ingested_to,
        // `%` and `_` are alive, as clients know it.
        id: id.into_iter().map(|id| TextFilter::Like(Pattern::new(&format!("%{id}%"), false))).collect(),
        subjects: subject.map(|subject| vec![subject.to_string()]),
        ..EventsQuery::newest(namespace, limit)
    })
}

/// Progress by client id comes later; its form is checked already.
pub fn check_client_id(parameters: &QueryString) -> Result<(), Problem> {
    match parameters.one("clientId")?.map(|id| id.chars().count()) {
        Some(0) => Err(Problem::parameter("clientId", "query", "minimum string length is 1")),
        Some(length) if length > CLIENT_ID_CHARS_MAX => {
            let reason = format!("maximum string length is {CLIENT_ID_CHARS_MAX}");
            Err(Problem::parameter("clientId", "query", reason))
        }
        _ => Ok(()),
    }
}

/// There are no customers yet, so every one that is asked for is unknown.
fn check_customers(parameters: &QueryString, namespace: &str) -> Result<(), Problem> {
    let ids: Vec<&str> = parameters.all("customerId").collect();
    if ids.is_empty() {
        return Ok(());
    }
    if ids.iter().any(|id| !is_ulid(id)) {
        return Err(Problem::parameter("customerId", "query", "string doesn't match the format of a ULID"));
    }
    Err(Problem::validation(format!("customers not found in namespace {namespace}: {}", ids.join(", "))))
}

/// `^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$`
fn is_ulid(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() && !b"ILOUilou".contains(&byte);
    text.len() == 26 && matches!(text.as_bytes()[0], b'0'..=b'7') && text.bytes().all(digit)
}

fn check_age(name: &str, at: Option<Instant>, oldest: Instant) -> Result<(), Problem> {
    match at.filter(|at| *at < oldest) {
        None => Ok(()),
        Some(at) => Err(Problem::validation(format!(
            "validate input: {name} date is too old: {}, must be after {}",
            at.to_rfc3339(),
            oldest.to_rfc3339()
        ))),
    }
}

fn check_order(name: &str, from: Option<Instant>, to: Option<Instant>) -> Result<(), Problem> {
    match from.zip(to).filter(|(from, to)| to < from) {
        None => Ok(()),
        Some((from, to)) => Err(Problem::validation(format!(
            "validate input: {name} date is before its start: {} < {}",
            to.to_rfc3339(),
            from.to_rfc3339()
        ))),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    event: EventWire<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_error: Option<String>,
    ingested_at: String,
    stored_at: String,
}

impl<'a> Row<'a> {
    /// An event is stored when it is accepted: both times are one.
    fn of(event: &'a StoredEvent, judges: &Judges) -> Self {
        let faults = judges.faults(event);
        let accepted_at = event.accepted_at.to_rfc3339();
        Self {
            event: EventWire::from(event),
            validation_error: (!faults.is_empty()).then(|| faults.join("\n")),
            ingested_at: accepted_at.clone(),
            stored_at: accepted_at,
        }
    }
}
