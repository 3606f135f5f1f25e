//! The store against the naive answer, with thresholds so small that everything happens: seals, merges, dropped
//! minutes, backfills, restarts, kills and power cuts.

mod crashes;
mod limits;
pub mod model;
pub mod story;
mod values;
mod voids;

use super::*;
use crate::adapters::embedded::disk::SimDisk;
use crate::domain::metering::{Aggregation, Meter, Progress};
use crate::domain::quantity::Quantity;
use model::{answer, question, question_by_cuts};
use std::sync::atomic::{AtomicU64, Ordering};
use story::{Dice, KEY, Story};

/// Events of a story and the days they are spread over.
const EVENTS: u64 = 1_500;
pub const DAYS: i64 = 40;

/// Everything happens early.
pub fn hasty() -> Settings {
    Settings {
        seal_events_max: 60,
        minute_keep_days: 2,
        merge_runs_min: 3,
        merge_files_min: 3,
        file_events_max: 500,
        merge_bytes_per_s_max: u64::MAX,
        backfill_rows_max: 40,
        retry_ms: 1,
        ..Settings::default()
    }
}

fn open(disk: &SimDisk, settings: Settings) -> Result<Arc<EmbeddedUsage>, Fault> {
    EmbeddedUsage::open(Arc::new(disk.clone()), settings, KEY, Box::new(|covers| Ok(covers.clone())))
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Applies the story from where the store is, in batches cut by the dice, up to `to`.
async fn apply_to(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, to: u64) -> Result<(), ApplyError> {
    let mut from = store.applied().next(story.partition);
    while from < to {
        let end = (from + 1 + dice.roll(40)).min(to);
        // Now and then a batch that begins below what is applied: sent again, cut differently.
        let begin = if dice.one_in(5) { from.saturating_sub(dice.roll(30)) } else { from };
        store.apply(story.batch(begin, end)).await?;
        from = end;
    }
    Ok(())
}

/// Asks what the dice say and compares with the naive answer.
async fn compare(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, questions: usize, seed: u64) {
    for _ in 0..questions {
        let progress = Arc::new(Progress::default());
        let query = UsageQuery { progress: Some(progress.clone()), ..any_question(story, dice) };
        let answered = store.usage(query.clone()).await.expect("an answer");
        let applied = answered.applied.next(story.partition);
        let expected = answer(story, applied, &query);
        assert_eq!(
            answered.rows,
            expected,
            "seed {seed}, at {applied}, gone at {:?}: {query:#?}",
            story.gone_at(&query.meter)
        );
        let seen = progress.snapshot();
        assert!(seen.finished && seen.done_events == seen.total_events, "seed {seed}: {seen:?} of {query:#?}");
    }
}

/// One question by cuts is all the questions between them.
async fn compare_cuts(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, questions: usize, seed: u64) {
    for _ in 0..questions {
        let meter = dice.pick(&story.meters).clone();
        let (by_cuts, each) = question_by_cuts(dice, &meter, DAYS);
        let mut expected = Vec::new();
        for query in each {
            let rows = store.usage(query).await.expect("an answer").rows;
            // Counting nothing between two cuts is no row.
            expected.extend(rows.into_iter().filter(|row| !is_count(&meter) || row.value != Quantity::ZERO));
        }
        let answered = store.usage(by_cuts.clone()).await.expect("an answer");
        assert_eq!(answered.rows, expected, "seed {seed}: {by_cuts:#?}");
        assert_eq!(expected, answer(story, answered.applied.next(story.partition), &by_cuts), "seed {seed}");
    }
}

fn is_count(meter: &Meter) -> bool {
    matches!(meter.aggregation, Aggregation::Count | Aggregation::UniqueCount)
}

pub fn any_question(story: &Story, dice: &mut Dice) -> UsageQuery {
    let meter = dice.pick(&story.meters).clone();
    question(dice, &meter, DAYS)
}

/// Waits until the store's threads have nothing to do.
pub async fn settle(store: &EmbeddedUsage) {
    store.seal_now();
    for _ in 0..20_000 {
        let snapshot = store.snapshot();
        let jobs_done = snapshot.jobs.iter().all(|job| job.finished);
        if jobs_done && snapshot.durable == snapshot.applied && snapshot.merge_backlog == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("the store does not come to rest: {:#?}", store.snapshot());
}

#[test]
fn every_question_is_answered_as_if_by_counting_one_by_one() {
    let totals: [AtomicU64; 6] = Default::default();
    for seed in 1..=6 {
        runtime().block_on(async {
            let story = Story::random(seed, EVENTS, DAYS);
            let mut dice = Dice::new(seed ^ 0xABCD);
            let disk = SimDisk::new(seed);
            let mut store = open(&disk, hasty()).expect("a new store");
            while store.applied().next(0) < story.end {
                let to = (store.applied().next(0) + 1 + dice.roll(300)).min(story.end);
                apply_to(&store, &story, &mut dice, to).await.expect("applied");
                compare(&store, &story, &mut dice, 6, seed).await;
                compare_cuts(&store, &story, &mut dice, 3, seed).await;
                match dice.roll(5) {
                    0 => settle(&store).await,
                    1 => {
                        let applied = store.applied();
                        store.close().await.expect("an orderly close");
                        store = open(&disk, hasty()).expect("the store again");
                        assert_eq!(store.applied(), applied, "seed {seed}");
                    }
                    _ => {}
                }
            }
            settle(&store).await;
            compare(&store, &story, &mut dice, 40, seed).await;
            compare_cuts(&store, &story, &mut dice, 40, seed).await;
            assert_eq!(store.controls().len(), story.lines.len() - story.events().count(), "seed {seed}");
            let s = store.snapshot();
            let stored = (s.events + s.duplicates + s.conflicts) as usize;
            assert_eq!(stored, story.events().count(), "seed {seed}");
            let seen = [s.seals, s.merges, s.dropped_minute_runs, s.day_rows, s.blocks_read, s.jobs.len() as u64];
            totals.iter().zip(seen).for_each(|(total, seen)| {
                total.fetch_add(seen, Ordering::Relaxed);
            });
        });
    }
    let names = ["seals", "merges", "dropped minute runs", "day rows", "blocks read", "jobs"];
    for (name, total) in names.iter().zip(totals) {
        assert!(total.into_inner() > 0, "no {name}: the test proved nothing");
    }
}

#[test]
fn batches_below_across_and_beyond_the_frontier_are_dropped_cut_and_refused() {
    runtime().block_on(async {
        let story = Story::random(3, EVENTS, DAYS);
        let store = open(&SimDisk::new(3), Settings::default()).expect("a new store");
        store.apply(story.batch(0, 100)).await.expect("next");
        store.apply(story.batch(20, 80)).await.expect("below");
        assert_eq!(store.applied().next(0), 100);
        store.apply(story.batch(50, 150)).await.expect("across");
        assert_eq!(store.applied().next(0), 150);
        let refused = store.apply(story.batch(151, 160)).await.expect_err("beyond");
        assert!(matches!(refused, ApplyError::Gap { ref applied, .. } if applied.next(0) == 150), "{refused}");
        store.apply(crate::domain::metering::Batch { chunks: vec![], ..story.batch(150, 170) }).await.expect("emptied");
        assert_eq!(store.applied().next(0), 170);
        compare(&store, &story_without(&story, 150, 170), &mut Dice::new(9), 30, 3).await;
    });
}

/// The story as a store knows it that got an emptied batch there.
fn story_without(story: &Story, from: u64, to: u64) -> Story {
    let told = |line: &&story::Line| match line {
        story::Line::Event(told) => !(from..to).contains(&told.offset),
        story::Line::Control(offset, Control::Void(_)) => !(from..to).contains(offset),
        story::Line::Control(..) => true,
    };
    let lines = story.lines.iter().filter(told).cloned().collect();
    Story { lines, meters: story.meters.clone(), ..*story }
}
