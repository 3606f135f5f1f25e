//! How the index's faults are worded.

use crate::domain::fault::Fault;
use std::io;
use std::path::Path;

const SYSTEM: &str = "id index";

/// The disk did not do what it was asked to: it may, later.
pub(super) fn failed(path: &Path, doing: &str, error: &io::Error) -> Fault {
    Fault::retry(SYSTEM, format!("{}: {doing} failed: {error}", path.display()))
}

/// Bytes on disk are not what was written.
pub(super) fn corrupt(path: &Path, offset: u64, what: &str) -> Fault {
    let advice = "the index can be made again from the events: `weir doctor --rebuild`";
    Fault::give_up(SYSTEM, format!("{} at byte {offset}: {what}; {advice}", path.display()))
}

/// Something else that will not get better by itself.
pub(super) fn refused(what: impl Into<String>) -> Fault {
    Fault::give_up(SYSTEM, what)
}
