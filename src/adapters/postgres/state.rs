//! What the private instance says of itself, for the health page and for whoever waits for it.

use crate::domain::fault::Fault;
use serde::Serialize;
use std::fmt;

/// How far the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The first start is under way.
    Starting,
    /// It answers.
    Running,
    /// It had been up; it is being brought back.
    Restarting,
    /// It has not been up yet, and the last attempt failed. More attempts follow.
    Failed,
    /// It was stopped in order, or is left to itself.
    Stopped,
}

/// The private instance at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrivateState {
    pub phase: Phase,
    /// Why it is not running (yet), with what to do next.
    pub why: Option<String>,
    /// The postmaster's process id, while there is one.
    pub pid: Option<u32>,
    /// How often the server was started or adopted and answered.
    pub starts: u64,
}

impl fmt::Display for PrivateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.phase {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Restarting => "restarting",
            Phase::Failed => "failed",
            Phase::Stopped => "stopped",
        };
        f.write_str(word)?;
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

/// What the supervising thread publishes.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub phase: Phase,
    pub why: Option<Fault>,
    pub pid: Option<u32>,
    pub starts: u64,
    /// Set by the first successful start, and the same ever after.
    pub endpoint: Option<tokio_postgres::Config>,
}

impl Status {
    pub fn new() -> Self {
        Self { phase: Phase::Starting, why: None, pid: None, starts: 0, endpoint: None }
    }

    pub fn shown(&self) -> PrivateState {
        let why = self.why.as_ref().map(|fault| fault.message.clone());
        PrivateState { phase: self.phase, why, pid: self.pid, starts: self.starts }
    }
}
