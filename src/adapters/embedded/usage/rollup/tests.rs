//! Rollups against a naive map of cells, and what disks do to them.

use super::*;
use crate::adapters::embedded::disk::{Disk, DiskFile, SimDisk};
use crate::domain::digest::HashKey;
use crate::domain::metering::extract::{NotCounted, Reading};
use crate::domain::metering::plan::{self, Minutes};
use crate::domain::metering::{Aggregation, Batch, Catalog, Chunk, Event, Fate, Measure, Meter};
use crate::domain::number::Value;
use crate::domain::position::{Frontier, Position, Range};
use crate::domain::record::{Control, EventView, encode_event};
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ulid::Ulid;

const KEY: HashKey = HashKey(11, 22);
const AGGREGATIONS: [Aggregation; 7] = [
    Aggregation::Sum,
    Aggregation::Count,
    Aggregation::Avg,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::UniqueCount,
    Aggregation::Latest,
];
/// The minute where the tests' time begins: 2025-06-01T00:00Z.
const START: i64 = 1_748_736_000 / 60;

/// splitmix64: the same numbers from the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One meter per aggregation; the version of each is its number plus one.
fn catalog() -> Arc<Catalog> {
    let mut catalog = Catalog::empty(KEY);
    for (index, aggregation) in AGGREGATIONS.into_iter().enumerate() {
        let at = Instant::from_nanos(0);
        let meter = Meter {
            id: Ulid(1_000 + index as u128),
            version: Ulid(1 + index as u128),
            namespace: "default".into(),
            slug: format!("meter{index}"),
            name: String::new(),
            description: None,
            aggregation,
            event_type: "t".into(),
            event_from: None,
            value_property: (aggregation != Aggregation::Count).then(|| "$.v".into()),
            group_by: BTreeMap::new(),
            metadata: None,
            created_at: at,
            updated_at: at,
        };
        let position = Position::new(0, index as u64);
        catalog = catalog.with(position, &Control::MeterLive(Arc::new(meter))).unwrap();
    }
    Arc::new(catalog)
}

/// An event in words.
#[derive(Debug, Clone)]
struct Told {
    offset: u64,
    time: Option<Instant>,
    accepted_at: Instant,
    fate: Fate,
    subject: String,
    measures: Vec<(u32, Result<Reading, NotCounted>, String)>,
}

fn batch(catalog: &Arc<Catalog>, events: &[Told]) -> Batch {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for told in events {
        let start = bytes.len() as u32;
        let view = EventView {
            namespace: "default",
            id: "i",
            source: "s",
            event_type: "t",
            subject: &told.subject,
            specversion: "1.0",
            time_text: told.time.map(|_| "as sent"),
            time: told.time,
            dataschema: None,
            datacontenttype: None,
            extensions: "",
            data: None,
        };
        encode_event(&view, &mut bytes);
        places.push((start, bytes.len() as u32));
    }
    let mut chunk = Chunk::new(bytes.into(), catalog.clone());
    for (index, (told, (start, end))) in events.iter().zip(places).enumerate() {
        let position = Position::new(0, told.offset);
        let (at, accepted_at, fate) = (told.offset, told.accepted_at, told.fate);
        chunk.events.push(Event { start, end, at, position, accepted_at, fate });
        for (meter, reading, groups) in &told.measures {
            let from = chunk.texts.len() as u32;
            chunk.texts.extend_from_slice(groups.as_bytes());
            let groups = (from, chunk.texts.len() as u32);
            chunk.measures.push(Measure { event: index as u32, meter: *meter, reading: *reading, groups });
        }
    }
    let (from, to) = (events[0].offset, events[events.len() - 1].offset + 1);
    Batch { generation: 0, range: Range::new(0, from, to), chunks: vec![chunk] }
}

fn value(number: u64) -> Reading {
    Reading::Value(Value::parse(&format!("{number}e-2")).unwrap())
}

fn told(dice: &mut Dice, offset: u64, minutes: u64) -> Told {
    let minute = START + dice.below(minutes) as i64;
    let time = Instant::from_nanos(minute * MINUTE_NS + dice.below(3) as i64);
    let accepted_at = Instant::from_nanos((START + minutes as i64) * MINUTE_NS);
    let fate = if dice.one_in(9) { Fate::Duplicate { winner: Position::new(0, 0) } } else { Fate::Counts };
    let measures = (0..AGGREGATIONS.len() as u32).filter(|_| dice.one_in(2)).collect::<Vec<_>>();
    let measures = measures.into_iter().map(|meter| {
        let reading = match (dice.below(12), AGGREGATIONS[meter as usize]) {
            (0, _) => Err(NotCounted::NullValue),
            (1, _) => Err(NotCounted::BeforeEventFrom),
            (_, Aggregation::Count) => Ok(Reading::One),
            (_, Aggregation::UniqueCount) => Ok(Reading::Distinct(u128::from(dice.below(40)) << 90)),
            _ => Ok(value(dice.below(5_000))),
        };
        (meter, reading, format!("g{}", dice.below(3)))
    });
    let measures = measures.collect();
    let subject = format!("s{}", dice.below(6));
    Told { offset, time: (!dice.one_in(20)).then_some(time), accepted_at, fate, subject, measures }
}

type Row = (u128, String, String, i64);
type Cells = BTreeMap<Row, Cell>;

/// What the rows must be, cell by cell.
#[derive(Default)]
struct Naive {
    cells: Cells,
}

impl Naive {
    fn add(&mut self, told: &Told) {
        for (meter, reading, groups) in &told.measures {
            if told.fate != Fate::Counts || *reading == Err(NotCounted::BeforeEventFrom) {
                continue;
            }
            let time = told.time.unwrap_or(told.accepted_at);
            let aggregation = AGGREGATIONS[*meter as usize];
            let cell = Cell::of(aggregation, time, Position::new(0, told.offset), reading.ok());
            let row = (u128::from(*meter) + 1, told.subject.clone(), groups.clone(), time.minute());
            merge_into(&mut self.cells, row, &cell);
        }
    }

    /// What a scan must show: rows of each level's stretches, folded into its buckets.
    fn expect(&self, scan: &RowScan<'_>, unit: Option<(i64, i64, i64)>) -> Cells {
        let mut expected = Cells::new();
        for ((meter, subject, groups, minute), cell) in &self.cells {
            let wanted = |list: &[Minutes]| list.iter().any(|stretch| stretch.contains(minute));
            let of_subject = scan.subjects.is_none_or(|list| list.iter().any(|(_, text)| text == subject));
            if *meter != scan.meter || !of_subject {
                continue;
            }
            let (day, hour, each) = unit.unwrap_or((1, 1, 1));
            for (list, unit) in [(scan.days, day), (scan.hours, hour), (scan.minutes, each)] {
                if wanted(list) {
                    let bucket = minute.div_euclid(unit) * unit;
                    merge_into(&mut expected, (*meter, subject.clone(), groups.clone(), bucket), cell);
                }
            }
        }
        expected
    }
}

const BUCKETS: Option<(i64, i64, i64)> = Some((plan::DAY, plan::HOUR, 1));

fn merge_into(cells: &mut Cells, row: Row, cell: &Cell) {
    cells.entry(row).and_modify(|all| all.merge(cell)).or_insert_with(|| cell.clone());
}

fn collect(cells: &mut Cells) -> impl FnMut(&Series, i64, &Cell) + '_ {
    |series, bucket, cell| {
        let groups = String::from_utf8(series.groups.to_vec()).unwrap();
        assert_eq!(series.id, KEY.series(series.meter, &series.subject, &series.groups));
        merge_into(cells, (series.meter, series.subject.to_string(), groups, bucket), cell);
    }
}

/// Disjoint stretches of whole buckets from `from` on, and everything else left out.
fn stretches(dice: &mut Dice, from: i64, minutes: u64, unit: i64) -> Vec<Minutes> {
    let mut list: Vec<Minutes> = Vec::new();
    let mut at = (from.div_euclid(unit) + i64::from(from.rem_euclid(unit) != 0)) * unit;
    while at < START + minutes as i64 + unit && !dice.one_in(12) {
        let longest = if dice.one_in(3) { 40 } else { 3 };
        let length = (1 + dice.below(longest) as i64) * unit;
        list.push(at..at + length);
        at += length + (1 + dice.below(4) as i64) * unit;
    }
    list
}

struct Scene {
    disk: SimDisk,
    cache: Arc<BlockCache>,
    files: usize,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed), cache: BlockCache::new(1 << 20), files: 0 }
    }

    fn name(&mut self) -> String {
        self.files += 1;
        format!("r{}.run", self.files)
    }

    fn seal(&mut self, rows: &MemoryRows) -> Arc<Run> {
        let name = self.name();
        let stats = Run::write(&self.disk, Path::new(&name), rows, &Frontier::at(0, 9)).unwrap();
        assert_eq!((stats.minute_rows, stats.series), (rows.rows() as u64, rows.series() as u64));
        self.open(&name, stats)
    }

    fn merge(&mut self, runs: &[Arc<Run>], retain: &Retain<'_>) -> Arc<Run> {
        let name = self.name();
        let stats = Run::merge(&self.disk, Path::new(&name), runs, retain, &Frontier::at(0, 9)).unwrap();
        assert!(stats.bytes_read > 0);
        self.open(&name, RunStats { bytes_read: 0, ..stats })
    }

    fn open(&self, name: &str, stats: RunStats) -> Arc<Run> {
        let run = Run::open(&self.disk, Path::new(name), self.cache.clone()).unwrap();
        assert_eq!((run.stats(), run.covers()), (stats, &Frontier::at(0, 9)));
        Arc::new(run)
    }
}

static NOTHING: Days = Days::new();

fn keep_all() -> Retain<'static> {
    Retain { minutes_from: i64::MIN, meter: &|_| true, without: &NOTHING }
}

/// Cuts a list into parts of random length.
fn cut<'a, T>(dice: &mut Dice, list: &'a [T], longest: u64) -> Vec<&'a [T]> {
    let (mut parts, mut rest) = (Vec::new(), list);
    while !rest.is_empty() {
        let (part, others) = rest.split_at((1 + dice.below(longest) as usize).min(rest.len()));
        parts.push(part);
        rest = others;
    }
    parts
}

#[test]
fn rows_however_batched_sealed_and_merged_are_those_of_a_naive_map() {
    let (mut dropped, mut removed, mut rows_seen) = (0, 0, 0);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let minutes = [50, 300, 6_000][dice.below(3) as usize];
        let events: Vec<Told> = (0..40 + dice.below(500)).map(|offset| told(&mut dice, offset, minutes)).collect();
        let (catalog, mut naive, mut builder) = (catalog(), Naive::default(), RowBuilder::new());
        events.iter().for_each(|told| naive.add(told));
        let parts: Vec<Arc<MemoryRows>> = cut(&mut dice, &events, 60)
            .into_iter()
            .map(|part| Arc::new(builder.rows(&batch(&catalog, part))))
            .collect();
        let mut scene = Scene::new(seed);
        let mut runs: Vec<Arc<Run>> =
            cut(&mut dice, &parts, 5).into_iter().map(|part| scene.seal(&MemoryRows::merge(part))).collect();
        let gone = if dice.one_in(3) { 1 + u128::from(dice.below(7)) } else { 99 };
        let mut floor = i64::MIN;
        for _ in 0..dice.below(4) {
            let start = dice.below(runs.len() as u64) as usize;
            let some: Vec<Arc<Run>> = runs.drain(start..).collect();
            let minutes_from = if dice.one_in(2) { i64::MIN } else { START + dice.below(minutes) as i64 };
            let merged = scene.merge(&some, &Retain { minutes_from, meter: &|meter| meter != gone, without: &NOTHING });
            floor = floor.max(merged.minute_floor().unwrap_or(i64::MIN));
            dropped += u64::from(merged.minute_floor().is_some());
            removed += u64::from(!merged.has(gone).unwrap() && some.iter().any(|run| run.has(gone).unwrap()));
            runs.insert(0, merged);
        }
        for round in 0..12 {
            let meter = 1 + u128::from(dice.below(7));
            let days = stretches(&mut dice, START, minutes, plan::DAY);
            let hours = stretches(&mut dice, START, minutes, plan::HOUR);
            let minutes = stretches(&mut dice, floor.max(START), minutes, 1);
            let names: Vec<String> = (0..dice.below(4)).map(|n| format!("s{}", n * 2)).collect();
            let subjects: Vec<(u64, &str)> =
                names.iter().map(|name| (KEY.subject_prefix(meter, name), name.as_str())).collect();
            let subjects = (!dice.one_in(3)).then_some(&subjects[..]);
            let scan = RowScan { meter, subjects, days: &days, hours: &hours, minutes: &minutes };
            let (mut in_memory, mut on_disk) = (Cells::new(), Cells::new());
            parts.iter().for_each(|part| part.scan(&scan, &mut collect(&mut in_memory)));
            // In memory a row that two lists want is shown once.
            let all: Vec<Minutes> = [&days[..], &hours, &minutes].concat();
            let union = RowScan { days: &[], hours: &[], minutes: &all, ..scan };
            assert_eq!(in_memory, naive.expect(&union, None), "seed {seed}, round {round}");
            if meter != gone {
                runs.iter().for_each(|run| run.scan(&scan, &mut collect(&mut on_disk)).unwrap());
                assert_eq!(on_disk, naive.expect(&scan, BUCKETS), "seed {seed}, round {round}");
                rows_seen += on_disk.len();
            }
        }
    }
    assert!(dropped > 20 && removed > 5 && rows_seen > 10_000, "proved little: {dropped} {removed} {rows_seen}");
}

#[test]
fn merged_memory_rows_do_not_depend_on_how_they_were_merged() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let catalog = catalog();
        let events: Vec<Told> = (0..300).map(|offset| told(&mut dice, offset, 100)).collect();
        let at_once = MemoryRows::of(&batch(&catalog, &events));
        let parts: Vec<_> = cut(&mut dice, &events, 40)
            .into_iter()
            .map(|part| Arc::new(MemoryRows::of(&batch(&catalog, part))))
            .collect();
        let halves = [MemoryRows::merge(&parts[..2]), MemoryRows::merge(&parts[2..])].map(Arc::new);
        let merged = MemoryRows::merge(&halves);
        let mut scene = Scene::new(seed);
        let lengths = [at_once, merged].map(|rows| (rows.rows(), scene.seal(&rows).stats()));
        assert_eq!(lengths[0], lengths[1], "seed {seed}");
    }
}

#[test]
fn an_event_before_its_meters_start_leaves_no_trace_and_one_without_a_value_moves_bounds_only() {
    let sum = |offset, minute, reading| Told {
        offset,
        time: Some(Instant::from_nanos((START + minute) * MINUTE_NS)),
        accepted_at: Instant::from_nanos(0),
        fate: Fate::Counts,
        subject: "acme".into(),
        measures: vec![(0, reading, String::new())],
    };
    let events = [
        sum(0, 1, Err(NotCounted::BeforeEventFrom)),
        sum(1, 5, Err(NotCounted::NoData)),
        sum(2, 7, Ok(value(700))),
        Told { fate: Fate::Quarantined, ..sum(3, 9, Ok(value(100))) },
    ];
    let rows = MemoryRows::of(&batch(&catalog(), &events));
    assert_eq!((rows.rows(), rows.bounds(1), rows.bounds(2)), (2, Some(START + 5..START + 8), None));
    let run = Scene::new(1).seal(&rows);
    assert_eq!((run.bounds(1).unwrap(), run.bounds(2).unwrap()), (Some(START + 5..START + 8), None));
    let mut found = Cells::new();
    let day = START.div_euclid(plan::DAY) * plan::DAY;
    let days = stretch(day, plan::DAY);
    let scan = RowScan { meter: 1, subjects: None, days: &days, hours: &[], minutes: &[] };
    run.scan(&scan, &mut collect(&mut found)).unwrap();
    let cell = &found[&(1, "acme".into(), String::new(), day)];
    assert_eq!((cell.first_minute, cell.last_minute), (START + 5, START + 7));
    assert_eq!(cell.state.value(Aggregation::Sum).unwrap().to_plain(), "7");
}

#[test]
fn a_redriven_event_is_the_latest_by_the_position_it_had_first() {
    let latest = |offset, number| Told {
        offset,
        time: Some(Instant::from_nanos(START * MINUTE_NS)),
        accepted_at: Instant::from_nanos(0),
        fate: Fate::Counts,
        subject: "acme".into(),
        measures: vec![(6, Ok(value(number)), String::new())],
    };
    let mut batch = batch(&catalog(), &[latest(10, 100), latest(20, 200)]);
    batch.chunks[0].events[1].position = Position::new(0, 3);
    let mut found = Cells::new();
    let minutes = stretch(START, 1);
    let scan = RowScan { meter: 7, subjects: None, days: &[], hours: &[], minutes: &minutes };
    MemoryRows::of(&batch).scan(&scan, &mut collect(&mut found));
    let cell = found.values().next().unwrap();
    assert_eq!(cell.state.value(Aggregation::Latest).unwrap().to_plain(), "1");
}

#[test]
fn a_subject_is_known_by_its_text_not_by_its_hash() {
    let mut dice = Dice(3);
    let events: Vec<Told> = (0..100).map(|offset| told(&mut dice, offset, 10)).collect();
    let rows = MemoryRows::of(&batch(&catalog(), &events));
    let run = Scene::new(3).seal(&rows);
    let minutes = stretch(START, 100);
    for (subject, there) in [("s1", true), ("somebody else", false)] {
        let subjects = [(KEY.subject_prefix(2, "s1"), subject)];
        let scan = RowScan { meter: 2, subjects: Some(&subjects), days: &[], hours: &[], minutes: &minutes };
        let (mut memory, mut disk) = (Cells::new(), Cells::new());
        rows.scan(&scan, &mut collect(&mut memory));
        run.scan(&scan, &mut collect(&mut disk)).unwrap();
        assert_eq!((memory.is_empty(), disk.is_empty()), (!there, !there), "{subject}");
    }
}

fn large_run(scene: &mut Scene, seed: u64, events: u64) -> Arc<Run> {
    let mut dice = Dice(seed);
    let events: Vec<Told> = (0..events).map(|offset| told(&mut dice, offset, 40_000)).collect();
    scene.seal(&MemoryRows::of(&batch(&catalog(), &events)))
}

/// One stretch.
fn stretch(from: i64, minutes: i64) -> [Minutes; 1] {
    std::array::from_fn(|_| from..from + minutes)
}

fn always() -> [Minutes; 1] {
    stretch(-1_440_000_000, 2_880_000_000)
}

fn read_all(run: &Run) -> Result<usize, crate::domain::fault::Fault> {
    let mut rows = 0;
    let always = always();
    for meter in run.meters() {
        let scan = RowScan { meter, subjects: None, days: &always, hours: &always, minutes: &always };
        run.scan(&scan, &mut |_, _, _| rows += 1)?;
    }
    Ok(rows)
}

#[test]
fn every_flipped_bit_is_found_at_open_or_read_and_named() {
    let mut scene = Scene::new(5);
    let run = large_run(&mut scene, 5, 1_500);
    let (bits, all) = (run.stats().bytes * 8, read_all(&run).unwrap());
    let path = Path::new("r1.run");
    let every = bits / 400;
    for bit in (0..200).chain(bits - 300..bits).chain((0..bits).step_by(every as usize)) {
        scene.disk.flip_bit(path, bit);
        let found = Run::open(&scene.disk, path, BlockCache::new(1 << 20)).and_then(|run| read_all(&run));
        let fault = found.expect_err("a flipped bit is found").to_string();
        assert!(fault.contains("r1.run: offset "), "bit {bit}: {fault}");
        scene.disk.flip_bit(path, bit);
    }
    let again = Run::open(&scene.disk, path, BlockCache::new(1 << 20)).unwrap();
    assert_eq!(read_all(&again).unwrap(), all);
}

#[test]
fn a_run_that_is_cut_short_or_too_new_is_refused_by_name() {
    let mut scene = Scene::new(6);
    let run = large_run(&mut scene, 6, 50);
    let path = Path::new("r1.run");
    let file = scene.disk.open(path).unwrap();
    let mut header = [0; 16];
    file.read_at(0, &mut header).unwrap();
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    let refusal = |scene: &Scene| Run::open(&scene.disk, path, scene.cache.clone()).err().unwrap().to_string();
    file.write_at(0, &header).unwrap();
    assert!(refusal(&scene).contains("rollup format 2 is unknown"), "{}", refusal(&scene));
    header[8] = 1;
    let crc = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    file.write_at(0, &header).unwrap();
    for length in [run.stats().bytes - 1, 40, 16, 3, 0] {
        file.truncate(length).unwrap();
        assert!(refusal(&scene).starts_with("usage store: r1.run: offset "), "{length}");
    }
}

#[test]
fn a_run_survives_a_power_cut_once_it_is_written() {
    let mut scene = Scene::new(7);
    let all = read_all(&large_run(&mut scene, 7, 200)).unwrap();
    scene.disk.power_cut();
    let disk = scene.disk.restart();
    let run = Run::open(&disk, Path::new("r1.run"), scene.cache.clone()).unwrap();
    assert_eq!(read_all(&run).unwrap(), all);
}

/// Remembers the longest read and write.
struct Watched<'a> {
    disk: &'a SimDisk,
    longest: Arc<AtomicU64>,
}

struct WatchedFile {
    file: Arc<dyn DiskFile>,
    longest: Arc<AtomicU64>,
}

impl Disk for Watched<'_> {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(WatchedFile { file: self.disk.open(path)?, longest: self.longest.clone() }))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(WatchedFile { file: self.disk.create(path)?, longest: self.longest.clone() }))
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.longest.fetch_max(buffer.len() as u64, Ordering::Relaxed);
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.longest.fetch_max(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(offset, bytes)
    }
    fn write_parts_at(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.file.write_parts_at(offset, parts)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn a_merge_reads_and_writes_in_pieces_whatever_the_size_of_the_runs() {
    let mut scene = Scene::new(8);
    let bytes: u64 = (0..4).map(|seed| large_run(&mut scene, seed, 8_000).stats().bytes).sum();
    let longest = Arc::new(AtomicU64::new(0));
    let disk = Watched { disk: &scene.disk, longest: longest.clone() };
    let open = |n| Arc::new(Run::open(&disk, Path::new(&format!("r{n}.run")), scene.cache.clone()).unwrap());
    let runs: Vec<Arc<Run>> = (1..=4).map(open).collect();
    Run::merge(&disk, Path::new("merged.run"), &runs, &keep_all(), &Frontier::default()).unwrap();
    let longest = longest.load(Ordering::Relaxed);
    assert!(bytes > 3 * 300 * 1024, "{bytes} bytes in all prove little");
    assert!(longest < 300 * 1024, "one read or write of {longest} bytes");
}

#[test]
fn one_subjects_month_reads_a_few_blocks() {
    let mut scene = Scene::new(9);
    large_run(&mut scene, 9, 8_000);
    let cache = BlockCache::new(1 << 20);
    let run = Run::open(&scene.disk, Path::new("r1.run"), cache.clone()).unwrap();
    let subjects = [(KEY.subject_prefix(2, "s3"), "s3")];
    let always = always();
    let scan = RowScan { meter: 2, subjects: Some(&subjects), days: &always, hours: &[], minutes: &[] };
    let mut rows = 0;
    run.scan(&scan, &mut |_, _, _| rows += 1).unwrap();
    assert!(rows > 60, "{rows}");
    let (_, misses) = cache.hits_and_misses();
    assert!(misses <= 6, "{misses} blocks read");
}

#[test]
fn a_merge_of_nothing_that_is_kept_is_an_empty_run() {
    let mut scene = Scene::new(10);
    let run = large_run(&mut scene, 10, 100);
    let merged = scene.merge(&[run], &Retain { minutes_from: i64::MIN, meter: &|_| false, without: &NOTHING });
    assert_eq!((merged.stats().series, read_all(&merged).unwrap(), merged.minute_floor()), (0, 0, None));
}

#[test]
fn days_of_a_subject_are_left_out_of_a_merge_at_every_level_and_nothing_else() {
    let (mut left_out, mut kept) = (0, 0);
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let events: Vec<Told> = (0..400).map(|offset| told(&mut dice, offset, 6_000)).collect();
        let (catalog, mut builder, mut scene) = (catalog(), RowBuilder::new(), Scene::new(seed));
        let seal = |part: &[Told]| scene.seal(&builder.rows(&batch(&catalog, part)));
        let runs: Vec<Arc<Run>> = events.chunks(100).map(seal).collect();
        let first = START.div_euclid(plan::DAY) * plan::DAY + plan::DAY * dice.below(3) as i64;
        let day = first..first + plan::DAY;
        let hurt: Vec<u128> = (1..8).filter(|_| dice.one_in(2)).collect();
        let subject = "s2";
        let of_subject = BTreeMap::from([(subject.as_bytes().to_vec(), vec![day.clone()])]);
        let without: Days = hurt.iter().map(|meter| (*meter, of_subject.clone())).collect();
        let merged = scene.merge(&runs, &Retain { minutes_from: i64::MIN, meter: &|_| true, without: &without });
        for meter in 1..8 {
            let all = [Minutes { start: first - 10 * plan::DAY, end: first + 10 * plan::DAY }];
            for (days, hours, minutes) in [(&all[..], &[][..], &[][..]), (&[], &all[..], &[]), (&[], &[], &all[..])] {
                let scan = RowScan { meter, subjects: None, days, hours, minutes };
                let (mut before, mut after) = (Cells::new(), Cells::new());
                runs.iter().for_each(|run| run.scan(&scan, &mut collect(&mut before)).unwrap());
                merged.scan(&scan, &mut collect(&mut after)).unwrap();
                let is_out = |(_, of, _, bucket): &Row| hurt.contains(&meter) && of == subject && day.contains(bucket);
                let expected: Cells = before.clone().into_iter().filter(|(row, _)| !is_out(row)).collect();
                assert_eq!(after, expected, "seed {seed}, meter {meter}");
                left_out += before.len() - after.len();
                kept += after.len();
            }
        }
    }
    assert!(left_out > 50 && kept > 1_000, "proved little: {left_out} {kept}");
}
