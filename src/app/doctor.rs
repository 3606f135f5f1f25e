//! `weir doctor`: reads every stored byte and says what is damaged; with `--rebuild`, derives again what is derived.

use super::serve;
use crate::adapters::embedded::disk::{Disk, RealDisk};
use crate::adapters::embedded::lock::DataDirLock;
use crate::adapters::embedded::{RebuildStep, id_index, log, rebuild, usage};

use crate::cli::DoctorArgs;
use std::io::Write;
use std::sync::Arc;

pub fn run(args: &DoctorArgs) -> Result<(), String> {
    let settings = serve::settings(&args.config)?;
    let data = args.data.clone().unwrap_or_else(|| settings.data.clone());
    if !data.is_dir() {
        return Err(format!("there is no data directory {}; name it with --data", data.display()));
    }
    let _lock = DataDirLock::take(&data).map_err(|fault| fault.to_string())?;
    let disk = RealDisk::open(data.clone()).map_err(|error| format!("{}: {error}", data.display()))?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    if args.rebuild {
        let report = rebuild(&disk, &settings.embedded, &mut show).map_err(|fault| format!("\n{fault}"))?;
        eprintln!();
        println!("rebuilt: {} ids, {} meters", report.ids, report.meters);
        if report.rivals > 0 {
            return Err(format!("{} events counted under an id that another event owns", report.rivals));
        }
    }
    let damage = examine(&disk).map_err(|fault| fault.to_string())?;
    if damage.is_empty() {
        println!("{} is sound", data.display());
        return Ok(());
    }
    Err(format!(
        "{} places are damaged:\n{}\nDamage in usage/run-* and in ids/ goes away with --rebuild; for the rest, restore a backup",
        damage.len(),
        damage.join("\n")
    ))
}

fn show(step: RebuildStep) {
    match step {
        RebuildStep::Ids { claimed } => eprint!("\rids: {claimed}        "),
        RebuildStep::Rollups { meters_done, meters } => eprint!("\rmeters: {meters_done} of {meters}        "),
    }
    // Progress that cannot be shown is no reason to stop.
    let _ = std::io::stderr().flush();
}

/// Everything that is wrong, a line each.
fn examine(disk: &Arc<dyn Disk>) -> Result<Vec<String>, crate::domain::fault::Fault> {
    let mut damage = Vec::new();
    eprintln!("reading the log");
    let found = log::check(&**disk)?;
    println!(
        "log: {} segments, {} frames, {} records, {} torn bytes",
        found.segments, found.frames, found.records, found.torn_bytes
    );
    let place = |finding: &log::Finding| format!("{} at {}: {}", finding.file.display(), finding.offset, finding.what);
    damage.extend(found.findings.iter().map(place));
    eprintln!("reading the id index");
    let found = id_index::check(&**disk)?;
    println!("id index: {} runs, {} ids, {} blocks", found.runs, found.ids, found.blocks);
    damage.extend(found.faults.iter().map(ToString::to_string));
    eprintln!("reading the usage store");
    let found = usage::check::check(disk)?;
    println!(
        "usage store: {} event files, {} events, {} runs, {} rows, {} control records",
        found.files, found.events, found.runs, found.rows, found.controls
    );
    damage.extend(found.faults.iter().map(ToString::to_string));
    Ok(damage)
}
