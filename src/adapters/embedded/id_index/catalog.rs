//! What the index's manifest says, and how far claims have come.

use super::faults::{failed, refused};
use super::run::{Run, run_path};
use crate::adapters::embedded::disk::Disk;
use crate::adapters::embedded::manifest;
use crate::domain::fault::Fault;
use crate::domain::position::Frontier;
use crate::domain::time::Instant;
use crate::ports::id_index::ClaimRequest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const MANIFEST: &str = "manifest";

/// How far claims have come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// Just past the greatest position that asked.
    pub frontier: Frontier,
    /// Accepted-at of that record, per partition.
    pub newest: BTreeMap<u32, Instant>,
    /// The largest window that any record asked with, in nanoseconds.
    pub window_ns: i64,
}

impl Progress {
    /// How far it is after these requests. Refuses a record beyond the frontier that was accepted before the one
    /// ahead of it: the log promises that accepted-at never goes back, and runs rely on it.
    pub fn after(&self, requests: &[ClaimRequest]) -> Result<Progress, Fault> {
        let mut after = self.clone();
        for part in requests.chunk_by(|a, b| a.position.partition == b.position.partition) {
            let partition = part[0].position.partition;
            let mut next = after.frontier.next(partition);
            let mut newest = after.newest.get(&partition).copied();
            for request in part {
                after.window_ns = after.window_ns.max(request.window_ns);
                if request.position.offset < next {
                    continue;
                }
                if newest.is_some_and(|newest| request.accepted_at < newest) {
                    let position = request.position;
                    return Err(refused(format!("accepted-at goes back at position {position}: the log is damaged")));
                }
                newest = Some(request.accepted_at);
                next = request.position.offset.saturating_add(1);
            }
            after.frontier.raise(partition, next);
            after.newest.extend(newest.map(|newest| (partition, newest)));
        }
        Ok(after)
    }

    /// No record beyond the frontier was accepted before this; `None` when nothing has asked yet.
    pub fn floor(&self) -> Option<Instant> {
        self.newest.values().min().copied()
    }
}

/// The manifest's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalog {
    /// No run has had this number yet.
    pub next_run: u64,
    /// The runs that count, oldest first.
    pub runs: Vec<u64>,
    /// Everything claimed below its frontier is in the runs.
    pub durable: Progress,
}

impl Catalog {
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Catalog, Fault> {
        let catalog: Option<Catalog> = manifest::load(disk, dir, MANIFEST)?;
        // None: a new index.
        Ok(catalog.unwrap_or_default())
    }

    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), Fault> {
        manifest::store(disk, dir, MANIFEST, self)
    }

    pub fn open_runs(&self, disk: &dyn Disk, dir: &Path) -> Result<Vec<Arc<Run>>, Fault> {
        self.runs.iter().map(|number| Run::open(disk, dir, *number).map(Arc::new)).collect()
    }

    /// Removes the runs that are not listed: a crash came before they counted, or after they did not any more.
    pub fn drop_unlisted(&self, disk: &dyn Disk, dir: &Path) -> Result<(), Fault> {
        let listed: Vec<_> = self.runs.iter().map(|number| run_path(dir, *number)).collect();
        for name in disk.list(dir).map_err(|e| failed(dir, "listing", &e))? {
            let path = dir.join(&name);
            if name.ends_with(".ids") && !listed.contains(&path) {
                disk.remove(&path).map_err(|e| failed(&path, "removing", &e))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::position::Position;

    fn asks(partition: u32, offset: u64, accepted: i64) -> ClaimRequest {
        let (position, accepted_at) = (Position::new(partition, offset), Instant::from_nanos(accepted));
        ClaimRequest { id: 0, digest: 0, position, accepted_at, window_ns: 5 }
    }

    #[test]
    fn replays_move_nothing_and_time_never_goes_back() {
        let first = [asks(0, 3, 10), asks(0, 7, 12), asks(2, 1, 5), asks(0, 8, 12)];
        let progress = Progress::default().after(&first).unwrap();
        assert_eq!(progress.frontier.to_string(), "0:9,2:2");
        assert_eq!((progress.floor(), progress.window_ns), (Some(Instant::from_nanos(5)), 5));
        assert_eq!(progress.after(&first).unwrap(), progress);
        assert_eq!(progress.after(&[asks(0, 4, 1)]).unwrap(), progress, "a redriven event asks under its old position");
        assert!(progress.after(&[asks(0, 9, 11)]).unwrap_err().message.contains("0:9"));
    }
}
