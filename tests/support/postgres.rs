//! The PostgreSQL that the tests of a process share, and what a killed weir leaves behind.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};
use weir::adapters::postgres::{PrivatePostgres, PrivateSettings};

#[path = "../../src/adapters/postgres/testing.rs"]
mod testing;

pub use testing::*;

/// Ends the private server of the data directory `data`, whose weir was killed, if there is one, and waits for its
/// end. What it has not written yet is in its log.
pub fn end_left_behind(data: &Path) {
    let file = data.join("postgres/cluster/postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else { return };
    let Some(pid) = text.lines().next() else { return };
    let process = pid.parse().ok().and_then(Pid::from_raw);
    let signalled = process.is_some_and(|process| kill_process(process, Signal::QUIT).is_ok());
    let until = Instant::now() + Duration::from_secs(60);
    while signalled && file.exists() {
        assert!(Instant::now() < until, "PostgreSQL, process {pid}, does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}
