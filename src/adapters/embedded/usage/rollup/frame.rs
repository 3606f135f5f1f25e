//! Frames: the blocks a run file is made of, and the file as a reader and a writer see it.
//!
//! A block is `stored length u32 · raw length u32 · CRC-32C u32 · payload`, little-endian. The payload is zstd, or the
//! raw bytes when that is no longer (then both lengths are equal). The checksum covers the block's offset, both
//! lengths and the payload, so a block that lies in the wrong place is as bad as one with a flipped bit.

use super::cache::{BlockCache, FileId};
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Raw bytes after which a block is closed. One row may make it longer.
pub(super) const BLOCK_BYTES: usize = 16 * 1024;
const COMPRESSION_LEVEL: i32 = 1;
/// stored length, raw length, CRC-32C.
const HEAD: usize = 12;
/// Longest block, so that bad lengths never make anybody allocate more.
const BLOCK_BYTES_MAX: usize = 1 << 30;
/// Bytes gathered before the disk is asked to write.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: u64,
    /// Head included.
    pub length: u32,
}

/// A fault of this file, with the offset where it shows.
pub(super) fn corrupt(name: &str, offset: u64, what: &str) -> Fault {
    Fault::give_up("usage store", format!("{name}: offset {offset}: {what}"))
}

pub(super) fn failed(name: &str, doing: &str, error: &io::Error) -> Fault {
    Fault::retry("usage store", format!("{name}: {doing} failed: {error}"))
}

fn checksum(offset: u64, head: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), &head[..8]);
    crc32c::crc32c_append(crc, payload)
}

/// A run file that is being written, from front to back.
pub(super) struct FileWriter<'d> {
    disk: &'d dyn Disk,
    path: &'d Path,
    file: Arc<dyn DiskFile>,
    name: String,
    /// Bytes that the disk has.
    written: u64,
    buffer: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl<'d> FileWriter<'d> {
    pub fn create(disk: &'d dyn Disk, path: &'d Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let file = disk.create(path).map_err(|error| failed(&name, "creating it", &error))?;
        let compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)
            .map_err(|error| failed(&name, "making a compressor", &error))?;
        Ok(Self { disk, path, file, name, written: 0, buffer: Vec::new(), compressor })
    }

    /// Where the next byte goes.
    pub fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Appends a block and says where it lies.
    pub fn block(&mut self, raw: &[u8]) -> Result<Place, Fault> {
        let offset = self.offset();
        if raw.len() > BLOCK_BYTES_MAX {
            return Err(corrupt(&self.name, offset, "a row is larger than a block may be (1 GiB)"));
        }
        let compressed =
            self.compressor.compress(raw).map_err(|error| failed(&self.name, "compressing a block", &error))?;
        let payload = if compressed.len() < raw.len() { &compressed[..] } else { raw };
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&(raw.len() as u32).to_le_bytes());
        let crc = checksum(offset, &head, payload);
        head[8..].copy_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(&head);
        self.raw(payload)?;
        Ok(Place { offset, length: (HEAD + payload.len()) as u32 })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let write = self.file.write_at(self.written, &self.buffer);
        write.map_err(|error| failed(&self.name, "writing", &error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the file and its name durable; answers its length.
    pub fn finish(mut self) -> Result<u64, Fault> {
        self.flush()?;
        self.file.sync().map_err(|error| failed(&self.name, "syncing", &error))?;
        let dir = self.path.parent().unwrap_or(Path::new(""));
        self.disk.sync_dir(dir).map_err(|error| failed(&self.name, "syncing its directory", &error))?;
        Ok(self.written)
    }
}

/// A run file that is being read.
pub(super) struct FileReader {
    file: Arc<dyn DiskFile>,
    pub name: String,
    pub length: u64,
    id: FileId,
    cache: Arc<BlockCache>,
}

impl FileReader {
    pub fn open(disk: &dyn Disk, path: &Path, cache: Arc<BlockCache>) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let file = disk.open(path).map_err(|error| failed(&name, "opening it", &error))?;
        let length = file.len().map_err(|error| failed(&name, "reading its length", &error))?;
        let id = cache.register();
        Ok(Self { file, name, length, id, cache })
    }

    pub fn fault(&self, offset: u64, what: &str) -> Fault {
        corrupt(&self.name, offset, what)
    }

    /// Bytes as they lie in the file.
    pub fn raw(&self, offset: u64, length: usize) -> Result<Vec<u8>, Fault> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(self.fault(offset, "the file ends before what should be here"));
        }
        let mut bytes = vec![0; length];
        self.file.read_at(offset, &mut bytes).map_err(|error| failed(&self.name, "reading", &error))?;
        Ok(bytes)
    }

    /// A block's raw bytes, through the cache.
    pub fn cached(&self, place: Place) -> Result<Arc<[u8]>, Fault> {
        self.cache.get_or_read(self.id, place.offset, || self.block(place))
    }

    /// A block's raw bytes, past the cache: for merges, which read everything once.
    pub fn block(&self, place: Place) -> Result<Arc<[u8]>, Fault> {
        let bytes = self.raw(place.offset, place.length as usize)?;
        let raw = self.checked(place, &bytes)?;
        Ok(raw.into())
    }

    fn checked(&self, place: Place, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let fault = |what| self.fault(place.offset, what);
        let (head, payload) = bytes.split_at_checked(HEAD).ok_or_else(|| fault("the block is too short"))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if number(8) != checksum(place.offset, head, payload) {
            return Err(fault("the block's checksum does not match: its bytes have changed on disk"));
        }
        let (stored, raw) = (number(0) as usize, number(4) as usize);
        if stored != payload.len() || raw < stored || raw > BLOCK_BYTES_MAX {
            return Err(fault("the block's lengths do not fit"));
        }
        if stored == raw {
            return Ok(payload.to_vec());
        }
        decompress(payload, raw)
            .filter(|bytes| bytes.len() == raw)
            .ok_or_else(|| fault("the block does not decompress"))
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        self.cache.forget(self.id);
    }
}

/// A decompressor's tables cost more than a block to make, so each thread keeps one.
fn decompress(payload: &[u8], raw: usize) -> Option<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        decompressor.decompress(payload, raw).ok()
    })
}
