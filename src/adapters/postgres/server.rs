//! A running server: started by us, or found and adopted.

use super::SYSTEM;
use super::account::Account;
use super::binaries::Binaries;
use super::cluster;
use super::home::{Home, failed};
use super::log;
use super::orders::Orders;
use super::pid_file::PidFile;
use super::process;
use super::settings::PrivateSettings;
use super::socket::{self, PORT};
use crate::domain::fault::Fault;
use rustix::process::Pid;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// How the server is set up, besides what depends on the machine: a helper that few connect to, from this machine
/// alone. On the command line, so that an older cluster has the same. What it logs must not show what people store:
/// neither parameters nor the details of a constraint's violation.
const SETTINGS: [&str; 14] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "cluster_name=weir",
    "shared_buffers=32MB",
    "max_wal_size=256MB",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "jit=off",
    "logging_collector=off",
    "log_checkpoints=off",
    "log_statement=none",
    "log_parameter_max_length_on_error=0",
    "log_error_verbosity=terse",
];

/// A postmaster.
#[derive(Debug, Clone)]
pub struct Server {
    pub pid: Pid,
    pub socket_folder: PathBuf,
    /// It ran already; this is when it says it started, in seconds since 1970.
    pub adopted: Option<i64>,
    /// The log's length when it began.
    pub log_from: u64,
}

/// What a server is started with.
pub struct Site {
    pub home: Home,
    pub account: Account,
    pub binaries: Binaries,
    /// Where it listens when it is started.
    pub socket_folder: PathBuf,
}

impl Site {
    /// Finds and makes what a server needs, the cluster too. `socket_folder`: where an earlier server of this weir
    /// listened, and where clients therefore look.
    pub fn prepare(
        data: &Path,
        settings: &PrivateSettings,
        socket_folder: Option<PathBuf>,
        orders: &Orders,
    ) -> Result<Self, Fault> {
        let home = Home::open(data)?;
        let account = Account::choose(&home.cluster())?;
        let version = home.cluster_version()?;
        let binaries = Binaries::find(settings.bin_dir.as_deref(), version, &account, &home.root)?;
        if version.is_none() {
            cluster::make(&home, &account, &binaries, orders)?;
        }
        let chosen = socket_folder.map_or_else(|| socket::choose(&home, &account, &std::env::temp_dir()), Ok)?;
        Ok(Self { home, account, binaries, socket_folder: chosen })
    }

    /// The server that runs on the cluster already, after a weir that was killed.
    ///
    /// # Errors
    /// Retry: somebody else works on the cluster.
    pub fn running(&self) -> Result<Option<Server>, Fault> {
        let path = self.home.postmaster_pid();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let Some(file) = PidFile::parse(&bytes) else { return self.stale(&path, "it says nothing") };
        if !process::alive(file.pid) {
            // The server's own start removes the file, once no process of the old one is left.
            return Ok(None);
        }
        if process::serves(file.pid, &self.home.cluster()) == Some(false) {
            return self.stale(&path, "its process is another one by now");
        }
        if file.single_user {
            let message = format!("process {} works on the database by itself; weir waits for its end", file.pid);
            return Err(Fault::retry(SYSTEM, message));
        }
        // One without a folder is just starting, and has another name for it the next time.
        let socket_folder = file.socket_folder.unwrap_or_else(|| self.socket_folder.clone());
        let log_from = log::length(&self.home.log());
        Ok(Some(Server { pid: file.pid, socket_folder, adopted: Some(file.started_at_s), log_from }))
    }

    /// Removes a `postmaster.pid` that means nobody. The server itself would refuse to start beside it, since it knows
    /// nothing of a process but that there is one.
    fn stale(&self, path: &Path, why: &str) -> Result<Option<Server>, Fault> {
        if process::served(&self.home.cluster()) {
            let message = format!("{} means no server ({why}), but one is at work; weir waits", path.display());
            return Err(Fault::retry(SYSTEM, message));
        }
        tracing::warn!(path = %path.display(), why, "an old file of a killed PostgreSQL is removed");
        std::fs::remove_file(path).map_err(failed(path))?;
        Ok(None)
    }

    /// Starts the server. It is not ready yet.
    pub fn start(&self, settings: &PrivateSettings) -> Result<Server, Fault> {
        socket::ensure(&self.socket_folder, &self.account)?;
        socket::clear(&self.socket_folder);
        log::bound(&self.home.log()).map_err(failed(&self.home.log()))?;
        let log = log::open(&self.home.log())?;
        let log_from = log::length(&self.home.log());
        let postgres = self.binaries.postgres();
        let mut command = self.account.command(&postgres, &self.home.root);
        command.arg("-D").arg(self.home.cluster()).args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.arg("-c").arg(format!("port={PORT}"));
        command.arg("-c").arg(format!("max_connections={}", settings.max_connections));
        command.arg("-c").arg(socket_setting(&self.socket_folder));
        let output = log.try_clone().map_err(failed(&self.home.log()))?;
        let child = command.stdout(Stdio::from(output)).stderr(log).spawn().map_err(failed(&postgres))?;
        Ok(Server { pid: Pid::from_child(&child), socket_folder: self.socket_folder.clone(), adopted: None, log_from })
    }
}

/// The setting is a list of folders: quoted, the path is one of them whatever it contains.
fn socket_setting(folder: &Path) -> OsString {
    let mut setting = b"unix_socket_directories=\"".to_vec();
    for byte in folder.as_os_str().as_bytes() {
        if *byte == b'"' {
            setting.push(b'"');
        }
        setting.push(*byte);
    }
    setting.push(b'"');
    OsString::from_vec(setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn a_folder_stays_one_folder_whatever_its_name() {
        for (folder, expected) in [("/a/s", "\"/a/s\""), ("/a, b/s", "\"/a, b/s\""), ("/a\"b", "\"/a\"\"b\"")] {
            let setting = socket_setting(Path::new(folder));
            assert_eq!(setting, OsStr::new(&format!("unix_socket_directories={expected}")));
        }
    }
}
