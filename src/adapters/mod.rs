//! Adapters: one folder per system, each behind a port.

pub mod embedded;
pub mod postgres;
