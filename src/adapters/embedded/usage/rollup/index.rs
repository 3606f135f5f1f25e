//! The sparse index of a section, in two levels, so that memory does not grow with the rows.
//!
//! An entry is a key, then offset u64 and length u32 of a block; keys are big-endian bytes that order as the rows do,
//! of one length per section. Index blocks lie in the file, between the blocks they point to, and are read through the
//! cache. The root, one entry per index block (some 10 MB of raw rows), is in the footer.

use super::frame::{BLOCK_BYTES, FileReader, FileWriter, Place};
use crate::domain::fault::Fault;
use std::sync::Arc;

/// offset u64, length u32.
const PLACE_BYTES: usize = 12;

/// A section's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    key_bytes: usize,
    entries: Vec<u8>,
}

impl Root {
    /// `None` when these are not whole entries.
    pub fn new(key_bytes: usize, entries: Vec<u8>) -> Option<Self> {
        let whole = entries.len().is_multiple_of(key_bytes + PLACE_BYTES);
        whole.then_some(Self { key_bytes, entries })
    }

    pub fn entries(&self) -> &[u8] {
        &self.entries
    }

    fn table<'a>(&self, entries: &'a [u8]) -> Table<'a> {
        Table { key_bytes: self.key_bytes, entries }
    }
}

/// Entries side by side.
#[derive(Clone, Copy)]
struct Table<'a> {
    key_bytes: usize,
    entries: &'a [u8],
}

impl<'a> Table<'a> {
    fn len(self) -> usize {
        self.entries.len() / (self.key_bytes + PLACE_BYTES)
    }

    fn key(self, index: usize) -> &'a [u8] {
        let start = index * (self.key_bytes + PLACE_BYTES);
        &self.entries[start..start + self.key_bytes]
    }

    fn place(self, index: usize) -> Place {
        let start = index * (self.key_bytes + PLACE_BYTES) + self.key_bytes;
        let bytes: [u8; PLACE_BYTES] = self.entries[start..][..PLACE_BYTES].try_into().expect("an entry is whole");
        let [a, b, c, d, e, f, g, h, length @ ..] = bytes;
        Place { offset: u64::from_le_bytes([a, b, c, d, e, f, g, h]), length: u32::from_le_bytes(length) }
    }

    /// The last entry whose key is not after `key`; the first when all are.
    fn find(self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low.saturating_sub(1)
    }
}

/// Writes a section's index while its blocks are written.
pub(super) struct IndexWriter {
    entries: Vec<u8>,
    root: Root,
}

impl IndexWriter {
    pub fn new(key_bytes: usize) -> Self {
        Self { entries: Vec::new(), root: Root { key_bytes, entries: Vec::new() } }
    }

    /// Names a block by the key of its first row.
    pub fn add(&mut self, key: &[u8], place: Place, out: &mut FileWriter<'_>) -> Result<(), Fault> {
        assert_eq!(key.len(), self.root.key_bytes, "keys of one section have one length");
        put_entry(key, place, &mut self.entries);
        if self.entries.len() >= BLOCK_BYTES { self.close(out) } else { Ok(()) }
    }

    fn close(&mut self, out: &mut FileWriter<'_>) -> Result<(), Fault> {
        if !self.entries.is_empty() {
            let place = out.block(&self.entries)?;
            put_entry(&self.entries[..self.root.key_bytes], place, &mut self.root.entries);
            self.entries.clear();
        }
        Ok(())
    }

    pub fn finish(mut self, out: &mut FileWriter<'_>) -> Result<Root, Fault> {
        self.close(out)?;
        Ok(self.root)
    }
}

fn put_entry(key: &[u8], place: Place, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(&place.offset.to_le_bytes());
    out.extend_from_slice(&place.length.to_le_bytes());
}

/// A block's offset, for faults, and its raw bytes.
pub(super) type Loaded = (u64, Arc<[u8]>);

/// A walk over a section's blocks, in order, from any key on.
pub(super) struct Blocks<'r> {
    file: &'r FileReader,
    root: &'r Root,
    through_cache: bool,
    /// The index block at hand, and which of the root's entries it is.
    index: Option<(usize, Arc<[u8]>)>,
    /// The next data block's entry in the index block at hand.
    next: usize,
    pub bytes_read: u64,
}

impl<'r> Blocks<'r> {
    pub fn new(file: &'r FileReader, root: &'r Root, through_cache: bool) -> Self {
        Self { file, root, through_cache, index: None, next: 0, bytes_read: 0 }
    }

    /// Goes to the last block that begins at or before `key` (or to the first): what is at `key` or after lies there
    /// or further on.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        let number = self.root.table(&self.root.entries).find(key);
        if self.open_index(number)? {
            self.next = self.table().find(key);
        }
        Ok(())
    }

    /// The next block; `None` at the end of the section.
    pub fn next(&mut self) -> Result<Option<Loaded>, Fault> {
        if self.index.is_none() && !self.open_index(0)? {
            return Ok(None);
        }
        while self.next == self.table().len() {
            let number = self.number() + 1;
            if number == self.root.table(&self.root.entries).len() {
                return Ok(None);
            }
            self.open_index(number)?;
        }
        let place = self.table().place(self.next);
        self.next += 1;
        Ok(Some((place.offset, self.load(place)?)))
    }

    /// True when everything at `key` and after lies in blocks that [`Blocks::next`] has not given yet: then going on
    /// block by block only wastes what is between.
    pub fn is_ahead(&self, key: &[u8]) -> bool {
        let Some((number, _)) = self.index else { return true };
        let (table, root) = (self.table(), self.root.table(&self.root.entries));
        if self.next < table.len() {
            table.key(self.next) <= key
        } else {
            number + 1 < root.len() && root.key(number + 1) <= key
        }
    }

    /// False when the section has no such index block.
    fn open_index(&mut self, number: usize) -> Result<bool, Fault> {
        let root = self.root.table(&self.root.entries);
        if number >= root.len() {
            return Ok(false);
        }
        if self.index.as_ref().is_none_or(|(at_hand, _)| *at_hand != number) {
            let place = root.place(number);
            let entries = self.load(place)?;
            if entries.is_empty() || !entries.len().is_multiple_of(self.root.key_bytes + PLACE_BYTES) {
                return Err(self.file.fault(place.offset, "the index block does not hold whole entries"));
            }
            self.index = Some((number, entries));
        }
        self.next = 0;
        Ok(true)
    }

    fn number(&self) -> usize {
        self.index.as_ref().expect("an index block is open").0
    }

    fn table(&self) -> Table<'_> {
        self.root.table(&self.index.as_ref().expect("an index block is open").1)
    }

    fn load(&mut self, place: Place) -> Result<Arc<[u8]>, Fault> {
        self.bytes_read += u64::from(place.length);
        if self.through_cache { self.file.cached(place) } else { self.file.block(place) }
    }
}
