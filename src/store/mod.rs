//! The store: business records in PostgreSQL. One file per table, and all SQL of weir lives here.
//!
//! A caller takes a [`Client`] from the [`Database`], reads with it, or begins a [`Transaction`] and writes. Every
//! table of records carries the namespace. Time is a parameter; no statement asks the server what time it is. Every driver error
//! becomes a [`Fault`](crate::domain::fault::Fault) in `sql.rs`.

pub mod audit;
mod conditions;
pub mod customers;
pub mod database;
pub mod entitlements;
pub mod event_log;
pub mod features;
pub mod grants;
pub mod idempotency;
pub mod meters;
mod migrate;
pub mod outbox;
pub mod page;
pub mod settings;
mod sql;
pub mod subjects;
mod tls;
pub mod types;
pub mod usage_resets;

#[cfg(test)]
pub mod tests;

pub use database::{Client, Database, DatabaseSnapshot, Transaction};
/// What reads are made with: a [`Client`], or a [`Transaction`] in which they see its own writes.
pub use deadpool_postgres::GenericClient;
pub use settings::Settings;
pub use sql::CommitError;

/// Whether a row that is read stays locked until the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    None,
    /// Others that want to change it wait.
    ForUpdate,
}
