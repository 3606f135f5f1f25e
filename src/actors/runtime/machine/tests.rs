//! The machine, step by step.

use super::*;

const RESTART: RestartPolicy = RestartPolicy { backoff_ms: [100, 1_000], restarts_max: 2, within_ms: 60_000 };

fn policy() -> Policy {
    Policy {
        window_events_max: 40,
        batches_in_flight_max: 8,
        batch_events_max: 10,
        stall_ms: 10_000,
        rewind_backoff_ms: [100, 30_000],
        quarantines_max: 2,
        quarantines_within_ms: 60_000,
        line_restart_within_ms: 600_000,
    }
}

/// A machine whose three workers are up, and what it said last.
struct Bench {
    machine: Machine,
    now_ms: u64,
    applied: Frontier,
}

impl Bench {
    fn up() -> Self {
        let applied = Frontier::at(0, 0);
        let machine = Machine::new(policy(), vec![RESTART; 3], &applied, 7, 0);
        let mut bench = Self { machine, now_ms: 0, applied };
        bench.pass_ms(0);
        bench
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.step(input, self.now_ms, &mut out);
        let spawned: Vec<(usize, u64)> = out
            .iter()
            .filter_map(|output| match output {
                Output::Spawn { worker, incarnation } => Some((*worker, *incarnation)),
                _ => None,
            })
            .collect();
        for (worker, incarnation) in spawned {
            self.machine.step(Input::WorkerUp { worker, incarnation }, self.now_ms, &mut out);
        }
        out
    }

    fn pass_ms(&mut self, ms: u64) -> Vec<Output> {
        self.now_ms += ms;
        self.step(Input::Tick { applied: self.applied.clone() })
    }

    fn grow(&mut self, end: u64) -> Vec<Output> {
        self.step(Input::LogGrew(Frontier::at(0, end)))
    }

    fn read_done(&mut self, from: u64, to: u64) -> Vec<Output> {
        let generation = self.machine.generation();
        self.step(Input::ReadDone { generation, range: Range::new(0, from, to), events: to - from })
    }

    fn ack(&mut self, to: u64) -> Vec<Output> {
        self.applied = Frontier::at(0, to);
        let generation = self.machine.generation();
        self.step(Input::Acked { generation, applied: self.applied.clone() })
    }

    /// Where the read that is under way ends: at the end of a piece, or at `otherwise`.
    fn piece_end(&self, next: u64, otherwise: u64) -> u64 {
        match self.machine.suspicion.piece(|_| next) {
            Some((_, Piece::Until(until))) => until.min(next + policy().batch_events_max),
            Some((_, Piece::Wait)) => next,
            None => otherwise,
        }
    }

    /// A stage panics; should the sink be asked for what it has in its hands then, it has nothing.
    fn panic(&mut self, worker: usize, over: Option<Range>) -> Vec<Output> {
        let out = self.panic_before_fence(worker, over);
        if self.machine.suspicion.is_fencing() { self.ack(self.applied.next(0)) } else { out }
    }

    fn panic_before_fence(&mut self, worker: usize, over: Option<Range>) -> Vec<Output> {
        let busy_with = over.map(|range| Busy { generation: self.machine.generation(), range });
        let incarnation = self.machine.workers[worker].incarnation;
        let (end, applied) = (End::Panic("boom".to_owned()), self.applied.clone());
        self.step(Input::WorkerEnded { worker, incarnation, end, busy_with, applied })
    }
}

fn reads(outputs: &[Output]) -> Vec<(u64, u64, u64)> {
    let read = |output: &Output| match output {
        Output::Read(order) => Some((order.from.offset, order.until, order.events_max)),
        _ => None,
    };
    outputs.iter().filter_map(read).collect()
}

#[test]
fn reads_stop_when_the_window_is_full_and_go_on_after_an_ack() {
    let mut line = Bench::up();
    assert_eq!(reads(&line.grow(1_000)), [(0, 1_000, 10)]);
    for from in [0, 10, 20] {
        assert_eq!(reads(&line.read_done(from, from + 10)), [(from + 10, 1_000, 10)]);
    }
    assert_eq!(reads(&line.read_done(30, 40)), [], "40 events are in flight");
    assert!(line.machine.is_blocked());
    assert_eq!(reads(&line.ack(20)), [(40, 1_000, 10)]);
}

#[test]
fn a_trickle_is_gathered_while_two_small_batches_are_under_way() {
    let mut line = Bench::up();
    assert_eq!(reads(&line.grow(1)), [(0, 1, 1)]);
    line.grow(2);
    assert_eq!(reads(&line.read_done(0, 1)), [(1, 2, 1)]);
    line.grow(3);
    assert_eq!(reads(&line.read_done(1, 2)), [], "two are under way");
    assert_eq!(reads(&line.ack(1)), [(2, 3, 1)]);
}

#[test]
fn a_panic_raises_the_generation_restarts_the_stage_and_reads_from_the_frontier() {
    let mut line = Bench::up();
    line.grow(30);
    line.read_done(0, 10);
    line.read_done(10, 20);
    line.ack(10);
    let out = line.panic(2, Some(Range::new(0, 10, 20)));
    assert_eq!(out, [Output::Raise { generation: 2 }], "nothing is read before the stage is back");
    let out = line.pass_ms(100);
    assert_eq!(reads(&out), [(10, 30, 10)]);
    assert!(out.contains(&Output::Spawn { worker: 2, incarnation: 2 }));
}

#[test]
fn reports_of_an_older_generation_or_actor_change_nothing() {
    let mut line = Bench::up();
    line.grow(30);
    let generation = line.machine.generation();
    line.panic(0, None);
    line.pass_ms(100);
    let stale = [
        Input::ReadDone { generation, range: Range::new(0, 0, 10), events: 10 },
        Input::Acked { generation, applied: Frontier::at(0, 10) },
        Input::RewindAsked { generation, why: "late".to_owned(), applied: Frontier::at(0, 0) },
        Input::WorkerEnded {
            worker: 0,
            incarnation: 1,
            end: End::Stopped,
            busy_with: None,
            applied: Frontier::at(0, 0),
        },
    ];
    for input in stale {
        assert_eq!(line.step(input.clone()), [], "{input:?}");
    }
    assert_eq!(line.machine.rewinds(), 1);
}

#[test]
fn a_poisoned_event_is_passed_only_after_its_record_is_durable() {
    let mut line = Bench::up();
    line.grow(4);
    let mut attempts = 0;
    let found = loop {
        line.pass_ms(1_000);
        let from = line.applied.next(0);
        let to = line.piece_end(from, 4);
        line.read_done(from, to);
        if !(from..to).contains(&2) {
            line.ack(to);
            continue;
        }
        attempts += 1;
        let out = line.panic(1, Some(Range::new(0, from, to)));
        if let Some(Output::Quarantine { at, worker, .. }) = out.iter().find(|o| matches!(o, Output::Quarantine { .. }))
        {
            break (*at, *worker);
        }
    };
    assert_eq!(found, (Position::new(0, 2), 1));
    assert!(attempts <= 4, "two whole attempts, two cuts: {attempts}");
    assert_eq!(reads(&line.pass_ms(1_000)), [], "the frontier waits");
    assert_eq!(reads(&line.step(Input::QuarantineDurable { at: found.0 })), [(2, 3, 1)]);
    line.read_done(2, 3);
    assert_eq!(reads(&line.ack(3)), [(3, 4, 1)]);
    assert_eq!(line.machine.line_restarts(), 0, "halving is no burst");
}

#[test]
fn an_event_is_recorded_only_when_the_sink_has_nothing_older_in_its_hands() {
    for (applied, recorded) in [(0, 1), (1, 0)] {
        let mut line = Bench::up();
        line.grow(1);
        let mut out = Vec::new();
        for _ in 0..3 {
            line.pass_ms(1_000);
            line.read_done(0, 1);
            out = line.panic_before_fence(0, Some(Range::new(0, 0, 1)));
        }
        let quarantines = |out: &[Output]| out.iter().filter(|o| matches!(o, Output::Quarantine { .. })).count();
        assert!(matches!(out.last(), Some(Output::Fence { at: Position { partition: 0, offset: 0 }, .. })), "{out:?}");
        assert_eq!(quarantines(&out), 0);
        // Its answer says whether an older batch has brought the event into the store meanwhile.
        assert_eq!(quarantines(&line.ack(applied)), recorded);
    }
}

#[test]
fn a_record_that_cannot_be_written_is_tried_again_and_the_line_says_so() {
    let mut line = Bench::up();
    line.grow(1);
    let at = Position::new(0, 0);
    for _ in 0..3 {
        line.pass_ms(1_000);
        line.read_done(0, 1);
        line.panic(0, Some(Range::new(0, 0, 1)));
    }
    line.step(Input::QuarantineFailed { at, why: "disk full".to_owned() });
    assert_eq!(
        line.machine.sickness(line.now_ms).as_deref(),
        Some("the event at 0:0 cannot be quarantined: disk full")
    );
    let out = line.pass_ms(100);
    assert!(matches!(&out[..], [Output::Quarantine { worker: 0, reason, .. }] if reason == "boom"), "{out:?}");
}

#[test]
fn a_stage_that_panics_on_everything_stops_the_line_instead_of_quarantining_everything() {
    let mut line = Bench::up();
    line.grow(100);
    for _ in 0..200 {
        line.pass_ms(50);
        if line.machine.in_flight_events() == 0 {
            continue;
        }
        let next = line.applied.next(0);
        let to = line.piece_end(next, next + 10);
        line.read_done(next, to);
        for output in line.panic(1, Some(Range::new(0, next, to))) {
            if let Output::Quarantine { at, .. } = output {
                line.step(Input::QuarantineDurable { at });
                line.read_done(at.offset, at.offset + 1);
                line.ack(at.offset + 1);
            }
        }
    }
    assert!(matches!(line.machine.phase(), Phase::Halted(why) if why.contains("the stage is at fault")));
    assert!(line.machine.sickness(line.now_ms).is_some());
    assert_eq!(line.applied.next(0), 2, "two were passed over, not all");
}

#[test]
fn a_burst_of_restarts_restarts_the_line_and_then_ends_the_process() {
    let mut line = Bench::up();
    let mut aborted = 0;
    let mut exits = 0;
    for _ in 0..6 {
        line.pass_ms(1_000);
        for output in line.panic(1, None) {
            aborted += usize::from(matches!(output, Output::Abort { .. }));
            exits += usize::from(matches!(output, Output::Exit { .. }));
        }
    }
    assert_eq!((aborted, exits, line.machine.line_restarts()), (2, 1, 1));
}

#[test]
fn a_fault_of_the_world_never_ends_the_process_but_the_line_is_red() {
    let mut line = Bench::up();
    line.grow(10);
    for _ in 0..20 {
        line.pass_ms(1_000);
        let incarnation = line.machine.workers[2].incarnation;
        let end = End::Fault("usage store: no space left".to_owned());
        let input = Input::WorkerEnded { worker: 2, incarnation, end, busy_with: None, applied: line.applied.clone() };
        assert!(line.step(input).iter().all(|output| !matches!(output, Output::Exit { .. })));
        assert_eq!(line.machine.sickness(line.now_ms).as_deref(), Some("usage store: no space left"));
    }
    line.pass_ms(1_000);
    line.read_done(0, 10);
    line.ack(10);
    assert_eq!(line.machine.sickness(line.now_ms), None);
}

#[test]
fn backlog_without_progress_is_red_and_rewinds_and_an_idle_line_is_neither() {
    let mut line = Bench::up();
    line.pass_ms(60_000);
    assert_eq!(line.machine.sickness(line.now_ms), None);
    line.grow(10);
    line.pass_ms(9_999);
    assert_eq!((line.machine.rewinds(), line.machine.sickness(line.now_ms)), (0, None));
    let out = line.pass_ms(1);
    assert_eq!(line.machine.rewinds(), 1);
    assert_eq!(reads(&out), [(0, 10, 10)]);
    assert_eq!(line.machine.sickness(line.now_ms).as_deref(), Some("no progress for 10 s with 10 events waiting"));
}

#[test]
fn rewinds_without_progress_wait_longer_and_longer() {
    let mut line = Bench::up();
    line.grow(10);
    let rewind = |line: &mut Bench| {
        let generation = line.machine.generation();
        line.step(Input::RewindAsked { generation, why: "gap".to_owned(), applied: line.applied.clone() })
    };
    assert_eq!(reads(&rewind(&mut line)).len(), 1, "the first one is immediate");
    assert_eq!(reads(&rewind(&mut line)).len(), 0);
    assert!(line.machine.next_tick_ms().is_some_and(|at_ms| at_ms > line.now_ms));
    assert_eq!(reads(&line.pass_ms(100)).len(), 1);
}

#[test]
fn a_store_that_lost_its_memory_is_read_again_from_what_it_has() {
    let mut line = Bench::up();
    line.grow(30);
    line.read_done(0, 10);
    line.ack(10);
    line.applied = Frontier::at(0, 4);
    let generation = line.machine.generation();
    let out = line.step(Input::RewindAsked { generation, why: "gap".to_owned(), applied: line.applied.clone() });
    assert_eq!(reads(&out), [(4, 30, 10)]);
}

#[test]
fn a_shutdown_waits_for_what_is_in_flight_and_reads_nothing_more() {
    let mut line = Bench::up();
    line.grow(30);
    line.read_done(0, 10);
    assert_eq!(line.step(Input::Shutdown), []);
    assert_eq!(line.read_done(10, 20), []);
    assert_eq!(line.ack(20), [Output::Drained]);
    assert_eq!(line.grow(40), []);
}
