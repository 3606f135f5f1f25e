//! The embedded tier: log, id index and usage store in one data directory.

pub mod disk;
pub mod id_index;
mod key;
pub mod lock;
pub mod log;
pub mod manifest;
mod rebuild;
#[cfg(test)]
mod tests;
mod tier;
pub mod usage;

pub use rebuild::{RebuildReport, RebuildStep, rebuild};
pub use tier::{Embedded, Settings};
