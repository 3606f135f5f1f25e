use super::platter::PAGE;
use super::*;
use proptest::prelude::*;

fn path(name: &str) -> &Path {
    Path::new(name)
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(path(name)).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    Some(bytes)
}

/// A durable file `a` with these bytes.
fn with_file(seed: u64, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(seed);
    let file = disk.create(path("a")).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("")).unwrap();
    disk
}

/// What is seen over many seeds.
fn outcomes<T: Ord>(run: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..300).map(run).collect()
}

#[test]
fn pages_survive_in_any_subset_and_older_versions_too() {
    let seen = outcomes(|seed| {
        let disk = with_file(seed, &[0; 3 * PAGE]);
        let file = disk.open(path("a")).unwrap();
        file.write_at(0, &[1; 3 * PAGE]).unwrap();
        file.write_at(PAGE as u64, &[2; PAGE]).unwrap();
        let bytes = content(&disk.restart(), "a").unwrap();
        [bytes[0], bytes[PAGE], bytes[2 * PAGE]]
    });
    let mut all = BTreeSet::new();
    for first in [0, 1] {
        for second in [0, 1, 2] {
            for third in [0, 1] {
                all.insert([first, second, third]);
            }
        }
    }
    assert_eq!(seen, all);
}

#[test]
fn an_unsynced_length_may_be_the_old_the_new_or_between() {
    let lengths = outcomes(|seed| {
        let disk = with_file(seed, &[7; 100]);
        disk.open(path("a")).unwrap().write_at(100, &[8; 9000]).unwrap();
        let bytes = content(&disk.restart(), "a").unwrap();
        assert!(bytes[..100].iter().all(|byte| *byte == 7), "seed {seed}: what was synced survives");
        bytes.len()
    });
    assert!(lengths.contains(&100) && lengths.contains(&9100));
    assert!(lengths.iter().any(|length| (101..9100).contains(length)));
}

#[test]
fn an_unsynced_truncation_may_be_undone() {
    let lengths = outcomes(|seed| {
        let disk = with_file(seed, &[7; 5000]);
        disk.open(path("a")).unwrap().truncate(10).unwrap();
        content(&disk.restart(), "a").unwrap().len()
    });
    assert!(lengths.contains(&5000) && lengths.contains(&10));
}

#[test]
fn a_page_that_was_written_and_cut_off_is_not_synced() {
    let disk = with_file(1, &[7; 5000]);
    let file = disk.open(path("a")).unwrap();
    file.write_at(4090, &[8; 100]).unwrap();
    file.truncate(4084).unwrap();
    file.sync().unwrap();
    assert_eq!(content(&disk.restart(), "a").unwrap(), [7; 4084]);
}

#[test]
fn unsynced_entries_may_or_may_not_survive_and_a_rename_is_atomic() {
    let seen = outcomes(|seed| {
        let disk = with_file(seed, b"old");
        let file = disk.create(path("a.new")).unwrap();
        file.write_at(0, b"new").unwrap();
        file.sync().unwrap();
        disk.rename(path("a.new"), path("a")).unwrap();
        let disk = disk.restart();
        (content(&disk, "a").unwrap(), disk.exists(path("a.new")))
    });
    assert_eq!(
        seen,
        BTreeSet::from([(b"old".to_vec(), false), (b"old".to_vec(), true), (b"new".to_vec(), false)]),
        "the old one, the old one beside the new one, or the new one"
    );
}

#[test]
fn a_removal_counts_once_its_directory_is_synced() {
    let kept = outcomes(|seed| {
        let disk = with_file(seed, b"x");
        disk.remove(path("a")).unwrap();
        assert!(!disk.exists(path("a")));
        disk.restart().exists(path("a"))
    });
    assert_eq!(kept, BTreeSet::from([false, true]));
    let disk = with_file(1, b"x");
    disk.remove(path("a")).unwrap();
    disk.sync_dir(path("")).unwrap();
    assert!(!disk.restart().exists(path("a")));
}

#[test]
fn a_killed_process_leaves_the_page_cache_and_a_later_power_cut_may_take_it() {
    let seen = outcomes(|seed| {
        let disk = with_file(seed, b"old");
        let file = disk.open(path("a")).unwrap();
        file.write_at(0, b"new").unwrap();
        let next = disk.kill();
        assert!(file.sync().is_err(), "the dead process does nothing more");
        assert_eq!(content(&next, "a").unwrap(), b"new");
        content(&next.restart(), "a").unwrap()
    });
    assert_eq!(seen.len(), 2);
}

#[test]
fn syncing_again_after_a_failed_sync_saves_nothing() {
    let seen = outcomes(|seed| {
        let disk = with_file(seed, b"old");
        let file = disk.open(path("a")).unwrap();
        file.write_at(0, b"new").unwrap();
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(content(&disk, "a").unwrap(), b"new");
        assert_eq!(disk.counts().failed_syncs, 1);
        content(&disk.restart(), "a").unwrap()
    });
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn after_the_cut_every_operation_fails() {
    let disk = with_file(1, b"abc");
    let file = disk.open(path("a")).unwrap();
    disk.power_cut_after(2);
    file.read_at(0, &mut [0; 3]).unwrap();
    file.write_at(0, b"d").unwrap();
    assert!(disk.is_on());
    assert_eq!(file.sync().unwrap_err().to_string(), "the power is off");
    assert!(disk.open(path("a")).is_err() && disk.list(path("")).is_err() && !disk.exists(path("a")));
    assert!(!disk.is_on() && disk.restart().is_on());
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_disk(seed in any::<u64>(), writes in proptest::collection::vec((0u64..20_000, 0usize..9000), 0..8)) {
        let run = || {
            let disk = with_file(seed, &[9; 10_000]);
            let file = disk.open(path("a")).unwrap();
            for (i, (offset, length)) in writes.iter().enumerate() {
                file.write_at(*offset, &vec![i as u8; *length]).unwrap();
            }
            content(&disk.restart(), "a")
        };
        prop_assert_eq!(run(), run());
    }
}
