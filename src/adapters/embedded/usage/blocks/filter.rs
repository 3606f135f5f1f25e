//! What a scan wants, prepared: asked of zones first, then of a row's numbers, before any text is read.

use super::BlockScan;
use super::builder::Place;
use super::zone::{Key, Span};
use crate::domain::metering::Fate;
use crate::domain::metering::query::Pattern;
use std::ops::Range;

/// Everything given must hold.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Filter<'a> {
    pub namespace: Option<&'a str>,
    pub event_type: Option<&'a str>,
    /// Sorted.
    pub subjects: Option<Vec<&'a str>>,
    /// Event time, ascending, disjoint, half-open.
    pub times: Option<&'a [Range<i64>]>,
    /// Event time, inclusive.
    pub time_from: Option<i64>,
    /// Event time, exclusive.
    pub time_to: Option<i64>,
    /// Accepted-at, inclusive.
    pub accepted_from: Option<i64>,
    /// Accepted-at, exclusive.
    pub accepted_to: Option<i64>,
    /// Of `Stored::at`.
    pub offsets: Option<Range<u64>>,
    /// The last to be asked: ids lie apart from the numbers.
    pub id: Option<IdFilter<'a>>,
    pub counted_only: bool,
    /// No duplicates and no conflicts.
    pub visible_only: bool,
    pub conflicts_only: bool,
}

/// A condition on the id.
#[derive(Debug, Clone)]
pub(in super::super) enum IdFilter<'a> {
    Is(&'a str),
    Contains(&'a str),
    Like(Pattern),
}

impl IdFilter<'_> {
    pub(super) fn passes(&self, id: &str) -> bool {
        match self {
            Self::Is(wanted) => *wanted == id,
            Self::Contains(part) => id.contains(part),
            Self::Like(pattern) => pattern.matches(id),
        }
    }
}

impl<'a> Filter<'a> {
    pub fn of(scan: &BlockScan<'a>) -> Self {
        Self {
            namespace: scan.namespace,
            event_type: scan.event_type,
            subjects: scan.subjects.map(sorted),
            times: scan.times,
            offsets: scan.offsets.clone(),
            counted_only: scan.counted_only,
            ..Self::default()
        }
    }

    /// Duplicates are kept without their content: they pass only where nothing is asked of it.
    pub fn wants_duplicates(&self) -> bool {
        let asks_key =
            self.id.is_some() || self.namespace.is_some() || self.event_type.is_some() || self.subjects.is_some();
        let asks_time = self.times.is_some() || self.time_from.is_some() || self.time_to.is_some();
        !asks_key && !asks_time && !self.counted_only && !self.visible_only && !self.conflicts_only
    }

    pub fn any_time_in(&self, (least, greatest): Span<i64>) -> bool {
        self.time_from.is_none_or(|from| from <= greatest)
            && self.time_to.is_none_or(|to| least < to)
            && self.times.is_none_or(|times| {
                let next = times.partition_point(|stretch| stretch.end <= least);
                times.get(next).is_some_and(|stretch| stretch.start <= greatest)
            })
    }

    pub(super) fn passes_key(&self, key: Key<'_>) -> bool {
        self.namespace.is_none_or(|wanted| wanted == key.namespace)
            && self.event_type.is_none_or(|wanted| wanted == key.event_type)
            && self.subjects.as_ref().is_none_or(|wanted| wanted.binary_search(&key.subject).is_ok())
    }

    /// Everything but key and id, of an event that is kept whole.
    pub(super) fn passes(&self, place: &Place, time: i64) -> bool {
        let fate = match place.fate {
            Fate::Counts => !self.conflicts_only,
            Fate::Quarantined => !self.conflicts_only && !self.counted_only,
            Fate::Conflict { .. } => !self.counted_only && !self.visible_only,
            Fate::Duplicate { .. } => false,
        };
        fate && self.passes_place(place) && self.any_time_in((time, time))
    }

    pub(super) fn passes_place(&self, place: &Place) -> bool {
        let accepted = place.accepted_at.nanos();
        self.offsets.as_ref().is_none_or(|wanted| wanted.contains(&place.at))
            && self.accepted_from.is_none_or(|from| from <= accepted)
            && self.accepted_to.is_none_or(|to| accepted < to)
    }
}

/// The texts in order, for searching.
pub(in super::super) fn sorted(texts: &[String]) -> Vec<&str> {
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts.sort_unstable();
    texts
}
