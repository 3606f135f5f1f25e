//! Row blocks: rows of a section, sorted by (series ordinal, bucket), as two streams of bytes.
//!
//! `length of keys (LEB128) · keys · cells`. A key is, in LEB128: the ordinal's difference to the row before; the
//! bucket's difference to the row before when the series is the same, else (zigzag) to the first bucket of the series
//! before; the length of the cell. A reader steps over keys alone and decodes the cells it wants.

use super::frame::BLOCK_BYTES;
use crate::domain::varint;
use std::sync::Arc;

/// Where a row stands in a run: its series' ordinal there, and its bucket (in units of the section).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    pub ordinal: u64,
    pub bucket: i64,
}

/// Length of [`RowKey::to_bytes`].
pub(super) const ROW_KEY_BYTES: usize = 16;

impl RowKey {
    /// Bytes that order as the keys do.
    pub fn to_bytes(self) -> [u8; ROW_KEY_BYTES] {
        let biased = self.bucket.cast_unsigned() ^ (1 << 63);
        (u128::from(self.ordinal) << 64 | u128::from(biased)).to_be_bytes()
    }
}

/// What the difference of the next row is taken to.
#[derive(Debug, Clone, Copy)]
struct Before {
    key: RowKey,
    /// First bucket in this block of the series at hand.
    series_start: i64,
}

const BLOCK_START: Before = Before { key: RowKey { ordinal: 0, bucket: 0 }, series_start: 0 };

/// A block in the making.
pub(super) struct RowBlockWriter {
    before: Before,
    first: Option<RowKey>,
    keys: Vec<u8>,
    cells: Vec<u8>,
}

impl RowBlockWriter {
    pub fn new() -> Self {
        Self { before: BLOCK_START, first: None, keys: Vec::new(), cells: Vec::new() }
    }

    /// Appends a row that is after all others; true when the block is full.
    pub fn push(&mut self, key: RowKey, cell: &[u8]) -> bool {
        let before = self.before.key;
        varint::put(key.ordinal - before.ordinal, &mut self.keys);
        if self.first.is_some() && key.ordinal == before.ordinal {
            varint::put(key.bucket.abs_diff(before.bucket), &mut self.keys);
        } else {
            varint::put(zigzag(key.bucket.wrapping_sub(self.before.series_start)), &mut self.keys);
            self.before.series_start = key.bucket;
        }
        varint::put(cell.len() as u64, &mut self.keys);
        self.cells.extend_from_slice(cell);
        self.before.key = key;
        self.first.get_or_insert(key);
        self.keys.len() + self.cells.len() >= BLOCK_BYTES
    }

    /// Writes the block's bytes into `raw`; answers its first key and starts anew. `None` when it has no rows.
    pub fn take(&mut self, raw: &mut Vec<u8>) -> Option<RowKey> {
        let first = self.first.take()?;
        raw.clear();
        varint::put(self.keys.len() as u64, raw);
        raw.extend_from_slice(&self.keys);
        raw.extend_from_slice(&self.cells);
        self.keys.clear();
        self.cells.clear();
        self.before = BLOCK_START;
        Some(first)
    }
}

/// The bytes are not a row block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotRows;

/// A walk over a block's rows.
pub(super) struct RowBlock {
    raw: Arc<[u8]>,
    /// Where the next key begins and where keys end.
    key: usize,
    keys_end: usize,
    /// The cell at hand.
    cell: std::ops::Range<usize>,
    before: Before,
    started: bool,
}

impl RowBlock {
    pub fn new(raw: Arc<[u8]>) -> Result<Self, NotRows> {
        let mut rest = &raw[..];
        let length = varint::take(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or(NotRows)?;
        if length > rest.len() {
            return Err(NotRows);
        }
        let key = raw.len() - rest.len();
        let keys_end = key + length;
        Ok(Self { raw, key, keys_end, cell: keys_end..keys_end, before: BLOCK_START, started: false })
    }

    /// Steps to the next row; `None` at the end.
    pub fn next(&mut self) -> Result<Option<RowKey>, NotRows> {
        if self.key == self.keys_end {
            return Ok(None);
        }
        let mut rest = &self.raw[self.key..self.keys_end];
        let mut take = || varint::take(&mut rest).ok_or(NotRows);
        let (step, bucket, length) = (take()?, take()?, take()?);
        self.key = self.keys_end - rest.len();
        let key = self.before.step(step, bucket, self.started).ok_or(NotRows)?;
        self.started = true;
        let start = self.cell.end;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length)).ok_or(NotRows)?;
        if end > self.raw.len() {
            return Err(NotRows);
        }
        self.cell = start..end;
        Ok(Some(key))
    }

    /// The cell of the row stepped to last.
    pub fn cell(&self) -> &[u8] {
        &self.raw[self.cell.clone()]
    }
}

impl Before {
    fn step(&mut self, ordinals: u64, bucket: u64, started: bool) -> Option<RowKey> {
        let ordinal = self.key.ordinal.checked_add(ordinals)?;
        if started && ordinals == 0 {
            self.key.bucket = self.key.bucket.checked_add_unsigned(bucket)?;
        } else {
            self.series_start = self.series_start.wrapping_add(unzigzag(bucket));
            self.key = RowKey { ordinal, bucket: self.series_start };
        }
        Some(self.key)
    }
}

/// Small numbers of either sign as small numbers.
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_read_back_in_order(
            rows in proptest::collection::btree_map((0u64..50, any::<i64>()), proptest::collection::vec(any::<u8>(), 0..9), 1..60),
        ) {
            let mut writer = RowBlockWriter::new();
            let mut raw = Vec::new();
            prop_assert!(writer.take(&mut raw).is_none());
            for ((ordinal, bucket), cell) in &rows {
                writer.push(RowKey { ordinal: *ordinal, bucket: *bucket }, cell);
            }
            prop_assert!(writer.take(&mut raw).is_some());
            let mut block = RowBlock::new(raw.into()).unwrap();
            for ((ordinal, bucket), cell) in &rows {
                prop_assert_eq!(block.next(), Ok(Some(RowKey { ordinal: *ordinal, bucket: *bucket })));
                prop_assert_eq!(block.cell(), &cell[..]);
            }
            prop_assert_eq!(block.next(), Ok(None));
        }

        #[test]
        fn no_bytes_make_reading_rows_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(mut block) = RowBlock::new(bytes.into()) {
                while let Ok(Some(_)) = block.next() {
                    let _ = block.cell();
                }
            }
        }

        #[test]
        fn keys_order_as_their_bytes(a in any::<(u64, i64)>(), b in any::<(u64, i64)>()) {
            let key = |(ordinal, bucket)| RowKey { ordinal, bucket };
            prop_assert_eq!(key(a).cmp(&key(b)), key(a).to_bytes().cmp(&key(b).to_bytes()));
        }
    }
}
