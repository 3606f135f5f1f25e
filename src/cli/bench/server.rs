//! The weir under test: a child process on its own data directory, with what the system says it costs.

use super::load::METERS_YAML;
use crate::cli::client::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a start, a stop or for merges to finish, in seconds.
const WAIT_S: u64 = 600;
/// How long a server must be idle to be done, twice in a row, in milliseconds.
const QUIET_MS: u64 = 200;

pub struct Server {
    child: Child,
    pub address: String,
    pub data: PathBuf,
}

fn said(what: impl std::fmt::Display) -> Failure {
    Failure::Said(what.to_string())
}

/// A port that is free now.
fn free_address() -> Result<String, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(said)?;
    Ok(listener.local_addr().map_err(said)?.to_string())
}

impl Server {
    /// Starts with default settings; returns at once, before it is ready.
    pub fn spawn(data: &Path) -> Result<Self, Failure> {
        let meters = data.with_extension("meters.yaml");
        std::fs::write(&meters, METERS_YAML).map_err(said)?;
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log")).map_err(said)?;
        let address = free_address()?;
        let child = Command::new(std::env::current_exe().map_err(said)?)
            .arg("serve")
            .args(["--listen", &address])
            .arg("--data")
            .arg(data)
            .arg("--meters")
            .arg(&meters)
            .env("WEIR_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(said)?)
            .stderr(log)
            .spawn()
            .map_err(said)?;
        Ok(Self { child, address, data: data.to_path_buf() })
    }

    /// Starts and waits until it takes events and has its meters.
    pub fn start(data: &Path) -> Result<Self, Failure> {
        let mut server = Self::spawn(data)?;
        server.wait_for("/health/ready")?;
        server.wait_for("/health/records")?;
        Ok(server)
    }

    /// Waits for the first 200, looking every millisecond.
    pub fn wait_for(&mut self, health: &str) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(WAIT_S);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().map_err(said)? {
                let log = self.data.with_extension("log");
                return Err(said(format!("weir ended with {status}; see {}", log.display())));
            }
            if self.text(health).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(said(format!("{health} did not become good")))
    }

    fn text(&self, path: &str) -> Result<String, Failure> {
        let server = crate::cli::Server { url: format!("http://{}", self.address) };
        crate::cli::client::Client::new(&server).get_text(path, &[])
    }

    /// One gauge or counter from `/metrics`, its labels ignored.
    pub fn metric(&self, name: &str) -> Result<u64, Failure> {
        let text = self.text("/metrics")?;
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.and_then(|value| value.parse().ok()).ok_or_else(|| said(format!("/metrics has no {name}")))
    }

    /// Waits until everything acknowledged is applied, sealed as far as it will be, and merged: no backlog, and next to
    /// no CPU used any more.
    pub fn drain(&self) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(WAIT_S);
        let mut quiet = 0;
        while Instant::now() < until {
            let backlog = self.metric("weir_backlog_events")? + self.metric("weir_merge_backlog")?;
            let before = self.cpu_ms()?;
            std::thread::sleep(Duration::from_millis(QUIET_MS));
            let idle = self.cpu_ms()? - before <= QUIET_MS / 10;
            quiet = if backlog == 0 && idle { quiet + 1 } else { 0 };
            if quiet >= 2 {
                return Ok(());
            }
        }
        Err(said("weir did not finish merging"))
    }

    /// CPU time used so far, in milliseconds (user and system, all threads).
    pub fn cpu_ms(&self) -> Result<u64, Failure> {
        cpu_ms(&self.child.id().to_string())
    }

    /// Resident memory, in KiB.
    pub fn memory_kib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).map_err(said)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()).and_then(|kib| kib.parse().ok());
        kib.ok_or_else(|| said("the system does not say how much memory weir holds"))
    }

    /// All of the data directory, PostgreSQL's part aside.
    pub fn disk_bytes(&self) -> Result<u64, Failure> {
        let postgres = self.data.join("postgres");
        let postgres = if postgres.is_dir() { directory_bytes(&postgres).map_err(said)? } else { 0 };
        Ok(directory_bytes(&self.data).map_err(said)? - postgres)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().map_err(said)?;
        self.child.wait().map(|_| ()).map_err(said)
    }

    /// Ends it and removes all it stored.
    pub fn clear(&mut self) -> Result<(), Failure> {
        self.end()?;
        std::fs::remove_dir_all(&self.data).map_err(said)
    }

    /// SIGTERM, then the exit.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(said)?;
        let status = self.child.wait().map_err(said)?;
        if status.success() { Ok(()) } else { Err(said(format!("weir stopped with {status}"))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A benchmark that fails half-way leaves no server behind, PostgreSQL neither: so it is stopped, not killed. One
        // that has ended is no error.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.end();
        }
    }
}

/// CPU time of a process (`self` for this one), in milliseconds. The kernel counts in ticks of 10 ms.
pub fn cpu_ms(process: &str) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).map_err(said)?;
    // The name is in parentheses and may hold anything: fields are counted after the last one.
    let fields: Vec<&str> = stat.rsplit(')').next().into_iter().flat_map(str::split_whitespace).collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) * 10),
        _ => Err(said("the system does not say how much CPU weir used")),
    }
}

fn directory_bytes(dir: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kept = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path())?,
            Ok(metadata) => metadata.len(),
            // A merge may have removed it in between.
            Err(_) => 0,
        };
        total += kept;
    }
    Ok(total)
}
