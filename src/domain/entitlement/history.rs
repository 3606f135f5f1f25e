//! History: the same run, told phase by phase.
//!
//! Each phase is one [`Segment`], and every reset one more of length zero: it begins with the balances rolled over and
//! ends with preserved overage taken from them. Windows of a calendar cut the same time differently; for them the
//! balance at their begin is told.

use super::burndown::{Burndown, Need, State, TooManyPhases, total};
use super::period::ResetKind;
use super::terms::Terms;
use crate::domain::quantity::{Overflow, Quantity};
use crate::domain::time::Instant;
use std::ops::Range;
use ulid::Ulid;

/// A stretch in which only usage happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub from: Instant,
    pub to: Instant,
    /// What was used in it; LATEST: the level at its end.
    pub usage: Quantity,
    /// What nothing was left for at its end.
    pub overage: Quantity,
    pub balance_at_start: Quantity,
    pub balance_at_end: Quantity,
    /// Every grant that is in force at some time of the usage period, in burn order; 0 where it is not in force.
    pub grants_at_start: Vec<(Ulid, Quantity)>,
    pub grants_at_end: Vec<(Ulid, Quantity)>,
    /// What was taken from each grant that held something, in burn order.
    pub grant_usages: Vec<(Ulid, Quantity)>,
}

/// What happened to a balance over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    pub segments: Vec<Segment>,
    /// The balance at each window's begin that lies in the time that was told. Where a segment begins, that segment's:
    /// overage that it begins with is not yet taken.
    pub starts: Vec<(Instant, Quantity)>,
}

/// The usage that [`history`] needs for the same question, in the order of time.
pub fn history_needs(
    terms: &Terms,
    from: Instant,
    to: Instant,
    starts: &[Instant],
) -> Result<Vec<Need>, TooManyPhases> {
    let burndown = Burndown::new(terms);
    let until = burndown.read_at(to).minute;
    burndown.needs(until, &marks(from, starts))
}

/// What happened from `from`, a full minute not before measuring begins, to a read at `to`. `starts` are the ascending
/// begins of windows; `usage` holds one quantity for each of the [`history_needs`].
pub fn history(
    terms: &Terms,
    from: Instant,
    to: Instant,
    starts: &[Instant],
    usage: &[Quantity],
) -> Result<History, Overflow> {
    let burndown = Burndown::new(terms);
    let read = burndown.read_at(to);
    let mut teller = Teller::new(&burndown, from, read.minute);
    let marks = marks(from, starts);
    let mut before = Quantity::ZERO;
    for (piece, measured) in burndown.pieces(read.minute, &marks).zip(usage) {
        if piece.start == teller.state.phase.end {
            teller.turn()?;
        }
        if starts.binary_search(&piece.start).is_ok() {
            teller.mark(piece.start)?;
        }
        let used = burndown.used(piece.start, *measured, &mut before)?;
        teller.pass(piece, used)?;
    }
    if from < read.minute && read.minute == teller.state.phase.end && burndown.opens_at_end(&read) {
        teller.turn()?;
        let at = read.minute;
        teller.pass(at..at, Quantity::ZERO)?;
    }
    Ok(teller.told)
}

fn marks(from: Instant, starts: &[Instant]) -> Vec<Instant> {
    let mut marks = [&[from], starts].concat();
    marks.sort_unstable();
    marks
}

/// Follows a run piece by piece.
struct Teller<'b> {
    burndown: &'b Burndown<'b>,
    from: Instant,
    to: Instant,
    /// Of the phase that is passed through.
    state: State,
    /// The usage of that phase so far; LATEST: the level.
    used: Quantity,
    /// The segment that is being told: where it begins, with what balances and how much of the phase used.
    begun: Option<(Instant, State, Quantity)>,
    told: History,
}

impl<'b> Teller<'b> {
    fn new(burndown: &'b Burndown<'b>, from: Instant, to: Instant) -> Self {
        let state = burndown.start();
        Self { burndown, from, to, state, used: Quantity::ZERO, begun: None, told: History::default() }
    }

    /// Ends the phase and begins the next one.
    fn turn(&mut self) -> Result<(), Overflow> {
        let at = self.state.phase.end;
        self.state.burn(self.used)?;
        let reset = self.burndown.periods.reset_at(at);
        if let Some(kind) = reset {
            self.reset(at, kind)?;
        }
        if reset.is_some() || !self.burndown.is_level() {
            self.used = Quantity::ZERO;
        }
        self.burndown.refill(&mut self.state, at);
        Ok(())
    }

    fn reset(&mut self, at: Instant, kind: ResetKind) -> Result<(), Overflow> {
        self.burndown.roll_over(&mut self.state, at, kind);
        let start = self.state.clone();
        self.state.burn(Quantity::ZERO)?;
        if at > self.from {
            let mut segment = self.segment(at..at, &start, &self.state, Quantity::ZERO)?;
            if start.overage == Quantity::ZERO {
                segment.grant_usages.clear();
            }
            self.told.segments.push(segment);
        }
        Ok(())
    }

    /// Tells the balance at a window's begin.
    fn mark(&mut self, at: Instant) -> Result<(), Overflow> {
        let begins_phase = at == self.state.phase.start && !self.burndown.is_level();
        let balances = if begins_phase { &self.state } else { &self.state.after(self.used)? };
        self.told.starts.push((at, total(balances.balances.iter().copied())?));
        Ok(())
    }

    /// Goes on by a piece of the phase.
    fn pass(&mut self, piece: Range<Instant>, used: Quantity) -> Result<(), Overflow> {
        if piece.start >= self.from && self.begun.is_none() {
            let begins_phase = piece.start == self.state.phase.start || self.burndown.is_level();
            let start = if begins_phase { self.state.clone() } else { self.state.after(self.used)? };
            let used = if begins_phase { Quantity::ZERO } else { self.used };
            self.begun = Some((piece.start, start, used));
        }
        self.used = if self.burndown.is_level() { used } else { self.used.checked_add(used)? };
        if (piece.end == self.state.phase.end || piece.end == self.to)
            && let Some((from, start, used_before)) = self.begun.take()
        {
            let end = self.state.after(self.used)?;
            let usage = self.used.checked_sub(used_before)?;
            self.told.segments.push(self.segment(from..piece.end, &start, &end, usage)?);
        }
        Ok(())
    }

    fn segment(
        &self,
        stretch: Range<Instant>,
        start: &State,
        end: &State,
        usage: Quantity,
    ) -> Result<Segment, Overflow> {
        let period = self.burndown.periods.period_at(stretch.start);
        let (first, last) = (period.start.max(self.from), period.end.min(self.to));
        let mut segment = Segment {
            from: stretch.start,
            to: stretch.end,
            usage,
            overage: end.overage,
            balance_at_start: total(start.balances.iter().copied())?,
            balance_at_end: total(end.balances.iter().copied())?,
            grants_at_start: Vec::new(),
            grants_at_end: Vec::new(),
            grant_usages: Vec::new(),
        };
        for ((grant, at_start), at_end) in self.burndown.grants.iter().zip(&start.balances).zip(&end.balances) {
            if *at_start > Quantity::ZERO || at_start != at_end {
                segment.grant_usages.push((grant.id, at_start.checked_sub(*at_end)?));
            }
            if grant.is_in_force_within(first, last) {
                segment.grants_at_start.push((grant.id, *at_start));
                segment.grants_at_end.push((grant.id, *at_end));
            }
        }
        Ok(segment)
    }
}

#[cfg(test)]
mod tests;
