//! The two threads of the index: one seals frozen tables into runs, one merges runs and drops expired ones.
//!
//! Each makes its files first, then commits: directory synced, manifest replaced, view swapped, old files removed.
//! A crash in between leaves files that no manifest lists; the next start drops them.

use super::catalog::Catalog;
use super::core::{Core, Frozen, Shelf, View, lock};
use super::faults::{failed, refused};
use super::merge::{MergeOptions, Merged, merge};
use super::plan::next_merge;
use super::run::{Run, RunWriter, run_path};
use crate::domain::fault::Fault;
use crate::domain::position::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// Seals frozen tables, oldest first, until told to stop.
pub(super) fn seal_all(core: &Core) {
    loop {
        let frozen = {
            let mut shelf = core.shelf();
            loop {
                if shelf.stop {
                    return;
                }
                match shelf.view.frozen.first() {
                    Some(frozen) if shelf.seal_fault.is_none() => break Arc::clone(frozen),
                    _ => shelf = core.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        if let Err(fault) = guarded("sealing", || seal(core, &frozen)) {
            tracing::warn!(%fault, "the id index cannot seal; claims wait once their table is full");
            core.shelf().seal_fault = Some(fault);
            core.changed.notify_all();
        }
        core.room.notify_waiters();
    }
}

fn seal(core: &Core, frozen: &Frozen) -> Result<(), Fault> {
    let run = match frozen.table.len() {
        // Only the frontier has moved.
        0 => None,
        _ => Some(Arc::new(write_run(core, frozen)?)),
    };
    commit(
        core,
        |catalog| {
            catalog.runs.extend(run.as_ref().map(|run| run.number));
            catalog.durable = frozen.progress.clone();
        },
        |shelf| {
            let mut view = View::clone(&shelf.view);
            view.frozen.retain(|other| other.number != frozen.number);
            view.runs.extend(run.clone());
            shelf.view = Arc::new(view);
            shelf.durable = frozen.progress.frontier.clone();
            shelf.sealed = frozen.number + 1;
        },
    )?;
    core.counters.seals.inc();
    Ok(())
}

fn write_run(core: &Core, frozen: &Frozen) -> Result<Run, Fault> {
    let number = next_number(core);
    let run = fill_run(core, frozen, number);
    if run.is_err() {
        // The disk may be full: leave nothing behind. (After a failed commit the file must stay: the manifest that
        // lists it may be the one on disk.)
        remove(core, &run_path(&core.dir, number));
    }
    run
}

fn fill_run(core: &Core, frozen: &Frozen, number: u64) -> Result<Run, Fault> {
    let mut writer = RunWriter::create(&*core.disk, &core.dir, number, frozen.table.len() as u64)?;
    for won in frozen.table.sorted() {
        writer.push(won)?;
    }
    writer.begin_marks()?;
    let marks = frozen.table.times();
    for mark in &marks {
        writer.push_mark(*mark)?;
    }
    let covers = marks
        .chunk_by(|a, b| a.position.partition == b.position.partition)
        .map(|same| {
            let (first, last) = (same[0].position, same[same.len() - 1].position);
            Range::new(first.partition, first.offset, last.offset.saturating_add(1))
        })
        .collect();
    writer.finish(covers)
}

/// What the merging thread found to do.
enum Work {
    /// These runs hold nothing that anybody can ask for any more.
    Drop(Vec<Arc<Run>>),
    Merge(Vec<Arc<Run>>),
}

/// Merges and drops runs until told to stop. After a fault it waits for the next seal before it tries again.
pub(super) fn merge_all(core: &Core) {
    let mut failed_at = None;
    loop {
        let work = {
            let mut shelf = core.shelf();
            loop {
                if shelf.stop {
                    return;
                }
                let work = if failed_at == Some(shelf.sealed) { None } else { next_work(core, &shelf) };
                match work {
                    Some(work) => break work,
                    None => shelf = core.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        let sealed = core.shelf().sealed;
        let done = guarded("merging", || match work {
            Work::Drop(runs) => drop_runs(core, &runs),
            Work::Merge(runs) => merge_runs(core, &runs),
        });
        failed_at = done.is_err().then_some(sealed);
        if let Err(fault) = done {
            tracing::warn!(%fault, "the id index cannot merge; lookups ask more filters until it can");
        }
    }
}

fn next_work(core: &Core, shelf: &Shelf) -> Option<Work> {
    let runs = &shelf.view.runs;
    let gone = |run: &&Arc<Run>| shelf.horizon.is_some_and(|horizon| run.footer().accepted.1 <= horizon);
    let expired: Vec<_> = runs.iter().filter(gone).cloned().collect();
    if !expired.is_empty() {
        return Some(Work::Drop(expired));
    }
    let ids: Vec<u64> = runs.iter().map(|run| run.footer().ids).collect();
    let range = next_merge(&ids, core.settings.merge_factor, core.settings.run_ids_max)?;
    Some(Work::Merge(runs[range].to_vec()))
}

fn drop_runs(core: &Core, runs: &[Arc<Run>]) -> Result<(), Fault> {
    replace(core, runs, None)?;
    core.counters.expired_runs.add(runs.len() as u64);
    core.counters.expired_ids.add(runs.iter().map(|run| run.footer().ids).sum());
    Ok(())
}

fn merge_runs(core: &Core, runs: &[Arc<Run>]) -> Result<(), Fault> {
    let number = next_number(core);
    let ids_max = runs.iter().map(|run| run.footer().ids).sum();
    let writer = RunWriter::create(&*core.disk, &core.dir, number, ids_max)?;
    let go_on = || {
        std::thread::yield_now();
        !core.shelf().stop
    };
    let horizon = core.shelf().horizon;
    let options = MergeOptions { horizon, pause_every_ids: core.settings.merge_pause_every_ids, go_on: &go_on };
    let merged = merge(runs, writer, &options);
    if !matches!(merged, Ok(Merged::Done { .. })) {
        remove(core, &run_path(&core.dir, number));
    }
    let (run, expired) = match merged? {
        Merged::Done { run, expired } => (Some(run), expired),
        Merged::Nothing { expired } => (None, expired),
        Merged::Stopped => return Ok(()),
    };
    replace(core, runs, run)?;
    core.counters.merges.inc();
    core.counters.expired_ids.add(expired);
    Ok(())
}

/// Puts `by` in the place of the first of `runs`, takes all of them away, and removes their files.
fn replace(core: &Core, runs: &[Arc<Run>], by: Option<Arc<Run>>) -> Result<(), Fault> {
    let gone = |number: u64| runs.iter().any(|run| run.number == number);
    commit(
        core,
        |catalog| {
            let at = catalog.runs.iter().position(|number| gone(*number)).expect("only this thread takes runs away");
            catalog.runs.retain(|number| !gone(*number));
            catalog.runs.splice(at..at, by.as_ref().map(|run| run.number));
        },
        |shelf| {
            let mut view = View::clone(&shelf.view);
            let at = view.runs.iter().position(|run| gone(run.number)).expect("only this thread takes runs away");
            view.runs.retain(|run| !gone(run.number));
            view.runs.splice(at..at, by.clone());
            shelf.view = Arc::new(view);
        },
    )?;
    // Readers that are still at it keep the files open.
    runs.iter().for_each(|run| remove(core, run.path()));
    Ok(())
}

/// Makes a change durable, then visible.
fn commit(core: &Core, change: impl FnOnce(&mut Catalog), show: impl FnOnce(&mut Shelf)) -> Result<(), Fault> {
    let mut catalog = lock(&core.catalog);
    let mut next = catalog.clone();
    change(&mut next);
    core.disk.sync_dir(&core.dir).map_err(|e| failed(&core.dir, "syncing", &e))?;
    next.store(&*core.disk, &core.dir)?;
    *catalog = next;
    show(&mut core.shelf());
    core.changed.notify_all();
    Ok(())
}

fn next_number(core: &Core) -> u64 {
    let mut catalog = lock(&core.catalog);
    catalog.next_run += 1;
    catalog.next_run - 1
}

/// A file that no manifest lists any more; what cannot be removed now goes at the next start.
fn remove(core: &Core, path: &Path) {
    if let Err(error) = core.disk.remove(path) {
        tracing::debug!(path = %path.display(), %error, "a run that does not count could not be removed yet");
    }
}

/// A panic must not leave a thread dead with everyone waiting for it.
fn guarded(doing: &str, work: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(refused(format!("{doing} panicked; restart weir"))))
}
