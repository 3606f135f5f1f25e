//! Meters: which events are counted, how, and by what they can be grouped.

use crate::domain::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ulid::Ulid;

/// How readings become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Aggregation {
    Sum,
    Count,
    Avg,
    Min,
    Max,
    UniqueCount,
    Latest,
}

/// One version of a meter. What decides how it counts never changes within a version.
/// Serialised as the log's `meter_live` record holds it; the wire form is the door's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// The meter's id as the API shows it; the same over all versions.
    pub id: Ulid,
    /// This version's own id: what rollups are kept under.
    pub version: Ulid,
    pub namespace: String,
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub aggregation: Aggregation,
    pub event_type: String,
    /// A lower bound under every query: earlier events do not count.
    pub event_from: Option<Instant>,
    /// JSONPath of the value; `None` exactly for COUNT.
    pub value_property: Option<String>,
    /// Dimension name → JSONPath.
    pub group_by: BTreeMap<String, String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub created_at: Instant,
    pub updated_at: Instant,
}

/// What a client asks for when it creates a meter; checked by [`MeterDraft::check`].
#[derive(Debug, Clone, PartialEq)]
pub struct MeterDraft {
    pub slug: String,
    /// Absent: the slug.
    pub name: Option<String>,
    pub description: Option<String>,
    pub aggregation: Aggregation,
    pub event_type: String,
    pub event_from: Option<Instant>,
    pub value_property: Option<String>,
    pub group_by: BTreeMap<String, String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Why a meter is refused. Ordered: the first that applies is reported. `field` is the wire name (v1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeterRefusal {
    pub field: String,
    /// The text a v1 client sees after `validation error: ` (wire-details-metering section 8).
    pub message: String,
}

impl MeterDraft {
    /// All rules of a v1 create, in the order of the reference; then the meter.
    pub fn check(self, _namespace: &str, _id: Ulid, _version: Ulid, _now: Instant) -> Result<Meter, MeterRefusal> {
        todo!()
    }
}
