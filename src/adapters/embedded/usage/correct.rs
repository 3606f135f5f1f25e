//! What a correction asks: which event is meant, and whether its cells can be derived again without it.

use super::cut::removed;
use super::engine::Engine;
use super::voids::day_of;
use crate::domain::metering::Fate;
use crate::domain::metering::query::{EventIdentity, EventsQuery, QueryRefusal, StoredEvent};
use crate::domain::time::{Instant, MINUTE_NS};
use crate::ports::usage_store::ReadError;
use std::ops::Range;

/// Most events under one identity that are looked at, duplicates and conflicts included.
const EVENTS_MAX: usize = 10_000;
const DAY_NS: i64 = 24 * 60 * MINUTE_NS;

impl Engine {
    /// Reads files, so it belongs onto a thread that may block.
    pub fn winners(&self, identity: &EventIdentity) -> Result<Vec<StoredEvent>, ReadError> {
        let EventIdentity { namespace, source, id, time } = identity;
        let query = EventsQuery {
            identity: Some((Some(source.clone()), id.clone())),
            from: *time,
            to: time.map(|time| Instant::from_nanos(time.nanos().saturating_add(1))),
            ..EventsQuery::newest(namespace, EVENTS_MAX)
        };
        let is_meant = |event: &StoredEvent| {
            let is_remembered = || self.remembered_from().is_none_or(|from| event.accepted_at > from);
            matches!(event.fate, Fate::Counts | Fate::Quarantined) && (time.is_some() || is_remembered())
        };
        let mut found = match time {
            // The index says where those are that it remembers; who names the time may mean an older one.
            Some(_) => self.list_everywhere(&query)?,
            None => self.list_events(&query)?,
        };
        found.retain(is_meant);
        found.sort_by_key(|event| event.position);
        if let Some(time) = time.filter(|_| found.is_empty()) {
            self.check_kept(&(time.nanos()..time.nanos().saturating_add(1)))?;
        }
        Ok(found)
    }

    /// Ids of events accepted at this instant or before may belong to another event by now.
    fn remembered_from(&self) -> Option<Instant> {
        let version = self.version();
        let window_ns = i64::from(version.dedupe_window_days).saturating_mul(DAY_NS);
        version.newest_accepted.map(|newest| Instant::from_nanos(newest.nanos().saturating_sub(window_ns)))
    }

    /// See [`crate::ports::UsageStore::correctable`]. What retention would remove within a day counts as removed:
    /// between this answer and the void's record nothing may go that it needs.
    pub fn correctable(&self, time: Instant) -> Result<(), QueryRefusal> {
        let day = day_of(time);
        self.check_kept(&day)?;
        let limit = self.raw_limit(&self.version()).map(|limit| limit.nanos().saturating_add(DAY_NS));
        match limit.filter(|limit| day.start < *limit) {
            Some(limit) => Err(removed(Instant::from_nanos(limit))),
            None => Ok(()),
        }
    }

    fn check_kept(&self, times: &Range<i64>) -> Result<(), QueryRefusal> {
        let gone = self.version().removed.filter(|gone| gone.overlaps(times));
        gone.map_or(Ok(()), |gone| Err(removed(gone.last)))
    }
}
