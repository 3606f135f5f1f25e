//! A simulated line: the machine that the actors obey, with a simulated log, store, id index, stages and scheduler, all
//! driven by one integer. Whatever the order in which things happen and fail, the store must end as a sequential run
//! would have left it.

use std::collections::{BTreeSet, VecDeque};
use weir::actors::runtime::jitter::Jitter;
use weir::actors::runtime::machine::{Busy, End, Input, Machine, Output, Phase, Policy, ReadOrder};
use weir::actors::runtime::workers::RestartPolicy;
use weir::domain::position::{Frontier, Position, Range, Standing};

const SOURCE: usize = 0;
const DEDUPER: usize = 2;
const BATCHER: usize = 3;
const WRITER: usize = 4;
const WORKERS: usize = 5;
/// More steps than this, and the line is stuck.
const STEPS_MAX: u64 = 100_000;

/// What a sequential run or the store says about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Counts,
    Duplicate(u64),
    Quarantined,
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Event {
        id: u16,
    },
    /// The quarantine record of an event; [`SimulatedLine::quarantined`] has its offset.
    Quarantined,
}

#[derive(Debug, Clone)]
struct Batch {
    generation: u64,
    range: Range,
    events: Vec<(u64, u16, Fate)>,
}

#[derive(Debug, Default)]
struct Stage {
    up: bool,
    incarnation: u64,
    orders: VecDeque<ReadOrder>,
    inbox: VecDeque<Batch>,
    /// Begun and not finished: a rewind that comes meanwhile does not stop it.
    in_hand: Option<Batch>,
    /// Does nothing until then.
    slow_until: u64,
}

/// What went wrong, and how often.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fired {
    pub panics: u32,
    pub poison: u32,
    pub lost: u32,
    pub stale: u32,
    pub rewinds: u32,
    pub slow: u32,
    pub store_resets: u32,
    pub crashes: u32,
}

impl Fired {
    pub fn all(&self) -> u32 {
        self.panics + self.poison + self.lost + self.stale + self.rewinds + self.slow + self.store_resets + self.crashes
    }
}

/// See the module.
pub struct SimulatedLine {
    random: Jitter,
    seed: u64,
    now_ms: u64,
    // the world
    log: Vec<Record>,
    events_to_come: u64,
    index: Vec<Option<u64>>,
    store: Vec<(u64, Fate)>,
    applied: u64,
    durable: u64,
    quarantined: BTreeSet<u64>,
    /// Offset and stage.
    poison: Vec<(u64, usize)>,
    attempts_at_poison: u32,
    // the line
    machine: Machine,
    generation: u64,
    stages: [Stage; WORKERS],
    inputs: VecDeque<Input>,
    recording: Vec<Position>,
    outputs: Vec<Output>,
    old: Vec<Batch>,
    // what is to go wrong
    faults_left: u32,
    loses_next_ack: bool,
    pub fired: Fired,
    pub batches: u32,
    pub steps: u64,
}

const RESTART: RestartPolicy = RestartPolicy { backoff_ms: [10, 1_000], restarts_max: 5, within_ms: 10_000 };

fn machine(random: &mut Jitter, events_max: u64, applied: u64, now_ms: u64) -> Machine {
    let policy = Policy {
        window_events_max: events_max * 4,
        batches_in_flight_max: 2 + random.below(6) as usize,
        batch_events_max: events_max,
        stall_ms: 1_000,
        rewind_backoff_ms: [10, 500],
        quarantines_max: 6,
        quarantines_within_ms: 10_000,
        line_restart_within_ms: 60_000,
    };
    Machine::new(policy, vec![RESTART; WORKERS], &Frontier::at(0, applied), random.draw(), now_ms)
}

impl SimulatedLine {
    /// `events` in the log's future, `faults` to happen at random.
    pub fn new(seed: u64, events: u64, faults: u32) -> Self {
        let mut random = Jitter::seeded(seed);
        let ids = (events as usize).max(2) * 3 / 4;
        let events_max = 2 + random.below(12);
        let mut line = Self {
            machine: machine(&mut random, events_max, 0, 0),
            random,
            seed,
            now_ms: 0,
            log: Vec::new(),
            events_to_come: events,
            index: vec![None; ids],
            store: Vec::new(),
            applied: 0,
            durable: 0,
            quarantined: BTreeSet::new(),
            poison: Vec::new(),
            attempts_at_poison: 0,
            generation: 1,
            stages: Default::default(),
            inputs: VecDeque::new(),
            recording: Vec::new(),
            outputs: Vec::new(),
            old: Vec::new(),
            faults_left: faults,
            loses_next_ack: false,
            fired: Fired::default(),
            batches: 0,
            steps: 0,
        };
        line.input(Input::Tick { applied: Frontier::at(0, 0) });
        line
    }

    /// The event at this offset makes this stage panic, unless it is passed over.
    pub fn with_poison_at(mut self, offset: u64, stage: usize) -> Self {
        self.poison.push((offset, stage));
        self
    }

    /// Reads as many events at once as the log has, up to this many.
    pub fn with_batches_of(mut self, events_max: u64) -> Self {
        self.machine = machine(&mut self.random, events_max, 0, 0);
        self.stages = Default::default();
        self.input(Input::Tick { applied: Frontier::at(0, 0) });
        self
    }

    /// All events are there before anything is read.
    pub fn with_everything_appended(mut self) -> Self {
        self.append(self.events_to_come);
        self
    }

    pub fn quarantined(&self) -> Vec<u64> {
        self.quarantined.iter().copied().collect()
    }

    pub fn attempts_at_poison(&self) -> u32 {
        self.attempts_at_poison
    }

    pub fn line_restarts(&self) -> u64 {
        self.machine.line_restarts()
    }

    /// What the store has: one fate per event, in log order.
    pub fn store(&self) -> &[(u64, Fate)] {
        &self.store
    }

    /// What a sequential run over the log would have left in the store.
    pub fn reference(&self) -> Vec<(u64, Fate)> {
        let mut winners = vec![None; self.index.len()];
        let mut fates = Vec::with_capacity(self.log.len());
        for (offset, record) in (0..).zip(&self.log) {
            let Record::Event { id } = record else { continue };
            let winner = *winners[*id as usize].get_or_insert(offset);
            fates.push((
                offset,
                match winner == offset {
                    _ if self.quarantined.contains(&offset) => Fate::Quarantined,
                    true => Fate::Counts,
                    false => Fate::Duplicate(winner),
                },
            ));
        }
        fates
    }

    /// Runs until everything that ever came is applied.
    pub fn run_to_the_end(&mut self) {
        while !(self.events_to_come == 0
            && self.faults_left == 0
            && self.applied == self.log.len() as u64
            && self.recording.is_empty())
        {
            self.steps += 1;
            assert!(
                self.steps < STEPS_MAX,
                "seed {}: stuck at {} of {}, {:?}",
                self.seed,
                self.applied,
                self.log.len(),
                self.machine
            );
            self.one_step();
        }
    }

    fn one_step(&mut self) {
        match self.random.below(32) {
            0 if self.faults_left > 0 && self.batches > 2 => self.fault(),
            0..=2 if self.events_to_come > 0 => {
                let events = 1 + self.random.below(8);
                self.append(events.min(self.events_to_come));
            }
            3 if self.random.below(4) == 0 => {
                let ms = 1 + self.random.below(40);
                self.pass_ms(ms);
            }
            3..=5 => self.record_quarantine(),
            6 => {
                let behind = self.random.below(6);
                self.durable = self.durable.max(self.applied.saturating_sub(behind));
            }
            7..=14 => self.conduct(),
            _ => self.work(),
        }
    }

    /// The conductor takes its next input; when there is none, time passes to whatever is due next.
    fn conduct(&mut self) {
        match self.inputs.pop_front() {
            Some(input) => self.input(input),
            None if self
                .stages
                .iter()
                .all(|stage| stage.inbox.is_empty() && stage.orders.is_empty() && stage.in_hand.is_none())
                && self.recording.is_empty() =>
            {
                let due_ms = self.machine.next_tick_ms().unwrap_or(self.now_ms + 250);
                self.pass_ms(due_ms.saturating_sub(self.now_ms).min(500));
            }
            None => {}
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now_ms += ms;
        self.input(Input::Tick { applied: Frontier::at(0, self.applied) });
    }

    fn input(&mut self, input: Input) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.machine.step(input, self.now_ms, &mut outputs);
        for output in outputs.drain(..) {
            self.perform(output);
        }
        self.outputs = outputs;
        if matches!(self.machine.phase(), Phase::Halted(_)) {
            self.crash();
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Raise { generation } => self.generation = generation,
            Output::Spawn { worker, incarnation } => {
                self.stages[worker] = Stage { up: true, incarnation, ..Stage::default() };
                self.inputs.push_back(Input::WorkerUp { worker, incarnation });
            }
            Output::Abort { worker } => self.stages[worker] = Stage::default(),
            Output::Read(order) => self.stages[SOURCE].orders.push_back(order),
            Output::Fence { generation, at } => {
                let range = Range::new(at.partition, at.offset, at.offset);
                self.stages[WRITER].inbox.push_back(Batch { generation, range, events: Vec::new() });
            }
            Output::Quarantine { at, .. } => self.recording.push(at),
            Output::Drained | Output::Exit { .. } => {}
        }
    }

    fn append(&mut self, events: u64) {
        for _ in 0..events {
            let id = self.random.below(self.index.len() as u64) as u16;
            self.log.push(Record::Event { id });
        }
        self.events_to_come -= events;
        self.inputs.push_back(Input::LogGrew(Frontier::at(0, self.log.len() as u64)));
    }

    /// A quarantine record becomes durable, or fails this time.
    fn record_quarantine(&mut self) {
        let Some(at) = self.recording.pop() else { return };
        if self.random.below(4) == 0 {
            return self.inputs.push_back(Input::QuarantineFailed { at, why: "the disk is full".to_owned() });
        }
        self.log.push(Record::Quarantined);
        self.quarantined.insert(at.offset);
        self.inputs.push_back(Input::LogGrew(Frontier::at(0, self.log.len() as u64)));
        self.inputs.push_back(Input::QuarantineDurable { at });
    }

    /// One stage does one thing.
    fn work(&mut self) {
        let worker = self.random.below(WORKERS as u64) as usize;
        if !self.stages[worker].up || self.stages[worker].slow_until > self.steps {
            return;
        }
        if worker == SOURCE {
            if let Some(order) = self.stages[SOURCE].orders.pop_front() {
                self.read(order);
            }
        } else if let Some(batch) = self.stages[worker].in_hand.take() {
            self.handle(worker, batch);
        } else if let Some(mut batch) = self.stages[worker].inbox.pop_front()
            && batch.generation >= self.generation
        {
            if worker == BATCHER {
                self.join(&mut batch);
            }
            self.stages[worker].in_hand = Some(batch);
        }
    }

    fn read(&mut self, order: ReadOrder) {
        if order.generation < self.generation {
            return;
        }
        let there = (self.log.len() as u64).min(order.until).min(order.from.offset + order.events_max);
        let to = if there > order.from.offset + 1 && self.random.below(3) == 0 {
            order.from.offset + 1 + self.random.below(there - order.from.offset)
        } else {
            there
        };
        let range = Range::new(0, order.from.offset, to.max(order.from.offset));
        let mut events = Vec::with_capacity(range.span() as usize);
        for offset in range.from..range.to {
            if let Record::Event { id } = self.log[offset as usize] {
                let fate = if self.quarantined.contains(&offset) { Fate::Quarantined } else { Fate::Counts };
                events.push((offset, id, fate));
            }
        }
        let batch = Batch { generation: order.generation, range, events };
        if self.poisoned(SOURCE, &batch) {
            return self.die(SOURCE, Some(&batch));
        }
        self.batches += 1;
        self.inputs.push_back(Input::ReadDone {
            generation: order.generation,
            range,
            events: batch.events.len() as u64,
        });
        self.send(SOURCE, batch);
    }

    fn join(&mut self, batch: &mut Batch) {
        let inbox = &mut self.stages[BATCHER].inbox;
        while let Some(next) = inbox.front()
            && next.generation == batch.generation
            && next.range.from == batch.range.to
            && self.random.below(2) == 0
        {
            let next = inbox.pop_front().expect("it was just looked at");
            batch.range.to = next.range.to;
            batch.events.extend(next.events);
        }
    }

    fn handle(&mut self, worker: usize, mut batch: Batch) {
        if self.poisoned(worker, &batch) {
            return self.die(worker, Some(&batch));
        }
        match worker {
            DEDUPER => {
                for (offset, id, fate) in &mut batch.events {
                    let winner = claim(&mut self.index[*id as usize], *offset);
                    if winner != *offset && *fate != Fate::Quarantined {
                        *fate = Fate::Duplicate(winner);
                    }
                }
                self.send(worker, batch);
            }
            WRITER => self.apply(batch),
            _ => self.send(worker, batch),
        }
    }

    fn apply(&mut self, batch: Batch) {
        match Frontier::at(0, self.applied).standing(&batch.range) {
            Standing::Gap => {
                let why = "gap".to_owned();
                return self.inputs.push_back(Input::RewindAsked {
                    generation: batch.generation,
                    why,
                    applied: Frontier::at(0, self.applied),
                });
            }
            Standing::Below => {}
            Standing::Next | Standing::Across => {
                let applied = self.applied;
                self.store.extend(
                    batch
                        .events
                        .iter()
                        .filter(|(offset, ..)| *offset >= applied)
                        .map(|(offset, _, fate)| (*offset, *fate)),
                );
                self.applied = batch.range.to;
            }
        }
        if std::mem::take(&mut self.loses_next_ack) {
            self.fired.lost += 1;
            return;
        }
        self.inputs.push_back(Input::Acked { generation: batch.generation, applied: Frontier::at(0, self.applied) });
    }

    fn send(&mut self, worker: usize, batch: Batch) {
        if batch.generation < self.generation {
            return;
        }
        if self.random.below(16) == 0 {
            self.old.push(batch.clone());
        }
        let next = &mut self.stages[worker + 1];
        if next.up {
            next.inbox.push_back(batch);
        } else {
            let why = "nobody there".to_owned();
            self.inputs.push_back(Input::RewindAsked {
                generation: batch.generation,
                why,
                applied: Frontier::at(0, self.applied),
            });
        }
    }

    fn poisoned(&mut self, worker: usize, batch: &Batch) -> bool {
        let hit = |(offset, stage): &&(u64, usize)| {
            *stage == worker && batch.events.iter().any(|(at, _, fate)| at == offset && *fate != Fate::Quarantined)
        };
        let poisoned = self.poison.iter().find(hit).is_some();
        self.fired.poison += u32::from(poisoned);
        self.attempts_at_poison += u32::from(poisoned);
        poisoned
    }

    /// The stage panics; what waits for it is gone.
    fn die(&mut self, worker: usize, busy: Option<&Batch>) {
        let incarnation = self.stages[worker].incarnation;
        self.stages[worker] = Stage::default();
        let busy_with = busy.map(|batch| Busy { generation: batch.generation, range: batch.range });
        let end = End::Panic("boom".to_owned());
        self.inputs.push_back(Input::WorkerEnded {
            worker,
            incarnation,
            end,
            busy_with,
            applied: Frontier::at(0, self.applied),
        });
    }

    /// Something goes wrong. What found nothing to hit does not count: another comes later.
    fn fault(&mut self) {
        let before = self.fired.all();
        self.random_fault();
        self.faults_left -= u32::from(self.fired.all() > before).min(self.faults_left);
    }

    fn random_fault(&mut self) {
        let worker = self.random.below(WORKERS as u64) as usize;
        match self.random.below(9) {
            0 | 1 if self.stages[worker].up => self.panic(worker),
            2 => {
                let queue = &mut self.stages[worker].inbox;
                self.fired.lost +=
                    u32::from(queue.pop_front().is_some() || self.stages[worker].orders.pop_front().is_some());
            }
            3 if worker != SOURCE && self.stages[worker].up && !self.old.is_empty() => {
                let index = self.random.below(self.old.len() as u64) as usize;
                let batch = self.old.swap_remove(index);
                // One that is not outdated would be a batch delivered twice, which an actor's mailbox never does.
                if batch.generation < self.generation {
                    self.fired.stale += 1;
                    self.stages[worker].inbox.push_back(batch);
                }
            }
            4 => {
                self.fired.rewinds += 1;
                let applied = Frontier::at(0, self.applied);
                self.inputs.push_back(Input::RewindAsked {
                    generation: self.generation,
                    why: "asked".to_owned(),
                    applied,
                });
            }
            5 => {
                self.fired.slow += 1;
                self.stages[worker].slow_until = self.steps + self.random.below(500);
            }
            6 => self.reset_store(),
            8 => self.loses_next_ack = true,
            7 => {
                self.fired.crashes += 1;
                self.crash();
            }
            _ => {}
        }
    }

    /// In the middle of a message: before its effect, or after the effect and before anybody hears of it.
    fn panic(&mut self, worker: usize) {
        self.fired.panics += 1;
        let batch = self.stages[worker].in_hand.take();
        if let Some(batch) = &batch
            && self.random.below(2) == 0
        {
            match worker {
                DEDUPER => batch.events.iter().for_each(|(offset, id, _)| {
                    claim(&mut self.index[*id as usize], *offset);
                }),
                WRITER => {
                    self.loses_next_ack = true;
                    self.apply(batch.clone());
                    self.loses_next_ack = false;
                }
                _ => {}
            }
        }
        self.die(worker, batch.as_ref());
    }

    /// The store threw its memory away: it has what is durable.
    fn reset_store(&mut self) {
        self.fired.store_resets += 1;
        self.applied = self.durable;
        let durable = self.durable;
        self.store.retain(|(offset, _)| *offset < durable);
        let why = "the store lost its memory".to_owned();
        self.inputs.push_back(Input::RewindAsked {
            generation: self.generation,
            why,
            applied: Frontier::at(0, self.applied),
        });
    }

    /// The process dies and starts again: only the log, the durable part of the store and some of the index are left.
    fn crash(&mut self) {
        self.applied = self.durable;
        let durable = self.durable;
        self.store.retain(|(offset, _)| *offset < durable);
        if self.random.below(2) == 0 {
            self.index.iter_mut().for_each(|winner| *winner = winner.filter(|offset| *offset < durable));
        }
        self.inputs.clear();
        self.recording.clear();
        self.old.clear();
        self.stages = Default::default();
        let events_max = 2 + self.random.below(12);
        self.machine = machine(&mut self.random, events_max, self.applied, self.now_ms);
        self.generation = self.machine.generation();
        self.inputs.push_back(Input::LogGrew(Frontier::at(0, self.log.len() as u64)));
        self.input(Input::Tick { applied: Frontier::at(0, self.applied) });
    }
}

/// The id index, for one id: who claimed it first *in log order*. What was claimed from beyond a delivery that got lost
/// does not exist for the one that comes before it.
fn claim(winner: &mut Option<u64>, offset: u64) -> u64 {
    let first = winner.map_or(offset, |winner| winner.min(offset));
    *winner = Some(first);
    first
}
