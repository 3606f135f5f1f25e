//! Rebuilding: rollups are derived, so they can be thrown away. Without them every meter is where a new one is: its
//! whole past is to be counted, by backfill, from the event files; and queries are exact all the while.

use super::blocks::{BlockScan, Stored};
use super::engine::Engine;
use super::files;
use super::ledger::{Ledger, MANIFEST, MeterState, Spread};
use crate::adapters::embedded::disk::Disk;
use crate::adapters::embedded::manifest;
use crate::domain::digest::payload_digest;
use crate::domain::fault::Fault;
use crate::domain::metering::Fate;
use crate::domain::metering::catalog::DEDUPE_WINDOW_DAYS;
use crate::domain::position::{Frontier, Position};
use crate::domain::record::Control;
use crate::domain::time::MINUTE_NS;
use crate::ports::id_index::ClaimRequest;
use std::ops::ControlFlow;
use std::path::Path;

/// Throws the rollups of a store that is not open away; the next start derives them again.
///
/// # Errors
/// Give up: retention has removed raw events, which only the rollups still know of.
pub fn reset_rollups(disk: &dyn Disk) -> Result<(), Fault> {
    let dir = Path::new(files::DIR);
    let Some(mut ledger) = manifest::load::<Ledger>(disk, dir, MANIFEST)? else { return Ok(()) };
    if let Some(removed) = ledger.removed {
        let message = format!(
            "raw events up to {} were removed by retention: the rollups are all that is left of them and cannot be \
             derived again; without bad rollups there is no need to",
            removed.last.to_rfc3339()
        );
        return Err(Fault::give_up("usage store", message));
    }
    ledger.runs.clear();
    ledger.minutes_from = i64::MIN;
    for state in ledger.meters.values_mut() {
        uncount(state, &ledger.durable);
    }
    manifest::store(disk, dir, MANIFEST, &ledger)
}

/// The line counts from the durable frontier on; everything before is the past.
fn uncount(state: &mut MeterState, durable: &Frontier) {
    for (partition, from) in &mut state.counted_from {
        *from = durable.next(*partition);
    }
    state.backfilled_to = Frontier::default();
    state.near_unique = false;
    state.spread = Spread::default();
    state.rows_removed = state.gone.is_some();
}

impl Engine {
    /// The events in files that own their ids: those that count and those in quarantine. A file at a time, by `at`.
    pub fn owners(&self, visit: &mut dyn FnMut(Vec<ClaimRequest>) -> Result<(), Fault>) -> Result<(), Fault> {
        let version = self.version();
        let windows = Windows::of(version.controls.iter().flat_map(|part| part.iter()));
        for file in version.files.iter() {
            let mut requests: Vec<(u64, ClaimRequest)> = Vec::new();
            let partition = file.summary().range.partition;
            let _ = file.scan(&BlockScan::default(), &mut |stored| {
                let window_ns = windows.at(Position::new(partition, stored.at));
                requests.extend(self.claim(&stored, window_ns).map(|request| (stored.at, request)));
                ControlFlow::Continue(())
            })?;
            requests.sort_unstable_by_key(|(at, _)| *at);
            visit(requests.into_iter().map(|(_, request)| request).collect())?;
        }
        Ok(())
    }

    fn claim(&self, stored: &Stored<'_>, window_ns: i64) -> Option<ClaimRequest> {
        let event = stored.event.filter(|_| matches!(stored.fate, Fate::Counts | Fate::Quarantined))?;
        Some(ClaimRequest {
            id: self.key.event_id(event.namespace, event.source, event.id),
            digest: payload_digest(event.event_type, event.subject, event.time_text, event.data.map(str::as_bytes)),
            position: stored.position,
            accepted_at: stored.accepted_at,
            window_ns,
        })
    }
}

/// How long ids were remembered, from which position on.
struct Windows(Vec<(Position, u32)>);

impl Windows {
    fn of<'a>(controls: impl Iterator<Item = &'a (Position, Control)>) -> Self {
        let days = controls.filter_map(|(position, control)| match control {
            Control::Settings { dedupe_window_days } => Some((*position, *dedupe_window_days)),
            _ => None,
        });
        Self(days.collect())
    }

    /// In nanoseconds.
    fn at(&self, position: Position) -> i64 {
        let earlier = |set: &&(Position, u32)| set.0.partition == position.partition && set.0.offset < position.offset;
        let days = self.0.iter().rev().find(earlier).map_or(DEDUPE_WINDOW_DAYS, |(_, days)| *days);
        i64::from(days).saturating_mul(24 * 60 * MINUTE_NS)
    }
}
