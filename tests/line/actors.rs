//! Real actors, with ports in memory, under faults that are counted.

use super::memory::{MemoryStore, Stored, World, ids};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir::actors::runtime::jitter::Jitter;
use weir::actors::runtime::{Fortune, Moment, Probe};
use weir::actors::{Line, LineHandle, PoisonProbe, catalogue};
use weir::domain::metering::Batch;
use weir::domain::position::Position;
use weir::domain::record::{Control, RecordBytes};
use weir::domain::time::Instant;
use weir::pipeline;
use weir::ports::line::{Freshness, LineView, Wait};
use weir::ports::{EventLog, UsageStore};

/// Long enough for any machine; nothing waits for it to pass.
const AT_MOST: Duration = Duration::from_secs(60);
const STAGES: [&str; 5] = ["source", "validator", "deduper", "batcher", "writer"];

/// The default topology with small batches and short waits, so that there are many of both.
fn topology(width: usize) -> String {
    let fast = "restart = { backoff_ms = [1, 20], burst = { restarts_max = 1_000, within_s = 60 } }";
    pipeline::DEFAULT
        .replace("restart = { backoff_ms = [100, 30_000], burst = { restarts_max = 5, within_s = 60 } }", "")
        .replace("kind = \"validator\"", &format!("kind = \"validator\"\n{fast}"))
        .replace("kind = \"source\"", &format!("kind = \"source\"\n{fast}"))
        .replace("kind = \"deduper\"", &format!("kind = \"deduper\"\n{fast}"))
        .replace("kind = \"batcher\"", &format!("kind = \"batcher\"\n{fast}"))
        .replace("kind = \"usage_writer\"", &format!("kind = \"usage_writer\"\n{fast}"))
        .replace("width = 1 ", &format!("width = {width} "))
        .replace("batch_events_max = 4_000", "batch_events_max = 32")
        .replace("batch_events_max = 16_000", "batch_events_max = 64")
        .replace("stall_ms = 10_000", "stall_ms = 300")
        .replace("watchdog_ms = 500", "watchdog_ms = 20")
}

async fn start(world: &World, width: usize, probe: Option<Arc<dyn Probe>>) -> LineHandle {
    let graph = pipeline::compile(&topology(width), "pipeline.toml", &catalogue()).unwrap();
    let exit = Box::new(|why: &str| panic!("the line gave up: {why}"));
    Line::start(graph, world.ports(), probe, exit).await.unwrap()
}

async fn applied_all(line: &LineHandle) {
    let waited = line.wait(None, AT_MOST).await;
    assert_eq!(waited, Wait::Reached, "{:?}", line.snapshot());
}

fn stored(store: &Arc<MemoryStore>) -> Stored {
    MemoryStore::events(store)
}

#[tokio::test]
async fn events_travel_from_the_log_to_the_store_and_each_id_counts_once() {
    for width in [1, 3] {
        let world = World::with_events(&ids(500));
        let line = start(&world, width, None).await;
        applied_all(&line).await;
        world.log.append_events(&ids(20));
        applied_all(&line).await;
        assert_eq!(stored(&world.store), world.reference(), "width {width}");
        assert_eq!(line.health(), None);
        assert!(line.drain(AT_MOST).await);
        assert_eq!(line.snapshot().state, "drained");
    }
}

/// Panics, delays and losses in the stages it is told, drawn from a seed; each at most so many times.
struct FaultPlan {
    seed: u64,
    random: Mutex<Jitter>,
    stages: Vec<&'static str>,
    left: AtomicU64,
    panics: AtomicU64,
    losses: AtomicU64,
    delays: AtomicU64,
}

impl FaultPlan {
    fn new(seed: u64, stages: &[&'static str], faults: u64) -> Arc<Self> {
        println!("fault plan of seed {seed} in {stages:?}");
        let random = Mutex::new(Jitter::seeded(seed));
        let [panics, losses, delays] = [0; 3].map(AtomicU64::new);
        Arc::new(Self { seed, random, stages: stages.to_vec(), left: AtomicU64::new(faults), panics, losses, delays })
    }

    fn draw(&self, bound: u64) -> u64 {
        self.random.lock().unwrap().below(bound)
    }

    fn takes_one(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl Probe for FaultPlan {
    fn at(&self, stage: &str, moment: Moment, batch: &Batch) -> Fortune {
        if !self.stages.contains(&stage) || self.draw(6) != 0 || !self.takes_one() {
            return Fortune::GoesOn;
        }
        match self.draw(4) {
            0 | 1 => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                panic!("planned by seed {}: {stage} at {moment:?} over {}", self.seed, batch.range);
            }
            2 => {
                self.losses.fetch_add(1, Ordering::Relaxed);
                Fortune::Lost
            }
            _ => {
                self.delays.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(self.draw(5)));
                Fortune::GoesOn
            }
        }
    }
}

/// Panics once, at the first batch of one stage at one moment.
struct PanicOnce {
    stage: &'static str,
    moment: Moment,
    fired: AtomicBool,
}

impl Probe for PanicOnce {
    fn at(&self, stage: &str, moment: Moment, batch: &Batch) -> Fortune {
        if stage == self.stage
            && moment == self.moment
            && batch.range.from > 64
            && !self.fired.swap(true, Ordering::Relaxed)
        {
            panic!("planned");
        }
        Fortune::GoesOn
    }
}

#[tokio::test]
async fn a_panic_in_any_stage_at_any_moment_loses_nothing_and_counts_nothing_twice() {
    for stage in STAGES {
        for moment in [Moment::BeforeWork, Moment::BeforeSend, Moment::BeforeAck] {
            if (stage == "source" && moment == Moment::BeforeWork) || (stage != "writer" && moment == Moment::BeforeAck)
            {
                continue;
            }
            let world = World::with_events(&ids(300));
            let probe = Arc::new(PanicOnce { stage, moment, fired: AtomicBool::new(false) });
            let line = start(&world, 2, Some(probe.clone())).await;
            applied_all(&line).await;
            assert!(probe.fired.load(Ordering::Relaxed), "{stage} at {moment:?}: nothing was proved");
            assert_eq!(stored(&world.store), world.reference(), "{stage} at {moment:?}");
            let snapshot = line.snapshot();
            assert_eq!(snapshot.stages.iter().map(|stage| stage.restarts).sum::<u64>(), 1, "{stage} at {moment:?}");
            assert_eq!(snapshot.quarantined, 0);
            assert!(line.drain(AT_MOST).await);
        }
    }
}

#[tokio::test]
async fn a_line_full_of_faults_ends_where_a_sequential_run_does() {
    let mut losses = 0;
    for seed in 1..=6 {
        let world = World::with_events(&ids(600));
        let plan = FaultPlan::new(seed, &STAGES, 12);
        let line = start(&world, 1 + seed as usize % 2, Some(plan.clone())).await;
        applied_all(&line).await;
        assert_eq!(stored(&world.store), world.reference(), "seed {seed}");
        assert!(plan.panics.load(Ordering::Relaxed) > 0, "seed {seed} proved nothing");
        losses += plan.losses.load(Ordering::Relaxed);
        assert!(line.drain(AT_MOST).await);
    }
    assert!(losses > 0, "no delivery was lost");
}

#[tokio::test]
async fn a_poisoned_event_is_quarantined_redriven_and_then_counts_once() {
    for stage in STAGES {
        let world = World::new();
        world.log.append_controls(&[super::memory::meter()]);
        world.log.append_events(&ids(150));
        let poison = world.log.append_events(&["bad-1".to_owned()]).from;
        world.log.append_events(&ids(90));
        let at = Position::new(0, poison);
        let probe = Arc::new(PoisonProbe::new(stage, "bad-"));
        let line = start(&world, 1, Some(probe.clone())).await;
        applied_all(&line).await;
        assert!((3..=12).contains(&probe.fired.get()), "{stage}: {} attempts", probe.fired.get());
        let recorded = world.log.controls().into_iter().find_map(|(_, control)| match control {
            Control::Quarantined(quarantined) => Some(quarantined),
            _ => None,
        });
        let recorded = recorded.unwrap();
        assert_eq!((recorded.position, recorded.stage.as_str()), (at, stage));
        // The quarantine record itself is read as well.
        applied_all(&line).await;
        assert_eq!(stored(&world.store), world.reference(), "{stage}");
        assert_eq!(line.snapshot().quarantined, 1);
        assert!(line.drain(AT_MOST).await);

        // A build without the poison passes it over as well; a redrive takes it up, the second one does not.
        let line = start(&world, 1, None).await;
        let accepted_at = Instant::from_nanos(poison as i64);
        let redrive = Control::Redriven { position: at, accepted_at, record: RecordBytes(recorded.record.0.clone()) };
        world.log.append_controls(&[redrive.clone(), redrive]);
        applied_all(&line).await;
        let counted = stored(&world.store)
            .iter()
            .filter(|((_, position), (_, measures))| *position == at && *measures > 0)
            .count();
        assert_eq!(counted, 1, "{stage}");
        assert_eq!(stored(&world.store), world.reference(), "{stage}");
        assert_eq!(line.snapshot().quarantined, 0);
        assert!(line.drain(AT_MOST).await);
    }
}

#[tokio::test]
async fn a_store_that_is_behind_again_is_filled_again() {
    let world = World::with_events(&ids(300));
    let line = start(&world, 1, None).await;
    applied_all(&line).await;
    world.store.forget_from(100);
    // What comes next begins beyond what the store has: it is refused, and the line reads again.
    world.log.append_events(&ids(10));
    applied_all(&line).await;
    assert_eq!(stored(&world.store), world.reference());
    assert!(line.drain(AT_MOST).await);
}

#[tokio::test]
async fn a_store_without_space_makes_the_line_red_and_is_tried_again() {
    let world = World::with_events(&ids(50));
    world.store.failing_applies.store(4, Ordering::Relaxed);
    let line = start(&world, 1, None).await;
    let until = std::time::Instant::now() + AT_MOST;
    let mut reasons = Vec::new();
    while line.snapshot().backlog_events > 0 {
        reasons.extend(line.health());
        assert!(std::time::Instant::now() < until);
        tokio::task::yield_now().await;
    }
    assert!(reasons.iter().any(|why| why == "writer: usage store: no space left"), "{reasons:?}");
    assert_eq!(stored(&world.store), world.reference());
    assert_eq!(line.health(), None);
    assert!(line.drain(AT_MOST).await);
}

#[tokio::test]
async fn a_store_that_hangs_is_never_green() {
    let world = World::with_events(&ids(200));
    world.store.held.send_replace(true);
    let line = start(&world, 1, None).await;
    let until = std::time::Instant::now() + AT_MOST;
    while line.health().is_none() || line.snapshot().rewinds == 0 {
        assert!(std::time::Instant::now() < until, "green and stuck, or red and idle");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(line.wait(None, Duration::from_millis(1)).await, Wait::Behind { events, .. } if events > 200));
    world.store.held.send_replace(false);
    applied_all(&line).await;
    assert_eq!(stored(&world.store), world.reference());
    assert!(line.drain(AT_MOST).await);
}

#[tokio::test]
async fn a_record_of_an_unknown_kind_stops_the_line_by_name() {
    let world = World::with_events(&ids(20));
    let line = start(&world, 1, None).await;
    applied_all(&line).await;
    let mut append = weir::ports::event_log::Append { records: vec![2, 0, 0, 0, 200, 0], lengths: vec![6] };
    let at = world.log.append(std::mem::take(&mut append)).await.unwrap().ranges[0].from;
    let until = std::time::Instant::now() + AT_MOST;
    let why = loop {
        if let Some(why) = line.health() {
            break why;
        }
        assert!(std::time::Instant::now() < until, "green and stuck");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        why.starts_with(&format!("source: log: the record at 0:{at} cannot be read: record kind 200 is unknown")),
        "{why}"
    );
    assert_eq!(world.store.applied().next(0), at);
    line.drain(AT_MOST).await;
}
