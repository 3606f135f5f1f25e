//! Events on the wire: the CloudEvent that was sent, `data` as it came, and what weir adds in its lists.

use super::events::Remarks;
use crate::domain::metering::query::StoredEvent;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The envelope, with its extension attributes beside the others. `POST` reads it by hand (`crate::http::ingest`).
#[derive(Serialize, ToSchema)]
pub struct Event<'a> {
    #[schema(min_length = 1, default = "1.0")]
    specversion: &'static str,
    #[schema(min_length = 1)]
    id: &'a str,
    #[schema(min_length = 1)]
    source: &'a str,
    #[serde(rename = "type")]
    #[schema(min_length = 1)]
    event_type: &'a str,
    #[schema(min_length = 1)]
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1)]
    dataschema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    datacontenttype: Option<DataContentType>,
    #[schema(value_type = Option<String>, format = DateTime)]
    time: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    #[schema(value_type = Option<Map<String, Value>>)]
    data: Option<&'a str>,
    #[serde(flatten, serialize_with = "raw_members")]
    #[schema(ignore)]
    extensions: BTreeMap<String, Box<RawValue>>,
}

/// What `data` may be.
#[derive(Serialize, ToSchema)]
pub enum DataContentType {
    #[serde(rename = "application/json")]
    Json,
}

/// One event, or several.
pub struct IngestEventsBody;

impl PartialSchema for IngestEventsBody {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name("Event");
        RefOr::T(Schema::AnyOf(AnyOfBuilder::new().item(event()).item(ArrayBuilder::new().items(event())).build()))
    }
}

impl ToSchema for IngestEventsBody {}

/// An event with what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestedEvent<'a> {
    /// Whose usage it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    customer_id: Option<String>,
    event: Event<'a>,
    /// What keeps it from counting as of now, a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_error: Option<String>,
    #[schema(format = DateTime)]
    ingested_at: String,
    #[schema(format = DateTime)]
    stored_at: String,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestedEventCursorPaginatedResponse<'a> {
    #[schema(max_items = 100)]
    pub items: Vec<IngestedEvent<'a>>,
    /// Where the next page begins; absent when this one is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<'a> From<&'a StoredEvent> for Event<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            specversion: "1.0",
            id: &event.id,
            source: &event.source,
            event_type: &event.event_type,
            subject: &event.subject,
            dataschema: event.dataschema.as_deref(),
            // Data sent as null shows its type alone, as clients know it.
            datacontenttype: event.data.is_some().then_some(DataContentType::Json),
            time: event.time.to_rfc3339(),
            data: event.data.as_deref().filter(|data| *data != "null"),
            extensions: extensions(&event.extensions),
        }
    }
}

impl<'a> IngestedEvent<'a> {
    /// An event is stored when it is accepted: both times are one.
    pub fn of(event: &'a StoredEvent, remarks: &Remarks) -> Self {
        let faults = remarks.faults(event);
        let accepted_at = event.accepted_at.to_rfc3339();
        Self {
            customer_id: remarks.customer(event).map(|id| id.to_string()),
            event: Event::from(event),
            validation_error: (!faults.is_empty()).then(|| faults.join("\n")),
            ingested_at: accepted_at.clone(),
            stored_at: accepted_at,
        }
    }
}

/// The extension attributes out of their JSON object. The door wrote it, so it can be read; if it cannot, it is left
/// out rather than failing the whole list.
pub fn extensions(text: &str) -> BTreeMap<String, Box<RawValue>> {
    if text.is_empty() {
        return BTreeMap::new();
    }
    serde_json::from_str(text).unwrap_or_default()
}

fn raw<S: Serializer>(json: &Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = json.unwrap_or("null");
    let value: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
    value.serialize(serializer)
}

fn raw_members<S: Serializer>(members: &BTreeMap<String, Box<RawValue>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members)
}
