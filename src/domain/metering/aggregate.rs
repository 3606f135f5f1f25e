//! Aggregation: states that merge in any order, so late events are ordinary.
//!
//! Worked number: an event of 3 at 10:00 and one of 4 at 10:02 are, as one cell, `Sum { count: 2, sum: 7 }` with first
//! minute 10:00 and last minute 10:02, whichever came first.

use super::extract::Reading;
use super::meter::Aggregation;
use crate::domain::position::Position;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use crate::domain::varint;
use std::cmp::Ordering;

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
    Sum {
        count: u64,
        sum: Quantity,
    },
    Min(Option<Quantity>),
    Max(Option<Quantity>),
    /// Sorted, without repetition.
    Unique(Vec<u128>),
    /// The value with the greatest (time, position).
    Latest(Option<(Instant, Position, Quantity)>),
}

impl Cell {
    /// A cell that has seen one event of `meter`'s type; `reading` is `None` when it does not count.
    pub fn of(aggregation: Aggregation, time: Instant, position: Position, reading: Option<Reading>) -> Self {
        let minute = time.minute();
        let state =
            reading.map_or_else(|| State::empty(aggregation), |read| State::of(aggregation, time, position, read));
        Self { first_minute: minute, last_minute: minute, state }
    }

    /// Takes up another cell of the same aggregation.
    pub fn merge(&mut self, other: &Cell) {
        self.first_minute = self.first_minute.min(other.first_minute);
        self.last_minute = self.last_minute.max(other.last_minute);
        self.state.merge(&other.state);
    }

    /// Appends a compact form; minutes relative to `bucket_minute`, which is not after the first minute.
    /// The cell of a minute takes no byte for its bounds.
    pub fn encode(&self, bucket_minute: i64, out: &mut Vec<u8>) {
        let bounds = self.first_minute != bucket_minute || self.last_minute != bucket_minute;
        out.push(self.state.tag() | if bounds { HAS_BOUNDS } else { 0 });
        if bounds {
            varint::put(self.first_minute.abs_diff(bucket_minute), out);
            varint::put(self.last_minute.abs_diff(self.first_minute), out);
        }
        self.state.encode(bucket_minute, out);
    }

    /// Reads what [`Cell::encode`] wrote and moves `bytes` past it; `None` when the bytes are not that.
    pub fn decode(bucket_minute: i64, bytes: &mut &[u8]) -> Option<Self> {
        let mut rest = *bytes;
        let tag = take_byte(&mut rest)?;
        let (mut first_minute, mut last_minute) = (bucket_minute, bucket_minute);
        if tag & HAS_BOUNDS != 0 {
            first_minute = bucket_minute.checked_add_unsigned(varint::take(&mut rest)?)?;
            last_minute = first_minute.checked_add_unsigned(varint::take(&mut rest)?)?;
        }
        let state = State::decode(tag & !HAS_BOUNDS, bucket_minute, &mut rest)?;
        *bytes = rest;
        Some(Self { first_minute, last_minute, state })
    }

    /// Memory held, in bytes.
    pub fn weight(&self) -> usize {
        let heap = match &self.state {
            State::Unique(values) => values.capacity() * size_of::<u128>(),
            _ => 0,
        };
        size_of::<Self>() + heap
    }
}

impl State {
    /// The empty state of an aggregation.
    pub fn empty(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count => Self::Count(0),
            Aggregation::Sum | Aggregation::Avg => Self::Sum { count: 0, sum: Quantity::ZERO },
            Aggregation::Min => Self::Min(None),
            Aggregation::Max => Self::Max(None),
            Aggregation::UniqueCount => Self::Unique(Vec::new()),
            Aggregation::Latest => Self::Latest(None),
        }
    }

    /// The state after one reading. A reading of another kind than the aggregation's is a bug of the extraction.
    fn of(aggregation: Aggregation, time: Instant, position: Position, reading: Reading) -> Self {
        match (aggregation, reading) {
            (Aggregation::Count, _) => Self::Count(1),
            (Aggregation::Sum | Aggregation::Avg, Reading::Value(value)) => {
                Self::Sum { count: 1, sum: Quantity::from_value(value) }
            }
            (Aggregation::Min, Reading::Value(value)) => Self::Min(Some(Quantity::from_value(value))),
            (Aggregation::Max, Reading::Value(value)) => Self::Max(Some(Quantity::from_value(value))),
            (Aggregation::UniqueCount, Reading::Distinct(value)) => Self::Unique(vec![value]),
            (Aggregation::Latest, Reading::Value(value)) => {
                Self::Latest(Some((time, position, Quantity::from_value(value))))
            }
            (aggregation, reading) => unreachable!("{aggregation:?} never reads {reading:?}"),
        }
    }

    /// Takes up another state of the same aggregation.
    pub fn merge(&mut self, other: &State) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count = add_counts(*count, *more),
            (Self::Sum { count, sum }, Self::Sum { count: more, sum: amount }) => {
                *count = add_counts(*count, *more);
                *sum = add_sums(*sum, *amount);
            }
            (Self::Min(least), Self::Min(other)) => *least = lesser(*least, *other),
            (Self::Max(greatest), Self::Max(other)) => *greatest = (*greatest).max(*other),
            (Self::Unique(values), Self::Unique(others)) => unite(values, others),
            (Self::Latest(latest), Self::Latest(other)) => *latest = later(*latest, *other),
            (mine, theirs) => unreachable!("{mine:?} and {theirs:?} are of one meter version"),
        }
    }

    /// The meter's value; `None` when nothing counted (SUM, AVG, MIN, MAX, LATEST of nothing is no row).
    pub fn value(&self, aggregation: Aggregation) -> Option<Quantity> {
        match self {
            Self::Count(count) => Some(Quantity::from_count(*count)),
            Self::Sum { count: 0, .. } => None,
            Self::Sum { count, sum } if aggregation == Aggregation::Avg => Some(sum.average_over(*count)),
            Self::Sum { sum, .. } => Some(*sum),
            Self::Min(value) | Self::Max(value) => *value,
            Self::Unique(values) => Some(Quantity::from_count(values.len() as u64)),
            Self::Latest(latest) => latest.map(|(_, _, value)| value),
        }
    }
}

/// No log holds 2⁶⁴ events.
pub fn add_counts(a: u64, b: u64) -> u64 {
    a.checked_add(b).expect("fewer than 2⁶⁴ events are counted")
}

/// A value is below 2⁹⁶, so 2⁶³ of them fit into a quantity.
pub fn add_sums(a: Quantity, b: Quantity) -> Quantity {
    a.checked_add(b).expect("2⁶³ values of any size fit into a quantity")
}

/// The lesser of two values, where nothing is greater than anything.
pub fn lesser(a: Option<Quantity>, b: Option<Quantity>) -> Option<Quantity> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// What LATEST has seen last.
pub type Latest = Option<(Instant, Position, Quantity)>;

/// The one with the greater (time, position). The same event seen twice is the same value, so ties do not matter;
/// they are broken by value all the same, to be commutative on any input.
pub fn later(a: Latest, b: Latest) -> Latest {
    a.max(b)
}

/// Takes up sorted distinct values into sorted distinct values. One new value, the common case, costs a search and
/// no allocation beyond its place.
pub fn unite(values: &mut Vec<u128>, others: &[u128]) {
    if let [one] = others {
        if let Err(place) = values.binary_search(one) {
            values.insert(place, *one);
        }
        return;
    }
    if values.last() < others.first() {
        values.extend_from_slice(others);
    } else if !others.is_empty() {
        let mine = std::mem::replace(values, Vec::with_capacity(values.len() + others.len()));
        union_into(&mine, others, values);
    }
}

/// Appends the union of two sorted distinct lists.
pub fn union_into(a: &[u128], b: &[u128], out: &mut Vec<u128>) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let order = a[i].cmp(&b[j]);
        out.push(a[i].min(b[j]));
        i += usize::from(order != Ordering::Greater);
        j += usize::from(order != Ordering::Less);
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
}

// The compact form: one tag byte, bounds where they are not the bucket itself, then the state.

const HAS_BOUNDS: u8 = 0x80;
const COUNT: u8 = 1;
const SUM: u8 = 2;
const MIN: u8 = 3;
const MAX: u8 = 4;
const UNIQUE: u8 = 5;
const LATEST: u8 = 6;
/// MIN, MAX or LATEST of nothing.
const NOTHING: u8 = 0x40;

impl State {
    fn tag(&self) -> u8 {
        match self {
            Self::Count(_) => COUNT,
            Self::Sum { .. } => SUM,
            Self::Min(value) => MIN | if value.is_none() { NOTHING } else { 0 },
            Self::Max(value) => MAX | if value.is_none() { NOTHING } else { 0 },
            Self::Unique(_) => UNIQUE,
            Self::Latest(latest) => LATEST | if latest.is_none() { NOTHING } else { 0 },
        }
    }

    fn encode(&self, bucket_minute: i64, out: &mut Vec<u8>) {
        match self {
            Self::Count(count) => varint::put(*count, out),
            Self::Sum { count, sum } => {
                varint::put(*count, out);
                sum.encode(out);
            }
            Self::Min(None) | Self::Max(None) | Self::Latest(None) => {}
            Self::Min(Some(value)) | Self::Max(Some(value)) => value.encode(out),
            Self::Unique(values) => {
                varint::put(values.len() as u64, out);
                values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
            }
            Self::Latest(Some((time, position, value))) => {
                put_time(*time, bucket_minute, out);
                varint::put(u64::from(position.partition), out);
                varint::put(position.offset, out);
                value.encode(out);
            }
        }
    }

    fn decode(tag: u8, bucket_minute: i64, bytes: &mut &[u8]) -> Option<Self> {
        const NO_MIN: u8 = MIN | NOTHING;
        const NO_MAX: u8 = MAX | NOTHING;
        const NO_LATEST: u8 = LATEST | NOTHING;
        Some(match tag {
            COUNT => Self::Count(varint::take(bytes)?),
            SUM => Self::Sum { count: varint::take(bytes)?, sum: Quantity::decode(bytes)? },
            MIN => Self::Min(Some(Quantity::decode(bytes)?)),
            MAX => Self::Max(Some(Quantity::decode(bytes)?)),
            NO_MIN => Self::Min(None),
            NO_MAX => Self::Max(None),
            NO_LATEST => Self::Latest(None),
            UNIQUE => Self::Unique(take_values(bytes)?),
            LATEST => {
                let time = take_time(bucket_minute, bytes)?;
                let partition = u32::try_from(varint::take(bytes)?).ok()?;
                let position = Position::new(partition, varint::take(bytes)?);
                Self::Latest(Some((time, position, Quantity::decode(bytes)?)))
            }
            _ => return None,
        })
    }
}

/// Nanoseconds since the bucket's start, zigzag. Modulo 2⁶⁴: every instant has one form, whatever the bucket.
fn put_time(time: Instant, bucket_minute: i64, out: &mut Vec<u8>) {
    let since = time.nanos().wrapping_sub(bucket_minute.wrapping_mul(MINUTE_NS));
    varint::put(((since << 1) ^ (since >> 63)).cast_unsigned(), out);
}

fn take_time(bucket_minute: i64, bytes: &mut &[u8]) -> Option<Instant> {
    let zigzag = varint::take(bytes)?;
    let since = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    Some(Instant::from_nanos(since.wrapping_add(bucket_minute.wrapping_mul(MINUTE_NS))))
}

/// Nothing is allocated before the bytes announced are known to be there; what is not sorted and distinct is refused.
fn take_values(bytes: &mut &[u8]) -> Option<Vec<u128>> {
    let count = usize::try_from(varint::take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(count.checked_mul(size_of::<u128>())?)?;
    let (words, _) = taken.as_chunks::<{ size_of::<u128>() }>();
    let values: Vec<u128> = words.iter().map(|word| u128::from_be_bytes(*word)).collect();
    *bytes = rest;
    values.is_sorted_by(|a, b| a < b).then_some(values)
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::number::Value;
    use proptest::prelude::*;

    const AGGREGATIONS: [Aggregation; 7] = [
        Aggregation::Sum,
        Aggregation::Count,
        Aggregation::Avg,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::UniqueCount,
        Aggregation::Latest,
    ];

    fn value(text: &str) -> Reading {
        Reading::Value(Value::parse(text).unwrap())
    }

    fn cell(aggregation: Aggregation, minute: i64, offset: u64, number: Option<i32>) -> Cell {
        let reading = number.map(|number| match aggregation {
            Aggregation::Count => Reading::One,
            Aggregation::UniqueCount => Reading::Distinct(number.unsigned_abs().into()),
            _ => value(&format!("{number}e-2")),
        });
        Cell::of(aggregation, Instant::from_nanos(minute * MINUTE_NS + 7), Position::new(0, offset), reading)
    }

    /// Events of one meter: (minute, value or not countable); the offset is the place in the list.
    fn events() -> impl Strategy<Value = (Aggregation, Vec<Cell>)> {
        let events = proptest::collection::vec((0i64..90, proptest::option::of(-4i32..4)), 1..12);
        (proptest::sample::select(&AGGREGATIONS[..]), events).prop_map(|(aggregation, events)| {
            let cell = |(offset, (minute, number))| cell(aggregation, minute, offset as u64, number);
            (aggregation, events.into_iter().enumerate().map(cell).collect())
        })
    }

    fn merged(cells: &[Cell]) -> Cell {
        let mut all = cells[0].clone();
        cells[1..].iter().for_each(|cell| all.merge(cell));
        all
    }

    #[test]
    fn a_meter_without_countable_events_has_no_value_unless_it_counts() {
        for aggregation in AGGREGATIONS {
            let counts = matches!(aggregation, Aggregation::Count | Aggregation::UniqueCount);
            let expected = counts.then_some(Quantity::ZERO);
            assert_eq!(State::empty(aggregation).value(aggregation), expected, "{aggregation:?}");
            assert_eq!(cell(aggregation, 3, 0, None).state, State::empty(aggregation));
        }
    }

    #[test]
    fn each_aggregation_says_what_three_events_come_to() {
        // 5.00 at minute 2, -1.00 at minute 9, 4.00 at minute 1.
        #[rustfmt::skip]
        let table = [
            (Aggregation::Sum, "8"), (Aggregation::Count, "3"), (Aggregation::Avg, "2.6666666666666666666666666667"),
            (Aggregation::Min, "-1"), (Aggregation::Max, "5"), (Aggregation::UniqueCount, "3"), (Aggregation::Latest, "-1"),
        ];
        for (aggregation, expected) in table {
            let events = [(2, 500), (9, -100), (1, 400)];
            let cells = events.map(|(minute, number)| cell(aggregation, minute, minute as u64, Some(number)));
            let all = merged(&cells);
            assert_eq!((all.first_minute, all.last_minute), (1, 9));
            assert_eq!(all.state.value(aggregation).unwrap().to_plain(), expected, "{aggregation:?}");
        }
    }

    #[test]
    fn of_two_values_at_one_instant_the_later_position_is_the_latest() {
        let (a, b) = (cell(Aggregation::Latest, 1, 7, Some(900)), cell(Aggregation::Latest, 1, 8, Some(100)));
        for cells in [[a.clone(), b.clone()], [b, a]] {
            assert_eq!(merged(&cells).state.value(Aggregation::Latest), Quantity::parse("1"));
        }
    }

    #[test]
    fn an_event_that_does_not_count_moves_only_the_bounds() {
        let mut all = cell(Aggregation::Sum, 5, 0, Some(100));
        all.merge(&cell(Aggregation::Sum, 2, 1, None));
        assert_eq!((all.first_minute, all.last_minute), (2, 5));
        assert_eq!(all.state, State::Sum { count: 1, sum: Quantity::from_count(1) });
    }

    #[test]
    fn the_cell_of_a_minute_is_small() {
        for (aggregation, length) in [(Aggregation::Count, 2), (Aggregation::Sum, 4), (Aggregation::UniqueCount, 18)] {
            let mut bytes = Vec::new();
            cell(aggregation, 29_000_000, 3, Some(700)).encode(29_000_000, &mut bytes);
            assert_eq!(bytes.len(), length, "{aggregation:?}");
        }
    }

    proptest! {
        #[test]
        fn merging_is_the_same_in_any_order_and_grouping(
            (_, cells) in events(),
            shuffle in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let all = merged(&cells);
            let mut turned = cells.clone();
            turned.rotate_left(shuffle.index(cells.len()));
            prop_assert_eq!(&merged(&turned), &all);
            let (left, right) = turned.split_at(cut.index(cells.len()));
            if !left.is_empty() {
                let mut halves = merged(right);
                halves.merge(&merged(left));
                prop_assert_eq!(&halves, &all);
            }
        }

        #[test]
        fn merging_a_unique_or_least_cell_twice_changes_nothing((aggregation, cells) in events()) {
            let all = merged(&cells);
            let mut twice = all.clone();
            twice.merge(&all);
            if !matches!(aggregation, Aggregation::Sum | Aggregation::Avg | Aggregation::Count) {
                prop_assert_eq!(twice, all);
            }
        }

        #[test]
        fn a_cell_reads_back_and_leaves_the_rest((_, cells) in events()) {
            let all = merged(&cells);
            let mut bytes = Vec::new();
            all.encode(0, &mut bytes);
            bytes.push(0xee);
            let mut rest = &bytes[..];
            prop_assert_eq!(Cell::decode(0, &mut rest), Some(all));
            prop_assert_eq!(rest, &[0xee][..]);
            for cut in 0..bytes.len() - 1 {
                prop_assert_eq!(Cell::decode(0, &mut &bytes[..cut]), None);
            }
        }

        #[test]
        fn no_bytes_make_reading_a_cell_panic(
            tag in 0u8..8, flags in any::<u8>(), bucket in any::<i64>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = [&[tag | flags & 0xc0][..], &bytes].concat();
            let mut rest = &bytes[..];
            if Cell::decode(bucket, &mut rest).is_none() {
                prop_assert_eq!(rest.len(), bytes.len());
            }
        }

        #[test]
        fn distinct_values_unite_like_sets(
            a in proptest::collection::btree_set(0u128..20, 0..10),
            b in proptest::collection::btree_set(0u128..20, 0..10),
        ) {
            let mut values: Vec<u128> = a.iter().copied().collect();
            unite(&mut values, &b.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(values, a.union(&b).copied().collect::<Vec<_>>());
        }
    }
}
