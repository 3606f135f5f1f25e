//! One weir per data directory: a lock that the operating system drops when the process ends, however it ends.

use crate::domain::fault::Fault;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// The locked file, inside the data directory. It holds the pid of the process that has it, for people.
const NAME: &str = "LOCK";

/// Held for as long as the process uses the data directory; dropping it gives the directory free.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Takes the lock of the data directory `root`, which must exist. When another process has it, the fault (give up)
    /// names the directory and that process.
    pub fn take(root: &Path) -> Result<Self, Fault> {
        let cannot = |error: io::Error| {
            Fault::give_up("data directory", format!("{} cannot be locked: {error}", root.join(NAME).display()))
        };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(root.join(NAME)).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(root, &mut file)),
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(cannot)?;
        Ok(Self { _file: file })
    }
}

fn held(root: &Path, file: &mut File) -> Fault {
    let mut pid = String::new();
    let by = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        // It has locked the file and not yet written who it is.
        _ => "another process".to_string(),
    };
    let message = format!("{} is in use by {by}; stop it, or choose another directory with --data", root.display());
    Fault::give_up("data directory", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_weir_on_one_data_directory_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDirLock::take(dir.path()).unwrap();
        let fault = DataDirLock::take(dir.path()).unwrap_err();
        assert!(fault.message.contains(&dir.path().display().to_string()), "{fault}");
        assert!(fault.message.contains(&format!("process {};", std::process::id())), "{fault}");
        drop(first);
        DataDirLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_fault_that_names_it() {
        let fault = DataDirLock::take(Path::new("/nonexistent/weir")).unwrap_err();
        assert!(fault.message.contains("/nonexistent/weir/LOCK"), "{fault}");
    }
}
