//! Reads a whole run and says what is wrong with it, for `weir doctor`.

use super::block::Block;
use super::entry::{Won, high};
use super::faults::corrupt;
use super::run::Run;
use super::times::{self, Mark};
use crate::domain::fault::Fault;
use std::sync::Arc;

/// Every winner of a run is where the index and the filter say, in order, with a time. Blocks read, and every fault.
pub(super) fn check_run(run: &Arc<Run>) -> (u64, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut blocks = 0;
    let winners = check_winners(run, &mut blocks);
    let marks = check_marks(run, &mut blocks);
    faults.extend(winners.err());
    faults.extend(marks.err());
    (blocks, faults)
}

fn check_winners(run: &Arc<Run>, blocks: &mut u64) -> Result<(), Fault> {
    let mut reader = run.read_winners();
    let mut winners = Vec::new();
    let (mut ids, mut last) = (0u64, None);
    while let Some((block, offset)) =
        reader.next(|bytes| Block::parse(bytes).map(|parsed| parsed.decode(&mut winners)))?
    {
        *blocks += 1;
        ids += winners.len() as u64;
        if winners.first().map(|won: &Won| high(won.id)) != run.first_of_block(block) {
            return Err(corrupt(run.path(), offset, "the block does not begin with the id that the index names"));
        }
        for won in winners.drain(..) {
            if last.is_some_and(|last| last >= won.key()) {
                return Err(corrupt(run.path(), offset, "the ids are not in order"));
            }
            if !run.may_hold(won.id) {
                return Err(corrupt(run.path(), offset, "the filter denies an id that is there"));
            }
            last = Some(won.key());
        }
    }
    if ids != run.footer().ids {
        let what = format!("the run has {ids} ids, its footer says {}", run.footer().ids);
        return Err(corrupt(run.path(), run.footer().footer_at, &what));
    }
    Ok(())
}

fn check_marks(run: &Arc<Run>, blocks: &mut u64) -> Result<(), Fault> {
    let mut reader = run.read_marks();
    let mut marks: Vec<Mark> = Vec::new();
    let mut last: Option<Mark> = None;
    while let Some((_, offset)) = reader.next(|bytes| times::decode(bytes, &mut marks))? {
        *blocks += 1;
        for mark in marks.drain(..) {
            if last.is_some_and(|last| last.position >= mark.position) {
                return Err(corrupt(run.path(), offset, "the times are not in the order of positions"));
            }
            last = Some(mark);
        }
    }
    Ok(())
}
