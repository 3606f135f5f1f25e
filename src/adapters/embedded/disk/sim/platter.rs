//! What a simulated disk is made of: files with pages that may be lost, and directory entries likewise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What survives or not as one, in bytes.
pub const PAGE: usize = 4096;

/// One file: as the page cache shows it, as the platter has it, and the pages that differ with all their versions.
#[derive(Clone, Default)]
pub struct Inode {
    pub shown: Vec<u8>,
    pub durable: Vec<u8>,
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// A change of directory entries that no directory sync has covered yet.
#[derive(Clone)]
pub enum Change {
    Create { path: PathBuf, inode: u64 },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
    Remove { path: PathBuf, inode: u64 },
}

impl Change {
    pub fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Create { path, .. } | Self::Remove { path, .. } => parent(path) == dir,
            Self::Rename { from, to, .. } => parent(from) == dir || parent(to) == dir,
        }
    }

    /// Applied by what it means, not by what was there before: an earlier change may be lost.
    pub fn apply(&self, entries: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Create { path: to, inode } | Self::Rename { to, inode, .. } => {
                entries.retain(|_, there| there != inode);
                entries.insert(to.clone(), *inode);
            }
            Self::Remove { path, inode } => {
                if entries.get(path) == Some(inode) {
                    entries.remove(path);
                }
            }
        }
    }
}

pub fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Inode {
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let before = self.shown.len();
        let end = offset + bytes.len();
        self.shown.resize(before.max(end), 0);
        self.shown[offset..end].copy_from_slice(bytes);
        self.touch(offset.min(before), end);
    }

    pub fn truncate(&mut self, length: usize) {
        let before = self.shown.len();
        self.shown.resize(length, 0);
        self.touch(before.min(length), before.max(length).max(self.durable.len()));
    }

    /// Notes a version of every page in `[from, to)`.
    fn touch(&mut self, from: usize, to: usize) {
        for page in from / PAGE..to.div_ceil(PAGE) {
            let version = page_of(&self.shown, page).to_vec();
            self.dirty.entry(page).or_default().push(version);
        }
    }

    pub fn sync(&mut self) {
        self.durable.resize(self.shown.len(), 0);
        for page in std::mem::take(&mut self.dirty).into_keys() {
            let version = page_of(&self.shown, page);
            // A page beyond the end was cut off after it was written.
            if !version.is_empty() {
                self.durable[page * PAGE..][..version.len()].copy_from_slice(version);
            }
        }
    }

    /// Moves a random subset to the platter and forgets the rest; how many pages were lost.
    pub fn keep_some(&mut self, random: &mut Random) -> u64 {
        let (least, most) = (self.durable.len().min(self.shown.len()), self.durable.len().max(self.shown.len()));
        let length = match random.below(4) {
            0 => self.durable.len(),
            1 => least + random.below(most - least + 1),
            _ => self.shown.len(),
        };
        self.durable.resize(length, 0);
        let mut lost = 0;
        for (page, versions) in std::mem::take(&mut self.dirty) {
            let start = page * PAGE;
            if start >= length || random.coin() {
                lost += 1;
                continue;
            }
            let version = if random.coin() { versions.last() } else { versions.get(random.below(versions.len())) };
            let version = version.expect("a dirty page has a version");
            let end = length.min(start + version.len());
            self.durable[start..end].copy_from_slice(&version[..end - start]);
        }
        lost
    }
}

/// The bytes of a page that lie in the file.
fn page_of(bytes: &[u8], page: usize) -> &[u8] {
    let start = (page * PAGE).min(bytes.len());
    &bytes[start..bytes.len().min(start + PAGE)]
}

/// splitmix64: small, and the same everywhere.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
