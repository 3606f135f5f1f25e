//! The embedded usage store.
pub mod blocks;
pub mod rollup;
