//! Workers: the actors of the line as the machine sees them, and how often they may be restarted.

use super::jitter::Jitter;
use std::collections::VecDeque;

/// When a stage is restarted, and when that was too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// First and longest wait before a restart, in milliseconds; doubled in between, with jitter.
    pub backoff_ms: [u64; 2],
    /// More restarts than this within `within_ms`: the whole line restarts.
    pub restarts_max: u32,
    pub within_ms: u64,
}

/// One actor: a stage, or one of the instances of a stage that is wider than one.
#[derive(Debug)]
pub struct Worker {
    pub policy: RestartPolicy,
    /// Which actor of this worker is the current one; reports about older ones are ignored.
    pub incarnation: u64,
    pub up: bool,
    /// Waiting to be spawned, in milliseconds; `None` when it is up or on its way up.
    pub respawn_at_ms: Option<u64>,
    /// Restarts since the line last moved.
    attempt: u32,
    /// When it ended and was not asked to, within the policy's stretch of time.
    ends: VecDeque<u64>,
}

impl Worker {
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, incarnation: 0, up: false, respawn_at_ms: Some(0), attempt: 0, ends: VecDeque::new() }
    }

    /// It ended. Restarts at once when `delayed` is false.
    pub fn ended(&mut self, now_ms: u64, delayed: bool, jitter: &mut Jitter) {
        let wait_ms = if delayed { jitter.backoff_ms(self.policy.backoff_ms, self.attempt) } else { 0 };
        self.attempt = self.attempt.saturating_add(u32::from(delayed));
        self.up = false;
        self.respawn_at_ms = Some(now_ms.saturating_add(wait_ms));
    }

    /// Counts an end towards the burst; true when there were too many.
    pub fn counts_end(&mut self, now_ms: u64) -> bool {
        self.ends.push_back(now_ms);
        let within_ms = self.policy.within_ms;
        self.ends.retain(|at| now_ms.saturating_sub(*at) < within_ms);
        self.ends.len() > self.policy.restarts_max as usize
    }

    /// Takes back one counted end: it was an event's fault.
    pub fn forgive(&mut self, at_ms: u64) {
        if let Some(index) = self.ends.iter().position(|at| *at == at_ms) {
            self.ends.remove(index);
        }
    }

    /// Forgets what was counted: the whole line starts over.
    pub fn starts_over(&mut self, respawn_at_ms: u64) {
        self.ends.clear();
        self.up = false;
        self.respawn_at_ms = Some(respawn_at_ms);
    }

    /// The line moved: the next restart is a first one again.
    pub fn moved(&mut self) {
        self.attempt = 0;
    }
}
