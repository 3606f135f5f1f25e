//! The embedded tier: log, id index and usage store in one data directory.

pub mod disk;
pub mod id_index;
pub mod lock;
pub mod log;
pub mod manifest;
pub mod usage;
