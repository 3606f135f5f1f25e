//! Merging: few large runs and files out of many small ones, on a thread of its own, one step at a time. A step reads
//! what the last commit listed, writes anew, commits, and lets the old files go with their last reader.

use super::blocks::BlockFile;
use super::engine::Engine;
use super::files::{self, FileKind, Kept};
use super::ledger::Work;
use super::rollup::{Days, Retain, Run, RunStats};
use super::seal::NewRun;
use super::version::Version;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::DAY;
use crate::domain::position::Position;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Runs below this size are all of one class, in bytes: opening and asking them costs more than their rows.
const SMALLEST_CLASS_BYTES: u64 = 64 << 10;

/// Neighbouring files to be merged.
type Files = Vec<Arc<Kept<BlockFile>>>;
type Runs = Vec<Arc<Kept<Run>>>;

/// What runs were merged to.
pub struct Merged {
    run: NewRun,
    stats: RunStats,
    minutes_from: i64,
}

/// Rows that were derived again, and the voided events that they know nothing of.
#[derive(Default)]
pub struct Healed {
    pub rows: Option<NewRun>,
    pub events: BTreeSet<Position>,
}

impl Engine {
    /// One step of whatever is due; the bytes that were written, or `None` when nothing is due.
    pub fn merge_step(&self) -> Result<Option<u64>, Fault> {
        let version = self.version();
        if let Some(runs) = self.full_class(&version) {
            return self.merge_runs(&runs).map(Some);
        }
        if let Some(files) = self.like_neighbours(&version) {
            return self.merge_files(&files).map(Some);
        }
        if self.remove_old_events(&version)? {
            return Ok(Some(0));
        }
        if let Some(run) = self.outdated(&version)? {
            return self.merge_runs(&[run]).map(Some);
        }
        self.note_removed_rows(&version).map(|any| any.then_some(0))
    }

    /// Steps that are due, about: for the metrics.
    pub fn merge_backlog(&self, version: &Version) -> u64 {
        let runs = u64::from(self.full_class(version).is_some());
        runs + u64::from(self.like_neighbours(version).is_some())
    }

    /// The smallest size class that has enough runs to be merged.
    fn full_class(&self, version: &Version) -> Option<Runs> {
        let fan = self.settings.merge_runs_min;
        let class = |run: &Arc<Kept<Run>>| (run.stats().bytes / SMALLEST_CLASS_BYTES).max(1).ilog(fan as u64);
        let mut classes: std::collections::BTreeMap<u32, Runs> = std::collections::BTreeMap::new();
        for run in version.runs.iter() {
            classes.entry(class(run)).or_default().push(run.clone());
        }
        classes.into_values().find(|runs| runs.len() >= fan)
    }

    /// Neighbouring files of one partition of which none dominates the others: merging them pays.
    fn like_neighbours(&self, version: &Version) -> Option<Files> {
        let small = |file: &Kept<BlockFile>| file.summary().events < self.settings.file_events_max;
        let like = |files: &&[Arc<Kept<BlockFile>>]| {
            let events: Vec<u64> = files.iter().map(|file| file.summary().events).collect();
            let one_partition =
                files.iter().all(|file| file.summary().range.partition == files[0].summary().range.partition);
            let largest = events.iter().max().copied().unwrap_or_default();
            one_partition && files.iter().all(|file| small(file)) && events.iter().sum::<u64>() >= largest * 2
        };
        version.files.windows(self.settings.merge_files_min).find(like).map(<[_]>::to_vec)
    }

    /// Merges (or, when it is one, rewrites) runs: without old minutes and without rows that nobody reads.
    fn merge_runs(&self, runs: &[Arc<Kept<Run>>]) -> Result<u64, Fault> {
        let merged = self.merge_without(runs, &Days::new())?;
        self.swap_runs(runs, &merged, &Healed::default())?;
        Ok(merged.stats.bytes)
    }

    /// Writes what runs are merged to, without the rows of some days.
    pub fn merge_without(&self, runs: &[Arc<Kept<Run>>], without: &Days) -> Result<Merged, Fault> {
        let ledger = self.ledger();
        let minutes_from = ledger.minutes_from.max(self.minute_floor());
        let rowless = |version: u128| ledger.meters.get(&ulid::Ulid(version)).is_some_and(|state| state.rowless());
        let retain = Retain { minutes_from, meter: &|version| !rowless(version), without };
        let name = self.new_name(FileKind::Run);
        let sources: Vec<Arc<Run>> = runs.iter().map(|run| run.shared()).collect();
        let stats = Run::merge(&*self.disk, &files::path(&name), &sources, &retain, &ledger.durable)?;
        Ok(Merged { run: self.new_run(name, minutes_from)?, stats, minutes_from })
    }

    /// Puts what runs were merged to in their place, with the rows that were healed.
    pub fn swap_runs(&self, old: &[Arc<Kept<Run>>], merged: &Merged, healed: &Healed) -> Result<(), Fault> {
        let Merged { run: new, stats, minutes_from } = merged;
        let empty = stats.day_rows == 0;
        let is_old = |name: &str| old.iter().any(|run| run.name == name);
        let listed = || (!empty).then_some(new).into_iter().chain(&healed.rows);
        self.commit(
            |ledger| {
                ledger.runs.retain(|entry| !is_old(&entry.name));
                ledger.runs.extend(listed().map(|new| new.entry.clone()));
                if stats.minutes_dropped {
                    ledger.minutes_from = *minutes_from;
                }
                ledger.healed.extend(&healed.events);
                count_merge(&mut ledger.work, stats);
            },
            |_| {},
            |version| {
                Arc::make_mut(&mut version.runs).retain(|run| !is_old(&run.name));
                listed().for_each(|new| version.add_run(Some(new)));
                if stats.minutes_dropped {
                    version.minutes_from = *minutes_from;
                }
                Arc::make_mut(&mut version.voids).heal(&healed.events);
            },
        )?;
        old.iter().for_each(|run| run.retire());
        if empty {
            new.run.retire();
        }
        Ok(())
    }

    fn merge_files(&self, old: &[Arc<Kept<BlockFile>>]) -> Result<u64, Fault> {
        let name = self.new_name(FileKind::Events);
        let sources: Vec<Arc<BlockFile>> = old.iter().map(|file| file.shared()).collect();
        BlockFile::merge(&*self.disk, &files::path(&name), &sources)?;
        let merged = self.open_events(name)?;
        let bytes_in: u64 = old.iter().map(|file| file.summary().bytes).sum();
        let bytes_out = merged.summary().bytes;
        let is_old = |name: &str| old.iter().any(|file| file.name == name);
        self.commit(
            |ledger| {
                ledger.files.retain(|name| !is_old(name));
                ledger.files.push(merged.name.clone());
                ledger.work.merges += 1;
                ledger.work.merge_bytes_in += bytes_in;
                ledger.work.merge_bytes_out += bytes_out;
            },
            |_| {},
            |version| {
                Arc::make_mut(&mut version.files).retain(|file| !is_old(&file.name));
                version.add_files(std::slice::from_ref(&merged));
            },
        )?;
        self.retire_events(old);
        Ok(bytes_out)
    }

    /// Minute rows below are not kept: whole days, counted back from the newest accepted-at.
    fn minute_floor(&self) -> i64 {
        let keep = i64::from(self.settings.minute_keep_days) * DAY;
        let newest = self.version().newest_accepted;
        newest.map_or(i64::MIN, |newest| (newest.minute() - keep).div_euclid(DAY) * DAY)
    }

    /// A run to be rewritten because of what should not be in it any more. Minutes may stay for twice their time, so
    /// that a run is not rewritten every day.
    fn outdated(&self, version: &Version) -> Result<Option<Arc<Kept<Run>>>, Fault> {
        let ledger = self.ledger();
        let slack = i64::from(self.settings.minute_keep_days) * DAY;
        let floor = self.minute_floor().saturating_sub(slack);
        let old = |name: &str| ledger.runs.iter().any(|entry| entry.name == name && entry.oldest_minute < floor);
        let rowless: Vec<u128> = ledger
            .meters
            .iter()
            .filter(|(_, state)| state.rowless() && !state.rows_removed)
            .map(|(version, _)| version.0)
            .collect();
        for run in version.runs.iter() {
            if run.stats().minute_rows > 0 && old(&run.name) {
                return Ok(Some(run.clone()));
            }
            for meter in &rowless {
                if run.has(*meter)? {
                    return Ok(Some(run.clone()));
                }
            }
        }
        Ok(None)
    }

    /// Notes which meters have no rows left in any run. True when there were some to note.
    fn note_removed_rows(&self, seen: &Version) -> Result<bool, Fault> {
        let ledger = self.ledger();
        // `outdated` found no run of `seen` with their rows; what was sealed since, or is in memory, may have some.
        let current = self.version();
        let same_runs = seen.runs.len() == current.runs.len() && current.frozen.is_empty();
        let done: Vec<u128> = ledger
            .meters
            .iter()
            .filter(|(_, state)| state.rowless() && !state.rows_removed)
            .map(|(version, _)| version.0)
            .filter(|version| current.live.rows.iter().all(|rows| rows.bounds(*version).is_none()))
            .collect();
        if !same_runs || done.is_empty() {
            return Ok(false);
        }
        let mark = |states: &mut super::version::States| {
            for version in &done {
                states.entry(*version).and_modify(|state| state.rows_removed = true);
            }
        };
        self.commit(|_| {}, mark, |_| {})?;
        Ok(true)
    }
}

fn count_merge(work: &mut Work, stats: &RunStats) {
    work.merges += 1;
    work.hour_rows += stats.hour_rows;
    work.day_rows += stats.day_rows;
    work.dropped_minute_runs += u64::from(stats.minutes_dropped);
    work.merge_bytes_in += stats.bytes_read;
    work.merge_bytes_out += stats.bytes;
}
