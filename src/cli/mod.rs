//! The command line: what each command takes. Commands that talk to a running weir live here, one file each; those
//! that open files or start things (`serve`, `check`, `doctor`) are carried out by `app`.

pub mod bench;
mod client;
mod conflicts;
mod events;
mod meters;
mod quarantine;
mod text;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Usage metering as a supervised stream of actors: an acknowledged event is durable, counts once, shows in the next
/// query, and adds up to the last digit.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  weir serve --meters meters.yaml            start with the meters of an OpenMeter configuration
  weir events send events.ndjson             send events, retrying safely
  weir events explain --source api e-42      why an event counted, or did not
  weir meters query tokens --window DAY --group-by model
  weir check --pipeline pipeline.toml        every mistake in a topology at once
  weir doctor --data .weir                   read every stored byte and say what is damaged

Settings come from, in rising order: defaults, --config weir.toml, WEIR_… variables (WEIR_LISTEN,
WEIR_HTTP__BODY_BYTES_MAX: two underscores go one table deeper), options.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start weir: take events, count them, answer queries
    Serve(ServeArgs),
    /// Read topology and settings and report every mistake at once, with line and column; connects to nothing
    Check(CheckArgs),
    /// Send, watch and explain events
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Ask meters for usage
    #[command(subcommand)]
    Meters(meters::MetersCommand),
    /// Events that made a stage panic: look at them, take them up again, or give them up
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Events that came under an id that another event already had
    #[command(subcommand)]
    Conflicts(conflicts::ConflictsCommand),
    /// Read every stored byte of a data directory and say what is damaged; with --rebuild, derive what can be derived
    Doctor(DoctorArgs),
    /// Measure this machine: rates, latencies, CPU and bytes per event, recovery
    Bench(bench::BenchArgs),
}

/// Where settings come from.
#[derive(Debug, Args, Default)]
pub struct ConfigArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Topology of the line (TOML); the built-in one when absent
    #[arg(long, value_name = "FILE", env = "WEIR_PIPELINE")]
    pub pipeline: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Data directory; created when missing [default: .weir]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8888]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Meters to create at start: the `meters:` list of an OpenMeter YAML configuration
    #[arg(long, value_name = "FILE")]
    pub meters: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Data directory [default: .weir]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Throw away the id index and the rollups and derive them again from event blocks, control file and log
    #[arg(long)]
    pub rebuild: bool,
}

/// The running weir a command talks to.
#[derive(Debug, Args, Clone)]
pub struct Server {
    /// Base URL of the running weir
    #[arg(long, global = true, default_value = "http://127.0.0.1:8888", env = "WEIR_URL")]
    pub url: String,
}

/// A command that talks to a running weir, carried out.
pub fn run(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Events(command) => events::run(command),
        Command::Meters(command) => meters::run(command),
        Command::Quarantine(command) => quarantine::run(command),
        Command::Conflicts(command) => conflicts::run(command),
        Command::Bench(args) => bench::run(args),
        Command::Serve(_) | Command::Check(_) | Command::Doctor(_) => unreachable!("carried out by app"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}
