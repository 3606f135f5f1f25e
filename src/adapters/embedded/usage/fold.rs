//! Folding: cells of series and buckets become rows of an answer, told apart by window, subject, customer and group values.

use super::rollup::Series;
use crate::domain::metering::extract::next_group;
use crate::domain::metering::query::{QueryRefusal, UsageQuery, UsageRow, order_rows};
use crate::domain::metering::window::{Window, Windows};
use crate::domain::metering::{Cell, State};
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::HashMap;
use ulid::Ulid;

/// The answer in the making.
pub struct Fold<'a> {
    query: &'a UsageQuery,
    /// For each of the query's groups, which of the meter's dimensions it is.
    chosen: Vec<usize>,
    /// For each of the meter's dimensions, its filter.
    filters: Vec<Option<&'a crate::domain::metering::query::TextFilter>>,
    windows: Option<Met<'a>>,
    /// Key of a group → index into `groups`.
    known: HashMap<Vec<u8>, usize>,
    groups: Vec<Group>,
    /// The last series and where it goes: rows of one series come one after the other.
    last: Option<(u128, Option<usize>)>,
    key: Vec<u8>,
    rows: usize,
    rows_max: usize,
}

/// Rows that differ in their windows only.
struct Group {
    subject: Option<String>,
    customer: Option<Ulid>,
    values: Vec<String>,
    /// By window start, ascending; without windows there is one, at [`NO_WINDOW`].
    cells: Vec<(i64, Cell)>,
    /// Where the last one was found.
    last: usize,
}

const NO_WINDOW: i64 = i64::MIN;

impl<'a> Fold<'a> {
    pub fn new(query: &'a UsageQuery, rows_max: usize) -> Self {
        let dimensions: Vec<&String> = query.meter.group_by.keys().collect();
        let place = |name: &String| dimensions.iter().position(|dimension| *dimension == name);
        Self {
            chosen: query.group_by.iter().filter_map(place).collect(),
            filters: dimensions.iter().map(|dimension| query.filters.get(*dimension)).collect(),
            windows: query.window.as_ref().map(Met::new),
            query,
            known: HashMap::new(),
            groups: Vec::new(),
            last: None,
            key: Vec::new(),
            rows: 0,
            rows_max,
        }
    }

    /// Takes up a bucket of a series; all of it lies in one window.
    pub fn bucket(&mut self, series: &Series, minute: i64, cell: &Cell) {
        let group = match self.last {
            Some((id, group)) if id == series.id => group,
            _ => self.group(&series.subject, &series.groups),
        };
        self.last = Some((series.id, group));
        if let Some(group) = group {
            self.add(group, minute.saturating_mul(MINUTE_NS), cell);
        }
    }

    /// Takes up one event: its cell, its time, its subject and its group values.
    pub fn event(&mut self, subject: &str, groups: &[u8], time: Instant, cell: &Cell) {
        if let Some(group) = self.group(subject, groups) {
            self.add(group, time.nanos(), cell);
        }
    }

    /// More rows than an answer may have: whoever scans may stop.
    pub fn overflown(&self) -> bool {
        self.rows > self.rows_max
    }

    /// Where a series goes; `None` when a filter does not let it through, or it is nobody's who is asked for.
    fn group(&mut self, subject: &str, groups: &[u8]) -> Option<usize> {
        let mut values = [""; DIMENSIONS_INLINE];
        let mut many = Vec::new();
        let values = read_groups(groups, &mut values, &mut many);
        let passes = |(at, filter): (usize, &Option<&crate::domain::metering::query::TextFilter>)| {
            filter.is_none_or(|filter| filter.accepts(values.get(at).copied().unwrap_or("")))
        };
        if !self.filters.iter().enumerate().all(passes) {
            return None;
        }
        let customer = match &self.query.customers {
            Some(owners) => Some(*owners.get(subject)?),
            None => None,
        };
        let subject = self.query.group_by_subject.then_some(subject);
        let chosen = self.chosen.iter().map(|at| values.get(*at).copied().unwrap_or(""));
        self.key.clear();
        self.key.extend(customer.iter().flat_map(Ulid::to_bytes));
        for part in subject.into_iter().chain(chosen.clone()) {
            self.key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.key.extend_from_slice(part.as_bytes());
        }
        if let Some(index) = self.known.get(self.key.as_slice()) {
            return Some(*index);
        }
        let values = chosen.map(str::to_owned).collect();
        self.groups.push(Group { subject: subject.map(str::to_owned), customer, values, cells: Vec::new(), last: 0 });
        self.known.insert(self.key.clone(), self.groups.len() - 1);
        Some(self.groups.len() - 1)
    }

    fn add(&mut self, group: usize, nanos: i64, cell: &Cell) {
        if self.overflown() {
            return;
        }
        let window = self.windows.as_mut().map_or(NO_WINDOW, |windows| windows.start_of(nanos));
        let Group { cells, last, .. } = &mut self.groups[group];
        // Rows of a series ascend in time, so it is the same window again or the next one, mostly.
        let is_at = |at: &usize| cells.get(*at).is_some_and(|(start, _)| *start == window);
        let near = [*last, *last + 1].into_iter().find(is_at);
        match near.map_or_else(|| cells.binary_search_by_key(&window, |(start, _)| *start), Ok) {
            Ok(at) => {
                cells[at].1.merge(cell);
                *last = at;
            }
            Err(at) => {
                cells.insert(at, (window, cell.clone()));
                *last = at;
                self.rows += 1;
            }
        }
    }

    /// The answer's rows, in order.
    pub fn finish(self) -> Result<Vec<UsageRow>, QueryRefusal> {
        if self.overflown() {
            return Err(QueryRefusal::TooManyRows { rows_max: self.rows_max });
        }
        let Self { query, windows, groups, .. } = self;
        let mut rows = Vec::new();
        for group in groups {
            for (start, cell) in group.cells {
                let Some(value) = cell.state.value(query.meter.aggregation) else { continue };
                let window = match &windows {
                    Some(windows) => windows.starting(start),
                    None => Window {
                        start: query.from.unwrap_or(minute_start(cell.first_minute)),
                        end: query.to.unwrap_or(minute_start(cell.last_minute.saturating_add(1))),
                    },
                };
                rows.push(UsageRow {
                    window_start: window.start,
                    window_end: window.end,
                    subject: group.subject.clone(),
                    customer: group.customer,
                    groups: group.values.clone(),
                    value,
                });
            }
        }
        rows.extend(nothing_counted(query, rows.is_empty()));
        order_rows(&mut rows);
        Ok(rows)
    }
}

/// COUNT and UNIQUE_COUNT of nothing is one row of 0 when neither windows nor groups tell rows apart.
fn nothing_counted(query: &UsageQuery, nothing: bool) -> Option<UsageRow> {
    let apart = query.window.is_some() || query.subjects.is_some() || query.is_grouped();
    if !nothing || apart {
        return None;
    }
    let value = State::empty(query.meter.aggregation).value(query.meter.aggregation)?;
    Some(UsageRow {
        window_start: query.from.unwrap_or(minute_start(0)),
        window_end: query.to.unwrap_or(minute_start(1)),
        subject: None,
        customer: None,
        groups: Vec::new(),
        value,
    })
}

fn minute_start(minute: i64) -> Instant {
    Instant::from_nanos(minute.saturating_mul(MINUTE_NS))
}

/// Group values up to this many are read without an allocation.
const DIMENSIONS_INLINE: usize = 8;

fn read_groups<'g, 'b>(
    mut bytes: &'g [u8],
    few: &'b mut [&'g str; DIMENSIONS_INLINE],
    many: &'b mut Vec<&'g str>,
) -> &'b [&'g str] {
    let mut read = 0;
    while let Some(value) = next_group(&mut bytes) {
        if let Some(place) = few.get_mut(read) {
            *place = value;
        }
        if read >= DIMENSIONS_INLINE {
            if many.is_empty() {
                many.extend_from_slice(few);
            }
            many.push(value);
        }
        read += 1;
    }
    if many.is_empty() { &few[..read] } else { many }
}

/// The windows met so far: asking the calendar once per window, not once per row.
struct Met<'a> {
    windows: &'a Windows,
    /// Ascending by start, disjoint.
    met: Vec<Window>,
    last: usize,
}

impl<'a> Met<'a> {
    fn new(windows: &'a Windows) -> Self {
        Self { windows, met: Vec::new(), last: 0 }
    }

    /// Start of the window that contains the instant, in nanoseconds.
    fn start_of(&mut self, nanos: i64) -> i64 {
        let at = Instant::from_nanos(nanos);
        let holds = |index: &usize| self.met.get(*index).is_some_and(|window| window.contains(at));
        if let Some(near) = [self.last, self.last + 1].into_iter().find(holds) {
            self.last = near;
            return self.met[near].start.nanos();
        }
        let after = self.met.partition_point(|window| window.start <= at);
        self.last = match after.checked_sub(1).filter(holds) {
            Some(before) => before,
            None => {
                self.met.insert(after, self.windows.window_at(at));
                after
            }
        };
        self.met[self.last].start.nanos()
    }

    /// The window that starts there.
    fn starting(&self, nanos: i64) -> Window {
        let at = self.met.binary_search_by_key(&nanos, |window| window.start.nanos());
        self.met[at.expect("cells are kept under starts of windows that were met")]
    }
}
