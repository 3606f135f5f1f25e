//! Scanning: zones are asked first, then a block's numbers, then the texts of the rows that passed.

use super::block::{Block, Row};
use super::builder::Place;
use super::bytes::Damage;
use super::filter::Filter;
use super::footer;
use super::proof::{EventHasher, Proof};
use super::time_text::TimeText;
use super::zone::{Key, Zone};
use super::{BlockFile, BlockScan, Stored, Visit};
use crate::domain::fault::Fault;
use crate::domain::metering::{Batch, Fate};
use crate::domain::record::EventView;
use std::ops::{ControlFlow, Range};

impl BlockFile {
    /// In file order (namespace, type, subject, time, at), block by block; then the duplicates, by `at`, unless the scan
    /// asks for something that they were not kept with (namespace, type, subject, time, counting).
    ///
    /// # Errors
    /// Bad bytes: the fault names file and offset. What was visited before stands.
    pub fn scan(&self, scan: &BlockScan<'_>, visit: &mut Visit<'_>) -> Result<ControlFlow<()>, Fault> {
        self.scan_filtered(&Filter::of(scan), visit)
    }

    pub(in super::super) fn scan_filtered(
        &self,
        filter: &Filter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        let mut reader = BlockScanner::default();
        let flow = self.walk(self.footer().events_root, &mut |page| page.may_hold(filter), &mut |zone| {
            if !zone.may_hold(filter) {
                return Ok(ControlFlow::Continue(()));
            }
            reader.scan(self, zone, filter, visit)
        })?;
        if flow.is_break() || !filter.wants_duplicates() {
            return Ok(flow);
        }
        self.scan_duplicates(filter, visit)
    }

    /// Block by block, those with the latest events first: whoever wants only the latest raises `time_from` as it goes,
    /// and what lies wholly below it is not read. `visit` answers the bound that holds from now on.
    pub(in super::super) fn scan_latest_first(
        &self,
        filter: &mut Filter<'_>,
        visit: &mut dyn FnMut(Stored<'_>) -> Option<i64>,
    ) -> Result<(), Fault> {
        let root = self.footer().events_root;
        let root_bytes = self.read_index(root)?;
        let mut scanner = BlockScanner::default();
        for page in latest_first(self.zones(&root_bytes, root.offset)?) {
            if !page.may_hold(filter) {
                continue;
            }
            let page_bytes = self.read_index(footer::Place { offset: page.offset, length: page.length })?;
            for zone in latest_first(self.zones(&page_bytes, page.offset)?) {
                if !zone.may_hold(filter) {
                    continue;
                }
                let mut bound = None;
                let _ = scanner.scan(self, &zone, filter, &mut |stored| {
                    bound = visit(stored);
                    ControlFlow::Continue(())
                })?;
                filter.time_from = filter.time_from.max(bound);
            }
        }
        Ok(())
    }

    /// Only the duplicates, asked for by their places.
    pub(in super::super) fn scan_duplicates(
        &self,
        filter: &Filter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        let mut rows = Vec::new();
        self.walk(self.footer().duplicates_root, &mut |page| page.may_hold_places(filter), &mut |zone| {
            if !zone.may_hold_places(filter) {
                return Ok(ControlFlow::Continue(()));
            }
            self.read_duplicates(zone, &mut rows)?;
            for row in &rows {
                let place = row.place();
                if filter.passes_place(&place) && visit(place.stored(None)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The proof of the events at these offsets, from the blocks as they are.
    pub fn proof(&self, offsets: Range<u64>) -> Result<Proof, Fault> {
        let scan = BlockScan { offsets: Some(offsets), ..BlockScan::default() };
        let mut proof = Proof::default();
        let mut hasher = EventHasher::default();
        let _ = self.scan(&scan, &mut |stored| {
            proof.add(hasher.of_event(&Place::of(&stored), stored.event.as_ref()));
            ControlFlow::Continue(())
        })?;
        Ok(proof)
    }
}

fn latest_first(mut zones: Vec<Zone<'_>>) -> Vec<Zone<'_>> {
    zones.sort_by_key(|zone| std::cmp::Reverse(zone.times.1));
    zones
}

/// Reads blocks for a scan; keeps the memory from one to the next.
pub(super) struct BlockScanner {
    bytes: Vec<u8>,
    block: Block,
    passing_keys: Vec<bool>,
    /// Rows that pass.
    passing: Vec<usize>,
}

impl Default for BlockScanner {
    fn default() -> Self {
        Self { bytes: Vec::new(), block: Block::new(), passing_keys: Vec::new(), passing: Vec::new() }
    }
}

impl BlockScanner {
    /// Visits the rows of one block that pass.
    pub fn scan(
        &mut self,
        file: &BlockFile,
        zone: &Zone<'_>,
        filter: &Filter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        file.read_block(zone.offset, zone.length, &mut self.bytes)?;
        self.scan_read(filter, visit).map_err(|damage| file.damaged(zone.offset, damage))
    }

    fn scan_read(&mut self, filter: &Filter<'_>, visit: &mut Visit<'_>) -> Result<ControlFlow<()>, Damage> {
        self.block.read_numbers(&self.bytes)?;
        self.passing_keys.clear();
        for key in 0..self.block.keys() {
            self.passing_keys.push(filter.passes_key(self.block.key(key)?));
        }
        let (rows, keys) = (&self.block.rows, &self.passing_keys);
        let passes = |row: &Row| keys[row.key as usize] && filter.passes(&row.place, row.time);
        self.passing.clear();
        self.passing.extend((0..rows.len()).filter(|row| passes(&rows[*row])));
        if self.passing.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        self.block.read_ids(&self.bytes)?;
        if let Some(wanted) = &filter.id {
            let block = &self.block;
            let mut bad = None;
            self.passing.retain(|row| {
                block.id(&block.rows[*row]).map_or_else(|damage| bad.replace(damage).is_some(), |id| wanted.passes(id))
            });
            bad.map_or(Ok(()), Err)?;
            if self.passing.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
        }
        self.block.read_data(&self.bytes)?;
        let mut buffer = TimeText::new();
        for row in &self.passing {
            if visit(self.block.stored(&self.block.rows[*row], &mut buffer)?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The same scan over a batch that is not sealed yet, in position order. A duplicate is shown as it will be kept.
pub fn scan_batch(batch: &Batch, scan: &BlockScan<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    scan_batch_filtered(batch, &Filter::of(scan), visit)
}

pub(in super::super) fn scan_batch_filtered(
    batch: &Batch,
    filter: &Filter<'_>,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let wants_duplicates = filter.wants_duplicates();
    for chunk in &batch.chunks {
        for event in &chunk.events {
            let place = Place::of_event(event);
            if matches!(place.fate, Fate::Duplicate { .. }) {
                if wants_duplicates && filter.passes_place(&place) {
                    visit(place.stored(None))?;
                }
                continue;
            }
            if !filter.passes_place(&place) {
                continue;
            }
            // A record that cannot be read was never let in by the door, and sealing it is refused by name.
            let Ok(view) = chunk.view(event) else { continue };
            if passes(filter, &place, &view) {
                visit(place.stored(Some(view)))?;
            }
        }
    }
    ControlFlow::Continue(())
}

fn passes(filter: &Filter<'_>, place: &Place, event: &EventView<'_>) -> bool {
    filter.passes(place, event.instant(place.accepted_at).nanos())
        && filter.passes_key(Key::of(event))
        && filter.id.as_ref().is_none_or(|id| id.passes(event.id))
}

impl Place {
    pub(super) fn of(stored: &Stored<'_>) -> Self {
        Self { at: stored.at, position: stored.position, accepted_at: stored.accepted_at, fate: stored.fate }
    }

    pub(super) fn of_event(event: &crate::domain::metering::Event) -> Self {
        Self { at: event.at, position: event.position, accepted_at: event.accepted_at, fate: event.fate }
    }

    pub(super) fn stored<'a>(&self, event: Option<EventView<'a>>) -> Stored<'a> {
        Stored { at: self.at, position: self.position, accepted_at: self.accepted_at, fate: self.fate, event }
    }
}
