//! The server's own log: one file, bounded, and its last words when it ends.

use super::home::failed;
use crate::domain::fault::Fault;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A log that is longer is moved to `server.log.1`, which is overwritten.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// How much of the end is told when the server ends, in bytes.
const LAST_WORDS_BYTES_MAX: u64 = 1_500;

/// The log, to be written at its end.
pub fn open(path: &Path) -> Result<File, Fault> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed(path))
}

/// Length in bytes; a log that is not there has none.
pub fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// Keeps the log within its bound. The server goes on writing into the same file, from its new beginning: what it
/// says between the copy and the cut is lost.
pub fn bound(path: &Path) -> io::Result<()> {
    if length(path) <= LOG_BYTES_MAX {
        return Ok(());
    }
    std::fs::copy(path, path.with_extension("log.1"))?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// What was said since the log was `from` bytes long, its end at least.
pub fn last_words(path: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(LAST_WORDS_BYTES_MAX))))?;
        file.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut bytes)
    });
    match read {
        Ok(0) => "(nothing)".to_string(),
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_string(),
        Err(error) => format!("({}: {error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_within_its_bound_is_left_alone_and_a_longer_one_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut server = open(&path).unwrap();
        server.write_all(b"one\n").unwrap();
        bound(&path).unwrap();
        assert_eq!(last_words(&path, 0), "one");
        server.set_len(LOG_BYTES_MAX + 1).unwrap();
        bound(&path).unwrap();
        server.write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n", "the server writes on at the new beginning");
        assert_eq!(length(&dir.path().join("server.log.1")), LOG_BYTES_MAX + 1);
    }

    #[test]
    fn last_words_are_the_new_ones_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        assert!(last_words(&path, 0).contains("server.log"));
        open(&path).unwrap().write_all("old\nnew\n".as_bytes()).unwrap();
        assert_eq!(last_words(&path, 4), "new");
        assert_eq!(last_words(&path, 8), "(nothing)");
        open(&path).unwrap().write_all(&[b'x'; 10_000]).unwrap();
        assert_eq!(last_words(&path, 0).len() as u64, LAST_WORDS_BYTES_MAX);
    }
}
