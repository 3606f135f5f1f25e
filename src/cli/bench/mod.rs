//! `weir bench`: measures a weir with default settings, as a child process on a fresh data directory.
//!
//! Every total is checked against the generator's own ledger before a rate is printed. The generator runs on the same
//! machine; its CPU is reported apart. Rates are not judged by tests: they belong here.

mod drive;
mod load;
mod report;
mod rows;
mod server;
mod wire;

use super::client::Failure;
use clap::Args;
use report::Report;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Directory for the data; on the disk that is to be measured, removed afterwards [default: a new one here]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Events stored before the second set of rows, in millions
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    millions: u64,
    /// Runs of each row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Length of one run of a rate row, in seconds
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    run_s: u64,
    /// Where the figures go, as JSON
    #[arg(long, value_name = "FILE", default_value = "bench.json")]
    out: PathBuf,
    /// An earlier run's JSON to print ratios to
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Repeats a run's stream of events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the data directory
    #[arg(long)]
    keep: bool,
}

/// A sync faster than this is no disk's: rows that speak of durability say nothing then. In microseconds.
const SYNC_US_MIN: u128 = 20;

pub fn run(args: BenchArgs) -> Result<(), Failure> {
    let before = args.compare.as_deref().map(Report::read).transpose()?;
    let said = |error: std::io::Error| Failure::Said(format!("the data directory cannot be used: {error}"));
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(format!("weir-bench-{}", std::process::id())));
    std::fs::create_dir_all(&dir).map_err(said)?;
    let sync = sync_time(&dir).map_err(said)?;
    let durable = sync.as_micros() >= SYNC_US_MIN && file_system(&dir) != "tmpfs";
    let machine = machine(&dir, sync);
    let outcome = rows::measure(&args, &dir.join("data"));
    if !args.keep && args.dir.is_none() {
        std::fs::remove_dir_all(&dir).map_err(said)?;
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_string(),
        date: today(),
        machine,
        acknowledgement: if durable {
            "204 means: in the log, synced to disk.".to_string()
        } else {
            "Durability was not measured: this file system does not sync to a disk.".to_string()
        },
        rows: outcome?,
    };
    println!("\n{}", report.table(before.as_ref()));
    report.write(&args.out)?;
    eprintln!("written to {}", args.out.display());
    Ok(())
}

/// Median of a 4 KiB append and its sync.
fn sync_time(dir: &Path) -> std::io::Result<Duration> {
    use std::io::Write;
    let path = dir.join("sync-probe");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[7; 4_096])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// The type of the file system that holds `dir`, by the longest mount point above it.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_else(|_| String::new());
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let holds = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?.to_string(), fields.next()?.to_string());
        full.starts_with(&point).then_some((point.len(), kind))
    };
    mounts.lines().filter_map(holds).max().map_or_else(|| "unknown".to_string(), |(_, kind)| kind)
}

fn machine(dir: &Path, sync: Duration) -> Vec<(String, String)> {
    let first = |file: &str, prefix: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_else(|_| String::new());
        let line = text.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or("unknown");
        line.trim_start_matches([' ', '\t', ':']).to_string()
    };
    let cores = std::thread::available_parallelism().map_or_else(|_| "unknown".to_string(), |cores| cores.to_string());
    vec![
        ("processor".into(), format!("{cores} × {}", first("/proc/cpuinfo", "model name"))),
        ("memory".into(), first("/proc/meminfo", "MemTotal")),
        ("file system".into(), file_system(dir)),
        ("fdatasync of 4 KiB, median".into(), format!("{} µs", sync.as_micros())),
    ]
}

fn today() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    let mut text = String::new();
    load::rfc3339(now.as_secs(), 0, &mut text);
    text[..10].to_string()
}
