//! Which PostgreSQL is installed, and where.

use super::SYSTEM;
use super::account::Account;
use crate::domain::fault::Fault;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian and its relatives install each major version: `<here>/<major>/bin`.
const DISTRIBUTION: &str = "/usr/lib/postgresql";

/// What to do when there is none.
const INSTALL: &str = "install it (Debian, Ubuntu: apt-get install postgresql), name its folder in \
                       postgres.bin_dir, or name a server of your own in database.url";

/// A folder that holds `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    /// The binaries for a cluster of version `cluster` (`None`: there is none yet): of all that are installed the ones
    /// of that version, else the first found. They run as `account` in `dir`, which proves that it can reach both.
    ///
    /// # Errors
    /// Give up: none is installed, only others than the cluster needs, or `account` cannot reach `dir`.
    pub fn find(set: Option<&Path>, cluster: Option<u32>, account: &Account, dir: &Path) -> Result<Self, Fault> {
        let folders = match set {
            Some(folder) => std::path::absolute(folder).into_iter().collect(),
            None => searched(),
        };
        let mut installed = Vec::new();
        for folder in folders.into_iter().filter(|folder| complete(folder)) {
            let major = version(&folder, account, dir)?;
            installed.push(Self { dir: folder, major });
        }
        choose(installed, cluster).map_err(|problem| Fault::give_up(SYSTEM, problem.told(set)))
    }
}

/// Why no binaries can be used.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    None,
    /// The cluster's version, and the first binaries found.
    Other(u32, Binaries),
}

impl Problem {
    fn told(&self, set: Option<&Path>) -> String {
        match (self, set) {
            (Self::None, Some(set)) => {
                format!("postgres.bin_dir is {}, and there is no postgres and initdb in it: {INSTALL}", set.display())
            }
            (Self::None, None) => format!("no PostgreSQL is installed on this machine: {INSTALL}"),
            (Self::Other(cluster, found), _) => format!(
                "the database was made by PostgreSQL {cluster}, and {} holds PostgreSQL {}. Either install PostgreSQL \
                 {cluster} again (Debian, Ubuntu: apt-get install postgresql-{cluster}), or upgrade the database: \
                 with both installed and weir stopped use pg_upgrade, or dump with {cluster} and restore into a new \
                 data directory",
                found.dir.display(),
                found.major
            ),
        }
    }
}

fn choose(installed: Vec<Binaries>, cluster: Option<u32>) -> Result<Binaries, Problem> {
    let fits = |binaries: &Binaries| cluster.is_none_or(|major| major == binaries.major);
    let first = installed.first().cloned().ok_or(Problem::None)?;
    installed.into_iter().find(fits).ok_or(match cluster {
        Some(major) => Problem::Other(major, first),
        None => Problem::None,
    })
}

/// Every folder worth a look, the best first.
fn searched() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = asked().into_iter().collect();
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let versions = std::fs::read_dir(DISTRIBUTION).into_iter().flatten().flatten().map(|entry| entry.file_name());
    folders.extend(newest_first(versions.collect()));
    folders.retain(|folder| folder.is_absolute());
    folders
}

/// What `pg_config` in the `PATH` says.
fn asked() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

/// The `bin` folders of the distribution's version folders.
fn newest_first(names: Vec<impl AsRef<OsStr>>) -> Vec<PathBuf> {
    let major = |name: &OsStr| leading_number(name.to_str()?);
    let mut versions: Vec<(u32, PathBuf)> = names
        .iter()
        .filter_map(|name| Some((major(name.as_ref())?, Path::new(DISTRIBUTION).join(name.as_ref()).join("bin"))))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

fn complete(folder: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|name| folder.join(name).is_file())
}

fn version(folder: &Path, account: &Account, dir: &Path) -> Result<u32, Fault> {
    let program = folder.join("postgres");
    let output = account.command(&program, dir).arg("--version").output().map_err(|error| {
        let blocked = account.barred(dir).or_else(|| account.barred(folder));
        blocked.unwrap_or_else(|| Fault::give_up(SYSTEM, format!("{} cannot be run: {error}", program.display())))
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    major(&text).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = format!("{} --version says nothing useful: {}{}", program.display(), text.trim(), said.trim());
        Fault::give_up(SYSTEM, message)
    })
}

/// The major version in what `postgres --version` prints.
fn major(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(leading_number)
}

/// The number that a version text begins with, `15` of `15.14` and of `15`.
pub fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|major| Binaries { dir: format!("/pg/{major}").into(), major: *major }).collect()
    }

    #[test]
    fn a_new_cluster_takes_the_first_binaries_and_an_old_one_its_own() {
        for (installed, cluster, chosen) in [
            (&[17, 15][..], None, Some(17)),
            (&[17, 15], Some(15), Some(15)),
            (&[17, 15], Some(17), Some(17)),
            (&[17, 15], Some(14), None),
            (&[15], Some(17), None),
            (&[], None, None),
            (&[], Some(15), None),
        ] {
            let found = choose(of(installed), cluster).ok().map(|binaries| binaries.major);
            assert_eq!(found, chosen, "{installed:?} for {cluster:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let none = choose(Vec::new(), None).unwrap_err();
        assert!(none.told(None).contains("apt-get install postgresql"));
        assert!(none.told(Some(Path::new("/opt/x"))).contains("postgres.bin_dir is /opt/x"));
        let other = choose(of(&[17]), Some(14)).unwrap_err().told(None);
        assert!(other.contains("made by PostgreSQL 14") && other.contains("pg_upgrade"), "{other}");
    }

    #[test]
    fn the_newest_of_the_distribution_comes_first() {
        let found = newest_first(vec!["9.6", "15", "common", "17"]);
        let expected = ["17", "15", "9.6"].map(|version| Path::new(DISTRIBUTION).join(version).join("bin"));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_version_is_read_from_what_postgres_prints() {
        for (text, expected) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta2", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres", None),
            ("", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
