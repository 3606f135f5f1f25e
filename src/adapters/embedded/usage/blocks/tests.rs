//! Event files against a plain list of the same events.

use super::*;
use crate::adapters::embedded::disk::SimDisk;
use crate::domain::digest::HashKey;
use crate::domain::metering::{Catalog, Chunk, Event};
use crate::domain::record::{Control, decode_event, encode_control, encode_event};
use crate::ports::event_log::{LogChunk, LogRecord, LogSlice};
use proptest::prelude::*;

/// Cases of each property: a file is written for each.
const CASES: u32 = 48;

/// One event as it was logged, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logged {
    pub at: u64,
    pub position: Position,
    pub accepted_at: Instant,
    pub fate: Fate,
    pub record: Vec<u8>,
}

/// Numbers from which an event is made.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    key: (u8, u8, u8),
    pub id: String,
    time: Option<(i64, u8)>,
    data_bytes: usize,
    odd: u8,
    fate: u8,
    gap: u64,
    wait_ns: i64,
}

pub(crate) fn seed() -> impl Strategy<Value = Seed> {
    let id = "[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[a-zA-Zé]{1,20}";
    let data_bytes = prop_oneof![6 => 0usize..200, 1 => 20_000usize..60_000];
    let time = proptest::option::of((0i64..40, 0u8..5));
    ((0u8..2, 0u8..2, 0u8..4), id, time, data_bytes, any::<u8>(), 0u8..12, 1u64..4, 0i64..3).prop_map(
        |(key, id, time, data_bytes, odd, fate, gap, wait)| Seed {
            key,
            id,
            time,
            data_bytes,
            odd,
            fate,
            gap,
            wait_ns: wait * 1_000,
        },
    )
}

/// Makes the events that follow `from`; answers them and where they end.
pub(crate) fn logged(seeds: &[Seed], from: u64) -> (Vec<Logged>, u64) {
    let mut at = from;
    let mut accepted = 1_700_000_000_000_000_000 + from as i64 * 1_000;
    let events = seeds.iter().map(|seed| {
        at += seed.gap;
        accepted += seed.wait_ns;
        let earlier = Position::new(0, at.saturating_sub(5));
        let fate = match seed.fate {
            0 => Fate::Duplicate { winner: earlier },
            1 => Fate::Conflict { winner: Position::new(3, at + 7) },
            2 => Fate::Quarantined,
            _ => Fate::Counts,
        };
        let position = if seed.fate == 3 { earlier } else { Position::new(0, at) };
        Logged { at, position, accepted_at: Instant::from_nanos(accepted), fate, record: record(seed) }
    });
    let events: Vec<Logged> = events.collect();
    (events, at + 2)
}

fn record(seed: &Seed) -> Vec<u8> {
    let time = seed.time.map(|(tick, _)| Instant::from_nanos(1_600_000_000_000_000_000 + tick * 250_000_000));
    let text = seed.time.zip(time).map(|((_, form), time)| match form {
        0 | 1 => time.to_rfc3339(),
        2 => time.to_rfc3339().replace('Z', "+00:00"),
        3 => "2020-09-13T14:26:40.123+02:00".into(),
        _ => "whatever stands here comes back".into(),
    });
    let subject = format!("subject-{}", seed.key.2);
    let data = format!("{{\"n\":{},\"pad\":\"{}\"}}", seed.odd, "ab".repeat(seed.data_bytes / 2));
    let event = EventView {
        namespace: ["default", "other"][usize::from(seed.key.0)],
        id: &seed.id,
        source: ["/a", "https://example.com/b"][usize::from(seed.odd & 1)],
        event_type: ["request", "tokens"][usize::from(seed.key.1)],
        subject: &subject,
        specversion: "1.0",
        time_text: text.as_deref(),
        time,
        dataschema: (seed.odd & 2 != 0).then_some("https://example.com/schema"),
        datacontenttype: (seed.odd & 4 != 0).then_some("application/json"),
        extensions: if seed.odd & 24 == 24 { "{\"traceparent\":\"00-ab\"}" } else { "" },
        data: (seed.odd & 32 == 0).then_some(&data),
    };
    let mut out = Vec::new();
    encode_event(&event, &mut out);
    out
}

pub(crate) fn batch(events: &[Logged], range: Range) -> Arc<Batch> {
    let mut bytes = Vec::new();
    let mut found = Vec::new();
    for event in events {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(&event.record);
        let Logged { at, position, accepted_at, fate, .. } = *event;
        found.push(Event { start, end: bytes.len() as u32, at, position, accepted_at, fate });
    }
    let mut chunk = Chunk::new(bytes.into(), Arc::new(Catalog::empty(HashKey(1, 2))));
    chunk.events = found;
    Arc::new(Batch { generation: 0, range, chunks: vec![chunk] })
}

pub(crate) fn write(disk: &SimDisk, name: &str, events: &[Logged], from: u64, to: u64) -> Arc<BlockFile> {
    let path = Path::new(name);
    let (first, second) = events.split_at(events.len() / 2);
    let middle = first.last().map_or(from, |event| event.at + 1);
    let batches = [batch(first, Range::new(0, from, middle)), batch(second, Range::new(0, middle, to))];
    let written = BlockFile::write(disk, path, &batches).unwrap();
    let file = BlockFile::open(disk, path).unwrap();
    assert_eq!(format!("{written:?}"), format!("{:?}", file.summary()));
    Arc::new(file)
}

/// Several files, one after the other, and all that is in them.
pub(crate) fn files(disk: &SimDisk, parts: &[Vec<Seed>]) -> (Vec<Arc<BlockFile>>, Vec<Logged>, u64) {
    let (mut files, mut all, mut from) = (Vec::new(), Vec::new(), 10);
    for (i, part) in parts.iter().enumerate() {
        let (events, to) = logged(part, from);
        files.push(write(disk, &format!("events-{i}"), &events, from, to));
        all.extend(events);
        from = to;
    }
    (files, all, from)
}

/// An event as a scan shows it, with its record made again.
fn owned(stored: &Stored<'_>) -> Logged {
    let mut record = Vec::new();
    if let Some(event) = &stored.event {
        encode_event(event, &mut record);
    }
    Logged { at: stored.at, position: stored.position, accepted_at: stored.accepted_at, fate: stored.fate, record }
}

fn scanned(files: &[Arc<BlockFile>], scan: &BlockScan<'_>) -> Vec<Logged> {
    let mut found = Vec::new();
    for file in files {
        let flow = file.scan(scan, &mut |stored| {
            found.push(owned(&stored));
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
    }
    found
}

fn scanned_batch(batch: &Batch, scan: &BlockScan<'_>) -> Vec<Logged> {
    let mut found = Vec::new();
    let _ = scan_batch(batch, scan, &mut |stored| {
        found.push(owned(&stored));
        ControlFlow::Continue(())
    });
    found
}

/// The same, one event at a time.
fn naive(all: &[Logged], scan: &BlockScan<'_>) -> Vec<Logged> {
    let asks_content =
        scan.namespace.is_some() || scan.event_type.is_some() || scan.subjects.is_some() || scan.times.is_some();
    let mut found = Vec::new();
    for event in all {
        let view = decode_event(&event.record).unwrap();
        let time = view.instant(event.accepted_at).nanos();
        let is_duplicate = matches!(event.fate, Fate::Duplicate { .. });
        let passes = scan.namespace.is_none_or(|namespace| namespace == view.namespace)
            && scan.event_type.is_none_or(|event_type| event_type == view.event_type)
            && scan.subjects.is_none_or(|subjects| subjects.iter().any(|subject| subject == view.subject))
            && scan.times.is_none_or(|times| times.iter().any(|stretch| stretch.contains(&time)))
            && scan.offsets.as_ref().is_none_or(|offsets| offsets.contains(&event.at))
            && (!scan.counted_only || event.fate == Fate::Counts);
        if passes && !(is_duplicate && asks_content) {
            let record = if is_duplicate { Vec::new() } else { event.record.clone() };
            found.push(Logged { record, ..event.clone() });
        }
    }
    found
}

fn by_offset(mut events: Vec<Logged>) -> Vec<Logged> {
    events.sort_by_key(|event| event.at);
    events
}

fn merged(disk: &SimDisk, files: &[Arc<BlockFile>]) -> Arc<BlockFile> {
    let path = Path::new("merged");
    BlockFile::merge(disk, path, files).unwrap();
    Arc::new(BlockFile::open(disk, path).unwrap())
}

fn slice(all: &[Logged], range: Range) -> LogSlice {
    let mut bytes = Vec::new();
    let mut records = Vec::new();
    for event in all.iter().filter(|event| range.from <= event.at && event.at < range.to) {
        let start = bytes.len() as u32;
        if event.position.offset == event.at {
            bytes.extend_from_slice(&event.record);
        } else {
            // What was redriven stands in a control record.
            let record = crate::domain::record::RecordBytes(event.record.clone());
            let control = Control::Redriven { position: event.position, accepted_at: event.accepted_at, record };
            encode_control(&control, &mut bytes);
        }
        let end = bytes.len() as u32;
        records.push(LogRecord { offset: event.at, accepted_at: event.accepted_at, start, end });
    }
    LogSlice { range, chunks: vec![LogChunk { bytes: bytes.into(), records }] }
}

type Asked = (Option<bool>, Option<bool>, Option<Vec<u8>>, Option<Vec<(i64, i64)>>, Option<(u64, u64)>, bool);

fn asked() -> impl Strategy<Value = Asked> {
    (
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        proptest::option::of(proptest::collection::vec(0u8..5, 0..3)),
        proptest::option::of(proptest::collection::vec((0i64..12, 1i64..8), 0..3)),
        proptest::option::of((0u64..80, 0u64..60)),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn every_record_comes_back_byte_for_byte_merged_or_not(parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4)) {
        let disk = SimDisk::new(1);
        let (files, all, _) = files(&disk, &parts);
        let everything = BlockScan::default();
        let expected = naive(&all, &everything);
        prop_assert_eq!(&by_offset(scanned(&files, &everything)), &expected);
        let merged = merged(&disk, &files);
        prop_assert_eq!(merged.summary().events, all.len() as u64);
        merged.check().unwrap();
        let found = scanned(&[merged], &everything);
        // In file order, duplicates last.
        let mut sorted = expected.clone();
        sorted.sort_by_key(order);
        prop_assert_eq!(found, sorted);
    }

    #[test]
    fn a_scan_finds_what_a_plain_filter_finds(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 0..25), 1..4),
        tail in proptest::collection::vec(seed(), 0..10),
        (namespace, event_type, subjects, times, offsets, counted_only) in asked(),
    ) {
        let disk = SimDisk::new(1);
        let (files, mut all, end) = files(&disk, &parts);
        let (tail, to) = logged(&tail, end);
        let tail_batch = batch(&tail, Range::new(0, end, to));
        all.extend(tail);
        let subjects: Option<Vec<String>> = subjects.map(|s| s.iter().map(|n| format!("subject-{n}")).collect());
        let mut next = 1_600_000_000_000_000_000 - 250_000_000;
        let times: Option<Vec<std::ops::Range<i64>>> = times.map(|times| times.iter().map(|(gap, length)| {
            let start = next + gap * 250_000_000;
            next = start + length * 250_000_000;
            start..next
        }).collect());
        let scan = BlockScan {
            namespace: namespace.map(|other| if other { "other" } else { "default" }),
            event_type: event_type.map(|other| if other { "tokens" } else { "request" }),
            subjects: subjects.as_deref(),
            times: times.as_deref(),
            offsets: offsets.map(|(from, length)| from..from + length),
            counted_only,
            voids: None,
            progress: None,
        };
        let expected = naive(&all, &scan);
        let in_tail = scanned_batch(&tail_batch, &scan);
        let found = by_offset([scanned(&files, &scan), in_tail.clone()].concat());
        prop_assert_eq!(&found, &expected);
        let found = by_offset([scanned(&[merged(&disk, &files)], &scan), in_tail].concat());
        prop_assert_eq!(&found, &expected);
    }

    #[test]
    fn a_proof_catches_what_is_missing_changed_or_too_much(
        parts in proptest::collection::vec(proptest::collection::vec(seed(), 1..20), 1..3),
        pick in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let disk = SimDisk::new(1);
        let (files, all, end) = files(&disk, &parts);
        let proof = SegmentProof::default();
        let cut = cut.index(end as usize) as u64;
        for range in [Range::new(0, 0, cut), Range::new(0, cut, end)] {
            prop_assert!(proof.holds(&files, &slice(&all, range)).unwrap());
        }
        let whole = Range::new(0, 0, end);
        prop_assert!(holds(&[merged(&disk, &files)], &slice(&all, whole)).unwrap());

        let picked = pick.index(all.len());
        let event = all[picked].clone();
        let is_redriven = event.position.offset != event.at;
        let mut short = all.clone();
        short.remove(picked);
        prop_assert!(!holds(&files, &slice(&short, whole)).unwrap(), "the blocks have an event too much");
        let mut long = all.clone();
        long.insert(picked, Logged { at: event.at - 1, position: Position::new(0, event.at - 1), ..event.clone() });
        let is_taken = picked > 0 && all[picked - 1].at == event.at - 1;
        prop_assert!(is_taken || !holds(&files, &slice(&long, whole)).unwrap(), "an event is not in the blocks");
        let mut other = all.clone();
        other[picked].accepted_at = Instant::from_nanos(event.accepted_at.nanos() + 1);
        prop_assert!(is_redriven || !holds(&files, &slice(&other, whole)).unwrap(), "an event was accepted later");
        if !is_redriven && !matches!(event.fate, Fate::Duplicate { .. }) {
            let mut other = all.clone();
            *other[picked].record.last_mut().unwrap() ^= 1;
            prop_assert!(!holds(&files, &slice(&other, whole)).unwrap(), "an event has another byte");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found(seeds in proptest::collection::vec(seed(), 1..20), bit in any::<prop::sample::Index>()) {
        let disk = SimDisk::new(1);
        let (files, ..) = files(&disk, &[seeds]);
        let bytes = files[0].summary().bytes;
        drop(files);
        disk.flip_bit(Path::new("events-0"), bit.index(bytes as usize * 8) as u64);
        let fault = BlockFile::open(&disk, Path::new("events-0")).and_then(|file| file.check()).unwrap_err();
        prop_assert_eq!(fault.verdict, crate::domain::fault::Verdict::GiveUp);
        prop_assert!(fault.message.contains("events-0") && fault.message.contains("byte"), "{}", fault);
    }
}

/// File order.
fn order(event: &Logged) -> (bool, Vec<String>, i64, u64) {
    if event.record.is_empty() {
        return (true, Vec::new(), 0, event.at);
    }
    let view = decode_event(&event.record).unwrap();
    let key = [view.namespace, view.event_type, view.subject].map(str::to_owned).to_vec();
    (false, key, view.instant(event.accepted_at).nanos(), event.at)
}

fn plain(subject: u8, tick: i64, data_bytes: usize) -> Seed {
    let id = format!("{tick:016x}");
    Seed { key: (0, 0, subject), id, time: Some((tick, 0)), data_bytes, odd: 0, fate: 9, gap: 1, wait_ns: 0 }
}

#[test]
fn a_proof_of_offsets_is_that_of_the_log_s_records() {
    let disk = SimDisk::new(1);
    let seeds: Vec<Seed> = (0..50).map(|i| plain((i % 4) as u8, i, 90)).collect();
    let (files, all, _) = files(&disk, &[seeds]);
    let (from, to) = (all[7].at, all[31].at);
    let expected = proof_of(all[7..31].iter().map(|event| (event.at, event.accepted_at, Some(&event.record[..]))));
    assert_eq!(files[0].proof(from..to).unwrap(), expected);
    assert_eq!(expected.events, 24);
    assert_ne!(files[0].proof(from..to + 1).unwrap(), expected);
}

#[test]
fn a_scan_for_one_subject_reads_few_of_many_blocks() {
    let disk = SimDisk::new(1);
    // Each event fills a block; 200 blocks are four pages of the index.
    let seeds: Vec<Seed> = (0..200).map(|i| plain((i % 4) as u8, i, builder::BLOCK_BYTES)).collect();
    let (files, all, _) = files(&disk, &[seeds]);
    let subjects = ["subject-2".to_string()];
    let tick = |n: i64| 1_600_000_000_000_000_000 + n * 250_000_000;
    let times = [tick(0)..tick(8), tick(8)..tick(10)];
    let scan = BlockScan { subjects: Some(&subjects), times: Some(&times), ..BlockScan::default() };
    assert_eq!(by_offset(scanned(&files, &scan)), naive(&all, &scan));
    assert!(files[0].blocks_read() <= 6, "{} reads: root, one or two pages, two blocks", files[0].blocks_read());
}

/// Data that does not compress, so that blocks are of full size.
fn noise(event: &mut Logged, salt: u64) {
    let mut data = String::new();
    while data.len() < 30_000 {
        data.push_str(&format!("{:032x}", xxhash_rust::xxh3::xxh3_128_with_seed(data.as_bytes(), salt)));
    }
    let record = event.record.clone();
    let view = EventView { data: Some(&data), ..decode_event(&record).unwrap() };
    event.record.clear();
    encode_event(&view, &mut event.record);
}

#[test]
fn blocks_that_lie_apart_are_merged_without_unpacking_and_stay_whole() {
    let disk = SimDisk::new(1);
    let (mut from, mut files, mut all) = (10, Vec::new(), Vec::new());
    // The third file lies across the second, in time.
    for (i, tick) in [0, 40, 50].into_iter().enumerate() {
        let seeds: Vec<Seed> = (0..40).map(|i| plain((i % 2) as u8, tick + i, 0)).collect();
        let (mut events, to) = logged(&seeds, from);
        events.iter_mut().for_each(|event| noise(event, event.at));
        files.push(write(&disk, &format!("events-{i}"), &events, from, to));
        all.extend(events);
        from = to;
    }
    let merged = merge::merge(&disk, Path::new("merged"), &files).unwrap();
    let file = BlockFile::open(&disk, Path::new("merged")).unwrap();
    file.check().unwrap();
    // Of 4 or 5 blocks a subject and file: those of the first file, and what lies outside the overlap.
    assert!((6..24).contains(&merged.taken_over), "{} blocks", merged.taken_over);
    let everything = BlockScan::default();
    assert_eq!(by_offset(scanned(&[Arc::new(file)], &everything)), naive(&all, &everything));
}

#[test]
fn files_that_overlap_are_not_merged_and_gaps_may_be() {
    let disk = SimDisk::new(1);
    let part = || vec![plain(0, 1, 10)];
    let (files, all, end) = files(&disk, &[part(), part(), part()]);
    let fault = BlockFile::merge(&disk, Path::new("merged"), &[files[2].clone(), files[2].clone()]).unwrap_err();
    assert!(fault.message.contains("events-2 and events-2 do not follow one another"), "{fault}");
    let merged = merged(&disk, &[files[2].clone(), files[0].clone()]);
    assert_eq!((merged.summary().range, merged.summary().events), (Range::new(0, 10, end), 2));
    assert!(!holds(&[merged], &slice(&all, Range::new(0, 0, end))).unwrap(), "what lies in the gap is not there");
}

#[test]
fn a_file_without_events_covers_its_range() {
    let disk = SimDisk::new(1);
    let (files, ..) = files(&disk, &[vec![], vec![]]);
    let merged = merged(&disk, &files);
    assert_eq!(merged.summary().range, Range::new(0, 10, 14));
    assert_eq!((merged.summary().events, merged.summary().times), (0, None));
    merged.check().unwrap();
}

#[test]
fn a_file_of_a_later_version_is_refused_by_name() {
    let disk = SimDisk::new(1);
    let (files, ..) = files(&disk, &[vec![plain(0, 1, 10)]]);
    drop(files);
    disk.flip_bit(Path::new("events-0"), 8 * 8 + 1);
    let fault = BlockFile::open(&disk, Path::new("events-0")).err().unwrap();
    assert!(fault.message.contains("events-0 has format version 3"), "{fault}");
}

#[test]
fn a_write_that_fails_leaves_nothing_and_may_be_tried_again() {
    let disk = SimDisk::new(1);
    let (events, to) = logged(&[plain(0, 1, 10)], 0);
    let batches = [batch(&events, Range::new(0, 0, to))];
    disk.fail_next_writes(1);
    let fault = BlockFile::write(&disk, Path::new("events-0"), &batches).unwrap_err();
    assert_eq!(fault.verdict, crate::domain::fault::Verdict::Retry);
    assert_eq!(BlockFile::write(&disk, Path::new("events-0"), &batches).unwrap().events, 1);
}
