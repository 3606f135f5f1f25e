//! The runtime: the only clever code of the line.
//!
//! [`machine`] decides, as a pure state machine; [`shell`] runs one stage as an actix actor; [`conductor`] carries
//! inputs and outputs between them. Everything else is a part of one of the three.

pub mod conductor;
pub mod jitter;
pub mod joiner;
pub mod lanes;
pub mod machine;
pub mod probe;
pub mod quarantine;
pub mod roster;
pub mod shell;
pub mod signals;
pub mod slot;
pub mod stage;
pub mod stats;
pub mod suspicion;
pub mod workers;

pub use probe::{Fortune, Moment, PoisonProbe, Probe};
pub use stage::{Blueprint, Context, Flow, Interrupt, Stage};
