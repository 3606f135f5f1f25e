//! weir as a process of its own: started on a free loopback port, killed or stopped by its own process id.

use super::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub struct Process {
    child: Child,
    pub client: Client,
    pub address: String,
    log: PathBuf,
}

/// How long a weir may take to be up.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// How a process is started. Without a word about the database, all weirs on one data directory share one of their own.
#[derive(Default, Clone)]
pub struct Start {
    pub variables: Vec<(String, String)>,
    pub meters: Option<PathBuf>,
}

impl Start {
    pub fn set(mut self, variable: &str, value: impl ToString) -> Self {
        self.variables.push((variable.to_string(), value.to_string()));
        self
    }
}

pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").to_string()
}

pub fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env_remove("WEIR_CONFIG").stdin(Stdio::null());
    command
}

/// The database that goes with a data directory.
fn database_of(data: &Path) -> String {
    static DATABASES: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let mut databases = DATABASES.lock().expect("no test panics while it holds this");
    databases.entry(data.to_path_buf()).or_insert_with(super::postgres::database).clone()
}

impl Process {
    /// Starts without waiting.
    pub fn spawn(data: &Path, start: &Start) -> Self {
        let log = data.with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let address = free_address();
        let mut command = weir();
        command.arg("serve").args(["--listen", &address]).arg("--data").arg(data);
        if let Some(meters) = &start.meters {
            command.arg("--meters").arg(meters);
        }
        if !start.variables.iter().any(|(name, _)| name.starts_with("WEIR_DATABASE__URL")) {
            command.env("WEIR_DATABASE__URL", database_of(data));
        }
        command.envs(start.variables.iter().filter(|(_, value)| !value.is_empty()).cloned());
        let child = command.stdout(file.try_clone().expect("the same file")).stderr(file).spawn().expect("weir starts");
        Self { child, client: Client::new(&address), address, log }
    }

    /// Starts and waits until it takes events and its business records are open.
    pub fn start(data: &Path, start: &Start) -> Self {
        let mut process = Self::spawn(data, start);
        process.wait_ready();
        process.wait_healthy("/health/records");
        process
    }

    /// Waits until it takes events.
    pub fn wait_ready(&mut self) {
        self.wait_healthy("/health/ready");
    }

    /// Waits until a question of health is answered well.
    pub fn wait_healthy(&mut self, question: &str) {
        let until = Instant::now() + UP_WITHIN;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                panic!("weir ended with {status}:\n{}", self.log_tail());
            }
            if self.client.get(question).is_ok_and(|answer| answer.status == 200) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{question} did not become good:\n{}", self.log_tail());
    }

    /// Everything it has said, and those before it on the same data directory.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string())
    }

    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// A handle that kills from another thread.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, then the exit status.
    pub fn stop(mut self) -> ExitStatus {
        let told = kill_process(Pid::from_child(&self.child), Signal::TERM);
        assert!(told.is_ok(), "weir was gone before it was stopped:\n{}", self.log_tail());
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("weir did not stop:\n{}", self.log_tail());
    }

    /// Waits for it to end by itself.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return (status, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("weir did not end:\n{}", self.log_tail());
    }

    pub fn metric(&self, name: &str) -> u64 {
        let text = self.client.get("/metrics").expect("metrics answer").body;
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']));
        let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in\n{text}")) as u64
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failed test leaves no server behind; one already gone is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
