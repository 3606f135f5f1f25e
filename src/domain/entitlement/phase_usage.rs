//! Usage as it comes: what was used in each phase of a metered entitlement, so that a balance needs no meter.
//!
//! For SUM and COUNT, whose usage adds up. With phases from 1 January and from 10 January and usage of 3 on the 5th, it
//! holds 3 and 0; an event of 4 on the 12th makes it 3 and 4, and one of 2 on the 7th, however late, 5 and 4. What
//! happens later than the last read is kept by its minute until a read comes so far.

use super::burndown::{Balance, Burndown, Need, State};
use super::terms::Terms;
use crate::domain::quantity::{Overflow, Quantity};
use crate::domain::time::Instant;
use std::collections::BTreeMap;

/// The usage of each phase that has begun.
#[derive(Debug, Clone)]
pub struct PhaseUsage {
    /// Where it begins, and what was used in it before `until`. Never empty; the last phase is open.
    phases: Vec<(Instant, Quantity)>,
    /// The burn-down at the begin of the last phase; absent when it has to be run again.
    run: Option<Box<State>>,
    /// A full minute: usage before it is in its phase.
    until: Instant,
    /// Usage from `until` on, by its minute.
    ahead: BTreeMap<Instant, Quantity>,
}

impl PhaseUsage {
    /// From what a read took: its needs, and one quantity for each.
    pub fn new(terms: &Terms, needs: &[Need], needed: &[Quantity]) -> Self {
        let begun = needs.iter().zip(needed).map(|(need, used)| (need.from, *used));
        let mut phases: Vec<_> = begun.collect();
        if phases.is_empty() {
            phases.push((terms.measure_from, Quantity::ZERO));
        }
        let until = needs.last().map_or(terms.measure_from, |need| need.to);
        Self { phases, run: None, until, ahead: BTreeMap::new() }
    }

    /// From this full minute on, usage has not been read yet.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Takes up what was used at an instant; before measuring begins it does not count.
    pub fn add(&mut self, at: Instant, used: Quantity) -> Result<(), Overflow> {
        let minute = at.floor_to_minute();
        if minute >= self.until {
            let ahead = self.ahead.entry(minute).or_insert(Quantity::ZERO);
            *ahead = ahead.checked_add(used)?;
            return Ok(());
        }
        let after = self.phases.partition_point(|(start, _)| *start <= minute);
        let Some(phase) = after.checked_sub(1) else { return Ok(()) };
        self.phases[phase].1 = self.phases[phase].1.checked_add(used)?;
        if after < self.phases.len() {
            self.run = None;
        }
        Ok(())
    }

    /// The balance at an instant. None: reads have been later than that.
    pub fn read(&mut self, terms: &Terms, at: Instant) -> Result<Option<Balance>, Overflow> {
        let burndown = Burndown::new(terms);
        if at < terms.measure_from {
            return burndown.balance(&burndown.start(), at, Quantity::ZERO).map(Some);
        }
        let minute = burndown.minute_of(at);
        if minute < self.until {
            return Ok(None);
        }
        let mut run = match self.run.take() {
            Some(run) => run,
            None => Box::new(self.run_again(&burndown)?),
        };
        while run.phase().end < minute {
            self.take_up(run.phase().end)?;
            burndown.close(&mut run, self.open())?;
            self.phases.push((run.phase().start, Quantity::ZERO));
        }
        self.take_up(minute)?;
        let balance = burndown.balance(&run, at, self.open());
        self.run = Some(run);
        balance.map(Some)
    }

    /// Up to the begin of the last phase.
    fn run_again(&self, burndown: &Burndown<'_>) -> Result<State, Overflow> {
        let mut run = burndown.start();
        let (_, closed) = self.phases.split_last().expect("there is always a phase");
        for (_, used) in closed {
            burndown.close(&mut run, *used)?;
        }
        Ok(run)
    }

    /// Brings what was kept of the minutes before `minute` into the last phase.
    fn take_up(&mut self, minute: Instant) -> Result<(), Overflow> {
        let later = self.ahead.split_off(&minute);
        let sooner = std::mem::replace(&mut self.ahead, later);
        let (_, open) = self.phases.last_mut().expect("there is always a phase");
        for used in sooner.into_values() {
            *open = open.checked_add(used)?;
        }
        self.until = minute;
        Ok(())
    }

    fn open(&self) -> Quantity {
        self.phases.last().expect("there is always a phase").1
    }
}
