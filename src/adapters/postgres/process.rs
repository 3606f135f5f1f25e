//! Processes by their id: whether one lives, where it works, and how a server is ended.

use super::SYSTEM;
use crate::domain::fault::Fault;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process, waitpid};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a server may take to finish its transactions and write its last checkpoint.
const FAST_STOP_WAIT: Duration = Duration::from_secs(30);
/// How long it may take to drop everything (it kills its own processes after five seconds).
const IMMEDIATE_STOP_WAIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

/// What Linux calls a server's process.
const NAMES: [&str; 2] = ["postgres", "postmaster"];

/// Whether the process lives. One of our own that has ended is taken note of here, so that it does not stay a zombie.
pub fn alive(pid: Pid) -> bool {
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(ended) => ended.is_none(),
        // Not our child: a process that may not be signalled lives as well.
        Err(_) => test_kill_process(pid) != Err(Errno::SRCH) && !zombie(pid),
    }
}

/// Whether it has ended and nobody has taken note: for ever so where process 1 is not made to look after orphans, as
/// in many containers.
fn zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// Whether it is a PostgreSQL process that works in this cluster. `None`: this system does not tell.
pub fn serves(pid: Pid, cluster: &Path) -> Option<bool> {
    let process = Path::new("/proc").join(pid.to_string());
    if !Path::new("/proc/self/cwd").exists() {
        return None;
    }
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(NAMES.contains(&name.trim()) && same_folder(&process.join("cwd"), cluster))
}

/// Whether any PostgreSQL process works in this cluster: what a killed postmaster leaves behind may do so for a while.
pub fn served(cluster: &Path) -> bool {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
    pids.into_iter().any(|pid| serves(pid, cluster) == Some(true))
}

pub fn same_folder(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Ends a postmaster: a fast shutdown, and when that takes too long an immediate one, from which the next start
/// recovers. Blocks until the process is gone.
pub fn shut_down(pid: Pid) -> Result<(), Fault> {
    for (signal, wait) in [(Signal::INT, FAST_STOP_WAIT), (Signal::QUIT, IMMEDIATE_STOP_WAIT)] {
        match kill_process(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(Fault::give_up(SYSTEM, format!("process {pid} cannot be stopped: {error}"))),
        }
        if gone_within(pid, wait) {
            return Ok(());
        }
    }
    Err(Fault::give_up(SYSTEM, format!("process {pid} does not stop; look at it, and end it by hand")))
}

fn gone_within(pid: Pid, wait: Duration) -> bool {
    let began = Instant::now();
    while alive(pid) {
        if began.elapsed() > wait {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_lives_until_it_ends_whether_or_not_somebody_takes_note() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(alive(pid) && !zombie(pid));
        drop(child.stdin.take());
        // Systems without /proc have no such state to see.
        while Path::new("/proc/self/stat").exists() && !zombie(pid) {
            std::thread::sleep(STEP);
        }
        assert!(gone_within(pid, IMMEDIATE_STOP_WAIT));
        assert!(child.wait().is_err(), "note was taken of its end");
    }
}
