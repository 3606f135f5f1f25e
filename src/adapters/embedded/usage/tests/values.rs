//! Values of dimensions, counts by subject and lists, against the story told one by one.

use super::story::{DAY, NAMESPACE, START_MINUTE, Told, meter};
use super::*;
use crate::domain::metering::query::{Dimension, EventInstant, EventOrder, ValuesQuery};
use crate::domain::metering::{Aggregation, Fate, Meter};
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::{BTreeMap, BTreeSet};

/// An instant of the story, mostly on a whole minute, hour or day.
fn instant(dice: &mut Dice, days: i64) -> Option<Instant> {
    let at = START_MINUTE * MINUTE_NS + dice.roll((days * DAY * MINUTE_NS) as u64) as i64;
    let unit = *dice.pick(&[1, MINUTE_NS, 60 * MINUTE_NS, DAY * MINUTE_NS]);
    (!dice.one_in(3)).then(|| Instant::from_nanos(at.div_euclid(unit) * unit))
}

fn values_question(story: &Story, dice: &mut Dice) -> ValuesQuery {
    let group = |name: &str| Dimension::Group(name.to_string());
    let dimension = [Dimension::Subject, group("region"), Dimension::Subject, group("region"), group("no such")];
    ValuesQuery {
        meter: dice.pick(&story.meters).clone(),
        dimension: dice.pick(&dimension).clone(),
        from: instant(dice, DAYS),
        to: instant(dice, DAYS),
    }
}

/// The events below an offset that still count as of `applied`.
fn counted(story: &Story, below: u64, applied: u64) -> impl Iterator<Item = &Told> {
    let voided = story.voided(applied);
    let counts = move |told: &&Told| told.fate == Fate::Counts && !voided.contains(&told.offset);
    story.events().filter(move |told| told.offset < below).filter(counts)
}

/// The exact values, of the events below `applied`.
fn values(story: &Story, applied: u64, query: &ValuesQuery) -> Vec<String> {
    let below = story.gone_at(&query.meter).unwrap_or(u64::MAX).min(applied);
    let asked = |told: &&Told| {
        told.event_type == query.meter.event_type
            && query.from.is_none_or(|from| from.nanos() <= told.time)
            && query.to.is_none_or(|to| told.time < to.nanos())
    };
    let value = |told: &Told| match &query.dimension {
        Dimension::Subject => Some(told.subject.clone()),
        Dimension::Group(name) => (name == "region").then(|| told.region.unwrap_or("").to_string()),
    };
    let found: BTreeSet<String> = counted(story, below, applied).filter(asked).filter_map(value).collect();
    found.into_iter().collect()
}

fn counts(story: &Story, applied: u64, from: Instant) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for told in counted(story, applied, applied).filter(|told| from.nanos() <= told.time) {
        *counts.entry(told.subject.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

async fn compare_all(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, seed: u64) -> usize {
    let applied = store.applied().next(story.partition);
    let mut found = 0;
    for _ in 0..8 {
        let query = values_question(story, dice);
        let answered = store.dimension_values(query.clone()).await.expect("values");
        assert_eq!(answered, values(story, applied, &query), "seed {seed}, at {applied}: {query:#?}");
        found += answered.len();
    }
    let from = instant(dice, DAYS).unwrap_or(Instant::from_nanos(i64::MIN));
    let answered = store.event_counts(NAMESPACE, from).await.expect("counts");
    assert_eq!(answered, counts(story, applied, from), "seed {seed}, at {applied}, from {from:?}");
    assert_eq!(store.event_counts("other", from).await.expect("counts"), vec![], "of a namespace without events");
    compare_list(store, story, dice, applied).await;
    found
}

/// All visible events page by page, in any order.
async fn compare_list(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, applied: u64) {
    let order =
        EventOrder { by: *dice.pick(&[EventInstant::Time, EventInstant::IngestedAt]), descending: dice.one_in(2) };
    let is_visible = |told: &&Told| told.offset < applied && matches!(told.fate, Fate::Counts | Fate::Quarantined);
    let key = |told: &Told| match order.by {
        EventInstant::Time => (told.time, told.offset),
        EventInstant::IngestedAt => (told.accepted_at.nanos(), told.offset),
    };
    let mut expected: Vec<&Told> = story.events().filter(is_visible).collect();
    expected.sort_by_key(|told| key(told));
    if order.descending {
        expected.reverse();
    }
    let limit = 50 + dice.roll(200) as usize;
    let mut query = EventsQuery { order, ..EventsQuery::newest(NAMESPACE, limit) };
    let mut listed = Vec::new();
    loop {
        let progress = Arc::new(Progress::default());
        query.progress = Some(progress.clone());
        let page = store.events(query.clone()).await.expect("a page");
        let seen = progress.snapshot();
        assert!(seen.finished && seen.done_events == seen.total_events, "{seen:?}");
        let is_full = page.len() == limit;
        listed.extend(page);
        query.after = listed.last().map(|last| order.cursor(last));
        if !is_full {
            break;
        }
    }
    // What was voided is listed, and says so.
    let offsets: Vec<(u64, bool)> =
        listed.iter().map(|event| (event.position.offset, event.voided.is_some())).collect();
    let voided = story.voided(applied);
    assert_eq!(offsets, expected.iter().map(|told| (told.offset, voided.contains(&told.offset))).collect::<Vec<_>>());
}

#[test]
fn values_counts_and_pages_are_what_counting_one_by_one_gives() {
    let mut found = 0;
    for seed in 1..=5 {
        runtime().block_on(async {
            let story = Story::random(seed, EVENTS, DAYS);
            let mut dice = Dice::new(seed ^ 0x5EED);
            let disk = SimDisk::new(seed);
            let mut store = open(&disk, hasty()).expect("a new store");
            while store.applied().next(0) < story.end {
                let to = (store.applied().next(0) + 1 + dice.roll(300)).min(story.end);
                apply_to(&store, &story, &mut dice, to).await.expect("applied");
                found += compare_all(&store, &story, &mut dice, seed).await;
                match dice.roll(4) {
                    0 => settle(&store).await,
                    1 => {
                        store.close().await.expect("an orderly close");
                        store = open(&disk, hasty()).expect("the store again");
                    }
                    _ => {}
                }
            }
            settle(&store).await;
            for _ in 0..5 {
                found += compare_all(&store, &story, &mut dice, seed).await;
            }
        });
    }
    assert!(found > 500, "{found} values proved little");
}

/// Nine hundred events of `subjects` subjects, at rest in files.
async fn settled(meter: &Arc<Meter>, subjects: u64) -> Arc<EmbeddedUsage> {
    let subject = |number| format!("subject-{}", number % subjects);
    let story = super::limits::told_by_hand(std::slice::from_ref(meter), 900, subject);
    let store = open(&SimDisk::new(1), hasty()).expect("a new store");
    apply_to(&store, &story, &mut Dice::new(1), story.end).await.expect("applied");
    settle(&store).await;
    store
}

#[test]
fn values_of_all_times_are_known_without_reading_events() {
    runtime().block_on(async {
        let meter = meter(0, "call", Aggregation::Sum, None);
        let store = settled(&meter, 80).await;
        let before = store.snapshot().blocks_read;
        for dimension in [Dimension::Subject, Dimension::Group("region".into())] {
            let query = ValuesQuery { meter: meter.clone(), dimension, from: None, to: None };
            assert!(!store.dimension_values(query).await.expect("values").is_empty());
        }
        assert_eq!(store.snapshot().blocks_read, before);
    });
}

#[test]
fn an_answer_from_rollups_alone_is_finished_with_nothing_to_read() {
    runtime().block_on(async {
        let meter = meter(0, "call", Aggregation::Sum, None);
        let store = settled(&meter, 80).await;
        let progress = Arc::new(Progress::default());
        let query = UsageQuery { progress: Some(progress.clone()), ..super::limits::whole(&meter) };
        store.usage(query).await.expect("an answer");
        let seen = progress.snapshot();
        assert_eq!((seen.total_events, seen.done_events, seen.finished), (0, 0, true));
    });
}

#[test]
fn more_values_than_an_answer_may_have_are_refused_with_the_limit() {
    runtime().block_on(async {
        let meter = meter(0, "call", Aggregation::Sum, None);
        let story =
            super::limits::told_by_hand(std::slice::from_ref(&meter), 300, |number| format!("subject-{number}"));
        let store = open(&SimDisk::new(1), Settings { rows_max: 99, ..hasty() }).expect("a new store");
        apply_to(&store, &story, &mut Dice::new(1), story.end).await.expect("applied");
        let query = ValuesQuery { meter, dimension: Dimension::Subject, from: None, to: None };
        let refused = store.dimension_values(query).await.expect_err("three hundred").to_string();
        assert!(refused.contains("99"), "{refused}");
        let refused =
            store.event_counts(NAMESPACE, Instant::from_nanos(0)).await.expect_err("three hundred").to_string();
        assert!(refused.contains("99"), "{refused}");
    });
}
