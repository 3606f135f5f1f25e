//! Retention: raw events older than `retention_raw_days` go, file by file, and the ledger remembers which times they
//! were of, so that no query is ever answered with a smaller number.

use super::bell::lock;
use super::blocks::BlockFile;
use super::engine::Engine;
use super::files::Kept;
use super::ledger::Times;
use super::version::Version;
use super::voids::day_of;
use crate::domain::fault::Fault;
use crate::domain::record::Void;
use crate::domain::time::{Instant, MINUTE_NS};
use std::sync::Arc;

const DAY_NS: i64 = 24 * 60 * MINUTE_NS;

impl Engine {
    /// Removes the oldest event file when nothing needs it any more; or heals what still does. True when something was
    /// done.
    pub fn remove_old_events(&self, version: &Version) -> Result<bool, Fault> {
        let Some(limit) = self.raw_limit(version) else { return Ok(false) };
        let mut removable = version.files.iter().filter(|file| old(file, limit) && self.unneeded(version, file));
        let Some(file) = removable.clone().find(|file| !heals_from(version, file)) else {
            return removable.next().map_or(Ok(false), |file| self.heal(file));
        };
        let remove = |name: &str| file.name == name;
        let times = file.summary().times;
        let removed = |known: Option<Times>| times.map(|times| Times::join(known, times)).or(known);
        let mut gone = false;
        self.commit(
            |ledger| {
                ledger.files.retain(|name| !remove(name));
                ledger.removed = removed(ledger.removed);
                ledger.work.blocks_removed += 1;
            },
            // A meter that went live since this version was read cannot count what is going now.
            |states| {
                for state in states.values_mut().filter(|state| self.needs(state, file)) {
                    state.lost = removed(state.lost);
                }
            },
            |version| {
                Arc::make_mut(&mut version.files).retain(|file| !remove(&file.name));
                version.removed = removed(version.removed);
                gone = true;
            },
        )?;
        self.retire_events(std::slice::from_ref(file));
        Ok(gone)
    }

    /// Everything of a file must lie before this instant for it to be removed; `None`: nothing is removed.
    pub fn raw_limit(&self, version: &Version) -> Option<Instant> {
        let days = self.settings.retention_raw_days?.max(version.dedupe_window_days);
        let newest = version.newest_accepted?;
        newest.nanos().checked_sub(i64::from(days).checked_mul(DAY_NS)?).map(Instant::from_nanos)
    }

    /// True when the log has let go of what the file holds, and no backfill wants to read it.
    fn unneeded(&self, version: &Version, file: &BlockFile) -> bool {
        let range = file.summary().range;
        let released = lock(&self.released).next(range.partition) >= range.to;
        released && !version.states.values().any(|state| self.needs(state, file))
    }

    /// True when the meter's past is not counted beyond this file.
    fn needs(&self, state: &super::ledger::MeterState, file: &BlockFile) -> bool {
        let range = file.summary().range;
        let missing = state.missing(range.partition, u64::MAX);
        !state.rowless() && !missing.is_empty() && missing.start < range.to && range.from < missing.end
    }
}

/// True when stale rows are derived from the file.
fn heals_from(version: &Version, file: &BlockFile) -> bool {
    version.voids.stale().any(|void| derives_from(version, void, file))
}

/// Whether the rows that a void made stale are derived from the file, as long as all of them can be.
pub fn derives_from(version: &Version, void: &Void, file: &BlockFile) -> bool {
    let day = day_of(void.time);
    let has = file.summary().times.is_some_and(|(first, last)| Times { first, last }.overlaps(&day));
    has && !version.removed.is_some_and(|gone| gone.overlaps(&day))
}

fn old(file: &Arc<Kept<BlockFile>>, limit: Instant) -> bool {
    let before = |times: Option<(Instant, Instant)>| times.is_none_or(|(_, newest)| newest < limit);
    before(file.summary().times) && before(file.summary().accepted)
}
