use super::frame::{FrameHead, HEAD_BYTES};
use super::segment::HEADER_BYTES;
use super::*;
use crate::adapters::embedded::disk::{RealDisk, SimDisk};
use crate::domain::fault::Verdict;
use crate::domain::record::{EventView, encode_control, encode_event};
use futures::executor::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

mod damage;
mod power_cuts;

/// A clock that tests move.
#[derive(Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Small segments, no limits, and nothing written ahead.
fn small() -> Settings {
    Settings { segment_bytes_max: 4096, preallocate: false, disk_free_min_bytes: 0, ..Settings::default() }
}

fn open(disk: &SimDisk, settings: Settings) -> Result<Arc<EmbeddedLog>, Fault> {
    EmbeddedLog::open(Arc::new(disk.clone()), Arc::new(TestClock::default()), settings)
}

fn event(id: &str, data: &str) -> Vec<u8> {
    let view = EventView {
        namespace: "default",
        id,
        source: "test",
        event_type: "prompt",
        subject: "acme",
        specversion: "1.0",
        time_text: None,
        time: None,
        dataschema: None,
        datacontenttype: None,
        extensions: "",
        data: Some(data),
    };
    let mut record = Vec::new();
    encode_event(&view, &mut record);
    record
}

/// `count` events whose bytes occur nowhere else.
fn events(name: &str, count: usize, data_bytes: usize) -> Append {
    let records: Vec<Vec<u8>> = (0..count).map(|i| event(&format!("{name}-{i}"), &"x".repeat(data_bytes))).collect();
    append_of(&records)
}

fn append_of(records: &[Vec<u8>]) -> Append {
    Append { records: records.concat(), lengths: records.iter().map(|record| record.len() as u32).collect() }
}

fn append(log: &EmbeddedLog, append: Append) -> Result<Range, AppendError> {
    block_on(log.append(append)).map(|appended| appended.ranges[0])
}

/// Waits for other threads; what never comes fails the test instead of hanging it.
fn wait_while(mut still: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if !still() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("waited in vain");
}

/// Everything from `from` to the end, read in pieces.
fn read_from(
    log: &EmbeddedLog,
    from: u64,
    events_max: usize,
    bytes_max: usize,
) -> Result<BTreeMap<u64, Vec<u8>>, Fault> {
    let mut records = BTreeMap::new();
    let mut from = from;
    loop {
        let slice = block_on(log.read(Position::new(0, from), events_max, bytes_max))?;
        assert_eq!(slice.range.from, from);
        if slice.range.is_empty() {
            return Ok(records);
        }
        for chunk in &slice.chunks {
            for record in &chunk.records {
                assert!(slice.range.contains(Position::new(0, record.offset)));
                let bytes = chunk.bytes[record.start as usize..record.end as usize].to_vec();
                assert!(records.last_key_value().is_none_or(|(last, _)| *last < record.offset), "in position order");
                records.insert(record.offset, bytes);
            }
        }
        from = slice.range.to;
    }
}

fn read_all(log: &EmbeddedLog) -> Result<BTreeMap<u64, Vec<u8>>, Fault> {
    read_from(log, log.start().next(0), usize::MAX, usize::MAX)
}

/// The records of an append, by offset.
fn as_read(append: &Append, first: u64) -> BTreeMap<u64, Vec<u8>> {
    let mut at = 0;
    let record = |(i, length): (usize, &u32)| {
        let start = at;
        at += *length as usize;
        (first + i as u64, append.records[start..at].to_vec())
    };
    append.lengths.iter().enumerate().map(record).collect()
}

fn refused(result: Result<Range, AppendError>) -> String {
    match result {
        Err(AppendError::Refused { reason, .. }) => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn one_sync_answers_everything_that_queued_during_the_one_before() {
    let disk = SimDisk::new(1);
    let log = open(&disk, Settings { segment_bytes_max: 1 << 20, ..small() }).unwrap();
    disk.hold_syncs();
    let before = disk.counts().syncs;
    let answers: Vec<Range> = std::thread::scope(|threads| {
        let first = threads.spawn(|| append(&log, events("first", 1, 10)));
        wait_while(|| disk.counts().writes == 1 || log.snapshot().queued_appends > 0);
        let log = &log;
        let rest: Vec<_> = (0..60).map(|i| threads.spawn(move || append(log, events(&i.to_string(), 2, 10)))).collect();
        wait_while(|| log.snapshot().queued_appends < 60);
        assert_eq!(log.durable_end(), Frontier::at(0, 0), "nothing is readable before its sync");
        disk.let_syncs_go();
        [first].into_iter().chain(rest).map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert_eq!(disk.counts().syncs - before, 2);
    let offsets: BTreeSet<u64> = answers.iter().flat_map(|range| range.from..range.to).collect();
    assert_eq!(offsets, (0..121).collect(), "every event has an offset of its own");
    assert_eq!(log.durable_end(), Frontier::at(0, 121));
    assert_eq!(*log.growth().borrow(), Frontier::at(0, 121));
    let snapshot = log.snapshot();
    assert_eq!((snapshot.appended_events, snapshot.queued_appends), (121, 0));
    assert_eq!(snapshot.sync_seconds.counts.iter().sum::<u64>(), 2);
}

#[test]
fn a_full_queue_refuses_before_anything_is_written() {
    let disk = SimDisk::new(1);
    let log = open(&disk, Settings { queue_appends_max: 2, queue_bytes_max: 1 << 20, ..small() }).unwrap();
    disk.hold_syncs();
    std::thread::scope(|threads| {
        let writing = threads.spawn(|| append(&log, events("a", 1, 10)));
        wait_while(|| disk.counts().writes == 1 || log.snapshot().queued_appends > 0);
        let queued = threads.spawn(|| append(&log, events("b", 1, 10)));
        wait_while(|| log.snapshot().queued_appends < 1);
        assert!(log.room().is_ok());
        assert!(refused(append(&log, events("big", 1, 1 << 20))).contains("wait for the disk"), "too many bytes");
        let queued_too = threads.spawn(|| append(&log, events("c", 1, 10)));
        wait_while(|| log.snapshot().queued_appends < 2);
        assert!(refused(append(&log, events("d", 1, 10))).contains("wait for the disk"));
        assert!(log.room().is_err());
        disk.let_syncs_go();
        for thread in [writing, queued, queued_too] {
            thread.join().unwrap().unwrap();
        }
    });
    assert!(log.room().is_ok());
    assert_eq!(log.snapshot().refused_appends, 3);
    assert_eq!(read_all(&log).unwrap().len(), 3);
}

#[test]
fn a_failed_sync_is_answered_unknown_and_the_log_goes_on_in_a_new_segment() {
    for failures in [1, 3] {
        let disk = SimDisk::new(failures);
        let log = open(&disk, small()).unwrap();
        append(&log, events("kept", 2, 10)).unwrap();
        disk.fail_next_syncs(failures);
        let lost = append(&log, events("lost", 5, 10));
        assert!(
            matches!(&lost, Err(AppendError::Unknown { reason }) if reason.contains("00000000000000000001.seg")),
            "{lost:?}"
        );
        assert_eq!(log.durable_end(), Frontier::at(0, 2));
        let next = loop {
            match append(&log, events("next", 1, 10)) {
                Ok(range) => break range,
                Err(AppendError::Refused { reason, .. }) => {
                    assert!(reason.contains("a new one is being begun"), "{reason}")
                }
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(next, Range::new(0, 7, 8), "the offsets of the failed append are skipped");
        let read = |log: &EmbeddedLog| read_all(log).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(read(&log), [0, 1, 7]);
        assert_eq!(log.snapshot().failed_syncs, 1);
        let log = open(&disk.restart(), small()).unwrap();
        assert_eq!(read(&log), [0, 1, 7], "never reused, never brought back");
        assert_eq!(append(&log, events("later", 1, 10)).unwrap(), Range::new(0, 8, 9));
    }
}

#[test]
fn a_failed_write_is_answered_unknown_too() {
    let disk = SimDisk::new(1);
    let log = open(&disk, small()).unwrap();
    disk.fail_next_writes(1);
    assert!(matches!(append(&log, events("lost", 1, 10)), Err(AppendError::Unknown { .. })));
    wait_while(|| log.room().is_err());
    assert_eq!(append(&log, events("next", 1, 10)).unwrap(), Range::new(0, 1, 2));
}

#[test]
fn a_log_reads_the_same_in_any_pieces_from_memory_and_from_disk() {
    for tail_bytes_max in [0, 3000, usize::MAX] {
        let disk = SimDisk::new(1);
        let log = open(&disk, Settings { tail_bytes_max, ..small() }).unwrap();
        let mut all = BTreeMap::new();
        for i in 0..40 {
            let batch = events(&i.to_string(), 1 + i % 7, i * 31 % 700);
            let range = append(&log, batch.clone()).unwrap();
            all.extend(as_read(&batch, range.from));
        }
        for (events_max, bytes_max) in
            [(1, usize::MAX), (3, usize::MAX), (usize::MAX, 1), (1000, 900), (usize::MAX, usize::MAX)]
        {
            assert_eq!(
                read_from(&log, 0, events_max, bytes_max).unwrap(),
                all,
                "{tail_bytes_max} {events_max} {bytes_max}"
            );
        }
        for from in [1, 17, 100, all.len() as u64 - 1, all.len() as u64] {
            assert_eq!(read_from(&log, from, 10, 5000).unwrap(), all.clone().split_off(&from));
        }
        assert!(log.snapshot().segments > 2);
    }
}

#[test]
fn frames_longer_than_a_read_ahead_are_read_whole() {
    let disk = SimDisk::new(1);
    let log = open(&disk, Settings { tail_bytes_max: 0, segment_bytes_max: 3 << 20, ..small() }).unwrap();
    let mut all = BTreeMap::new();
    for i in 0..6 {
        let batch = if i % 2 == 0 { events(&i.to_string(), 5, 300_000) } else { events(&i.to_string(), 5, 3) };
        let range = append(&log, batch.clone()).unwrap();
        all.extend(as_read(&batch, range.from));
    }
    assert_eq!(read_all(&log).unwrap(), all);
    assert_eq!(read_from(&log, 7, 2, usize::MAX).unwrap(), all.split_off(&7));
}

#[test]
fn reading_outside_the_log_is_a_fault_that_says_why() {
    let log = open(&SimDisk::new(1), small()).unwrap();
    append(&log, events("a", 3, 10)).unwrap();
    let why = |position| block_on(log.read(position, 1, 1)).unwrap_err();
    assert!(why(Position::new(0, 4)).message.contains("beyond the log's end 0:3"));
    assert!(why(Position::new(1, 0)).message.contains("partition 1"));
    assert_eq!(why(Position::new(0, 4)).verdict, Verdict::GiveUp);
    assert!(block_on(log.read(Position::new(0, 3), 1, 1)).unwrap().range.is_empty());
}

#[test]
fn three_orderly_restarts_keep_everything_and_leave_no_empty_segments() {
    let disk = SimDisk::new(1);
    let mut all = BTreeMap::new();
    for round in 0..3u64 {
        let log = open(&disk, small()).unwrap();
        assert_eq!(read_all(&log).unwrap(), all);
        let batch = events(&round.to_string(), 2, 10);
        all.extend(as_read(&batch, append(&log, batch.clone()).unwrap().from));
        log.close().unwrap();
        log.close().unwrap();
        assert!(refused(append(&log, events("late", 1, 1))).contains("closed"));
        assert_eq!(log.snapshot().torn_bytes_cut, 0);
    }
    for _ in 0..3 {
        open(&disk, small()).unwrap().close().unwrap();
    }
    assert_eq!(segment::list(&disk).unwrap(), [1, 2, 3, 4], "an empty last segment is used again");
}

#[test]
fn an_empty_append_is_answered_at_once() {
    let disk = SimDisk::new(1);
    let log = open(&disk, small()).unwrap();
    let before = disk.counts();
    let appended = block_on(log.append(Append::default())).unwrap();
    assert_eq!((appended.frontier, appended.ranges.len()), (Frontier::at(0, 0), 0));
    assert_eq!(disk.counts().writes, before.writes);
}

#[test]
fn accepted_at_never_goes_back_also_over_a_restart() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(TestClock::default());
    let mut accepted = Vec::new();
    for times in [[50, 40, 60], [10, 20, 70]] {
        let log = EmbeddedLog::open(Arc::new(disk.clone()), clock.clone(), small()).unwrap();
        for time in times {
            clock.0.store(time, Ordering::Relaxed);
            let appended = block_on(log.append(events(&time.to_string(), 1, 10))).unwrap();
            accepted.push(appended.accepted_at.nanos());
            let slice = block_on(log.read(Position::new(0, appended.ranges[0].from), 1, 1)).unwrap();
            assert_eq!(slice.chunks[0].records[0].accepted_at, appended.accepted_at);
        }
    }
    assert_eq!(accepted, [50, 50, 60, 60, 60, 70]);
}

#[test]
fn control_records_are_found_among_events() {
    let disk = SimDisk::new(1);
    let log = open(&disk, small()).unwrap();
    let mut expected = Vec::new();
    for i in 0..30u32 {
        let mut records = vec![event(&i.to_string(), &"x".repeat(200))];
        if i % 4 == 0 {
            let mut control = Vec::new();
            encode_control(&Control::Settings { dedupe_window_days: i }, &mut control);
            records.push(control);
        }
        let range = append(&log, append_of(&records)).unwrap();
        if i % 4 == 0 {
            expected.push((Position::new(0, range.from + 1), Control::Settings { dedupe_window_days: i }));
        }
    }
    let found = |from| -> Vec<(Position, Control)> {
        let controls = block_on(log.controls_from(&Frontier::at(0, from))).unwrap();
        controls.into_iter().map(|(position, _, control)| (position, control)).collect()
    };
    assert_eq!(found(0), expected);
    assert_eq!(found(7), expected[2..], "the second control is at offset 6");
    assert_eq!(found(6), expected[1..]);
    assert!(block_on(log.controls_from(&Frontier::at(0, 1000))).is_err());
}

#[test]
fn segments_are_deleted_once_the_store_has_every_record_of_them() {
    let disk = SimDisk::new(1);
    let log = open(&disk, small()).unwrap();
    let mut all = BTreeMap::new();
    for i in 0..20 {
        let batch = events(&i.to_string(), 3, 200);
        all.extend(as_read(&batch, append(&log, batch.clone()).unwrap().from));
    }
    let segments = log.snapshot().segments;
    assert!(segments > 3);
    let end = log.durable_end();
    block_on(log.release(&end, &|_| Ok(false))).unwrap();
    assert_eq!(log.snapshot().segments, segments, "the store does not have it");
    let fault = Fault::retry("usage store", "busy");
    assert!(block_on(log.release(&end, &|_| Err(fault.clone()))).is_err());
    block_on(log.release(&Frontier::at(0, 1), &|_| Ok(true))).unwrap();
    assert_eq!(log.snapshot().segments, segments, "only whole segments go");

    let shown = Mutex::new(BTreeMap::new());
    let verify = |slice: &LogSlice| {
        for chunk in &slice.chunks {
            for record in &chunk.records {
                shown
                    .lock()
                    .unwrap()
                    .insert(record.offset, chunk.bytes[record.start as usize..record.end as usize].to_vec());
            }
        }
        Ok(true)
    };
    block_on(log.release(&end, &verify)).unwrap();
    let start = log.start().next(0);
    assert_eq!(log.snapshot().segments, 1, "the active one stays");
    assert_eq!(log.snapshot().deleted_segments, segments - 1);
    let mut below = all.clone();
    let kept = below.split_off(&start);
    assert_eq!(shown.into_inner().unwrap(), below, "every deleted record was shown");
    let gone = block_on(log.read(Position::new(0, 0), 1, 1)).unwrap_err();
    assert!(gone.message.contains("was deleted"), "{gone}");
    let log = open(&disk.restart(), small()).unwrap();
    assert_eq!((log.start().next(0), read_all(&log).unwrap()), (start, kept));
}

#[test]
fn the_backlog_is_what_the_line_has_not_applied() {
    let disk = SimDisk::new(1);
    let log = open(&disk, Settings { backlog_bytes_max: Some(5000), ..small() }).unwrap();
    let mut appended = 0;
    while append(&log, events(&appended.to_string(), 1, 500)).is_ok() {
        appended += 1;
    }
    assert!((8..11).contains(&appended), "{appended}");
    assert!(refused(append(&log, events("more", 1, 1))).contains("wait to be counted"));
    log.set_backlog_from(&log.durable_end());
    append(&log, events("more", 1, 500)).unwrap();
    log.set_backlog_from(&Frontier::default());
    assert!(append(&log, events("again", 1, 500)).is_err());
}

#[test]
fn a_full_disk_refuses_and_keeps_what_it_has() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(TestClock::default());
    let settings = Settings { disk_free_min_bytes: 1 << 20, ..small() };
    let log = EmbeddedLog::open(Arc::new(disk.clone()), clock.clone(), settings).unwrap();
    append(&log, events("a", 1, 10)).unwrap();
    disk.set_free_bytes(1000);
    clock.0.store(2_000_000_000, Ordering::Relaxed);
    append(&log, events("b", 1, 10)).unwrap();
    assert!(refused(append(&log, events("c", 1, 10))).contains("must stay free"));
    disk.set_free_bytes(1 << 30);
    clock.0.store(4_000_000_000, Ordering::Relaxed);
    append(&log, events("c", 1, 10)).unwrap();
}

#[test]
fn the_next_segment_begins_in_blocks_that_were_written_ahead() {
    let disk = SimDisk::new(1);
    let settings = Settings { preallocate: true, segment_bytes_max: 16 << 10, ..small() };
    let log = open(&disk, settings.clone()).unwrap();
    // The first segment was begun in a hurry; the log moves on once the spare is there.
    wait_while(|| !disk.exists(&segment::spare_path()));
    while log.snapshot().segments < 2 {
        append(&log, events("a", 1, 10)).unwrap();
    }
    let length = |number| disk.open(&segment::path(number)).unwrap().len().unwrap();
    assert_eq!(length(2), 16 << 10);
    append(&log, events("b", 1, 10)).unwrap();
    log.close().unwrap();
    assert!(length(2) < 1000, "what was not needed is given back");
    let before = read_all(&log).unwrap();
    drop(log);
    assert_eq!(read_all(&open(&disk, settings).unwrap()).unwrap(), before);
}

#[test]
fn settings_out_of_range_are_all_named() {
    let bad = Settings {
        segment_bytes_max: 1,
        group_bytes_max: 0,
        queue_appends_max: 0,
        queue_bytes_max: 0,
        backlog_bytes_max: Some(0),
        ..small()
    };
    let wrong = bad.validate().unwrap_err();
    assert_eq!(wrong.len(), 5);
    assert!(wrong.iter().all(|text| text.contains(": must")), "{wrong:?}");
    assert_eq!(Settings::default().validate(), Ok(()));
    assert!(serde_json::from_str::<Settings>(r#"{"segment_bytes": 1}"#).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_disk_under_a_runtime_everything_appended_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path().to_path_buf()).unwrap());
    let settings =
        Settings { segment_bytes_max: 64 << 10, tail_bytes_max: 1000, disk_free_min_bytes: 0, ..Settings::default() };
    let log = EmbeddedLog::open(disk.clone(), Arc::new(TestClock::default()), settings.clone()).unwrap();
    let tasks = (0..8).map(|task| {
        let log = log.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                log.append(events(&format!("{task}-{i}"), 5, 100)).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let slice = log.read(Position::new(0, 0), usize::MAX, usize::MAX).await.unwrap();
    assert_eq!(slice.range, Range::new(0, 0, 800));
    assert_eq!(slice.chunks.iter().map(|chunk| chunk.records.len()).sum::<usize>(), 800);
    log.close().unwrap();
    drop(log);
    assert_eq!(check(&*disk).unwrap().records, 800);
    let log = EmbeddedLog::open(disk, Arc::new(TestClock::default()), settings).unwrap();
    assert_eq!(log.durable_end(), Frontier::at(0, 800));
}
