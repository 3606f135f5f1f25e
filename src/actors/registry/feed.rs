//! The feed: what a batch of the line means to trackers.
//!
//! The writer takes the parts out of a batch before the store gets it, and hands them over once the store has it.
//! Taking notes where the batch ends before it looks at names: a tracker that registers its names afterwards knows that
//! it may have missed the batch, and waits until the store has it. Handing over goes by position: a stretch that comes
//! again is dropped, and one that is missing drops every tracker.

use super::Registry;
use super::names::Place;
use crate::actors::tracker::{Delta, Part};
use crate::domain::metering::{Batch, Chunk, Fate};
use crate::domain::position::{Range, Standing};
use crate::domain::record::Control;
use std::collections::HashMap;
use std::sync::PoisonError;
use ulid::Ulid;

/// What a batch means to the trackers.
pub struct Parts {
    range: Range,
    /// By customer.
    parts: HashMap<Ulid, (Place, Vec<Delta>)>,
    /// Whether meters change in it.
    changes_meters: bool,
}

impl Registry {
    /// Takes out of a batch what concerns trackers, before the store applies it.
    pub fn take(&self, batch: &Batch) -> Parts {
        let range = batch.range;
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).raise(range.partition, range.to);
        let mut parts = Parts { range, parts: HashMap::new(), changes_meters: false };
        let anybody = !self.names.is_empty();
        for chunk in &batch.chunks {
            let changes = |control: &Control| matches!(control, Control::MeterLive(_) | Control::MeterGone { .. });
            parts.changes_meters |= chunk.controls.iter().any(|(_, control)| changes(control));
            if anybody {
                self.take_chunk(chunk, &mut parts.parts);
            }
        }
        parts
    }

    fn take_chunk(&self, chunk: &Chunk, parts: &mut HashMap<Ulid, (Place, Vec<Delta>)>) {
        for measures in chunk.measures.chunk_by(|a, b| a.event == b.event) {
            let event = &chunk.events[measures[0].event as usize];
            if event.fate != Fate::Counts || measures.iter().all(|measure| measure.reading.is_err()) {
                continue;
            }
            // The validator has read it: it can be read.
            let Ok(view) = chunk.view(event) else { continue };
            let Some(place) = self.names.get(self.acks.name(view.namespace, view.subject)) else { continue };
            let (_, deltas) = parts.entry(place.seat.customer).or_insert_with(|| (place, Vec::new()));
            let read = measures.iter().filter_map(|measure| measure.reading.ok().map(|reading| (measure, reading)));
            deltas.extend(read.map(|(measure, reading)| Delta {
                offset: event.at,
                at: view.instant(event.accepted_at),
                meter: chunk.catalog.meters[measure.meter as usize].meter.version,
                reading,
                groups: chunk.groups(measure).into(),
            }));
        }
    }

    /// Hands over what was taken, once the store has applied the batch.
    pub fn route(&self, parts: Parts) {
        let Parts { range, parts, changes_meters } = parts;
        let routed = self.routed.borrow().clone();
        match routed.standing(&range) {
            Standing::Below => return,
            Standing::Gap => {
                self.stats.gaps.inc();
                self.forget_all(None);
            }
            Standing::Next | Standing::Across if changes_meters => self.forget_all(None),
            Standing::Next | Standing::Across => {
                let first = routed.next(range.partition);
                parts.into_values().for_each(|(place, deltas)| self.hand_over(range, first, place, deltas));
            }
        }
        self.routed.send_modify(|routed| routed.raise(range.partition, range.to));
    }

    fn hand_over(&self, range: Range, first: u64, place: Place, mut deltas: Vec<Delta>) {
        deltas.retain(|delta| delta.offset >= first);
        if deltas.is_empty() {
            return;
        }
        self.stats.deltas.add(deltas.len() as u64);
        let part =
            Part { partition: range.partition, from: first.max(range.from), deltas, waits: self.stats.waiting() };
        if place.addr.try_send(part).is_err() {
            // It is gone, or so far behind that it is cheaper to begin anew.
            self.end(place.seat);
        }
        self.changed(place.seat.customer);
    }

    /// Tells those who watch a customer.
    pub(super) fn changed(&self, customer: Ulid) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = watched.get(&customer) {
            watch.send_modify(|changes| *changes += 1);
        }
    }
}
