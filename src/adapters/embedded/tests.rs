//! The tier as one: a small line runs over log, index and store of a simulated disk, through kills and power cuts.

use super::disk::{Disk, SimDisk};
use super::usage::tests::model::{answer, question};
use super::usage::tests::story::{Dice, Line, Story};
use super::usage::tests::{DAYS, hasty, runtime, settle};
use super::*;
use crate::domain::digest::payload_digest;
use crate::domain::fault::Fault;
use crate::domain::metering::query::{EventsQuery, UsageQuery};
use crate::domain::metering::{Batch, Catalog, Chunk, Event, Fate, Measure};
use crate::domain::position::Position;
use crate::domain::record::{self, Control, Kind};
use crate::domain::time::{Instant, MINUTE_NS};
use crate::ports::event_log::{Append, LogSlice};
use crate::ports::id_index::{Claim, ClaimRequest};
use crate::ports::{Clock, EventLog, IdIndex, UsageStore};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Steps by a minute whenever it is asked.
struct StepClock(AtomicI64);

impl Clock for StepClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.fetch_add(MINUTE_NS, Ordering::Relaxed))
    }
}

fn settings() -> Settings {
    let mut settings = Settings { usage: hasty(), ..Settings::default() };
    settings.log.segment_bytes_max = 16_384;
    settings.log.preallocate = false;
    settings.log.disk_free_min_bytes = 0;
    settings.ids.hot_ids_max = 100;
    settings
}

fn open(disk: &SimDisk) -> Result<Embedded, Fault> {
    let clock = Arc::new(StepClock(AtomicI64::new(29_100_000 * MINUTE_NS)));
    Embedded::open(Arc::new(disk.clone()), clock, settings())
}

/// Meters that stay, and events that all count. Nothing is voided: positions in the log are not those of the story.
fn story(seed: u64) -> Story {
    let mut story = Story::random(seed, 700, DAYS);
    story.lines.retain(|line| !matches!(line, Line::Control(_, Control::MeterGone { .. } | Control::Void(_))));
    for line in &mut story.lines {
        if let Line::Event(told) = line {
            told.fate = Fate::Counts;
        }
    }
    story
}

/// Appends lines `from..to` as one append, some of them twice.
async fn append(embedded: &Embedded, story: &Story, dice: &mut Dice, from: usize, to: usize) -> bool {
    let mut append = Append::default();
    for line in &story.lines[from..to] {
        for _ in 0..1 + usize::from(dice.one_in(6)) {
            let start = append.records.len();
            match line {
                Line::Event(told) => told.encode(&mut append.records),
                Line::Control(_, control) => record::encode_control(control, &mut append.records),
            }
            append.lengths.push((append.records.len() - start) as u32);
        }
    }
    embedded.log.append(append).await.is_ok()
}

/// Source, validator, deduper and writer in a few lines: everything in the log gets applied.
async fn run_line(embedded: &Embedded) -> Result<(), String> {
    let known = embedded.usage.controls();
    let mut catalog = known.iter().fold(Catalog::empty(embedded.key), |catalog, (position, control)| {
        catalog.with(*position, control).unwrap_or(catalog)
    });
    loop {
        let from = embedded.usage.applied().next(0);
        let slice = embedded.log.read(Position::new(0, from), 37, 1 << 20).await.map_err(|fault| fault.to_string())?;
        if slice.range.is_empty() {
            return Ok(());
        }
        let mut batch = validate(&slice, &mut catalog);
        dedupe(embedded, &mut batch).await?;
        embedded.usage.apply(batch).await.map_err(|error| error.to_string())?;
    }
}

fn validate(slice: &LogSlice, catalog: &mut Catalog) -> Batch {
    let mut chunks = Vec::new();
    for part in &slice.chunks {
        let mut chunk = Chunk::new(part.bytes.clone(), Arc::new(catalog.clone()));
        for entry in &part.records {
            let bytes = &part.bytes[entry.start as usize..entry.end as usize];
            let position = Position::new(slice.range.partition, entry.offset);
            if record::peek(bytes).expect("a record").1 == Kind::Event {
                let (start, end, at, accepted_at) = (entry.start, entry.end, entry.offset, entry.accepted_at);
                chunk.events.push(Event { start, end, at, position, accepted_at, fate: Fate::Counts });
                measure(&mut chunk);
                continue;
            }
            let control: Control = record::decode_control(bytes).expect("a control record");
            if let Some(next) = catalog.with(position, &control) {
                *catalog = next;
                chunks.push(std::mem::replace(&mut chunk, Chunk::new(part.bytes.clone(), Arc::new(catalog.clone()))));
            }
            chunk.controls.push((position, control));
        }
        chunks.push(chunk);
    }
    chunks.retain(|chunk| !chunk.events.is_empty() || !chunk.controls.is_empty());
    Batch { generation: 1, range: slice.range, chunks }
}

/// Reads the last event of the chunk for its meters.
fn measure(chunk: &mut Chunk) {
    let event = chunk.events.len() - 1;
    let (catalog, bytes, stored) = (chunk.catalog.clone(), chunk.bytes.clone(), chunk.events[event]);
    let view = record::decode_event(&bytes[stored.start as usize..stored.end as usize]).expect("an event");
    let Some(readers) = catalog.readers(view.namespace, view.event_type) else { return };
    let time = view.instant(stored.accepted_at);
    readers.extractor.read(view.data, &catalog.key, &mut chunk.texts, |which, reading, groups| {
        let meter = readers.meters[which];
        let early = catalog.meters[meter as usize].meter.event_from.is_some_and(|from| time < from);
        let reading = if early { Err(crate::domain::metering::extract::NotCounted::BeforeEventFrom) } else { reading };
        let groups = (groups.start as u32, groups.end as u32);
        chunk.measures.push(Measure { event: event as u32, meter, reading, groups });
    });
}

async fn dedupe(embedded: &Embedded, batch: &mut Batch) -> Result<(), String> {
    for chunk in &mut batch.chunks {
        let request = |event: &Event| {
            let view = chunk.view(event).expect("an event");
            let data = view.data.map(str::as_bytes);
            ClaimRequest {
                id: embedded.key.event_id(view.namespace, view.source, view.id),
                digest: payload_digest(view.event_type, view.subject, view.time_text, data),
                position: event.position,
                accepted_at: event.accepted_at,
                window_ns: i64::from(chunk.catalog.dedupe_window_days) * 24 * 60 * MINUTE_NS,
            }
        };
        let requests: Vec<ClaimRequest> = chunk.events.iter().map(request).collect();
        let claims = embedded.index.claim(&requests).await.map_err(|fault| fault.to_string())?;
        for (event, claim) in chunk.events.iter_mut().zip(claims) {
            event.fate = match claim {
                Claim::Won | Claim::WonBefore => Fate::Counts,
                Claim::Duplicate { winner } => Fate::Duplicate { winner },
                Claim::Conflict { winner } => Fate::Conflict { winner },
            };
        }
    }
    Ok(())
}

/// What was told up to a line, as a story of its own.
fn told(story: &Story, lines: usize) -> Story {
    Story { lines: story.lines[..lines].to_vec(), meters: story.meters.clone(), ..*story }
}

async fn compare(embedded: &Embedded, story: &Story, questions: &[UsageQuery], seed: u64) {
    for query in questions {
        let rows = embedded.usage.usage(query.clone()).await.expect("an answer").rows;
        assert_eq!(rows, answer(story, u64::MAX, query), "seed {seed}: {query:#?}");
    }
}

fn questions(story: &Story, dice: &mut Dice, count: usize) -> Vec<UsageQuery> {
    let mut one = || {
        let meter = dice.pick(&story.meters).clone();
        question(dice, &meter, DAYS)
    };
    (0..count).map(|_| one()).collect()
}

#[test]
fn through_kills_and_power_cuts_every_acknowledged_event_counts_once_and_segments_go() {
    let (mut deleted, mut crashes) = (0, 0);
    for seed in 1..=24 {
        runtime().block_on(async {
            let story = story(seed);
            let mut dice = Dice::new(seed);
            let mut disk = SimDisk::new(seed);
            let mut embedded = open(&disk).expect("a new directory");
            let mut acknowledged = 0;
            while acknowledged < story.lines.len() {
                if dice.one_in(3) {
                    disk.power_cut_after(dice.roll(2_000));
                }
                for _ in 0..dice.roll(12) {
                    let to = (acknowledged + 1 + dice.roll(9) as usize).min(story.lines.len());
                    if !append(&embedded, &story, &mut dice, acknowledged, to).await {
                        break;
                    }
                    acknowledged = to;
                }
                let off = async {
                    while disk.is_on() {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    ran = run_line(&embedded) => assert!(ran.is_ok() || !disk.is_on(), "seed {seed}: {ran:?}"),
                    () = off => {}
                }
                deleted += embedded.log.snapshot().deleted_segments;
                if !disk.is_on() || dice.one_in(3) {
                    let power_cut = !disk.is_on() || dice.one_in(2);
                    disk = if power_cut { disk.restart() } else { disk.kill() };
                    drop(embedded);
                    embedded = open(&disk).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
                    run_line(&embedded).await.expect("the power is on");
                    // An append of which nobody was told may be there: the client sends it again, which is safe.
                    let to = (acknowledged + 9).min(story.lines.len());
                    assert!(append(&embedded, &story, &mut dice, acknowledged, to).await);
                    acknowledged = to;
                    run_line(&embedded).await.expect("the power is on");
                    compare(&embedded, &told(&story, acknowledged), &questions(&story, &mut dice, 4), seed).await;
                    crashes += 1;
                }
            }
            // A last time, onto a disk that stays on.
            disk = disk.kill();
            drop(embedded);
            embedded = open(&disk).expect("the directory again");
            run_until_done(&embedded).await;
            compare(&embedded, &story, &questions(&story, &mut dice, 30), seed).await;
        });
    }
    assert!(deleted > 0 && crashes > 10, "{deleted} segments deleted, {crashes} crashes: this proved nothing");
}

async fn run_until_done(embedded: &Embedded) {
    run_line(embedded).await.expect("the power is on");
    settle(&embedded.usage).await;
}

/// A directory in which everything has happened, closed in order.
fn lived_in(seed: u64) -> (SimDisk, Story) {
    let disk = SimDisk::new(seed);
    let story = story(seed);
    runtime().block_on(async {
        let embedded = open(&disk).expect("a new directory");
        let mut dice = Dice::new(seed);
        for from in (0..story.lines.len()).step_by(10) {
            let to = (from + 10).min(story.lines.len());
            assert!(append(&embedded, &story, &mut dice, from, to).await);
            run_line(&embedded).await.expect("the line runs");
        }
        run_until_done(&embedded).await;
        embedded.close().await.expect("an orderly close");
    });
    (disk, story)
}

/// Everything under one identity; `source` makes the id index say where to look.
fn under(namespace: &str, source: Option<&str>, id: &str) -> EventsQuery {
    EventsQuery { identity: Some((source.map(str::to_string), id.into())), ..EventsQuery::newest(namespace, 100) }
}

#[test]
fn an_event_asked_for_by_its_identity_is_found_where_the_id_index_says_and_nothing_is_missed() {
    let (disk, _) = lived_in(7);
    runtime().block_on(async {
        let embedded = open(&disk).expect("the directory again");
        // Merges read blocks, too: they are done first.
        run_until_done(&embedded).await;
        let all = embedded.usage.events(EventsQuery::newest("default", 10_000)).await.expect("a list");
        assert!(all.len() > 100, "{} events are no test", all.len());
        let read = || embedded.usage.snapshot().blocks_read;
        let (mut by_index, mut by_scan) = (0, 0);
        for event in all.iter().step_by(7) {
            let before = read();
            let found = embedded.usage.events(under("default", Some(&event.source), &event.id)).await.expect("found");
            by_index += read() - before;
            let before = read();
            let mut scanned = embedded.usage.events(under("default", None, &event.id)).await.expect("scanned");
            by_scan += read() - before;
            scanned.retain(|other| other.source == event.source);
            assert_eq!(found, scanned, "{} of {}", event.id, event.source);
            assert!(found.iter().any(|found| found.position == event.position));
        }
        // With one merged file both read the same.
        assert!(by_index <= by_scan, "{by_index} blocks by the index, {by_scan} by scanning");
        assert!(embedded.usage.events(under("default", Some("nobody"), "nothing")).await.expect("none").is_empty());
    });
}

#[test]
fn a_rebuild_gives_the_same_answers_and_knows_the_same_ids() {
    let (disk, story) = lived_in(5);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut steps = Vec::new();
    let report = rebuild(&shared, &settings(), &mut |step| steps.push(step)).expect("rebuilt");
    assert_eq!((report.ids, report.rivals), (story.events().count() as u64, 0));
    assert!(steps.iter().any(|step| matches!(step, RebuildStep::Ids { .. })));
    runtime().block_on(async {
        let embedded = open(&disk).expect("the directory again");
        let mut dice = Dice::new(5);
        compare(&embedded, &story, &questions(&story, &mut dice, 60), 5).await;
        let events = embedded.usage.snapshot().events;
        assert!(append(&embedded, &story, &mut dice, 0, story.lines.len()).await);
        run_until_done(&embedded).await;
        assert_eq!(embedded.usage.snapshot().events, events, "all were known");
        compare(&embedded, &story, &questions(&story, &mut dice, 20), 5).await;
    });
}

#[test]
fn an_interrupted_rebuild_has_to_be_run_again_and_then_is_whole() {
    let (disk, story) = lived_in(6);
    let mut interrupted = 0;
    let mut disk = disk;
    for operations in [3, 10, 30, 60, 100, 200] {
        disk.power_cut_after(operations);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let done = rebuild(&shared, &settings(), &mut |_| {});
        interrupted += usize::from(done.is_err());
        disk = disk.restart();
    }
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    rebuild(&shared, &settings(), &mut |_| {}).expect("rebuilt");
    assert!(interrupted > 2, "{interrupted} interruptions proved nothing");
    runtime().block_on(async {
        let embedded = open(&disk).expect("the directory again");
        compare(&embedded, &story, &questions(&story, &mut Dice::new(6), 40), 6).await;
    });
}

fn empty(disk: &SimDisk, dir: &str) {
    for name in disk.list(Path::new(dir)).expect("a directory") {
        disk.remove(&Path::new(dir).join(name)).expect("removed");
    }
    disk.sync_dir(Path::new(dir)).expect("synced");
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_name() {
    for (lost, expected) in [("log", "the log ends at"), ("ids", "doctor --rebuild")] {
        let (disk, _) = lived_in(8);
        empty(&disk, lost);
        let fault = runtime().block_on(async { open(&disk).err().expect("refused") });
        assert!(fault.message.contains(expected), "{lost}: {fault}");
    }
    let (disk, _) = lived_in(8);
    disk.remove(Path::new("key")).expect("removed");
    let fault = open(&disk).err().expect("refused");
    assert!(fault.message.contains("key"), "{fault}");
}

#[test]
fn settings_that_make_no_sense_are_named_with_their_part() {
    let mut wrong = settings();
    (wrong.usage.rows_max, wrong.ids.merge_factor) = (0, 1);
    let mistakes = wrong.validate().join("; ");
    assert!(mistakes.contains("usage.rows_max") && mistakes.contains("ids.merge_factor"), "{mistakes}");
}
