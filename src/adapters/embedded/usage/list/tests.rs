//! Lists against sorting everything.

use super::conflicts::conflicts;
use super::*;
use crate::adapters::embedded::disk::SimDisk;
use crate::adapters::embedded::usage::blocks::tests::{Logged, Seed, batch, files, logged, seed};
use crate::domain::metering::Progress;
use crate::domain::metering::query::{EventCursor, EventOrder, Pattern};
use crate::domain::metering::time_filter::TimeFilter;
use crate::domain::metering::time_filter::tests::filter as time_filter;
use crate::domain::position::Range;
use crate::domain::record::{decode_event, encode_event};
use crate::domain::time::Instant;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::path::Path;

/// Cases of each property: several files are written for each.
const CASES: u32 = 48;
/// The tick of time in which events are made.
const TICK_NS: i64 = 250_000_000;
const BEGIN_NS: i64 = 1_600_000_000_000_000_000;

fn stored(event: &Logged) -> StoredEvent {
    let Logged { at, position, accepted_at, fate, .. } = *event;
    let view = decode_event(&event.record).unwrap();
    owned(&Stored { at, position, accepted_at, fate, event: None }, &view)
}

/// What the list should be: everything, filtered, made one per position, sorted, cut.
fn naive(all: &[Logged], query: &EventsQuery) -> Vec<StoredEvent> {
    let within = |from: Option<Instant>, to: Option<Instant>, at: Instant| {
        from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to)
    };
    let accept = |filters: &[TextFilter], text: &str| filters.iter().all(|filter| filter.accepts(text));
    let passes = |event: &StoredEvent, namespace: &str| {
        let is_visible = matches!(event.fate, Fate::Counts | Fate::Quarantined);
        let is_asked = match &query.identity {
            Some((source, id)) => *id == event.id && source.as_ref().is_none_or(|source| *source == event.source),
            None => is_visible,
        };
        is_asked
            && !matches!(event.fate, Fate::Duplicate { .. })
            && namespace == query.namespace
            && within(query.from, query.to, event.time)
            && within(query.ingested_from, query.ingested_to, event.accepted_at)
            && query.time.iter().all(|filter| filter.accepts(event.time))
            && query.ingested_at.iter().all(|filter| filter.accepts(event.accepted_at))
            && query.subjects.as_ref().is_none_or(|subjects| subjects.contains(&event.subject))
            && accept(&query.id, &event.id)
            && accept(&query.source, &event.source)
            && accept(&query.subject, &event.subject)
            && accept(&query.event_type, &event.event_type)
    };
    let mut found: Vec<StoredEvent> = Vec::new();
    for logged in all {
        let event = stored(logged);
        if passes(&event, decode_event(&logged.record).unwrap().namespace) {
            found.push(event);
        }
    }
    // Of one event the record that says most: counted, then a conflict, then quarantined. The first of equals stays.
    let says = |event: &StoredEvent| (event.fate == Fate::Quarantined, event.fate != Fate::Counts);
    let by_time = query.order.by == EventInstant::Time;
    let key = |event: &StoredEvent| (if by_time { event.time } else { event.accepted_at }, event.position);
    found.sort_by_key(|event| (key(event), says(event)));
    found.dedup_by_key(|event| key(event));
    if query.order.descending {
        found.reverse();
    }
    if let Some(after) = query.after {
        let last = found.iter().position(|event| key(event) == (after.at, after.position));
        found.drain(..=last.expect("pages begin after an event that was listed"));
    }
    found.truncate(query.limit);
    found
}

/// A redriven event is the same as the one at its position, as it is in a log.
fn redriven_alike(all: &mut [Logged]) {
    for i in 0..all.len() {
        if all[i].position.offset == all[i].at {
            continue;
        }
        match all[..i].iter().find(|event| event.at == all[i].position.offset).cloned() {
            Some(first) => (all[i].record, all[i].accepted_at) = (first.record, first.accepted_at),
            None => all[i].position.offset = all[i].at,
        }
    }
}

/// Files, a tail, and all that is in them.
type Made = (Vec<Arc<BlockFile>>, Vec<Arc<Batch>>, Vec<Logged>);

/// The first `merged` files are one.
fn made(parts: &[Vec<Seed>], merged: usize, tail: &[Seed]) -> Made {
    let disk = SimDisk::new(1);
    let (mut files, mut all, end) = files(&disk, parts);
    if merged > 1 {
        let merged = files.drain(..merged.min(files.len())).collect::<Vec<_>>();
        BlockFile::merge(&disk, Path::new("merged"), &merged).unwrap();
        files.push(Arc::new(BlockFile::open(&disk, Path::new("merged")).unwrap()));
    }
    let (tail, to) = logged(tail, end);
    let batch = batch(&tail, Range::new(0, end, to));
    all.extend(tail);
    (files, vec![batch], all)
}

fn time(tick: i64) -> Instant {
    Instant::from_nanos(BEGIN_NS + tick * TICK_NS)
}

fn accepted(n: i64) -> Instant {
    Instant::from_nanos(1_700_000_000_000_000_000 + n * 1_000)
}

/// No filter, mostly; else one or two that speak of these texts.
fn texts(of: &'static [&'static str]) -> impl Strategy<Value = Vec<TextFilter>> {
    let text = proptest::sample::select(of).prop_map(str::to_string);
    let some = proptest::collection::vec(text.clone(), 0..3);
    let bound = (text.clone(), any::<bool>());
    let leaf = prop_oneof![
        some.clone().prop_map(TextFilter::In),
        some.prop_map(TextFilter::NotIn),
        text.prop_map(|text| TextFilter::Like(Pattern::new(
            &format!("%{}%", text.chars().next_back().unwrap()),
            false
        ))),
        bound.clone().prop_map(|(bound, inclusive)| TextFilter::Above { bound, inclusive }),
        bound.prop_map(|(bound, inclusive)| TextFilter::Below { bound, inclusive }),
    ];
    let filter = leaf.prop_recursive(1, 4, 3, |inner| {
        (proptest::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(parts, all)| match all {
            true => TextFilter::And(parts),
            false => TextFilter::Or(parts),
        })
    });
    prop_oneof![3 => Just(vec![]), 2 => proptest::collection::vec(filter, 1..3)]
}

prop_compose! {
    /// Any question to the list that asks for no identity, without a limit.
    fn question()(
        (from, to) in (proptest::option::weighted(0.3, 0i64..40), proptest::option::weighted(0.3, 0i64..40)),
        ingested in proptest::option::weighted(0.3, (10i64..60, 0i64..60)),
        times in proptest::collection::vec(time_filter(|n| time(n * 4)), 0..2),
        ingested_at in proptest::collection::vec(time_filter(|n| accepted(n * 10)), 0..2),
        subjects in proptest::option::weighted(0.3, proptest::collection::vec(0u8..5, 0..3)),
        id in texts(&["0", "a", "é", "c5", "X"]),
        source in texts(&["/a", "https://example.com/b", "/"]),
        subject in texts(&["subject-0", "subject-1", "subject-2", "subject-9"]),
        event_type in texts(&["request", "tokens"]),
        (descending, by_time) in any::<(bool, bool)>(),
    ) -> EventsQuery {
        EventsQuery {
            from: from.map(time),
            to: to.map(time),
            ingested_from: ingested.map(|(from, _)| accepted(from)),
            ingested_to: ingested.map(|(from, length)| accepted(from + length)),
            subjects: subjects.map(|s| s.iter().map(|n| format!("subject-{n}")).collect()),
            id, source, subject, event_type, time: times, ingested_at,
            order: EventOrder { by: if by_time { EventInstant::Time } else { EventInstant::IngestedAt }, descending },
            ..EventsQuery::newest("default", usize::MAX)
        }
    }
}

fn cursors(events: &[StoredEvent], order: EventOrder) -> Vec<EventCursor> {
    events.iter().map(|event| order.cursor(event)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn the_list_is_what_sorting_everything_gives(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        merged in 0usize..4,
        tail in proptest::collection::vec(seed(), 0..10),
        limit in 0usize..30,
        questions in proptest::collection::vec(question(), 4),
    ) {
        let (files, tail, all) = made(&parts, merged, &tail);
        for question in questions {
            let query = EventsQuery { limit, ..question };
            let found = list(&files, &tail, &query).unwrap();
            prop_assert_eq!(cursors(&found, query.order), cursors(&naive(&all, &query), query.order), "{:#?}", query);
            let is_listed = |event: &StoredEvent| all.iter().any(|logged| stored(logged) == *event);
            prop_assert!(found.iter().all(is_listed), "every attribute is the logged one");
        }
    }

    #[test]
    fn pages_one_after_the_other_are_the_whole_list(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        merged in 0usize..4,
        tail in proptest::collection::vec(seed(), 0..10),
        limit in 1usize..8,
        questions in proptest::collection::vec(question(), 3),
    ) {
        let (files, tail, all) = made(&parts, merged, &tail);
        for question in questions {
            let whole = naive(&all, &question);
            let (mut query, mut listed) = (EventsQuery { limit, ..question }, Vec::new());
            loop {
                let page = list(&files, &tail, &query).unwrap();
                prop_assert_eq!(cursors(&page, query.order), cursors(&naive(&all, &query), query.order));
                let is_full = page.len() == limit;
                listed.extend(page);
                query.after = listed.last().map(|last| query.order.cursor(last));
                if !is_full {
                    break;
                }
            }
            prop_assert_eq!(cursors(&listed, query.order), cursors(&whole, query.order), "{:#?}", query);
        }
    }

    #[test]
    fn every_event_is_expected_once_and_done_once(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        tail in proptest::collection::vec(seed(), 0..10),
        limit in 1usize..8,
        question in question(),
    ) {
        let (files, tail, all) = made(&parts, 2, &tail);
        let progress = Arc::new(Progress::default());
        list(&files, &tail, &EventsQuery { limit, progress: Some(progress.clone()), ..question }).unwrap();
        let seen = progress.snapshot();
        prop_assert!(seen.total_events <= all.len() as u64);
        prop_assert_eq!(seen.done_events, seen.total_events);
        // Were it more, it would show now.
        progress.expect(1_000);
        prop_assert_eq!(progress.snapshot().done_events, seen.done_events);
    }

    #[test]
    fn conflicts_are_listed_newest_position_first(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        tail in proptest::collection::vec(seed(), 0..10),
        limit in 1usize..6,
        before in proptest::option::of(0u64..150),
    ) {
        let (files, tail, all) = made(&parts, 0, &tail);
        let before = before.map(|offset| Position::new(0, offset));
        let is_conflict = |event: &&Logged| matches!(event.fate, Fate::Conflict { .. });
        let in_namespace = |event: &&Logged| decode_event(&event.record).unwrap().namespace == "default";
        let mut expected: Vec<Position> =
            all.iter().filter(is_conflict).filter(in_namespace).map(|event| event.position).collect();
        expected.retain(|position| before.is_none_or(|before| *position < before));
        expected.sort_by_key(|position| Reverse(*position));
        expected.truncate(limit);
        let found = conflicts(&files, &tail, "default", before, limit).unwrap();
        prop_assert_eq!(found.iter().map(|found| found.event.position).collect::<Vec<_>>(), expected);
        for conflict in found {
            prop_assert_eq!(conflict.event.fate, Fate::Conflict { winner: conflict.winner });
        }
    }

    #[test]
    fn an_explained_event_comes_with_its_duplicates_and_conflicts(
        mut seeds in proptest::collection::vec(seed(), 4..25),
        pick in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        any_source in any::<bool>(),
    ) {
        let id = pick.get(&seeds).id.clone();
        // Half of the events share the id.
        seeds.iter_mut().step_by(2).for_each(|seed| seed.id.clone_from(&id));
        let (mut all, end) = logged(&seeds, 10);
        redriven_alike(&mut all);
        let (first, second) = all.split_at(cut.index(all.len()));
        let middle = first.last().map_or(10, |event| event.at + 1);
        let disk = SimDisk::new(1);
        let files = [crate::adapters::embedded::usage::blocks::tests::write(&disk, "events-0", first, 10, middle)];
        let tail = [batch(second, Range::new(0, middle, end))];
        let source = (!any_source).then(|| "/a".to_string());
        let query = EventsQuery { identity: Some((source, id)), ..EventsQuery::newest("default", 100) };
        let mut expected = naive(&all, &query);
        let winners: HashMap<Position, StoredEvent> = expected.iter().map(|e| (e.position, e.clone())).collect();
        for event in &all {
            if let Fate::Duplicate { winner } = event.fate && let Some(winner) = winners.get(&winner) {
                let Logged { position, accepted_at, fate, .. } = *event;
                expected.push(StoredEvent { position, accepted_at, fate, data: None, ..winner.clone() });
            }
        }
        expected.sort_by_key(|event| Reverse((event.time, event.position)));
        prop_assert_eq!(list(&files, &tail, &query).unwrap(), expected);
    }
}

/// A file of one subject with an event each second, in blocks of about four events.
fn one_subject(events: u64) -> (Arc<BlockFile>, Vec<Logged>) {
    let data = format!("{{\"pad\":\"{}\"}}", "ab".repeat(16_000));
    let all: Vec<Logged> = (0..events)
        .map(|at| {
            let accepted_at = accepted(at as i64);
            let time = Instant::from_nanos(BEGIN_NS + at as i64 * 1_000_000_000);
            let (time_text, id) = (time.to_rfc3339(), format!("id-{at}"));
            let event = EventView {
                namespace: "default",
                id: &id,
                source: "/a",
                event_type: "request",
                subject: "acme",
                specversion: "1.0",
                time_text: Some(&time_text),
                time: Some(time),
                dataschema: None,
                datacontenttype: None,
                extensions: "",
                data: Some(&data),
            };
            let mut record = Vec::new();
            encode_event(&event, &mut record);
            Logged { at, position: Position::new(0, at), accepted_at, fate: Fate::Counts, record }
        })
        .collect();
    let disk = SimDisk::new(1);
    (crate::adapters::embedded::usage::blocks::tests::write(&disk, "events", &all, 0, events), all)
}

/// A page of five lies in two or three blocks of four, wherever it begins; before it stand the index and its page.
const BLOCKS_OF_A_PAGE_MAX: u64 = 2 + 3;

#[test]
fn a_page_is_read_from_its_own_blocks_wherever_it_lies() {
    let (file, all) = one_subject(200);
    for by in [EventInstant::Time, EventInstant::IngestedAt] {
        for descending in [true, false] {
            let mut query = EventsQuery { order: EventOrder { by, descending }, ..EventsQuery::newest("default", 5) };
            for page in 0..40 {
                let before = file.blocks_read();
                let found = list(std::slice::from_ref(&file), &[], &query).unwrap();
                let read = file.blocks_read() - before;
                assert!(
                    read <= BLOCKS_OF_A_PAGE_MAX,
                    "{read} blocks for page {page} by {by:?}, descending {descending}"
                );
                assert_eq!(found, naive(&all, &query));
                query.after = found.last().map(|last| query.order.cursor(last));
            }
        }
    }
}

#[test]
fn stretches_of_time_are_read_from_their_own_blocks() {
    let (file, all) = one_subject(200);
    let at = |second: i64| Instant::from_nanos(BEGIN_NS + second * 1_000_000_000);
    let second = |from: i64| {
        let above = TimeFilter::Above { bound: at(from), inclusive: true };
        TimeFilter::And(vec![above, TimeFilter::Below { bound: at(from), inclusive: true }])
    };
    let filter = TimeFilter::Or(vec![second(3), second(77), second(150)]);
    let query = EventsQuery { time: vec![filter], ..EventsQuery::newest("default", 100) };
    let before = file.blocks_read();
    let found = list(std::slice::from_ref(&file), &[], &query).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found, naive(&all, &query));
    assert_eq!(file.blocks_read() - before, 2 + 3, "the index, its page, and one block each");
}
