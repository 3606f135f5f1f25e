//! Ports: what the line and the door need from the world, as traits with two real implementations each (embedded
//! here, the servers next), and [`line`], the handles into the running line.

pub mod clock;
pub mod event_log;
pub mod id_index;
pub mod line;
pub mod stats;
pub mod usage_store;

pub use clock::Clock;
pub use event_log::EventLog;
pub use id_index::IdIndex;
pub use usage_store::UsageStore;
