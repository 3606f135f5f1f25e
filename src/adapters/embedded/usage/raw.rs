//! Raw events under a query: cut windows, minutes that were merged away, and the past that no row has counted yet.

use super::blocks::{BlockFile, BlockScan, Filter, Stored, Subjects, Visit, batch_subjects, scan_batch};
use super::fold::Fold;
use super::ledger::MeterState;
use super::version::Version;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::extract::Extractor;
use crate::domain::metering::query::UsageQuery;
use crate::domain::metering::{Batch, Cell};
use crate::domain::position::Frontier;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range, RangeInclusive};

/// Events of these times at these positions.
pub struct RawPart {
    /// Ascending and disjoint, half-open, nanoseconds.
    pub times: Vec<Range<i64>>,
    pub offsets: Offsets,
    /// Of this subject alone; `None`: of those the scan asks for.
    pub subject: Option<[String; 1]>,
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

/// A file or a batch that may have events of a part.
pub struct Piece<'v> {
    place: Place<'v>,
    times: &'v [Range<i64>],
    offsets: Option<Range<u64>>,
    subject: Option<&'v [String]>,
}

enum Place<'v> {
    File(&'v BlockFile),
    Batch(&'v Batch),
}

/// Everything that has to be read for the parts.
pub fn pieces<'v>(version: &'v Version, parts: &'v [RawPart]) -> Vec<Piece<'v>> {
    let mut pieces = Vec::new();
    for RawPart { times, offsets, subject } in parts {
        let subject = subject.as_ref().map(<[String; 1]>::as_slice);
        for file in version.files.iter() {
            let range = file.summary().range;
            let meets = |offsets: &Option<Range<u64>>| {
                offsets.as_ref().is_none_or(|offsets| offsets.start < range.to && range.from < offsets.end)
            };
            if file.summary().times.is_some_and(|(first, last)| any_meets(times, first.nanos()..=last.nanos())) {
                let offsets = offsets.of(range.partition).into_iter().filter(meets);
                pieces.extend(offsets.map(|offsets| Piece { place: Place::File(file), times, offsets, subject }));
            }
        }
        for waiting in version.tail().filter(|waiting| waiting.may_hold(times)) {
            let offsets = offsets.of(waiting.batch.range.partition).into_iter();
            pieces.extend(offsets.map(|offsets| Piece {
                place: Place::Batch(&waiting.batch),
                times,
                offsets,
                subject,
            }));
        }
    }
    pieces
}

/// Whether any of the stretches has an instant of the span.
fn any_meets(stretches: &[Range<i64>], span: RangeInclusive<i64>) -> bool {
    stretches.iter().any(|stretch| stretch.start <= *span.end() && *span.start() < stretch.end)
}

impl Piece<'_> {
    /// Events that a scan reads or passes over.
    pub fn events(&self) -> u64 {
        match self.place {
            Place::File(file) => file.summary().whole_events(),
            Place::Batch(batch) => batch.events() as u64,
        }
    }

    fn narrowed<'s>(&'s self, scan: &BlockScan<'s>) -> BlockScan<'s> {
        let subjects = self.subject.or(scan.subjects);
        BlockScan { times: Some(self.times), offsets: self.offsets.clone(), subjects, ..scan.clone() }
    }

    /// Visits the events of the piece that the scan wants.
    pub fn scan(&self, scan: &BlockScan<'_>, visit: &mut Visit<'_>) -> Result<ControlFlow<()>, Fault> {
        let scan = self.narrowed(scan);
        match self.place {
            Place::File(file) => file.scan(&scan, visit),
            Place::Batch(batch) => Ok(scan_batch(batch, &scan, visit)),
        }
    }

    /// Takes up the subjects of the events of the piece that the scan wants.
    pub fn subjects(&self, scan: &BlockScan<'_>, found: &mut impl Subjects) -> Result<(), Fault> {
        let scan = self.narrowed(scan);
        match self.place {
            Place::File(file) => file.subjects(&Filter::of(&scan), found),
            Place::Batch(batch) => {
                batch_subjects(batch, &Filter::of(&scan), found);
                Ok(())
            }
        }
    }
}

/// Folds every event that counts, is of the query's meter, and lies in one of the parts.
pub fn scan_raw(
    version: &Version,
    query: &UsageQuery,
    key: &HashKey,
    parts: &[RawPart],
    fold: &mut Fold<'_>,
) -> Result<(), Fault> {
    let pieces = pieces(version, parts);
    let progress = query.progress.as_deref();
    progress.into_iter().for_each(|progress| progress.expect(pieces.iter().map(Piece::events).sum()));
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
    let scan = BlockScan {
        namespace: Some(&query.meter.namespace),
        event_type: Some(&query.meter.event_type),
        subjects: query.subjects.as_deref(),
        counted_only: true,
        voids: Some(&version.voids),
        progress,
        ..BlockScan::default()
    };
    for piece in &pieces {
        if piece.scan(&scan, &mut visit)?.is_break() {
            break;
        }
    }
    Ok(())
}
