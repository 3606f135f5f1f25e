//! An event as the lists show it: the CloudEvent that was sent, `data` as it came.

use crate::domain::metering::query::StoredEvent;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The envelope, with its extension attributes beside the others.
#[derive(Serialize)]
pub struct EventWire<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataschema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'static str>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    data: Option<&'a str>,
    #[serde(flatten, serialize_with = "raw_members")]
    extensions: BTreeMap<String, Box<RawValue>>,
}

impl<'a> From<&'a StoredEvent> for EventWire<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            specversion: "1.0",
            id: &event.id,
            source: &event.source,
            event_type: &event.event_type,
            subject: &event.subject,
            dataschema: event.dataschema.as_deref(),
            // Data sent as null shows its type alone, as clients know it.
            datacontenttype: event.data.is_some().then_some("application/json"),
            time: event.time.to_rfc3339(),
            data: event.data.as_deref().filter(|data| *data != "null"),
            extensions: extensions(&event.extensions),
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
