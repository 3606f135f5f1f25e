//! Cursors over a run's sections: forward only, one block in hand, so that memory does not grow with the run.

use super::Series;
use super::footer::{Footer, Level};
use super::frame::FileReader;
use super::index::Blocks;
use super::row_codec::{RowBlock, RowKey};
use super::series_codec::{SeriesBlock, SeriesBytes, SeriesKey};
use crate::domain::fault::Fault;
use crate::domain::metering::Cell;

/// Whether blocks go through the cache: queries come back to them, merges do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Query,
    Merge,
}

/// A walk over a run's series.
pub(super) struct SeriesCursor<'r> {
    file: &'r FileReader,
    blocks: Blocks<'r>,
    /// The block in hand and its offset.
    block: Option<(u64, SeriesBlock)>,
    bytes: SeriesBytes,
    /// Of the series at hand; `None` before the first and after the last.
    ordinal: Option<u64>,
}

impl<'r> SeriesCursor<'r> {
    pub fn new(file: &'r FileReader, footer: &'r Footer, purpose: Purpose) -> Self {
        let blocks = Blocks::new(file, &footer.series.root, purpose == Purpose::Query);
        Self { file, blocks, block: None, bytes: SeriesBytes::default(), ordinal: None }
    }

    /// Ordinal and bytes of the series at hand.
    pub fn at(&self) -> Option<(u64, &SeriesBytes)> {
        self.ordinal.map(|ordinal| (ordinal, &self.bytes))
    }

    /// The series at hand, owned.
    pub fn series(&self) -> Result<Series, Fault> {
        self.bytes.to_series().ok_or_else(|| self.fault("the subject of a series is not UTF-8"))
    }

    /// Steps to the next series.
    pub fn advance(&mut self) -> Result<(), Fault> {
        let mut starts = false;
        loop {
            if let Some((offset, block)) = &mut self.block {
                let next = block.next(&mut self.bytes, starts);
                self.ordinal = next.map_err(|_| self.file.fault(*offset, "the series block cannot be read"))?;
                if self.ordinal.is_some() {
                    return Ok(());
                }
            }
            self.ordinal = None;
            let Some((offset, raw)) = self.blocks.next()? else { return Ok(()) };
            let block = SeriesBlock::new(raw);
            self.block = Some((offset, block.map_err(|_| self.file.fault(offset, "the series block cannot be read"))?));
            starts = true;
        }
    }

    /// Goes to the first series at or after `key`.
    pub fn seek(&mut self, key: &SeriesKey) -> Result<(), Fault> {
        self.block = None;
        self.blocks.seek(key)?;
        self.advance()?;
        while self.at().is_some_and(|(_, series)| series.key() < *key) {
            self.advance()?;
        }
        Ok(())
    }

    pub fn bytes_read(&self) -> u64 {
        self.blocks.bytes_read
    }

    fn fault(&self, what: &str) -> Fault {
        self.file.fault(self.block.as_ref().map_or(0, |(offset, _)| *offset), what)
    }
}

/// A walk over a section's rows.
pub(super) struct RowCursor<'r> {
    file: &'r FileReader,
    blocks: Blocks<'r>,
    /// Minutes in a bucket.
    unit: i64,
    /// The block in hand and its offset.
    block: Option<(u64, RowBlock)>,
    /// Of the row at hand; `None` before the first and after the last.
    row: Option<RowKey>,
}

impl<'r> RowCursor<'r> {
    pub fn new(file: &'r FileReader, footer: &'r Footer, level: Level, purpose: Purpose) -> Self {
        let blocks = Blocks::new(file, &footer.section(level).root, purpose == Purpose::Query);
        Self { file, blocks, unit: level.unit(), block: None, row: None }
    }

    pub fn at(&self) -> Option<RowKey> {
        self.row
    }

    /// The bucket of the row at hand when it is a row of this series.
    pub fn bucket_of(&self, ordinal: u64) -> Option<i64> {
        self.row.filter(|row| row.ordinal == ordinal).map(|row| row.bucket)
    }

    /// The encoded cell of the row at hand.
    pub fn cell_bytes(&self) -> &[u8] {
        let (_, block) = self.block.as_ref().expect("there is a row at hand");
        block.cell()
    }

    /// First minute and cell of the row at hand.
    pub fn cell(&self) -> Result<(i64, Cell), Fault> {
        let fault = || self.fault("the cell of a row cannot be read");
        let minute = self.row.and_then(|row| row.bucket.checked_mul(self.unit)).ok_or_else(fault)?;
        let mut bytes = self.cell_bytes();
        let cell = Cell::decode(minute, &mut bytes).filter(|_| bytes.is_empty()).ok_or_else(fault)?;
        Ok((minute, cell))
    }

    /// Steps to the next row.
    pub fn advance(&mut self) -> Result<(), Fault> {
        loop {
            if let Some((offset, block)) = &mut self.block {
                self.row = block.next().map_err(|_| self.file.fault(*offset, "the row block cannot be read"))?;
                if self.row.is_some() {
                    return Ok(());
                }
            }
            self.row = None;
            let Some((offset, raw)) = self.blocks.next()? else { return Ok(()) };
            let block = RowBlock::new(raw);
            self.block = Some((offset, block.map_err(|_| self.file.fault(offset, "the row block cannot be read"))?));
        }
    }

    /// Goes forward to the first row at or after `target`; stays where that is the row at hand or one before it.
    pub fn seek(&mut self, target: RowKey) -> Result<(), Fault> {
        if self.row.is_some_and(|row| row >= target) {
            return Ok(());
        }
        let key = target.to_bytes();
        if self.blocks.is_ahead(&key) {
            self.blocks.seek(&key)?;
            self.block = None;
        }
        self.advance()?;
        while self.row.is_some_and(|row| row < target) {
            self.advance()?;
        }
        Ok(())
    }

    pub fn bytes_read(&self) -> u64 {
        self.blocks.bytes_read
    }

    fn fault(&self, what: &str) -> Fault {
        self.file.fault(self.block.as_ref().map_or(0, |(offset, _)| *offset), what)
    }
}
