//! The machine: what the line does next, as a pure function of what happened.
//!
//! It decides credits, generations, rewinds, restarts, halving, quarantine, stalls and the drain. It does no I/O, reads
//! no clock and draws its jitter from a seed, so the simulator drives the same code that the actors do. The conductor
//! carries its inputs and outputs; it decides nothing.

pub use super::signals::{Busy, End, Input, Output, Phase, Policy, ReadOrder};

use super::jitter::Jitter;
use super::lanes::{Lane, Lanes};
use super::suspicion::{Failure, Finding, Piece, Suspicion};
use super::workers::{RestartPolicy, Worker};
use crate::domain::position::{Frontier, Position, Range};
use std::collections::VecDeque;

/// Small batches that may be under way while more is there to be read: beyond them a read waits until it is worth it
/// or something comes back, so that a trickle of appends becomes batches, without a timer.
const SMALL_BATCHES_MAX: usize = 2;
/// A batch of less than this part of a full one is small.
const SMALL_BATCH_PART: u64 = 4;

/// The state. See [`Machine::step`].
#[derive(Debug)]
pub struct Machine {
    // what is fixed
    policy: Policy,
    jitter: Jitter,
    // work in progress
    phase: Phase,
    generation: u64,
    lanes: Lanes,
    workers: Vec<Worker>,
    suspicion: Suspicion,
    /// The worker that panicked over the event that was found, and what it said.
    blamed: (usize, String),
    /// The last generation in which the sink was asked for what it has in its hands.
    fenced: u64,
    quarantine_retry_at_ms: Option<u64>,
    quarantines: VecDeque<u64>,
    line_restarted_at_ms: Option<u64>,
    /// No reads before this moment.
    resume_at_ms: u64,
    /// Rewinds since the store's frontier last moved.
    fruitless_rewinds: u32,
    /// When the frontier last moved, or the backlog began, or a stall was last acted on.
    progress_at_ms: u64,
    /// At the last tick the store had less than it had acknowledged.
    store_lost: bool,
    sick: Option<String>,
    // counters
    rewinds: u64,
    line_restarts: u64,
}

impl Machine {
    /// A line at the store's frontier, all of whose workers are still to be spawned.
    pub fn new(policy: Policy, workers: Vec<RestartPolicy>, applied: &Frontier, seed: u64, now_ms: u64) -> Self {
        Self {
            policy,
            jitter: Jitter::seeded(seed),
            phase: Phase::Running,
            generation: 1,
            lanes: Lanes::from(applied),
            workers: workers.into_iter().map(Worker::new).collect(),
            suspicion: Suspicion::None,
            blamed: (0, String::new()),
            fenced: 0,
            quarantine_retry_at_ms: None,
            quarantines: VecDeque::new(),
            line_restarted_at_ms: None,
            resume_at_ms: now_ms,
            fruitless_rewinds: 0,
            progress_at_ms: now_ms,
            store_lost: false,
            sick: None,
            rewinds: 0,
            line_restarts: 0,
        }
    }

    /// Takes in what happened at `now_ms` (from a clock that never goes back) and appends what is to be done.
    pub fn step(&mut self, input: Input, now_ms: u64, out: &mut Vec<Output>) {
        match input {
            Input::LogGrew(end) => self.grew(&end, now_ms),
            Input::ReadDone { generation, range, events } => self.read_done(generation, range, events, now_ms),
            Input::Acked { generation, applied } if generation == self.generation => self.acked(&applied, now_ms, out),
            Input::Acked { .. } => {}
            Input::WorkerUp { worker, incarnation } => self.up(worker, incarnation),
            Input::WorkerEnded { worker, incarnation, end, busy_with, applied } => {
                if self.workers[worker].incarnation == incarnation && self.workers[worker].respawn_at_ms.is_none() {
                    self.ended(worker, end, busy_with, &applied, now_ms, out);
                }
            }
            Input::RewindAsked { generation, why, applied } => {
                // An older request is settled by the rewind that came after it, unless the store has lost something since.
                if generation == self.generation || !applied.covers(&self.lanes.applied()) {
                    self.note(why);
                    self.rewind_with_backoff(&applied, now_ms, out);
                }
            }
            Input::QuarantineDurable { at } => {
                self.quarantine_retry_at_ms = None;
                self.suspicion.recorded(at);
            }
            Input::QuarantineFailed { at, why } => self.quarantine_failed(at, why, now_ms),
            Input::Tick { applied } => self.tick(&applied, now_ms, out),
            Input::Shutdown if self.phase != Phase::Drained => self.phase = Phase::Draining,
            Input::Shutdown => {}
        }
        self.spawn_due(now_ms, out);
        self.pump(now_ms, out);
        self.drain(out);
    }

    fn grew(&mut self, end: &Frontier, now_ms: u64) {
        let idle = !self.lanes.has_backlog();
        self.lanes.grew(end);
        if idle {
            self.progress_at_ms = now_ms;
        }
    }

    fn read_done(&mut self, generation: u64, range: Range, events: u64, now_ms: u64) {
        if generation != self.generation {
            return;
        }
        self.lanes.lane(range.partition).sent(range, events);
        if range.is_empty() {
            // The log had nothing where its end says there is something: ask again, but not at once.
            self.resume_at_ms = now_ms + self.jitter.backoff_ms(self.policy.rewind_backoff_ms, self.fruitless_rewinds);
            self.fruitless_rewinds = self.fruitless_rewinds.saturating_add(1);
        }
    }

    fn acked(&mut self, applied: &Frontier, now_ms: u64, out: &mut Vec<Output>) {
        if self.lanes.applied_to(applied) {
            self.progress_at_ms = now_ms;
            self.fruitless_rewinds = 0;
            self.sick = None;
            self.workers.iter_mut().for_each(Worker::moved);
        }
        for (partition, next) in applied.iter() {
            self.suspicion.passed(partition, next);
        }
        if let Some(at) = self.suspicion.fenced() {
            self.quarantine(at, now_ms, out);
        }
    }

    fn up(&mut self, worker: usize, incarnation: u64) {
        if self.workers[worker].incarnation == incarnation && self.workers[worker].respawn_at_ms.is_none() {
            self.workers[worker].up = true;
        }
    }

    fn ended(
        &mut self,
        worker: usize,
        end: End,
        busy: Option<Busy>,
        applied: &Frontier,
        now_ms: u64,
        out: &mut Vec<Output>,
    ) {
        for (partition, next) in applied.iter() {
            self.suspicion.passed(partition, next);
        }
        let finding = self.investigate(worker, &end, busy, applied, now_ms);
        self.rewind(applied, out);
        match (finding, end) {
            (Finding::Begun { forgive }, _) => {
                self.workers[forgive.worker].forgive(forgive.at_ms);
                self.restart(worker, false, now_ms);
            }
            (Finding::Cut, _) => self.restart(worker, false, now_ms),
            (Finding::Found(at), End::Panic(reason)) => {
                self.restart(worker, false, now_ms);
                self.note(format!("the event at {at} makes a stage panic: {reason}"));
                self.blamed = (worker, reason);
            }
            (_, End::Fault(why)) => {
                self.note(why);
                self.restart(worker, true, now_ms);
            }
            (finding, end) => {
                if let Finding::NotTheEvent(at) = finding {
                    self.note(format!("the record at {at} makes a stage panic even when it is passed over: {end:?}"));
                }
                self.restart(worker, true, now_ms);
                if self.workers[worker].counts_end(now_ms) {
                    self.restart_line(now_ms, out);
                }
            }
        }
    }

    /// Only panics over what was read last say something about an event.
    fn investigate(
        &mut self,
        worker: usize,
        end: &End,
        busy: Option<Busy>,
        applied: &Frontier,
        now_ms: u64,
    ) -> Finding {
        match (end, busy) {
            (End::Panic(_), Some(busy)) if busy.generation == self.generation => {
                let next = applied.next(busy.range.partition);
                self.suspicion.failed(busy.range, next, Failure { worker, at_ms: now_ms })
            }
            _ => Finding::Nothing,
        }
    }

    fn restart(&mut self, worker: usize, delayed: bool, now_ms: u64) {
        self.workers[worker].ended(now_ms, delayed, &mut self.jitter);
    }

    /// Too many restarts of one stage: everything starts over, once; the next time the process ends.
    fn restart_line(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let again =
            self.line_restarted_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < self.policy.line_restart_within_ms);
        if again {
            let why = "a stage keeps failing, and restarting the whole line did not help".to_owned();
            self.phase = Phase::Halted(why.clone());
            out.push(Output::Exit { why });
            return;
        }
        self.line_restarted_at_ms = Some(now_ms);
        self.line_restarts += 1;
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if worker.respawn_at_ms.is_none() {
                out.push(Output::Abort { worker: index });
            }
            worker.starts_over(now_ms + self.jitter.backoff_ms(worker.policy.backoff_ms, 0));
        }
    }

    fn quarantine(&mut self, at: Position, now_ms: u64, out: &mut Vec<Output>) {
        let (worker, reason) = self.blamed.clone();
        let within_ms = self.policy.quarantines_within_ms;
        self.quarantines.retain(|before| now_ms.saturating_sub(*before) < within_ms);
        if self.quarantines.len() >= self.policy.quarantines_max {
            let many = self.quarantines.len();
            self.phase = Phase::Halted(format!(
                "{many} events were quarantined within {} s and {at} would be the next: the stage is at fault, not the events ({reason})",
                within_ms / 1_000
            ));
            return;
        }
        self.quarantines.push_back(now_ms);
        out.push(Output::Quarantine { at, worker, reason });
    }

    fn quarantine_failed(&mut self, at: Position, why: String, now_ms: u64) {
        if self.suspicion.awaited() == Some(at) {
            self.note(format!("the event at {at} cannot be quarantined: {why}"));
            let wait_ms = self.jitter.backoff_ms(self.policy.rewind_backoff_ms, self.fruitless_rewinds);
            self.fruitless_rewinds = self.fruitless_rewinds.saturating_add(1);
            self.quarantine_retry_at_ms = Some(now_ms + wait_ms);
        }
    }

    fn tick(&mut self, applied: &Frontier, now_ms: u64, out: &mut Vec<Output>) {
        if self.quarantine_retry_at_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.quarantine_retry_at_ms = None;
            if let (Some(at), (worker, reason)) = (self.suspicion.awaited(), self.blamed.clone()) {
                out.push(Output::Quarantine { at, worker, reason });
            }
        }
        // Once may be an acknowledgement that overtook the tick; twice is a store that has less than it said.
        let store_lost = !applied.covers(&self.lanes.applied());
        if store_lost && self.store_lost {
            self.note("the store has less than it acknowledged".to_owned());
            self.rewind_with_backoff(applied, now_ms, out);
        }
        self.store_lost = store_lost && !self.store_lost;
        if self.is_stalled(now_ms) && self.all_up() {
            let seconds = now_ms.saturating_sub(self.progress_at_ms) / 1_000;
            self.note(format!("no progress for {seconds} s with {} events waiting", self.lanes.backlog()));
            self.progress_at_ms = now_ms;
            self.rewind_with_backoff(applied, now_ms, out);
        }
    }

    /// Backlog, and nothing has moved for too long.
    fn is_stalled(&self, now_ms: u64) -> bool {
        let waited_ms = now_ms.saturating_sub(self.progress_at_ms.max(self.resume_at_ms));
        self.phase == Phase::Running && self.lanes.has_backlog() && waited_ms >= self.policy.stall_ms
    }

    fn rewind(&mut self, applied: &Frontier, out: &mut Vec<Output>) {
        self.generation += 1;
        self.rewinds += 1;
        self.lanes.rewind(applied);
        // What was applied on the quiet (an acknowledgement got lost, or came too late) is innocent all the same.
        applied.iter().for_each(|(partition, next)| self.suspicion.passed(partition, next));
        out.push(Output::Raise { generation: self.generation });
    }

    /// The first rewind after progress is immediate; further ones wait longer and longer.
    fn rewind_with_backoff(&mut self, applied: &Frontier, now_ms: u64, out: &mut Vec<Output>) {
        if let Some(attempt) = self.fruitless_rewinds.checked_sub(1) {
            self.resume_at_ms = now_ms + self.jitter.backoff_ms(self.policy.rewind_backoff_ms, attempt);
        }
        self.fruitless_rewinds = self.fruitless_rewinds.saturating_add(1);
        self.rewind(applied, out);
    }

    fn spawn_due(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if self.phase == Phase::Drained {
            return;
        }
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if worker.respawn_at_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                worker.respawn_at_ms = None;
                worker.incarnation += 1;
                out.push(Output::Spawn { worker: index, incarnation: worker.incarnation });
            }
        }
    }

    /// Orders reads as far as credits go.
    fn pump(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if self.phase != Phase::Running || now_ms < self.resume_at_ms || !self.all_up() {
            return;
        }
        if let Some((partition, piece)) = self.suspicion.piece(|partition| self.lanes.next(partition)) {
            match piece {
                Piece::Until(until) if self.lanes.is_quiet() => self.read(partition, until, out),
                Piece::Wait if self.suspicion.is_fencing() => self.fence(partition, out),
                _ => {}
            }
            return;
        }
        while let Some((partition, until)) = self.ready() {
            self.read(partition, until, out);
        }
    }

    /// Once per generation: what is not answered is asked again after the next rewind.
    fn fence(&mut self, partition: u32, out: &mut Vec<Output>) {
        if self.fenced < self.generation {
            self.fenced = self.generation;
            let at = Position::new(partition, self.lanes.next(partition));
            out.push(Output::Fence { generation: self.generation, at });
        }
    }

    /// A partition that has something to read, and credit to read it with.
    fn ready(&self) -> Option<(u32, u64)> {
        let waits = |lane: &Lane| lane.reading.is_none() && lane.next < lane.end;
        let mut lanes = self.lanes.iter().filter(|(_, lane)| waits(lane));
        lanes.find(|(_, lane)| self.has_credit(lane.end - lane.next)).map(|(partition, lane)| (partition, lane.end))
    }

    fn has_credit(&self, waiting: u64) -> bool {
        let in_flight = self.lanes.batches_in_flight();
        let small = waiting < self.policy.batch_events_max / SMALL_BATCH_PART;
        let room = self.policy.window_events_max.saturating_sub(self.lanes.events_in_flight());
        in_flight < self.policy.batches_in_flight_max
            && room >= waiting.min(self.policy.batch_events_max)
            && !(small && in_flight >= SMALL_BATCHES_MAX)
    }

    fn read(&mut self, partition: u32, until: u64, out: &mut Vec<Output>) {
        let generation = self.generation;
        let lane = self.lanes.lane(partition);
        let events_max = (until - lane.next).min(self.policy.batch_events_max);
        lane.reading = Some(events_max);
        out.push(Output::Read(ReadOrder { generation, from: Position::new(partition, lane.next), until, events_max }));
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        if self.phase == Phase::Draining && self.lanes.is_quiet() {
            self.phase = Phase::Drained;
            out.push(Output::Drained);
        }
    }

    fn all_up(&self) -> bool {
        self.workers.iter().all(|worker| worker.up)
    }

    fn note(&mut self, why: String) {
        self.sick = Some(why);
    }
}

#[cfg(test)]
mod tests;
mod view;
