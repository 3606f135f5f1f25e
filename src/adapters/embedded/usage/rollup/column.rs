//! Columns: the states of many cells of one meter version side by side, without an allocation per cell.
//!
//! Made by appending: a new cell is begun, and everything that follows is taken up into it until the next is begun.
//! Distinct values are only gathered; [`Column::close`] sorts them once per cell.

use crate::domain::metering::aggregate::{Latest, add_counts, add_sums, later, lesser};
use crate::domain::metering::extract::Reading;
use crate::domain::metering::{Aggregation, State};
use crate::domain::number::Value;
use crate::domain::position::Position;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;

/// One state per cell.
#[derive(Debug, Clone)]
pub(super) enum Column {
    Count(Vec<u64>),
    Sum(Vec<(u64, Quantity)>),
    Min(Vec<Option<Quantity>>),
    Max(Vec<Option<Quantity>>),
    Latest(Vec<Latest>),
    Unique(Values),
}

/// Distinct values of all cells, one cell after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    values: Vec<u128>,
    /// Where each closed cell's values end.
    ends: Vec<usize>,
    /// A cell has been begun and not been closed.
    open: bool,
}

impl Column {
    /// A column without cells.
    pub fn new(aggregation: Aggregation, capacity: usize) -> Self {
        match aggregation {
            Aggregation::Count => Self::Count(Vec::with_capacity(capacity)),
            Aggregation::Sum | Aggregation::Avg => Self::Sum(Vec::with_capacity(capacity)),
            Aggregation::Min => Self::Min(Vec::with_capacity(capacity)),
            Aggregation::Max => Self::Max(Vec::with_capacity(capacity)),
            Aggregation::Latest => Self::Latest(Vec::with_capacity(capacity)),
            Aggregation::UniqueCount => Self::Unique(Values::default()),
        }
    }

    /// A column without cells, of the same kind.
    pub fn like(&self, capacity: usize) -> Self {
        match self {
            Self::Count(_) => Self::Count(Vec::with_capacity(capacity)),
            Self::Sum(_) => Self::Sum(Vec::with_capacity(capacity)),
            Self::Min(_) => Self::Min(Vec::with_capacity(capacity)),
            Self::Max(_) => Self::Max(Vec::with_capacity(capacity)),
            Self::Latest(_) => Self::Latest(Vec::with_capacity(capacity)),
            Self::Unique(_) => Self::Unique(Values::default()),
        }
    }

    /// Begins a cell that has seen nothing.
    pub fn begin(&mut self) {
        match self {
            Self::Count(cells) => cells.push(0),
            Self::Sum(cells) => cells.push((0, Quantity::ZERO)),
            Self::Min(cells) | Self::Max(cells) => cells.push(None),
            Self::Latest(cells) => cells.push(None),
            Self::Unique(values) => values.begin(),
        }
    }

    /// Takes the value of an event at `time` up into the cell begun last, of LATEST.
    pub fn read_at(&mut self, time: Instant, position: Position, value: Value) {
        let Self::Latest(cells) = self else { unreachable!("only LATEST asks when an event was") };
        *last(cells) = later(*last(cells), Some((time, position, Quantity::from_value(value))));
    }

    /// Takes one reading up into the cell begun last, of any other aggregation.
    pub fn read(&mut self, reading: Reading) {
        match (self, reading) {
            (Self::Count(cells), _) => *last(cells) = add_counts(*last(cells), 1),
            (Self::Sum(cells), Reading::Value(value)) => {
                let (count, sum) = last(cells);
                *count = add_counts(*count, 1);
                *sum = add_sums(*sum, Quantity::from_value(value));
            }
            (Self::Min(cells), Reading::Value(value)) => {
                *last(cells) = lesser(*last(cells), Some(Quantity::from_value(value)));
            }
            (Self::Max(cells), Reading::Value(value)) => {
                *last(cells) = (*last(cells)).max(Some(Quantity::from_value(value)));
            }
            (Self::Unique(values), Reading::Distinct(value)) => values.values.push(value),
            (_, reading) => unreachable!("no meter of this kind reads {reading:?}"),
        }
    }

    /// Takes a cell of another column up into the cell begun last.
    pub fn take(&mut self, other: &Column, index: usize) {
        match (self, other) {
            (Self::Count(cells), Self::Count(others)) => *last(cells) = add_counts(*last(cells), others[index]),
            (Self::Sum(cells), Self::Sum(others)) => {
                let ((count, sum), (more, amount)) = (last(cells), others[index]);
                *count = add_counts(*count, more);
                *sum = add_sums(*sum, amount);
            }
            (Self::Min(cells), Self::Min(others)) => *last(cells) = lesser(*last(cells), others[index]),
            (Self::Max(cells), Self::Max(others)) => *last(cells) = (*last(cells)).max(others[index]),
            (Self::Latest(cells), Self::Latest(others)) => *last(cells) = later(*last(cells), others[index]),
            (Self::Unique(values), Self::Unique(others)) => values.values.extend_from_slice(others.of(index)),
            _ => unreachable!("columns of one meter version are of one kind"),
        }
    }

    /// Closes the cell begun last; nothing is taken up into it any more.
    pub fn close(&mut self) {
        if let Self::Unique(values) = self {
            values.close();
        }
    }

    /// Forgets all cells, keeps the room.
    pub fn clear(&mut self) {
        match self {
            Self::Count(cells) => cells.clear(),
            Self::Sum(cells) => cells.clear(),
            Self::Min(cells) | Self::Max(cells) => cells.clear(),
            Self::Latest(cells) => cells.clear(),
            Self::Unique(values) => {
                values.values.clear();
                values.ends.clear();
                values.open = false;
            }
        }
    }

    /// Gives back what was reserved and not needed.
    pub fn shrink(&mut self) {
        match self {
            Self::Count(cells) => shrink(cells),
            Self::Sum(cells) => shrink(cells),
            Self::Min(cells) | Self::Max(cells) => shrink(cells),
            Self::Latest(cells) => shrink(cells),
            Self::Unique(values) => {
                shrink(&mut values.values);
                shrink(&mut values.ends);
            }
        }
    }

    /// Writes a closed cell's state into `state`, whose memory is used again.
    pub fn state_into(&self, index: usize, state: &mut State) {
        *state = match self {
            Self::Count(cells) => State::Count(cells[index]),
            Self::Sum(cells) => State::Sum { count: cells[index].0, sum: cells[index].1 },
            Self::Min(cells) => State::Min(cells[index]),
            Self::Max(cells) => State::Max(cells[index]),
            Self::Latest(cells) => State::Latest(cells[index]),
            Self::Unique(values) => {
                if let State::Unique(old) = state {
                    old.clear();
                    old.extend_from_slice(values.of(index));
                    return;
                }
                State::Unique(values.of(index).to_vec())
            }
        };
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Count(cells) => cells.capacity() * size_of::<u64>(),
            Self::Sum(cells) => cells.capacity() * size_of::<(u64, Quantity)>(),
            Self::Min(cells) | Self::Max(cells) => cells.capacity() * size_of::<Option<Quantity>>(),
            Self::Latest(cells) => cells.capacity() * size_of::<Latest>(),
            Self::Unique(values) => {
                values.values.capacity() * size_of::<u128>() + values.ends.capacity() * size_of::<usize>()
            }
        }
    }
}

impl Values {
    fn begin(&mut self) {
        self.close();
        self.open = true;
    }

    fn close(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let start = self.start(self.ends.len());
        if self.values.len() - start > 1 {
            // What came from other columns is sorted already: a stable sort finds such runs and merges them.
            self.values[start..].sort();
            self.keep_distinct(start);
        }
        self.ends.push(self.values.len());
    }

    /// Drops repetitions in the sorted tail from `start`.
    fn keep_distinct(&mut self, start: usize) {
        let mut kept = start;
        for at in start + 1..self.values.len() {
            if self.values[at] != self.values[kept] {
                kept += 1;
                self.values[kept] = self.values[at];
            }
        }
        self.values.truncate(kept + 1);
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn of(&self, index: usize) -> &[u128] {
        &self.values[self.start(index)..self.ends[index]]
    }
}

fn last<T>(cells: &mut [T]) -> &mut T {
    cells.last_mut().expect("a cell is begun before it takes anything up")
}

/// Gives room back when more than a quarter of it is empty.
pub(super) fn shrink<T>(list: &mut Vec<T>) {
    if list.capacity() - list.len() > list.capacity() / 4 {
        list.shrink_to_fit();
    }
}
