//! What a run says about itself: header, footer and trailer.
//!
//! File: header · blocks of series, minute, hour and day rows with their index blocks · footer block · trailer.
//! Header: magic `WEIRRUN1`, format version u16, u16 zero, CRC-32C u32. Trailer: offset u64 and length u32 of the footer
//! block, length u64 of the file, CRC-32C u32, magic `WEIRRUNE`. All integers little-endian; the footer is LEB128.

use super::frame::{FileReader, FileWriter, Place};
use super::index::Root;
use super::row_codec::{ROW_KEY_BYTES, unzigzag, zigzag};
use super::series_codec::SERIES_KEY_BYTES;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::{DAY, HOUR, Minutes};
use crate::domain::position::Frontier;
use crate::domain::varint;

const HEAD_MAGIC: [u8; 8] = *b"WEIRRUN1";
const TAIL_MAGIC: [u8; 8] = *b"WEIRRUNE";
const FORMAT_VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const TRAILER_BYTES: usize = 32;

/// Bucket sizes of a run's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Minute,
    Hour,
    Day,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Minute, Level::Hour, Level::Day];

    /// Minutes in a bucket.
    pub fn unit(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

/// Rows and sparse index of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SectionInfo {
    pub rows: u64,
    pub root: Root,
}

/// What a run has of one meter version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MeterInfo {
    pub meter: u128,
    /// Its series have the ordinals from here on, `series` of them.
    pub first_ordinal: u64,
    pub series: u64,
    /// Earliest and latest minute of any of its events, half-open; stays when minute rows are dropped.
    pub bounds: Minutes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    /// Events of these positions are in the rows.
    pub covers: Frontier,
    /// Minute rows below this minute were there and are gone.
    pub minute_floor: Option<i64>,
    pub series: SectionInfo,
    /// In the order of [`Level::ALL`].
    pub rows: [SectionInfo; 3],
    /// Ascending.
    pub meters: Vec<MeterInfo>,
}

pub(super) fn write_header(out: &mut FileWriter<'_>) -> Result<(), Fault> {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&HEAD_MAGIC);
    header[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let crc = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    out.raw(&header)
}

fn check_header(file: &FileReader) -> Result<(), Fault> {
    let header = file.raw(0, HEADER_BYTES)?;
    if header[..8] != HEAD_MAGIC {
        return Err(file.fault(0, "this is not a rollup run"));
    }
    if header[12..] != crc32c::crc32c(&header[..12]).to_le_bytes() {
        return Err(file.fault(0, "the header's checksum does not match: its bytes have changed on disk"));
    }
    match u16::from_le_bytes([header[8], header[9]]) {
        FORMAT_VERSION => Ok(()),
        newer => {
            let what = format!("rollup format {newer} is unknown to this version of weir; start the one that wrote it");
            Err(file.fault(0, &what))
        }
    }
}

impl Footer {
    pub fn section(&self, level: Level) -> &SectionInfo {
        &self.rows[level as usize]
    }

    pub fn meter(&self, meter: u128) -> Option<&MeterInfo> {
        self.meters.binary_search_by_key(&meter, |info| info.meter).ok().map(|index| &self.meters[index])
    }

    /// Appends footer and trailer: the file is complete.
    pub fn write(&self, out: &mut FileWriter<'_>) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        let place = out.block(&bytes)?;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&place.offset.to_le_bytes());
        trailer.extend_from_slice(&place.length.to_le_bytes());
        trailer.extend_from_slice(&(out.offset() + TRAILER_BYTES as u64).to_le_bytes());
        trailer.extend_from_slice(&crc32c::crc32c(&trailer).to_le_bytes());
        trailer.extend_from_slice(&TAIL_MAGIC);
        out.raw(&trailer)
    }

    /// Checks header and trailer, and reads the footer.
    pub fn read(file: &FileReader) -> Result<Self, Fault> {
        check_header(file)?;
        let at = file.length.saturating_sub(TRAILER_BYTES as u64);
        let trailer = file.raw(at, TRAILER_BYTES)?;
        if trailer[24..] != TAIL_MAGIC || trailer[20..24] != crc32c::crc32c(&trailer[..20]).to_le_bytes() {
            return Err(file.fault(at, "the trailer is damaged: the file is incomplete or its bytes have changed"));
        }
        let number = |at: usize| u64::from_le_bytes(trailer[at..at + 8].try_into().expect("eight bytes"));
        let length = u32::from_le_bytes(trailer[8..12].try_into().expect("four bytes"));
        if number(12) != file.length {
            return Err(file.fault(at, "the file is longer or shorter than it was written"));
        }
        let place = Place { offset: number(0), length };
        let bytes = file.block(place)?;
        let mut rest = &bytes[..];
        let footer = Self::decode(&mut rest).filter(|_| rest.is_empty());
        footer.ok_or_else(|| file.fault(place.offset, "the footer cannot be read"))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(self.covers.iter().count() as u64, out);
        for (partition, next) in self.covers.iter() {
            varint::put(u64::from(partition), out);
            varint::put(next, out);
        }
        varint::put(u64::from(self.minute_floor.is_some()), out);
        self.minute_floor.iter().for_each(|floor| varint::put(zigzag(*floor), out));
        for section in std::iter::once(&self.series).chain(&self.rows) {
            varint::put(section.rows, out);
            varint::put(section.root.entries().len() as u64, out);
            out.extend_from_slice(section.root.entries());
        }
        varint::put(self.meters.len() as u64, out);
        for info in &self.meters {
            out.extend_from_slice(&info.meter.to_be_bytes());
            varint::put(info.first_ordinal, out);
            varint::put(info.series, out);
            varint::put(zigzag(info.bounds.start), out);
            varint::put(zigzag(info.bounds.end), out);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut covers = Frontier::default();
        for _ in 0..varint::take(bytes)? {
            let partition = u32::try_from(varint::take(bytes)?).ok()?;
            covers.set(partition, varint::take(bytes)?);
        }
        let minute_floor = match varint::take(bytes)? {
            0 => None,
            _ => Some(unzigzag(varint::take(bytes)?)),
        };
        let series = SectionInfo::decode(SERIES_KEY_BYTES, bytes)?;
        let mut rows = || SectionInfo::decode(ROW_KEY_BYTES, bytes);
        let rows = [rows()?, rows()?, rows()?];
        let mut meters = Vec::new();
        for _ in 0..varint::take(bytes)? {
            meters.push(MeterInfo::decode(bytes)?);
        }
        meters.is_sorted_by(|a, b| a.meter < b.meter).then_some(Self { covers, minute_floor, series, rows, meters })
    }
}

impl SectionInfo {
    fn decode(key_bytes: usize, bytes: &mut &[u8]) -> Option<Self> {
        let rows = varint::take(bytes)?;
        let length = usize::try_from(varint::take(bytes)?).ok()?;
        let (root, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(Self { rows, root: Root::new(key_bytes, root.to_vec())? })
    }
}

impl MeterInfo {
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (meter, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(Self {
            meter: u128::from_be_bytes(*meter),
            first_ordinal: varint::take(bytes)?,
            series: varint::take(bytes)?,
            bounds: unzigzag(varint::take(bytes)?)..unzigzag(varint::take(bytes)?),
        })
    }

    /// One past its last ordinal.
    pub fn end_ordinal(&self) -> u64 {
        self.first_ordinal.saturating_add(self.series)
    }
}
