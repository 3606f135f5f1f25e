//! What every kind of stage owes the line. A new kind in the catalogue fails here until it has its row.

#[path = "line/memory.rs"]
mod memory;

use memory::{World, ids};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use weir::actors::runtime::{Fortune, Moment, Probe};
use weir::actors::{Line, LineHandle, catalogue};
use weir::domain::metering::Batch;
use weir::pipeline;
use weir::ports::line::{Freshness, LineView, Wait};
use weir::ports::{EventLog, UsageStore};

const AT_MOST: Duration = Duration::from_secs(60);

/// Kind, and what its snapshot counts besides the usual.
const KINDS: [(&str, &str); 5] = [
    ("source", "events"),
    ("validator", "readings"),
    ("deduper", "passed"),
    ("batcher", "sent"),
    ("usage_writer", "applied_batches"),
];

/// One stage of every kind, named after it.
fn topology() -> String {
    let mut text = String::from("[line]\nstall_ms = 200\nwatchdog_ms = 20\n");
    for (index, (kind, _)) in KINDS.iter().enumerate() {
        text += &format!("[stage.{kind}]\nkind = \"{kind}\"\nrestart = {{ backoff_ms = [1, 20] }}\n");
        if index > 0 {
            text += &format!("inputs = [\"{}\"]\n", KINDS[index - 1].0);
        }
        if ["source", "batcher"].contains(kind) {
            text += "settings = { batch_events_max = 16 }\n";
        }
    }
    text
}

async fn start(world: &World, probe: Option<Arc<dyn Probe>>) -> LineHandle {
    let graph = pipeline::compile(&topology(), "compliance.toml", &catalogue()).expect("every kind has its row");
    Line::start(graph, world.ports(), probe, Box::new(|why| panic!("{why}"))).await.expect("it starts")
}

async fn applied_all(line: &LineHandle) {
    assert_eq!(line.wait(None, AT_MOST).await, Wait::Reached, "{:?}", line.snapshot());
}

/// What happens to the batches of one stage.
struct Trouble {
    stage: &'static str,
    moment: Moment,
    kind: Kind,
    on: AtomicBool,
    fired: AtomicU64,
}

enum Kind {
    PanicOnce,
    LoseAll,
}

impl Trouble {
    fn new(stage: &'static str, moment: Moment, kind: Kind) -> Arc<Self> {
        Arc::new(Self { stage, moment, kind, on: AtomicBool::new(true), fired: AtomicU64::new(0) })
    }

    fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }
}

impl Probe for Trouble {
    fn at(&self, stage: &str, moment: Moment, batch: &Batch) -> Fortune {
        if (stage, moment) != (self.stage, self.moment) || batch.range.from < 40 || !self.on.load(Ordering::Relaxed) {
            return Fortune::GoesOn;
        }
        self.fired.fetch_add(1, Ordering::Relaxed);
        match self.kind {
            Kind::PanicOnce => {
                self.on.store(false, Ordering::Relaxed);
                panic!("planned: {stage} over {}", batch.range);
            }
            Kind::LoseAll => Fortune::Lost,
        }
    }
}

#[test]
fn every_kind_of_the_catalogue_has_its_row() {
    let known: Vec<&str> = catalogue().iter().map(|kind| kind.name).collect();
    assert_eq!(known, KINDS.map(|(kind, _)| kind));
}

#[tokio::test]
async fn the_same_input_twice_has_the_same_effect() {
    let world = World::with_events(&ids(200));
    let line = start(&world, None).await;
    applied_all(&line).await;
    let once = world.store.events();
    assert_eq!(once, world.reference());
    // The store has lost everything, the id index nothing: all stages see everything again.
    world.store.forget_from(0);
    world.log.append_events(&[]);
    let until = std::time::Instant::now() + AT_MOST;
    while world.store.applied() != world.log.durable_end() {
        assert!(std::time::Instant::now() < until, "{:?}", line.snapshot());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.store.events(), once);
    for stage in line.snapshot().stages {
        assert!(stage.events >= 400, "{} saw {} events", stage.name, stage.events);
    }
    assert!(line.drain(AT_MOST).await);
}

#[tokio::test]
async fn a_panic_in_the_middle_of_a_message_loses_nothing() {
    for (kind, _) in KINDS {
        let world = World::with_events(&ids(200));
        let trouble = Trouble::new(kind, Moment::BeforeSend, Kind::PanicOnce);
        let line = start(&world, Some(trouble.clone())).await;
        applied_all(&line).await;
        assert_eq!(trouble.fired(), 1, "{kind}: nothing was proved");
        assert_eq!(world.store.events(), world.reference(), "{kind}");
        let snapshot = line.snapshot();
        let restarts: Vec<_> =
            snapshot.stages.iter().filter(|stage| stage.restarts > 0).map(|stage| &stage.name).collect();
        assert_eq!(restarts, [kind], "only the one that panicked is restarted");
        assert!(line.drain(AT_MOST).await);
    }
}

#[tokio::test]
async fn what_goes_no_further_is_not_acknowledged() {
    for (kind, _) in KINDS {
        let world = World::with_events(&ids(200));
        let trouble = Trouble::new(kind, Moment::BeforeSend, Kind::LoseAll);
        let line = start(&world, Some(trouble.clone())).await;
        let until = std::time::Instant::now() + AT_MOST;
        while line.health().is_none() {
            assert!(std::time::Instant::now() < until, "{kind}: green and stuck");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(trouble.fired() > 0, "{kind}: nothing was proved");
        let stuck_at = world.store.applied().next(0);
        assert!(stuck_at < world.log.durable_end().next(0), "{kind}: acknowledged what was lost");
        let expected: Vec<_> = world.reference().into_iter().filter(|((at, _), _)| *at < stuck_at).collect();
        assert_eq!(
            world.store.events().into_iter().collect::<Vec<_>>(),
            expected,
            "{kind}: the frontier says what is there"
        );
        trouble.on.store(false, Ordering::Relaxed);
        applied_all(&line).await;
        assert_eq!(world.store.events(), world.reference(), "{kind}");
        assert!(line.snapshot().rewinds > 0, "{kind}");
        assert!(line.drain(AT_MOST).await);
    }
}

#[tokio::test]
async fn the_snapshot_serializes_and_the_counters_move() {
    let world = World::with_events(&ids(100));
    let line = start(&world, None).await;
    applied_all(&line).await;
    assert!(line.drain(AT_MOST).await);
    let snapshot = line.snapshot();
    let json = serde_json::to_value(&snapshot).expect("it serializes");
    for (stage, (kind, counter)) in snapshot.stages.iter().zip(KINDS) {
        assert_eq!((stage.kind.as_str(), stage.state.as_str(), stage.restarts), (kind, "stopped", 0));
        assert!(stage.messages > 0 && stage.batches > 0 && stage.events == 100, "{stage:?}");
        assert!(stage.handler_seconds.counts.iter().sum::<u64>() > 0, "{kind}: no handler time");
        assert_eq!(stage.queue_depth, 0, "{kind}");
        assert!(stage.detail[counter].as_u64().is_some_and(|count| count > 0), "{kind}: {}", stage.detail);
    }
    assert_eq!(json["stages"].as_array().map(Vec::len), Some(KINDS.len()));
    assert_eq!(snapshot.stages[2].rejections.get("duplicate"), Some(&10));
    assert_eq!((snapshot.backlog_events, snapshot.freshness_ms), (0, 0));
}
