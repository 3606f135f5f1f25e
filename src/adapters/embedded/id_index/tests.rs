//! The index against a naive model, through crashes, flipped bits and expiry. Every seed is printed by its assertion.

use super::*;
use crate::adapters::embedded::disk::SimDisk;
use crate::domain::digest::HashKey;

/// splitmix64: all of a test's chances follow from its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn tiny() -> Settings {
    Settings { hot_ids_max: 40, frozen_tables_max: 2, run_ids_max: 2_000, merge_factor: 3, merge_pause_every_ids: 7 }
}

fn id_of(number: u64) -> u128 {
    HashKey(1, 2).hash(1, &[&number.to_le_bytes()])
}

fn at(nanos: i64) -> Instant {
    Instant::from_nanos(nanos)
}

fn claim(index: &EmbeddedIdIndex, requests: &[ClaimRequest]) -> Vec<Claim> {
    futures::executor::block_on(index.claim(requests)).expect("the disk works")
}

fn open(disk: &SimDisk, settings: Settings) -> Arc<EmbeddedIdIndex> {
    EmbeddedIdIndex::open(Arc::new(disk.clone()), settings).expect("the disk works")
}

/// All claims ever won, and the rules as a person would say them.
#[derive(Default, Clone)]
struct Model(Vec<ClaimRequest>);

impl Model {
    fn claim(&mut self, asking: &ClaimRequest) -> Claim {
        let same: Vec<&ClaimRequest> = self.0.iter().filter(|won| won.id == asking.id).collect();
        if same.iter().any(|won| won.position == asking.position) {
            return Claim::WonBefore;
        }
        let here = |won: &&&ClaimRequest| won.position.partition == asking.position.partition;
        let inside =
            |won: &&&ClaimRequest| (asking.accepted_at.nanos() - won.accepted_at.nanos()).abs() < asking.window_ns;
        let nearest_here = same
            .iter()
            .filter(here)
            .filter(|won| won.position.offset < asking.position.offset)
            .max_by_key(|won| won.position.offset);
        let elsewhere = || same.iter().filter(|won| !here(won)).filter(inside);
        let before = || {
            elsewhere()
                .filter(|won| won.accepted_at <= asking.accepted_at)
                .max_by_key(|won| (won.accepted_at, won.position))
        };
        let after = || {
            elsewhere()
                .filter(|won| won.accepted_at > asking.accepted_at)
                .min_by_key(|won| (won.accepted_at, won.position))
        };
        let winner = nearest_here.filter(inside).or_else(before).or_else(after).map(|won| **won);
        match winner {
            None => {
                self.0.push(*asking);
                Claim::Won
            }
            Some(won) if won.digest == asking.digest => Claim::Duplicate { winner: won.position },
            Some(won) => Claim::Conflict { winner: won.position },
        }
    }
}

/// A log of requests over some partitions: holes, ids that come again, conflicts, appends that share their time.
fn stream(chance: &mut Chance, partitions: u32, count: usize, window_ns: i64) -> Vec<ClaimRequest> {
    let mut next = vec![0u64; partitions as usize];
    let mut now = vec![1_000i64; partitions as usize];
    let mut log: Vec<ClaimRequest> = Vec::new();
    for number in 0..count as u64 {
        let partition = chance.below(u64::from(partitions)) as usize;
        if chance.one_in(3) {
            now[partition] += chance.below(9) as i64;
        }
        if chance.one_in(200) {
            now[partition] += window_ns / 2;
        }
        next[partition] += 1 + if chance.one_in(5) { chance.below(4) } else { 0 };
        let (mut id, mut digest) = (id_of(number), chance.next() as u32);
        if !log.is_empty() && chance.one_in(4) {
            let near = chance.below(log.len().min(600) as u64) as usize;
            let again = log[log.len() - 1 - near];
            (id, digest) = (again.id, if chance.one_in(4) { digest } else { again.digest });
        }
        let position = Position::new(partition as u32, next[partition]);
        log.push(ClaimRequest { id, digest, position, accepted_at: at(now[partition]), window_ns });
    }
    log
}

/// Claims `log[from..to]` in batches of random size, in both; they must agree.
fn claim_both(index: &EmbeddedIdIndex, model: &mut Model, part: &[ClaimRequest], chance: &mut Chance, about: &str) {
    let mut rest = part;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(rest.len().min(1 + chance.below(70) as usize));
        rest = after;
        let answers = claim(index, batch);
        for (request, answer) in batch.iter().zip(answers) {
            assert_eq!(answer, model.claim(request), "{about}: id {:x} at {}", request.id, request.position);
        }
    }
}

/// Waits until nothing is left to seal or merge: only order is tested, never time.
fn settle(index: &EmbeddedIdIndex) {
    index.checkpoint().expect("the disk works");
    loop {
        let view = Arc::clone(&index.core.shelf().view);
        let ids: Vec<u64> = view.runs.iter().map(|run| run.footer().ids).collect();
        let settings = &index.core.settings;
        let horizon = index.core.shelf().horizon;
        let expired = view.runs.iter().any(|run| horizon.is_some_and(|horizon| run.footer().accepted.1 <= horizon));
        if !expired && plan::next_merge(&ids, settings.merge_factor, settings.run_ids_max).is_none() {
            return;
        }
        std::thread::yield_now();
    }
}

const SEEDS: u64 = 12;
const EVENTS: usize = 2_500;
const WINDOW_NS: i64 = 3_000;

#[test]
fn the_index_answers_as_the_naive_model_does() {
    let (mut merges, mut conflicts, mut replays) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut chance = Chance(seed);
        let log = stream(&mut chance, 1 + seed as u32 % 3, EVENTS, WINDOW_NS);
        let index = open(&SimDisk::new(seed), tiny());
        let mut model = Model::default();
        let mut at = 0;
        while at < log.len() {
            let to = (at + 1 + chance.below(300) as usize).min(log.len());
            claim_both(&index, &mut model, &log[at..to], &mut chance, &format!("seed {seed}"));
            at = to;
            if chance.one_in(3) {
                // A rewind: everything from an earlier record on is claimed again.
                at -= chance.below(at.min(400) as u64) as usize;
                replays += 1;
            }
            if chance.one_in(6) {
                index.checkpoint().unwrap();
            }
        }
        settle(&index);
        claim_both(&index, &mut model, &log, &mut chance, &format!("seed {seed}, once more from the start"));
        conflicts += model.0.len();
        merges += index.snapshot().merges;
    }
    assert!(merges > SEEDS * 5 && conflicts > 0 && replays > SEEDS, "this proved nothing: {merges} merges");
}

#[test]
fn after_a_power_cut_everything_below_the_durable_frontier_is_known() {
    let (mut cuts_with_work, mut reopened_with_ids) = (0, 0);
    for seed in 0..SEEDS * 4 {
        let mut chance = Chance(seed);
        let log = stream(&mut chance, 2, EVENTS / 2, WINDOW_NS);
        let disk = SimDisk::new(seed);
        let index = open(&disk, tiny());
        let mut model = Model::default();
        disk.power_cut_after(30 + chance.below(900));
        // The model is kept as of each moment that was said to be durable.
        let mut durable = Frontier::default();
        for batch in log.chunks(25) {
            let Ok(answers) = futures::executor::block_on(index.claim(batch)) else { break };
            for (request, answer) in batch.iter().zip(answers) {
                assert_eq!(answer, model.claim(request), "seed {seed}");
            }
            if chance.one_in(6) && index.checkpoint().is_err() {
                break;
            }
            durable = index.durable();
        }
        cuts_with_work += u64::from(!disk.is_on());
        drop(index);
        let disk = disk.restart();
        let index = open(&disk, tiny());
        assert!(index.durable().covers(&durable), "seed {seed}: {} is behind {durable}", index.durable());
        for won in model.0.iter().filter(|won| durable.has(won.position)) {
            assert_eq!(claim(&index, &[*won]), [Claim::WonBefore], "seed {seed}: {} is lost", won.position);
        }
        reopened_with_ids += u64::from(index.snapshot().sealed_ids > 0);
        for won in model.0.iter().filter(|won| durable.has(won.position)) {
            assert!(index.owners(won.id).unwrap().contains(&won.position), "seed {seed}: who owns {}?", won.position);
        }
        // What is beyond is lost, asks again, and everything is decided as in the first place.
        let known = index.durable();
        model.0.retain(|won| known.has(won.position));
        claim_both(&index, &mut model, &log, &mut chance, &format!("seed {seed}, after the cut"));
        drop(index);
        let report = check(&disk).unwrap();
        assert!(report.faults.is_empty(), "seed {seed}: {report:?}");
    }
    assert!(cuts_with_work > SEEDS && reopened_with_ids > SEEDS, "{cuts_with_work} cuts, {reopened_with_ids} with ids");
}

#[test]
fn files_that_no_manifest_lists_are_dropped() {
    let disk = SimDisk::new(1);
    let index = open(&disk, tiny());
    claim(&index, &stream(&mut Chance(1), 1, 100, WINDOW_NS));
    index.close().unwrap();
    drop(index);
    let stray = Path::new(DIRECTORY).join("0000009999.ids");
    disk.create(&stray).unwrap();
    let index = open(&disk, tiny());
    assert!(!disk.exists(&stray));
    assert!(index.snapshot().sealed_ids > 50);
}

#[test]
fn a_closed_index_knows_everything_when_it_is_opened_again() {
    let disk = SimDisk::new(2);
    let mut chance = Chance(2);
    let log = stream(&mut chance, 3, 700, WINDOW_NS);
    let mut model = Model::default();
    for part in log.chunks(100) {
        let index = open(&disk, tiny());
        claim_both(&index, &mut model, part, &mut chance, "after a restart");
        index.close().unwrap();
        assert!(index.covers(part[part.len() - 1].position));
        assert_eq!(index.durable(), index.core.frontier());
    }
    assert!(claim_error(&open_closed(&disk), &log[..1]).message.contains("closed"));
}

fn open_closed(disk: &SimDisk) -> Arc<EmbeddedIdIndex> {
    let index = open(disk, tiny());
    index.close().unwrap();
    index
}

fn claim_error(index: &EmbeddedIdIndex, requests: &[ClaimRequest]) -> Fault {
    futures::executor::block_on(index.claim(requests)).expect_err("this must fail")
}

#[test]
fn any_flipped_bit_of_a_run_is_found_with_file_and_offset() {
    let disk = SimDisk::new(3);
    let index = open(&disk, tiny());
    claim(&index, &stream(&mut Chance(3), 2, 600, WINDOW_NS));
    settle(&index);
    index.close().unwrap();
    drop(index);
    let report = check(&disk).unwrap();
    assert!(report.faults.is_empty() && report.ids > 400 && report.blocks > report.runs, "{report:?}");
    let names = disk.list(Path::new(DIRECTORY)).unwrap();
    let mut chance = Chance(4);
    for name in names.iter().filter(|name| name.ends_with(".ids")) {
        let path = Path::new(DIRECTORY).join(name);
        let bits = disk.open(&path).unwrap().len().unwrap() * 8;
        for _ in 0..150 {
            let bit = chance.below(bits);
            disk.flip_bit(&path, bit);
            let report = check(&disk).unwrap();
            assert_eq!(report.faults.len(), 1, "bit {bit} of {name}: {report:?}");
            let message = &report.faults[0].message;
            assert!(message.contains(name), "{message}");
            assert!(message.contains("at byte") || message.contains("newer than this weir"), "{message}");
            disk.flip_bit(&path, bit);
        }
    }
}

#[test]
fn a_lookup_in_a_flipped_block_is_a_fault_and_no_answer() {
    let disk = SimDisk::new(5);
    let index = open(&disk, tiny());
    let log = stream(&mut Chance(5), 1, 30, WINDOW_NS);
    claim(&index, &log);
    index.checkpoint().unwrap();
    let name = &disk.list(Path::new(DIRECTORY)).unwrap()[0];
    disk.flip_bit(&Path::new(DIRECTORY).join(name), 60 * 8);
    let fault = claim_error(&index, &log);
    assert!(fault.message.contains(name.as_str()) && fault.message.contains("at byte 16"), "{fault}");
}

#[test]
fn ids_out_of_every_window_are_dropped_once_no_replay_can_ask() {
    let disk = SimDisk::new(6);
    let index = open(&disk, tiny());
    let mut chance = Chance(6);
    let log = stream(&mut chance, 1, 6_000, WINDOW_NS);
    let mut model = Model::default();
    for part in log.chunks(250) {
        let from = part[0].position.offset;
        claim_both(&index, &mut model, part, &mut chance, "while others expire");
        index.checkpoint().unwrap();
        // The store is one part behind, so that much can be asked again.
        index.release(&Frontier::at(0, from));
        settle(&index);
        claim_both(&index, &mut model, part, &mut chance, "a replay");
    }
    index.release(&index.durable());
    settle(&index);
    let (snapshot, horizon) = (index.snapshot(), index.horizon().unwrap());
    assert!(snapshot.expired_runs > 3 && snapshot.expired_ids > 3_000, "{snapshot:?}");
    let live = model.0.iter().filter(|won| won.accepted_at > horizon).count() as u64;
    let kept = snapshot.sealed_ids + snapshot.hot_ids;
    assert!(live <= kept && kept <= live + 2_500, "{live} live, {kept} kept");
    // The files go after the manifest; once the threads have stopped none is left but those that count.
    index.close().unwrap();
    let names = disk.list(Path::new(DIRECTORY)).unwrap();
    assert_eq!(names.len() as u64, index.snapshot().runs + 1, "{names:?}");
}

#[test]
fn without_a_release_nothing_expires() {
    let index = open(&SimDisk::new(7), tiny());
    let mut chance = Chance(7);
    let log = stream(&mut chance, 1, 3_000, 100);
    let mut model = Model::default();
    claim_both(&index, &mut model, &log, &mut chance, "first");
    settle(&index);
    assert_eq!((index.snapshot().expired_ids, index.horizon()), (0, None));
    claim_both(&index, &mut model, &log, &mut chance, "a replay from the very start");
}

#[test]
fn a_disk_that_fails_for_a_while_loses_nothing() {
    let disk = SimDisk::new(8);
    let index = open(&disk, tiny());
    let mut chance = Chance(8);
    let log = stream(&mut chance, 1, 1_500, WINDOW_NS);
    let mut model = Model::default();
    let mut faults = 0;
    for batch in log.chunks(20) {
        if chance.one_in(4) {
            disk.fail_next_syncs(1);
        }
        if chance.one_in(4) {
            disk.fail_next_writes(1);
        }
        let answers = loop {
            match futures::executor::block_on(index.claim(batch)) {
                Ok(answers) => break answers,
                Err(_) => faults += 1,
            }
        };
        for (request, answer) in batch.iter().zip(answers) {
            assert_eq!(answer, model.claim(request));
        }
        faults += u64::from(chance.one_in(5) && index.checkpoint().is_err());
    }
    assert!(faults > 5, "{faults} faults prove nothing");
    disk.fail_next_syncs(0);
    disk.fail_next_writes(0);
    index.checkpoint().unwrap();
    drop(index);
    let index = open(&disk.restart(), tiny());
    claim_both(&index, &mut model, &log, &mut chance, "after the restart");
}

#[test]
fn memory_stays_within_the_tables_and_two_bytes_a_sealed_id() {
    let settings = Settings { hot_ids_max: 4_096, frozen_tables_max: 1, ..Settings::default() };
    let index = open(&SimDisk::new(9), settings);
    let mut most_hot = 0;
    for batch in 0..120u64 {
        let requests: Vec<ClaimRequest> = (batch * 1_000..(batch + 1) * 1_000)
            .map(|number| ClaimRequest {
                id: id_of(number),
                digest: 0,
                position: Position::new(0, number),
                accepted_at: at(batch as i64),
                window_ns: i64::MAX,
            })
            .collect();
        assert!(claim(&index, &requests).iter().all(|claim| *claim == Claim::Won));
        most_hot = most_hot.max(index.snapshot().hot_ids);
    }
    assert!(most_hot <= 2 * 4_096, "{most_hot} ids in memory");
    settle(&index);
    let snapshot = index.snapshot();
    assert_eq!(snapshot.sealed_ids, 120_000);
    let sealed_memory: usize = index.core.shelf().view.runs.iter().map(|run| run.memory_bytes()).sum();
    assert!(sealed_memory <= 240_000, "{sealed_memory} bytes");
    assert!(snapshot.disk_bytes <= 24 * 120_000, "{} bytes", snapshot.disk_bytes);
}

#[test]
fn an_event_that_is_redriven_under_its_old_position_is_let_through_once() {
    let index = open(&SimDisk::new(10), tiny());
    let request = |number, offset, accepted| ClaimRequest {
        id: id_of(number),
        digest: 1,
        position: Position::new(0, offset),
        accepted_at: at(accepted),
        window_ns: WINDOW_NS,
    };
    claim(&index, &[request(1, 1, 10), request(2, 3, 30), request(3, 4, 40)]);
    index.checkpoint().unwrap();
    // Offset 2 was passed over; it asks later, under its old position.
    assert_eq!(claim(&index, &[request(9, 2, 20)]), [Claim::Won]);
    index.checkpoint().unwrap();
    settle(&index);
    assert_eq!(claim(&index, &[request(9, 2, 20)]), [Claim::WonBefore]);
    assert_eq!(claim(&index, &[request(9, 5, 50)]), [Claim::Duplicate { winner: Position::new(0, 2) }]);
}

#[test]
fn settings_out_of_bounds_are_refused_all_at_once() {
    let settings = Settings { hot_ids_max: 0, merge_factor: 1, ..Settings::default() };
    assert_eq!(settings.validate().unwrap_err().len(), 2);
    assert!(EmbeddedIdIndex::open(Arc::new(SimDisk::new(1)), settings).is_err());
}
