//! The control file: every record that is not an event, with its position, for ever.
//!
//! Event files and rollups do not hold these records, so once a segment of the log is gone this file is where they
//! are. A seal appends them, and they are durable, *before* the manifest that raises the durable frontier over them is
//! written. What a crash leaves beyond that frontier comes again by the log, and is passed over by position.
//!
//! ```text
//! magic · format version u16 · entries: length u32 · CRC-32C u32 · tag u8 · content
//! ```
//! An entry's CRC covers its offset in the file too. A *record* is partition u32, offset u64, and the record as it lies
//! in the log. A *mark* follows the records of each append once they are synced and says how far: bad bytes below any
//! mark are corruption, and refused; all others are what a crash left, and cut.

use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::record::{Control, decode_control, encode_control};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"WEIRCTL1";
/// The format that this binary writes; a higher one is refused.
const FORMAT_VERSION: u16 = 1;
const HEAD_BYTES: usize = 10;
/// Length and CRC in front of an entry.
const ENTRY_HEAD_BYTES: usize = 8;
const RECORD: u8 = 1;
const MARK: u8 = 2;
const MARK_BYTES: usize = 9;
const RECORD_HEAD_BYTES: usize = 1 + 4 + 8;

/// The file, open for appending. One per store.
pub struct ControlFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Everything below is durable.
    end: u64,
    /// What is in the file.
    frontier: Frontier,
    /// A write or sync failed: nothing is known of the file's pages beyond what can be read and written anew.
    is_suspect: bool,
}

impl ControlFile {
    /// Opens the file, or makes it; answers the records in it, in the order in which they were appended. What a crash
    /// left half-written at the end is cut.
    ///
    /// # Errors
    /// Retry: the disk failed. Give up: the file is damaged, or of a later version; the message names file and byte.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<(Self, Vec<(Position, Control)>), Fault> {
        let place = Place(path);
        let opened = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(|error| place.failed("opened", &error))?),
        };
        let (file, bytes) = match opened {
            Some(file) => {
                let bytes = read_all(&*file).map_err(|error| place.failed("read", &error))?;
                (file, bytes)
            }
            None => (disk.create(path).map_err(|error| place.failed("created", &error))?, Vec::new()),
        };
        let content = place.check(&bytes)?;
        let end = content.end.max(HEAD_BYTES) as u64;
        if content.end < bytes.len() || content.end < HEAD_BYTES {
            settle(&*disk, &*file, path, &content).map_err(|error| place.failed("written", &error))?;
        } else {
            // What is about to be relied on may have been written, and not synced, by a process that was killed.
            file.sync().map_err(|error| place.failed("synced", &error))?;
        }
        let mut frontier = Frontier::default();
        content.controls.iter().for_each(|(position, _)| frontier.raise(position.partition, position.offset + 1));
        let opened = Self { disk, path: path.to_owned(), file, end, frontier, is_suspect: false };
        Ok((opened, content.controls))
    }

    /// Makes the records durable; those whose position, or a later one of the same partition, is in the file already
    /// are passed over. Durable when it returns `Ok`.
    ///
    /// # Errors
    /// Retry: the disk failed. The same call may be made again: it writes the file anew, for a failed sync says
    /// nothing about what a second one on the same pages would mean.
    pub fn append(&mut self, controls: &[(Position, Control)]) -> Result<(), Fault> {
        let mut fresh: Vec<_> = controls.iter().filter(|(position, _)| !self.frontier.has(*position)).collect();
        fresh.sort_by_key(|(position, _)| *position);
        fresh.dedup_by_key(|(position, _)| *position);
        if fresh.is_empty() {
            return Ok(());
        }
        if self.is_suspect {
            self.renew()?;
        }
        self.is_suspect = true;
        let end = self.write(&fresh).map_err(|error| Place(&self.path).failed("written", &error))?;
        self.is_suspect = false;
        self.end = end;
        fresh.iter().for_each(|(position, _)| self.frontier.raise(position.partition, position.offset + 1));
        Ok(())
    }

    /// Writes and syncs records, then the mark that says so; answers where they end.
    fn write(&self, controls: &[&(Position, Control)]) -> io::Result<u64> {
        let mut bytes = Vec::new();
        for (position, control) in controls {
            let offset = self.end + bytes.len() as u64;
            put_entry(offset, &mut bytes, |out| {
                out.push(RECORD);
                out.extend_from_slice(&position.partition.to_le_bytes());
                out.extend_from_slice(&position.offset.to_le_bytes());
                encode_control(control, out);
            });
        }
        self.file.write_at(self.end, &bytes)?;
        self.file.sync()?;
        let synced = self.end + bytes.len() as u64;
        let mut mark = Vec::new();
        put_entry(synced, &mut mark, |out| {
            out.push(MARK);
            out.extend_from_slice(&synced.to_le_bytes());
        });
        self.file.write_at(synced, &mark)?;
        self.file.sync()?;
        Ok(synced + mark.len() as u64)
    }

    /// Replaces the file by a new one with everything that was durable in it.
    fn renew(&mut self) -> Result<(), Fault> {
        let place = Place(&self.path);
        let mut bytes = vec![0; usize::try_from(self.end).expect("the file was in memory when it was opened")];
        self.file.read_at(0, &mut bytes).map_err(|error| place.failed("read", &error))?;
        if place.check(&bytes)?.end != bytes.len() {
            return Err(place.damaged(bytes.len(), "its durable records cannot be read back"));
        }
        self.file = self.replace(&bytes).map_err(|error| place.failed("written anew", &error))?;
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
        let new = self.path.with_extension("new");
        match self.disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&new)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        self.disk.rename(&new, &self.path)?;
        self.disk.sync_dir(parent(&self.path))?;
        Ok(file)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Cuts the torn tail, and begins a file that has not been begun.
fn settle(disk: &dyn Disk, file: &dyn DiskFile, path: &Path, content: &Content) -> io::Result<()> {
    let kept = if content.end < HEAD_BYTES { 0 } else { content.end };
    file.truncate(kept as u64)?;
    if kept == 0 {
        file.write_at(0, &[&MAGIC[..], &FORMAT_VERSION.to_le_bytes()].concat())?;
    }
    file.sync()?;
    disk.sync_dir(parent(path))
}

/// Appends an entry that will stand at `offset`.
fn put_entry(offset: u64, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; ENTRY_HEAD_BYTES]);
    content(out);
    let body = start + ENTRY_HEAD_BYTES;
    let length = u32::try_from(out.len() - body).expect("a control record is smaller than 4 GiB");
    let crc = crc_of(offset, &out[body..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..body].copy_from_slice(&crc.to_le_bytes());
}

fn crc_of(offset: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), body)
}

/// What was found in the file.
struct Content {
    controls: Vec<(Position, Control)>,
    /// Where what is in order ends; below the head's length when the file has not been begun.
    end: usize,
}

/// The file, for messages.
struct Place<'a>(&'a Path);

impl Place<'_> {
    fn check(&self, bytes: &[u8]) -> Result<Content, Fault> {
        let mut content = Content { controls: Vec::new(), end: 0 };
        if self.check_head(bytes)? {
            content.end = HEAD_BYTES;
            while let Some((body, next)) = entry_at(bytes, content.end) {
                if let [RECORD, body @ ..] = body {
                    content.controls.push(self.record(body, content.end)?);
                }
                content.end = next;
            }
        }
        let tail = bytes.len() - content.end;
        if tail == 0 {
            return Ok(content);
        }
        if synced_after(bytes, content.end) > content.end as u64 {
            return Err(self.damaged(content.end, "what a later mark says is durable cannot be read"));
        }
        tracing::info!(file = %self.0.display(), bytes = tail, "cut what a crash left half-written");
        Ok(content)
    }

    /// Whether the file has been begun.
    fn check_head(&self, bytes: &[u8]) -> Result<bool, Fault> {
        let Some((head, _)) = bytes.split_at_checked(HEAD_BYTES) else { return Ok(false) };
        if &head[..8] != MAGIC {
            return Ok(false);
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version != FORMAT_VERSION {
            let message = format!(
                "{} has format version {version} at byte 8, this weir reads {FORMAT_VERSION}; start the version of weir that wrote it",
                self.0.display()
            );
            return Err(Fault::give_up("usage store", message));
        }
        Ok(true)
    }

    fn record(&self, body: &[u8], at: usize) -> Result<(Position, Control), Fault> {
        let (head, record) =
            body.split_at_checked(RECORD_HEAD_BYTES - 1).ok_or_else(|| self.damaged(at, "a record is too short"))?;
        let partition = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
        let offset = u64::from_le_bytes(head[4..].try_into().expect("eight bytes"));
        let control = decode_control(record).map_err(|error| self.damaged(at, &error.to_string()))?;
        Ok((Position::new(partition, offset), control))
    }

    fn damaged(&self, at: usize, what: &str) -> Fault {
        let path = self.0.display();
        Fault::give_up(
            "usage store",
            format!("control file {path} is damaged at byte {at}: {what}; restore it from a backup"),
        )
    }

    fn failed(&self, what: &str, error: &io::Error) -> Fault {
        Fault::retry("usage store", format!("control file {} cannot be {what}: {error}", self.0.display()))
    }
}

/// The entry at this offset, tag included, and where the next begins; `None` when there is no whole one.
fn entry_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let head = bytes.get(at..at.checked_add(ENTRY_HEAD_BYTES)?)?;
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let body_at = at + ENTRY_HEAD_BYTES;
    let next = body_at.checked_add(number(0) as usize)?;
    let body = bytes.get(body_at..next)?;
    let is_known = matches!(body.first(), Some(&RECORD | &MARK));
    (is_known && crc_of(at as u64, body) == number(4)).then_some((body, next))
}

/// The furthest that any mark at or after this offset says is synced.
fn synced_after(bytes: &[u8], from: usize) -> u64 {
    let is_mark = |at: &usize| bytes[*at..].starts_with(&(MARK_BYTES as u32).to_le_bytes());
    let synced = |at: usize| match entry_at(bytes, at)? {
        ([MARK, synced @ ..], _) => synced.try_into().ok().map(u64::from_le_bytes),
        _ => None,
    };
    (from..bytes.len()).filter(is_mark).filter_map(synced).fold(0, u64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::embedded::disk::SimDisk;
    use crate::domain::fault::Verdict;
    use proptest::prelude::*;

    const PATH: &str = "usage/controls";

    fn disk() -> SimDisk {
        let disk = SimDisk::new(5);
        disk.create_dir(Path::new("usage")).unwrap();
        disk
    }

    fn open(disk: &SimDisk) -> Result<(ControlFile, Vec<(Position, Control)>), Fault> {
        ControlFile::open(Arc::new(disk.clone()), Path::new(PATH))
    }

    fn record(partition: u32, offset: u64) -> (Position, Control) {
        let reason = "x".repeat(offset as usize % 50);
        let position = Position::new(partition, offset);
        (position, Control::Dropped { position: Position::new(0, 1), reason })
    }

    fn length(disk: &SimDisk) -> u64 {
        disk.open(Path::new(PATH)).unwrap().len().unwrap()
    }

    #[test]
    fn records_come_back_in_order_and_are_never_kept_twice() {
        let disk = disk();
        let (mut file, found) = open(&disk).unwrap();
        assert_eq!(found, []);
        let records = [record(0, 3), record(2, 1), record(0, 70)];
        file.append(&records[..2]).unwrap();
        file.append(&records).unwrap();
        file.append(&records).unwrap();
        drop(file);
        let (mut file, found) = open(&disk).unwrap();
        assert_eq!(found, records);
        file.append(&[record(0, 70), record(0, 71)]).unwrap();
        assert_eq!(open(&disk).unwrap().1.len(), 4);
    }

    #[test]
    fn whenever_the_power_goes_what_was_appended_is_there() {
        let mut cuts = 0;
        for operations in 1..60 {
            let disk = disk();
            disk.power_cut_after(operations);
            let mut kept = 0;
            if let Ok((mut file, _)) = open(&disk) {
                kept = (1..20).take_while(|offset| file.append(&[record(0, *offset)]).is_ok()).count();
            }
            cuts += usize::from(!disk.is_on());
            let disk = disk.restart();
            let (mut file, found) = open(&disk).unwrap();
            assert!(found.len() >= kept, "{operations} operations: {} of {kept}", found.len());
            assert!(found.iter().zip(1..).all(|(found, offset)| *found == record(0, offset)));
            let next: Vec<_> = (1..25).map(|offset| record(0, offset)).collect();
            file.append(&next).unwrap();
            assert_eq!(open(&disk).unwrap().1, next);
        }
        assert!(cuts > 30, "{cuts} cuts prove too little");
    }

    #[test]
    fn after_a_failed_sync_or_write_the_file_is_written_anew() {
        let fail: [fn(&SimDisk); 3] =
            [|disk| disk.fail_next_sync(), |disk| disk.fail_next_writes(1), |disk| disk.fail_next_syncs(2)];
        for fail in fail {
            let disk = disk();
            let (mut file, _) = open(&disk).unwrap();
            file.append(&[record(0, 1)]).unwrap();
            fail(&disk);
            let mut failures = 0;
            while let Err(fault) = file.append(&[record(0, 2), record(0, 3)]) {
                assert_eq!(fault.verdict, Verdict::Retry);
                failures += 1;
            }
            assert!((1..=2).contains(&failures));
            drop(file);
            let (_, found) = open(&disk.restart()).unwrap();
            assert_eq!(found, [record(0, 1), record(0, 2), record(0, 3)]);
        }
    }

    #[test]
    fn a_torn_tail_is_cut_and_what_follows_is_kept() {
        let disk = disk();
        let (mut file, _) = open(&disk).unwrap();
        file.append(&[record(0, 1)]).unwrap();
        let end = length(&disk);
        disk.open(Path::new(PATH)).unwrap().write_at(end + 3, b"half of a record").unwrap();
        let (mut file, found) = open(&disk).unwrap();
        assert_eq!((found, length(&disk)), (vec![record(0, 1)], end));
        file.append(&[record(0, 2)]).unwrap();
        assert_eq!(open(&disk).unwrap().1.len(), 2);
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_by_name() {
        let disk = disk();
        drop(open(&disk).unwrap());
        disk.flip_bit(Path::new(PATH), 8 * 8 + 1);
        let fault = open(&disk).err().unwrap();
        assert!(fault.message.contains("usage/controls has format version 3"), "{fault}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_flipped_bit_is_refused_or_loses_nothing(count in 1u64..5, bit in any::<prop::sample::Index>()) {
            let disk = disk();
            let (mut file, _) = open(&disk).unwrap();
            let records: Vec<_> = (1..=count).map(|offset| record(0, offset)).collect();
            records.iter().for_each(|record| file.append(std::slice::from_ref(record)).unwrap());
            drop(file);
            disk.flip_bit(Path::new(PATH), bit.index(length(&disk) as usize * 8) as u64);
            match open(&disk) {
                Ok((_, found)) => prop_assert_eq!(found, records), // the last mark, which nothing needs
                Err(fault) => {
                    prop_assert_eq!(fault.verdict, Verdict::GiveUp);
                    prop_assert!(fault.message.contains("usage/controls") && fault.message.contains("byte"));
                }
            }
        }
    }
}
