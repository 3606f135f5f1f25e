//! Meters: found, listed, created and deleted.
//!
//! A meter lives in the log: creating one appends `meter_live`, deleting one `meter_gone`, and what the store has
//! applied is what there is. An id finds deleted meters too, a slug only live ones; a slug is free again after delete.

use super::controls::{Changed, Controls};
use crate::domain::metering::Meter;
use crate::domain::metering::meter::{MeterDraft, MeterRefusal};
use crate::domain::record::Control;
use crate::domain::time::Instant;
use crate::ports::event_log::AppendError;
use crate::ports::usage_store::KnownMeter;
use crate::ports::{Clock, UsageStore};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use ulid::Ulid;

/// Why a meter operation was refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MeterError {
    #[error("meter not found: {0}")]
    NotFound(String),
    #[error(transparent)]
    Refused(#[from] MeterRefusal),
    #[error("meter with the same slug already exists")]
    SlugTaken,
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// The meters of all namespaces.
pub struct Meters {
    store: Arc<dyn UsageStore>,
    clock: Arc<dyn Clock>,
    controls: Arc<Controls>,
}

impl Meters {
    pub fn new(store: Arc<dyn UsageStore>, clock: Arc<dyn Clock>, controls: Arc<Controls>) -> Self {
        Self { store, clock, controls }
    }

    /// The newest version of each meter in order of creation; deleted ones when asked for.
    pub fn list(&self, namespace: &str, include_deleted: bool) -> Vec<KnownMeter> {
        let mut found: Vec<KnownMeter> = Vec::new();
        for known in self.store.meters().iter().filter(|known| known.meter.namespace == namespace) {
            match found.iter_mut().find(|earlier| earlier.meter.id == known.meter.id) {
                Some(earlier) => *earlier = known.clone(),
                None => found.push(known.clone()),
            }
        }
        found.retain(|known| include_deleted || known.gone.is_none());
        found
    }

    /// By id, deleted or not; otherwise by slug, live only.
    pub fn find(&self, namespace: &str, id_or_slug: &str) -> Result<KnownMeter, MeterError> {
        let mut all = self.list(namespace, true);
        let by_id = all.iter().position(|known| known.meter.id.to_string() == id_or_slug);
        let by_slug = || all.iter().position(|known| known.gone.is_none() && known.meter.slug == id_or_slug);
        let at = by_id.or_else(by_slug).ok_or_else(|| MeterError::NotFound(id_or_slug.to_string()))?;
        Ok(all.swap_remove(at))
    }

    /// Creates a meter. It counts everything, the past by backfill.
    pub async fn create(&self, namespace: &str, draft: MeterDraft) -> Result<(Arc<Meter>, Changed), MeterError> {
        let now = self.clock.now();
        let meter = Arc::new(draft.check(namespace, new_id(now), new_id(now), now)?);
        let turn = self.controls.turn().await?;
        if self.list(namespace, false).iter().any(|known| known.meter.slug == meter.slug) {
            return Err(MeterError::SlugTaken);
        }
        let changed = turn.make(&Control::MeterLive(meter.clone())).await?;
        Ok((meter, changed))
    }

    /// Deletes a meter. `None`: it was deleted before, and was named by its id.
    pub async fn delete(&self, namespace: &str, id_or_slug: &str) -> Result<Option<Changed>, MeterError> {
        let turn = self.controls.turn().await?;
        let known = self.find(namespace, id_or_slug)?;
        if known.gone.is_some() {
            return Ok(None);
        }
        let gone =
            Control::MeterGone { namespace: namespace.to_string(), version: known.meter.version, at: self.clock.now() };
        Ok(Some(turn.make(&gone).await?))
    }
}

/// A new id whose time part is `now`; the clock before 1970 counts as 1970.
fn new_id(now: Instant) -> Ulid {
    let since_epoch = Duration::from_nanos(u64::try_from(now.nanos()).unwrap_or_default());
    Ulid::from_datetime(SystemTime::UNIX_EPOCH + since_epoch)
}
