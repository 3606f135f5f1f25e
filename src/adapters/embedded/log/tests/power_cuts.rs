//! What was acknowledged, or read, survives kills and power cuts at any moment, on a disk that forgets.

use super::*;
use proptest::prelude::*;

/// What must hold of the log over all its lives.
#[derive(Default)]
struct Ledger {
    /// Acknowledged or read: there for ever, with these bytes.
    kept: BTreeMap<u64, Vec<u8>>,
    /// Every record ever sent.
    sent: BTreeSet<Vec<u8>>,
    acknowledged: usize,
}

impl Ledger {
    fn check(&mut self, log: &EmbeddedLog) {
        let read = read_all(log).expect("what was read once can be read again");
        for (offset, bytes) in &self.kept {
            assert_eq!(read.get(offset), Some(bytes), "offset {offset}");
        }
        assert!(read.values().all(|bytes| self.sent.contains(bytes)), "nothing is made up");
        let ids: BTreeSet<&Vec<u8>> = read.values().collect();
        assert_eq!(ids.len(), read.len(), "and nothing is there twice");
        self.kept = read;
    }
}

/// One life of a process: several threads append, one reads along, until everything is sent or the power is off.
fn live(disk: &SimDisk, log: &EmbeddedLog, ledger: &mut Ledger, name: &str, sizes: &[(usize, usize)]) {
    let batches: Vec<Vec<Append>> = (0..3)
        .map(|thread| {
            let batch =
                |(i, (count, bytes)): (usize, &(usize, usize))| events(&format!("{name}-{thread}-{i}"), *count, *bytes);
            sizes.iter().enumerate().map(batch).collect()
        })
        .collect();
    ledger.sent.extend(batches.iter().flatten().flat_map(|batch| as_read(batch, 0).into_values()));
    let done = AtomicBool::new(false);
    let (acknowledged, read) = std::thread::scope(|threads| {
        let writers: Vec<_> = batches.iter().map(|batches| threads.spawn(|| write(disk, log, batches))).collect();
        let reader = threads.spawn(|| {
            let mut all = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                // A power cut ends the reading; what was read counts.
                all.extend(read_all(log).unwrap_or_default());
            }
            all
        });
        let acknowledged: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        (acknowledged, reader.join().unwrap())
    });
    ledger.acknowledged += acknowledged.len();
    for (offset, bytes) in acknowledged.into_iter().chain(read) {
        let before = ledger.kept.insert(offset, bytes.clone());
        assert!(before.is_none_or(|before| before == bytes), "offset {offset} was given twice");
    }
}

/// Sends batches until the power is off; what was acknowledged.
fn write(disk: &SimDisk, log: &EmbeddedLog, batches: &[Append]) -> Vec<(u64, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for batch in batches {
        match append(log, batch.clone()) {
            Ok(range) => acknowledged.extend(as_read(batch, range.from)),
            Err(_) if disk.is_on() => {}
            Err(_) => break,
        }
    }
    acknowledged
}

/// Opens the log; when the power fails during that, again and again.
fn open_through_cuts(mut disk: SimDisk, settings: &Settings, cut_after: u64) -> (SimDisk, Arc<EmbeddedLog>) {
    disk.power_cut_after(cut_after);
    loop {
        match open(&disk, settings.clone()) {
            Ok(log) => return (disk, log),
            Err(fault) => {
                assert!(!disk.is_on(), "a power cut is no reason not to open: {fault}");
                disk = disk.restart();
            }
        }
    }
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let sizes = proptest::collection::vec((1usize..5, 0usize..1500), 1..8);
    proptest::collection::vec((sizes, 0u64..90, 0u64..40, 0u8..4, 0u64..8), 2..5)
}

/// Sizes of appends; operations until the cut, at work and at open; how it ends; a sync that fails.
type Life = (Vec<(usize, usize)>, u64, u64, u8, u64);

fn run(seed: u64, lives: &[Life], settings: &Settings) -> Ledger {
    let mut disk = SimDisk::new(seed);
    let mut ledger = Ledger::default();
    for (i, (sizes, cut_after, open_cut_after, ending, failing)) in lives.iter().enumerate() {
        let (now, log) = open_through_cuts(disk, settings, *open_cut_after);
        // The log may be opened on the last operation: what it has must be readable on a disk that goes on.
        let (now, log) = if now.is_on() { (now, log) } else { open_through_cuts(now.restart(), settings, u64::MAX) };
        now.power_cut_after(u64::MAX);
        ledger.check(&log);
        now.power_cut_after(*cut_after);
        if *failing == 0 {
            now.fail_next_sync();
        }
        live(&now, &log, &mut ledger, &i.to_string(), sizes);
        if *ending == 0 {
            // On a disk that has no power it cannot record the end.
            let _ = log.close();
        }
        disk = if *ending == 1 { now.kill() } else { now.restart() };
    }
    // Read after a kill, then lose what was not synced: what was read stays.
    let log = open(&disk, settings.clone()).unwrap();
    ledger.check(&log);
    let disk = disk.restart();
    ledger.check(&open(&disk, settings.clone()).unwrap());
    ledger
}

/// Cases of the property; each is up to five lives of a log.
const CASES: u32 = 150;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_was_acknowledged_or_read_survives_every_power_cut(
        seed in any::<u64>(),
        lives in lives(),
        segment_bytes_max in 4096u64..40_000,
        preallocate in any::<bool>(),
        tail_bytes_max in prop_oneof![Just(0usize), Just(5000), Just(1 << 20)],
    ) {
        run(seed, &lives, &Settings { segment_bytes_max, preallocate, tail_bytes_max, ..small() });
    }
}

/// A run of cuts that cut nothing off proves nothing.
#[test]
fn the_power_cuts_hit_logs_with_work_in_flight() {
    let lives: Vec<Life> = (0..5).map(|i| (vec![(3, 700); 6], 20 + 7 * i, u64::MAX, 2, 1)).collect();
    let ledger = run(7, &lives, &small());
    assert!(ledger.acknowledged > 20, "{}", ledger.acknowledged);
    assert!(ledger.acknowledged < ledger.sent.len(), "some appends were cut off");
}

/// An append that is written, not synced, and left behind by a process that was killed.
fn killed_before_the_sync(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let log = open(&disk, small()).unwrap();
    append(&log, events("synced", 1, 3000)).unwrap();
    disk.hold_syncs();
    std::thread::scope(|threads| {
        let writes = disk.counts().writes;
        let waiting = threads.spawn(|| append(&log, events("written", 3, 3000)));
        wait_while(|| disk.counts().writes == writes);
        let next = disk.kill();
        assert!(matches!(waiting.join().unwrap(), Err(AppendError::Unknown { .. })));
        next
    })
}

#[test]
fn what_is_read_after_a_kill_survives_a_power_cut() {
    for seed in 0..20 {
        let disk = killed_before_the_sync(seed);
        let log = open(&disk, Settings { segment_bytes_max: 1 << 20, ..small() }).unwrap();
        let read = read_all(&log).unwrap();
        assert_eq!(read.len(), 4, "the page cache shows it");
        let log = open(&disk.restart(), small()).unwrap();
        assert_eq!(read_all(&log).unwrap(), read, "seed {seed}");
    }
}

#[test]
fn what_is_read_after_a_failed_sync_and_a_kill_survives_a_power_cut() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let log = open(&disk, Settings { segment_bytes_max: 1 << 20, ..small() }).unwrap();
        append(&log, events("synced", 1, 3000)).unwrap();
        // The sync fails, and so does every attempt to begin a new segment.
        disk.fail_next_syncs(u64::MAX);
        assert!(append(&log, events("written", 3, 3000)).is_err());
        let disk = disk.kill();
        let log = open(&disk, small()).unwrap();
        let read = read_all(&log).unwrap();
        assert_eq!(read.len(), 4, "the page cache shows it, and calls it clean");
        let log = open(&disk.restart(), small()).unwrap();
        assert_eq!(read_all(&log).unwrap(), read, "seed {seed}");
    }
}
