//! Rows in memory: what batches brought since the last seal, by meter, series and minute.

use super::build::RowBuilder;
use super::column::{Column, shrink};
use super::stretch::wanted_from;
use super::{RowScan, Series, Visit};
use crate::domain::metering::plan::Minutes;
use crate::domain::metering::{Batch, Cell, State};
use std::sync::Arc;

/// Rows in memory: immutable, sorted by (meter, series, minute).
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    /// One per meter version, ascending.
    sections: Vec<Arc<Section>>,
}

/// The rows of one meter version.
#[derive(Debug)]
pub(super) struct Section {
    pub meter: u128,
    /// Ids of `series`, ascending: what is searched.
    ids: Vec<u128>,
    pub series: Vec<Arc<Series>>,
    /// Ascending, without repetition; ordinals are indices into `series`.
    pub keys: Vec<Key>,
    /// One state per key.
    pub column: Column,
}

/// Where a row stands: its series' ordinal, then its minute. Orders like the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

/// Added to a minute to make it positive. Any instant's minute lies within ± 1.6·10⁸.
const MINUTE_BIAS: i64 = 1 << 31;

impl Key {
    pub fn new(ordinal: u32, minute: i64) -> Self {
        let biased = u32::try_from(minute + MINUTE_BIAS).expect("an instant's minute fits into 32 bits");
        Self(u64::from(ordinal) << 32 | u64::from(biased))
    }

    /// The first key of the series that is not before `minute`, whatever minute that is.
    fn at_or_after(ordinal: u32, minute: i64) -> Self {
        Self::new(ordinal, minute.clamp(-MINUTE_BIAS, MINUTE_BIAS - 1))
    }

    pub fn ordinal(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub fn minute(self) -> i64 {
        i64::from(self.0 as u32) - MINUTE_BIAS
    }

    /// The same minute of another series.
    pub fn of(self, ordinal: u32) -> Self {
        Self(u64::from(ordinal) << 32 | u64::from(self.0 as u32))
    }
}

impl MemoryRows {
    /// `sections` ascend by meter.
    pub(super) fn new(sections: Vec<Arc<Section>>) -> Self {
        debug_assert!(sections.is_sorted_by(|a, b| a.meter < b.meter));
        Self { sections }
    }

    /// The rows of one batch. Fails on nothing: a batch is applied whole or not at all. Whoever has more than one
    /// batch keeps a [`RowBuilder`].
    pub fn of(batch: &Batch) -> Self {
        RowBuilder::new().rows(batch)
    }

    /// The rows of all parts as one. Parts of a meter that only one of them has are shared, not copied.
    pub fn merge(parts: &[Arc<MemoryRows>]) -> Self {
        let mut sections: Vec<&Arc<Section>> = parts.iter().flat_map(|part| &part.sections).collect();
        sections.sort_by_key(|section| section.meter);
        let meters = sections.chunk_by(|a, b| a.meter == b.meter);
        let merged = meters.map(|same| match same {
            [only] => Arc::clone(only),
            many => Arc::new(Section::merge(many)),
        });
        Self::new(merged.collect())
    }

    pub fn rows(&self) -> usize {
        self.sections.iter().map(|section| section.keys.len()).sum()
    }

    /// Distinct series.
    pub fn series(&self) -> usize {
        self.sections.iter().map(|section| section.series.len()).sum()
    }

    /// Memory held, in bytes. Texts that are shared with other rows are counted here too.
    pub fn bytes(&self) -> usize {
        self.sections.iter().map(|section| section.bytes()).sum()
    }

    /// Earliest and latest minute of any row of this meter version, half-open; `None` when it has none.
    pub fn bounds(&self, meter: u128) -> Option<Minutes> {
        self.section(meter).map(Section::bounds)
    }

    /// Every series of a meter version.
    pub fn series_of(&self, meter: u128) -> &[Arc<Series>] {
        self.section(meter).map_or(&[], |section| &section.series)
    }

    /// Every row whose minute lies in any of the scan's stretches.
    pub fn scan(&self, scan: &RowScan<'_>, visit: &mut Visit<'_>) {
        let Some(section) = self.section(scan.meter) else { return };
        let all = 0..section.series.len();
        let Some(subjects) = scan.subjects else { return section.scan(all, scan, visit) };
        for (prefix, subject) in subjects {
            let start = section.ids.partition_point(|id| ((id >> 64) as u64) < *prefix);
            let length = section.ids[start..].partition_point(|id| (id >> 64) as u64 == *prefix);
            for ordinal in start..start + length {
                // Two subjects may share a prefix; the text decides.
                if *section.series[ordinal].subject == **subject {
                    section.scan(ordinal..ordinal + 1, scan, visit);
                }
            }
        }
    }

    pub(super) fn sections(&self) -> &[Arc<Section>] {
        &self.sections
    }

    fn section(&self, meter: u128) -> Option<&Section> {
        let index = self.sections.binary_search_by_key(&meter, |section| section.meter).ok()?;
        Some(&self.sections[index])
    }
}

impl Section {
    pub fn new(series: Vec<Arc<Series>>, keys: Vec<Key>, column: Column) -> Self {
        let ids: Vec<u128> = series.iter().map(|series| series.id).collect();
        debug_assert!(ids.is_sorted_by(|a, b| a < b) && keys.is_sorted_by(|a, b| a < b));
        Self { meter: series[0].meter, ids, series, keys, column }
    }

    /// Joins rows of one meter version. Keys are concatenated and sorted: a stable sort finds the sorted parts in
    /// there and merges them, which is faster than a heap of cursors.
    fn merge(parts: &[&Arc<Section>]) -> Self {
        let (series, ordinals) = merge_series(parts);
        let mut order: Vec<(Key, u32, u32)> = Vec::with_capacity(parts.iter().map(|part| part.keys.len()).sum());
        for (number, part) in parts.iter().enumerate() {
            let ordinals = &ordinals[number];
            let renamed = |key: &Key| key.of(ordinals[key.ordinal() as usize]);
            order.extend(part.keys.iter().enumerate().map(|(row, key)| (renamed(key), number as u32, row as u32)));
        }
        order.sort_by_key(|(key, _, _)| *key);
        let mut keys: Vec<Key> = Vec::with_capacity(order.len());
        let mut column = parts[0].column.like(order.len());
        for (key, part, row) in order {
            if keys.last() != Some(&key) {
                keys.push(key);
                column.begin();
            }
            column.take(&parts[part as usize].column, row as usize);
        }
        column.close();
        column.shrink();
        shrink(&mut keys);
        Self::new(series, keys, column)
    }

    fn bounds(&self) -> Minutes {
        let minutes = || self.keys.iter().map(|key| key.minute());
        match (minutes().min(), minutes().max()) {
            (Some(first), Some(last)) => first..last + 1,
            _ => unreachable!("a section has rows"),
        }
    }

    fn bytes(&self) -> usize {
        let texts: usize = self.series.iter().map(|series| series.subject.len() + series.groups.len()).sum();
        let entry = size_of::<u128>() + size_of::<Arc<Series>>() + size_of::<Series>();
        texts + self.series.len() * entry + self.keys.capacity() * size_of::<Key>() + self.column.bytes()
    }

    /// Rows of the series with these ordinals.
    fn scan(&self, ordinals: std::ops::Range<usize>, scan: &RowScan<'_>, visit: &mut Visit<'_>) {
        let lists = [scan.days, scan.hours, scan.minutes];
        let wanted = |minute| lists.iter().filter_map(|list| wanted_from(list, minute)).min();
        let Some(first) = wanted(i64::MIN) else { return };
        let mut cell = Cell { first_minute: 0, last_minute: 0, state: State::Count(0) };
        for ordinal in ordinals {
            let ordinal = ordinal as u32;
            let mut row = self.keys.partition_point(|key| *key < Key::at_or_after(ordinal, first));
            while let Some(key) = self.keys.get(row).filter(|key| key.ordinal() == ordinal) {
                let minute = key.minute();
                match wanted(minute) {
                    Some(next) if next == minute => {
                        self.column.state_into(row, &mut cell.state);
                        (cell.first_minute, cell.last_minute) = (minute, minute);
                        visit(&self.series[ordinal as usize], minute, &cell);
                        row += 1;
                    }
                    Some(next) => {
                        let target = Key::at_or_after(ordinal, next);
                        row += self.keys[row..].partition_point(|key| *key < target);
                    }
                    None => break,
                }
            }
        }
    }
}

/// All series of the parts, ascending, and for each part the new ordinals of its series.
fn merge_series(parts: &[&Arc<Section>]) -> (Vec<Arc<Series>>, Vec<Vec<u32>>) {
    let mut all: Vec<(u128, u32, u32)> = Vec::with_capacity(parts.iter().map(|part| part.ids.len()).sum());
    for (number, part) in parts.iter().enumerate() {
        all.extend(part.ids.iter().enumerate().map(|(old, id)| (*id, number as u32, old as u32)));
    }
    all.sort_by_key(|(id, _, _)| *id);
    let mut ordinals: Vec<Vec<u32>> = parts.iter().map(|part| vec![0; part.ids.len()]).collect();
    let mut series: Vec<Arc<Series>> = Vec::new();
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        for (_, part, old) in same {
            ordinals[*part as usize][*old as usize] = series.len() as u32;
        }
        let (_, part, old) = same[0];
        series.push(parts[part as usize].series[old as usize].clone());
    }
    (series, ordinals)
}
