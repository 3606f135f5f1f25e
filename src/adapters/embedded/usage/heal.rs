//! Healing: rows that still count voided events are derived again from raw events, so that these may go.
//!
//! What is derived is the whole day of each subject concerned, at every level and for every meter that reads the
//! events: of what lies in files, which is what the runs know. All runs that have rows of those days are written anew
//! without them, and a run of fresh rows joins them, in one commit. Rows that are still in memory are of later events
//! and stay. A crash leaves everything as it was.

use super::backfill::{BATCH_BYTES_MAX, PastEvents};
use super::blocks::{BlockFile, BlockScan};
use super::engine::Engine;
use super::files::Kept;
use super::merge::Healed;
use super::retention::derives_from;
use super::rollup::{Days, MemoryRows, RowBuilder, Run};
use super::seal::NewRun;
use super::tiers::Tiers;
use super::version::Version;
use super::voids::{Voids, day_of, is_read_by};
use crate::domain::fault::Fault;
use crate::domain::metering::Meter;
use crate::domain::metering::plan::Minutes;
use crate::domain::metering::time_filter::joined;
use crate::domain::position::Position;
use crate::domain::record::Void;
use crate::domain::time::MINUTE_NS;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Days of one subject whose rows of some meters are derived again.
struct Wound {
    meters: Vec<Arc<Meter>>,
    subject: [String; 1],
    /// In nanoseconds, ascending, disjoint.
    days: Vec<Range<i64>>,
    /// The same in minutes.
    minutes: Vec<Minutes>,
}

impl Engine {
    /// Heals what is derived from this file. False when that has to wait: for a void to be durable, or for a meter
    /// whose past is still being counted.
    pub fn heal(&self, file: &BlockFile) -> Result<bool, Fault> {
        // In this order: the version then has every file of what is durable.
        let durable = self.durable();
        let version = self.version();
        // Of voids that a crash may undo the rows must know nothing.
        let voids = version.voids.below(&durable);
        let heals = |void: &&Void| durable.has(void.position) && derives_from(&version, void, file);
        let healing: Vec<&Void> = voids.stale().filter(heals).collect();
        let Some(wounds) = wounds(&version, &healing).filter(|_| !healing.is_empty()) else { return Ok(false) };
        let events: BTreeSet<Position> = healing.iter().map(|void| void.position).collect();
        let rows = self.fresh_rows(&version, &voids, &wounds)?;
        let old: Vec<Arc<Kept<Run>>> = version.runs.iter().filter(|run| has_rows(run, &wounds)).cloned().collect();
        let merged = self.merge_without(&old, &days(&wounds))?;
        self.swap_runs(&old, &merged, &Healed { rows, events })?;
        Ok(true)
    }

    /// The rows of the days, without the voided events; `None` when nothing else happened.
    fn fresh_rows(&self, version: &Version, voids: &Voids, wounds: &[Wound]) -> Result<Option<NewRun>, Fault> {
        let mut rows = Tiers::default();
        for wound in wounds {
            self.derive(version, voids, wound, &mut rows)?;
        }
        self.write_run(&MemoryRows::merge(&rows.parts()), &self.durable())
    }

    fn derive(
        &self,
        version: &Version,
        voids: &Voids,
        wound: &Wound,
        rows: &mut Tiers<MemoryRows>,
    ) -> Result<(), Fault> {
        let meter = &wound.meters[0];
        let scan = BlockScan {
            namespace: Some(&meter.namespace),
            event_type: Some(&meter.event_type),
            subjects: Some(&wound.subject),
            times: Some(&wound.days),
            counted_only: true,
            voids: Some(voids),
            ..BlockScan::default()
        };
        let mut builder = RowBuilder::new();
        for file in version.files.iter() {
            let mut past = PastEvents::of(&wound.meters, &self.key, file.summary().range.partition);
            let _ = file.scan(&scan, &mut |stored| {
                stored.event.iter().for_each(|event| past.push(&stored, event));
                if past.bytes.len() >= BATCH_BYTES_MAX {
                    rows.push(builder.rows(&past.take()));
                }
                ControlFlow::Continue(())
            })?;
            rows.push(builder.rows(&past.take()));
        }
        Ok(())
    }
}

/// What the runs are to forget.
fn days(wounds: &[Wound]) -> Days {
    let mut days = Days::new();
    for Wound { meters, subject: [subject], minutes, .. } in wounds {
        for meter in meters {
            days.entry(meter.version.0).or_default().insert(subject.clone().into_bytes(), minutes.clone());
        }
    }
    days
}

/// What is to be derived again, by namespace, type and subject; `None` while a meter concerned is not complete.
fn wounds(version: &Version, healing: &[&Void]) -> Option<Vec<Wound>> {
    let mut days: BTreeMap<(&str, &str, &str), Vec<&Void>> = BTreeMap::new();
    for void in healing {
        days.entry((&void.namespace, &void.event_type, &void.subject)).or_default().push(void);
    }
    let mut wounds = Vec::new();
    for ((_, _, subject), voids) in days {
        let mut meters = Vec::new();
        for known in version.meters.iter().filter(|known| is_read_by(voids[0], &known.meter)) {
            let state = version.states.get(&known.meter.version.0).filter(|state| !state.rowless());
            if state.is_some_and(|state| !state.complete(&version.applied)) {
                return None;
            }
            meters.extend(state.map(|_| known.meter.clone()));
        }
        let days = joined(voids.iter().map(|void| day_of(void.time)).collect());
        let minutes = days.iter().map(|day| day.start / MINUTE_NS..day.end / MINUTE_NS).collect();
        if !meters.is_empty() {
            wounds.push(Wound { meters, subject: [subject.to_owned()], days, minutes });
        }
    }
    Some(wounds)
}

fn has_rows(run: &Run, wounds: &[Wound]) -> bool {
    let meets = |bounds: &Minutes, days: &[Minutes]| days.iter().any(|d| d.start < bounds.end && bounds.start < d.end);
    wounds.iter().any(|wound| {
        let bounds = |meter: &Arc<Meter>| run.bounds(meter.version.0).ok().flatten();
        wound.meters.iter().filter_map(bounds).any(|bounds| meets(&bounds, &wound.minutes))
    })
}
