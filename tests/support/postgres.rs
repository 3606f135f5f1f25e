//! The PostgreSQL that the tests of a process share, and what a killed weir leaves behind.

use std::path::Path;
use std::process::{Command, Stdio};
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
    let mut kill = Command::new("kill");
    let signalled = kill.args(["-QUIT", pid]).stderr(Stdio::null()).status().expect("kill runs").success();
    let until = Instant::now() + Duration::from_secs(60);
    while signalled && file.exists() {
        assert!(Instant::now() < until, "PostgreSQL, process {pid}, does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}
