//! Meters: created, changed and deleted, found and listed.
//!
//! What a meter is stands in PostgreSQL; that it counts, in the log. A change commits the row together with the control
//! records it makes, and answers once the line has them. A meter is looked at in PostgreSQL; to query usage and to judge
//! events the catalog is enough, so those go on while PostgreSQL is away.
//!
//! An id finds deleted meters too, a slug only live ones; a slug is free again after delete.

use super::gate::Gate;
use super::ids::Ids;
use super::writes::{Answered, Caller, Change, Done, Kept, Stop, WriteError, Writes};
use crate::domain::entitlement::record::Entitlement;
use crate::domain::fault::Fault;
use crate::domain::metering::Meter;
use crate::domain::metering::meter::{MeterDraft, MeterRefusal, check_reserved};
use crate::domain::metering::reserved::ReservedEventTypes;
use crate::domain::record::Control;
use crate::domain::time::Instant;
use crate::ports::UsageStore;
use crate::ports::line::Forget;
use crate::ports::usage_store::KnownMeter;
use crate::store::{Database, Lock, Transaction, entitlements, features, meters};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use ulid::Ulid;

pub use crate::domain::metering::meter::MeterChanges;
pub use crate::store::meters::StoredMeter;

/// `[metering]` of `weir.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Event types that no meter may count: patterns in which `*` stands for any characters.
    pub reserved_event_types: ReservedEventTypes,
}

/// Why a meter operation was not answered. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MeterError {
    #[error("meter not found: {0}")]
    NotFound(String),
    #[error(transparent)]
    Refused(#[from] MeterRefusal),
    #[error("meter with the same slug already exists")]
    SlugTaken,
    #[error("meter has active features and cannot be deleted")]
    HasFeatures,
    /// Through features that are archived.
    #[error("meter has active entitlements and cannot be deleted")]
    HasEntitlements,
    /// Live features only; what is archived keeps the dimensions it was archived with.
    #[error("meter group by: {dimension} cannot be dropped because it is used by feature: {feature}")]
    DimensionUsed { dimension: String, feature: String },
    /// A read failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A write failed; its own refusals are those above.
    #[error(transparent)]
    Write(WriteError<Infallible>),
}

impl From<WriteError<MeterError>> for MeterError {
    fn from(error: WriteError<MeterError>) -> Self {
        error.refusal().unwrap_or_else(Self::Write)
    }
}

impl From<MeterRefusal> for Stop<MeterError> {
    fn from(refusal: MeterRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// The meters of all namespaces.
pub struct Meters {
    database: Database,
    writes: Arc<Writes>,
    store: Arc<dyn UsageStore>,
    gate: Arc<Gate>,
    forget: Arc<dyn Forget>,
    reserved: ReservedEventTypes,
    ids: Ids,
}

impl Meters {
    pub fn new(
        database: Database,
        writes: Arc<Writes>,
        store: Arc<dyn UsageStore>,
        gate: Arc<Gate>,
        forget: Arc<dyn Forget>,
        settings: Settings,
    ) -> Self {
        Self { database, writes, store, gate, forget, reserved: settings.reserved_event_types, ids: Ids::default() }
    }

    /// Creates a meter. It counts everything, the past by backfill. `reserved`: dimension names that the caller's API
    /// gives another meaning. `show` makes the answer, which a repeat with the same key gets again.
    pub async fn create(
        &self,
        caller: &Caller,
        draft: MeterDraft,
        reserved: &[&str],
        show: impl FnOnce(&StoredMeter) -> Kept,
    ) -> Result<Answered, MeterError> {
        self.gate.check()?;
        check_reserved(&draft.group_by, reserved)?;
        self.insert(caller, draft, show).await
    }

    /// [`Meters::create`], also while weir starts.
    pub(super) async fn insert(
        &self,
        caller: &Caller,
        draft: MeterDraft,
        show: impl FnOnce(&StoredMeter) -> Kept,
    ) -> Result<Answered, MeterError> {
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let meter = draft.check(&caller.namespace, self.ids.next(now), self.ids.next(now), now)?;
            self.reserved.check(&meter.event_type)?;
            if !meters::insert(tx, &meter).await? {
                return Err(Stop::Refused(MeterError::SlugTaken));
            }
            let stored = StoredMeter { meter, deleted_at: None };
            let change = change("meter.create", None, Some(&stored));
            let controls = vec![Control::MeterLive(Arc::new(stored.meter.clone()))];
            Ok(Done { kept: show(&stored), audit: vec![change], controls })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// Changes a meter, also a deleted one when it is named by its id. Other dimensions make another version, which
    /// counts everything anew, the past by backfill.
    pub async fn update(
        &self,
        caller: &Caller,
        id_or_slug: &str,
        changes: MeterChanges,
        reserved: &[&str],
        show: impl FnOnce(&StoredMeter) -> Kept,
    ) -> Result<Answered, MeterError> {
        self.gate.check()?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let before = self.changeable(tx, &caller.namespace, id_or_slug).await?;
            check_reserved(&changes.group_by, reserved)?;
            let meter = changes.apply(&before.meter, self.ids.next(now), now)?;
            check_features_keep_dimensions(tx, &meter).await?;
            meters::update(tx, &meter).await?;
            let after = StoredMeter { meter, deleted_at: before.deleted_at };
            let change = change("meter.update", Some(&before), Some(&after));
            Ok(Done { kept: show(&after), audit: vec![change], controls: succession(&before, &after, now) })
        };
        let written = self.writes.write(caller, work).await;
        // Other dimensions make other balances of the features that filter by them.
        if matches!(
            &written,
            Ok(Answered { effect: Some(_), .. }) | Err(WriteError::Unknown(_) | WriteError::NotLive(_))
        ) {
            self.forget.all(&caller.namespace).await;
        }
        Ok(written?)
    }

    /// Deletes a meter. One that is deleted already, and named by its id, stays as it is.
    pub async fn delete(&self, caller: &Caller, id_or_slug: &str, show: Kept) -> Result<Answered, MeterError> {
        self.gate.check()?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let before = self.changeable(tx, &caller.namespace, id_or_slug).await?;
            if before.deleted_at.is_some() {
                return Ok(Done { kept: show, audit: Vec::new(), controls: Vec::new() });
            }
            check_nothing_stands_on(tx, &before.meter, now).await?;
            meters::delete(tx, &caller.namespace, before.meter.id, now).await?;
            let change = change("meter.delete", Some(&before), None);
            Ok(Done { kept: show, audit: vec![change], controls: vec![gone(&before.meter, now)] })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// The meter, locked, unless it counts a reserved event type.
    async fn changeable(
        &self,
        tx: &Transaction<'_>,
        namespace: &str,
        id_or_slug: &str,
    ) -> Result<StoredMeter, Stop<MeterError>> {
        let found = meters::find(tx, namespace, id_or_slug, Lock::ForUpdate).await?;
        let found = found.ok_or_else(|| Stop::Refused(MeterError::NotFound(id_or_slug.to_string())))?;
        self.reserved.check(&found.meter.event_type)?;
        Ok(found)
    }

    /// By id, deleted or not; otherwise by slug, live only.
    pub async fn get(&self, namespace: &str, id_or_slug: &str) -> Result<StoredMeter, MeterError> {
        self.gate.check()?;
        self.find(namespace, id_or_slug).await
    }

    /// [`Meters::get`], also while weir starts.
    pub(super) async fn find(&self, namespace: &str, id_or_slug: &str) -> Result<StoredMeter, MeterError> {
        let found = meters::find(&self.database.client().await?, namespace, id_or_slug, Lock::None).await?;
        found.ok_or_else(|| MeterError::NotFound(id_or_slug.to_string()))
    }

    /// In order of creation; deleted ones when asked for.
    pub async fn list(&self, namespace: &str, include_deleted: bool) -> Result<Vec<StoredMeter>, MeterError> {
        self.gate.check()?;
        Ok(meters::list(&self.database.client().await?, namespace, include_deleted).await?)
    }

    /// What the catalog knows, by id, deleted or not; otherwise by slug, live only. Name, description and metadata may
    /// be older than PostgreSQL has them.
    pub fn known(&self, namespace: &str, id_or_slug: &str) -> Result<KnownMeter, MeterError> {
        self.gate.check()?;
        let catalog = self.store.meters();
        let mut here = catalog.iter().filter(|known| known.meter.namespace == namespace);
        // Ids are as exact as slugs: one in lower case names nothing.
        let id = Ulid::from_string(id_or_slug).ok().filter(|id| id.to_string() == id_or_slug);
        let by_id = id.and_then(|id| here.clone().rfind(|known| known.meter.id == id));
        let is_it = |known: &&KnownMeter| known.gone.is_none() && known.meter.slug == id_or_slug;
        // A deleted meter that gets other dimensions has a live version for a moment; who has its slug now is younger.
        let found = by_id.or_else(|| here.by_ref().filter(is_it).max_by_key(|known| known.meter.created_at));
        found.cloned().ok_or_else(|| MeterError::NotFound(id_or_slug.to_string()))
    }

    /// The live meters as the catalog knows them: what events are judged by.
    pub fn live(&self, namespace: &str) -> Vec<KnownMeter> {
        let mut newest = newest_versions(&self.store.meters());
        newest.retain(|known| known.meter.namespace == namespace && known.gone.is_none());
        newest
    }
}

/// The newest version of each meter, by the order of their `meter_live` records.
pub(super) fn newest_versions(catalog: &[KnownMeter]) -> Vec<KnownMeter> {
    let mut seen = HashSet::new();
    let mut newest: Vec<KnownMeter> =
        catalog.iter().rev().filter(|known| seen.insert(known.meter.id)).cloned().collect();
    newest.reverse();
    newest
}

/// A live feature's filters and cost are read from dimensions; a meter that lost one would count nothing for it.
async fn check_features_keep_dimensions(tx: &Transaction<'_>, meter: &Meter) -> Result<(), Stop<MeterError>> {
    for feature in features::of_meter(tx, &meter.namespace, meter.id).await? {
        if let Some(dimension) = feature.dimensions().find(|dimension| !meter.group_by.contains_key(*dimension)) {
            let (dimension, feature) = (dimension.to_string(), feature.key.clone());
            return Err(Stop::Refused(MeterError::DimensionUsed { dimension, feature }));
        }
    }
    Ok(())
}

/// A meter stays while a live feature counts by it, or something unended by an archived one.
async fn check_nothing_stands_on(tx: &Transaction<'_>, meter: &Meter, now: Instant) -> Result<(), Stop<MeterError>> {
    if !features::of_meter(tx, &meter.namespace, meter.id).await?.is_empty() {
        return Err(Stop::Refused(MeterError::HasFeatures));
    }
    let archived = features::ever_of_meter(tx, &meter.namespace, meter.id).await?;
    let standing = entitlements::using_features(tx, &meter.namespace, &archived).await?;
    let unended = |entitlement: &Entitlement| {
        entitlement.deleted_at.is_none() && entitlement.active_to.is_none_or(|active_to| active_to > now)
    };
    match standing.iter().any(unended) {
        true => Err(Stop::Refused(MeterError::HasEntitlements)),
        false => Ok(()),
    }
}

/// What the line is told of an update: nothing, or that another version takes over. The new one goes live first, so
/// that at no moment the meter is missing; one that was deleted ends at once.
fn succession(before: &StoredMeter, after: &StoredMeter, now: Instant) -> Vec<Control> {
    if before.meter.version == after.meter.version {
        return Vec::new();
    }
    let ends = match after.deleted_at {
        None => gone(&before.meter, now),
        Some(deleted_at) => gone(&after.meter, deleted_at),
    };
    vec![Control::MeterLive(Arc::new(after.meter.clone())), ends]
}

pub(super) fn gone(meter: &Meter, at: Instant) -> Control {
    Control::MeterGone { namespace: meter.namespace.clone(), version: meter.version, at }
}

fn change(operation: &'static str, before: Option<&StoredMeter>, after: Option<&StoredMeter>) -> Change {
    let id = after.or(before).map(|stored| stored.meter.id.to_string());
    let entity_id = id.expect("a change has a before or an after");
    let shown = |stored: Option<&StoredMeter>| stored.map(shown);
    Change { operation, entity_kind: "meter", entity_id, before: shown(before), after: shown(after) }
}

/// As the audit shows a meter: the names of v1, everything that is unset as null.
fn shown(StoredMeter { meter, deleted_at }: &StoredMeter) -> String {
    let meter = json!({
        "id": meter.id.to_string(),
        "slug": meter.slug,
        "name": meter.name,
        "description": meter.description,
        "aggregation": meter.aggregation,
        "eventType": meter.event_type,
        "eventFrom": meter.event_from.map(Instant::to_rfc3339),
        "valueProperty": meter.value_property,
        "groupBy": meter.group_by,
        "metadata": meter.metadata,
        "createdAt": meter.created_at.to_rfc3339(),
        "updatedAt": meter.updated_at.to_rfc3339(),
        "deletedAt": deleted_at.map(Instant::to_rfc3339),
    });
    meter.to_string()
}

#[cfg(test)]
mod tests;
