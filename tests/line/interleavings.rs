//! Thousands of interleavings, each from one integer.

use super::simulator::SimulatedLine;
use std::time::Instant;

/// Seeds per test run, shared between two threads.
const SEEDS: u64 = 40_000;
const THREADS: u64 = 2;

fn random_run(seed: u64) -> SimulatedLine {
    let mut line = SimulatedLine::new(seed, 50 + seed % 30, 3 + (seed % 5) as u32);
    if seed.is_multiple_of(4) {
        line = line.with_poison_at(seed % 50, (seed % 5) as usize);
    }
    if seed.is_multiple_of(16) {
        line = line.with_poison_at((seed / 7) % 50, (seed % 3) as usize + 1);
    }
    line.run_to_the_end();
    line
}

#[test]
fn every_interleaving_ends_where_a_sequential_run_does() {
    let began = Instant::now();
    let fired: u64 = std::thread::scope(|scope| {
        let half = |thread: u64| {
            move || {
                let mut fired = 0;
                for seed in (thread..SEEDS).step_by(THREADS as usize) {
                    let line = random_run(seed);
                    assert_eq!(line.store(), line.reference(), "seed {seed}");
                    assert!(line.fired.all() > 0, "seed {seed} proved nothing");
                    assert!(line.batches >= 5, "seed {seed} had {} batches", line.batches);
                    fired += u64::from(line.fired.all());
                }
                fired
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(half(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a seed failed; it is printed above")).sum()
    });
    let minutes = began.elapsed().as_millis().max(1);
    println!(
        "{SEEDS} interleavings, {fired} faults fired, {} interleavings per minute",
        u128::from(SEEDS) * 60_000 / minutes
    );
}

#[test]
fn a_poisoned_event_is_quarantined_and_its_neighbours_count() {
    for (seed, poison) in [(1, 0), (2, 412), (3, 500), (4, 999)] {
        let mut line = SimulatedLine::new(seed, 1_000, 0)
            .with_batches_of(1_000)
            .with_everything_appended()
            .with_poison_at(poison, 1);
        line.run_to_the_end();
        assert_eq!(line.quarantined(), [poison], "seed {seed}");
        assert_eq!(line.store(), line.reference(), "seed {seed}");
        let attempts = line.attempts_at_poison();
        assert!(
            attempts <= 12,
            "halving 1,000 events takes at most ten cuts and two first tries, not {attempts} (seed {seed})"
        );
        assert_eq!(line.line_restarts(), 0, "halving is no burst");
    }
}
