//! Services: one operation per function. Read from the ports, decide in the domain, write through the log. They know
//! no HTTP; the door and the command line stand on the same ones.

pub mod controls;
pub mod explain;
pub mod ingest;
pub mod meters;
pub mod meters_file;
pub mod publisher;
pub mod quarantine;
pub mod usage;
pub mod writes;

#[cfg(test)]
pub mod testing;
