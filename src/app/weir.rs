//! One running weir: what is started in which order, and stopped in the reverse one.
//!
//! Start: data directory locked → log, ids, usage opened → line started → door opened; beside it PostgreSQL comes up,
//! and the business records after it ([`startup`]).
//! Stop: door closed (answers under way are finished) → line drained → everything applied made durable → log closed →
//! PostgreSQL stopped.
//! Whatever part of that a hard end skips, the next start makes up for: the log is the truth.

use super::settings::Settings;
use super::telemetry::{Metrics, Observed};
use crate::actors::registry::{self, Acks, NotedLog, Registry};
use crate::actors::{Line, LineHandle, LinePorts, PoisonProbe, Probe};
use crate::adapters::embedded::Embedded;
use crate::adapters::embedded::disk::RealDisk;
use crate::adapters::embedded::lock::DataDirLock;
use crate::adapters::postgres::PrivatePostgres;
use crate::domain::fault::Fault;
use crate::domain::metering::meter::MeterDraft;
use crate::http::{DoorState, HttpStats, Parts};
use crate::pipeline;
use crate::ports::event_log::LogSnapshot;
use crate::ports::id_index::IndexSnapshot;
use crate::ports::line::LineView;
use crate::ports::usage_store::StoreSnapshot;
use crate::ports::{Clock, EventLog, IdIndex, UsageStore};
use crate::services::gate::Gate;
use crate::services::records::{Foundation, Records};
use crate::services::{meters_file, startup};
use crate::store::Database;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Exit code when the line gave up: what supervises weir starts it again.
const GAVE_UP: i32 = 70;

/// How often a waiting caller looks whether the business records are open.
const OPEN_LOOK_EVERY: Duration = Duration::from_millis(2);

/// weir could not start; the text says why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

fn failed(what: impl std::fmt::Display) -> StartError {
    StartError(what.to_string())
}

/// A running weir. Dropping it without [`Weir::stop`] stops it as well, unheard.
pub struct Weir {
    running: Option<Running>,
    thread: Option<JoinHandle<Result<(), String>>>,
    ended: tokio::sync::watch::Receiver<()>,
}

/// What others may reach of it.
struct Running {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    embedded: Arc<Embedded>,
    gate: Arc<Gate>,
}

impl Weir {
    /// Starts with the built-in topology.
    pub fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        Self::start_with(settings, pipeline::DEFAULT, "pipeline.toml", clock)
    }

    /// Starts with a topology of one's own; `name` is what its mistakes are reported under.
    pub fn start_with(
        settings: Settings,
        topology: &str,
        name: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let (topology, name) = (topology.to_string(), name.to_string());
        let (tell, told) = mpsc::channel();
        let (end, ended) = tokio::sync::watch::channel(());
        let thread = std::thread::Builder::new().name("weir".into()).spawn(move || {
            let _until_it_ends = end;
            let system = actix_rt::System::new();
            system.block_on(live(settings, topology, name, clock, tell))
        });
        let thread = thread.map_err(failed)?;
        match told.recv() {
            Ok(running) => Ok(Self { running: Some(running), thread: Some(thread), ended }),
            // It ended before it ran: its own words say why.
            Err(_) => match thread.join() {
                Ok(Err(why)) => Err(StartError(why)),
                Ok(Ok(())) => Err(failed("weir ended while it was starting")),
                Err(_) => Err(failed("weir panicked while it was starting; the log above says where")),
            },
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs until it is stopped")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// Whether the business records are open: `open`, or what is being waited for.
    pub fn records(&self) -> String {
        self.running().gate.state()
    }

    /// Waits until the business records are open. Err: they are not, and why; a weir that has ended says so when it is
    /// stopped.
    pub fn wait_open(&self, at_most: Duration) -> Result<(), String> {
        let until = std::time::Instant::now() + at_most;
        while self.running().gate.check().is_err() {
            let has_ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            if has_ended || std::time::Instant::now() >= until {
                return Err(self.records());
            }
            std::thread::sleep(OPEN_LOOK_EVERY);
        }
        Ok(())
    }

    /// What log, id index and usage store say of themselves.
    pub fn snapshots(&self) -> (LogSnapshot, IndexSnapshot, StoreSnapshot) {
        let embedded = &self.running().embedded;
        (embedded.log.snapshot(), embedded.index.snapshot(), embedded.usage.snapshot())
    }

    /// Returns once it has ended by itself; [`Weir::stop`] then says why.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Stops in order.
    pub fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        // A receiver that is gone has stopped already.
        let _ = self.running.take().map(|running| running.stop.send(()));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err("weir panicked; the log above says where".to_string()),
            None => Ok(()),
        }
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if let Err(why) = self.end() {
            tracing::error!(why, "weir did not stop in order; nothing that was acknowledged is lost");
        }
    }
}

/// A weir's whole life, on its own thread.
async fn live(
    settings: Settings,
    topology: String,
    name: String,
    clock: Arc<dyn Clock>,
    tell: mpsc::Sender<Running>,
) -> Result<(), String> {
    let graph = pipeline::compile(&topology, &name, &crate::actors::stages::catalogue()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("the topology has mistakes:\n{}", lines.join("\n"))
    })?;
    graph.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let file_meters = settings.meters.as_deref().map(file_meters).transpose()?.unwrap_or_default();
    // Bound first: a port in use is found before any file is touched.
    let listener = listen(&settings.listen)?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    create_data_dir(&settings.data)?;
    let _lock = DataDirLock::take(&settings.data).map_err(|fault| fault.to_string())?;
    let disk =
        RealDisk::open(settings.data.clone()).map_err(|error| format!("{}: {error}", settings.data.display()))?;
    let database = Database::new(&settings.database);
    let private = settings.database.url.is_none();
    let postgres = private.then(|| PrivatePostgres::start(&settings.data, settings.postgres.clone()));
    let embedded = Embedded::open(Arc::new(disk), clock.clone(), settings.embedded.clone());
    let embedded = Arc::new(embedded.map_err(|fault| fault.to_string())?);
    let acks = Arc::new(Acks::new(embedded.key, embedded.log.durable_end()));
    let tracked = registry::Ground { acks: acks.clone(), clock: clock.clone(), applied: embedded.usage.applied() };
    let registry = Registry::new(tracked, settings.trackers.clone());
    let line = start_line(&settings, graph, &embedded, &registry, clock.clone()).await;
    let line = Arc::new(line.map_err(|fault| fault.to_string())?);
    let log: Arc<dyn EventLog> = Arc::new(NotedLog { log: embedded.log.clone(), acks });
    let parts = Wiring { settings: &settings, embedded: &embedded, log, registry: &registry, line: &line, clock };
    let records = Arc::new(parts.records(database.clone()));
    registry.open(records.balances.clone(), line.clone());
    let state = Arc::new(parts.door(records.clone()));
    let server = crate::http::serve(state, listener).map_err(|error| format!("{address}: {error}"))?;
    let door = server.handle();
    let served = actix_rt::spawn(server);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let gate = records.gate.clone();
    if tell.send(Running { address, stop, embedded: embedded.clone(), gate }).is_err() {
        return Err("nobody waits for this weir".to_string());
    }
    let event_log = startup::EventLogId { id: embedded.key.name(), take_over: settings.database.take_over };
    let parts = startup::Parts { records, event_log, namespace: settings.namespace.clone(), file_meters };
    let outcome = tokio::select! {
        // A sender that is dropped means the same as one that sends.
        _ = stopped => Ok(()),
        ended = startup::run(parts, async || attach(&settings, postgres.as_ref(), &database).await) => ended,
    };
    door.stop(true).await;
    if let Err(error) = served.await {
        tracing::error!(%error, "the door did not end in order");
    }
    registry.close();
    if !line.drain(Duration::from_millis(settings.shutdown.drain_max_ms)).await {
        tracing::warn!("the line did not finish in time; what it had in hand is read again at the next start");
    }
    embedded.close().await.map_err(|fault| fault.to_string())?;
    if let Some(postgres) = postgres {
        postgres.stop().map_err(|fault| fault.to_string())?;
    }
    outcome.map_err(|error| error.to_string())
}

/// Tells the database where its server is: where the settings say, or at the private one.
async fn attach(settings: &Settings, private: Option<&PrivatePostgres>, database: &Database) -> Result<(), Fault> {
    let config = match (settings.database.endpoint()?, private) {
        (Some(config), _) => config,
        (None, Some(private)) => private.endpoint().await?,
        (None, None) => unreachable!("without a URL there is a private server"),
    };
    database.attach(config)
}

fn listen(address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| {
        format!(
            "cannot listen on {address}: {error}. Is another weir running there? Name another address with --listen"
        )
    })
}

fn create_data_dir(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|error| {
        format!("cannot create the data directory {}: {error}. Name another with --data", path.display())
    })
}

async fn start_line(
    settings: &Settings,
    graph: pipeline::Graph,
    embedded: &Arc<Embedded>,
    registry: &Arc<Registry>,
    clock: Arc<dyn Clock>,
) -> Result<LineHandle, Fault> {
    let ports = LinePorts {
        log: embedded.log.clone(),
        index: embedded.index.clone(),
        store: embedded.usage.clone(),
        registry: Some(registry.clone()),
        clock,
        key: embedded.key,
    };
    let poison = settings.testing.poison_stage.clone().zip(settings.testing.poison_id_prefix.clone());
    let probe = poison.map(|(stage, id_prefix)| Arc::new(PoisonProbe::new(stage, id_prefix)) as Arc<dyn Probe>);
    let exit = Box::new(|why: &str| {
        tracing::error!(why, "the line cannot go on: weir ends, to be started again");
        std::process::exit(GAVE_UP);
    });
    Line::start(graph, ports, probe, exit).await
}

/// What records and door are wired to.
struct Wiring<'a> {
    settings: &'a Settings,
    embedded: &'a Arc<Embedded>,
    /// Where events and control records are appended.
    log: Arc<dyn EventLog>,
    registry: &'a Arc<Registry>,
    line: &'a Arc<LineHandle>,
    clock: Arc<dyn Clock>,
}

impl Wiring<'_> {
    fn records(&self, database: Database) -> Records {
        Records::new(Foundation {
            database,
            log: self.log.clone(),
            store: self.embedded.usage.clone(),
            freshness: self.line.clone(),
            forget: self.registry.clone(),
            trackers: self.registry.clone(),
            clock: self.clock.clone(),
            metering: self.settings.metering.clone(),
            balances: self.settings.balances.clone(),
        })
    }

    fn door(&self, records: Arc<Records>) -> DoorState {
        let stats = Arc::new(HttpStats::default());
        let observed = Observed {
            log: self.log.clone(),
            index: self.embedded.index.clone(),
            store: self.embedded.usage.clone(),
            line: self.line.clone() as Arc<dyn LineView>,
            trackers: self.registry.clone(),
            http: stats.clone(),
            records: records.clone(),
        };
        DoorState::new(Parts {
            log: self.log.clone(),
            store: self.embedded.usage.clone(),
            records,
            freshness: self.line.clone(),
            line: self.line.clone(),
            trackers: self.registry.clone(),
            clock: self.clock.clone(),
            metrics: Arc::new(Metrics::of(observed)),
            stats,
            settings: self.settings.http.clone(),
            namespace: self.settings.namespace.clone(),
        })
    }
}

fn file_meters(file: &Path) -> Result<Vec<MeterDraft>, String> {
    let named = |what: String| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    meters_file::parse(&text).map_err(|error| named(error.to_string()))
}
