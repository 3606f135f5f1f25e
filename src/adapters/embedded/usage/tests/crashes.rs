//! Kills and power cuts at any operation of the disk: afterwards the store opens, takes up the log from its durable
//! frontier, and answers as if nothing had happened.

use super::*;

#[test]
fn after_a_kill_or_a_power_cut_anywhere_the_same_answers() {
    let mut crashes = [0u64; 2];
    let mut with_work_in_flight = 0;
    for seed in 1..=12 {
        runtime().block_on(async {
            let story = Story::random(100 + seed, EVENTS / 2, DAYS);
            let mut dice = Dice::new(seed ^ 0x5EED);
            let mut disk = SimDisk::new(seed);
            let mut store = open(&disk, hasty()).expect("a new store");
            let mut durable = Frontier::default();
            while store.applied().next(0) < story.end {
                if dice.one_in(3) {
                    disk.power_cut_after(dice.roll(600));
                }
                let to = (store.applied().next(0) + 1 + dice.roll(250)).min(story.end);
                let applied = apply_until_off(&store, &story, &mut dice, to, &disk).await;
                compare_if_on(&store, &story, &mut dice, &disk, seed).await;
                assert!(store.durable().covers(&durable), "seed {seed}: the durable frontier never goes back");
                durable = store.durable();
                if !applied || !disk.is_on() || dice.one_in(3) {
                    with_work_in_flight += u64::from(store.durable() != store.applied());
                    let power_cut = !disk.is_on() || dice.one_in(4);
                    disk = if power_cut { disk.restart() } else { disk.kill() };
                    drop(store);
                    store = open(&disk, hasty()).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
                    assert!(store.durable().covers(&durable), "seed {seed}: what was durable is there");
                    compare(&store, &story, &mut dice, 3, seed).await;
                    crashes[usize::from(power_cut)] += 1;
                }
            }
            // A last time, onto a disk that stays on.
            disk = disk.kill();
            drop(store);
            store = open(&disk, hasty()).expect("the store again");
            apply_to(&store, &story, &mut dice, story.end).await.expect("applied");
            settle(&store).await;
            compare(&store, &story, &mut dice, 30, seed).await;
        });
    }
    assert!(crashes.iter().all(|count| *count > 5) && with_work_in_flight > 10, "{crashes:?} {with_work_in_flight}");
}

/// False when the power went off on the way: then sealing hangs, and so may applying.
async fn apply_until_off(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, to: u64, disk: &SimDisk) -> bool {
    let off = async {
        while disk.is_on() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        applied = apply_to(store, story, dice, to) => applied.is_ok(),
        () = off => false,
    }
}

/// Without power reads may fail; they must not lie.
async fn compare_if_on(store: &EmbeddedUsage, story: &Story, dice: &mut Dice, disk: &SimDisk, seed: u64) {
    for _ in 0..4 {
        let query = any_question(story, dice);
        match store.usage(query.clone()).await {
            Ok(answered) => {
                let expected = answer(story, answered.applied.next(0), &query);
                assert_eq!(answered.rows, expected, "seed {seed}: {query:#?}");
            }
            Err(error) => assert!(!disk.is_on(), "seed {seed}: {error}"),
        }
    }
}

/// Opens a store whose log has let everything go.
fn open_released(disk: &SimDisk) -> Arc<EmbeddedUsage> {
    let settings = Settings { retention_raw_days: Some(36), ..hasty() };
    let store = open(disk, settings).expect("the store");
    *lock(&store.engine.released) = Frontier::at(0, u64::MAX);
    store.engine.merging.ring();
    store
}

#[test]
fn rows_are_healed_before_raw_events_go_through_kills_and_power_cuts() {
    let (mut healed, mut removed, mut crashes, mut answered) = (0, 0, 0, 0);
    for seed in 1..=8 {
        runtime().block_on(async {
            let story = Story::random(300 + seed, EVENTS / 2, 90);
            let mut dice = Dice::new(seed ^ 0x5EED);
            let mut disk = SimDisk::new(seed);
            let mut store = open_released(&disk);
            while store.applied().next(0) < story.end {
                if dice.one_in(2) {
                    disk.power_cut_after(dice.roll(900));
                }
                let to = (store.applied().next(0) + 1 + dice.roll(150)).min(story.end);
                let applied = apply_until_off(&store, &story, &mut dice, to, &disk).await;
                if !applied || !disk.is_on() || dice.one_in(3) {
                    disk = if disk.is_on() { disk.kill() } else { disk.restart() };
                    drop(store);
                    store = open_released(&disk);
                    crashes += 1;
                }
                answered += compare_what_is_kept(&store, &story, &mut dice, 6, seed).await;
            }
            // A last time, onto a disk that stays on.
            disk = disk.kill();
            drop(store);
            store = open_released(&disk);
            apply_to(&store, &story, &mut dice, story.end).await.expect("applied");
            settle(&store).await;
            answered += compare_what_is_kept(&store, &story, &mut dice, 60, seed).await;
            healed += store.engine.ledger().healed.len();
            removed += store.snapshot().blocks_removed;
        });
    }
    assert!(healed > 20 && removed > 3 && crashes > 20 && answered > 200, "{healed} {removed} {crashes} {answered}");
}

/// How many questions were answered; others need raw events that are gone.
async fn compare_what_is_kept(
    store: &EmbeddedUsage,
    story: &Story,
    dice: &mut Dice,
    questions: usize,
    seed: u64,
) -> usize {
    let mut answered = 0;
    for _ in 0..questions {
        let query = any_question(story, dice);
        match store.usage(query.clone()).await {
            Ok(found) => {
                let expected = answer(story, found.applied.next(0), &query);
                assert_eq!(found.rows, expected, "seed {seed}: {query:#?}");
                answered += 1;
            }
            Err(ReadError::Refused(_)) => {}
            // Without power nothing can be read.
            Err(ReadError::Fault(_)) => {}
        }
    }
    answered
}
