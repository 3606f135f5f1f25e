//! `GET /api/v3/openmeter/events`: what came in, page by page, with what keeps it from counting as of now.
//!
//! 200 a page and the cursors of its ends · 400 a page, a filter or an order that cannot be read. Newest first unless
//! another order is asked for.

use super::cursor_page::{Asked, CursorPaginationQueryPage};
use super::event_wire::IngestedEventPaginatedResponse;
use super::field_filters::{DateTimeFieldFilter, StringFieldFilter, ULIDFieldFilter};
use super::filter::{Field, Filters, Kind};
use super::meters::CUSTOMER;
use super::sort::{self, SortQuery};
use super::{refused, refused_by};
use crate::domain::metering::query::{EventCursor, EventInstant, EventOrder, EventsQuery, TextFilter};
use crate::http::contract::Params;
use crate::http::cursor;
use crate::http::openapi::problems::V3Problems;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::v1::events::Remarks;
use crate::http::{DoorState, freshness, json};
use crate::services::attribution::Deleted;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::{IntoParams, ToSchema};

/// Events on a page when no size is asked for.
const SIZE: usize = 20;

const FILTERS: [Field; 8] = [
    ("id", Kind::Text),
    ("source", Kind::Text),
    ("subject", Kind::Text),
    ("type", Kind::Text),
    (CUSTOMER, Kind::Ulid),
    ("time", Kind::Time),
    ("ingested_at", Kind::Time),
    ("stored_at", Kind::Time),
];

/// An event is stored when it is accepted.
const SORTS: [(&str, EventInstant); 3] =
    [("time", EventInstant::Time), ("ingested_at", EventInstant::IngestedAt), ("stored_at", EventInstant::IngestedAt)];

#[utoipa::path(get, path = "/openmeter/events", operation_id = "list-metering-events", tag = "Metering Events",
    params(List), responses((status = 200, body = IngestedEventPaginatedResponse), V3Problems))]
pub async fn list(
    Params(asked): Params<List>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let query = read(&asked, &QueryString::of(&request, &state.settings)?, &state).await?;
    let seen = freshness::wait(&request, &state).await?;
    let events = state.usage.events(query.clone()).await?;
    let remarks = Remarks::of(&state, &events).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    remarks.mark(&mut response);
    Ok(json(response, &IngestedEventPaginatedResponse::of(&query, &events, &remarks)))
}

async fn read(asked: &List, parameters: &QueryString, state: &DoorState) -> Result<EventsQuery, Problem> {
    let page = Page::read(parameters)?;
    let filters = Filters::read(parameters, &FILTERS)?;
    // An empty order is none, as clients know it.
    let sort = asked.sort.as_ref().filter(|sort| !sort.0.is_empty());
    let sort = sort.map(|sort| sort::read(&sort.0, &SORTS, true)).transpose()?;
    Ok(EventsQuery {
        subjects: theirs(state, &filters).await?,
        id: filters.texts("id"),
        source: filters.texts("source"),
        subject: filters.texts("subject"),
        event_type: filters.texts("type"),
        time: filters.times("time"),
        ingested_at: [filters.times("ingested_at"), filters.times("stored_at")].concat(),
        order: sort.map_or(EventOrder::NEWEST_FIRST, |sort| EventOrder { by: sort.by, descending: sort.descending }),
        after: page.after,
        ..EventsQuery::newest(&state.namespace, page.size)
    })
}

/// The subjects of the customers that every filter names; `None` where no customer is asked for.
async fn theirs(state: &DoorState, filters: &Filters) -> Result<Option<Vec<String>>, Problem> {
    let mut named = Vec::new();
    for filter in filters.texts(CUSTOMER) {
        match filter {
            TextFilter::In(ids) => named.extend(ids),
            _ => return Err(refused_by("filter", "format", format!("filter[{CUSTOMER}][neq]: unsupported operator"))),
        }
    }
    if named.is_empty() {
        return Ok(None);
    }
    let attribution = state.attributions.of(&state.namespace, &named, Deleted::Unknown).await?;
    let asked = attribution.owners.iter().filter(|(_, id)| filters.accept(CUSTOMER, Some(&id.to_string())));
    Ok(Some(asked.map(|(subject, _)| subject.clone()).collect()))
}

/// `page[size]` and `page[after]`.
struct Page {
    size: usize,
    after: Option<EventCursor>,
}

impl Page {
    fn read(parameters: &QueryString) -> Result<Self, Problem> {
        let Asked { size, after, before } = Asked::read(parameters, SIZE)?;
        if before.is_some() {
            return Err(refused("page[before]", "backward pagination is not supported"));
        }
        let after = after.map(cursor::decode).transpose();
        Ok(Self { size, after: after.map_err(|error| refused("page[after]", error.to_string()))? })
    }
}

/// Page and filter are read with grammars of their own.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(style = DeepObject, value_type = Option<CursorPaginationQueryPage>)]
    #[serde(rename = "page")]
    _page: Option<IgnoredAny>,
    #[param(style = DeepObject, value_type = Option<ListEventsParamsFilter>)]
    #[serde(rename = "filter")]
    _filter: Option<IgnoredAny>,
    sort: Option<SortQuery>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is only described")]
pub struct ListEventsParamsFilter {
    id: Option<StringFieldFilter>,
    source: Option<StringFieldFilter>,
    subject: Option<StringFieldFilter>,
    r#type: Option<StringFieldFilter>,
    customer_id: Option<ULIDFieldFilter>,
    time: Option<DateTimeFieldFilter>,
    ingested_at: Option<DateTimeFieldFilter>,
    stored_at: Option<DateTimeFieldFilter>,
}
