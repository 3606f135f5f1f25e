//! Services: one operation per function. Load from the store, decide in the domain, write to the store and its outbox;
//! or read from the ports and write through the log. They know no HTTP; the door and the command line stand on the same
//! ones.

pub mod attribution;
pub mod audit;
pub mod balances;
pub mod controls;
pub mod corrections;
pub mod customers;
pub mod entitlements;
pub mod explain;
pub mod features;
pub mod gate;
mod ids;
pub mod ingest;
pub mod meters;
pub mod meters_file;
pub mod publisher;
pub mod quarantine;
pub mod records;
pub mod startup;
pub mod subjects;
pub mod usage;
pub mod writes;

pub use crate::store::page;

#[cfg(test)]
pub mod testing;
