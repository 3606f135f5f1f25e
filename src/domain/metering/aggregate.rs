//! Aggregation: states that merge in any order, so late events are ordinary.

use super::extract::Reading;
use super::meter::Aggregation;
use crate::domain::position::Position;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;

/// What has been seen of one series in one stretch of time. Merging is commutative and associative, and merging two
/// cells of disjoint events is the same as having seen all of them in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// First and last UTC minute with an event of the meter's type, countable or not: a query without windows reports
    /// its bounds from these.
    pub first_minute: i64,
    pub last_minute: i64,
    pub state: State,
}

/// One aggregation's state. `Sum` serves SUM and AVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Count(u64),
    Sum { count: u64, sum: Quantity },
    Min(Option<Quantity>),
    Max(Option<Quantity>),
    /// Sorted, without repetition.
    Unique(Vec<u128>),
    /// The value with the greatest (time, position).
    Latest(Option<(Instant, Position, Quantity)>),
}

impl Cell {
    /// A cell that has seen one event of `meter`'s type; `reading` is `None` when it does not count.
    pub fn of(_aggregation: Aggregation, _time: Instant, _position: Position, _reading: Option<Reading>) -> Self {
        todo!()
    }

    /// Takes up another cell of the same aggregation.
    pub fn merge(&mut self, _other: &Cell) {
        todo!()
    }

    /// Appends a compact form; minutes relative to `bucket_minute`.
    pub fn encode(&self, _bucket_minute: i64, _out: &mut Vec<u8>) {
        todo!()
    }

    pub fn decode(_bucket_minute: i64, _bytes: &mut &[u8]) -> Option<Self> {
        todo!()
    }

    /// Memory held, in bytes.
    pub fn weight(&self) -> usize {
        todo!()
    }
}

impl State {
    /// The empty state of an aggregation.
    pub fn empty(_aggregation: Aggregation) -> Self {
        todo!()
    }

    /// The meter's value; `None` when nothing counted (SUM, AVG, MIN, MAX, LATEST of nothing is no row).
    pub fn value(&self, _aggregation: Aggregation) -> Option<Quantity> {
        todo!()
    }
}
