//! The hash key of a data directory: drawn once, kept for ever. Ids and series are stored by their keyed hashes, so
//! another key would make every id new and every series another.

use super::disk::Disk;
use super::manifest;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The key's file, in the data directory itself.
const NAME: &str = "key";
/// Where the operating system gives random bytes away.
const RANDOM: &str = "/dev/urandom";
/// What is stored under the key.
const KEYED: [&str; 2] = ["ids", "usage"];

/// The key of this data directory; drawn when the directory is new.
///
/// # Errors
/// Give up: there are ids or rollups and no key to read them with. Retry: the disk failed.
pub fn load_or_draw(disk: &dyn Disk) -> Result<HashKey, Fault> {
    if let Some(key) = load(disk)? {
        return Ok(key);
    }
    let key = draw()?;
    manifest::store(disk, Path::new(""), NAME, &key)?;
    Ok(key)
}

/// The key; `None` when the directory is new.
pub fn load(disk: &dyn Disk) -> Result<Option<HashKey>, Fault> {
    if let Some(key) = manifest::load(disk, Path::new(""), NAME)? {
        return Ok(Some(key));
    }
    let orphaned = KEYED.iter().find(|dir| disk.list(Path::new(dir)).is_ok_and(|names| !names.is_empty()));
    match orphaned {
        Some(dir) => {
            let message =
                format!("{dir} holds data, but its key, the file `{NAME}`, is missing; restore it from a backup");
            Err(Fault::give_up("data directory", message))
        }
        None => Ok(None),
    }
}

fn draw() -> Result<HashKey, Fault> {
    let mut bytes = [0u8; 16];
    let read = File::open(RANDOM).and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(|error| Fault::retry("data directory", format!("no random key from {RANDOM}: {error}")))?;
    let (low, high) = (u128::from_le_bytes(bytes) as u64, (u128::from_le_bytes(bytes) >> 64) as u64);
    Ok(HashKey(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::embedded::disk::SimDisk;

    #[test]
    fn a_key_is_drawn_once_and_survives_a_power_cut() {
        let disk = SimDisk::new(1);
        let key = load_or_draw(&disk).unwrap();
        let disk = disk.restart();
        assert_eq!(load_or_draw(&disk).unwrap(), key);
        assert_ne!(load_or_draw(&SimDisk::new(1)).unwrap(), key, "another directory has another key");
    }

    #[test]
    fn data_without_its_key_is_refused_not_given_a_new_one() {
        let disk = SimDisk::new(1);
        disk.create_dir(Path::new("ids")).unwrap();
        disk.create(Path::new("ids/manifest")).unwrap();
        let fault = load_or_draw(&disk).unwrap_err();
        assert!(fault.message.contains("ids") && fault.message.contains("`key`"), "{fault}");
    }
}
