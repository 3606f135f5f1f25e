//! Sealing: what memory holds becomes event files and a run, on a thread of its own. Order: files, control records,
//! id index, manifest, then the version without the frozen memory. A crash anywhere leaves the old manifest or the new.

use super::bell::lock;
use super::blocks::BlockFile;
use super::engine::Engine;
use super::files::{self, FileKind, Kept};
use super::ledger::{RunEntry, Spread, names};
use super::rollup::{MemoryRows, RowScan, Run};
use super::version::{Frozen, States, Version, Waiting};
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use crate::domain::metering::plan::Minutes;
use crate::domain::position::Frontier;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every minute that an instant can lie in.
pub const ALL_MINUTES: Minutes = -153_722_868..153_722_868;

/// A run that is written and not listed yet.
pub struct NewRun {
    pub run: Arc<Kept<Run>>,
    pub entry: RunEntry,
}

impl Engine {
    /// Seals the oldest frozen memory; false when there is none. On a fault everything is as before, and may be tried
    /// again.
    pub fn seal_oldest(&self) -> Result<bool, Fault> {
        let Some(frozen) = self.version().frozen.first().cloned() else { return Ok(false) };
        let events = self.write_events(&frozen)?;
        let rows = MemoryRows::merge(&frozen.memory.rows.parts());
        let run = self.write_run(&rows, &frozen.covers)?;
        self.keep_controls(&frozen)?;
        let index = (self.before_commit)(&frozen.covers)?;
        let spreads = spreads(&frozen, &rows);
        self.commit(
            |ledger| {
                ledger.durable = frozen.covers.clone();
                ledger.index = index;
                ledger.counters = frozen.counters;
                ledger.work.seals += 1;
                ledger.files.extend(names(&events));
                ledger.runs.extend(run.iter().map(|new| new.entry.clone()));
            },
            |states| self.take_spreads(states, &spreads),
            |version| {
                version.frozen.remove(0);
                version.add_files(&events);
                version.add_run(run.as_ref());
            },
        )?;
        self.warn_of_near_unique(&spreads);
        Ok(true)
    }

    /// One event file per partition that has events.
    fn write_events(&self, frozen: &Frozen) -> Result<Vec<Arc<Kept<BlockFile>>>, Fault> {
        let mut partitions: BTreeMap<u32, Vec<Arc<Batch>>> = BTreeMap::new();
        for Waiting { batch, .. } in frozen.memory.batches() {
            partitions.entry(batch.range.partition).or_default().push(batch.clone());
        }
        let with_events = partitions.into_values().filter(|batches| batches.iter().any(|batch| batch.events() > 0));
        let write = |batches: Vec<Arc<Batch>>| {
            let name = self.new_name(FileKind::Events);
            BlockFile::write(&*self.disk, &files::path(&name), &batches)?;
            self.open_events(name)
        };
        with_events.map(write).collect()
    }

    /// A run of these rows; `None` when there are none.
    pub fn write_run(&self, rows: &MemoryRows, covers: &Frontier) -> Result<Option<NewRun>, Fault> {
        if rows.rows() == 0 {
            return Ok(None);
        }
        let name = self.new_name(FileKind::Run);
        Run::write(&*self.disk, &files::path(&name), rows, covers)?;
        self.new_run(name, i64::MIN).map(Some)
    }

    /// Opens a run that was just written, and finds out where its minute rows begin.
    pub fn new_run(&self, name: String, minutes_from: i64) -> Result<NewRun, Fault> {
        let run = self.open_run(name.clone())?;
        let mut oldest: Option<i64> = None;
        for version in self.version().states.keys() {
            let bounds = run.bounds(*version)?;
            oldest = [oldest, bounds.map(|bounds| bounds.start)].into_iter().flatten().min();
        }
        let oldest_minute = oldest.map_or(minutes_from, |oldest| oldest.max(minutes_from));
        Ok(NewRun { run, entry: RunEntry { name, oldest_minute } })
    }

    fn keep_controls(&self, frozen: &Frozen) -> Result<(), Fault> {
        let controls: Vec<_> = frozen.memory.controls.iter().flat_map(|part| part.iter().cloned()).collect();
        lock(&self.control_file).append(&controls)
    }

    fn take_spreads(&self, states: &mut States, spreads: &BTreeMap<u128, Spread>) {
        for (version, spread) in spreads {
            if let Some(state) = states.get_mut(version) {
                state.spread.join(spread);
                state.near_unique |= state.spread.near_unique(self.settings.near_unique_min_events);
            }
        }
    }

    fn warn_of_near_unique(&self, spreads: &BTreeMap<u128, Spread>) {
        let version = self.version();
        let found = |known: &u128| version.states.get(known).is_some_and(|state| state.near_unique);
        for known in version.meters.iter().filter(|known| found(&known.meter.version.0)) {
            if spreads.contains_key(&known.meter.version.0) {
                warn_near_unique(&known.meter.slug);
            }
        }
    }
}

/// Names the meter and what to do about it.
pub fn warn_near_unique(slug: &str) {
    tracing::warn!(
        meter = slug,
        "nearly every event is a series of its own: the meter keeps no rollups and is answered from raw events, slowly; \
         take the group-by whose values do not repeat out of it"
    );
}

impl Version {
    pub fn add_files(&mut self, files: &[Arc<Kept<BlockFile>>]) {
        let list = Arc::make_mut(&mut self.files);
        list.extend(files.iter().cloned());
        list.sort_by_key(|file| (file.summary().range.partition, file.summary().range.from));
    }

    pub fn add_run(&mut self, new: Option<&NewRun>) {
        Arc::make_mut(&mut self.runs).extend(new.map(|new| new.run.clone()));
    }
}

/// Events and series of each meter version.
fn spreads(frozen: &Frozen, rows: &MemoryRows) -> BTreeMap<u128, Spread> {
    let mut spreads: BTreeMap<u128, Spread> = BTreeMap::new();
    for (version, events) in frozen.memory.tail.iter().flat_map(|part| &part.measured) {
        spreads.entry(*version).or_default().events += events;
    }
    for (version, spread) in &mut spreads {
        see_series(rows, *version, spread);
    }
    spreads
}

/// Takes up every series that a meter version has in these rows.
pub fn see_series(rows: &MemoryRows, version: u128, spread: &mut Spread) {
    let all = RowScan { meter: version, subjects: None, days: &[], hours: &[], minutes: &[ALL_MINUTES] };
    let mut last = None;
    rows.scan(&all, &mut |series, _, _| {
        if last.replace(series.id) != Some(series.id) {
            // Half of the bits are the subject's, the other half the whole series'.
            spread.see(series.id as u64);
        }
    });
}
