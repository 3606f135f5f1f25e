//! The real disk: plain files below one root directory.

use super::{Disk, DiskFile};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Buffers that one `pwritev` takes at most (`IOV_MAX` on Linux).
const PARTS_PER_CALL_MAX: usize = 1024;

/// Files below `root`, as the operating system keeps them.
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Opens the tree at `root`, which is created when it is missing.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        create_dir_durably(&root)?;
        Ok(Self { root })
    }

    /// The directory that all paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.root.join(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.root.join(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn exists(&self, path: &Path) -> bool {
        self.root.join(path).exists()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join(dir))? {
            // weir names its own files; a name that is not UTF-8 is somebody else's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        create_dir_durably(&self.root.join(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.root.join(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(self.root.join(dir))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Creates `dir` and what is missing above it, and makes each new entry durable in its parent.
fn create_dir_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir_durably(parent)?;
    }
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => return Err(error),
        _ => {}
    }
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn write_parts_at(&self, mut offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        // Also drops leading empty parts, on which a write of 0 bytes would be no error.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(PARTS_PER_CALL_MAX)];
            let written = match rustix::io::pwritev(&self.0, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path().join("data/weir")).unwrap();
        (dir, disk)
    }

    #[test]
    fn parts_are_written_one_after_the_other_however_many_there_are() {
        let (_dir, disk) = disk();
        let file = disk.create(Path::new("a")).unwrap();
        let texts: Vec<String> =
            (0..3 * PARTS_PER_CALL_MAX).map(|i| if i % 5 == 0 { String::new() } else { i.to_string() }).collect();
        let parts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        file.write_parts_at(3, &parts).unwrap();
        let whole = texts.concat();
        let mut read = vec![0; whole.len()];
        file.read_at(3, &mut read).unwrap();
        assert_eq!(read, whole.as_bytes());
        assert_eq!(file.len().unwrap(), 3 + whole.len() as u64);
        file.write_parts_at(0, &[b"", b""]).unwrap();
    }

    #[test]
    fn a_read_past_the_end_is_an_error_and_creating_twice_too() {
        let (_dir, disk) = disk();
        let file = disk.create(Path::new("a")).unwrap();
        file.write_at(0, b"abc").unwrap();
        file.sync().unwrap();
        assert_eq!(file.read_at(1, &mut [0; 3]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.create(Path::new("a")).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(disk.open(Path::new("b")).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn entries_are_listed_sorted_and_a_rename_replaces() {
        let (_dir, disk) = disk();
        disk.create_dir(Path::new("x/y")).unwrap();
        disk.create_dir(Path::new("x/y")).unwrap();
        for name in ["x/y/b", "x/y/a", "x/y/c"] {
            disk.create(Path::new(name)).unwrap();
        }
        disk.rename(Path::new("x/y/c"), Path::new("x/y/a")).unwrap();
        disk.sync_dir(Path::new("x/y")).unwrap();
        assert_eq!(disk.list(Path::new("x/y")).unwrap(), ["a", "b"]);
        disk.remove(Path::new("x/y/a")).unwrap();
        assert!(!disk.exists(Path::new("x/y/a")) && disk.exists(Path::new("x/y/b")));
        assert!(disk.free_bytes().unwrap() > 0);
    }
}
