//! Backfill: a new meter's past, counted from the event files, file by file in position order. Each step's runs and
//! its progress are committed together, so a crash loses at most a step and counts nothing twice. Merging files
//! meanwhile does no harm: progress is a position, and a file is read from there on.

use super::blocks::{BlockFile, BlockScan, Stored};
use super::engine::Engine;
use super::files::Kept;
use super::ledger::{MeterState, Spread};
use super::rollup::{MemoryRows, RowBuilder};
use super::seal::{NewRun, see_series};
use super::tiers::Tiers;
use super::version::{States, Version};
use super::voids::Voids;
use crate::domain::digest::HashKey;
use crate::domain::fault::Fault;
use crate::domain::metering::extract::NotCounted;
use crate::domain::metering::{Batch, Catalog, Chunk, Event, Fate, Measure, Meter};
use crate::domain::position::{Position, Range};
use crate::domain::record::{Control, EventView, encode_event};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of records that are read anew at once.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Meters of one event type whose past is read together, and the stretch of offsets that comes next.
struct Task {
    partition: u32,
    from: u64,
    to: u64,
    meters: Vec<Arc<Meter>>,
}

impl Engine {
    /// Counts on: one file for the meters that are least far. False when nothing is to be counted, or a seal has to
    /// come first (which rings again).
    pub fn backfill_step(&self) -> Result<bool, Fault> {
        // In this order: the version then has every file of what is durable.
        let durable = self.durable();
        let version = self.version();
        let Some(task) = next_task(&version) else { return Ok(false) };
        let live = |meter: &Arc<Meter>| version.states.get(&meter.version.0).is_some_and(|s| durable.has(s.live_at));
        if durable.next(task.partition) < task.to || !task.meters.iter().all(live) {
            // The past is not in files yet. When a seal is under way already, it rings when it is done.
            self.freeze();
            return Ok(false);
        }
        let file = next_file(&version, &task);
        let to = file.as_ref().map_or(task.to, |file| task.to.min(file.summary().range.to));
        // Of voids that a crash may undo the rows must know nothing; they are stale until then.
        let mut runs = Runs::new(self, &task, to, version.voids.below(&durable));
        if let Some(file) = file {
            runs.read(&file)?;
        }
        let (runs, spreads) = runs.finish()?;
        self.commit_backfill(&task, to, &runs, &spreads)?;
        Ok(true)
    }

    fn commit_backfill(
        &self,
        task: &Task,
        to: u64,
        runs: &[NewRun],
        spreads: &BTreeMap<u128, Spread>,
    ) -> Result<(), Fault> {
        let progress = |states: &mut States| {
            for meter in &task.meters {
                let Some(state) = states.get_mut(&meter.version.0) else { continue };
                state.backfilled_to.raise(task.partition, to);
                if let Some(spread) = spreads.get(&meter.version.0) {
                    state.spread.join(spread);
                }
                state.near_unique |= state.spread.near_unique(self.settings.near_unique_min_events);
                // Should it have ended meanwhile, its new rows have to go too.
                state.rows_removed &= runs.is_empty();
            }
        };
        self.commit(
            |ledger| ledger.runs.extend(runs.iter().map(|new| new.entry.clone())),
            progress,
            |version| runs.iter().for_each(|new| version.add_run(Some(new))),
        )
    }
}

/// The meters that are least far in some partition.
fn next_task(version: &Version) -> Option<Task> {
    let behind = |state: &MeterState| -> Option<(u32, std::ops::Range<u64>)> {
        let partitions =
            state.counted_from.iter().map(|(partition, from)| (*partition, state.missing(*partition, *from)));
        partitions.into_iter().find(|(_, missing)| !missing.is_empty())
    };
    let mut task: Option<Task> = None;
    for known in version.meters.iter() {
        let state = version.states.get(&known.meter.version.0).filter(|state| !state.rowless());
        let Some((partition, missing)) = state.and_then(behind) else { continue };
        match &mut task {
            None => {
                task =
                    Some(Task { partition, from: missing.start, to: missing.end, meters: vec![known.meter.clone()] });
            }
            Some(task) if task.takes(&known.meter, partition, missing.start) => {
                task.to = task.to.min(missing.end);
                task.meters.push(known.meter.clone());
            }
            Some(_) => {}
        }
    }
    task
}

impl Task {
    /// True when this meter reads the same events from the same place.
    fn takes(&self, meter: &Meter, partition: u32, from: u64) -> bool {
        let first = &self.meters[0];
        (self.partition, self.from) == (partition, from)
            && (&first.namespace, &first.event_type) == (&meter.namespace, &meter.event_type)
    }
}

/// The first file that has positions of the task.
fn next_file(version: &Version, task: &Task) -> Option<Arc<Kept<BlockFile>>> {
    let here = version.files.iter().filter(|file| file.summary().range.partition == task.partition);
    here.into_iter().find(|file| file.summary().range.to > task.from && file.summary().range.from < task.to).cloned()
}

/// Runs being made of what is read.
struct Runs<'a> {
    engine: &'a Engine,
    task: &'a Task,
    to: u64,
    voids: Voids,
    past: PastEvents,
    builder: RowBuilder,
    rows: Tiers<MemoryRows>,
    rows_held: usize,
    runs: Vec<NewRun>,
    spreads: BTreeMap<u128, Spread>,
    fault: Option<Fault>,
}

impl<'a> Runs<'a> {
    fn new(engine: &'a Engine, task: &'a Task, to: u64, voids: Voids) -> Self {
        Self {
            engine,
            task,
            to,
            voids,
            past: PastEvents::of(&task.meters, &engine.key, task.partition),
            builder: RowBuilder::new(),
            rows: Tiers::default(),
            rows_held: 0,
            runs: Vec::new(),
            spreads: BTreeMap::new(),
            fault: None,
        }
    }

    fn read(&mut self, file: &BlockFile) -> Result<(), Fault> {
        let meter = self.task.meters[0].clone();
        let voids = std::mem::take(&mut self.voids);
        let scan = BlockScan {
            namespace: Some(&meter.namespace),
            event_type: Some(&meter.event_type),
            offsets: Some(self.task.from..self.to),
            counted_only: true,
            voids: Some(&voids),
            ..BlockScan::default()
        };
        let _ = file.scan(&scan, &mut |stored| self.take(&stored))?;
        self.fault.take().map_or(Ok(()), Err)
    }

    fn take(&mut self, stored: &Stored<'_>) -> ControlFlow<()> {
        let Some(view) = &stored.event else { return ControlFlow::Continue(()) };
        self.past.push(stored, view);
        if self.past.bytes.len() < BATCH_BYTES_MAX {
            return ControlFlow::Continue(());
        }
        if self.engine.backfilling.stopped() {
            self.fault = Some(Fault::retry("usage store", "stopped in the middle of a backfill step"));
            return ControlFlow::Break(());
        }
        self.fault = self.fold().err();
        if self.fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// What has been read becomes rows, and enough rows a run.
    fn fold(&mut self) -> Result<(), Fault> {
        let batch = self.past.take();
        let rows = self.builder.rows(&batch);
        for chunk in &batch.chunks {
            for measure in &chunk.measures {
                let version = chunk.catalog.meters[measure.meter as usize].meter.version.0;
                self.spreads.entry(version).or_default().events += 1;
            }
        }
        if rows.rows() > 0 {
            self.rows_held += rows.rows();
            self.rows.push(rows);
        }
        if self.rows_held >= self.engine.settings.backfill_rows_max { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Fault> {
        let rows = MemoryRows::merge(&self.rows.parts());
        (self.rows, self.rows_held) = (Tiers::default(), 0);
        for (version, spread) in &mut self.spreads {
            see_series(&rows, *version, spread);
        }
        self.runs.extend(self.engine.write_run(&rows, &self.engine.durable())?);
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<NewRun>, BTreeMap<u128, Spread>), Fault> {
        self.fold()?;
        self.write()?;
        Ok((self.runs, self.spreads))
    }
}

/// Stored events, made a batch again that only some meters measure: one code computes rows, whether the
/// events come by the line or from the past.
pub struct PastEvents {
    catalog: Arc<Catalog>,
    partition: u32,
    pub bytes: Vec<u8>,
    events: Vec<Event>,
    measures: Vec<Measure>,
    texts: Vec<u8>,
}

impl PastEvents {
    pub fn of(meters: &[Arc<Meter>], key: &HashKey, partition: u32) -> Self {
        let mut catalog = Catalog::empty(*key);
        for meter in meters {
            let live = Control::MeterLive(meter.clone());
            catalog = catalog.with(Position::new(partition, 0), &live).unwrap_or(catalog);
        }
        let catalog = Arc::new(catalog);
        Self { catalog, partition, bytes: Vec::new(), events: Vec::new(), measures: Vec::new(), texts: Vec::new() }
    }

    pub fn push(&mut self, stored: &Stored<'_>, view: &EventView<'_>) {
        let (start, event) = (self.bytes.len() as u32, self.events.len() as u32);
        encode_event(view, &mut self.bytes);
        let (at, position, accepted_at) = (stored.at, stored.position, stored.accepted_at);
        let end = self.bytes.len() as u32;
        self.events.push(Event { start, end, at, position, accepted_at, fate: Fate::Counts });
        let time = view.instant(accepted_at);
        let Some(readers) = self.catalog.readers(view.namespace, view.event_type) else { return };
        let (catalog, measures) = (&self.catalog, &mut self.measures);
        readers.extractor.read(view.data, &catalog.key, &mut self.texts, |which, reading, groups| {
            let meter = readers.meters[which];
            let from = catalog.meters[meter as usize].meter.event_from;
            let reading = if from.is_some_and(|from| time < from) { Err(NotCounted::BeforeEventFrom) } else { reading };
            let groups = (groups.start as u32, groups.end as u32);
            measures.push(Measure { event, meter, reading, groups });
        });
    }

    /// The batch so far. Its range is empty: it stands for no stretch of the log.
    pub fn take(&mut self) -> Batch {
        let mut chunk = Chunk::new(Bytes::from(std::mem::take(&mut self.bytes)), self.catalog.clone());
        chunk.events = std::mem::take(&mut self.events);
        chunk.measures = std::mem::take(&mut self.measures);
        chunk.texts = std::mem::take(&mut self.texts);
        Batch { generation: 0, range: Range::new(self.partition, 0, 0), chunks: vec![chunk] }
    }
}
