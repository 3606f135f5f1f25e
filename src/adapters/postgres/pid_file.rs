//! `postmaster.pid`: what a running server writes into its cluster, and what a killed one leaves there.

use rustix::process::Pid;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    pub pid: Pid,
    /// A person works on the cluster without a server (`postgres --single`).
    pub single_user: bool,
    /// The cluster as the server was told it.
    pub cluster: PathBuf,
    /// When the server started, in seconds since 1970.
    pub started_at_s: i64,
    /// Where it listens; absent for the first moments.
    pub socket_folder: Option<PathBuf>,
}

impl PidFile {
    /// `None`: this is no such file, or one that is not yet written.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let number = |line: &[u8]| str::from_utf8(line).ok()?.trim().parse::<i64>().ok();
        let path = |line: &[u8]| PathBuf::from(OsStr::from_bytes(line));
        let signed = i32::try_from(number(line()?)?).ok()?;
        Some(Self {
            pid: Pid::from_raw(signed.checked_abs()?)?,
            single_user: signed < 0,
            cluster: path(line()?),
            started_at_s: number(line()?)?,
            // The line between is the port.
            socket_folder: line().and_then(|_| line()).map(path),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pid: i32, single_user: bool, folder: Option<&str>) -> Option<PidFile> {
        Some(PidFile {
            pid: Pid::from_raw(pid)?,
            single_user,
            cluster: "/d/postgres/cluster".into(),
            started_at_s: 1_700_000_000,
            socket_folder: folder.map(PathBuf::from),
        })
    }

    #[test]
    fn a_pid_file_is_read_or_known_to_be_none() {
        let begun = "4711\n/d/postgres/cluster\n1700000000\n5432\n";
        let full = format!("{begun}/d/s\n\n  5432001    196608\nready   \n");
        for (text, expected) in [
            (full.as_str(), file(4711, false, Some("/d/s"))),
            (begun, file(4711, false, None)),
            ("-4711\n/d/postgres/cluster\n1700000000\n", file(4711, true, None)),
            ("4711\n/d/postgres/cluster\n", None),
            ("4711", None),
            ("", None),
            ("\n\n\n", None),
            ("0\n/d\n1\n", None),
            ("-2147483648\n/d\n1\n", None),
            ("99999999999\n/d\n1\n", None),
            ("\u{7f}ELF", None),
        ] {
            assert_eq!(PidFile::parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            PidFile::parse(&bytes);
        }
    }
}
