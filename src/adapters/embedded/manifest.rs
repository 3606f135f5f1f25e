//! A manifest: which files of a store count, and up to which frontier. Written new, synced, renamed, directory synced;
//! a crash leaves the old one or the new one, and whatever neither lists is dropped at the next start.
//!
//! File: magic `WEIRMAN1`, format version u16, body length u32, CRC-32C u32 of the body, JSON body.

use super::disk::Disk;
use crate::domain::fault::Fault;
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use std::path::Path;

const MAGIC: &[u8; 8] = b"WEIRMAN1";
/// The format that this binary writes; a higher one is refused.
const FORMAT_VERSION: u16 = 1;
/// magic, version, body length, CRC.
const HEAD_BYTES: usize = 8 + 2 + 4 + 4;
/// The largest file that is read as a manifest, in bytes: a bad length must not take the memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Replaces the manifest at `dir/name`. Durable when it returns `Ok`; after an error or a crash the old one or the new
/// one is there. One caller at a time per name.
pub fn store<T: Serialize>(disk: &dyn Disk, dir: &Path, name: &str, content: &T) -> Result<(), Fault> {
    let path = dir.join(name);
    let bytes = encode(content).map_err(|error| Fault::give_up("manifest", format!("{}: {error}", path.display())))?;
    replace(disk, dir, name, &bytes)
        .map_err(|error| Fault::retry("manifest", format!("{} cannot be written: {error}", path.display())))
}

/// Reads it; `None` when there is none yet. Bad bytes are a fault that names the file.
pub fn load<T: DeserializeOwned>(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Option<T>, Fault> {
    let path = dir.join(name);
    let bytes = match read(disk, &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::retry("manifest", format!("{} cannot be read: {error}", path.display()))),
    };
    let content = decode(&bytes).and_then(|body| serde_json::from_slice(body).map_err(|error| error.to_string()));
    content.map(Some).map_err(|reason| Fault::give_up("manifest", format!("{} is damaged: {reason}", path.display())))
}

fn encode<T: Serialize>(content: &T) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(content).map_err(|error| error.to_string())?;
    let length = u32::try_from(body.len()).map_err(|_| "a manifest is smaller than 4 GiB".to_string())?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The checked body of a manifest's bytes.
fn decode(bytes: &[u8]) -> Result<&[u8], String> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or("offset 0: shorter than its header")?;
    if &head[..8] != MAGIC {
        return Err("offset 0: not a manifest of weir".into());
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != FORMAT_VERSION {
        return Err(format!(
            "offset 8: format version {version}, this weir reads {FORMAT_VERSION}; start the version that wrote it"
        ));
    }
    let length = u32::from_le_bytes([head[10], head[11], head[12], head[13]]);
    if body.len() as u64 != u64::from(length) {
        return Err(format!("offset 10: {length} bytes announced, {} there", body.len()));
    }
    if crc32c::crc32c(body) != u32::from_le_bytes([head[14], head[15], head[16], head[17]]) {
        return Err(format!("offset {HEAD_BYTES}: the checksum does not match"));
    }
    Ok(body)
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = file.len()?;
    if length > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{length} bytes are too many for a manifest")));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn replace(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    // What a crash left half-written.
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&new)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&new, &dir.join(name))?;
    disk.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::super::disk::SimDisk;
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "MANIFEST";

    fn write(disk: &SimDisk, content: &[u64]) -> Result<(), Fault> {
        store(disk, Path::new("d"), NAME, &content)
    }

    fn look(disk: &SimDisk) -> Result<Option<Vec<u64>>, Fault> {
        load(disk, Path::new("d"), NAME)
    }

    fn disk(seed: u64) -> SimDisk {
        let disk = SimDisk::new(seed);
        disk.create_dir(Path::new("d")).unwrap();
        disk
    }

    #[test]
    fn what_was_stored_last_is_read() {
        let disk = disk(1);
        assert_eq!(look(&disk).unwrap(), None);
        for content in [vec![1, 2, 3], vec![], vec![u64::MAX; 1000]] {
            write(&disk, &content).unwrap();
            assert_eq!(look(&disk).unwrap(), Some(content));
        }
        assert_eq!(disk.list(Path::new("d")).unwrap(), [NAME]);
    }

    #[test]
    fn a_manifest_of_a_newer_version_is_refused_by_name() {
        let disk = disk(1);
        write(&disk, &[1]).unwrap();
        disk.flip_bit(Path::new("d/MANIFEST"), 8 * 8 + 1);
        let fault = look(&disk).unwrap_err();
        assert!(fault.message.contains("d/MANIFEST") && fault.message.contains("format version 3"), "{fault}");
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let disk = disk(1);
        write(&disk, &[1, 22, 333]).unwrap();
        let path = Path::new("d/MANIFEST");
        let bits = disk.open(path).unwrap().len().unwrap() * 8;
        for bit in 0..bits {
            disk.flip_bit(path, bit);
            assert!(look(&disk).is_err(), "bit {bit}");
            disk.flip_bit(path, bit);
        }
        assert!(look(&disk).is_ok());
    }

    proptest! {
        #[test]
        fn a_power_cut_leaves_the_old_or_the_new_one(seed in any::<u64>(), sizes in proptest::collection::vec(0usize..2000, 1..6), cut in 0u64..40) {
            let mut disk = disk(seed);
            disk.power_cut_after(cut);
            let mut stored: Option<Vec<u64>> = None;
            for (round, size) in sizes.into_iter().enumerate() {
                let content = vec![round as u64; size];
                match write(&disk, &content) {
                    Ok(()) => stored = Some(content),
                    Err(_) => {
                        disk = disk.restart();
                        let read = look(&disk).unwrap();
                        prop_assert!(read == stored || read.as_ref() == Some(&content));
                        // Whichever it is, it stays.
                        disk = disk.restart();
                        prop_assert_eq!(&look(&disk).unwrap(), &read);
                        stored = read;
                    }
                }
            }
            prop_assert_eq!(look(&disk.restart()).unwrap(), stored);
        }
    }
}
