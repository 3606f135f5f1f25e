//! What the store does at its bounds: old raw events removed, series that never repeat, answers that are too long, and
//! logs of several partitions.

use super::story::{Line, NAMESPACE, START_MINUTE, Told, meter};
use super::*;
use crate::domain::metering::query::QueryRefusal;
use crate::domain::metering::{Aggregation, Catalog, Fate, Meter};
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::BTreeMap;

pub fn whole(meter: &Arc<Meter>) -> UsageQuery {
    UsageQuery {
        meter: meter.clone(),
        from: None,
        to: None,
        window: None,
        subjects: None,
        group_by_subject: false,
        customers: None,
        group_by: vec![],
        filters: BTreeMap::new(),
        progress: None,
    }
}

/// A story told by hand: `subject` of each event, a minute apart.
pub fn told_by_hand(meters: &[Arc<Meter>], events: u64, subject: impl Fn(u64) -> String) -> Story {
    let mut story = Story { partition: 0, lines: vec![], end: 0, meters: meters.to_vec() };
    meters.iter().for_each(|meter| story.control(Control::MeterLive(meter.clone())));
    for number in 0..events {
        let time = (START_MINUTE + number as i64) * MINUTE_NS + 5;
        story.lines.push(Line::Event(Told {
            offset: story.end,
            event_type: "call",
            subject: subject(number),
            time,
            accepted_at: Instant::from_nanos(time + 1),
            value: Some(number as i64),
            region: Some("eu"),
            fate: Fate::Counts,
            id: format!("event-{number}"),
        }));
        story.end += 1;
    }
    story
}

#[test]
fn a_meter_of_nearly_unique_series_keeps_no_rows_and_is_exact_still() {
    runtime().block_on(async {
        let (many, few) = (meter(0, "call", Aggregation::Sum, None), meter(1, "other", Aggregation::Sum, None));
        let story = told_by_hand(&[many.clone(), few], 900, |number| format!("request-{number}"));
        let settings = Settings { near_unique_min_events: 300, ..hasty() };
        let disk = SimDisk::new(1);
        let mut dice = Dice::new(1);
        let store = open(&disk, settings.clone()).expect("a new store");
        apply_to(&store, &story, &mut dice, story.end).await.expect("applied");
        settle(&store).await;
        let state = store.engine.version().states[&many.version.0].clone();
        assert!(state.near_unique && state.spread.events < 900, "found on the way: {state:?}");
        compare(&store, &story, &mut dice, 40, 1).await;
        for _ in 0..2_000 {
            if store.engine.version().states[&many.version.0].rows_removed {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(store.engine.version().runs.iter().all(|run| !run.has(many.version.0).expect("a run")));
        store.close().await.expect("an orderly close");
        let store = open(&disk, settings).expect("the store again");
        compare(&store, &story, &mut dice, 20, 1).await;
    });
}

#[test]
fn a_meter_of_few_series_keeps_its_rows() {
    runtime().block_on(async {
        let meter = meter(0, "call", Aggregation::Sum, None);
        let story = told_by_hand(std::slice::from_ref(&meter), 900, |number| format!("subject-{}", number % 80));
        let store = open(&SimDisk::new(1), Settings { near_unique_min_events: 300, ..hasty() }).expect("a new store");
        apply_to(&store, &story, &mut Dice::new(1), story.end).await.expect("applied");
        settle(&store).await;
        assert!(!store.engine.version().states[&meter.version.0].near_unique);
    });
}

#[test]
fn an_answer_with_too_many_rows_is_refused_with_the_limit() {
    runtime().block_on(async {
        let meter = meter(0, "call", Aggregation::Count, None);
        let story = told_by_hand(std::slice::from_ref(&meter), 300, |number| format!("subject-{}", number % 100));
        let store = open(&SimDisk::new(1), Settings { rows_max: 99, ..hasty() }).expect("a new store");
        apply_to(&store, &story, &mut Dice::new(1), story.end).await.expect("applied");
        let by_subject = UsageQuery { group_by_subject: true, ..whole(&meter) };
        let refused = store.usage(by_subject).await.expect_err("a hundred rows");
        assert!(matches!(refused, ReadError::Refused(QueryRefusal::TooManyRows { rows_max: 99 })), "{refused}");
        assert_eq!(store.usage(whole(&meter)).await.expect("one row").rows.len(), 1);
    });
}

/// Events of a story of 60 days, and what retention is told to keep of it.
const KEEP_DAYS: u32 = 36;

#[test]
fn what_needs_removed_events_is_refused_and_never_a_smaller_number() {
    runtime().block_on(async {
        let (mut answered, mut refused) = (0, 0);
        let story = Story::random(7, EVENTS, 90);
        let settings = Settings { retention_raw_days: Some(KEEP_DAYS), ..hasty() };
        let disk = SimDisk::new(7);
        let mut dice = Dice::new(7);
        let mut store = open(&disk, settings.clone()).expect("a new store");
        let everything = Frontier::at(0, u64::MAX);
        for round in 1..=10 {
            apply_to(&store, &story, &mut dice, story.end * round / 10).await.expect("applied");
            settle(&store).await;
            *lock(&store.engine.released) = everything.clone();
            store.engine.merging.ring();
            settle(&store).await;
            for _ in 0..40 {
                let query = question(&mut dice, dice_meter(&story, &mut Dice::new(round)), 90);
                match store.usage(query.clone()).await {
                    Ok(found) => {
                        let expected = answer(&story, found.applied.next(0), &query);
                        assert_eq!(found.rows, expected, "round {round}: {query:#?}");
                        answered += 1;
                    }
                    Err(ReadError::Refused(QueryRefusal::RawRemoved { .. })) => refused += 1,
                    Err(other) => panic!("round {round}: {other}"),
                }
            }
            if round % 3 == 0 {
                store.close().await.expect("an orderly close");
                store = open(&disk, settings.clone()).expect("the store again");
            }
        }
        let (removed, healed) = (store.snapshot().blocks_removed, store.engine.ledger().healed.len());
        assert!(removed > 0 && answered > 50 && refused > 10, "{removed} removed, {answered}, {refused}");
        assert!(healed > 5, "{healed} voids were healed before their raw events went");
    });
}

fn dice_meter<'a>(story: &'a Story, dice: &mut Dice) -> &'a Arc<Meter> {
    dice.pick(&story.meters)
}

#[test]
fn nothing_is_removed_before_the_log_has_let_it_go() {
    runtime().block_on(async {
        let story = Story::random(7, EVENTS / 2, 90);
        let store = open(&SimDisk::new(7), Settings { retention_raw_days: Some(1), ..hasty() }).expect("a new store");
        apply_to(&store, &story, &mut Dice::new(7), story.end).await.expect("applied");
        settle(&store).await;
        assert_eq!(store.snapshot().blocks_removed, 0);
    });
}

/// Partition 0 has the meters' records; events come in all three, and those of the others partly before the line
/// there has heard of the meters.
#[test]
fn three_partitions_with_holes_count_every_event_once() {
    for seed in 1..=4 {
        runtime().block_on(async {
            let meters: Vec<Arc<Meter>> = (0..3).map(|n| meter(n, "call", Aggregation::Sum, None)).collect();
            let mut stories: Vec<Story> =
                (0..3).map(|partition| events_only(seed * 10 + partition, partition)).collect();
            let mut first = Story { partition: 0, lines: vec![], end: 0, meters: meters.clone() };
            meters.iter().for_each(|meter| first.control(Control::MeterLive(meter.clone())));
            let late = stories[0].lines.iter().cloned().map(|line| shifted(line, first.end));
            first.lines.extend(late);
            first.end += stories[0].end;
            stories[0] = first;
            let disk = SimDisk::new(seed);
            let mut dice = Dice::new(seed);
            let mut store = open(&disk, hasty()).expect("a new store");
            // The line of the other partitions has not heard of the meters yet.
            let unknowing = Arc::new(Catalog::empty(KEY));
            store.apply(stories[1].batch_under(unknowing.clone(), 0, stories[1].end / 3)).await.expect("applied");
            store.apply(stories[0].batch(0, 50)).await.expect("applied");
            store.apply(stories[2].batch_under(unknowing, 0, 40)).await.expect("applied");
            let live =
                |version: &EmbeddedUsage| {
                    let controls = version.controls();
                    Arc::new(controls.iter().fold(Catalog::empty(KEY), |catalog, (at, control)| {
                        catalog.with(*at, control).unwrap_or(catalog)
                    }))
                };
            while stories.iter().any(|story| store.applied().next(story.partition) < story.end) {
                let story = dice.pick(&stories);
                let from = store.applied().next(story.partition);
                let to = (from + 1 + dice.roll(30)).min(story.end);
                let catalog = if story.partition == 0 { Arc::new(Catalog::empty(KEY)) } else { live(&store) };
                if from < to {
                    store.apply(story.batch_under(catalog, from, to)).await.expect("applied");
                }
                if dice.one_in(40) {
                    settle_anyhow(&store).await;
                    store.close().await.expect("an orderly close");
                    store = open(&disk, hasty()).expect("the store again");
                }
            }
            settle(&store).await;
            let lines = stories.iter().flat_map(|story| story.lines.iter().cloned()).collect();
            let all = Story { partition: 0, lines, end: u64::MAX, meters };
            for _ in 0..40 {
                let query = any_question(&all, &mut dice);
                let found = store.usage(query.clone()).await.expect("an answer");
                assert_eq!(found.rows, answer(&all, u64::MAX, &query), "seed {seed}: {query:#?}");
            }
        });
    }
}

/// Durable and merged; the past of some partition may not be countable yet.
async fn settle_anyhow(store: &EmbeddedUsage) {
    store.seal_now();
    while store.durable() != store.applied() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn events_only(seed: u64, partition: u64) -> Story {
    let mut story = Story::random(seed, 200, DAYS);
    story.partition = partition as u32;
    story.lines.retain(|line| matches!(line, Line::Event(_)));
    story
}

fn shifted(line: Line, by: u64) -> Line {
    match line {
        Line::Event(told) => Line::Event(Told { offset: told.offset + by, ..told }),
        other => other,
    }
}

#[test]
fn a_stored_namespace_is_asked_by_its_own_meters_only() {
    runtime().block_on(async {
        let meter = meter(0, "call", Aggregation::Count, None);
        let story = told_by_hand(std::slice::from_ref(&meter), 100, |_| "acme".into());
        let store = open(&SimDisk::new(1), hasty()).expect("a new store");
        apply_to(&store, &story, &mut Dice::new(1), story.end).await.expect("applied");
        let stranger = Arc::new(Meter { namespace: "other".into(), version: ulid::Ulid(9), ..(*meter).clone() });
        assert_ne!(stranger.namespace, NAMESPACE);
        let rows = store.usage(whole(&stranger)).await.expect("an answer").rows;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].value, crate::domain::quantity::Quantity::ZERO);
    });
}
