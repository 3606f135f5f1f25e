//! Applying: by position, whole or not at all. Rows are computed apart; then one step that cannot fail publishes them.

use super::EmbeddedUsage;
use super::engine::Engine;
use super::rollup::RowBuilder;
use super::version::States;
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use crate::domain::position::Standing;
use crate::domain::record::Control;
use crate::ports::usage_store::ApplyError;
use std::collections::BTreeMap;
use std::sync::Arc;

impl EmbeddedUsage {
    pub(super) async fn apply_in_order(&self, mut batch: Batch) -> Result<(), ApplyError> {
        let mut builder = self.engine.applying.lock().await;
        self.engine.room().await?;
        let applied = self.engine.version().applied.clone();
        match applied.standing(&batch.range) {
            Standing::Below => return Ok(()),
            Standing::Gap => return Err(ApplyError::Gap { range: batch.range, applied }),
            Standing::Across => batch.drop_before(applied.next(batch.range.partition)),
            Standing::Next => {}
        }
        self.engine.take(batch, &mut builder);
        Ok(())
    }
}

impl Engine {
    /// Waits while too much is waiting for the sealing thread.
    async fn room(&self) -> Result<(), Fault> {
        let mut outcomes = self.sealed.subscribe();
        loop {
            outcomes.borrow_and_update();
            self.closed()?;
            if self.version().frozen.len() <= self.settings.pending_seals_max {
                return Ok(());
            }
            if let Some(fault) = self.standing_fault() {
                return Err(fault);
            }
            if outcomes.changed().await.is_err() {
                return Err(Fault::give_up("usage store", "the store is closed"));
            }
        }
    }

    /// Computes the batch's rows, then publishes both.
    fn take(&self, mut batch: Batch, builder: &mut RowBuilder) {
        drop_rowless(&mut batch, &self.version().states);
        // Should computing panic, what it left behind must not be used again.
        let mut lent = std::mem::take(builder);
        let rows = lent.rows(&batch);
        *builder = lent;
        let measured = measured(&batch);
        for chunk in &mut batch.chunks {
            // The rows have them; the tail is kept for its events.
            (chunk.measures, chunk.texts) = (Vec::new(), Vec::new());
        }
        let changes_meters = batch
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.controls)
            .any(|(_, control)| matches!(control, Control::MeterLive(_) | Control::MeterGone { .. }));
        let (applied, froze) = self.publish(|version| {
            version.take(Arc::new(batch), rows, measured);
            let settings = &self.settings;
            let full = version.live.span >= settings.seal_events_max || version.live.bytes >= settings.seal_bytes_max;
            (version.applied.clone(), full && version.freeze())
        });
        if froze {
            self.sealing.ring();
        }
        if changes_meters {
            self.ring_workers();
        }
        self.applied.send_replace(applied);
    }
}

/// Meters that keep no rows need none made.
fn drop_rowless(batch: &mut Batch, states: &States) {
    if !states.values().any(|state| state.near_unique) {
        return;
    }
    for chunk in &mut batch.chunks {
        let rowless: Vec<bool> = chunk
            .catalog
            .meters
            .iter()
            .map(|live| states.get(&live.meter.version.0).is_some_and(|state| state.near_unique))
            .collect();
        chunk.measures.retain(|measure| !rowless[measure.meter as usize]);
    }
}

/// How many events each meter version measured.
fn measured(batch: &Batch) -> BTreeMap<u128, u64> {
    let mut measured = BTreeMap::new();
    for chunk in &batch.chunks {
        let mut counts = vec![0u64; chunk.catalog.meters.len()];
        chunk.measures.iter().for_each(|measure| counts[measure.meter as usize] += 1);
        for (live, count) in chunk.catalog.meters.iter().zip(counts).filter(|(_, count)| *count > 0) {
            *measured.entry(live.meter.version.0).or_default() += count;
        }
    }
    measured
}
