//! Lists against sorting everything.

use super::*;
use crate::adapters::embedded::disk::SimDisk;
use crate::adapters::embedded::usage::blocks::tests::{Logged, Seed, batch, files, logged, seed};
use crate::domain::position::Range;
use crate::domain::record::decode_event;
use proptest::prelude::*;

/// Cases of each property: several files are written for each.
const CASES: u32 = 48;
/// The tick of time in which events are made.
const TICK_NS: i64 = 250_000_000;
const BEGIN_NS: i64 = 1_600_000_000_000_000_000;

fn query(namespace: &str, limit: usize) -> EventsQuery {
    EventsQuery {
        namespace: namespace.into(),
        from: None,
        to: None,
        ingested_from: None,
        ingested_to: None,
        id_contains: None,
        identity: None,
        subjects: None,
        limit,
    }
}

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
    let passes = |event: &StoredEvent, namespace: &str| {
        let is_visible = matches!(event.fate, Fate::Counts | Fate::Quarantined);
        let is_asked = match &query.identity {
            Some((source, id)) => *id == event.id && source.as_ref().is_none_or(|source| *source == event.source),
            None => is_visible && query.id_contains.as_ref().is_none_or(|part| event.id.contains(part)),
        };
        is_asked
            && !matches!(event.fate, Fate::Duplicate { .. })
            && namespace == query.namespace
            && within(query.from, query.to, event.time)
            && within(query.ingested_from, query.ingested_to, event.accepted_at)
            && query.subjects.as_ref().is_none_or(|subjects| subjects.contains(&event.subject))
    };
    let mut found: Vec<StoredEvent> = Vec::new();
    for logged in all {
        let event = stored(logged);
        if !passes(&event, decode_event(&logged.record).unwrap().namespace) {
            continue;
        }
        found.push(event);
    }
    // Of one event the record that says most: counted, then a conflict, then quarantined. The first of equals stays.
    let says = |event: &StoredEvent| (event.fate == Fate::Quarantined, event.fate != Fate::Counts);
    found.sort_by_key(|event| (event.time, event.position, says(event)));
    found.dedup_by_key(|event| (event.time, event.position));
    found.sort_by_key(|event| Reverse((event.time, event.position)));
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

fn made(parts: &[Vec<Seed>], tail: &[Seed]) -> Made {
    let disk = SimDisk::new(1);
    let (files, mut all, end) = files(&disk, parts);
    let (tail, to) = logged(tail, end);
    let batch = batch(&tail, Range::new(0, end, to));
    all.extend(tail);
    (files, vec![batch], all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn the_list_is_what_sorting_everything_gives(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        tail in proptest::collection::vec(seed(), 0..10),
        limit in 0usize..30,
        (from, to) in (proptest::option::of(0i64..40), proptest::option::of(0i64..40)),
        ingested in proptest::option::of((10i64..60, 0i64..60)),
        id in proptest::option::of("[0-9a-e]{1,2}"),
        subjects in proptest::option::of(proptest::collection::vec(0u8..5, 0..3)),
    ) {
        let (files, tail, all) = made(&parts, &tail);
        let time = |tick: i64| Instant::from_nanos(BEGIN_NS + tick * TICK_NS);
        let accepted = |n: i64| Instant::from_nanos(1_700_000_000_000_000_000 + n * 1_000);
        let query = EventsQuery {
            from: from.map(time),
            to: to.map(time),
            ingested_from: ingested.map(|(from, _)| accepted(from)),
            ingested_to: ingested.map(|(from, length)| accepted(from + length)),
            id_contains: id,
            subjects: subjects.map(|s| s.iter().map(|n| format!("subject-{n}")).collect()),
            ..query("default", limit)
        };
        let expected: Vec<_> = naive(&all, &query).iter().map(|e| (e.time, e.position)).collect();
        let found = newest(&files, &tail, &query).unwrap();
        prop_assert_eq!(found.iter().map(|e| (e.time, e.position)).collect::<Vec<_>>(), expected);
        let is_listed = |event: &StoredEvent| all.iter().any(|logged| stored(logged) == *event);
        prop_assert!(found.iter().all(is_listed), "every attribute is the logged one");
    }

    #[test]
    fn conflicts_are_listed_newest_position_first(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        tail in proptest::collection::vec(seed(), 0..10),
        limit in 1usize..6,
        before in proptest::option::of(0u64..150),
    ) {
        let (files, tail, all) = made(&parts, &tail);
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
        let query = EventsQuery { identity: Some((source, id)), ..query("default", 100) };
        let mut expected = naive(&all, &query);
        let winners: HashMap<Position, StoredEvent> = expected.iter().map(|e| (e.position, e.clone())).collect();
        for event in &all {
            if let Fate::Duplicate { winner } = event.fate && let Some(winner) = winners.get(&winner) {
                let Logged { position, accepted_at, fate, .. } = *event;
                expected.push(StoredEvent { position, accepted_at, fate, data: None, ..winner.clone() });
            }
        }
        expected.sort_by_key(|event| Reverse((event.time, event.position)));
        prop_assert_eq!(newest(&files, &tail, &query).unwrap(), expected);
    }
}

#[test]
fn percent_and_underscore_in_an_id_are_alive() {
    #[rustfmt::skip]
    let table = [
        ("b_d",  "abcde", true),
        ("a%e",  "abcde", true),
        ("b.d",  "abcde", false),
        ("b\\_d", "abcde", false),
        ("b\\_d", "ab_de", true),
        ("",     "abcde", true),
    ];
    for (asked, id, passes) in table {
        let asked_query = EventsQuery { id_contains: Some(asked.into()), ..query("default", 1) };
        let filter = filter_of(&asked_query).id.unwrap();
        let found = match &filter {
            IdFilter::Is(wanted) => *wanted == id,
            IdFilter::Contains(part) => id.contains(part),
            IdFilter::Like(pattern) => pattern.matches(id),
        };
        assert_eq!(found, passes, "{asked} in {id}");
    }
}
