//! The instance's folder, `<data>/postgres`, and what lies in it:
//!
//! - `cluster/`: what initdb made; belongs to the server's account, and weir writes nothing in it
//! - `password`: the administrator's password, readable by weir alone
//! - `server.log`, `server.log.1`: what the server says
//! - `socket/`: where it listens, unless that path is too long
//! - `new-*`: a cluster that is being made

use super::SYSTEM;
use super::account::Account;
use super::binaries::leading_number;
use crate::domain::fault::Fault;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the operating system gives random bytes away.
const RANDOM: &str = "/dev/urandom";

/// The paths of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Absolute, without symbolic links.
    pub root: PathBuf,
}

impl Home {
    /// Makes the folder in the data directory `data` where it is missing. The server's account may pass it, and do
    /// nothing else in it.
    pub fn open(data: &Path) -> Result<Self, Fault> {
        let root = data.join("postgres");
        let made = std::fs::create_dir_all(data).and_then(|()| match DirBuilder::new().create(&root) {
            Ok(()) => std::fs::set_permissions(&root, Permissions::from_mode(0o711)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        });
        let root = made.and_then(|()| root.canonicalize()).map_err(failed(&root))?;
        Ok(Self { root })
    }

    pub fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    pub fn postmaster_pid(&self) -> PathBuf {
        self.cluster().join("postmaster.pid")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    /// The major version that the cluster was made by; `None`: there is no cluster yet.
    pub fn cluster_version(&self) -> Result<Option<u32>, Fault> {
        let file = self.cluster().join("PG_VERSION");
        match std::fs::read_to_string(&file) {
            Ok(text) => leading_number(&text).map(Some).ok_or_else(|| {
                Fault::give_up(SYSTEM, format!("{} holds no version; restore the folder from a backup", file.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.cluster().exists() => Ok(None),
            Err(error) => Err(failed(&file)(error)),
        }
    }

    /// The administrator's password.
    pub fn password(&self) -> Result<String, Fault> {
        let file = self.password_file();
        std::fs::read_to_string(&file).map_err(|error| {
            let message = format!(
                "the password of the database in {} is needed to use it, and cannot be read: {error}; restore it \
                 from a backup",
                file.display()
            );
            Fault::give_up(SYSTEM, message)
        })
    }

    /// Makes what initdb made the cluster, and `password` its password: both, or after a crash the password alone,
    /// which a next attempt replaces.
    pub fn take(&self, made: &Path, password: &str) -> Result<(), Fault> {
        let draft = self.root.join("password.new");
        let written = write_secret(&draft, password)
            .and_then(|()| std::fs::rename(&draft, self.password_file()))
            .and_then(|()| File::open(&self.root)?.sync_all())
            .and_then(|()| std::fs::rename(made, self.cluster()))
            .and_then(|()| File::open(&self.root)?.sync_all());
        written.map_err(failed(&self.root))
    }

    /// An empty folder for initdb, which belongs to `account` and holds the password for initdb to read.
    pub fn draft(&self, account: &Account, password: &str) -> Result<PathBuf, Fault> {
        let draft = self.root.join(format!("new-{}", random_hex::<8>()?));
        let file = draft.join("password");
        let made = DirBuilder::new()
            .mode(0o700)
            .create(&draft)
            .and_then(|()| write_secret(&file, password))
            .and_then(|()| account.own(&file))
            .and_then(|()| account.own(&draft));
        made.map_err(failed(&draft))?;
        Ok(draft)
    }

    /// Removes what attempts left behind that were cut off. An initdb that is still alive has its folder pulled away
    /// and ends by itself; what then remains is removed the next time.
    pub fn clear_drafts(&self) {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("new-")) {
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "an unfinished database cannot be removed");
            }
        }
    }
}

/// A folder's or file's error as a fault.
pub fn failed(path: &Path) -> impl FnOnce(io::Error) -> Fault + '_ {
    move |error| Fault::retry(SYSTEM, format!("{}: {error}", path.display()))
}

/// Random bytes, as twice as many hexadecimal digits.
pub fn random_hex<const BYTES: usize>() -> Result<String, Fault> {
    let mut bytes = [0u8; BYTES];
    File::open(RANDOM).and_then(|mut random| random.read_exact(&mut bytes)).map_err(failed(Path::new(RANDOM)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    // A draft that a crash left behind is replaced, not written into: it may have another mode.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
