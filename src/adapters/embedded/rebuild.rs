//! Rebuilding: throws away what is derived (id index and rollups) and derives it again from what is true (event
//! files, control records, and the log, which the line reads on from as ever). Answers are the same afterwards.

use super::disk::Disk;
use super::id_index::EmbeddedIdIndex;
use super::key;
use super::tier::{Settings, checkpoint};
use super::usage::{EmbeddedUsage, reset_rollups};
use crate::domain::fault::Fault;
use crate::ports::id_index::{Claim, ClaimRequest};
use crate::ports::{IdIndex, UsageStore};
use futures::executor::block_on;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where the id index lives in the data directory.
const IDS: &str = "ids";
/// Ids that are claimed at once.
const CLAIMS_MAX: usize = 10_000;
/// How often progress is told while rollups are derived, in milliseconds.
const PROGRESS_EVERY_MS: u64 = 200;

/// What is being done: told again and again while a rebuild runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildStep {
    /// Ids that were claimed so far.
    Ids { claimed: u64 },
    /// Meters whose rollups are derived, of all.
    Rollups { meters_done: usize, meters: usize },
}

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RebuildReport {
    pub ids: u64,
    /// Events that counted although another event owned their id when they came. None in a sound directory.
    pub rivals: u64,
    pub meters: usize,
}

/// Rebuilds a data directory that is not open. Interrupted, it has to be run again before weir starts on it.
///
/// # Errors
/// Give up: the truth itself is damaged, with file and offset, or retention has removed part of it.
pub fn rebuild(
    disk: &Arc<dyn Disk>,
    settings: &Settings,
    progress: &mut dyn FnMut(RebuildStep),
) -> Result<RebuildReport, Fault> {
    let Some(key) = key::load(&**disk)? else { return Ok(RebuildReport::default()) };
    reset_rollups(&**disk)?;
    remove_ids(&**disk)?;
    let index = EmbeddedIdIndex::open(disk.clone(), settings.ids.clone())?;
    let usage = EmbeddedUsage::open(disk.clone(), settings.usage.clone(), key, checkpoint(&index))?;
    let mut report = RebuildReport::default();
    usage.owners(&mut |requests| claim(&index, &requests, &mut report, progress))?;
    usage.note_index(index.checkpoint()?)?;
    report.meters = derive_rollups(&usage, progress)?;
    index.close()?;
    Ok(report)
}

/// The manifest first: an index without it is empty, whatever lies around.
fn remove_ids(disk: &dyn Disk) -> Result<(), Fault> {
    let dir = Path::new(IDS);
    if !disk.exists(dir) {
        return Ok(());
    }
    let failed = |error: std::io::Error| Fault::retry("id index", format!("{IDS} cannot be emptied: {error}"));
    let mut names = disk.list(dir).map_err(failed)?;
    names.sort_by_key(|name| !name.starts_with("manifest"));
    for name in names {
        disk.remove(&dir.join(name)).map_err(failed)?;
    }
    disk.sync_dir(dir).map_err(failed)
}

fn claim(
    index: &EmbeddedIdIndex,
    requests: &[ClaimRequest],
    report: &mut RebuildReport,
    progress: &mut dyn FnMut(RebuildStep),
) -> Result<(), Fault> {
    for part in requests.chunks(CLAIMS_MAX) {
        let claims = block_on(index.claim(part))?;
        let rivals = claims.iter().filter(|claim| !matches!(claim, Claim::Won | Claim::WonBefore));
        report.rivals += rivals.count() as u64;
        report.ids += part.len() as u64;
        progress(RebuildStep::Ids { claimed: report.ids });
    }
    Ok(())
}

/// Waits until every meter's past is counted again.
fn derive_rollups(usage: &EmbeddedUsage, progress: &mut dyn FnMut(RebuildStep)) -> Result<usize, Fault> {
    loop {
        let jobs = usage.snapshot().jobs;
        let (meters, meters_done) = (jobs.len(), jobs.iter().filter(|job| job.finished).count());
        progress(RebuildStep::Rollups { meters_done, meters });
        if let Some(fault) = usage.backfill_fault() {
            return Err(fault);
        }
        if meters_done == meters {
            return Ok(meters);
        }
        std::thread::sleep(Duration::from_millis(PROGRESS_EVERY_MS));
    }
}
