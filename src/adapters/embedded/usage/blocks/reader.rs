//! Reading a file: its ends when it is opened, index pages and blocks when they are asked for. Nothing else is kept in
//! memory, so that a store of many files costs no more than their handles.

use super::block::Block;
use super::bytes::Damage;
use super::duplicates::{self, Duplicate};
use super::footer::{self, Footer, Place, damaged, failed};
use super::frame::{self, Kind, Unpacker};
use super::proof::{EventHasher, Proof};
use super::writer::{prove_block, prove_duplicates};
use super::zone::{Zone, read_all};
use super::{BlockFile, FileSummary};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

impl BlockFile {
    /// Opens and checks header and footer; blocks are checked when they are read. A file of a higher format version is
    /// refused by name.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<BlockFile, Fault> {
        let file = disk.open(path).map_err(|error| failed(path, "opened", &error))?;
        let footer = footer::read(&*file, path)?;
        let hash = footer.proof_hash();
        let hash = hash.ok_or_else(|| damaged(path, footer.bytes, "the footer's hash is not a number"))?;
        let proof = Proof { events: footer.events, hash };
        let summary = footer.summary();
        Ok(BlockFile { file, path: path.to_owned(), footer, summary, proof, blocks_read: AtomicU64::new(0) })
    }

    pub fn summary(&self) -> &FileSummary {
        &self.summary
    }

    /// Where the file is, relative to the data directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Blocks of events read so far.
    pub fn blocks_read(&self) -> u64 {
        self.blocks_read.load(Ordering::Relaxed)
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The proof of everything in the file, as it was when the file was written.
    pub(super) fn whole_proof(&self) -> Proof {
        self.proof
    }

    pub(super) fn damaged(&self, offset: u64, damage: Damage) -> Fault {
        damaged(&self.path, offset, damage.0)
    }

    /// Replaces `out` by the checked bytes of a block.
    pub(super) fn read_block(&self, offset: u64, length: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        if offset.checked_add(u64::from(length)).is_none_or(|end| end > self.summary.bytes) {
            return Err(damaged(&self.path, offset, "a block ends beyond the file"));
        }
        self.blocks_read.fetch_add(1, Ordering::Relaxed);
        out.resize(length as usize, 0);
        self.file
            .read_at(offset, out)
            .map_err(|error| failed(&self.path, &format!("read at byte {offset}"), &error))?;
        frame::check(out, offset).map_err(|damage| self.damaged(offset, damage))
    }

    /// Calls `visit` with every zone of an index for which it says so page by page: `enter` is asked about a page.
    pub(super) fn walk(
        &self,
        root: Place,
        enter: &mut dyn FnMut(&Zone<'_>) -> bool,
        visit: &mut dyn FnMut(&Zone<'_>) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<ControlFlow<()>, Fault> {
        let root_bytes = self.read_index(root)?;
        for page in self.zones(&root_bytes, root.offset)? {
            if !enter(&page) {
                continue;
            }
            let page_bytes = self.read_index(Place { offset: page.offset, length: page.length })?;
            for zone in self.zones(&page_bytes, page.offset)? {
                if visit(&zone)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn zones<'b>(&self, bytes: &'b [u8], offset: u64) -> Result<Vec<Zone<'b>>, Fault> {
        read_all(bytes).map_err(|damage| self.damaged(offset, damage))
    }

    /// The content of a page or root.
    pub(super) fn read_index(&self, place: Place) -> Result<Vec<u8>, Fault> {
        let (mut block, mut content) = (Vec::new(), Vec::new());
        self.read_block(place.offset, place.length, &mut block)?;
        frame::sections(&block, Kind::Index)
            .and_then(|sections| Unpacker::new().unpack(sections[0], &mut content))
            .map_err(|damage| self.damaged(place.offset, damage))?;
        Ok(content)
    }

    /// Reads a block of duplicates.
    pub(super) fn read_duplicates(&self, zone: &Zone<'_>, rows: &mut Vec<Duplicate>) -> Result<(), Fault> {
        let mut block = Vec::new();
        self.read_block(zone.offset, zone.length, &mut block)?;
        duplicates::read(&mut Unpacker::new(), &block, rows).map_err(|damage| self.damaged(zone.offset, damage))
    }

    /// Reads every byte and checks every checksum.
    pub(super) fn check_bytes(&self) -> Result<(), Fault> {
        let mut block = Vec::new();
        for root in [self.footer.events_root, self.footer.duplicates_root] {
            let _ = self.walk(root, &mut |_| true, &mut |zone| {
                self.read_block(zone.offset, zone.length, &mut block).map(ControlFlow::Continue)
            })?;
        }
        Ok(())
    }

    /// Reads everything and compares it with what the index and the footer say: for `weir doctor`.
    pub fn check(&self) -> Result<(), Fault> {
        let mut total = Proof::default();
        let mut hasher = EventHasher::default();
        let (mut bytes, mut block, mut rows) = (Vec::new(), Block::new(), Vec::new());
        let mut last: Option<LastRow> = None;
        let _ = self.walk(self.footer.events_root, &mut |_| true, &mut |zone| {
            self.read_block(zone.offset, zone.length, &mut bytes)?;
            let mut check = || {
                let proof = prove_block(&mut block, &mut hasher, &bytes)?;
                let found = Zone::of_block(&block, zone.offset, zone.length, proof)?;
                if found.as_ref() != Some(zone) {
                    return Err(Damage("a block does not hold what the index says"));
                }
                check_order(&block, &mut last)?;
                total.join(proof);
                Ok(())
            };
            check().map(|()| ControlFlow::Continue(())).map_err(|damage| self.damaged(zone.offset, damage))
        })?;
        let _ = self.walk(self.footer.duplicates_root, &mut |_| true, &mut |zone| {
            self.read_duplicates(zone, &mut rows)?;
            let proof = prove_duplicates(&mut hasher, &rows);
            if Zone::of_duplicates(&rows, zone.offset, zone.length, proof).as_ref() != Some(zone) {
                return Err(self.damaged(zone.offset, Damage("a block does not hold what the index says")));
            }
            total.join(proof);
            Ok(ControlFlow::Continue(()))
        })?;
        if total != self.proof {
            return Err(damaged(&self.path, self.summary.bytes, "the blocks do not add up to the footer's proof"));
        }
        Ok(())
    }
}

/// The row before a block, owned.
struct LastRow {
    key: [String; 3],
    time: i64,
    at: u64,
}

/// Rows must never go back, within a block and from one to the next.
fn check_order(block: &Block, last: &mut Option<LastRow>) -> Result<(), Damage> {
    for row in &block.rows {
        let key = block.key(row.key)?;
        let texts = [key.namespace, key.event_type, key.subject];
        match last {
            Some(before) if before.key == texts => {
                if (before.time, before.at) >= (row.time, row.place.at) {
                    return Err(Damage("rows are out of order"));
                }
                (before.time, before.at) = (row.time, row.place.at);
            }
            Some(before) if before.key.iter().map(String::as_str).gt(texts) => {
                return Err(Damage("rows are out of order"));
            }
            _ => *last = Some(LastRow { key: texts.map(str::to_owned), time: row.time, at: row.place.at }),
        }
    }
    Ok(())
}
