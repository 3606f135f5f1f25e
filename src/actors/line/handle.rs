//! The running line as others see it: waiting for a frontier, health, snapshots, and the orderly stop.

use super::{LineHandle, Progress, Slots, Staged};
use crate::actors::runtime::conductor::Status;
use crate::actors::runtime::machine::Input;
use crate::actors::runtime::slot::StageRef;
use crate::domain::position::Frontier;
use crate::ports::line::{Freshness, LineSnapshot, LineView, Sickness, StageSnapshot, Wait};
use async_trait::async_trait;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

impl LineHandle {
    /// Stops in order: nothing more is read, what is in flight is applied, the stages end. True when all of it was; false
    /// when `at_most` was over first, which loses nothing: it is read again after the next start.
    pub async fn drain(&self, at_most: Duration) -> bool {
        self.shared.report(Input::Shutdown);
        let mut drained = self.drained.clone();
        let in_time = tokio::time::timeout(at_most, drained.wait_for(|drained| *drained))
            .await
            .is_ok_and(|waited| waited.is_ok());
        if in_time {
            let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
            threads.iter().for_each(|thread| thread.thread().unpark());
            let joined =
                tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
            return joined.is_ok_and(|joined| joined);
        }
        false
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.board.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Age of the oldest record that is not applied, in milliseconds.
    fn freshness_ms(&self, applied: &Frontier) -> u64 {
        let now = self.ports.clock.now().nanos();
        let oldest = self.marks.oldest(applied);
        oldest.map_or(0, |at| u64::try_from(now.saturating_sub(at.nanos()) / 1_000_000).unwrap_or_default())
    }

    fn staged(&self, staged: &Staged, workers: &[(bool, u64)], phase: &str) -> StageSnapshot {
        let own = workers.get(staged.workers.clone()).unwrap_or_default();
        let state = match (own.iter().all(|(up, _)| *up), phase) {
            (_, "drained") => "stopped",
            (true, _) => "running",
            (false, _) => "restarting",
        };
        let stats = &staged.stats;
        StageSnapshot {
            name: staged.node.name.clone(),
            kind: staged.node.kind.clone(),
            inputs: staged.node.inputs.clone(),
            width: staged.node.width,
            state: state.to_owned(),
            messages: stats.messages.get(),
            batches: stats.batches.get(),
            events: stats.events.get(),
            busy_us: stats.busy_us.get(),
            blocked_us: stats.blocked_us.get(),
            queue_depth: match &staged.slots {
                Slots::Source(slot) => slot.queue_depth(),
                Slots::Stage(slots) => slots.iter().map(StageRef::queue_depth).sum(),
            },
            restarts: own.iter().map(|(_, restarts)| restarts).sum(),
            rejections: stats.rejections(),
            handler_seconds: stats.handler.snapshot(),
            detail: staged.plan.snapshot(),
        }
    }
}

#[async_trait]
impl Freshness for LineHandle {
    async fn wait(&self, target: Option<Frontier>, at_most: Duration) -> Wait {
        let target = target.unwrap_or_else(|| self.ports.log.durable_end());
        let mut changes = self.ports.store.applied_changes();
        let reached = tokio::time::timeout(at_most, changes.wait_for(|applied| applied.covers(&target))).await;
        if reached.is_ok_and(|reached| reached.is_ok()) {
            return Wait::Reached;
        }
        let applied = self.ports.store.applied();
        Wait::Behind { events: applied.behind(&target), seconds: self.freshness_ms(&applied).div_ceil(1_000) }
    }
}

impl LineView for LineHandle {
    fn snapshot(&self) -> LineSnapshot {
        let status = self.status().clone();
        let (log_end, applied) = (self.ports.log.durable_end(), self.ports.store.applied());
        LineSnapshot {
            generation: status.generation,
            backlog_events: applied.behind(&log_end),
            freshness_ms: self.freshness_ms(&applied),
            durable: self.ports.store.durable(),
            log_end,
            applied,
            in_flight_events: status.in_flight_events,
            rewinds: status.rewinds,
            line_restarts: status.line_restarts,
            quarantined: self.ledger.lock().unwrap_or_else(PoisonError::into_inner).quarantined(),
            stages: self.stages.iter().map(|stage| self.staged(stage, &status.workers, &status.phase)).collect(),
            state: status.phase,
        }
    }

    /// What the conductor says; and, should it not be able to say anything any more, what can be seen without it.
    fn health(&self) -> Sickness {
        let (end, applied) = (self.ports.log.durable_end(), self.ports.store.applied());
        let waiting = applied.behind(&end);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if applied != progress.applied || waiting == 0 {
            *progress = Progress { applied, at: Instant::now() };
        }
        let stuck = progress.at.elapsed();
        let sickness = self.status().sickness.clone();
        let unseen = stuck > Duration::from_millis(self.settings.stall_ms);
        sickness
            .or_else(|| unseen.then(|| format!("no progress for {} s with {waiting} events waiting", stuck.as_secs())))
    }
}
