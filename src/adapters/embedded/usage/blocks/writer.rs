//! Writing a file of event blocks: blocks in file order, then duplicates, then the index, then the footer.
//!
//! Every block is read back from its own bytes before it is written: its zone and its part of the file's proof come
//! from there, so a file that does not give back what was put in is never finished. After the sync the bytes on the disk
//! are checked once more, block by block.

use super::block::Block;
use super::builder::{BlockBuilder, Place};
use super::bytes::{Damage, Reader};
use super::duplicates::{self, Duplicate, DuplicateBuilder};
use super::footer::{self, Footer, damaged, failed};
use super::frame::{self, Kind, Packer, Unpacker};
use super::proof::{EventHasher, Proof};
use super::time_text::TimeText;
use super::zone::{Zone, join, read_all};
use super::{BlockFile, FileSummary};
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::position::Range;
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use std::path::Path;
use std::sync::Arc;

/// Zones on one page of the index.
const PAGE_ZONES: usize = 64;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// A file being written. Dropped unfinished, it leaves bytes that no manifest lists.
pub(super) struct FileWriter<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    file: Arc<dyn DiskFile>,
    range: Range,
    // what is not written yet
    pending: Vec<u8>,
    pending_at: u64,
    builder: BlockBuilder,
    duplicates: DuplicateBuilder,
    // tools
    packer: Packer,
    reader: Block,
    hasher: EventHasher,
    // what was written
    events_index: Index,
    duplicates_index: Index,
    proof: Proof,
}

impl<'a> FileWriter<'a> {
    pub fn create(disk: &'a dyn Disk, path: &'a Path, range: Range) -> Result<Self, Fault> {
        let file = disk.create(path).map_err(|error| failed(path, "created", &error))?;
        Ok(Self {
            disk,
            path,
            file,
            range,
            pending: footer::head(),
            pending_at: 0,
            builder: BlockBuilder::new(range.partition),
            duplicates: DuplicateBuilder::default(),
            packer: Packer::new(),
            reader: Block::new(),
            hasher: EventHasher::default(),
            events_index: Index::default(),
            duplicates_index: Index::default(),
            proof: Proof::default(),
        })
    }

    /// Takes the next whole event in file order.
    pub fn push(&mut self, place: &Place, event: &EventView<'_>) -> Result<(), Fault> {
        self.builder.push(place, event);
        if self.builder.is_full() { self.seal_block() } else { Ok(()) }
    }

    /// Takes the next duplicate, in the order of `at`.
    pub fn push_duplicate(&mut self, row: Duplicate) -> Result<(), Fault> {
        self.duplicates.push(row);
        if self.duplicates.is_full() { self.seal_duplicates() } else { Ok(()) }
    }

    /// Bytes of records that wait for their block to be full.
    pub fn waiting_bytes(&self) -> usize {
        self.builder.record_bytes()
    }

    /// Takes a whole block of another file as it is: everything in it comes next in file order.
    pub fn copy_block(&mut self, zone: &Zone<'_>, block: &[u8]) -> Result<(), Fault> {
        self.seal_block()?;
        let start = self.pending.len();
        let offset = self.at();
        self.pending.extend_from_slice(block);
        frame::place(&mut self.pending[start..], offset);
        self.proof.join(Proof { events: zone.rows, hash: zone.hash });
        self.events_index.add(&Zone { offset, ..*zone });
        self.after_block()
    }

    /// Where the next byte goes.
    fn at(&self) -> u64 {
        self.pending_at + self.pending.len() as u64
    }

    fn seal_block(&mut self) -> Result<(), Fault> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let (start, offset) = (self.pending.len(), self.at());
        let length = self.builder.seal(&mut self.packer, offset, &mut self.pending);
        let block = &self.pending[start..];
        let proof =
            prove_block(&mut self.reader, &mut self.hasher, block).map_err(|d| damaged(self.path, offset, d.0))?;
        let zone = Zone::of_block(&self.reader, offset, length, proof).map_err(|d| damaged(self.path, offset, d.0))?;
        self.events_index.add(&zone.ok_or_else(|| damaged(self.path, offset, "a block came back empty"))?);
        self.proof.join(proof);
        self.after_block()
    }

    fn seal_duplicates(&mut self) -> Result<(), Fault> {
        if self.duplicates.is_empty() {
            return Ok(());
        }
        let (start, offset) = (self.pending.len(), self.at());
        let length = self.duplicates.seal(&mut self.packer, offset, &mut self.pending);
        let mut rows = Vec::new();
        duplicates::read(&mut Unpacker::new(), &self.pending[start..], &mut rows)
            .map_err(|d| damaged(self.path, offset, d.0))?;
        let proof = prove_duplicates(&mut self.hasher, &rows);
        let zone = Zone::of_duplicates(&rows, offset, length, proof);
        self.duplicates_index.add(&zone.ok_or_else(|| damaged(self.path, offset, "a block came back empty"))?);
        self.proof.join(proof);
        self.after_block()
    }

    fn after_block(&mut self) -> Result<(), Fault> {
        for kind in [IndexOf::Events, IndexOf::Duplicates] {
            if self.index(kind).zones == PAGE_ZONES {
                self.seal_page(kind)?;
            }
        }
        if self.pending.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn index(&mut self, of: IndexOf) -> &mut Index {
        match of {
            IndexOf::Events => &mut self.events_index,
            IndexOf::Duplicates => &mut self.duplicates_index,
        }
    }

    /// Writes the zones gathered so far as a page, and the page's own zone into the root.
    fn seal_page(&mut self, of: IndexOf) -> Result<(), Fault> {
        let index = std::mem::take(self.index(of));
        let offset = self.at();
        let length = self.packer.pack(Kind::Index, &[&index.page], offset, &mut self.pending);
        let zones = read_all(&index.page).map_err(|d| damaged(self.path, offset, d.0))?;
        let mut root = index.root;
        if let Some(all) = zones.into_iter().reduce(Zone::and) {
            Zone { offset, length, ..all }.write(&mut root);
        }
        *self.index(of) = Index { root, ..Index::default() };
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.file.write_at(self.pending_at, &self.pending).map_err(|error| failed(self.path, "written", &error))?;
        self.pending_at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes the rest, syncs, reads the file back, and compares it with the proof of what was put in.
    pub fn finish(mut self, expected: Proof) -> Result<FileSummary, Fault> {
        self.seal_block()?;
        self.seal_duplicates()?;
        let (events_root, events) = self.finish_index(IndexOf::Events)?;
        let (duplicates_root, duplicates) = self.finish_index(IndexOf::Duplicates)?;
        if self.proof != expected {
            let (have, want) = (self.proof.events, expected.events);
            let message = format!("what was packed does not read back: {have} of {want} events, other bytes");
            return Err(damaged(self.path, self.at(), &message));
        }
        let mut footer = Footer {
            range: self.range,
            events: self.proof.events,
            duplicates: duplicates.rows,
            conflicts: events.conflicts,
            times: events.times.map(instants),
            accepted: [events.accepted, duplicates.accepted].into_iter().flatten().reduce(join).map(instants),
            hash: format!("{:x}", self.proof.hash),
            events_root,
            duplicates_root,
            bytes: 0,
        };
        let tail = footer::tail(&mut footer, self.at());
        self.pending.extend_from_slice(&tail);
        self.flush()?;
        self.sync()?;
        BlockFile::open(self.disk, self.path)?.check_bytes()?;
        Ok(footer.summary())
    }

    fn finish_index(&mut self, of: IndexOf) -> Result<(footer::Place, Totals), Fault> {
        if self.index(of).zones > 0 {
            self.seal_page(of)?;
        }
        let root = std::mem::take(&mut self.index(of).root);
        let offset = self.at();
        let totals = Totals::of(&root).map_err(|d| damaged(self.path, offset, d.0))?;
        let length = self.packer.pack(Kind::Index, &[&root], offset, &mut self.pending);
        Ok((footer::Place { offset, length }, totals))
    }

    fn sync(&self) -> Result<(), Fault> {
        let dir = self.path.parent().unwrap_or(Path::new(""));
        self.file.sync().and_then(|()| self.disk.sync_dir(dir)).map_err(|error| failed(self.path, "synced", &error))
    }
}

/// The two indexes of a file.
#[derive(Debug, Clone, Copy)]
enum IndexOf {
    Events,
    Duplicates,
}

/// An index being made.
#[derive(Default)]
struct Index {
    page: Vec<u8>,
    zones: usize,
    root: Vec<u8>,
}

impl Index {
    fn add(&mut self, zone: &Zone<'_>) {
        zone.write(&mut self.page);
        self.zones += 1;
    }
}

/// What a root adds up to.
#[derive(Default)]
struct Totals {
    rows: u64,
    conflicts: u64,
    times: Option<(i64, i64)>,
    accepted: Option<(i64, i64)>,
}

impl Totals {
    fn of(root: &[u8]) -> Result<Self, Damage> {
        let mut bytes = Reader::new(root);
        let mut totals = Self::default();
        while !bytes.rest.is_empty() {
            let zone = Zone::read(&mut bytes)?;
            totals.rows += zone.rows;
            totals.conflicts += zone.conflicts;
            totals.times = Some(totals.times.map_or(zone.times, |times| join(times, zone.times)));
            totals.accepted = Some(totals.accepted.map_or(zone.accepted, |accepted| join(accepted, zone.accepted)));
        }
        Ok(totals)
    }
}

fn instants((least, greatest): (i64, i64)) -> (Instant, Instant) {
    (Instant::from_nanos(least), Instant::from_nanos(greatest))
}

/// Reads a checked block wholly and proves its rows.
pub(super) fn prove_block(reader: &mut Block, hasher: &mut EventHasher, block: &[u8]) -> Result<Proof, Damage> {
    reader.read(block)?;
    let mut proof = Proof::default();
    let mut buffer = TimeText::new();
    for row in &reader.rows {
        let event = reader.event(row, &mut buffer)?;
        proof.add(hasher.of_event(&row.place, Some(&event)));
    }
    Ok(proof)
}

pub(super) fn prove_duplicates(hasher: &mut EventHasher, rows: &[Duplicate]) -> Proof {
    let mut proof = Proof::default();
    for row in rows {
        proof.add(hasher.of_event(&row.place(), None));
    }
    proof
}
