//! Merges neighbouring runs into one, as a stream: memory does not grow with their size, but for the index and the
//! filter of the run that is made.

use super::block::Block;
use super::entry::Won;
use super::faults::refused;
use super::run::{Run, RunWriter, SectionReader};
use super::times::{self, Mark};
use crate::domain::fault::Fault;
use crate::domain::position::{Position, Range};
use crate::domain::time::Instant;
use std::sync::Arc;

/// What a merge is given besides the runs.
pub(super) struct MergeOptions<'a> {
    /// Winners accepted at or before this are left out.
    pub horizon: Option<Instant>,
    /// After this many ids, `go_on` is asked.
    pub pause_every_ids: u64,
    /// Gives way to others; false: the merge is given up.
    pub go_on: &'a dyn Fn() -> bool,
}

/// How a merge ended.
pub(super) enum Merged {
    /// The new run, and how many winners were left out.
    Done { run: Arc<Run>, expired: u64 },
    /// Every winner had expired: nothing is left.
    Nothing { expired: u64 },
    /// Told to stop.
    Stopped,
}

/// Writes one run with the winners of all.
pub(super) fn merge(runs: &[Arc<Run>], mut writer: RunWriter, options: &MergeOptions<'_>) -> Result<Merged, Fault> {
    let Some(expired) = merge_winners(runs, &mut writer, options)? else { return Ok(Merged::Stopped) };
    if writer.ids() == 0 {
        return Ok(Merged::Nothing { expired });
    }
    writer.begin_marks()?;
    merge_marks(runs, &mut writer, options.horizon)?;
    let run = Arc::new(writer.finish(covers(runs))?);
    Ok(Merged::Done { run, expired })
}

/// `None` when told to stop; else how many winners were left out.
fn merge_winners(runs: &[Arc<Run>], writer: &mut RunWriter, options: &MergeOptions<'_>) -> Result<Option<u64>, Fault> {
    let mut sources = Vec::with_capacity(runs.len());
    for run in runs {
        sources.push(Winners::new(run, options.horizon)?);
    }
    let (mut taken, mut expired) = (0u64, 0);
    let mut last: Option<Won> = None;
    while let Some(least) = least(sources.iter().map(|source| source.head().map(Won::key))) {
        let won = sources[least].take()?;
        taken += 1;
        if taken.is_multiple_of(options.pause_every_ids) && !(options.go_on)() {
            return Ok(None);
        }
        if last.is_some_and(|last| last.key() == won.key()) {
            continue;
        }
        last = Some(won);
        if sources[least].keeps(won.position) {
            writer.push(won)?;
        } else {
            expired += 1;
        }
    }
    Ok(Some(expired))
}

fn merge_marks(runs: &[Arc<Run>], writer: &mut RunWriter, horizon: Option<Instant>) -> Result<(), Fault> {
    let mut sources = Vec::with_capacity(runs.len());
    for run in runs {
        sources.push(Marks::new(run)?);
    }
    let mut last: Option<Mark> = None;
    while let Some(least) = least(sources.iter().map(|source| source.head().map(|mark| mark.position))) {
        let mark = sources[least].take()?;
        let back = last.is_some_and(|last| {
            last.position.partition == mark.position.partition && last.accepted_at > mark.accepted_at
        });
        if back {
            let path = runs[least].path().display();
            return Err(refused(format!(
                "{path}: accepted-at goes back at position {}; the run is left alone",
                mark.position
            )));
        }
        last = Some(mark);
        if horizon.is_none_or(|horizon| mark.accepted_at > horizon) {
            writer.push_mark(mark)?;
        }
    }
    Ok(())
}

/// Which source has the least head; sources are few, so they are looked through.
fn least<K: Ord + Copy>(heads: impl Iterator<Item = Option<K>>) -> Option<usize> {
    let heads = heads.enumerate().filter_map(|(source, head)| head.map(|head| (head, source)));
    heads.min().map(|(_, source)| source)
}

/// Per partition, from the first winner of any run to the last.
fn covers(runs: &[Arc<Run>]) -> Vec<Range> {
    let mut all: Vec<Range> = runs.iter().flat_map(|run| run.footer().covers.iter().copied()).collect();
    all.sort_unstable_by_key(|range| range.partition);
    all.chunk_by(|a, b| a.partition == b.partition)
        .map(|same| {
            let (from, to) = same.iter().fold((u64::MAX, 0), |(from, to), r| (from.min(r.from), to.max(r.to)));
            Range::new(same[0].partition, from, to)
        })
        .collect()
}

/// The winners of one run, in order.
struct Winners {
    reader: SectionReader,
    block: Vec<Won>,
    at: usize,
    /// Winners before these are expired, and those of other partitions; `None`: none is.
    keep_from: Option<Vec<Position>>,
}

impl Winners {
    fn new(run: &Arc<Run>, horizon: Option<Instant>) -> Result<Self, Fault> {
        let cut = horizon.filter(|horizon| run.footer().accepted.0 <= *horizon);
        let keep_from = cut.map(|horizon| run.first_after(horizon)).transpose()?;
        let mut winners = Self { reader: run.read_winners(), block: Vec::new(), at: 0, keep_from };
        winners.fill()?;
        Ok(winners)
    }

    fn head(&self) -> Option<&Won> {
        self.block.get(self.at)
    }

    fn keeps(&self, position: Position) -> bool {
        let kept = |from: &Position| from.partition == position.partition && from.offset <= position.offset;
        self.keep_from.as_ref().is_none_or(|all| all.iter().any(kept))
    }

    /// The head, which must be there.
    fn take(&mut self) -> Result<Won, Fault> {
        let won = self.block[self.at];
        self.at += 1;
        if self.at == self.block.len() {
            self.fill()?;
        }
        Ok(won)
    }

    fn fill(&mut self) -> Result<(), Fault> {
        self.block.clear();
        self.at = 0;
        let block = &mut self.block;
        self.reader.next(|bytes| Block::parse(bytes).map(|parsed| parsed.decode(block)))?;
        Ok(())
    }
}

/// The marks of one run, in order.
struct Marks {
    reader: SectionReader,
    block: Vec<Mark>,
    at: usize,
}

impl Marks {
    fn new(run: &Arc<Run>) -> Result<Self, Fault> {
        let mut marks = Self { reader: run.read_marks(), block: Vec::new(), at: 0 };
        marks.fill()?;
        Ok(marks)
    }

    fn head(&self) -> Option<&Mark> {
        self.block.get(self.at)
    }

    fn take(&mut self) -> Result<Mark, Fault> {
        let mark = self.block[self.at];
        self.at += 1;
        if self.at == self.block.len() {
            self.fill()?;
        }
        Ok(mark)
    }

    fn fill(&mut self) -> Result<(), Fault> {
        self.block.clear();
        self.at = 0;
        let block = &mut self.block;
        self.reader.next(|bytes| times::decode(bytes, block))?;
        Ok(())
    }
}
