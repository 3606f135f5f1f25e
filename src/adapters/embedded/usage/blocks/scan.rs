//! Scanning: zones are asked first, then a block's numbers, then the texts of the rows that passed.

use super::block::{Block, Row};
use super::builder::Place;
use super::bytes::Damage;
use super::filter::Filter;
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
        let mut scanner = BlockScanner::default();
        let flow = self.walk_wanted(filter, &mut |zone| scanner.scan(self, zone, filter, visit))?;
        if flow.is_break() || !filter.wants_duplicates() {
            return Ok(flow);
        }
        self.scan_duplicates(filter, visit)
    }

    /// Calls `visit` with the zone of every block of whole events that may hold what is wanted.
    pub(super) fn walk_wanted(
        &self,
        filter: &Filter<'_>,
        visit: &mut dyn FnMut(&Zone<'_>) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<ControlFlow<()>, Fault> {
        let enter = &mut |page: &Zone<'_>| {
            let wanted = page.may_hold(filter);
            filter.advance(if wanted { 0 } else { page.rows });
            wanted
        };
        self.walk(self.footer().events_root, enter, &mut |zone| {
            let flow = if zone.may_hold(filter) { visit(zone)? } else { ControlFlow::Continue(()) };
            filter.advance(zone.rows);
            Ok(flow)
        })
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

/// Reads blocks for a scan; keeps the memory from one to the next.
pub(super) struct BlockScanner {
    bytes: Vec<u8>,
    block: Block,
    passing_keys: Vec<bool>,
    passing_sources: Vec<bool>,
    /// Rows that pass.
    passing: Vec<usize>,
}

impl Default for BlockScanner {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            block: Block::new(),
            passing_keys: Vec::new(),
            passing_sources: Vec::new(),
            passing: Vec::new(),
        }
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
        self.find_rows(filter)?;
        if self.passing.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        self.block.read_ids(&self.bytes)?;
        if filter.asks_id() {
            self.keep_ids(filter)?;
        }
        if self.passing.is_empty() {
            return Ok(ControlFlow::Continue(()));
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

    /// The rows that pass in everything but their ids.
    fn find_rows(&mut self, filter: &Filter<'_>) -> Result<(), Damage> {
        self.block.read_numbers(&self.bytes)?;
        self.passing_keys.clear();
        for key in 0..self.block.keys() {
            self.passing_keys.push(filter.passes_key(self.block.key(key)?));
        }
        self.passing_sources.clear();
        for envelope in 0..self.block.envelopes() {
            self.passing_sources.push(filter.passes_source(self.block.source(envelope)?));
        }
        let (rows, keys, sources) = (&self.block.rows, &self.passing_keys, &self.passing_sources);
        let passes_texts = |row: &Row| keys[row.key as usize] && sources[row.envelope as usize];
        let passes = |row: &Row| passes_texts(row) && filter.passes(&row.place, row.time);
        self.passing.clear();
        self.passing.extend((0..rows.len()).filter(|row| passes(&rows[*row])));
        Ok(())
    }

    fn keep_ids(&mut self, filter: &Filter<'_>) -> Result<(), Damage> {
        let (block, mut bad) = (&self.block, None);
        self.passing.retain(|row| {
            let id = block.id(&block.rows[*row]);
            id.map_or_else(|damage| bad.replace(damage).is_some(), |id| filter.passes_id(id))
        });
        bad.map_or(Ok(()), Err)
    }

    /// How many rows pass of each subject that has any; only the numbers of the block are read.
    pub fn subjects(
        &mut self,
        file: &BlockFile,
        zone: &Zone<'_>,
        filter: &Filter<'_>,
        visit: &mut dyn FnMut(&str, u64),
    ) -> Result<(), Fault> {
        file.read_block(zone.offset, zone.length, &mut self.bytes)?;
        self.subjects_read(filter, visit).map_err(|damage| file.damaged(zone.offset, damage))
    }

    fn subjects_read(&mut self, filter: &Filter<'_>, visit: &mut dyn FnMut(&str, u64)) -> Result<(), Damage> {
        self.find_rows(filter)?;
        let rows = &self.block.rows;
        // Rows of one key stand together.
        for same in self.passing.chunk_by(|a, b| rows[*a].key == rows[*b].key) {
            visit(self.block.key(rows[same[0]].key)?.subject, same.len() as u64);
        }
        Ok(())
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
    filter.advance(batch.events() as u64);
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
        && filter.passes_source(event.source)
        && filter.passes_id(event.id)
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
