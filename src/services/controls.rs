//! Control records: what changes the line's behaviour goes through the log like everything else.
//!
//! Deciding whether a change is allowed (is the slug free? was this event redriven before?) needs everything that was
//! decided before. So one change is made at a time, and each waits first until the line has applied the log's end as
//! of now: what the store shows is then the whole truth. If the line is too far behind, nothing is written and the
//! caller is told so, which is a definite answer.

use crate::domain::record::{Control, encode_control};
use crate::ports::EventLog;
use crate::ports::event_log::{Append, AppendError, Appended};
use crate::ports::line::{Forget, Freshness, Wait};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Longest wait for the line before and after a change, in milliseconds.
pub const APPLY_WAIT_MAX_MS: u64 = 5_000;
/// What a caller is told to wait when the line is behind, in seconds.
const RETRY_AFTER_S: u32 = 2;

/// Makes changes one at a time.
pub struct Controls {
    log: Arc<dyn EventLog>,
    freshness: Arc<dyn Freshness>,
    forget: Arc<dyn Forget>,
    turn: Mutex<()>,
}

/// The right to decide: nothing else changes while it is held, and the store shows everything decided before.
pub struct Turn<'a> {
    controls: &'a Controls,
    _held: MutexGuard<'a, ()>,
}

/// A change that is durable.
#[derive(Debug, Clone)]
pub struct Changed {
    pub appended: Appended,
    /// Whether the line had applied it when the wait ended.
    pub wait: Wait,
}

impl Controls {
    pub fn new(log: Arc<dyn EventLog>, freshness: Arc<dyn Freshness>, forget: Arc<dyn Forget>) -> Self {
        Self { log, freshness, forget, turn: Mutex::new(()) }
    }

    /// Drops what trackers remember of these subjects: the change took usage away from them, or gave it to them at
    /// another place than the line counts at. Returns once that is done, unless the line is behind: then it is done as
    /// soon as the line has applied the change.
    pub async fn forget_subjects(&self, namespace: &str, subjects: Vec<String>, changed: &Changed) {
        if changed.wait == Wait::Reached {
            return self.forget.subjects(namespace, &subjects).await;
        }
        let (freshness, forget) = (self.freshness.clone(), self.forget.clone());
        let (namespace, frontier) = (namespace.to_string(), changed.appended.frontier.clone());
        tokio::spawn(async move {
            let at_most = Duration::from_millis(APPLY_WAIT_MAX_MS);
            while freshness.wait(Some(frontier.clone()), at_most).await != Wait::Reached {}
            forget.subjects(&namespace, &subjects).await;
        });
    }

    /// Waits for its turn, and until the store is up to date.
    pub async fn turn(&self) -> Result<Turn<'_>, AppendError> {
        self.log.room()?;
        let held = self.turn.lock().await;
        match self.freshness.wait(None, Duration::from_millis(APPLY_WAIT_MAX_MS)).await {
            Wait::Reached => Ok(Turn { controls: self, _held: held }),
            Wait::Behind { events, .. } => Err(AppendError::Refused {
                reason: format!("the line is {events} events behind, so earlier changes may not be visible yet"),
                retry_after_s: RETRY_AFTER_S,
            }),
        }
    }
}

impl Turn<'_> {
    /// Makes the change durable and waits, within bounds, until it is applied.
    pub async fn make(self, control: &Control) -> Result<Changed, AppendError> {
        let mut append = Append::default();
        encode_control(control, &mut append.records);
        append.lengths.push(u32::try_from(append.records.len()).expect("a control record is small"));
        let appended = self.controls.log.append(append).await?;
        let bound = Duration::from_millis(APPLY_WAIT_MAX_MS);
        let wait = self.controls.freshness.wait(Some(appended.frontier.clone()), bound).await;
        Ok(Changed { appended, wait })
    }
}
