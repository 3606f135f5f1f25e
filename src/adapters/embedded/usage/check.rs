//! What `weir doctor` asks: is every byte of the store what was written? Reads everything and changes nothing.

use super::blocks::BlockFile;
use super::control::ControlFile;
use super::files::{self, DIR};
use super::ledger::{Ledger, MANIFEST};
use super::rollup::{BlockCache, RowScan, Run};
use crate::adapters::embedded::disk::Disk;
use crate::adapters::embedded::manifest;
use crate::domain::fault::Fault;
use crate::domain::metering::plan::Minutes;
use std::path::Path;
use std::sync::Arc;

/// Every minute there can be, in whole days.
const EVERYTHING: Minutes = -1_440 * 110_000..1_440 * 110_000;
/// Memory for blocks while checking, in bytes: each is read once.
const CACHE_BYTES: usize = 1 << 20;

/// What was gone through, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct UsageReport {
    pub files: u64,
    pub events: u64,
    pub runs: u64,
    pub rows: u64,
    pub controls: u64,
    /// The first fault of each file, with its place.
    pub faults: Vec<Fault>,
}

/// Reads every file that the manifest lists. Not for a store that is open. A fault as the result means that the
/// manifest itself cannot be read.
pub fn check(disk: &Arc<dyn Disk>) -> Result<UsageReport, Fault> {
    let mut report = UsageReport::default();
    let Some(ledger) = manifest::load::<Ledger>(&**disk, Path::new(DIR), MANIFEST)? else { return Ok(report) };
    match ControlFile::open(disk.clone(), &files::path("controls")) {
        Ok((_, controls)) => report.controls = controls.len() as u64,
        Err(fault) => report.faults.push(fault),
    }
    for name in &ledger.files {
        report.files += 1;
        let checked = BlockFile::open(&**disk, &files::path(name)).and_then(|file| {
            file.check()?;
            Ok(file.summary().events)
        });
        match checked {
            Ok(events) => report.events += events,
            Err(fault) => report.faults.push(fault),
        }
    }
    for entry in &ledger.runs {
        report.runs += 1;
        match check_run(&**disk, &entry.name) {
            Ok(rows) => report.rows += rows,
            Err(fault) => report.faults.push(fault),
        }
    }
    Ok(report)
}

/// Reads every row of every meter at every level.
fn check_run(disk: &dyn Disk, name: &str) -> Result<u64, Fault> {
    let run = Run::open(disk, &files::path(name), BlockCache::new(CACHE_BYTES))?;
    let (all, none) = ([EVERYTHING], []);
    let mut rows = 0;
    for meter in run.meters() {
        let levels: [[&[Minutes]; 3]; 3] = [[&all, &none, &none], [&none, &all, &none], [&none, &none, &all]];
        for [days, hours, minutes] in levels {
            let scan = RowScan { meter, subjects: None, days, hours, minutes };
            run.scan(&scan, &mut |_, _, _| rows += 1)?;
        }
    }
    Ok(rows)
}
