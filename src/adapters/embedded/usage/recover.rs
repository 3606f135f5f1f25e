//! Recovery: opens what the manifest lists, drops what it does not, and folds the control records into what they mean.

use super::blocks::BlockFile;
use super::control::ControlFile;
use super::engine::Found;
use super::files::{self, DIR, FileKind, Kept};
use super::ledger::{Ledger, MANIFEST};
use super::rollup::{BlockCache, Run};
use super::seal::warn_near_unique;
use super::settings::Settings;
use super::version::{States, Version};
use crate::adapters::embedded::disk::Disk;
use crate::adapters::embedded::manifest;
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position};
use crate::domain::record::Control;
use crate::domain::time::Instant;
use std::path::Path;
use std::sync::Arc;

/// Reads the store's directory; makes it when there is none.
pub fn recover(disk: &Arc<dyn Disk>, settings: &Settings) -> Result<Found, Fault> {
    let dir = Path::new(DIR);
    disk.create_dir(dir).map_err(|error| failed("cannot be made", &error))?;
    let ledger = manifest::load::<Ledger>(&**disk, dir, MANIFEST)?.unwrap_or_default();
    let unfinished_dropped = drop_unlisted(&**disk, &ledger)?;
    let cache = BlockCache::new(settings.cache_bytes_max);
    let (control_file, controls) = open_controls(disk, &ledger.durable)?;
    let mut version = Version::empty();
    version.applied = ledger.durable.clone();
    learn_controls(&mut version, controls);
    Arc::make_mut(&mut version.voids).heal(&ledger.healed);
    take_states(&mut version, &ledger)?;
    open_files(&mut version, disk, &ledger, &cache)?;
    version.counters = ledger.counters;
    version.work = ledger.work;
    version.minutes_from = ledger.minutes_from;
    version.removed = ledger.removed;
    Ok(Found { ledger, version, control_file, cache, unfinished_dropped })
}

/// What a crash left behind: files that were written and never committed, and such that were no longer needed. Says
/// how many.
fn drop_unlisted(disk: &dyn Disk, ledger: &Ledger) -> Result<u64, Fault> {
    let mut dropped = 0;
    let names = disk.list(Path::new(DIR)).map_err(|error| failed("cannot be listed", &error))?;
    let listed = |name: &String| ledger.files.contains(name) || ledger.runs.iter().any(|run| run.name == *name);
    for name in names.iter().filter(|name| FileKind::owns(name) && !listed(name)) {
        disk.remove(&files::path(name)).map_err(|error| failed(&format!("{name} cannot be removed"), &error))?;
        dropped += 1;
    }
    Ok(dropped)
}

/// What was kept beyond the durable frontier comes again by the log.
fn open_controls(disk: &Arc<dyn Disk>, durable: &Frontier) -> Result<(ControlFile, Vec<(Position, Control)>), Fault> {
    let (file, mut controls) = ControlFile::open(disk.clone(), &files::path("controls"))?;
    controls.retain(|(position, _)| durable.has(*position));
    // A seal that was tried again may have kept a record twice. Stable: the first of both stays.
    let mut seen = std::collections::HashSet::new();
    controls.retain(|(position, _)| seen.insert(*position));
    Ok((file, controls))
}

fn learn_controls(version: &mut Version, controls: Vec<(Position, Control)>) {
    for (position, control) in &controls {
        version.learn(*position, control, false);
    }
    if !controls.is_empty() {
        version.controls.push(controls);
    }
}

/// How far each meter is says the ledger; which there are, the control records.
fn take_states(version: &mut Version, ledger: &Ledger) -> Result<(), Fault> {
    let mut states = States::new();
    for known in version.meters.iter() {
        let Some(state) = ledger.meters.get(&known.meter.version) else {
            let message = format!("usage/{MANIFEST} does not know meter {} of the control records", known.meter.slug);
            return Err(Fault::give_up("usage store", message));
        };
        if state.near_unique && state.gone.is_none() {
            warn_near_unique(&known.meter.slug);
        }
        states.insert(known.meter.version.0, state.clone());
    }
    version.states = Arc::new(states);
    Ok(())
}

fn open_files(
    version: &mut Version,
    disk: &Arc<dyn Disk>,
    ledger: &Ledger,
    cache: &Arc<BlockCache>,
) -> Result<(), Fault> {
    let mut opened = Vec::with_capacity(ledger.files.len());
    for name in &ledger.files {
        let file = BlockFile::open(&**disk, &files::path(name))?;
        opened.push(Kept::new(file, name.clone(), disk.clone()));
    }
    let newest =
        opened.iter().filter_map(|file| file.summary().accepted).map(|(_, newest): (Instant, Instant)| newest).max();
    version.newest_accepted = newest;
    version.add_files(&opened);
    for entry in &ledger.runs {
        let run = Run::open(&**disk, &files::path(&entry.name), cache.clone())?;
        Arc::make_mut(&mut version.runs).push(Kept::new(run, entry.name.clone(), disk.clone()));
    }
    Ok(())
}

fn failed(what: &str, error: &std::io::Error) -> Fault {
    Fault::retry("usage store", format!("{DIR}: {what}: {error}"))
}
