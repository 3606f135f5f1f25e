//! Meters as v3 shows and takes them.

use super::labels::Labels;
use super::wire::{ResourceKey, UlidText};
use crate::domain::metering::meter::{MeterChanges, MeterDraft};
use crate::http::aggregation::meter_aggregation;
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::services::meters::StoredMeter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

meter_aggregation!("snake_case");

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateMeterRequest {
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(max_length = 1024)]
    description: Option<String>,
    labels: Option<Labels>,
    key: ResourceKey,
    aggregation: MeterAggregation,
    #[schema(min_length = 1)]
    event_type: String,
    events_from: Option<DateTime>,
    #[schema(min_length = 1)]
    value_property: Option<String>,
    dimensions: Option<BTreeMap<String, String>>,
}

impl CreateMeterRequest {
    pub fn draft(self) -> Result<MeterDraft, Problem> {
        Ok(MeterDraft {
            slug: self.key.0,
            name: Some(self.name),
            description: self.description,
            aggregation: self.aggregation.into(),
            event_type: self.event_type,
            event_from: self.events_from.map(|time| time.instant),
            value_property: self.value_property,
            group_by: self.dimensions.unwrap_or_default(),
            metadata: self.labels.map(Labels::check).transpose()?,
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMeterRequest {
    #[schema(min_length = 1, max_length = 256)]
    name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    labels: Option<Labels>,
    dimensions: Option<BTreeMap<String, String>>,
}

impl UpdateMeterRequest {
    /// A name must be sent, although the published contract does not say so: clients know it.
    pub fn changes(self) -> Result<MeterChanges, Problem> {
        if self.name.is_none() {
            return Err(Problem::validation("name is required"));
        }
        Ok(MeterChanges {
            name: self.name,
            description: self.description,
            metadata: self.labels.map(Labels::check).transpose()?,
            group_by: self.dimensions.unwrap_or_default(),
        })
    }
}

/// `labels` and `dimensions` are always there; the rest is left out when unset.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    aggregation: MeterAggregation,
    #[schema(read_only)]
    created_at: DateTime,
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
    #[schema(max_length = 1024)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(required = false)]
    dimensions: BTreeMap<String, String>,
    #[schema(min_length = 1)]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_from: Option<DateTime>,
    #[schema(read_only)]
    id: UlidText,
    key: ResourceKey,
    #[schema(required = false)]
    labels: Labels,
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(read_only)]
    updated_at: DateTime,
    #[schema(min_length = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    value_property: Option<String>,
}

impl From<&StoredMeter> for Meter {
    fn from(stored: &StoredMeter) -> Self {
        let meter = &stored.meter;
        Self {
            aggregation: meter.aggregation.into(),
            created_at: meter.created_at.into(),
            deleted_at: stored.deleted_at.map(DateTime::from),
            description: meter.description.clone(),
            dimensions: meter.group_by.clone(),
            event_type: meter.event_type.clone(),
            events_from: meter.event_from.map(DateTime::from),
            id: UlidText(meter.id.to_string()),
            key: ResourceKey(meter.slug.clone()),
            labels: Labels::of(meter.metadata.as_ref()),
            name: meter.name.clone(),
            updated_at: meter.updated_at.into(),
            value_property: meter.value_property.clone(),
        }
    }
}
