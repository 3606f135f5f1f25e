//! What the line does when things go wrong: the simulator, and real actors under faults that are counted.

#[path = "line/memory.rs"]
mod memory;
#[path = "line/simulator.rs"]
mod simulator;

#[path = "line/actors.rs"]
mod actors;
#[path = "line/interleavings.rs"]
mod interleavings;
