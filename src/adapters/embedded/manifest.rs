//! A manifest: which files of a store count, and up to which frontier. Written new, synced, renamed, directory synced;
//! a crash leaves the old one or the new one, and whatever neither lists is dropped at the next start.
//!
//! File: magic `WEIRMAN1`, format version u16, body length u32, CRC-32C u32 of the body, JSON body.

use super::disk::Disk;
use crate::domain::fault::Fault;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// Replaces the manifest at `dir/name`.
pub fn store<T: Serialize>(_disk: &dyn Disk, _dir: &Path, _name: &str, _content: &T) -> Result<(), Fault> {
    todo!()
}

/// Reads it; `None` when there is none yet. Bad bytes are a fault that names the file.
pub fn load<T: DeserializeOwned>(_disk: &dyn Disk, _dir: &Path, _name: &str) -> Result<Option<T>, Fault> {
    todo!()
}
