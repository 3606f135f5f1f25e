//! Voids, seen closely: every aggregation, which event is meant, and what can be corrected.

use super::limits::{told_by_hand, whole};
use super::story::{Line, NAMESPACE, START_MINUTE, meter};
use super::*;
use crate::domain::metering::query::EventIdentity;
use crate::domain::record::Void;
use crate::domain::time::MINUTE_NS;

const DAY_NS: i64 = 24 * 60 * MINUTE_NS;

/// The void of the event with this number, as a service writes it.
fn void(story: &Story, number: u64) -> Control {
    let told = story.events().nth(number as usize).expect("it was told");
    Control::Void(Arc::new(Void {
        position: Position::new(0, told.offset),
        namespace: NAMESPACE.into(),
        source: "test".into(),
        id: told.id.clone(),
        event_type: told.event_type.into(),
        subject: told.subject.clone(),
        time: Instant::from_nanos(told.time),
        reason: "it was wrong".into(),
        replacement: None,
    }))
}

#[test]
fn what_is_voided_leaves_every_aggregation_in_memory_and_on_disk() {
    #[rustfmt::skip]
    let table = [
        // 0.00 and 0.01 and 0.02 by event; without the last; without the last and the first; without any
        (Aggregation::Sum,         ["0.03",  "0.01",  "0.01", "-"]),
        (Aggregation::Count,       ["3",     "2",     "1",    "0"]),
        (Aggregation::Avg,         ["0.01",  "0.005", "0.01", "-"]),
        (Aggregation::Min,         ["0",     "0",     "0.01", "-"]),
        (Aggregation::Max,         ["0.02",  "0.01",  "0.01", "-"]),
        (Aggregation::UniqueCount, ["3",     "2",     "1",    "0"]),
        (Aggregation::Latest,      ["0.02",  "0.01",  "0.01", "-"]),
    ];
    for (number, (aggregation, expected)) in (0..).zip(table) {
        runtime().block_on(async {
            let meter = meter(number, "call", aggregation, None);
            let mut story = told_by_hand(std::slice::from_ref(&meter), 3, |_| "acme".into());
            let voids = [2, 0, 1].map(|number| void(&story, number));
            let store = open(&SimDisk::new(1), hasty()).expect("a new store");
            for (step, expected) in expected.into_iter().enumerate() {
                if let Some(void) = step.checked_sub(1).map(|step| voids[step].clone()) {
                    story.control(void);
                }
                store.apply(story.batch(store.applied().next(0), story.end)).await.expect("applied");
                for _ in 0..2 {
                    let rows = store.usage(whole(&meter)).await.expect("an answer").rows;
                    let shown = rows.first().map_or("-".into(), |row| row.value.to_plain());
                    assert_eq!(shown, expected, "{aggregation:?} at step {step}");
                    settle(&store).await;
                }
            }
            assert_eq!(store.snapshot().voided, 3);
        });
    }
}

#[test]
fn without_its_time_an_event_is_meant_only_while_its_id_is_remembered() {
    runtime().block_on(async {
        let mut story = told_by_hand(&[meter(0, "call", Aggregation::Count, None)], 3, |_| "acme".into());
        for (line, days) in story.lines.iter_mut().filter(|line| matches!(line, Line::Event(_))).zip([0, 10, 40]) {
            let Line::Event(told) = line else { unreachable!("only events") };
            told.accepted_at = Instant::from_nanos(START_MINUTE * MINUTE_NS + days * DAY_NS);
            told.id = "same".into();
        }
        let store = open(&SimDisk::new(1), hasty()).expect("a new store");
        store.apply(story.batch(0, story.end)).await.expect("applied");
        let times: Vec<i64> = story.events().map(|told| told.time).collect();
        for _ in 0..2 {
            let meant = async |time: Option<i64>, id: &str| {
                let (namespace, source, id) = (NAMESPACE.into(), "test".into(), id.into());
                let identity = EventIdentity { namespace, source, id, time: time.map(Instant::from_nanos) };
                let found = store.winners(identity).await.expect("an answer");
                found.iter().map(|event| event.time.nanos()).collect::<Vec<_>>()
            };
            assert_eq!(meant(None, "same").await, times[1..]);
            assert_eq!(meant(Some(times[0]), "same").await, times[..1]);
            assert!(meant(Some(times[0] + 1), "same").await.is_empty());
            assert!(meant(None, "other").await.is_empty());
            settle(&store).await;
        }
    });
}

#[test]
fn what_retention_has_removed_or_is_about_to_cannot_be_corrected() {
    runtime().block_on(async {
        let story = Story::random(7, EVENTS, 90);
        let store = open(&SimDisk::new(7), Settings { retention_raw_days: Some(36), ..hasty() }).expect("a new store");
        apply_to(&store, &story, &mut Dice::new(7), story.end).await.expect("applied");
        settle(&store).await;
        let newest = story.events().map(|told| told.accepted_at.nanos()).max().expect("events");
        let correctable = |days: i64| store.correctable(Instant::from_nanos(newest - days * DAY_NS)).is_ok();
        assert!(correctable(0) && correctable(30));
        assert!(!correctable(36) && !correctable(80), "its raw events may go at any moment");
    });
}
