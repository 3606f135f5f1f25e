//! The page of a list while it is being found: the first few in its order of what has been seen so far.

use super::owned;
use crate::adapters::embedded::usage::blocks::Stored;
use crate::domain::metering::Fate;
use crate::domain::metering::query::{EventCursor, EventOrder, EventsQuery, StoredEvent};
use std::collections::BTreeMap;

/// Never more than `limit` events.
pub struct Page {
    order: EventOrder,
    after: Option<EventCursor>,
    limit: usize,
    events: BTreeMap<EventCursor, StoredEvent>,
}

impl Page {
    pub fn of(query: &EventsQuery) -> Self {
        Self { order: query.order, after: query.after, limit: query.limit, events: BTreeMap::new() }
    }

    /// The last in order.
    fn last(&self) -> Option<EventCursor> {
        let ends = if self.order.descending { self.events.first_key_value() } else { self.events.last_key_value() };
        ends.map(|(cursor, _)| *cursor)
    }

    /// The last instant that an event may have to be listed, in nanoseconds, once the page is full.
    pub fn bound(&self) -> Option<i64> {
        self.last().filter(|_| self.events.len() >= self.limit).map(|last| last.at.nanos())
    }

    /// Takes an event, unless it lies before the page or beyond it.
    pub fn take(&mut self, stored: &Stored<'_>) {
        let Some(event) = stored.event else { return };
        let (time, position) = (event.instant(stored.accepted_at), stored.position);
        let cursor = self.order.place(time, stored.accepted_at, position);
        let is_full = self.events.len() >= self.limit;
        if self.is_open_to(cursor) && !self.last().is_some_and(|last| is_full && self.order.precedes(last, cursor)) {
            self.add(owned(stored, &event));
        }
    }

    fn is_open_to(&self, cursor: EventCursor) -> bool {
        self.after.is_none_or(|after| self.order.precedes(after, cursor))
    }

    /// A redriven event is stored twice under its position: quarantined, and as what became of it. The latter is
    /// listed, whichever is read first.
    pub fn add(&mut self, event: StoredEvent) {
        let cursor = self.order.cursor(&event);
        let is_said = self.events.get(&cursor).is_some_and(|other| rank(other.fate) >= rank(event.fate));
        if is_said || !self.is_open_to(cursor) {
            return;
        }
        self.events.insert(cursor, event);
        if self.events.len() > self.limit {
            let _ = if self.order.descending { self.events.pop_first() } else { self.events.pop_last() };
        }
    }

    pub fn events(&self) -> impl Iterator<Item = &StoredEvent> {
        self.events.values()
    }

    /// In order.
    pub fn finish(self) -> Vec<StoredEvent> {
        let ascending = self.events.into_values();
        if self.order.descending { ascending.rev().collect() } else { ascending.collect() }
    }
}

/// Which of two records of one event is listed: the greater.
fn rank(fate: Fate) -> u8 {
    match fate {
        Fate::Counts => 3,
        Fate::Conflict { .. } => 2,
        Fate::Quarantined => 1,
        Fate::Duplicate { .. } => 0,
    }
}
