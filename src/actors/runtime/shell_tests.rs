use super::super::stage::RetryPolicy;
use super::*;
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use crate::domain::position::Frontier;
use crate::domain::position::Range;
use async_trait::async_trait;
use std::sync::atomic::AtomicU64;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Does what the length of the batch's range says, and remembers what came.
struct Obedient(Arc<Mutex<Vec<Range>>>);

const PANIC: u64 = 13;
const FAULT: u64 = 14;
const REWIND: u64 = 15;

#[async_trait(?Send)]
impl Stage<Batch> for Obedient {
    async fn handle(&mut self, batch: Batch, cx: &Context) -> Flow {
        self.0.lock().unwrap().push(batch.range);
        match batch.range.span() {
            PANIC => panic!("thirteen"),
            FAULT => Err(Interrupt::Fault(Fault::give_up("disk", "gone"))),
            REWIND => Err(Interrupt::Rewind("a gap".to_owned())),
            _ => {
                cx.ack(batch.generation, Frontier::at(0, batch.range.to));
                Ok(())
            }
        }
    }
}

impl Blueprint<Batch> for Obedient {
    fn build(&self) -> Box<dyn Stage<Batch>> {
        Box::new(Obedient(self.0.clone()))
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

struct Bench {
    seat: Seat<Batch>,
    seen: Arc<Mutex<Vec<Range>>>,
    reports: UnboundedReceiver<Input>,
}

impl Bench {
    fn new() -> Self {
        let (inputs, reports) = unbounded_channel();
        let retry = RetryPolicy { attempts_max: 1, backoff_ms: [1, 1] };
        let applied = Box::new(|| Frontier::at(0, 7));
        let shared = Arc::new(Shared { generation: AtomicU64::new(2), inputs, applied, retry, probe: None });
        let seen = Arc::new(Mutex::new(Vec::new()));
        let seat = Seat {
            worker: 3,
            stage: "obedient".into(),
            slot: StageRef::default(),
            blueprint: Arc::new(Obedient(seen.clone())),
            outlet: None,
            shared,
            stats: Arc::default(),
            mailbox_max: 4,
            abort: Arc::default(),
        };
        seat.spawn_here(1);
        Self { seat, seen, reports }
    }

    fn deliver(&self, generation: u64, span: u64) -> Flow {
        self.seat.slot.deliver(Batch { generation, range: Range::new(0, 0, span), chunks: Vec::new() }, None)
    }

    /// The next report that is not about the actor being there.
    async fn report(&mut self) -> Input {
        loop {
            match self.reports.recv().await.expect("the seat holds the other end") {
                Input::WorkerUp { worker: 3, .. } => {}
                other => return other,
            }
        }
    }
}

#[actix::test]
async fn an_outdated_batch_is_shed_on_sight() {
    let mut bench = Bench::new();
    bench.deliver(1, 4).unwrap();
    bench.deliver(2, 5).unwrap();
    assert!(matches!(bench.report().await, Input::Acked { generation: 2, .. }));
    assert_eq!(*bench.seen.lock().unwrap(), [Range::new(0, 0, 5)]);
    assert_eq!((bench.seat.stats.messages.get(), bench.seat.stats.shed.get()), (2, 1));
}

#[actix::test]
async fn a_panic_a_fault_and_an_abort_are_told_apart_and_say_what_was_in_hand() {
    for (span, expected) in [
        (PANIC, Some(End::Panic("thirteen".to_owned()))),
        (FAULT, Some(End::Fault("obedient: disk: gone".to_owned()))),
        (0, None),
    ] {
        let mut bench = Bench::new();
        match &expected {
            Some(_) => bench.deliver(2, span).unwrap(),
            None => bench.seat.abort.lock().unwrap().take().expect("it was spawned").abort(),
        }
        let Input::WorkerEnded { worker: 3, incarnation: 1, end, busy_with, applied } = bench.report().await else {
            panic!("no end")
        };
        assert_eq!(end, expected.clone().unwrap_or(End::Stopped));
        let busy = expected.map(|_| Busy { generation: 2, range: Range::new(0, 0, span) });
        assert_eq!((busy_with, applied), (busy, Frontier::at(0, 7)));
    }
}

#[actix::test]
async fn a_dead_or_full_stage_is_never_mistaken_for_a_delivery() {
    let bench = Bench::new();
    for _ in 0..4 {
        let _ = bench.deliver(2, 1);
    }
    let refused = (0..4).filter(|_| matches!(bench.deliver(2, 1), Err(Interrupt::Rewind(_)))).count();
    assert!(refused > 0, "a mailbox of four took eight");

    let mut bench = Bench::new();
    bench.deliver(2, PANIC).unwrap();
    assert!(matches!(bench.report().await, Input::WorkerEnded { .. }));
    assert!(matches!(bench.deliver(2, 1), Err(Interrupt::Rewind(_))), "the actor is dead");
    bench.seat.spawn_here(2);
    bench.deliver(2, 1).unwrap();
    assert!(matches!(bench.report().await, Input::Acked { .. }), "peers reach the next one through the same slot");
}

#[actix::test]
async fn a_refusal_further_down_asks_for_a_rewind_with_what_the_store_has() {
    let mut bench = Bench::new();
    bench.deliver(2, REWIND).unwrap();
    let Input::RewindAsked { generation: 2, why, applied } = bench.report().await else { panic!("no rewind") };
    assert_eq!((why.as_str(), applied), ("obedient: a gap", Frontier::at(0, 7)));
}
