//! Features: created, priced and archived, found and listed.
//!
//! A live feature stands on a live meter: whoever creates one and whoever deletes its meter take the meter's row first,
//! and one of the two is refused. An id finds archived features too where that is asked for, a key only live ones; a
//! key is free again after archiving.

use super::gate::Gate;
use super::ids::Ids;
use super::writes::{Answered, Caller, Change, Done, Kept, Stop, WriteError, Writes};
use crate::domain::fault::Fault;
use crate::domain::metering::Meter;
use crate::domain::time::Instant;
use crate::store::{Database, Lock, Transaction, features, meters};
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use ulid::Ulid;

pub use crate::domain::catalog::feature::{Feature, FeatureDraft, FeatureRefusal};
pub use crate::domain::catalog::unit_cost::UnitCost;

/// How often a key is looked for that others take and free at the same time.
const TURNS_MAX: u32 = 5;

/// Why a feature operation was not answered. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FeatureError {
    #[error("feature not found: {0}")]
    NotFound(String),
    #[error("meter not found: {0}")]
    MeterNotFound(String),
    #[error(transparent)]
    Refused(#[from] FeatureRefusal),
    #[error("feature {id} with key {key} already exists")]
    KeyTaken { id: Ulid, key: String },
    /// A read failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A write failed; its own refusals are those above.
    #[error(transparent)]
    Write(WriteError<Infallible>),
}

impl From<WriteError<FeatureError>> for FeatureError {
    fn from(error: WriteError<FeatureError>) -> Self {
        error.refusal().unwrap_or_else(Self::Write)
    }
}

impl From<FeatureRefusal> for Stop<FeatureError> {
    fn from(refusal: FeatureRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// The features of all namespaces.
pub struct Features {
    database: Database,
    writes: Arc<Writes>,
    gate: Arc<Gate>,
    ids: Ids,
}

impl Features {
    pub fn new(database: Database, writes: Arc<Writes>, gate: Arc<Gate>) -> Self {
        Self { database, writes, gate, ids: Ids::default() }
    }

    /// Creates a feature that counts by the live meter with this id or slug, or by none.
    pub async fn create(
        &self,
        caller: &Caller,
        draft: FeatureDraft,
        meter: Option<&str>,
        show: impl FnOnce(&Feature) -> Kept,
    ) -> Result<Answered, FeatureError> {
        self.gate.check()?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let meter = match meter {
                Some(id_or_slug) => Some(live_meter(tx, &caller.namespace, id_or_slug).await?),
                None => None,
            };
            let feature = draft.check(&caller.namespace, self.ids.next(now), meter.as_ref(), now)?;
            insert(tx, &feature).await?;
            let change = change("feature.create", None, Some(&feature));
            Ok(Done { kept: show(&feature), audit: vec![change], controls: Vec::new() })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// Sets or clears the unit cost of a live feature.
    pub async fn update_cost(
        &self,
        caller: &Caller,
        id_or_key: &str,
        unit_cost: Option<UnitCost>,
        show: impl FnOnce(&Feature) -> Kept,
    ) -> Result<Answered, FeatureError> {
        self.gate.check()?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let before = changeable(tx, &caller.namespace, id_or_key).await?;
            let meter = match before.meter_id {
                Some(id) => Some(live_meter(tx, &caller.namespace, &id.to_string()).await?),
                None => None,
            };
            let after = before.with_unit_cost(unit_cost, meter.as_ref(), now)?;
            features::update_unit_cost(tx, &after).await?;
            let change = change("feature.update", Some(&before), Some(&after));
            Ok(Done { kept: show(&after), audit: vec![change], controls: Vec::new() })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// Archives a live feature. What stands on it goes on; nothing new can.
    pub async fn archive(&self, caller: &Caller, id_or_key: &str, show: Kept) -> Result<Answered, FeatureError> {
        self.gate.check()?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let before = changeable(tx, &caller.namespace, id_or_key).await?;
            features::archive(tx, &caller.namespace, before.id, now).await?;
            let change = change("feature.archive", Some(&before), None);
            Ok(Done { kept: show, audit: vec![change], controls: Vec::new() })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// The live feature with this id or key.
    pub async fn get(&self, namespace: &str, id_or_key: &str) -> Result<Feature, FeatureError> {
        self.gate.check()?;
        let found = features::find(&self.database.client().await?, namespace, id_or_key, Lock::None).await?;
        live(found, id_or_key)
    }

    /// The live features with these keys.
    pub async fn by_keys(&self, namespace: &str, keys: &[&str]) -> Result<Vec<Feature>, FeatureError> {
        self.gate.check()?;
        Ok(features::by_keys(&self.database.client().await?, namespace, keys).await?)
    }

    /// In order of creation; archived ones when asked for.
    pub async fn list(&self, namespace: &str, include_archived: bool) -> Result<Vec<Feature>, FeatureError> {
        self.gate.check()?;
        Ok(features::list(&self.database.client().await?, namespace, include_archived).await?)
    }
}

/// The live meter, locked: it is neither deleted nor given other dimensions before this transaction ends.
async fn live_meter(tx: &Transaction<'_>, namespace: &str, id_or_slug: &str) -> Result<Meter, Stop<FeatureError>> {
    let found = meters::find(tx, namespace, id_or_slug, Lock::ForUpdate).await?;
    let live = found.filter(|stored| stored.deleted_at.is_none()).map(|stored| stored.meter);
    live.ok_or_else(|| Stop::Refused(FeatureError::MeterNotFound(id_or_slug.to_string())))
}

/// The live feature, locked.
async fn changeable(tx: &Transaction<'_>, namespace: &str, id_or_key: &str) -> Result<Feature, Stop<FeatureError>> {
    let found = features::find(tx, namespace, id_or_key, Lock::ForUpdate).await?;
    live(found, id_or_key).map_err(Stop::Refused)
}

fn live(found: Option<Feature>, id_or_key: &str) -> Result<Feature, FeatureError> {
    let live = found.filter(|feature| feature.archived_at.is_none());
    live.ok_or_else(|| FeatureError::NotFound(id_or_key.to_string()))
}

async fn insert(tx: &Transaction<'_>, feature: &Feature) -> Result<(), Stop<FeatureError>> {
    for _ in 0..TURNS_MAX {
        if features::insert(tx, feature).await? {
            return Ok(());
        }
        if let Some(other) = features::find(tx, &feature.namespace, &feature.key, Lock::None).await? {
            return Err(Stop::Refused(FeatureError::KeyTaken { id: other.id, key: other.key }));
        }
        // Somebody else has just archived it.
    }
    let text = format!("features with the key {} are made and archived over and over; retry", feature.key);
    Err(Stop::Fault(Fault::retry("database", text)))
}

fn change(operation: &'static str, before: Option<&Feature>, after: Option<&Feature>) -> Change {
    let id = after.or(before).map(|feature| feature.id.to_string());
    let entity_id = id.expect("a change has a before or an after");
    let shown = |feature: Option<&Feature>| feature.map(shown);
    Change { operation, entity_kind: "feature", entity_id, before: shown(before), after: shown(after) }
}

/// As the audit shows a feature: everything that is unset as null.
fn shown(feature: &Feature) -> String {
    let feature = json!({
        "id": feature.id.to_string(),
        "key": feature.key,
        "name": feature.name,
        "description": feature.description,
        "metadata": feature.metadata,
        "meterId": feature.meter_id.map(|id| id.to_string()),
        "meterSlug": feature.meter_slug,
        "filters": feature.filters,
        "unitCost": feature.unit_cost,
        "createdAt": feature.created_at.to_rfc3339(),
        "updatedAt": feature.updated_at.to_rfc3339(),
        "archivedAt": feature.archived_at.map(Instant::to_rfc3339),
    });
    feature.to_string()
}

#[cfg(test)]
mod tests;
