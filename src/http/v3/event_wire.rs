//! Events as v3 shows and takes them.

use super::cursor_page::{CursorMeta, CursorMetaPage};
use super::wire::UlidText;
use crate::domain::metering::query::{EventsQuery, StoredEvent};
use crate::http::cursor;
use crate::http::times::DateTime;
use crate::http::v1::events::Remarks;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// A CloudEvent, `data` as it came. Extension attributes, which only v1 takes, are not shown: the schema is closed.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeteringEvent<'a> {
    #[schema(value_type = Option<BTreeMap<String, serde_json::Value>>)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    data: Option<&'a str>,
    #[schema(inline)]
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<DataContentType>,
    #[schema(min_length = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    dataschema: Option<&'a str>,
    #[schema(min_length = 1)]
    id: &'a str,
    #[schema(min_length = 1)]
    source: &'a str,
    #[schema(min_length = 1, default = "1.0")]
    specversion: &'static str,
    #[schema(min_length = 1)]
    subject: &'a str,
    #[schema(value_type = Option<DateTime>)]
    time: DateTime,
    #[schema(min_length = 1)]
    r#type: &'a str,
}

#[derive(Serialize, ToSchema)]
enum DataContentType {
    #[serde(rename = "application/json")]
    Json,
}

impl<'a> From<&'a StoredEvent> for MeteringEvent<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            data: event.data.as_deref(),
            datacontenttype: event.data.is_some().then_some(DataContentType::Json),
            dataschema: event.dataschema.as_deref(),
            id: &event.id,
            source: &event.source,
            specversion: "1.0",
            subject: &event.subject,
            time: event.time.into(),
            r#type: &event.event_type,
        }
    }
}

fn raw<S: Serializer>(json: &Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    let value: Option<&RawValue> = json.map(serde_json::from_str).transpose().map_err(serde::ser::Error::custom)?;
    value.serialize(serializer)
}

/// An event and what is known of it. It is stored when it is accepted: both times are one.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MeteringIngestedEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerReference>,
    event: MeteringEvent<'a>,
    ingested_at: DateTime,
    stored_at: DateTime,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    validation_errors: Vec<MeteringIngestedEventValidationError>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CustomerReference {
    id: UlidText,
}

/// Something that keeps an event from counting.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MeteringIngestedEventValidationError {
    #[schema(read_only)]
    code: &'static str,
    #[schema(read_only)]
    message: String,
    #[schema(schema_with = read_only_map)]
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<String, serde_json::Value>>,
}

/// `read_only` has no effect on a map.
fn read_only_map() -> RefOr<Schema> {
    let map = ObjectBuilder::new().schema_type(Type::Object);
    map.additional_properties(Some(AdditionalProperties::FreeForm(true))).read_only(true).into()
}

impl<'a> MeteringIngestedEvent<'a> {
    fn of(event: &'a StoredEvent, remarks: &Remarks) -> Self {
        let error =
            |message| MeteringIngestedEventValidationError { code: "validation_error", message, attributes: None };
        Self {
            customer: remarks.customer(event).map(|id| CustomerReference { id: UlidText(id.to_string()) }),
            event: event.into(),
            ingested_at: event.accepted_at.into(),
            stored_at: event.accepted_at.into(),
            validation_errors: remarks.faults(event).into_iter().map(error).collect(),
        }
    }
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestedEventPaginatedResponse<'a> {
    data: Vec<MeteringIngestedEvent<'a>>,
    meta: CursorMeta,
}

impl<'a> IngestedEventPaginatedResponse<'a> {
    /// What the query `asked` found.
    pub fn of(asked: &EventsQuery, events: &'a [StoredEvent], remarks: &Remarks) -> Self {
        let cursor = |event: &StoredEvent| cursor::encode(asked.order.cursor(event));
        let last = events.last().map(cursor);
        let page = CursorMetaPage {
            first: events.first().map(cursor),
            next: last.clone().filter(|_| events.len() == asked.limit),
            last,
            // Paging goes forward only.
            previous: None,
            size: asked.limit,
        };
        let data = events.iter().map(|event| MeteringIngestedEvent::of(event, remarks)).collect();
        Self { data, meta: CursorMeta { page } }
    }
}
