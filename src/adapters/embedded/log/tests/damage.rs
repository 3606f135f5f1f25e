//! Damage is found; a torn tail is no damage.

use super::*;

fn damaged<T>(result: Result<T, Fault>) -> String {
    match result {
        Err(fault) if fault.verdict == Verdict::GiveUp => fault.message,
        Err(fault) => panic!("{fault} should say give up"),
        Ok(_) => panic!("the damage was not found"),
    }
}

/// One frame each, no segment full.
fn three_frames(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let log = open(&disk, small()).unwrap();
    for name in ["a", "b", "c"] {
        append(&log, events(name, 2, 100)).unwrap();
    }
    disk.kill()
}

/// Where each of the three frames begins.
fn frame_starts() -> [u64; 3] {
    let length = HEAD_BYTES as u64 + events("a", 2, 100).records.len() as u64;
    [0, 1, 2].map(|i| HEADER_BYTES + i * length)
}

#[test]
fn any_bit_flipped_in_a_closed_log_is_found_at_open_or_read() {
    let disk = SimDisk::new(1);
    let log = open(&disk, small()).unwrap();
    for i in 0..12 {
        append(&log, events(&i.to_string(), 1 + i % 3, 300)).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let whole = check(&disk).unwrap();
    assert_eq!((whole.findings.len(), whole.records), (0, 24));
    let numbers = segment::list(&disk).unwrap();
    assert!(numbers.len() > 2);
    let mut flipped = 0;
    for number in numbers {
        let path = segment::path(number);
        let bits = disk.open(&path).unwrap().len().unwrap() * 8;
        // Every bit of the header and of the first frame's head, then one in a hundred.
        for bit in
            (0..(HEADER_BYTES + HEAD_BYTES as u64) * 8).chain((1024..bits).step_by(101)).filter(|bit| *bit < bits)
        {
            disk.flip_bit(&path, bit);
            let message = damaged(open(&disk, small()).and_then(|log| read_all(&log)));
            assert!(message.contains(".seg at offset "), "bit {bit} of {}: {message}", path.display());
            let findings = check(&disk).unwrap().findings;
            assert!(
                findings.iter().any(|finding| finding.file == path),
                "bit {bit} of {}: {findings:?}",
                path.display()
            );
            disk.flip_bit(&path, bit);
            flipped += 1;
        }
    }
    assert!(flipped > 1000);
    assert_eq!(read_all(&open(&disk, small()).unwrap()).unwrap().len(), 24);
}

#[test]
fn a_bad_byte_below_what_a_later_frame_calls_durable_refuses_to_open() {
    let [first, second, third] = frame_starts();
    for bit in (first * 8..third * 8).step_by(37) {
        let disk = three_frames(1);
        disk.flip_bit(&segment::path(1), bit);
        let bad = if bit < second * 8 { first } else { second };
        let message = damaged(open(&disk, small()));
        assert!(message.contains(&format!("00000000000000000001.seg at offset {bad}")), "bit {bit}: {message}");
        assert!(check(&disk).unwrap().findings.iter().any(|finding| finding.offset == bad));
    }
}

#[test]
fn bad_bytes_in_the_last_frame_after_a_crash_are_a_torn_tail() {
    let [_, _, third] = frame_starts();
    let disk = three_frames(1);
    disk.flip_bit(&segment::path(1), third * 8 + 900);
    assert_eq!(check(&disk).unwrap().findings, []);
    let log = open(&disk, small()).unwrap();
    assert_eq!(log.snapshot().torn_bytes_cut, third - frame_starts()[1]);
    assert_eq!(read_all(&log).unwrap().into_keys().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(append(&log, events("d", 1, 1)).unwrap().from, 4);
}

#[test]
fn a_valid_frame_behind_a_hole_is_not_kept() {
    let disk = SimDisk::new(1);
    let log = open(&disk, Settings { segment_bytes_max: 1 << 20, ..small() }).unwrap();
    append(&log, events("durable", 2, 100)).unwrap();
    disk.hold_syncs();
    let disk = std::thread::scope(|threads| {
        let writes = disk.counts().writes;
        let log = &log;
        let queue = |name| threads.spawn(move || append(log, events(name, 2, 100)));
        let mut unanswered = vec![queue("a")];
        wait_while(|| disk.counts().writes == writes);
        unanswered.extend([queue("b"), queue("c"), queue("d")]);
        wait_while(|| log.snapshot().queued_appends < 3);
        // The first of them becomes durable, the others are one group that is written and not synced.
        disk.let_syncs_go();
        wait_while(|| log.durable_end() == Frontier::at(0, 2));
        for thread in unanswered {
            thread.join().unwrap().unwrap();
        }
        disk.kill()
    });
    let length = HEAD_BYTES as u64 + events("a", 2, 100).records.len() as u64;
    let third = HEADER_BYTES + HEAD_BYTES as u64 + events("durable", 2, 100).records.len() as u64 + 2 * length;
    // "a" was durable before the group of three was written; the second of the three is hit.
    disk.flip_bit(&segment::path(1), third * 8 + 77);
    let log = open(&disk, small()).unwrap();
    assert_eq!(log.durable_end(), Frontier::at(0, 6), "the last of the three is whole, and cut with the second");
    assert_eq!(log.snapshot().torn_bytes_cut, 2 * length);
    drop(log);
    let log = open(&disk.restart(), small()).unwrap();
    assert_eq!(log.durable_end(), Frontier::at(0, 6), "and stays away");
}

#[test]
fn garbage_behind_the_end_is_cut_and_counted() {
    let disk = three_frames(1);
    let file = disk.open(&segment::path(1)).unwrap();
    let end = file.len().unwrap();
    file.write_at(end, b"not a frame, and zeros").unwrap();
    file.write_at(end + 22, &[0; 5000]).unwrap();
    let log = open(&disk, small()).unwrap();
    assert_eq!(log.snapshot().torn_bytes_cut, 22, "zeros behind the end were written ahead");
    assert_eq!(read_all(&log).unwrap().len(), 6);
}

#[test]
fn a_missing_or_shortened_segment_refuses_to_open() {
    let disk = SimDisk::new(1);
    let log = open(&disk, small()).unwrap();
    for i in 0..12 {
        append(&log, events(&i.to_string(), 3, 300)).unwrap();
    }
    drop(log);
    let short = disk.kill();
    let file = short.open(&segment::path(2)).unwrap();
    file.truncate(file.len().unwrap() - 1).unwrap();
    assert!(damaged(open(&short, small())).contains("00000000000000000002.seg at offset"));
    assert!(!check(&short).unwrap().findings.is_empty());
    let missing = short.kill();
    missing.remove(&segment::path(2)).unwrap();
    assert!(damaged(open(&missing, small())).contains("00000000000000000002.seg is missing"));
    assert!(check(&missing).unwrap().findings.iter().any(|finding| finding.what.contains("missing")));
}

/// A log whose first frame holds this payload, as if another version had written it.
fn crafted(payload: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    drop(open(&disk, small()).unwrap());
    let head = FrameHead {
        first_offset: 0,
        count: 1,
        accepted_at: Instant::from_nanos(1),
        durable_to: HEADER_BYTES,
        has_controls: true,
        payload_bytes: payload.len() as u32,
        payload_crc: crc32c::crc32c(payload),
    };
    let file = disk.open(&segment::path(1)).unwrap();
    file.write_at(HEADER_BYTES, &head.encode(1, HEADER_BYTES)).unwrap();
    file.write_at(HEADER_BYTES + HEAD_BYTES as u64, payload).unwrap();
    disk
}

#[test]
fn a_record_of_a_newer_version_stops_this_one() {
    let disk = crafted(&[3, 0, 0, 0, 200, b'{', b'}']);
    let log = open(&disk, small()).unwrap();
    let message = damaged(read_all(&log));
    assert!(
        message.contains("kind 200") && message.contains("newer version") && message.contains("at offset 64"),
        "{message}"
    );
    assert!(damaged(block_on(log.controls_from(&Frontier::default()))).contains("newer version"));
}

#[test]
fn a_frame_whose_records_do_not_fit_is_refused_without_a_panic() {
    let disk = crafted(&[255, 255, 255, 255, 1, 0]);
    assert!(damaged(read_all(&open(&disk, small()).unwrap())).contains("announced"));
    assert_eq!(check(&disk).unwrap().findings.len(), 1);
}

#[test]
fn a_segment_of_a_newer_format_is_refused_by_name() {
    let disk = three_frames(1);
    disk.flip_bit(&segment::path(1), 8 * 8 + 3);
    assert!(damaged(open(&disk, small())).contains("format version 9"));
}
