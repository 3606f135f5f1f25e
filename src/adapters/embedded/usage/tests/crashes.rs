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
                if dice.one_in(2) {
                    disk.power_cut_after(dice.roll(600));
                }
                let to = (store.applied().next(0) + 1 + dice.roll(250)).min(story.end);
                let applied = apply_until_off(&store, &story, &mut dice, to, &disk).await;
                compare_if_on(&store, &story, &mut dice, &disk, seed).await;
                assert!(store.durable().covers(&durable), "seed {seed}: the durable frontier never goes back");
                durable = store.durable();
                if !applied || !disk.is_on() || dice.one_in(3) {
                    with_work_in_flight += u64::from(store.durable() != store.applied());
                    let power_cut = !disk.is_on() || dice.one_in(2);
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
