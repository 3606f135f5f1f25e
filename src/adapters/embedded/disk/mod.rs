//! The one seam for files: everything the embedded tier does to a disk goes through [`Disk`].
//!
//! Two implementations: [`RealDisk`], and [`SimDisk`] for tests, which keeps un-synced 4 KiB pages, renames and
//! directory entries apart, so that a power cut can let any subset of them survive.
//! Paths are relative to the data directory.

use std::io;
use std::path::Path;
use std::sync::Arc;

mod real;
mod sim;

pub use real::RealDisk;
pub use sim::{SimCounts, SimDisk};

/// A directory tree on a disk.
pub trait Disk: Send + Sync {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a new file; it must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    fn exists(&self, path: &Path) -> bool;
    /// Names of the entries of a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents, durably; no error when it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Replaces `to` when it is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file. Positions are absolute; there is no cursor.
#[expect(clippy::len_without_is_empty, reason = "a length that costs a system call and can fail is asked for by name")]
pub trait DiskFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` or fails with `UnexpectedEof`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Like `write_at` with the parts one after the other, in as few calls as the system allows.
    fn write_parts_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// fdatasync: contents and length are durable.
    fn sync(&self) -> io::Result<()>;
}
