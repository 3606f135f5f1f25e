//! Letting the log go: a segment may be deleted once everything in it is in this store's files, record by record.

use super::EmbeddedUsage;
use super::bell::lock;
use super::blocks::{BlockFile, SegmentProof};
use super::version::Version;
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::record::{Control, Kind, decode_control, peek};
use crate::ports::event_log::{EventLog, LogSlice};
use std::sync::Arc;

impl EmbeddedUsage {
    /// Lets the log delete what lies below `below` and is durable here, as far as files and control records prove it.
    pub async fn release_log(&self, log: &dyn EventLog, below: &Frontier) -> Result<(), Fault> {
        let durable = self.engine.durable();
        let version = self.engine.version();
        let proof = Held::of(&version);
        let both = durable.iter().map(|(partition, next)| (partition, next.min(below.next(partition))));
        let mut released = Frontier::default();
        both.for_each(|(partition, next)| released.set(partition, next));
        log.release(&released, &|slice| proof.has(slice)).await?;
        *lock(&self.engine.released) = log.start();
        self.engine.merging.ring();
        Ok(())
    }
}

/// What the store holds, for comparison with the log.
struct Held {
    files: Vec<Arc<BlockFile>>,
    /// By position.
    controls: Vec<(Position, Control)>,
    events: SegmentProof,
}

impl Held {
    fn of(version: &Version) -> Self {
        let mut controls: Vec<_> = version.controls.iter().flat_map(|part| part.iter().cloned()).collect();
        controls.sort_by_key(|(position, _)| *position);
        let files = version.files.iter().map(|file| file.shared()).collect();
        Self { files, controls, events: SegmentProof::default() }
    }

    fn has(&self, slice: &LogSlice) -> Result<bool, Fault> {
        for chunk in &slice.chunks {
            for record in &chunk.records {
                let Some(bytes) = chunk.bytes.get(record.start as usize..record.end as usize) else { return Ok(false) };
                let position = Position::new(slice.range.partition, record.offset);
                let unread = |error| Fault::give_up("usage store", format!("log record {position}: {error}"));
                let (_, kind) = peek(bytes).map_err(unread)?;
                if kind != Kind::Event && self.control(position) != Some(&decode_control(bytes).map_err(unread)?) {
                    return Ok(false);
                }
            }
        }
        self.events.holds(&self.files, slice)
    }

    fn control(&self, position: Position) -> Option<&Control> {
        let at = self.controls.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        Some(&self.controls[at].1)
    }
}
