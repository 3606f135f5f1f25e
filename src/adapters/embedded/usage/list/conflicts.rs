//! Conflicts: events under an id that another event won.

use super::{events, owned};
use crate::adapters::embedded::usage::blocks::{BlockFile, Filter, Stored, scan_batch_filtered};
use crate::adapters::embedded::usage::engine::Engine;
use crate::domain::fault::Fault;
use crate::domain::metering::{Batch, Fate};
use crate::domain::position::Position;
use crate::ports::usage_store::{ReadError, StoredConflict};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

impl Engine {
    /// Reads files, so it belongs onto a thread that may block.
    pub fn list_conflicts(
        &self,
        namespace: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<StoredConflict>, ReadError> {
        let (files, tail) = events(&self.version());
        Ok(conflicts(&files, &tail, namespace, before, limit)?)
    }
}

/// Conflicts of a namespace below `before` (or all), with their winners: by position descending, at most `limit`.
///
/// # Errors
/// A file is damaged or cannot be read.
pub fn conflicts(
    files: &[Arc<BlockFile>],
    tail: &[Arc<Batch>],
    namespace: &str,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<StoredConflict>, Fault> {
    let mut found: BTreeMap<Position, StoredConflict> = BTreeMap::new();
    let filter = Filter { namespace: Some(namespace), conflicts_only: true, ..Filter::default() };
    let visit = |found: &mut BTreeMap<Position, StoredConflict>, stored: Stored<'_>| {
        if let (Fate::Conflict { winner }, Some(event)) = (stored.fate, &stored.event)
            && before.is_none_or(|before| stored.position < before)
        {
            found.insert(stored.position, StoredConflict { event: owned(&stored, event), winner });
            if found.len() > limit {
                found.pop_first();
            }
        }
        ControlFlow::Continue(())
    };
    for batch in tail {
        let _ = scan_batch_filtered(batch, &filter, &mut |stored| visit(&mut found, stored));
    }
    let mut files: Vec<&Arc<BlockFile>> = files.iter().filter(|file| file.summary().conflicts > 0).collect();
    files.sort_by_key(|file| Reverse((file.summary().range.partition, file.summary().range.from)));
    for file in files {
        let range = file.summary().range;
        let is_full = found.len() >= limit;
        // An event stands in the file that has its `at`, which is never below its position.
        if found.keys().next().is_some_and(|least| is_full && Position::new(range.partition, range.to) <= *least) {
            break;
        }
        let _ = file.scan_filtered(&filter, &mut |stored| visit(&mut found, stored))?;
    }
    Ok(found.into_values().rev().collect())
}
