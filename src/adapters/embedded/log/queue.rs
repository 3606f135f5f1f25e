//! What waits for its sync: filled by every appending thread, emptied by the one committer.

use super::Settings;
use crate::domain::time::Instant;
use crate::ports::event_log::AppendError;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// First offset and accepted-at, once durable.
pub type Answer = Result<(u64, Instant), AppendError>;

/// An append that waits for its sync.
pub struct Pending {
    pub records: Vec<u8>,
    pub crc: u32,
    pub count: u32,
    pub has_controls: bool,
    pub reply: oneshot::Sender<Answer>,
}

/// Seconds after which a refused client may try again: the queue drains at disk speed, a segment is begun soon.
const RETRY_SOON_S: u32 = 1;

/// Whether appends are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Taking,
    /// The segment broke and no new one is durable yet.
    Broken(String),
    /// What has queued is still made durable.
    Closing,
    /// Nothing is written any more.
    Gone,
}

struct State {
    pending: VecDeque<Pending>,
    bytes: usize,
    health: Health,
    /// The owner went without closing: leave everything as a crash would.
    abandoned: bool,
}

pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    appends_max: usize,
    bytes_max: usize,
}

impl Queue {
    pub fn new(settings: &Settings) -> Self {
        let state = State { pending: VecDeque::new(), bytes: 0, health: Health::Taking, abandoned: false };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            appends_max: settings.queue_appends_max,
            bytes_max: settings.queue_bytes_max,
        }
    }

    /// Nothing panics while it holds the lock, and a queue is whole between two statements: a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `bytes` more would be taken. A single append longer than the limit is taken by an empty queue.
    pub fn room(&self, bytes: usize) -> Result<(), AppendError> {
        self.check(&self.lock(), bytes)
    }

    fn check(&self, state: &State, bytes: usize) -> Result<(), AppendError> {
        let refused = |reason: String| Err(AppendError::Refused { reason, retry_after_s: RETRY_SOON_S });
        match &state.health {
            Health::Taking => {}
            Health::Broken(reason) => {
                return refused(format!("the log's segment broke ({reason}); a new one is being begun"));
            }
            Health::Closing => return refused("the log is being closed".into()),
            Health::Gone => return refused("the log is closed".into()),
        }
        let full = state.pending.len() >= self.appends_max
            || (state.bytes.saturating_add(bytes) > self.bytes_max && !state.pending.is_empty());
        if full { refused("too many appends wait for the disk".into()) } else { Ok(()) }
    }

    pub fn push(&self, pending: Pending) -> Result<(), AppendError> {
        let mut state = self.lock();
        self.check(&state, pending.records.len())?;
        state.bytes += pending.records.len();
        state.pending.push_back(pending);
        let first = state.pending.len() == 1;
        drop(state);
        // The committer takes all there is: only the first has to wake it.
        if first {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits for appends and moves up to `bytes_max` of them (at least one) to `group`. False when nothing more will come.
    pub fn take(&self, group: &mut Vec<Pending>, bytes_max: usize) -> bool {
        let mut state = self.lock();
        while state.pending.is_empty() && state.health == Health::Taking && !state.abandoned {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        while let Some(next) = state.pending.front().filter(|_| !state.abandoned) {
            if bytes > 0 && bytes + next.records.len() > bytes_max {
                break;
            }
            bytes += next.records.len().max(1);
            state.bytes -= next.records.len();
            group.extend(state.pending.pop_front());
        }
        !group.is_empty()
    }

    /// From here on appends are refused; those that have queued are told so: nothing of them was written.
    pub fn broke(&self, reason: &str) {
        let mut state = self.lock();
        if state.health == Health::Taking {
            state.health = Health::Broken(reason.to_string());
        }
        refuse_all(&mut state, "the log's segment broke before it was written");
    }

    /// Appends are taken again.
    pub fn mended(&self) {
        let mut state = self.lock();
        if matches!(state.health, Health::Broken(_)) {
            state.health = Health::Taking;
        }
    }

    /// Waits this long; true when there is no use in going on, because the log is being closed.
    pub fn pause(&self, at_most: Duration) -> bool {
        let ending = |state: &State| state.abandoned || state.health == Health::Closing;
        let wait = self.changed.wait_timeout_while(self.lock(), at_most, |state| !ending(state));
        ending(&wait.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// No more appends; what has queued is still made durable.
    pub fn close(&self) {
        let mut state = self.lock();
        if state.health != Health::Gone {
            state.health = Health::Closing;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing more is written: as a crash would leave it.
    pub fn abandon(&self) {
        self.lock().abandoned = true;
        self.changed.notify_all();
    }

    pub fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// The committer has ended.
    pub fn gone(&self) {
        let mut state = self.lock();
        state.health = Health::Gone;
        refuse_all(&mut state, "the log was closed before it was written");
    }

    pub fn len(&self) -> usize {
        self.lock().pending.len()
    }
}

fn refuse_all(state: &mut State, reason: &str) {
    state.bytes = 0;
    for pending in state.pending.drain(..) {
        // Whoever has stopped waiting need not be told.
        let _ = pending.reply.send(Err(AppendError::Refused { reason: reason.into(), retry_after_s: RETRY_SOON_S }));
    }
}
