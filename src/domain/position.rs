//! Positions and frontiers: where a record stands, and how far something has come.
//!
//! A position is (partition, offset). Offsets grow, may have holes, and are never compared across partitions.
//! A frontier says, per partition, the next offset to be taken: a sink with frontier {0: 7} has everything below
//! offset 7 of partition 0. The embedded log has partition 0 only; nothing may rely on that.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Where a record stands in the event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub partition: u32,
    pub offset: u64,
}

impl Position {
    pub fn new(partition: u32, offset: u64) -> Self {
        Self { partition, offset }
    }
}

/// As operators read and type it: `0:412`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// The text is not `partition:offset`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is written partition:offset, such as 0:412")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (partition, offset) = text.split_once(':').ok_or(NotAPosition)?;
        Ok(Self::new(partition.parse().map_err(|_| NotAPosition)?, offset.parse().map_err(|_| NotAPosition)?))
    }
}

/// A half-open stretch of one partition, `[from, to)`: what a batch covers, also when nothing is left in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    pub partition: u32,
    pub from: u64,
    pub to: u64,
}

impl Range {
    pub fn new(partition: u32, from: u64, to: u64) -> Self {
        assert!(from <= to, "a range runs forward: {from}..{to}");
        Self { partition, from, to }
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Offsets covered, holes included.
    pub fn span(&self) -> u64 {
        self.to - self.from
    }

    pub fn contains(&self, position: Position) -> bool {
        self.partition == position.partition && self.from <= position.offset && position.offset < self.to
    }

    pub fn overlaps(&self, other: &Range) -> bool {
        self.partition == other.partition && self.from < other.to && other.from < self.to
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[{}, {})", self.partition, self.from, self.to)
    }
}

/// Per partition, the next offset to be taken. A partition that is not named is at 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Frontier(BTreeMap<u32, u64>);

/// How a range stands to a frontier: what a sink does with a batch depends on this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything in it is already there: acknowledge and drop.
    Below,
    /// It begins at the frontier: apply.
    Next,
    /// It begins below and ends above: drop the records below the frontier, apply the rest.
    Across,
    /// It begins above the frontier: something is missing. Refuse and rewind.
    Gap,
}

impl Frontier {
    pub fn at(partition: u32, next: u64) -> Self {
        Self(BTreeMap::from([(partition, next)]))
    }

    /// The next offset of this partition.
    pub fn next(&self, partition: u32) -> u64 {
        self.0.get(&partition).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.0.iter().map(|(partition, next)| (*partition, *next))
    }

    /// Moves one partition forward to `next`; never back.
    pub fn raise(&mut self, partition: u32, next: u64) {
        let at = self.0.entry(partition).or_default();
        *at = (*at).max(next);
    }

    /// Sets one partition, forward or back.
    pub fn set(&mut self, partition: u32, next: u64) {
        self.0.insert(partition, next);
    }

    /// The greater of both, partition by partition.
    pub fn join(&mut self, other: &Frontier) {
        for (partition, next) in other.iter() {
            self.raise(partition, next);
        }
    }

    /// True when everything that `other` has is here too.
    pub fn covers(&self, other: &Frontier) -> bool {
        other.iter().all(|(partition, next)| self.next(partition) >= next)
    }

    /// True when the record at `position` lies below the frontier.
    pub fn has(&self, position: Position) -> bool {
        position.offset < self.next(position.partition)
    }

    pub fn standing(&self, range: &Range) -> Standing {
        let next = self.next(range.partition);
        if range.from == next {
            Standing::Next
        } else if range.from > next {
            Standing::Gap
        } else if range.to <= next {
            Standing::Below
        } else {
            Standing::Across
        }
    }

    /// How many offsets `self` is behind `ahead`, over all partitions (holes counted).
    pub fn behind(&self, ahead: &Frontier) -> u64 {
        ahead.iter().map(|(partition, next)| next.saturating_sub(self.next(partition))).sum()
    }
}

/// As it travels in `X-Weir-Position` and `X-Weir-After`: `0:7,1:12`; nothing at all is `0:0`.
impl fmt::Display for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0:0");
        }
        for (i, (partition, next)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{partition}:{next}")?;
        }
        Ok(())
    }
}

impl FromStr for Frontier {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let mut frontier = Frontier::default();
        for part in text.split(',') {
            let position: Position = part.trim().parse()?;
            frontier.raise(position.partition, position.offset);
        }
        Ok(frontier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_stands_below_next_across_or_beyond_a_frontier() {
        let frontier = Frontier::at(1, 10);
        #[rustfmt::skip]
        let table = [
            (Range::new(1, 3, 10), Standing::Below),
            (Range::new(1, 10, 12), Standing::Next),
            (Range::new(1, 10, 10), Standing::Next),
            (Range::new(1, 8, 12), Standing::Across),
            (Range::new(1, 11, 12), Standing::Gap),
            (Range::new(2, 0, 4), Standing::Next), // a partition never seen is at 0
        ];
        for (range, standing) in table {
            assert_eq!(frontier.standing(&range), standing, "{range}");
        }
    }

    #[test]
    fn a_frontier_reads_back_what_it_wrote() {
        let mut frontier = Frontier::at(0, 7);
        frontier.raise(3, 12);
        assert_eq!(frontier.to_string(), "0:7,3:12");
        assert_eq!("0:7,3:12".parse(), Ok(frontier));
        assert_eq!("".parse::<Frontier>(), Err(NotAPosition));
        assert_eq!("0:-1".parse::<Frontier>(), Err(NotAPosition));
    }

    #[test]
    fn partitions_are_never_compared_with_each_other() {
        let a = Frontier::at(0, 100);
        let b = Frontier::at(1, 1);
        assert!(!a.covers(&b) && !b.covers(&a));
        assert_eq!(a.behind(&b), 1);
    }
}
