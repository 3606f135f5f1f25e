//! Raw events under a query: cut windows, minutes that were merged away, and the past that no row has counted yet.

use super::blocks::{BlockScan, Stored, scan_batch};
use super::fold::Fold;
use super::ledger::MeterState;
use super::version::{Version, Waiting};
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::Cell;
use crate::domain::metering::extract::Extractor;
use crate::domain::metering::query::UsageQuery;
use crate::domain::position::Frontier;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

/// Events of these times at these positions.
pub struct RawPart {
    /// Ascending and disjoint, half-open, nanoseconds.
    pub times: Vec<Range<i64>>,
    pub offsets: Offsets,
}

/// Positions, by partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offsets {
    All,
    Below(Frontier),
    /// In each named partition this stretch; in others nothing.
    Only(BTreeMap<u32, Range<u64>>),
    /// In each named partition all but this stretch; in others everything.
    Except(BTreeMap<u32, Range<u64>>),
}

impl Offsets {
    /// What no row of this meter has counted yet.
    pub fn missing(state: &MeterState, applied: &Frontier) -> Self {
        let missing = applied.iter().map(|(partition, next)| (partition, state.missing(partition, next)));
        Self::Only(missing.filter(|(_, stretch)| !stretch.is_empty()).collect())
    }

    /// `None` when there is no position in it.
    pub fn any(self) -> Option<Self> {
        match &self {
            Self::Only(stretches) if stretches.is_empty() => None,
            _ => Some(self),
        }
    }

    /// Of [`Offsets::Only`], all others.
    pub fn complement(&self) -> Self {
        match self {
            Self::Only(stretches) if stretches.is_empty() => Self::All,
            Self::Only(stretches) => Self::Except(stretches.clone()),
            other => other.clone(),
        }
    }

    /// The stretches of one partition; `None` in a stretch's place: all of it.
    fn of(&self, partition: u32) -> Vec<Option<Range<u64>>> {
        let stretches: Vec<Range<u64>> = match self {
            Self::All => return vec![None],
            Self::Below(frontier) => std::iter::once(0..frontier.next(partition)).collect(),
            Self::Only(stretches) => stretches.get(&partition).cloned().into_iter().collect(),
            Self::Except(stretches) => match stretches.get(&partition) {
                None => return vec![None],
                Some(hole) => vec![0..hole.start, hole.end..u64::MAX],
            },
        };
        stretches.into_iter().filter(|stretch| !stretch.is_empty()).map(Some).collect()
    }
}

/// Folds every event that counts, is of the query's meter, and lies in the part.
pub fn scan_raw(
    version: &Version,
    query: &UsageQuery,
    key: &HashKey,
    part: &RawPart,
    fold: &mut Fold<'_>,
) -> Result<(), Fault> {
    let extractor = Extractor::of(&query.meter);
    let mut texts = Vec::new();
    let mut visit = |stored: Stored<'_>| {
        let Some(view) = &stored.event else { return ControlFlow::Continue(()) };
        texts.clear();
        let reading = extractor.read(view.data, key, &mut texts).ok();
        let time = view.instant(stored.accepted_at);
        let cell = Cell::of(query.meter.aggregation, time, stored.position, reading);
        fold.event(view.subject, &texts, time, &cell);
        if fold.overflown() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let scan = |offsets: Option<Range<u64>>| BlockScan {
        namespace: Some(&query.meter.namespace),
        event_type: Some(&query.meter.event_type),
        subjects: query.subjects.as_deref(),
        times: Some(&part.times),
        offsets,
        counted_only: true,
    };
    for file in version.files.iter() {
        let range = file.summary().range;
        let meets = |offsets: &Option<Range<u64>>| {
            offsets.as_ref().is_none_or(|offsets| offsets.start < range.to && range.from < offsets.end)
        };
        for offsets in part.offsets.of(range.partition).into_iter().filter(meets) {
            if file.scan(&scan(offsets), &mut visit)?.is_break() {
                return Ok(());
            }
        }
    }
    for Waiting { batch, times } in version.tail() {
        if !part.times.iter().any(|stretch| stretch.start < times.end && times.start < stretch.end) {
            continue;
        }
        for offsets in part.offsets.of(batch.range.partition) {
            if scan_batch(batch, &scan(offsets), &mut visit).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
