//! The store's threads: one seals, one merges, one backfills. A fault or a panic is told, and tried again later; the
//! store stays readable, and the line feels it as backpressure.

use super::bell::Bell;
use super::engine::Engine;
use crate::domain::fault::Fault;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A fault that stays makes the wait between tries this many times the first wait, at most.
const BACKOFF_MAX: u64 = 100;

/// The threads, by name.
pub const SEAL: &str = "weir-seal";
pub const MERGE: &str = "weir-merge";
pub const BACKFILL: &str = "weir-backfill";

/// What a thread does next.
enum Next {
    /// More work is due, after this rest.
    Again(Duration),
    /// Nothing is due until somebody rings.
    Idle,
}

/// Starts the threads; each ends when its bell is stopped.
pub fn start(engine: &Arc<Engine>) -> Result<Vec<JoinHandle<()>>, Fault> {
    Ok(vec![
        spawn(engine, SEAL, |engine| &engine.sealing, seal)?,
        spawn(engine, MERGE, |engine| &engine.merging, merge)?,
        spawn(engine, BACKFILL, |engine| &engine.backfilling, backfill)?,
    ])
}

fn spawn(
    engine: &Arc<Engine>,
    name: &'static str,
    bell: fn(&Engine) -> &Bell,
    step: fn(&Engine) -> Result<Next, Fault>,
) -> Result<JoinHandle<()>, Fault> {
    let engine = engine.clone();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || run(&engine, name, bell(&engine), step))
        .map_err(|error| Fault::retry("usage store", format!("the thread {name} cannot be started: {error}")))
}

fn run(engine: &Engine, name: &'static str, bell: &Bell, step: fn(&Engine) -> Result<Next, Fault>) {
    let mut tries = 0u32;
    while !bell.stopped() {
        let outcome = catch_unwind(AssertUnwindSafe(|| step(engine)));
        let outcome = outcome.unwrap_or_else(|_| Err(Fault::give_up("usage store", format!("{name} panicked"))));
        engine.note(name, outcome.as_ref().err().cloned());
        if name == SEAL {
            engine.tell_sealed();
        }
        match outcome {
            Ok(next) => {
                tries = 0;
                match next {
                    Next::Again(pause) => bell.rest(pause),
                    Next::Idle => bell.wait(),
                };
            }
            Err(_) if bell.stopped() => {}
            Err(fault) => {
                tracing::error!(thread = name, %fault, tries, "the usage store's thread will try again");
                let factor = 2u64.saturating_pow(tries).min(BACKOFF_MAX);
                tries = tries.saturating_add(1);
                bell.rest(Duration::from_millis(engine.settings.retry_ms.saturating_mul(factor)));
            }
        }
    }
}

fn seal(engine: &Engine) -> Result<Next, Fault> {
    if engine.seal_oldest()? {
        engine.ring_workers();
        return Ok(Next::Again(Duration::ZERO));
    }
    Ok(Next::Idle)
}

/// Rests after each step for as long as writing its bytes may take on average.
fn merge(engine: &Engine) -> Result<Next, Fault> {
    Ok(match engine.merge_step()? {
        Some(bytes) => Next::Again(at_rate(bytes, engine.settings.merge_bytes_per_s_max)),
        None => Next::Idle,
    })
}

fn backfill(engine: &Engine) -> Result<Next, Fault> {
    let stepped = engine.backfill_step()?;
    if stepped {
        engine.merging.ring();
        return Ok(Next::Again(Duration::ZERO));
    }
    Ok(Next::Idle)
}

fn at_rate(bytes: u64, bytes_per_s: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_rests_as_long_as_its_bytes_may_take() {
        assert_eq!(at_rate(5_000_000, 1_000_000), Duration::from_secs(5));
        assert_eq!(at_rate(0, 1), Duration::ZERO);
        assert_eq!(at_rate(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
