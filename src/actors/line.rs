//! Starting a line: what it stands on, its machine, its threads. The running line is in [`handle`].

mod handle;
mod wiring;

use super::registry::Registry;
use super::runtime::conductor::{AnySeat, Board, Conductor, Post, watch_conductor};
use super::runtime::machine::{Input, Machine, Policy, ReadOrder};
use super::runtime::probe::Probe;
use super::runtime::quarantine::QuarantineLedger;
use super::runtime::slot::StageRef;
use super::runtime::stage::{RetryPolicy, Shared};
use super::runtime::stats::StageStats;
use super::runtime::workers::RestartPolicy;
use super::source::Marks;
use super::stages::{Plan, World};
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use crate::domain::position::Frontier;
use crate::pipeline::{Graph, LineSettings, Node};
use crate::ports::{Clock, EventLog, IdIndex, UsageStore};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// First and longest wait between attempts at a port, and between rewinds without progress, in milliseconds.
const RETRY_BACKOFF_MS: [u64; 2] = [20, 5_000];
/// A second restart of the whole line within this long ends the process.
const LINE_RESTART_WITHIN_MS: u64 = 600_000;
/// The process ends when the conductor has not answered the watchdog for this long.
const CONDUCTOR_DEAD_AFTER: Duration = Duration::from_secs(30);

/// What the line stands on.
#[derive(Clone)]
pub struct LinePorts {
    pub log: Arc<dyn EventLog>,
    pub index: Arc<dyn IdIndex>,
    pub store: Arc<dyn UsageStore>,
    /// The trackers that follow usage, if there are any.
    pub registry: Option<Arc<Registry>>,
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
            registry: ports.registry.clone(),
            key: ports.key,
            ledger: ledger.clone(),
            marks: marks.clone(),
        };
        let (stages, seats) = wiring::wire(&graph, &world, &shared);
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
            let (source, sink) = ends(&posts).expect("the compiler gives every graph one source and one sink");
            let arbiters: Vec<_> = posts.iter().map(|post| post.arbiter.handle()).collect();
            let conductor = Conductor {
                machine: self.machine,
                posts,
                source,
                sink,
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

/// Where the line begins, and where it ends.
fn ends(posts: &[Post]) -> Option<(StageRef<ReadOrder>, StageRef<Batch>)> {
    match (&posts.first()?.seat, &posts.last()?.seat) {
        (AnySeat::Source(source), AnySeat::Stage(sink)) => Some((source.slot.clone(), sink.slot.clone())),
        _ => None,
    }
}
