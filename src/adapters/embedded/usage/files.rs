//! Files that readers hold: a file that no manifest lists any more goes away with its last reader.

use crate::adapters::embedded::disk::Disk;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the store keeps everything it has, relative to the data directory.
pub const DIR: &str = "usage";
const RUN: &str = "run-";
const EVENTS: &str = "events-";

/// The kinds of files that manifests list and that are dropped when none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Run,
    Events,
}

impl FileKind {
    /// The name of the file of this kind with this number; numbers are never used twice.
    pub fn name(self, number: u64) -> String {
        let prefix = match self {
            Self::Run => RUN,
            Self::Events => EVENTS,
        };
        format!("{prefix}{number:012}")
    }

    /// True for names that [`FileKind::name`] makes.
    pub fn owns(name: &str) -> bool {
        name.strip_prefix(RUN)
            .or_else(|| name.strip_prefix(EVENTS))
            .is_some_and(|number| number.len() == 12 && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// The path of a file of the store.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// An open file and what is known of it.
pub struct Kept<T> {
    content: Arc<T>,
    pub name: String,
    disk: Arc<dyn Disk>,
    retired: AtomicBool,
}

impl<T> Kept<T> {
    /// A file that the manifest lists, or is about to.
    pub fn new(content: T, name: String, disk: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Self { content: Arc::new(content), name, disk, retired: AtomicBool::new(false) })
    }

    pub fn shared(&self) -> Arc<T> {
        self.content.clone()
    }

    /// To be called once the manifest that does not list it is durable: the last reader to let go removes the file.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if !self.retired.load(Ordering::Acquire) {
            return;
        }
        // Should it fail, the next start drops it: no manifest lists it.
        if let Err(error) = self.disk.remove(&path(&self.name)) {
            tracing::warn!(file = %self.name, %error, "a file that is no longer needed stays until the next start");
        }
    }
}
