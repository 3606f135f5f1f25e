//! What the store shows of itself: numbers for the metrics, jobs for people.

use super::engine::Engine;
use super::ledger::MeterState;
use super::version::{Memory, Version};
use crate::domain::metering::query::MeterJob;
use crate::domain::record::Control;
use crate::ports::usage_store::{KnownMeter, QuarantineEntry, StoreSnapshot};

impl Engine {
    pub fn snapshot(&self) -> StoreSnapshot {
        let version = self.version();
        let (counters, work) = (version.counters, version.work);
        let run_bytes: u64 = version.runs.iter().map(|run| run.stats().bytes).sum();
        let file_bytes: u64 = version.files.iter().map(|file| file.summary().bytes).sum();
        StoreSnapshot {
            applied: version.applied.clone(),
            durable: self.durable(),
            events: counters.events,
            duplicates: counters.duplicates,
            conflicts: counters.conflicts,
            voided: version.voids.len() as u64,
            seals: work.seals,
            merges: work.merges,
            hour_rows: work.hour_rows,
            day_rows: work.day_rows,
            dropped_minute_runs: work.dropped_minute_runs,
            runs: version.runs.len() as u64,
            block_files: version.files.len() as u64,
            blocks_read: self.retired_blocks_read() + version.files.iter().map(|file| file.blocks_read()).sum::<u64>(),
            blocks_removed: work.blocks_removed,
            memory_bytes: version.memories().map(Memory::memory_bytes).sum(),
            disk_bytes: run_bytes + file_bytes,
            merge_bytes_in: work.merge_bytes_in,
            merge_bytes_out: work.merge_bytes_out,
            merge_backlog: self.merge_backlog(&version),
            unfinished_files_dropped: self.unfinished_dropped,
            jobs: jobs(&version),
        }
    }
}

/// A backfill for every meter, and a removal for every one that is gone.
fn jobs(version: &Version) -> Vec<MeterJob> {
    let mut jobs = Vec::new();
    for known in version.meters.iter() {
        let Some(state) = version.states.get(&known.meter.version.0) else { continue };
        if known.gone.is_some() {
            jobs.push(job(known, "removal", removed(version, known), state.rows_removed));
        } else if !state.near_unique {
            let (done, total) = progress(version, state);
            jobs.push(job(known, "backfill", (done, total), state.complete(&version.applied)));
        }
    }
    jobs
}

fn job(known: &KnownMeter, kind: &'static str, (done, total): (u64, u64), finished: bool) -> MeterJob {
    MeterJob {
        slug: known.meter.slug.clone(),
        meter_id: known.meter.id.to_string(),
        version: known.meter.version.to_string(),
        kind,
        done: if finished { total } else { done },
        total,
        finished,
    }
}

/// Minute, hour and day rows in runs without a row of this meter, and in all runs. A run whose index cannot be read
/// counts as one that has some: nothing is called done that may not be.
fn removed(version: &Version, known: &KnownMeter) -> (u64, u64) {
    let (mut done, mut total) = (0, 0);
    for run in version.runs.iter() {
        let stats = run.stats();
        let rows = stats.minute_rows + stats.hour_rows + stats.day_rows;
        total += rows;
        if run.has(known.meter.version.0).is_ok_and(|has| !has) {
            done += rows;
        }
    }
    (done, total)
}

/// Events in files that lie below what the line counted: done, and in all. A file counts whole once it is read.
fn progress(version: &Version, state: &MeterState) -> (u64, u64) {
    let (mut done, mut total) = (0, 0);
    for file in version.files.iter() {
        let (range, events) = (file.summary().range, file.summary().events);
        let past = state.missing(range.partition, version.applied.next(range.partition)).end;
        if range.from >= past {
            continue;
        }
        total += events;
        if range.to.min(past) <= state.backfilled_to.next(range.partition) {
            done += events;
        }
    }
    (done, total)
}

/// Every quarantined event, in position order of its record, and what became of it.
pub fn quarantine(version: &Version) -> Vec<QuarantineEntry> {
    let mut entries: Vec<QuarantineEntry> = Vec::new();
    for (position, control) in version.controls.iter().flat_map(|part| part.iter()) {
        match control {
            Control::Quarantined(event) if !entries.iter().any(|known| known.event.position == event.position) => {
                let event = event.clone();
                entries.push(QuarantineEntry { recorded_at: *position, event, redriven: None, dropped: None });
            }
            Control::Redriven { position: original, .. } => {
                let entry = entries.iter_mut().find(|entry| entry.event.position == *original);
                entry.into_iter().for_each(|entry| entry.redriven = entry.redriven.or(Some(*position)));
            }
            Control::Dropped { position: original, .. } => {
                let entry = entries.iter_mut().find(|entry| entry.event.position == *original);
                entry.into_iter().for_each(|entry| entry.dropped = entry.dropped.or(Some(*position)));
            }
            _ => {}
        }
    }
    entries
}
