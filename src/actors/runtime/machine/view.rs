//! What others may know of the machine.

use super::super::lanes::Lane;
use super::super::suspicion::Suspicion;
use super::{Machine, Phase};
use crate::domain::position::Frontier;

impl Machine {
    /// When [`super::Input::Tick`] is needed, at the latest; `None`: not before something happens.
    pub fn next_tick_ms(&self) -> Option<u64> {
        let respawns = self.workers.iter().filter_map(|worker| worker.respawn_at_ms);
        let resume =
            self.lanes.has_backlog().then_some(self.resume_at_ms).filter(|_| self.lanes.is_quiet() && self.all_up());
        let resume = resume.filter(|_| self.phase == Phase::Running && self.suspicion.awaited().is_none());
        let respawns = respawns.filter(|_| self.phase != Phase::Drained);
        respawns.chain(resume).chain(self.quarantine_retry_at_ms).min()
    }

    /// Credits are used up while there is something to read: what limits the line is further down.
    pub fn is_blocked(&self) -> bool {
        let waiting = |(_, lane): (u32, &Lane)| lane.reading.is_none() && lane.next < lane.end;
        self.phase == Phase::Running && self.lanes.iter().any(waiting) && !self.lanes.is_quiet()
    }

    /// Why the line is not healthy.
    pub fn sickness(&self, now_ms: u64) -> Option<String> {
        match &self.phase {
            Phase::Halted(why) => Some(why.clone()),
            _ if self.is_stalled(now_ms) => {
                Some(self.sick.clone().unwrap_or_else(|| "backlog and no progress".to_owned()))
            }
            _ => self.sick.clone().filter(|_| self.lanes.has_backlog() || !self.all_up()),
        }
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn is_up(&self, worker: usize) -> bool {
        self.workers[worker].up
    }

    /// How often this worker was spawned again.
    pub fn restarts(&self, worker: usize) -> u64 {
        self.workers[worker].incarnation.saturating_sub(1)
    }

    pub fn is_halving(&self) -> bool {
        matches!(self.suspicion, Suspicion::Halving { .. })
    }

    pub fn has_backlog(&self) -> bool {
        self.lanes.has_backlog()
    }

    pub fn in_flight_events(&self) -> u64 {
        self.lanes.events_in_flight()
    }

    pub fn rewinds(&self) -> u64 {
        self.rewinds
    }

    pub fn line_restarts(&self) -> u64 {
        self.line_restarts
    }

    /// What the machine knows the store to have.
    pub fn applied(&self) -> Frontier {
        self.lanes.applied()
    }
}
