//! Series blocks: the texts of a run's series, sorted by (meter, id), each written as its difference to the one before.
//!
//! `ordinal of the first (LEB128)`, then per series: for its key (meter and id, big-endian), its subject and its groups
//! in turn, how many bytes it shares with the series before, how many follow, and these. Series of one subject lie side
//! by side and share half of their id and all of their subject.

use super::Series;
use super::frame::BLOCK_BYTES;
use crate::domain::varint;
use std::sync::Arc;

/// Meter version and id, big-endian: orders as series do.
pub(super) type SeriesKey = [u8; SERIES_KEY_BYTES];
pub(super) const SERIES_KEY_BYTES: usize = 32;

pub(super) fn series_key(meter: u128, id: u128) -> SeriesKey {
    let mut key = [0; SERIES_KEY_BYTES];
    key[..16].copy_from_slice(&meter.to_be_bytes());
    key[16..].copy_from_slice(&id.to_be_bytes());
    key
}

/// A series as bytes; its memory is used again from one to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SeriesBytes {
    key: Vec<u8>,
    subject: Vec<u8>,
    groups: Vec<u8>,
}

impl SeriesBytes {
    pub fn key(&self) -> SeriesKey {
        self.key[..].try_into().expect("a key is checked when it is read")
    }

    pub fn meter(&self) -> u128 {
        u128::from_be_bytes(self.key[..16].try_into().expect("half a key"))
    }

    pub fn id(&self) -> u128 {
        u128::from_be_bytes(self.key[16..].try_into().expect("half a key"))
    }

    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Owned; `None` when the subject is not UTF-8.
    pub fn to_series(&self) -> Option<Series> {
        let subject = std::str::from_utf8(&self.subject).ok()?;
        Some(Series { meter: self.meter(), id: self.id(), subject: subject.into(), groups: self.groups[..].into() })
    }

    pub fn set(&mut self, series: &Series) {
        refill(&mut self.key, &series_key(series.meter, series.id));
        refill(&mut self.subject, series.subject.as_bytes());
        refill(&mut self.groups, &series.groups);
    }

    pub fn copy(&mut self, other: &SeriesBytes) {
        refill(&mut self.key, &other.key);
        refill(&mut self.subject, &other.subject);
        refill(&mut self.groups, &other.groups);
    }

    fn clear(&mut self) {
        self.key.clear();
        self.subject.clear();
        self.groups.clear();
    }
}

fn refill(target: &mut Vec<u8>, bytes: &[u8]) {
    target.clear();
    target.extend_from_slice(bytes);
}

/// A block in the making.
pub(super) struct SeriesBlockWriter {
    before: SeriesBytes,
    first: Option<(SeriesKey, u64)>,
    raw: Vec<u8>,
}

impl SeriesBlockWriter {
    pub fn new() -> Self {
        Self { before: SeriesBytes::default(), first: None, raw: Vec::new() }
    }

    /// Appends a series that is after all others; true when the block is full.
    pub fn push(&mut self, ordinal: u64, series: &SeriesBytes) -> bool {
        self.first.get_or_insert_with(|| (series.key(), ordinal));
        put_difference(&self.before.key, &series.key, &mut self.raw);
        put_difference(&self.before.subject, &series.subject, &mut self.raw);
        put_difference(&self.before.groups, &series.groups, &mut self.raw);
        self.before.copy(series);
        self.raw.len() >= BLOCK_BYTES
    }

    /// Writes the block's bytes into `raw`; answers its first key and starts anew. `None` when it has no series.
    pub fn take(&mut self, raw: &mut Vec<u8>) -> Option<SeriesKey> {
        let (key, ordinal) = self.first.take()?;
        raw.clear();
        varint::put(ordinal, raw);
        raw.extend_from_slice(&self.raw);
        self.raw.clear();
        self.before.clear();
        Some(key)
    }
}

/// The bytes are not a series block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotSeries;

/// A walk over a block's series.
pub(super) struct SeriesBlock {
    raw: Arc<[u8]>,
    at: usize,
    /// Ordinal of the next series.
    ordinal: u64,
}

impl SeriesBlock {
    pub fn new(raw: Arc<[u8]>) -> Result<Self, NotSeries> {
        let mut rest = &raw[..];
        let ordinal = varint::take(&mut rest).ok_or(NotSeries)?;
        let at = raw.len() - rest.len();
        Ok(Self { raw, at, ordinal })
    }

    /// Turns `series`, the one before (anything at a block's start), into the next; answers its ordinal.
    pub fn next(&mut self, series: &mut SeriesBytes, starts: bool) -> Result<Option<u64>, NotSeries> {
        if self.at == self.raw.len() {
            return Ok(None);
        }
        if starts {
            series.clear();
        }
        let mut rest = &self.raw[self.at..];
        for part in [&mut series.key, &mut series.subject, &mut series.groups] {
            take_difference(part, &mut rest).ok_or(NotSeries)?;
        }
        if series.key.len() != SERIES_KEY_BYTES {
            return Err(NotSeries);
        }
        self.at = self.raw.len() - rest.len();
        let ordinal = self.ordinal;
        self.ordinal = ordinal.checked_add(1).ok_or(NotSeries)?;
        Ok(Some(ordinal))
    }
}

fn put_difference(before: &[u8], bytes: &[u8], out: &mut Vec<u8>) {
    let shared = before.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    varint::put(shared as u64, out);
    varint::put((bytes.len() - shared) as u64, out);
    out.extend_from_slice(&bytes[shared..]);
}

fn take_difference(part: &mut Vec<u8>, bytes: &mut &[u8]) -> Option<()> {
    let shared = usize::try_from(varint::take(bytes)?).ok().filter(|shared| *shared <= part.len())?;
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    part.truncate(shared);
    part.extend_from_slice(taken);
    *bytes = rest;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn series_read_back_in_order(
            all in proptest::collection::btree_map((0u128..4, any::<u128>()), (".{0,6}", ".{0,6}"), 1..40),
            first in any::<u32>(),
        ) {
            let series = |((meter, id), (subject, groups)): (&(u128, u128), &(String, String))| Series {
                meter: *meter, id: *id, subject: subject.as_str().into(), groups: groups.as_bytes().into(),
            };
            let all: Vec<Series> = all.iter().map(series).collect();
            let (mut writer, mut bytes, mut raw) = (SeriesBlockWriter::new(), SeriesBytes::default(), Vec::new());
            for (i, series) in all.iter().enumerate() {
                bytes.set(series);
                writer.push(u64::from(first) + i as u64, &bytes);
            }
            prop_assert_eq!(writer.take(&mut raw), Some(series_key(all[0].meter, all[0].id)));
            let mut block = SeriesBlock::new(raw.into()).unwrap();
            for (i, series) in all.iter().enumerate() {
                prop_assert_eq!(block.next(&mut bytes, i == 0), Ok(Some(u64::from(first) + i as u64)));
                prop_assert_eq!(bytes.to_series(), Some(series.clone()));
            }
            prop_assert_eq!(block.next(&mut bytes, false), Ok(None));
        }

        #[test]
        fn no_bytes_make_reading_series_panic(raw in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut series = SeriesBytes::default();
            if let Ok(mut block) = SeriesBlock::new(raw.into()) {
                while let Ok(Some(_)) = block.next(&mut series, false) {
                    let _ = (series.to_series(), series.key());
                }
            }
        }
    }
}
