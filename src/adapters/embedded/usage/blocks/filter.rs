//! What a scan wants, prepared: asked of zones first, then of a row's numbers, before any text is read.

use super::super::voids::Voids;
use super::builder::Place;
use super::zone::{Key, Span};
use super::{BlockScan, FileSummary};
use crate::domain::metering::query::{EventInstant, EventOrder, TextFilter};
use crate::domain::metering::{Fate, Progress};
use crate::domain::time::Instant;
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
    /// Accepted-at, ascending, disjoint, half-open.
    pub accepted: Option<&'a [Range<i64>]>,
    /// Of `Stored::at`.
    pub offsets: Option<Range<u64>>,
    pub source: Option<&'a str>,
    /// Asked last: ids lie apart from the numbers.
    pub id: Option<&'a str>,
    pub texts: Texts<'a>,
    pub counted_only: bool,
    /// Events that count no longer.
    pub voids: Option<&'a Voids>,
    /// No duplicates and no conflicts.
    pub visible_only: bool,
    pub conflicts_only: bool,
    /// Told of every whole event that was read or passed over.
    pub progress: Option<&'a Progress>,
}

/// Conditions on texts; all of each list must accept.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Texts<'a> {
    pub id: &'a [TextFilter],
    pub source: &'a [TextFilter],
    pub subject: &'a [TextFilter],
    pub event_type: &'a [TextFilter],
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
            voids: scan.voids,
            progress: scan.progress,
            ..Self::default()
        }
    }

    /// Duplicates are kept without their content: they pass only where nothing is asked of it.
    pub fn wants_duplicates(&self) -> bool {
        let Texts { source, subject, event_type, .. } = self.texts;
        let asks_text = self.asks_id() || self.source.is_some() || !(source.is_empty() && subject.is_empty());
        let asks_type = self.event_type.is_some() || !event_type.is_empty();
        let asks_key = self.namespace.is_some() || asks_type || self.subjects.is_some();
        let asks_time = self.times.is_some() || self.time_from.is_some() || self.time_to.is_some();
        !asks_text && !asks_key && !asks_time && !self.counted_only && !self.visible_only && !self.conflicts_only
    }

    /// Whether any whole event of a file could pass.
    pub fn may_be_in(&self, file: &FileSummary) -> bool {
        let nanos = |(least, greatest): Span<Instant>| (least.nanos(), greatest.nanos());
        let asks_time = |times| self.any_time_in(nanos(times));
        file.times.is_some_and(asks_time) && file.accepted.is_none_or(|times| self.any_accepted_in(nanos(times)))
    }

    /// From now on nothing is wanted that comes after this instant in the order.
    pub fn end_at(&mut self, order: EventOrder, last: i64) {
        let (from, to) = match order.by {
            EventInstant::Time => (&mut self.time_from, &mut self.time_to),
            EventInstant::IngestedAt => (&mut self.accepted_from, &mut self.accepted_to),
        };
        if order.descending {
            *from = (*from).max(Some(last));
        } else {
            let end = last.saturating_add(1);
            *to = Some(to.map_or(end, |to| to.min(end)));
        }
    }

    pub fn any_time_in(&self, span: Span<i64>) -> bool {
        any_in(span, self.time_from, self.time_to, self.times)
    }

    pub(super) fn any_accepted_in(&self, span: Span<i64>) -> bool {
        any_in(span, self.accepted_from, self.accepted_to, self.accepted)
    }

    pub(super) fn asks_id(&self) -> bool {
        self.id.is_some() || !self.texts.id.is_empty()
    }

    pub(super) fn passes_id(&self, id: &str) -> bool {
        self.id.is_none_or(|wanted| wanted == id) && all_accept(self.texts.id, id)
    }

    pub(super) fn passes_source(&self, source: &str) -> bool {
        self.source.is_none_or(|wanted| wanted == source) && all_accept(self.texts.source, source)
    }

    pub(super) fn advance(&self, events: u64) {
        if let Some(progress) = self.progress {
            progress.advance(events);
        }
    }

    pub(super) fn passes_key(&self, key: Key<'_>) -> bool {
        self.namespace.is_none_or(|wanted| wanted == key.namespace)
            && self.event_type.is_none_or(|wanted| wanted == key.event_type)
            && self.subjects.as_ref().is_none_or(|wanted| wanted.binary_search(&key.subject).is_ok())
            && all_accept(self.texts.event_type, key.event_type)
            && all_accept(self.texts.subject, key.subject)
    }

    /// Everything but texts, of an event that is kept whole.
    pub(super) fn passes(&self, place: &Place, time: i64) -> bool {
        let fate = match place.fate {
            Fate::Counts => !self.conflicts_only && !self.is_voided(place),
            Fate::Quarantined => !self.conflicts_only && !self.counted_only,
            Fate::Conflict { .. } => !self.counted_only && !self.visible_only,
            Fate::Duplicate { .. } => false,
        };
        fate && self.passes_place(place) && self.any_time_in((time, time))
    }

    fn is_voided(&self, place: &Place) -> bool {
        self.counted_only && self.voids.is_some_and(|voids| voids.has(place.position))
    }

    pub(super) fn passes_place(&self, place: &Place) -> bool {
        let accepted = place.accepted_at.nanos();
        self.offsets.as_ref().is_none_or(|wanted| wanted.contains(&place.at))
            && self.any_accepted_in((accepted, accepted))
    }
}

/// Whether the bounds and the stretches leave anything of a span.
fn any_in((least, greatest): Span<i64>, from: Option<i64>, to: Option<i64>, stretches: Option<&[Range<i64>]>) -> bool {
    from.is_none_or(|from| from <= greatest)
        && to.is_none_or(|to| least < to)
        && stretches.is_none_or(|stretches| {
            let next = stretches.partition_point(|stretch| stretch.end <= least);
            stretches.get(next).is_some_and(|stretch| stretch.start <= greatest)
        })
}

fn all_accept(filters: &[TextFilter], text: &str) -> bool {
    filters.iter().all(|filter| filter.accepts(text))
}

/// The texts in order, for searching.
pub(in super::super) fn sorted(texts: &[String]) -> Vec<&str> {
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts.sort_unstable();
    texts
}
