//! Merging files that follow one another: rows of all of them in file order, streamed block by block.
//!
//! A block that lies wholly before everything the other files still have is taken over as it is, without unpacking:
//! of a subject with much traffic that is most of them, when its events come in order.

use super::block::Block;
use super::builder::BLOCK_BYTES;
use super::bytes::{Damage, Reader};
use super::footer::Place;
use super::proof::Proof;
use super::time_text::TimeText;
use super::writer::FileWriter;
use super::zone::{Edge, Key, Zone, begins};
use super::{BlockFile, FileSummary};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::position::Range;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Small blocks compress badly and fill the index, so a block is taken over only when what waits in front of it is at
/// least this many bytes of records, or nothing, or when the block after it can be taken over as well.
const FIRST_ROW: usize = 0;
const WAITING_BYTES_MIN: usize = BLOCK_BYTES / 4;
/// A block on disk of fewer bytes is packed again, with its neighbours.
const TAKEN_BYTES_MIN: u32 = (BLOCK_BYTES / 16) as u32;

/// See [`BlockFile::merge`].
pub(super) fn merge(disk: &dyn Disk, path: &Path, files: &[Arc<BlockFile>]) -> Result<Merged, Fault> {
    let mut files: Vec<&BlockFile> = files.iter().map(Arc::as_ref).collect();
    files.sort_by_key(|file| (file.summary().range.partition, file.summary().range.from));
    let range = covered(&files)?;
    let writer = FileWriter::create(disk, path, range)?;
    let merged = fill(writer, &files).inspect_err(|_| drop(disk.remove(path)))?;
    tracing::debug!(file = %path.display(), blocks_taken_over = merged.taken_over, "merged event files");
    Ok(merged)
}

/// What a merge made.
pub(super) struct Merged {
    pub summary: FileSummary,
    /// Blocks that were not packed again.
    pub taken_over: u64,
}

/// From where the first file begins to where the last ends.
fn covered(files: &[&BlockFile]) -> Result<Range, Fault> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else {
        return Err(Fault::give_up("usage store", "a merge of no event files was asked for"));
    };
    for pair in files.windows(2) {
        let (a, b) = (pair[0].summary().range, pair[1].summary().range);
        // Between them may lie a seal without events, or what retention removed.
        if a.partition != b.partition || a.to > b.from {
            let (a, b) = (pair[0].path().display(), pair[1].path().display());
            return Err(Fault::give_up("usage store", format!("event files {a} and {b} do not follow one another")));
        }
    }
    let range = first.summary().range;
    Ok(Range::new(range.partition, range.from, last.summary().range.to))
}

fn fill(mut writer: FileWriter<'_>, files: &[&BlockFile]) -> Result<Merged, Fault> {
    let mut expected = Proof::default();
    let mut taken_over = 0;
    let mut cursors = Vec::new();
    for file in files {
        expected.join(file.whole_proof());
        cursors.extend(Cursor::open(file)?);
    }
    // The files are sorted by what they cover, so of equal rows the first cursor has the least `at`.
    while let Some((least, bound)) = least(&cursors)? {
        let (before, after) = cursors.split_at_mut(least);
        let [cursor, after @ ..] = after else { break };
        let bound = match bound {
            None => Bound::None,
            Some(other) if other < least => Bound::Before(before[other].edge()?),
            Some(other) => Bound::UpTo(after[other - least - 1].edge()?),
        };
        taken_over += u64::from(cursor.advance(&bound, &mut writer)?);
        if cursor.is_done() {
            cursors.remove(least);
        }
    }
    for file in files {
        copy_duplicates(file, &mut writer)?;
    }
    Ok(Merged { summary: writer.finish(expected)?, taken_over })
}

/// The cursor with the least row, and the one with the next; earlier cursors win where rows are equal.
fn least(cursors: &[Cursor<'_>]) -> Result<Option<(usize, Option<usize>)>, Fault> {
    let mut found: Option<(usize, Option<usize>)> = None;
    for (i, cursor) in cursors.iter().enumerate() {
        let edge = cursor.edge()?;
        found = Some(match found {
            None => (i, None),
            Some((least, _)) if edge < cursors[least].edge()? => (i, Some(least)),
            Some((least, None)) => (least, Some(i)),
            Some((least, Some(next))) if edge < cursors[next].edge()? => (least, Some(i)),
            found => found.unwrap_or((i, None)),
        });
    }
    Ok(found)
}

/// How far a cursor may go before another's turn.
enum Bound<'a> {
    None,
    /// Rows less than this.
    Before(Edge<'a>),
    /// Rows less than or equal to this.
    UpTo(Edge<'a>),
}

impl Bound<'_> {
    fn allows(&self, edge: &Edge<'_>) -> bool {
        self.allows_time(self.compare(&edge.key), edge.time)
    }

    /// How a key stands to the bound's.
    fn compare(&self, key: &Key<'_>) -> Ordering {
        match self {
            Self::None => Ordering::Less,
            Self::Before(bound) | Self::UpTo(bound) => key.cmp(&bound.key),
        }
    }

    /// Whether a row is allowed whose key stands like this.
    fn allows_time(&self, key: Ordering, time: i64) -> bool {
        match self {
            Self::None => true,
            Self::Before(bound) => key.then(time.cmp(&bound.time)).is_lt(),
            Self::UpTo(bound) => key.then(time.cmp(&bound.time)).is_le(),
        }
    }
}

fn copy_duplicates(file: &BlockFile, writer: &mut FileWriter<'_>) -> Result<(), Fault> {
    let mut rows = Vec::new();
    let _ = file.walk(file.footer().duplicates_root, &mut |_| true, &mut |zone| {
        file.read_duplicates(zone, &mut rows)?;
        rows.iter().try_for_each(|row| writer.push_duplicate(*row))?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}

/// Walks through one file: at most one page of its index and one block are in memory.
struct Cursor<'a> {
    file: &'a BlockFile,
    pages: Vec<Place>,
    next_page: usize,
    page: Vec<u8>,
    page_offset: u64,
    /// Zones of the page, by where they begin in its bytes.
    zones: Vec<usize>,
    next_zone: usize,
    bytes: Vec<u8>,
    block: Block,
    /// The next row of the block, once the zone's block was unpacked.
    row: Option<usize>,
}

impl<'a> Cursor<'a> {
    /// `None` when the file has no whole events.
    fn open(file: &'a BlockFile) -> Result<Option<Self>, Fault> {
        let root = file.footer().events_root;
        let content = file.read_index(root)?;
        let zones = file.zones(&content, root.offset)?;
        let mut cursor = Self {
            file,
            pages: zones.iter().map(|page| Place { offset: page.offset, length: page.length }).collect(),
            next_page: 0,
            page: Vec::new(),
            page_offset: root.offset,
            zones: Vec::new(),
            next_zone: 0,
            bytes: Vec::new(),
            block: Block::new(),
            row: None,
        };
        cursor.settle()?;
        Ok((!cursor.is_done()).then_some(cursor))
    }

    fn is_done(&self) -> bool {
        self.next_zone == self.zones.len()
    }

    /// Makes sure that a zone is at hand, if there is any left.
    fn settle(&mut self) -> Result<(), Fault> {
        while self.is_done() && self.next_page < self.pages.len() {
            let place = self.pages[self.next_page];
            self.next_page += 1;
            self.page = self.file.read_index(place)?;
            self.page_offset = place.offset;
            self.zones = begins(&self.page).map_err(|damage| self.file.damaged(place.offset, damage))?;
            self.next_zone = 0;
        }
        Ok(())
    }

    fn zone(&self) -> Result<Zone<'_>, Fault> {
        self.zone_at(self.next_zone)
    }

    fn zone_at(&self, zone: usize) -> Result<Zone<'_>, Fault> {
        Zone::read(&mut Reader::new(&self.page[self.zones[zone]..])).map_err(|damage| self.damaged(damage))
    }

    /// The row that comes next.
    fn edge(&self) -> Result<Edge<'_>, Fault> {
        let Some(row) = self.row else { return Ok(self.zone()?.first) };
        self.edge_of(row)
    }

    fn edge_of(&self, row: usize) -> Result<Edge<'_>, Fault> {
        let row = &self.block.rows[row];
        let key = self.block.key(row.key).map_err(|damage| self.damaged(damage))?;
        Ok(Edge { key, time: row.time })
    }

    fn damaged(&self, damage: Damage) -> Fault {
        self.file.damaged(self.page_offset, damage)
    }

    /// Hands rows over up to the bound, at least one; answers whether it was a whole block, as it is.
    fn advance(&mut self, bound: &Bound<'_>, writer: &mut FileWriter<'_>) -> Result<bool, Fault> {
        if self.row.is_none() {
            let is_taken = self.may_take_over(bound, writer.waiting_bytes())?;
            let Zone { offset, length, .. } = self.zone()?;
            self.file.read_block(offset, length, &mut self.bytes)?;
            if is_taken {
                writer.copy_block(&self.zone()?, &self.bytes)?;
                return self.next_block().map(|()| true);
            }
            self.block.read(&self.bytes).map_err(|damage| self.file.damaged(offset, damage))?;
            self.row = Some(0);
        }
        self.hand_over(bound, writer).map(|()| false)
    }

    /// Whether the next block goes over as it is.
    fn may_take_over(&self, bound: &Bound<'_>, waiting_bytes: usize) -> Result<bool, Fault> {
        let zone = self.zone()?;
        if !bound.allows(&zone.last) || zone.length < TAKEN_BYTES_MIN {
            return Ok(false);
        }
        if waiting_bytes == 0 || waiting_bytes >= WAITING_BYTES_MIN {
            return Ok(true);
        }
        let has_next = self.next_zone + 1 < self.zones.len();
        Ok(has_next && bound.allows(&self.zone_at(self.next_zone + 1)?.last))
    }

    fn hand_over(&mut self, bound: &Bound<'_>, writer: &mut FileWriter<'_>) -> Result<(), Fault> {
        let first = self.row.unwrap_or(FIRST_ROW);
        let mut buffer = TimeText::new();
        // Many rows share a key: texts are compared once for all of them.
        let mut compared: Option<(u32, Ordering)> = None;
        for (next, row) in self.block.rows.iter().enumerate().skip(first) {
            let stands = match compared {
                Some((key, stands)) if key == row.key => stands,
                _ => bound.compare(&self.block.key(row.key).map_err(|damage| self.damaged(damage))?),
            };
            compared = Some((row.key, stands));
            if next != first && !bound.allows_time(stands, row.time) {
                self.row = Some(next);
                return Ok(());
            }
            let event = self.block.event(row, &mut buffer).map_err(|damage| self.damaged(damage))?;
            writer.push(&row.place, &event)?;
        }
        self.next_block()
    }

    fn next_block(&mut self) -> Result<(), Fault> {
        self.row = None;
        self.next_zone += 1;
        self.settle()
    }
}
