//! `GET /api/v1/events` and `GET /api/v2/events`: what came in, newest first, with what keeps it from counting as of
//! now.
//!
//! 200 · 400 a filter or a cursor that cannot be read, a period that is too old, an unknown customer. The list of v1
//! ends after its first page and looks back for 32 days; that of v2 goes on, from cursor to cursor, over everything.
//! While the business records are away, a list of customers' events is a 503, and any other says in its headers that it
//! does not show whose the events are.

use super::event_wire::{IngestedEvent, IngestedEventCursorPaginatedResponse};
use super::filters::{Filter, FilterIdExact, FilterString, FilterTime};
use super::wire::UlidText;
use crate::domain::metering::query::{EventsQuery, Pattern, StoredEvent, TextFilter};
use crate::domain::time::Instant;
use crate::http::contract::Params;
use crate::http::cursor::{self, CursorError};
use crate::http::openapi::problems::V1Problems;
use crate::http::problem::Problem;
use crate::http::query_string::{QueryString, format_fault};
use crate::http::times::DateTime;
use crate::http::{DoorState, freshness, json};
use crate::services::attribution::{AttributionError, Deleted, Owners};
use crate::services::explain::Judges;
use actix_web::http::header::HeaderName;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Deserialize;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

/// Most events in one answer, and how many when none is asked for.
const LIMIT_MAX: usize = 100;
/// How far back the list of v1 may begin, in days.
const PERIOD_DAYS_MAX: i64 = 32;
const DAY_NS: i64 = 86_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// How deep `$and` and `$or` may be nested.
const FILTER_DEPTH_MAX: usize = 1;
const FILTER: &str = "filter";
const CUSTOMERS: HeaderName = HeaderName::from_static("x-weir-customers");

#[utoipa::path(get, path = "/api/v1/events", operation_id = "listEvents", tag = "Events", params(List),
    responses((status = 200, body = Vec<IngestedEvent>), V1Problems))]
pub async fn list(
    Params(asked): Params<List>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let client_id = asked.client_id.clone();
    let query = asked.check(&state).await?;
    let (seen, events) = read(&request, &state, client_id.as_deref(), query).await?;
    let remarks = Remarks::of(&state, &events).await?;
    let rows: Vec<IngestedEvent> = events.iter().map(|event| IngestedEvent::of(event, &remarks)).collect();
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    remarks.mark(&mut response);
    Ok(json(response, &rows))
}

#[utoipa::path(get, path = "/api/v2/events", operation_id = "listEventsV2", tag = "Events", params(ListV2),
    responses((status = 200, body = IngestedEventCursorPaginatedResponse), V1Problems))]
pub async fn list_v2(
    Params(asked): Params<ListV2>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    refuse_brackets(&request, &state)?;
    let client_id = asked.client_id.clone();
    let query = asked.check(&state).await?;
    let (order, limit) = (query.order, query.limit);
    let (seen, events) = read(&request, &state, client_id.as_deref(), query).await?;
    let remarks = Remarks::of(&state, &events).await?;
    let last = events.last().filter(|_| events.len() == limit);
    let page = IngestedEventCursorPaginatedResponse {
        items: events.iter().map(|event| IngestedEvent::of(event, &remarks)).collect(),
        next_cursor: last.map(|event| cursor::encode(order.cursor(event))),
    };
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    remarks.mark(&mut response);
    Ok(json(response, &page))
}

/// The events, read under the client's own id for the progress, where it gave one.
async fn read(
    request: &HttpRequest,
    state: &DoorState,
    client_id: Option<&str>,
    mut query: EventsQuery,
) -> Result<(freshness::Seen, Vec<StoredEvent>), Problem> {
    let seen = freshness::wait(request, state).await?;
    let watched = client_id.map(|id| state.progress.watch(id));
    query.progress = watched.as_ref().map(|watched| watched.progress());
    let events = state.usage.events(query).await?;
    Ok((seen, events))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(min_length = 1, max_length = 36)]
    client_id: Option<String>,
    #[param(value_type = Option<String>, format = DateTime)]
    ingested_at_from: Option<DateTime>,
    #[param(value_type = Option<String>, format = DateTime)]
    ingested_at_to: Option<DateTime>,
    /// A part of it; `%` stands for any characters, `_` for one.
    id: Option<String>,
    subject: Option<String>,
    #[param(inline)]
    customer_id: Option<Vec<UlidText>>,
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<DateTime>,
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<DateTime>,
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<usize>,
}

impl List {
    async fn check(self, state: &DoorState) -> Result<EventsQuery, Problem> {
        let instant = |time: Option<DateTime>| time.map(|time| time.instant);
        let (from, to) = (instant(self.from), instant(self.to));
        let (ingested_from, ingested_to) = (instant(self.ingested_at_from), instant(self.ingested_at_to));
        let oldest = Instant::from_nanos(state.clock.now().nanos().saturating_sub(PERIOD_DAYS_MAX * DAY_NS));
        check_age("from", from, oldest)?;
        check_age("ingestedAtFrom", ingested_from, oldest)?;
        check_order("to", from, to)?;
        check_order("ingestedAtTo", ingested_from, ingested_to)?;
        let mut subjects = theirs(state, self.customer_id).await?;
        if let Some(subject) = self.subject.filter(|subject| !subject.is_empty()) {
            let asked = subjects.is_none_or(|theirs| theirs.contains(&subject));
            subjects = Some(Vec::from_iter(asked.then_some(subject)));
        }
        let part = self.id.filter(|id| !id.is_empty()).map(|id| Pattern::new(&format!("%{id}%"), false));
        Ok(EventsQuery {
            // One second later than the oldest allowed, so that the default itself is never too old.
            from: from.or(Some(Instant::from_nanos(oldest.nanos().saturating_add(SECOND_NS)))),
            to,
            ingested_from,
            ingested_to,
            id: part.map(TextFilter::Like).into_iter().collect(),
            subjects,
            ..EventsQuery::newest(&state.namespace, self.limit.unwrap_or(LIMIT_MAX))
        })
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListV2 {
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<usize>,
    #[param(min_length = 1, max_length = 36)]
    client_id: Option<String>,
    #[param(inline)]
    filter: Option<EventsFilter>,
}

/// What is asked of an event; all of it must hold.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsFilter {
    id: Option<FilterString>,
    source: Option<FilterString>,
    subject: Option<FilterString>,
    customer_id: Option<FilterIdExact>,
    r#type: Option<FilterString>,
    time: Option<FilterTime>,
    ingested_at: Option<FilterTime>,
}

impl ListV2 {
    async fn check(self, state: &DoorState) -> Result<EventsQuery, Problem> {
        let filter = self.filter.unwrap_or_default();
        let after = self.cursor.as_deref().map(cursor::decode).transpose()?;
        let query = EventsQuery {
            id: condition("id", filter.id)?,
            source: condition("source", filter.source)?,
            subject: condition("subject", filter.subject)?,
            event_type: condition("type", filter.r#type)?,
            time: condition("time", filter.time)?,
            ingested_at: condition("ingestedAt", filter.ingested_at)?,
            after,
            ..EventsQuery::newest(&state.namespace, self.limit.unwrap_or(LIMIT_MAX))
        };
        let subjects = theirs(state, filter.customer_id.and_then(|filter| filter.is_in)).await?;
        Ok(EventsQuery { subjects, ..query })
    }
}

/// The condition of one member, where it says something.
fn condition<F: Filter>(member: &str, filter: Option<F>) -> Result<Vec<F::Condition>, Problem> {
    let read = filter.map(|filter| filter.read(FILTER_DEPTH_MAX)).transpose();
    let read = read.map_err(|error| Problem::validation(format!("{member}: {error}")))?;
    Ok(read.flatten().into_iter().collect())
}

/// `filter[id][$eq]=…` would leave the list unfiltered, without a word.
fn refuse_brackets(request: &HttpRequest, state: &DoorState) -> Result<(), Problem> {
    match QueryString::of(request, &state.settings)?.members(FILTER).next() {
        None => Ok(()),
        Some(_) => Err(format_fault(FILTER, "must be JSON text, such as filter={\"id\":{\"$eq\":\"1\"}}")),
    }
}

/// The subjects of these customers; `None` where no customer is asked for.
async fn theirs(state: &DoorState, ids: Option<Vec<UlidText>>) -> Result<Option<Vec<String>>, Problem> {
    let ids: Vec<String> = ids.into_iter().flatten().map(|UlidText(id)| id).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let attribution = state.attributions.of(&state.namespace, &ids, Deleted::Unknown).await?;
    Ok(Some(attribution.owners.keys().cloned().collect()))
}

/// What a list says of its events beside what was sent, as of now.
pub struct Remarks {
    judges: Judges,
    owners: Owners,
}

impl Remarks {
    pub async fn of(state: &DoorState, events: &[StoredEvent]) -> Result<Self, Problem> {
        let owners = state.attributions.owners(&state.namespace, events).await?;
        Ok(Self { judges: Judges::of(&state.meters.live(&state.namespace)), owners })
    }

    /// Whose the event is.
    pub fn customer(&self, event: &StoredEvent) -> Option<Ulid> {
        self.owners.of(&event.subject)
    }

    /// What keeps the event from counting somewhere.
    pub fn faults(&self, event: &StoredEvent) -> Vec<String> {
        let mut faults = self.judges.faults(event);
        faults.extend(self.owners.fault(&event.subject));
        faults
    }

    /// Says in the answer's headers when it leaves out whose the events are.
    pub fn mark(&self, response: &mut HttpResponseBuilder) {
        if self.owners == Owners::Unknown {
            response.insert_header((CUSTOMERS, "unknown"));
        }
    }
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

impl From<AttributionError> for Problem {
    fn from(error: AttributionError) -> Self {
        match error {
            AttributionError::Fault(fault) => fault.into(),
            unknown => Problem::validation(unknown),
        }
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        Problem::validation(error)
    }
}
