//! Rows under a cut: those its plan wants, of all memories and runs; without the stale ones, and with what is read
//! instead of them.

use super::cut::Cut;
use super::rollup::{RowScan, Series};
use super::version::Version;
use super::voids::Stale;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::Cell;
use crate::domain::metering::plan::Plan;
use std::ops::ControlFlow;

/// Called with a series, the first minute of a cell, and the cell; breaks when nothing more is wanted.
type Visit<'a> = dyn FnMut(&Series, i64, &Cell) -> ControlFlow<()> + 'a;

/// The rows of one meter version.
pub struct Rows<'a> {
    pub version: &'a Version,
    pub key: &'a HashKey,
    pub meter: u128,
}

impl Rows<'_> {
    /// The cells that make up the rows' part of the cut, each once. `subjects`: only of these; `None`: of all.
    pub fn scan(&self, cut: &Cut, subjects: Option<&[String]>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let Cut { rows, stale, .. } = cut;
        let is_stale = |series: &Series, minute| {
            !stale.is_empty() && stale.get(&*series.subject).is_some_and(|stale| stale.masks(minute))
        };
        self.scan_plan(rows, subjects, &mut |series, minute, cell| {
            if is_stale(series, minute) { ControlFlow::Continue(()) } else { visit(series, minute, cell) }
        })?;
        for Stale { subject, instead, .. } in stale.values() {
            self.scan_plan(instead, Some(std::slice::from_ref(subject)), visit)?;
        }
        Ok(())
    }

    fn scan_plan(&self, plan: &Plan, subjects: Option<&[String]>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let Plan { days, hours, minutes, .. } = plan;
        if days.is_empty() && hours.is_empty() && minutes.is_empty() {
            return Ok(());
        }
        let subjects = subjects.map(|subjects| self.keyed(subjects));
        let scan = RowScan { meter: self.meter, subjects: subjects.as_deref(), days, hours, minutes };
        let mut enough = false;
        for rows in self.version.memories().flat_map(|memory| memory.rows.iter()) {
            rows.scan(&scan, &mut |series, minute, cell| enough |= visit(series, minute, cell).is_break());
        }
        for run in self.version.runs.iter() {
            if enough {
                break;
            }
            run.scan(&scan, &mut |series, minute, cell| enough |= visit(series, minute, cell).is_break())?;
        }
        Ok(())
    }

    fn keyed<'s>(&self, subjects: &'s [String]) -> Vec<(u64, &'s str)> {
        let keyed = |subject: &'s String| (self.key.subject_prefix(self.meter, subject), subject.as_str());
        let mut keyed: Vec<(u64, &str)> = subjects.iter().map(keyed).collect();
        keyed.sort_unstable();
        keyed.dedup();
        keyed
    }
}
