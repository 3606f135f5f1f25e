//! A running line: wired from the compiled graph, watched, stopped in order, and seen from outside.

use super::runtime::conductor::{AnySeat, Board, Conductor, Post, Status, watch_conductor};
use super::runtime::joiner::Joiner;
use super::runtime::machine::{Input, Machine, Policy, ReadOrder};
use super::runtime::probe::Probe;
use super::runtime::quarantine::QuarantineLedger;
use super::runtime::shell::Seat;
use super::runtime::slot::StageRef;
use super::runtime::stage::{Outlet, RetryPolicy, Shared};
use super::runtime::stats::StageStats;
use super::runtime::workers::RestartPolicy;
use super::source::Marks;
use super::stages::{Plan, World, plan};
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use crate::domain::position::Frontier;
use crate::pipeline::{Graph, LineSettings, Node};
use crate::ports::line::{Freshness, LineSnapshot, LineView, Sickness, StageSnapshot, Wait};
use crate::ports::{Clock, EventLog, IdIndex, UsageStore};
use async_trait::async_trait;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// First and longest wait between attempts at a port, and between rewinds without progress, in milliseconds.
const RETRY_BACKOFF_MS: [u64; 2] = [20, 5_000];
/// A second restart of the whole line within this long ends the process.
const LINE_RESTART_WITHIN_MS: u64 = 600_000;
/// The process ends when the conductor has not answered the watchdog for this long.
const CONDUCTOR_DEAD_AFTER: Duration = Duration::from_secs(30);
/// Room in a mailbox beyond what the credits of one generation can fill: outdated batches that wait to be shed.
const MAILBOX_SPARE: usize = 64;

/// What the line stands on.
#[derive(Clone)]
pub struct LinePorts {
    pub log: Arc<dyn EventLog>,
    pub index: Arc<dyn IdIndex>,
    pub store: Arc<dyn UsageStore>,
    pub clock: Arc<dyn Clock>,
    /// The key of every identity hash of this data directory.
    pub key: HashKey,
}

/// Starts lines.
pub struct Line;

/// One stage as the handle sees it.
struct Staged {
    node: Node,
    plan: Plan,
    stats: Arc<StageStats>,
    slots: Slots,
    /// Its workers, as indices into the machine's.
    workers: std::ops::Range<usize>,
}

enum Slots {
    Source(StageRef<ReadOrder>),
    Stage(Vec<StageRef<Batch>>),
}

/// The running line. Dropping it does not stop the line: [`LineHandle::drain`] does.
pub struct LineHandle {
    ports: LinePorts,
    shared: Arc<Shared>,
    board: Arc<Board>,
    marks: Arc<Marks>,
    ledger: Arc<Mutex<QuarantineLedger>>,
    stages: Vec<Staged>,
    settings: LineSettings,
    progress: Mutex<Progress>,
    drained: watch::Receiver<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// When somebody who asked last saw the frontier move, or no backlog.
struct Progress {
    applied: Frontier,
    at: Instant,
}

/// Ends the process, and says why; called when the line cannot go on.
pub type Exit = Box<dyn Fn(&str) + Send + Sync>;

impl Line {
    /// Wires and starts the line. Events in quarantine are known before the first record is read. `probe` is a test's
    /// finger in it: `None` everywhere else.
    pub async fn start(
        graph: Graph,
        ports: LinePorts,
        probe: Option<Arc<dyn Probe>>,
        exit: Exit,
    ) -> Result<LineHandle, Fault> {
        let ledger = Arc::new(Mutex::new(known_quarantine(&ports).await?));
        let (inputs, received) = mpsc::unbounded_channel();
        let retry = RetryPolicy { attempts_max: graph.line.attempts_max, backoff_ms: RETRY_BACKOFF_MS };
        let store = ports.store.clone();
        let applied = Box::new(move || store.applied());
        let shared = Arc::new(Shared { generation: AtomicU64::new(1), inputs, applied, retry, probe });
        let marks = Arc::new(Marks::default());
        let world = World {
            log: ports.log.clone(),
            index: ports.index.clone(),
            store: ports.store.clone(),
            key: ports.key,
            ledger: ledger.clone(),
            marks: marks.clone(),
        };
        let (stages, seats) = wire(&graph, &world, &shared);
        let (drained_tx, drained) = watch::channel(false);
        let board = Arc::new(Board::default());
        let exit: Arc<dyn Fn(&str) + Send + Sync> = exit.into();
        let start = Start {
            machine: machine(&graph, &ports),
            log: ports.log.clone(),
            source_stats: stages[0].stats.clone(),
            seats,
            shared: shared.clone(),
            ledger: ledger.clone(),
            board: board.clone(),
            exit: exit.clone(),
            drained: drained_tx,
        };
        let conductor = std::thread::Builder::new().name("weir-line".to_owned()).spawn(move || start.run(received));
        let watchdog = {
            let (shared, board, stopped) = (shared.clone(), board.clone(), drained.clone());
            let every = Duration::from_millis(graph.line.watchdog_ms);
            std::thread::Builder::new()
                .name("weir-watchdog".to_owned())
                .spawn(move || watch_conductor(shared, board, exit, every, CONDUCTOR_DEAD_AFTER, stopped))
        };
        let threads = [conductor, watchdog]
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| Fault::give_up("line", format!("no thread to be had: {e}")))?;
        let progress = Mutex::new(Progress { applied: ports.store.applied(), at: Instant::now() });
        let (settings, threads) = (graph.line, Mutex::new(threads));
        Ok(LineHandle { ports, shared, board, marks, ledger, stages, settings, progress, drained, threads })
    }
}

/// Every record about quarantine: those the store has, and those that are still on their way to it.
async fn known_quarantine(ports: &LinePorts) -> Result<QuarantineLedger, Fault> {
    let mut ledger = QuarantineLedger::default();
    for (position, control) in ports.store.controls().iter() {
        ledger.record(*position, control);
    }
    for (position, _, control) in ports.log.controls_from(&ports.store.durable()).await? {
        ledger.record(position, &control);
    }
    Ok(ledger)
}

fn machine(graph: &Graph, ports: &LinePorts) -> Machine {
    // Two lines that fail alike shall not be restarted alike.
    let seed = ports.clock.now().nanos().unsigned_abs();
    let line = &graph.line;
    let policy = Policy {
        window_events_max: line.window_events_max,
        batches_in_flight_max: line.batches_in_flight_max,
        batch_events_max: graph.read_events_max(),
        stall_ms: line.stall_ms,
        rewind_backoff_ms: RETRY_BACKOFF_MS,
        quarantines_max: line.quarantines_max,
        quarantines_within_ms: line.quarantines_within_s.saturating_mul(1_000),
        line_restart_within_ms: LINE_RESTART_WITHIN_MS,
    };
    let restarts = graph.stages.iter().flat_map(|node| std::iter::repeat_n(restart_policy(node), node.width));
    Machine::new(policy, restarts.collect(), &ports.store.applied(), seed, 0)
}

fn restart_policy(node: &Node) -> RestartPolicy {
    let restart = &node.restart;
    RestartPolicy {
        backoff_ms: restart.backoff_ms,
        restarts_max: restart.burst.restarts_max,
        within_ms: restart.burst.within_s.saturating_mul(1_000),
    }
}

/// Makes seats from the last stage to the first, for each needs the slots of the next one.
fn wire(graph: &Graph, world: &World, shared: &Arc<Shared>) -> (Vec<Staged>, Vec<(Arc<str>, AnySeat)>) {
    let mailbox_max = graph.line.batches_in_flight_max * 2 + MAILBOX_SPARE;
    let (mut stages, mut seats) = (Vec::new(), Vec::new());
    let mut next: Option<Vec<StageRef<Batch>>> = None;
    let mut end: usize = graph.stages.iter().map(|node| node.width).sum();
    for node in graph.stages.iter().rev() {
        let workers = end - node.width..end;
        end = workers.start;
        let name: Arc<str> = node.name.as_str().into();
        let (plan, stats) = (plan(node, world), Arc::new(StageStats::default()));
        let joiner = (node.width > 1).then(|| Mutex::new(Joiner::default()));
        let outlet = next.take().map(|next| Arc::new(Outlet { joiner, next }));
        let ground = Ground { stage: name.clone(), outlet, shared: shared.clone(), stats: stats.clone(), mailbox_max };
        let slots = match &plan {
            Plan::Source(blueprint) => {
                let slot = StageRef::default();
                seats.push((
                    name,
                    AnySeat::Source(Arc::new(ground.seat(workers.start, slot.clone(), blueprint.clone()))),
                ));
                Slots::Source(slot)
            }
            Plan::Stage(blueprint) => {
                let slots: Vec<StageRef<Batch>> = workers.clone().map(|_| StageRef::default()).collect();
                for (worker, slot) in workers.clone().zip(&slots).rev() {
                    seats.push((
                        name.clone(),
                        AnySeat::Stage(Arc::new(ground.seat(worker, slot.clone(), blueprint.clone()))),
                    ));
                }
                next = Some(slots.clone());
                Slots::Stage(slots)
            }
        };
        stages.push(Staged { node: node.clone(), plan, stats, slots, workers });
    }
    stages.reverse();
    seats.reverse();
    (stages, seats)
}

/// What the seats of one stage have in common.
struct Ground {
    stage: Arc<str>,
    outlet: Option<Arc<Outlet>>,
    shared: Arc<Shared>,
    stats: Arc<StageStats>,
    mailbox_max: usize,
}

impl Ground {
    fn seat<I: super::runtime::stage::Payload>(
        &self,
        worker: usize,
        slot: StageRef<I>,
        blueprint: Arc<dyn super::runtime::Blueprint<I>>,
    ) -> Seat<I> {
        Seat {
            worker,
            stage: self.stage.clone(),
            slot,
            blueprint,
            outlet: self.outlet.clone(),
            shared: self.shared.clone(),
            stats: self.stats.clone(),
            mailbox_max: self.mailbox_max,
            abort: Arc::default(),
        }
    }
}

/// All that the line's own thread needs.
struct Start {
    machine: Machine,
    seats: Vec<(Arc<str>, AnySeat)>,
    source_stats: Arc<StageStats>,
    log: Arc<dyn EventLog>,
    shared: Arc<Shared>,
    ledger: Arc<Mutex<QuarantineLedger>>,
    board: Arc<Board>,
    exit: Arc<dyn Fn(&str) + Send + Sync>,
    drained: watch::Sender<bool>,
}

impl Start {
    /// The line has an actix system of its own, with one arbiter thread per worker; it ends with the line.
    fn run(self, received: mpsc::UnboundedReceiver<Input>) {
        let system = actix_rt::System::new();
        system.block_on(async move {
            let post = |(stage, seat)| Post { stage, arbiter: actix_rt::Arbiter::new(), seat };
            let posts: Vec<Post> = self.seats.into_iter().map(post).collect();
            let source = posts.iter().find_map(|post| match &post.seat {
                AnySeat::Source(seat) => Some(seat.slot.clone()),
                AnySeat::Stage(_) => None,
            });
            let arbiters: Vec<_> = posts.iter().map(|post| post.arbiter.handle()).collect();
            let conductor = Conductor {
                machine: self.machine,
                posts,
                source: source.expect("the compiler gives every graph one source"),
                source_stats: self.source_stats,
                log: self.log,
                shared: self.shared,
                ledger: self.ledger,
                board: self.board,
                exit: self.exit,
                drained: self.drained,
                began: Instant::now(),
                blocked_since: None,
            };
            conductor.run(received).await;
            arbiters.iter().for_each(|arbiter| {
                arbiter.stop();
            });
        });
    }
}

impl LineHandle {
    /// Stops in order: nothing more is read, what is in flight is applied, the stages end. True when all of it was; false
    /// when `at_most` was over first, which loses nothing: it is read again after the next start.
    pub async fn drain(&self, at_most: Duration) -> bool {
        self.shared.report(Input::Shutdown);
        let mut drained = self.drained.clone();
        let in_time = tokio::time::timeout(at_most, drained.wait_for(|drained| *drained))
            .await
            .is_ok_and(|waited| waited.is_ok());
        if in_time {
            let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
            threads.iter().for_each(|thread| thread.thread().unpark());
            let joined =
                tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
            return joined.is_ok_and(|joined| joined);
        }
        false
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.board.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Age of the oldest record that is not applied, in milliseconds.
    fn freshness_ms(&self, applied: &Frontier) -> u64 {
        let now = self.ports.clock.now().nanos();
        let oldest = self.marks.oldest(applied);
        oldest.map_or(0, |at| u64::try_from(now.saturating_sub(at.nanos()) / 1_000_000).unwrap_or_default())
    }

    fn staged(&self, staged: &Staged, workers: &[(bool, u64)], phase: &str) -> StageSnapshot {
        let own = workers.get(staged.workers.clone()).unwrap_or_default();
        let state = match (own.iter().all(|(up, _)| *up), phase) {
            (_, "drained") => "stopped",
            (true, _) => "running",
            (false, _) => "restarting",
        };
        let stats = &staged.stats;
        StageSnapshot {
            name: staged.node.name.clone(),
            kind: staged.node.kind.clone(),
            inputs: staged.node.inputs.clone(),
            width: staged.node.width,
            state: state.to_owned(),
            messages: stats.messages.get(),
            batches: stats.batches.get(),
            events: stats.events.get(),
            busy_us: stats.busy_us.get(),
            blocked_us: stats.blocked_us.get(),
            queue_depth: match &staged.slots {
                Slots::Source(slot) => slot.queue_depth(),
                Slots::Stage(slots) => slots.iter().map(StageRef::queue_depth).sum(),
            },
            restarts: own.iter().map(|(_, restarts)| restarts).sum(),
            rejections: stats.rejections(),
            handler_seconds: stats.handler.snapshot(),
            detail: staged.plan.snapshot(),
        }
    }
}

#[async_trait]
impl Freshness for LineHandle {
    async fn wait(&self, target: Option<Frontier>, at_most: Duration) -> Wait {
        let target = target.unwrap_or_else(|| self.ports.log.durable_end());
        let mut changes = self.ports.store.applied_changes();
        let reached = tokio::time::timeout(at_most, changes.wait_for(|applied| applied.covers(&target))).await;
        if reached.is_ok_and(|reached| reached.is_ok()) {
            return Wait::Reached;
        }
        let applied = self.ports.store.applied();
        Wait::Behind { events: applied.behind(&target), seconds: self.freshness_ms(&applied).div_ceil(1_000) }
    }
}

impl LineView for LineHandle {
    fn snapshot(&self) -> LineSnapshot {
        let status = self.status().clone();
        let (log_end, applied) = (self.ports.log.durable_end(), self.ports.store.applied());
        LineSnapshot {
            generation: status.generation,
            backlog_events: applied.behind(&log_end),
            freshness_ms: self.freshness_ms(&applied),
            durable: self.ports.store.durable(),
            log_end,
            applied,
            in_flight_events: status.in_flight_events,
            rewinds: status.rewinds,
            line_restarts: status.line_restarts,
            quarantined: self.ledger.lock().unwrap_or_else(PoisonError::into_inner).quarantined(),
            stages: self.stages.iter().map(|stage| self.staged(stage, &status.workers, &status.phase)).collect(),
            state: status.phase,
        }
    }

    /// What the conductor says; and, should it not be able to say anything any more, what can be seen without it.
    fn health(&self) -> Sickness {
        let (end, applied) = (self.ports.log.durable_end(), self.ports.store.applied());
        let waiting = applied.behind(&end);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if applied != progress.applied || waiting == 0 {
            *progress = Progress { applied, at: Instant::now() };
        }
        let stuck = progress.at.elapsed();
        let sickness = self.status().sickness.clone();
        let unseen = stuck > Duration::from_millis(self.settings.stall_ms);
        sickness
            .or_else(|| unseen.then(|| format!("no progress for {} s with {waiting} events waiting", stuck.as_secs())))
    }
}
