//! The burn-down: how usage is taken from grants, and what is left at an instant.
//!
//! Time from the begin of measuring is cut into phases: at every reset, where a grant begins or ends, and where a
//! recurrence refills one. At the begin of a phase, in this order: a reset rolls balances over (overage is dropped, or
//! if preserved taken from them at once), recurrences refill, grants that are not in force are emptied, grants that
//! begin get their amount. Then the phase's usage and the overage so far are taken from the grants in burn order; what
//! is left of them is the overage. A grant of 20 and usage of 50 make a balance of 0 and an overage of 30; another
//! grant of 40 leaves 10.
//!
//! A phase is the smallest unit: only with negative usage (SUM) does it matter, which goes to the first grant that is
//! not empty, also beyond its amount, and makes a negative overage when there is none.
//!
//! LATEST is a level, not a flow: the latest value in the usage period, taken from the amounts of the grants in force.
//! Nothing of it is carried from phase to phase.
//!
//! The caller learns by [`needs`] which stretches of usage to measure and gives one quantity for each to [`balance`].
//! Who follows usage as it comes keeps a [`State`] and asks a [`Burndown`] for one phase at a time.

use super::grant::Grant;
use super::period::{ResetKind, UsagePeriods};
use super::terms::Terms;
use crate::domain::metering::meter::Aggregation;
use crate::domain::quantity::{Overflow, Quantity};
use crate::domain::time::{Instant, MINUTE_NS};
use std::iter;
use std::ops::Range;
use ulid::Ulid;

/// Most stretches of usage that one read may need: an hourly period for a hundred years.
pub const PHASES_MAX: usize = 1_000_000;

/// A read would need the usage of more than [`PHASES_MAX`] stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {PHASES_MAX} usage periods, refills and grants up to that time")]
pub struct TooManyPhases;

/// A stretch of usage that the engine needs, half-open, whole minutes. SUM and COUNT: what was used in it. UNIQUE_COUNT:
/// how many distinct values are in it; it begins with its usage period. LATEST: the latest value in it, 0 when there is
/// none; it begins with its usage period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    pub from: Instant,
    pub to: Instant,
}

/// What an entitlement holds at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The full minute at which it was evaluated.
    pub at: Instant,
    /// The usage period of the instant that was asked for.
    pub period: Range<Instant>,
    /// What was used in that period up to `at`.
    pub usage: Quantity,
    /// What is left: the sum over `grants`.
    pub balance: Quantity,
    /// What was used and nothing was left for.
    pub overage: Quantity,
    /// What was taken from grants in the period, also from those that have ended, and what is left.
    pub total_available: Quantity,
    /// What each grant in force holds, in burn order.
    pub grants: Vec<(Ulid, Quantity)>,
}

/// The minute at which a read at `at` is evaluated: the next full one, but never in a later usage period. In the last
/// part of a period's last minute that is the period's end, as it is before the reset.
pub fn evaluation_instant(terms: &Terms, at: Instant) -> Instant {
    Burndown::new(terms).minute_of(at)
}

/// The usage that [`balance`] needs for the same read, in the order of time; none before measuring begins. SUM and
/// COUNT: without gaps or overlaps from the begin of measuring to the evaluation instant.
pub fn needs(terms: &Terms, at: Instant) -> Result<Vec<Need>, TooManyPhases> {
    let burndown = Burndown::new(terms);
    let until = burndown.read_at(at).minute;
    if burndown.is_level() {
        let from = burndown.periods.period_at(at).start;
        return Ok((from < until).then_some(Need { from, to: until }).into_iter().collect());
    }
    burndown.needs(until, &[])
}

/// What the entitlement holds when read at `at`; `usage` holds one quantity for each of the [`needs`]. Before measuring
/// begins nothing is there: no usage and no balance.
pub fn balance(terms: &Terms, at: Instant, usage: &[Quantity]) -> Result<Balance, Overflow> {
    let burndown = Burndown::new(terms);
    let (current, past) = usage.split_last().map_or((Quantity::ZERO, usage), |(current, past)| (*current, past));
    if burndown.is_level() {
        return burndown.balance_of_level(at, current);
    }
    let mut state = burndown.start();
    let mut before = Quantity::ZERO;
    for measured in past {
        let used = burndown.used(state.phase.start, *measured, &mut before)?;
        burndown.close(&mut state, used)?;
    }
    let used = burndown.used(state.phase.start, current, &mut before)?;
    burndown.balance(&state, at, used)
}

/// Where a run stands: at the begin of a phase, with none of the phase's usage taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(super) phase: Range<Instant>,
    /// One for each grant, in burn order; 0 for those that are not in force.
    pub(super) balances: Vec<Quantity>,
    /// In the usage period, without this phase.
    usage: Quantity,
    /// From grants in the usage period, without this phase.
    taken: Quantity,
    pub(super) overage: Quantity,
}

impl State {
    /// The phase whose usage comes next.
    pub fn phase(&self) -> Range<Instant> {
        self.phase.clone()
    }

    /// Takes usage, and the overage so far, from the grants.
    pub(super) fn burn(&mut self, used: Quantity) -> Result<(), Overflow> {
        let due = self.overage.checked_add(used)?;
        let mut owed = due;
        for balance in self.balances.iter_mut().filter(|balance| **balance > Quantity::ZERO) {
            // What is negative goes to the first grant as a whole.
            let part = owed.min(*balance);
            *balance = balance.checked_sub(part)?;
            owed = owed.checked_sub(part)?;
            if owed == Quantity::ZERO {
                break;
            }
        }
        self.usage = self.usage.checked_add(used)?;
        self.taken = self.taken.checked_add(due.checked_sub(owed)?)?;
        self.overage = owed;
        Ok(())
    }

    /// The same after that much usage.
    pub(super) fn after(&self, used: Quantity) -> Result<State, Overflow> {
        let mut state = self.clone();
        state.burn(used)?;
        Ok(state)
    }
}

/// How an instant is read.
pub(super) struct Read {
    asked: Instant,
    /// The full minute up to which usage counts.
    pub(super) minute: Instant,
    /// Whether what happens exactly at `minute` has happened: not when that is a later usage period.
    pub(super) is_complete: bool,
}

impl Read {
    /// The minute whose grants count.
    fn standing(&self) -> Instant {
        if self.is_complete { self.minute } else { Instant::from_nanos(self.minute.nanos() - MINUTE_NS) }
    }
}

/// Terms made ready to run.
pub struct Burndown<'t> {
    pub(super) terms: &'t Terms,
    /// In burn order.
    pub(super) grants: Vec<&'t Grant>,
    pub(super) periods: UsagePeriods,
}

impl<'t> Burndown<'t> {
    pub fn new(terms: &'t Terms) -> Self {
        let mut grants: Vec<_> = terms.grants.iter().collect();
        grants.sort_by(|a, b| a.burn_order(b));
        let periods = UsagePeriods::new(terms.measure_from, terms.period.clone(), &terms.resets);
        Self { terms, grants, periods }
    }

    /// The state when measuring begins: grants in force hold their amount.
    pub fn start(&self) -> State {
        let from = self.terms.measure_from;
        let amount = |grant: &&Grant| if grant.is_active(from) { grant.amount } else { Quantity::ZERO };
        State {
            phase: from..self.phase_end(from),
            balances: self.grants.iter().map(amount).collect(),
            usage: Quantity::ZERO,
            taken: Quantity::ZERO,
            overage: Quantity::ZERO,
        }
    }

    /// Takes the usage of the whole phase and begins the next one.
    pub fn close(&self, state: &mut State, used: Quantity) -> Result<(), Overflow> {
        state.burn(used)?;
        self.open(state, state.phase.end)
    }

    /// What is there when read at `at`, whose evaluation instant must lie in the state's phase or at its end; `used` is
    /// the usage from the phase's begin up to there. Not for LATEST.
    pub fn balance(&self, state: &State, at: Instant, used: Quantity) -> Result<Balance, Overflow> {
        let read = self.read_at(at);
        if at < self.terms.measure_from {
            return Ok(self.nothing(&read));
        }
        assert!(state.phase.start <= read.minute && read.minute <= state.phase.end, "a read of another phase");
        let mut state = state.after(used)?;
        if self.opens_at_end(&read) && read.minute == state.phase.end {
            self.open(&mut state, read.minute)?;
            state.burn(Quantity::ZERO)?;
        }
        self.told(&read, &state)
    }

    /// The minute at which a read at `at` is evaluated, as [`evaluation_instant`] says.
    pub fn minute_of(&self, at: Instant) -> Instant {
        self.read_at(at).minute
    }

    fn balance_of_level(&self, at: Instant, level: Quantity) -> Result<Balance, Overflow> {
        let read = self.read_at(at);
        if at < self.terms.measure_from {
            return Ok(self.nothing(&read));
        }
        let mut state = self.start();
        self.refill(&mut state, read.standing());
        state.burn(level)?;
        self.told(&read, &state)
    }

    pub(super) fn read_at(&self, asked: Instant) -> Read {
        let end = self.periods.period_at(asked).end;
        let minute = asked.ceil_to_minute().min(end);
        Read { asked, minute, is_complete: asked >= minute || minute < end }
    }

    /// The usage to measure up to `until`, cut at the ascending `marks`, too.
    pub(super) fn needs(&self, until: Instant, marks: &[Instant]) -> Result<Vec<Need>, TooManyPhases> {
        let is_flow = matches!(self.terms.aggregation, Aggregation::Sum | Aggregation::Count);
        let need = |piece: Range<Instant>| {
            let from = if is_flow { piece.start } else { self.periods.period_at(piece.start).start };
            Need { from, to: piece.end }
        };
        let needs: Vec<_> = self.pieces(until, marks).map(need).take(PHASES_MAX + 1).collect();
        if needs.len() > PHASES_MAX { Err(TooManyPhases) } else { Ok(needs) }
    }

    /// Phases from the begin of measuring to `until`, cut at the ascending `marks`, too.
    pub(super) fn pieces(&self, until: Instant, marks: &[Instant]) -> impl Iterator<Item = Range<Instant>> {
        let mut from = self.terms.measure_from;
        iter::from_fn(move || {
            let mark = marks.get(marks.partition_point(|mark| *mark <= from));
            let end = self.phase_end(from).min(until).min(mark.copied().unwrap_or(until));
            let piece = from..end;
            from = end;
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// The usage of a piece, given what was measured for its need. `before` remembers for UNIQUE_COUNT what was measured
    /// last: what is new is the difference, within the usage period.
    pub(super) fn used(&self, from: Instant, measured: Quantity, before: &mut Quantity) -> Result<Quantity, Overflow> {
        if self.terms.aggregation != Aggregation::UniqueCount {
            return Ok(measured);
        }
        let begins_period = self.periods.period_at(from).start == from;
        let seen = if begins_period { Quantity::ZERO } else { *before };
        *before = measured;
        measured.checked_sub(seen)
    }

    /// Whether usage is a level, so that nothing is carried from phase to phase.
    pub(super) fn is_level(&self) -> bool {
        self.terms.aggregation == Aggregation::Latest
    }

    /// When the phase that contains `from` ends.
    fn phase_end(&self, from: Instant) -> Instant {
        let turns = self.grants.iter().filter_map(|grant| grant.turns_after(from));
        let refills = self.grants.iter().filter(|_| !self.is_level()).filter_map(|grant| grant.refilled_after(from));
        let end = self.periods.period_at(from).end;
        turns.chain(refills).fold(end, Instant::min)
    }

    /// Whether a read at the end of a phase sees the next one begin: a reset or a refill exactly there counts, while a
    /// grant that begins there counts from the next minute on.
    pub(super) fn opens_at_end(&self, read: &Read) -> bool {
        let is_refill = || !self.is_level() && self.grants.iter().any(|grant| grant.is_refilled_at(read.minute));
        read.is_complete && (self.periods.reset_at(read.minute).is_some() || is_refill())
    }

    fn open(&self, state: &mut State, at: Instant) -> Result<(), Overflow> {
        if let Some(kind) = self.periods.reset_at(at) {
            self.roll_over(state, at, kind);
            state.burn(Quantity::ZERO)?;
        }
        self.refill(state, at);
        Ok(())
    }

    /// A reset, before preserved overage is taken. What begins exactly now has nothing to roll over.
    pub(super) fn roll_over(&self, state: &mut State, at: Instant, kind: ResetKind) {
        for (balance, grant) in state.balances.iter_mut().zip(&self.grants) {
            *balance = match grant.is_active(at) && grant.effective_at < at {
                true if self.is_level() => grant.amount,
                true => grant.rolled_over(*balance),
                false => Quantity::ZERO,
            };
        }
        let keeps = match kind {
            ResetKind::Automatic => self.terms.preserve_overage_at_reset,
            ResetKind::Manual { preserve_overage } => preserve_overage,
        };
        (state.usage, state.taken) = (Quantity::ZERO, Quantity::ZERO);
        if !keeps || self.is_level() {
            state.overage = Quantity::ZERO;
        }
    }

    /// Begins the phase at `at`: refills, and grants that come and go.
    pub(super) fn refill(&self, state: &mut State, at: Instant) {
        for (balance, grant) in state.balances.iter_mut().zip(&self.grants) {
            if !grant.is_active(at) {
                *balance = Quantity::ZERO;
            } else if self.is_level() || grant.effective_at == at || grant.is_refilled_at(at) {
                *balance = grant.amount;
            }
        }
        if self.is_level() {
            (state.usage, state.taken, state.overage) = (Quantity::ZERO, Quantity::ZERO, Quantity::ZERO);
        }
        state.phase = at..self.phase_end(at);
    }

    /// Before measuring begins.
    fn nothing(&self, read: &Read) -> Balance {
        Balance {
            at: read.minute,
            period: self.periods.period_at(read.asked),
            usage: Quantity::ZERO,
            balance: Quantity::ZERO,
            overage: Quantity::ZERO,
            total_available: Quantity::ZERO,
            grants: Vec::new(),
        }
    }

    fn told(&self, read: &Read, state: &State) -> Result<Balance, Overflow> {
        let held = self.grants.iter().zip(&state.balances).filter(|(grant, _)| grant.is_active(read.standing()));
        let grants: Vec<_> = held.map(|(grant, balance)| (grant.id, *balance)).collect();
        let balance = total(grants.iter().map(|(_, balance)| *balance))?;
        Ok(Balance {
            at: read.minute,
            period: self.periods.period_at(read.asked),
            usage: state.usage,
            balance,
            overage: state.overage,
            total_available: state.taken.checked_add(balance)?,
            grants,
        })
    }
}

pub(super) fn total(mut quantities: impl Iterator<Item = Quantity>) -> Result<Quantity, Overflow> {
    quantities.try_fold(Quantity::ZERO, Quantity::checked_add)
}

#[cfg(test)]
mod tests;
