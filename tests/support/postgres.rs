//! The PostgreSQL that the tests of a process share, and what a killed weir leaves behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use weir::adapters::postgres::{PrivatePostgres, PrivateSettings};

#[path = "../../src/adapters/postgres/testing.rs"]
mod testing;

pub use testing::*;

/// Ends the private server of the data directory `data`, whose weir was killed, if there is one. What it has not
/// written yet is in its log.
pub fn end_left_behind(data: &Path) {
    let Ok(file) = std::fs::read_to_string(data.join("postgres/cluster/postmaster.pid")) else { return };
    let Some(pid) = file.lines().next() else { return };
    let mut looks = 0..1_000;
    while signalled(pid, "-QUIT") && looks.next().is_some() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signalled(pid: &str, signal: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args([signal, pid]).stderr(Stdio::null()).status().expect("kill runs").success()
}
