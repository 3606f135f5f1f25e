//! Where the server listens: a Unix socket in a folder that nobody else may enter. Its path must fit into `sun_path`,
//! so a long data directory has it elsewhere.

use super::SYSTEM;
use super::account::Account;
use super::home::{Home, failed};
use crate::domain::fault::Fault;
use rustix::process::geteuid;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// What fits into `sun_path` besides its closing zero.
const PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// The server's port: a part of the socket's name, and nothing more.
pub const PORT: u16 = 5432;

/// The socket itself.
pub fn in_folder(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// The folder for the socket: the home's own, else one under `temp` or `/tmp` with a name made from the home's path.
/// The first that is short enough and that `account` can reach.
pub fn choose(home: &Home, account: &Account, temp: &Path) -> Result<PathBuf, Fault> {
    let away = format!("weir-{:016x}", xxh3_64(home.root.as_os_str().as_bytes()));
    let fits = |folder: &PathBuf| in_folder(folder).as_os_str().len() <= PATH_BYTES_MAX;
    let reached = |folder: &PathBuf| folder.parent().is_some_and(|parent| account.stopped_at(parent).is_none());
    let folders = [home.root.join("socket"), temp.join(&away), Path::new("/tmp").join(&away)];
    folders.into_iter().find(|folder| fits(folder) && reached(folder)).ok_or_else(|| {
        let message = format!(
            "no folder for PostgreSQL's socket is short enough ({PATH_BYTES_MAX} bytes) and open to the user {}: \
             choose another directory with --data",
            account.uid
        );
        Fault::give_up(SYSTEM, message)
    })
}

/// Makes the folder where it is missing, for `account` alone.
///
/// # Errors
/// Give up: there is something of that name that others own or may enter.
pub fn ensure(folder: &Path, account: &Account) -> Result<(), Fault> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(failed(folder))?,
    }
    check(folder, account)?;
    account.own(folder).map_err(failed(folder))
}

/// Whether the folder is `account`'s alone. (weir's own until it is given away; a crash may come in between.)
pub fn check(folder: &Path, account: &Account) -> Result<(), Fault> {
    // Not followed: a link in a folder that everybody may write into leads where somebody else wants.
    let found = std::fs::symlink_metadata(folder).map_err(failed(folder))?;
    let owned = found.uid() == account.uid || found.uid() == geteuid().as_raw();
    if found.is_dir() && owned && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let message = format!(
        "{} is to hold PostgreSQL's socket, and is not a folder that only its user may enter: remove it",
        folder.display()
    );
    Err(Fault::give_up(SYSTEM, message))
}

/// Removes what an earlier server left there. Only while no server runs.
pub fn clear(folder: &Path) {
    let socket = in_folder(folder);
    let lock = socket.with_file_name(format!(".s.PGSQL.{PORT}.lock"));
    for file in [socket, lock] {
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %file.display(), "an old socket cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn myself() -> Account {
        Account::choose(Path::new("/nonexistent")).unwrap()
    }

    #[test]
    fn the_socket_lies_in_the_home_as_long_as_its_path_fits() {
        let fixed = in_folder(Path::new("/socket")).as_os_str().len();
        for (length, inside) in [(PATH_BYTES_MAX - fixed, true), (PATH_BYTES_MAX - fixed + 1, false)] {
            let home = Home { root: format!("/{}", "x".repeat(length - 1)).into() };
            let folder = choose(&home, &myself(), Path::new("/tmp")).unwrap();
            assert_eq!(folder.starts_with(&home.root), inside, "{}", folder.display());
            assert!(in_folder(&folder).as_os_str().len() <= PATH_BYTES_MAX);
        }
    }

    #[test]
    fn two_long_homes_have_two_folders_and_a_long_temporary_folder_is_passed_over() {
        let long = "x".repeat(200);
        let folder = |name: &str, temp: &str| {
            choose(&Home { root: format!("/{long}/{name}").into() }, &myself(), Path::new(temp)).unwrap()
        };
        assert_ne!(folder("a", "/tmp"), folder("b", "/tmp"));
        assert_eq!(folder("a", "/tmp"), folder("a", &format!("/{long}")));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let folder = dir.path().join("s");
        ensure(&folder, &myself()).unwrap();
        ensure(&folder, &myself()).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o750)).unwrap();
        assert!(ensure(&folder, &myself()).unwrap_err().message.contains("remove it"));
        let link = dir.path().join("l");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(ensure(&link, &myself()).unwrap_err().message.contains("remove it"));
    }
}
