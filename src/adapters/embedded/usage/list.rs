//! Lists of stored events: in an order, page by page, those under one id, and [`conflicts`].
//!
//! An event is listed once, under its own position. Duplicates and conflicts never counted and are not listed, unless
//! one event is asked for by its identity: then everything that came under it is.

mod conflicts;
mod page;

use super::blocks::{BlockFile, FileSummary, Filter, Stored, Texts, scan_batch_filtered, sort_by_edge, sorted};
use super::engine::{Engine, Owners};
use super::snapshot::quarantine;
use super::version::Version;
use crate::domain::fault::Fault;
use crate::domain::metering::query::{EventInstant, EventsQuery, StoredEvent, TextFilter};
use crate::domain::metering::{Batch, Fate};
use crate::domain::position::Position;
use crate::domain::record::EventView;
use crate::ports::usage_store::ReadError;
use page::Page;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

impl Engine {
    /// Reads files, so it belongs onto a thread that may block.
    pub fn list_events(&self, query: &EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        match self.asked_for(query)? {
            Some(owners) => self.list_in(query, &|file| owners.may_stand_in(file)),
            None => self.list_everywhere(query),
        }
    }

    /// The same, whatever the id index knows.
    pub fn list_everywhere(&self, query: &EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        self.list_in(query, &|_| true)
    }

    fn list_in(
        &self,
        query: &EventsQuery,
        wanted: &dyn Fn(&FileSummary) -> bool,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        let version = self.version();
        let (files, tail) = events(&version);
        let mut found = list_where(&files, &tail, query, wanted)?;
        for event in found.iter_mut().filter(|event| event.fate == Fate::Counts) {
            event.voided = version.voids.get(event.position);
        }
        query.progress.iter().for_each(|progress| progress.finish());
        Ok(found)
    }

    /// Who owns the identity that is asked for, when the id index can say: then few files need be read, however many
    /// there are.
    fn asked_for(&self, query: &EventsQuery) -> Result<Option<Owners>, Fault> {
        let (Some((Some(source), id)), Some(owners_of)) = (&query.identity, self.owners_of.get()) else {
            return Ok(None);
        };
        let mut owners = owners_of(self.key.event_id(&query.namespace, source, id))?;
        // What was redriven counts where the record of that stands.
        let redriven =
            quarantine(&self.version()).into_iter().filter(|entry| owners.positions.contains(&entry.event.position));
        let redriven: Vec<Position> = redriven.filter_map(|entry| entry.redriven).collect();
        owners.positions.extend(redriven);
        Ok(Some(owners))
    }
}

/// All events of a version.
fn events(version: &Version) -> (Vec<Arc<BlockFile>>, Vec<Arc<Batch>>) {
    (
        version.files.iter().map(|file| file.shared()).collect(),
        version.tail().map(|waiting| waiting.batch.clone()).collect(),
    )
}

impl Owners {
    /// A winner stands where the index says; a conflict in any file that has one; what the index has forgotten, in
    /// files that old.
    fn may_stand_in(&self, file: &FileSummary) -> bool {
        let is_forgotten = || {
            let oldest = file.accepted.map(|(oldest, _)| oldest);
            self.positions.is_empty() && oldest.zip(self.forgotten).is_some_and(|(oldest, until)| oldest <= until)
        };
        file.conflicts > 0 || self.positions.iter().any(|owner| file.range.contains(*owner)) || is_forgotten()
    }
}

/// The first `query.limit` events that pass, in the query's order.
///
/// With [`EventsQuery::identity`] (source, when one is given, and id) conflicts are listed too, and the duplicates of
/// every event that is: with the winner's attributes and time, their own position and accepted-at, and without data.
///
/// # Errors
/// A file is damaged or cannot be read.
pub fn list(files: &[Arc<BlockFile>], tail: &[Arc<Batch>], query: &EventsQuery) -> Result<Vec<StoredEvent>, Fault> {
    list_where(files, tail, query, &|_| true)
}

/// The same, with whole events read from some of the files only.
fn list_where(
    files: &[Arc<BlockFile>],
    tail: &[Arc<Batch>],
    query: &EventsQuery,
    wanted: &dyn Fn(&FileSummary) -> bool,
) -> Result<Vec<StoredEvent>, Fault> {
    let (times, accepted) = (query.times(), query.ingested_times());
    if times.is_empty() || accepted.is_empty() || query.limit == 0 {
        return Ok(Vec::new());
    }
    let mut filter = filter_of(query, &times, &accepted);
    let mut page = Page::of(query);
    let mut wanted: Vec<&Arc<BlockFile>> =
        files.iter().filter(|file| filter.may_be_in(file.summary()) && wanted(file.summary())).collect();
    sort_by_edge(&mut wanted, query.order, |file| span(file.summary(), query.order.by));
    if let Some(progress) = &query.progress {
        let in_files: u64 = wanted.iter().map(|file| file.summary().whole_events()).sum();
        progress.expect(in_files + tail.iter().map(|batch| batch.events() as u64).sum::<u64>());
    }
    for batch in tail {
        let _ = scan_batch_filtered(batch, &filter, &mut |stored| {
            page.take(&stored);
            ControlFlow::Continue(())
        });
        page.bound().into_iter().for_each(|last| filter.end_at(query.order, last));
    }
    for file in wanted {
        if filter.may_be_in(file.summary()) {
            file.scan_in_order(&mut filter, query.order, &mut |stored| {
                page.take(&stored);
                page.bound()
            })?;
        } else {
            query.progress.iter().for_each(|progress| progress.advance(file.summary().whole_events()));
        }
    }
    if query.identity.is_some() {
        add_duplicates(&mut page, files, tail, query)?;
    }
    Ok(page.finish())
}

/// Where this instant of a file's events lies.
fn span(file: &FileSummary, of: EventInstant) -> (i64, i64) {
    let span = match of {
        EventInstant::Time => file.times,
        EventInstant::IngestedAt => file.accepted,
    };
    span.map_or((i64::MAX, i64::MIN), |(least, greatest)| (least.nanos(), greatest.nanos()))
}

/// What may be on the page; the stretches are those of the query.
fn filter_of<'q>(query: &'q EventsQuery, times: &'q [Range<i64>], accepted: &'q [Range<i64>]) -> Filter<'q> {
    let named = |filters: &'q [TextFilter]| filters.iter().find_map(TextFilter::named);
    let event_type = match named(&query.event_type) {
        Some([only]) => Some(only.as_str()),
        _ => None,
    };
    let EventsQuery { id, source, subject, event_type: types, .. } = query;
    let mut filter = Filter {
        namespace: Some(&query.namespace),
        event_type,
        subjects: query.subjects.as_deref().or_else(|| named(subject)).map(sorted),
        times: Some(times),
        accepted: Some(accepted),
        visible_only: query.identity.is_none(),
        source: query.identity.as_ref().and_then(|(source, _)| source.as_deref()),
        id: query.identity.as_ref().map(|(_, id)| id.as_str()),
        texts: Texts { id, source, subject, event_type: types },
        progress: query.progress.as_deref(),
        ..Filter::default()
    };
    // What lies before the page ends where, seen from the other end, it begins.
    query.after.into_iter().for_each(|after| filter.end_at(query.order.reversed(), after.at.nanos()));
    filter
}

/// The duplicates of the events in the list.
fn add_duplicates(
    page: &mut Page,
    files: &[Arc<BlockFile>],
    tail: &[Arc<Batch>],
    query: &EventsQuery,
) -> Result<(), Fault> {
    let winners: HashMap<Position, StoredEvent> = page.events().map(|event| (event.position, event.clone())).collect();
    let accepted = query.ingested_times();
    let filter = Filter { accepted: Some(&accepted), ..Filter::default() };
    let mut visit = |stored: Stored<'_>| {
        if let Fate::Duplicate { winner } = stored.fate
            && let Some(winner) = winners.get(&winner)
        {
            let Stored { position, accepted_at, fate, .. } = stored;
            page.add(StoredEvent { position, accepted_at, fate, data: None, ..winner.clone() });
        }
        ControlFlow::Continue(())
    };
    if winners.is_empty() {
        return Ok(());
    }
    for file in files {
        let _ = file.scan_duplicates(&filter, &mut visit)?;
    }
    for batch in tail {
        let _ = scan_batch_filtered(batch, &filter, &mut visit);
    }
    Ok(())
}

fn owned(stored: &Stored<'_>, event: &EventView<'_>) -> StoredEvent {
    StoredEvent {
        position: stored.position,
        accepted_at: stored.accepted_at,
        time: event.instant(stored.accepted_at),
        fate: stored.fate,
        id: event.id.to_owned(),
        source: event.source.to_owned(),
        event_type: event.event_type.to_owned(),
        subject: event.subject.to_owned(),
        specversion: event.specversion.to_owned(),
        time_text: event.time_text.map(str::to_owned),
        dataschema: event.dataschema.map(str::to_owned),
        datacontenttype: event.datacontenttype.map(str::to_owned),
        extensions: event.extensions.to_owned(),
        data: event.data.map(str::to_owned),
        voided: None,
    }
}

#[cfg(test)]
mod tests;
