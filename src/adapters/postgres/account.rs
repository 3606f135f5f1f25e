//! Whom the server runs as. PostgreSQL refuses to run as root: then it runs as the owner of its cluster, a new one as
//! `postgres` or else as `nobody`. Anybody else's weir runs it as itself.

use super::SYSTEM;
use crate::domain::fault::Fault;
use rustix::process::{getegid, geteuid};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where users are listed.
const PASSWD: &str = "/etc/passwd";
/// Whom root lets the server run as, the first that there is.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// What a server's process is told of weir's environment. Everything else stays here: it may hold secrets, or `PG…`
/// variables that mean another server.
const VARIABLES: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// weir is root and changes to this account.
    switched: bool,
}

impl Account {
    /// Whom the server of `cluster`, which need not exist yet, runs as.
    pub fn choose(cluster: &Path) -> Result<Self, Fault> {
        let owner = std::fs::metadata(cluster).ok().map(|found| (found.uid(), found.gid()));
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        match owner {
            Some((0, _)) => {
                let message = format!(
                    "{} belongs to root, and PostgreSQL does not run as root: chown -R postgres: {0}",
                    cluster.display()
                );
                Err(Fault::give_up(SYSTEM, message))
            }
            Some((uid, gid)) if geteuid().is_root() => Ok(Self { uid, gid, switched: true }),
            Some((owner, _)) if owner != uid => {
                let message = format!(
                    "{} belongs to the user {owner}, and weir runs as {uid}: run weir as that user or as root, or \
                     choose another directory with --data",
                    cluster.display()
                );
                Err(Fault::give_up(SYSTEM, message))
            }
            None if geteuid().is_root() => Self::of_a_service(),
            _ => Ok(Self { uid, gid, switched: false }),
        }
    }

    fn of_a_service() -> Result<Self, Fault> {
        let text = std::fs::read_to_string(PASSWD)
            .map_err(|error| Fault::retry(SYSTEM, format!("{PASSWD} cannot be read: {error}")))?;
        let found = USERS.iter().find_map(|name| look_up(&text, name));
        found.map(|(uid, gid)| Self { uid, gid, switched: true }).ok_or_else(|| {
            let message = format!("{PASSWD} has neither `postgres` nor `nobody`: run weir as a user that is not root");
            Fault::give_up(SYSTEM, message)
        })
    }

    /// A command of this account, in the folder `dir`. It hears none of the terminal's signals: a Ctrl-C is for weir,
    /// which stops its server in order.
    pub fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).current_dir(dir).process_group(0);
        command.envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if self.switched {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file or folder to this account.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        if self.switched { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// The first folder on the way to `path`, itself included, that this account may not pass, as far as the mode
    /// bits tell.
    pub fn stopped_at(&self, path: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = path.ancestors().filter(|folder| !folder.as_os_str().is_empty()).collect();
        way.reverse();
        let closed = |folder: &&&Path| std::fs::metadata(folder).is_ok_and(|found| !self.passes(&found));
        way.iter().find(closed).map(|folder| folder.to_path_buf())
    }

    fn passes(&self, folder: &Metadata) -> bool {
        let bit = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & bit != 0
    }

    /// What a person reads when `path` cannot be reached by this account.
    pub fn barred(&self, path: &Path) -> Option<Fault> {
        let folder = self.stopped_at(path)?;
        let message = format!(
            "PostgreSQL runs as the user {}, who may not pass {}: choose a data directory that it can reach, say \
             --data /var/lib/weir, or open the way with chmod o+x {1}",
            self.uid,
            folder.display()
        );
        Some(Fault::give_up(SYSTEM, message))
    }
}

/// User and group number of a name in the text of a passwd file.
fn look_up(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let mut numbers = fields.skip(1).map(|field| field.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_user_is_looked_up_by_the_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n# a comment\nnobody2:x:7:7::/:\nnobody:x:65534:65533:n:/:\nodd:x:one:2::\n";
        for (name, expected) in
            [("root", Some((0, 0))), ("nobody", Some((65534, 65533))), ("postgres", None), ("odd", None), ("", None)]
        {
            assert_eq!(look_up(passwd, name), expected, "{name}");
        }
    }

    #[test]
    fn the_folder_that_bars_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().canonicalize().unwrap().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let outer = inner.parent().unwrap().parent().unwrap();
        let stranger = Account { uid: 4_000_000, gid: 4_000_000, switched: false };
        for (mode, barred) in [(0o711, None), (0o755, None), (0o700, Some(outer)), (0o766, Some(outer))] {
            std::fs::set_permissions(outer, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(stranger.stopped_at(&inner).as_deref(), barred, "{mode:o}");
        }
        std::fs::set_permissions(outer, PermissionsExt::from_mode(0o700)).unwrap();
        let owner = std::fs::metadata(outer).unwrap();
        let owner = Account { uid: owner.uid(), gid: owner.gid(), switched: false };
        assert_eq!(owner.stopped_at(&inner), None);
    }
}
