//! Subjects of events, without reading the events: keys, times and fates are enough.

use super::BlockFile;
use super::filter::Filter;
use super::scan::{BlockScanner, scan_batch_filtered};
use crate::domain::fault::Fault;
use crate::domain::metering::Batch;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Takes up subjects.
pub(in super::super) trait Subjects {
    /// False when more events of this subject say nothing new: blocks of nothing else are not read.
    fn wants(&self, subject: &str) -> bool;

    /// So many more events of the subject pass: at least one.
    fn take(&mut self, subject: &str, events: u64);
}

/// Which there are.
impl Subjects for BTreeSet<String> {
    fn wants(&self, subject: &str) -> bool {
        !self.contains(subject)
    }

    fn take(&mut self, subject: &str, _: u64) {
        if self.wants(subject) {
            self.insert(subject.to_owned());
        }
    }
}

/// How many events each has.
impl Subjects for BTreeMap<String, u64> {
    fn wants(&self, _: &str) -> bool {
        true
    }

    fn take(&mut self, subject: &str, events: u64) {
        match self.get_mut(subject) {
            Some(known) => *known += events,
            None => drop(self.insert(subject.to_owned(), events)),
        }
    }
}

impl BlockFile {
    /// The subjects of the events that pass.
    pub(in super::super) fn subjects(&self, filter: &Filter<'_>, found: &mut impl Subjects) -> Result<(), Fault> {
        let mut scanner = BlockScanner::default();
        let _ = self.walk_wanted(filter, &mut |zone| {
            if zone.only_subject().is_none_or(|subject| found.wants(subject)) {
                scanner.subjects(self, zone, filter, &mut |subject, events| found.take(subject, events))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }
}

/// The subjects of the events of a batch that pass.
pub(in super::super) fn batch_subjects(batch: &Batch, filter: &Filter<'_>, found: &mut impl Subjects) {
    let _ = scan_batch_filtered(batch, filter, &mut |stored| {
        stored.event.into_iter().for_each(|event| found.take(event.subject, 1));
        ControlFlow::Continue(())
    });
}
