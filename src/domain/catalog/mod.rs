//! What is offered: features, and what stands on them.

pub mod feature;
pub mod unit_cost;
