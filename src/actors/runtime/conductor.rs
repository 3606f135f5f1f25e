//! The conductor: carries what happened to the machine and does what the machine says. It decides nothing.
//!
//! It lives on the line's own thread; a watchdog on another one gives it the time and looks whether it still lives.
//! It loses nothing when it dies, for it keeps nothing but the machine, and the process ends then.

use super::machine::{Input, Machine, Output, Phase, ReadOrder};
use super::quarantine::QuarantineLedger;
use super::shell::Seat;
use super::slot::StageRef;
use super::stage::{Flow, Interrupt, Shared};
use super::stats::StageStats;
use crate::domain::metering::Batch;
use crate::domain::position::{Position, Range};
use crate::domain::record::{Control, Kind, Quarantined, RecordBytes, decode_control, encode_control, peek};
use crate::ports::event_log::{Append, EventLog};
use crate::ports::line::Sickness;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

/// Largest record that is read to be quarantined, in bytes: at least one record comes back, whatever its size.
const QUARANTINE_READ_BYTES: usize = 1;

/// A seat of either sort.
pub enum AnySeat {
    Source(Arc<Seat<ReadOrder>>),
    Stage(Arc<Seat<Batch>>),
}

/// One worker: its thread, and how to put a new actor on it.
pub struct Post {
    pub stage: Arc<str>,
    pub arbiter: actix_rt::Arbiter,
    pub seat: AnySeat,
}

/// What others may see of the machine, as of its last step.
#[derive(Debug, Clone, Default)]
pub struct Status {
    pub phase: String,
    pub generation: u64,
    pub in_flight_events: u64,
    pub rewinds: u64,
    pub line_restarts: u64,
    pub sickness: Sickness,
    /// Per worker: whether it is up, and its restarts.
    pub workers: Vec<(bool, u64)>,
}

/// What the conductor shares with the line's handle.
#[derive(Default)]
pub struct Board {
    pub status: Mutex<Status>,
    /// Raised with every step: the watchdog sees by it that the conductor lives.
    pub beats: AtomicU64,
}

/// See the module.
pub struct Conductor {
    // wiring
    pub machine: Machine,
    pub posts: Vec<Post>,
    pub source: StageRef<ReadOrder>,
    pub sink: StageRef<Batch>,
    pub source_stats: Arc<StageStats>,
    pub log: Arc<dyn EventLog>,
    pub shared: Arc<Shared>,
    pub ledger: Arc<Mutex<QuarantineLedger>>,
    pub board: Arc<Board>,
    pub exit: Arc<dyn Fn(&str) + Send + Sync>,
    pub drained: watch::Sender<bool>,
    // work in progress
    pub began: Instant,
    pub blocked_since: Option<Instant>,
}

impl Conductor {
    /// Runs until the line is drained, or its handle is gone.
    pub async fn run(mut self, mut inputs: UnboundedReceiver<Input>) {
        let mut growth = self.log.growth();
        let end = self.log.durable_end();
        self.step(Input::LogGrew(end));
        while !*self.drained.borrow() {
            let input = tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    Some(input) => input,
                    None => return,
                },
                grown = growth.changed() => match grown {
                    Ok(()) => Input::LogGrew(growth.borrow_and_update().clone()),
                    // The log is gone: nothing will grow any more, the rest goes on.
                    Err(_) => std::future::pending().await,
                },
                () = sleep_until(self.machine.next_tick_ms(), self.began) => self.tick(),
            };
            self.step(input);
        }
    }

    fn tick(&self) -> Input {
        Input::Tick { applied: (self.shared.applied)() }
    }

    fn step(&mut self, input: Input) {
        let mut outputs = Vec::new();
        let now_ms =
            u64::try_from(self.began.elapsed().as_millis()).expect("a process runs for less than 500 million years");
        self.machine.step(input, now_ms, &mut outputs);
        for output in outputs {
            self.perform(output);
        }
        self.note_blocked();
        self.publish(now_ms);
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Raise { generation } => self.shared.generation.store(generation, Ordering::Release),
            Output::Spawn { worker, incarnation } => self.spawn(worker, incarnation),
            Output::Abort { worker } => self.abort(worker),
            Output::Read(order) => self.ask_rewind_unless(self.source.deliver(order, None), order.generation),
            Output::Fence { generation, at } => self.fence(generation, at),
            Output::Quarantine { at, worker, reason } => {
                self.quarantine(at, self.posts[worker].stage.to_string(), reason)
            }
            Output::Drained => {
                self.drained.send_replace(true);
            }
            Output::Exit { why } => (self.exit)(&why),
        }
    }

    fn fence(&self, generation: u64, at: Position) {
        let range = Range::new(at.partition, at.offset, at.offset);
        let empty = Batch { generation, range, chunks: Vec::new() };
        self.ask_rewind_unless(self.sink.deliver(empty, None), generation);
    }

    /// What could not be delivered is not in flight.
    fn ask_rewind_unless(&self, delivered: Flow, generation: u64) {
        if let Err(Interrupt::Rewind(why)) = delivered {
            let applied = (self.shared.applied)();
            self.shared.report(Input::RewindAsked { generation, why, applied });
        }
    }

    fn spawn(&self, worker: usize, incarnation: u64) {
        let post = &self.posts[worker];
        if incarnation > 1 {
            tracing::warn!(stage = &*post.stage, incarnation, "a stage is restarted");
        }
        match &post.seat {
            AnySeat::Source(seat) => {
                let seat = seat.clone();
                post.arbiter.spawn_fn(move || seat.spawn_here(incarnation));
            }
            AnySeat::Stage(seat) => {
                let seat = seat.clone();
                post.arbiter.spawn_fn(move || seat.spawn_here(incarnation));
            }
        }
    }

    fn abort(&self, worker: usize) {
        let abort = match &self.posts[worker].seat {
            AnySeat::Source(seat) => &seat.abort,
            AnySeat::Stage(seat) => &seat.abort,
        };
        if let Some(task) = abort.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Off the conductor's path: reading and appending take their time.
    fn quarantine(&self, at: Position, stage: String, reason: String) {
        let (log, shared, ledger) = (self.log.clone(), self.shared.clone(), self.ledger.clone());
        actix_rt::spawn(async move {
            let recorded = record_quarantine(&*log, at, stage, reason).await;
            shared.report(match recorded {
                Ok((recorded_at, control)) => {
                    tracing::error!(%at, %recorded_at, "an event was quarantined");
                    ledger.lock().unwrap_or_else(PoisonError::into_inner).record(recorded_at, &control);
                    Input::QuarantineDurable { at }
                }
                Err(why) => Input::QuarantineFailed { at, why },
            });
        });
    }

    /// There is something to read, and no credit: that is the source waiting for room further down.
    fn note_blocked(&mut self) {
        match (self.machine.is_blocked(), self.blocked_since) {
            (true, None) => self.blocked_since = Some(Instant::now()),
            (false, Some(since)) => {
                self.source_stats.blocked_us.add(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
                self.blocked_since = None;
            }
            _ => {}
        }
    }

    fn publish(&self, now_ms: u64) {
        let machine = &self.machine;
        let mut status = self.board.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.phase.clear();
        status.phase.push_str(match machine.phase() {
            Phase::Running if machine.is_halving() => "halving",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Drained => "drained",
            Phase::Halted(_) => "halted",
        });
        status.generation = machine.generation();
        status.in_flight_events = machine.in_flight_events();
        status.rewinds = machine.rewinds();
        status.line_restarts = machine.line_restarts();
        status.sickness = machine.sickness(now_ms);
        status.workers.clear();
        status.workers.extend((0..self.posts.len()).map(|worker| (machine.is_up(worker), machine.restarts(worker))));
        self.board.beats.fetch_add(1, Ordering::Relaxed);
    }
}

async fn sleep_until(at_ms: Option<u64>, began: Instant) {
    match at_ms {
        Some(at_ms) => tokio::time::sleep_until((began + Duration::from_millis(at_ms)).into()).await,
        None => std::future::pending().await,
    }
}

/// Appends the quarantine record for the event that the record at `at` brings; says where it stands. A second record
/// about the same event, after an append whose outcome was unknown, changes nothing.
async fn record_quarantine(
    log: &dyn EventLog,
    at: Position,
    stage: String,
    reason: String,
) -> Result<(Position, Control), String> {
    let (position, accepted_at, record) = event_at(log, at).await?;
    let control = Control::Quarantined(Quarantined { position, accepted_at, stage, reason, record });
    let mut append = Append::default();
    encode_control(&control, &mut append.records);
    append.lengths.push(u32::try_from(append.records.len()).map_err(|_| "its record is too large".to_owned())?);
    let appended = log.append(append).await.map_err(|error| error.to_string())?;
    let range = appended.ranges.first().ok_or_else(|| "the log does not say where the record is".to_owned())?;
    Ok((Position::new(range.partition, range.from), control))
}

/// The event that a record brings: its own, the one it redrives, or the one it puts in the place of a voided one.
async fn event_at(
    log: &dyn EventLog,
    at: Position,
) -> Result<(Position, crate::domain::time::Instant, RecordBytes), String> {
    let slice = log.read(at, 1, QUARANTINE_READ_BYTES).await.map_err(|fault| fault.to_string())?;
    let mut records = slice.chunks.iter().flat_map(|chunk| chunk.records.iter().map(move |record| (chunk, record)));
    let (chunk, record) =
        records.find(|(_, record)| record.offset == at.offset).ok_or_else(|| format!("there is no record at {at}"))?;
    let bytes = &chunk.bytes[record.start as usize..record.end as usize];
    match peek(bytes).map_err(|error| error.to_string())?.1 {
        Kind::Event => Ok((at, record.accepted_at, RecordBytes(bytes.to_vec()))),
        Kind::Redriven | Kind::Void => match decode_control(bytes).map_err(|error| error.to_string())? {
            Control::Redriven { position, accepted_at, record } => Ok((position, accepted_at, record)),
            Control::Void(void) => {
                let event = void.replacement.clone().ok_or_else(|| format!("the void at {at} brings no event"))?;
                Ok((at, record.accepted_at, event))
            }
            _ => Err(format!("the record at {at} is not what its kind says")),
        },
        kind => Err(format!("the record at {at} is no event but {kind:?}")),
    }
}

/// Gives the conductor the time, and ends the process when the conductor does not take it any more.
pub fn watch_conductor(
    shared: Arc<Shared>,
    board: Arc<Board>,
    exit: Arc<dyn Fn(&str) + Send + Sync>,
    every: Duration,
    dead_after: Duration,
    stopped: watch::Receiver<bool>,
) {
    let (mut seen, mut alive_at) = (0, Instant::now());
    while !*stopped.borrow() {
        std::thread::park_timeout(every);
        shared.report(Input::Tick { applied: (shared.applied)() });
        let beats = board.beats.load(Ordering::Relaxed);
        if beats != seen {
            (seen, alive_at) = (beats, Instant::now());
        } else if alive_at.elapsed() > dead_after && !*stopped.borrow() {
            exit("the line's conductor does not answer");
            return;
        }
    }
}
