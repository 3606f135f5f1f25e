//! The line: one supervised actor per stage, from the event log into the usage store.
//!
//! [`stages`] is the catalogue, one file per stage; [`runtime`] is the only clever code; [`line`] wires both as the
//! compiled topology says and hands out the handles of `ports::line`.

pub mod batcher;
pub mod deduper;
pub mod line;
pub mod registry;
pub mod runtime;
pub mod source;
pub mod stages;
pub mod tracker;
pub mod usage_writer;
pub mod validator;

pub use line::{Line, LineHandle, LinePorts};
pub use registry::{Acks, NotedLog, Registry};
pub use runtime::{PoisonProbe, Probe};
pub use stages::catalogue;
