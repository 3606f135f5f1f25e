//! The book: a customer's balances in memory, as a pure machine of usage that comes and instants at which it is asked.
//!
//! Usage that adds up (SUM, COUNT) is kept by phase, and a balance is computed from it alone. What UNIQUE_COUNT and
//! LATEST have is asked of the usage store, and kept until usage comes or the minute is over.

use super::{Delta, Part};
use crate::domain::entitlement::burndown::{Balance, evaluation_instant};
use crate::domain::entitlement::phase_usage::PhaseUsage;
use crate::domain::entitlement::standing::Given;
use crate::domain::position::{Frontier, Position};
use crate::domain::quantity::Overflow;
use crate::domain::time::Instant;
use crate::services::balances::{Account, Counted, Followed, FollowedKind};

/// One entitlement with its usage.
#[derive(Debug)]
pub struct Line {
    pub followed: Followed,
    pub usage: Usage,
}

/// What is known of an entitlement's usage.
#[derive(Debug)]
pub enum Usage {
    /// It has none.
    None,
    /// By phase. As long as usage may come that is in it already, what it was loaded with.
    Phases(Box<PhaseUsage>, Option<Box<Loaded>>),
    /// What the usage store said last.
    Asked(Option<Box<Balance>>),
}

/// How far usage was when it was loaded.
#[derive(Debug)]
pub struct Loaded {
    split: Instant,
    past: Frontier,
    ahead: Frontier,
}

/// See the module.
#[derive(Debug)]
pub struct Book {
    lines: Box<[Line]>,
    /// From then on something else is active.
    until: Option<Instant>,
    /// The latest instant it was asked for: it does not go back.
    asked_at: Instant,
}

/// Why a book cannot go on: it is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Worn {
    #[error("another entitlement is active by now")]
    Over,
    #[error("a read has been later than this")]
    Passed,
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl Usage {
    pub fn counted(counted: Counted) -> Self {
        let Counted { usage, split, past, ahead } = counted;
        Self::Phases(Box::new(usage), Some(Box::new(Loaded { split, past, ahead })))
    }
}

impl Loaded {
    /// Whether usage at this position was not in it.
    fn lacks(&self, at: Instant, position: Position) -> bool {
        let have = if at < self.split { &self.past } else { &self.ahead };
        !have.has(position)
    }

    /// Whether everything that comes from there on is new. Of several partitions only their positions tell.
    fn is_past(&self, partition: u32, from: u64) -> bool {
        let below = |frontier: &Frontier| frontier.iter().all(|(other, next)| other == partition && next <= from);
        below(&self.past) && below(&self.ahead)
    }
}

impl Book {
    pub fn new(lines: Vec<Line>, until: Option<Instant>, loaded_at: Instant) -> Self {
        Self { lines: lines.into(), until, asked_at: loaded_at }
    }

    /// Takes up usage; what it has already changes nothing.
    pub fn take(&mut self, part: &Part) -> Result<(), Overflow> {
        for Line { followed, usage } in &mut self.lines {
            let FollowedKind::Metered(account) = &followed.kind else { continue };
            if let Usage::Phases(_, loaded) = usage
                && loaded.as_ref().is_some_and(|loaded| loaded.is_past(part.partition, part.from))
            {
                *loaded = None;
            }
            for delta in &part.deltas {
                enter(account, usage, part.partition, delta)?;
            }
        }
        Ok(())
    }

    /// The instant a question at `at` is answered for: never before an earlier one.
    pub fn ask(&mut self, at: Instant) -> Result<Instant, Worn> {
        self.asked_at = self.asked_at.max(at);
        match self.until.is_some_and(|until| self.asked_at >= until) {
            true => Err(Worn::Over),
            false => Ok(self.asked_at),
        }
    }

    /// Which of the lines asked for need the usage store, by their place.
    pub fn unknown(&self, feature_key: Option<&str>, at: Instant) -> Vec<usize> {
        let is_unknown = |line: &Line| match (&line.followed.kind, &line.usage) {
            (FollowedKind::Metered(account), Usage::Asked(balance)) => {
                let minute = evaluation_instant(account.terms(), at);
                balance.as_ref().is_none_or(|balance| balance.at != minute || !balance.period.contains(&at))
            }
            _ => false,
        };
        let lines = self.lines.iter().enumerate().filter(|(_, line)| is_wanted(line, feature_key) && is_unknown(line));
        lines.map(|(place, _)| place).collect()
    }

    /// The account in this place.
    pub fn account(&self, place: usize) -> Option<&Account> {
        match &self.lines.get(place)?.followed.kind {
            FollowedKind::Metered(account) => Some(account),
            FollowedKind::Static(_) | FollowedKind::Boolean => None,
        }
    }

    /// What the usage store says of a line.
    pub fn learn(&mut self, place: usize, balance: Balance) {
        if let Some(Line { usage: usage @ Usage::Asked(_), .. }) = self.lines.get_mut(place) {
            *usage = Usage::Asked(Some(Box::new(balance)));
        }
    }

    /// What each line asked for gives at an instant that [`Book::ask`] has named; all that is unknown was learnt.
    pub fn given(&mut self, feature_key: Option<&str>, at: Instant) -> Result<Vec<Given>, Worn> {
        let wanted = self.lines.iter_mut().filter(|line| is_wanted(line, feature_key));
        wanted.map(|Line { followed, usage }| given(followed, usage, at)).collect()
    }
}

fn is_wanted(line: &Line, feature_key: Option<&str>) -> bool {
    feature_key.is_none_or(|key| *line.followed.feature_key == *key)
}

fn enter(account: &Account, usage: &mut Usage, partition: u32, delta: &Delta) -> Result<(), Overflow> {
    let Some(used) = account.used(delta.meter, delta.reading, &delta.groups) else { return Ok(()) };
    match usage {
        Usage::None => {}
        Usage::Asked(balance) => *balance = None,
        Usage::Phases(phases, loaded) => {
            let position = Position::new(partition, delta.offset);
            if loaded.as_ref().is_none_or(|loaded| loaded.lacks(delta.at, position)) {
                phases.add(delta.at, used)?;
            }
        }
    }
    Ok(())
}

fn given(followed: &Followed, usage: &mut Usage, at: Instant) -> Result<Given, Worn> {
    let FollowedKind::Metered(account) = &followed.kind else {
        return Ok(followed.given(|_| unreachable!("only a metered one has an account")));
    };
    let balance = match usage {
        Usage::Phases(phases, _) => phases.read(account.terms(), at)?,
        Usage::Asked(balance) => balance.as_deref().cloned(),
        Usage::None => None,
    };
    let balance = balance.ok_or(Worn::Passed)?;
    Ok(followed.given(|account| account.standing(at, balance)))
}
