//! Metering: from an event's bytes to a meter's value, as pure functions.

pub mod aggregate;
pub mod batch;
pub mod catalog;
pub mod extract;
pub mod meter;
pub mod path;
pub mod plan;
pub mod progress;
pub mod query;
pub mod reserved;
pub mod scan;
pub mod time_filter;
pub mod window;

pub use aggregate::{Cell, State};
pub use batch::{Batch, Chunk, Event, Fate, Measure};
pub use catalog::{Catalog, LiveMeter};
pub use meter::{Aggregation, Meter};
pub use progress::Progress;
