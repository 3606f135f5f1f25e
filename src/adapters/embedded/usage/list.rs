//! Lists of stored events: the newest, those under one id, and conflicts.
//!
//! An event is listed once, under its own position. Duplicates and conflicts never counted and are not listed, unless
//! one event is asked for by its identity: then everything that came under it is.

use super::blocks::{BlockFile, FileSummary, Filter, IdFilter, Stored, scan_batch_filtered, sorted};
use super::engine::{Engine, Owners};
use super::snapshot::quarantine;
use crate::domain::fault::Fault;
use crate::domain::metering::query::{EventsQuery, Pattern, StoredEvent};
use crate::domain::metering::{Batch, Fate};
use crate::domain::position::Position;
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use crate::ports::usage_store::{ReadError, StoredConflict};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Engine {
    /// Reads files, so it belongs onto a thread that may block.
    pub fn list_events(&self, query: &EventsQuery) -> Result<Vec<StoredEvent>, ReadError> {
        let (files, tail) = self.events();
        Ok(match self.asked_for(query)? {
            Some(owners) => newest_where(&files, &tail, query, &|file| owners.may_stand_in(file))?,
            None => newest(&files, &tail, query)?,
        })
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

    /// Reads files, so it belongs onto a thread that may block.
    pub fn list_conflicts(
        &self,
        namespace: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<StoredConflict>, ReadError> {
        let (files, tail) = self.events();
        Ok(conflicts(&files, &tail, namespace, before, limit)?)
    }

    /// All events of the version of this moment.
    fn events(&self) -> (Vec<Arc<BlockFile>>, Vec<Arc<Batch>>) {
        let version = self.version();
        (
            version.files.iter().map(|file| file.shared()).collect(),
            version.tail().map(|waiting| waiting.batch.clone()).collect(),
        )
    }
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

/// The newest `query.limit` events that pass: by time descending, then by position descending.
///
/// With [`EventsQuery::identity`] (source, when one is given, and id) conflicts are listed too, and the duplicates of
/// every event that is: with the winner's attributes and time, their own position and accepted-at, and without data.
///
/// # Errors
/// A file is damaged or cannot be read.
pub fn newest(files: &[Arc<BlockFile>], tail: &[Arc<Batch>], query: &EventsQuery) -> Result<Vec<StoredEvent>, Fault> {
    newest_where(files, tail, query, &|_| true)
}

/// The same, with whole events read from some of the files only.
fn newest_where(
    files: &[Arc<BlockFile>],
    tail: &[Arc<Batch>],
    query: &EventsQuery,
    wanted: &dyn Fn(&FileSummary) -> bool,
) -> Result<Vec<StoredEvent>, Fault> {
    let mut list = Newest { limit: query.limit, events: BTreeMap::new() };
    if query.limit == 0 {
        return Ok(Vec::new());
    }
    let source = query.identity.as_ref().and_then(|(source, _)| source.as_deref());
    let mut filter = filter_of(query);
    for batch in tail {
        let _ = scan_batch_filtered(batch, &filter, &mut |stored| {
            list.take(source, &stored);
            ControlFlow::Continue(())
        });
    }
    let latest = |file: &&Arc<BlockFile>| Reverse(file.summary().times.map(|(_, latest)| latest));
    let mut files: Vec<&Arc<BlockFile>> = files.iter().collect();
    files.sort_by_key(latest);
    for file in files.iter().filter(|file| wanted(file.summary())) {
        filter.time_from = filter.time_from.max(list.bound());
        let Some((least, greatest)) = file.summary().times else { continue };
        if filter.any_time_in((least.nanos(), greatest.nanos())) {
            file.scan_latest_first(&mut filter, &mut |stored| {
                list.take(source, &stored);
                list.bound()
            })?;
        }
    }
    if query.identity.is_some() {
        add_duplicates(&mut list, &files, tail, query)?;
    }
    Ok(list.events.into_values().rev().collect())
}

fn filter_of(query: &EventsQuery) -> Filter<'_> {
    let id = match &query.identity {
        Some((_, id)) => Some(IdFilter::Is(id)),
        None => query.id_contains.as_deref().map(id_contains),
    };
    Filter {
        namespace: Some(&query.namespace),
        subjects: query.subjects.as_deref().map(sorted),
        time_from: query.from.map(Instant::nanos),
        time_to: query.to.map(Instant::nanos),
        accepted_from: query.ingested_from.map(Instant::nanos),
        accepted_to: query.ingested_to.map(Instant::nanos),
        visible_only: query.identity.is_none(),
        id,
        ..Filter::default()
    }
}

/// As the API has it: `%` and `_` are alive.
fn id_contains(text: &str) -> IdFilter<'_> {
    if text.contains(['%', '_', '\\']) {
        IdFilter::Like(Pattern::new(&format!("%{text}%"), false))
    } else {
        IdFilter::Contains(text)
    }
}

/// The duplicates of the events in the list.
fn add_duplicates(
    list: &mut Newest,
    files: &[&Arc<BlockFile>],
    tail: &[Arc<Batch>],
    query: &EventsQuery,
) -> Result<(), Fault> {
    let winners: HashMap<Position, StoredEvent> =
        list.events.values().map(|event| (event.position, event.clone())).collect();
    let filter = Filter {
        accepted_from: query.ingested_from.map(Instant::nanos),
        accepted_to: query.ingested_to.map(Instant::nanos),
        ..Filter::default()
    };
    let mut visit = |stored: Stored<'_>| {
        if let Fate::Duplicate { winner } = stored.fate
            && let Some(winner) = winners.get(&winner)
        {
            let Stored { position, accepted_at, fate, .. } = stored;
            list.add(StoredEvent { position, accepted_at, fate, data: None, ..winner.clone() });
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

/// The newest events so far: never more than `limit`.
struct Newest {
    limit: usize,
    events: BTreeMap<(Instant, Position), StoredEvent>,
}

impl Newest {
    /// The least time that an event must have to be listed, once the list is full.
    fn bound(&self) -> Option<i64> {
        let is_full = self.events.len() >= self.limit;
        self.events.keys().next().filter(|_| is_full).map(|(time, _)| time.nanos())
    }

    /// Takes an event that passed, if it is of the source (`None`: any) and not too old.
    fn take(&mut self, source: Option<&str>, stored: &Stored<'_>) {
        let Some(event) = stored.event.filter(|event| source.is_none_or(|source| source == event.source)) else {
            return;
        };
        let key = (event.instant(stored.accepted_at), stored.position);
        let is_full = self.events.len() >= self.limit;
        let is_too_old = self.events.keys().next().is_some_and(|least| is_full && key < *least);
        if !is_too_old {
            self.add(owned(stored, &event));
        }
    }

    /// A redriven event is stored twice under its position: quarantined, and as what became of it. The latter is
    /// listed, whichever is read first.
    fn add(&mut self, event: StoredEvent) {
        let key = (event.time, event.position);
        if self.events.get(&key).is_some_and(|other| rank(other.fate) >= rank(event.fate)) {
            return;
        }
        self.events.insert(key, event);
        if self.events.len() > self.limit {
            self.events.pop_first();
        }
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
    }
}

#[cfg(test)]
mod tests;
