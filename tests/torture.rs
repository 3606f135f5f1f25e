//! P1 and P2 by `kill -9`: one data directory through many rounds. No acknowledged event is lost, none counts twice.
//!
//! Each round: a weir under load from several clients that retry one request in five; killed 5 to 500 ms after the
//! round's 1,000th acknowledged event; started again; what stayed without an answer is sent again with the same ids.
//! Then every total equals the clients' ledger, and every event is there, byte for byte. `WEIR_TEST_ROUNDS` makes it
//! longer, `WEIR_TEST_SEED` repeats a run.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use support::Draw;
use support::client::Client;
use support::model::Query;
use support::process::{Process, Start};

const CLIENTS: u64 = 4;
const ACKED_BEFORE_KILL: u64 = 1_000;
/// Event n happened n milliseconds after this: ten days ago, which the events list still reaches.
static BASE_MS: LazyLock<u64> = LazyLock::new(|| {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("past 1970");
    (now.as_secs() - 10 * 86_400) * 1_000
});
const SUBJECTS: u64 = 20;

/// What has been sent, and how each event must come back.
#[derive(Default)]
struct Ledger {
    /// serial → data as sent.
    acknowledged: BTreeMap<u64, String>,
    /// Requests without an answer.
    unanswered: Vec<Vec<u64>>,
}

fn amount(serial: u64) -> u64 {
    serial * 7_919 % 1_000_003
}

fn user(serial: u64) -> u64 {
    serial * 104_729 % 977
}

fn data(serial: u64) -> String {
    format!("{{\"amount\":\"{}.25\", \"user\":\"u{}\",\"n\":{serial}}}", amount(serial), user(serial))
}

fn event(serial: u64) -> String {
    let time = jiff::Timestamp::from_millisecond((*BASE_MS + serial) as i64).expect("of this era");
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e-{serial}\",\"source\":\"torture\",\"type\":\"request\",\
         \"subject\":\"s{}\",\"time\":\"{time}\",\"data\":{}}}",
        serial % SUBJECTS,
        data(serial)
    )
}

fn body(serials: &[u64]) -> Vec<String> {
    serials.iter().map(|serial| event(*serial)).collect()
}

/// Settings that make seals, merges and new segments frequent.
fn start(meters: &Path) -> Start {
    let start = Start { meters: Some(meters.to_path_buf()), ..Start::default() };
    start
        .set("WEIR_EMBEDDED__USAGE__SEAL_EVENTS_MAX", 400)
        .set("WEIR_EMBEDDED__LOG__SEGMENT_BYTES_MAX", 262_144)
        .set("WEIR_EMBEDDED__IDS__HOT_IDS_MAX", 300)
}

fn meters_file(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("meters.yaml");
    let meters = "meters:\n  \
        - {slug: sum, eventType: request, aggregation: SUM, valueProperty: $.amount}\n  \
        - {slug: count, eventType: request, aggregation: COUNT}\n  \
        - {slug: users, eventType: request, aggregation: UNIQUE_COUNT, valueProperty: $.user}\n";
    std::fs::write(&path, meters).expect("a file");
    path
}

/// One client: batches of 1 to 40 events, one request in five sent twice.
fn load(
    client: &Client,
    draw: &mut Draw,
    serial: &AtomicU64,
    acked: &AtomicU64,
    ledger: &Mutex<Ledger>,
    over: &AtomicBool,
) {
    while !over.load(Ordering::SeqCst) {
        let count = 1 + draw.below(40);
        let first = serial.fetch_add(count, Ordering::SeqCst);
        let serials: Vec<u64> = (first..first + count).collect();
        let times = if draw.chance(20) { 2 } else { 1 };
        for _ in 0..times {
            match client.send(&body(&serials)) {
                Ok(answer) if answer.status == 204 => {
                    let mut ledger = ledger.lock().expect("no client panics");
                    ledger.acknowledged.extend(serials.iter().map(|serial| (*serial, data(*serial))));
                    acked.fetch_add(count, Ordering::SeqCst);
                }
                Ok(answer) if answer.status == 503 => {
                    ledger.lock().expect("no client panics").unanswered.push(serials.clone());
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(answer) => panic!("events were answered {}: {}", answer.status, answer.body),
                Err(_) => {
                    ledger.lock().expect("no client panics").unanswered.push(serials.clone());
                    break;
                }
            }
        }
    }
}

/// Sends what stayed without an answer again.
fn settle(client: &Client, ledger: &Mutex<Ledger>) -> usize {
    let unanswered = std::mem::take(&mut ledger.lock().expect("no client panics").unanswered);
    let count = unanswered.len();
    for serials in unanswered {
        let answer = client.send(&body(&serials)).expect("weir runs");
        assert_eq!(answer.status, 204, "{}", answer.body);
        let mut ledger = ledger.lock().expect("no client panics");
        ledger.acknowledged.extend(serials.iter().map(|serial| (*serial, data(*serial))));
    }
    count
}

fn check_totals(client: &Client, ledger: &Ledger, round: u32) {
    let serials: Vec<u64> = ledger.acknowledged.keys().copied().collect();
    let whole: u64 = serials.iter().map(|serial| amount(*serial)).sum();
    let hundredths = whole * 100 + 25 * serials.len() as u64;
    let sum = support::model::plain(i128::from(hundredths) * 10_000);
    let users: BTreeSet<u64> = serials.iter().map(|serial| user(*serial)).collect();
    let expected = [("count", serials.len().to_string()), ("sum", sum), ("users", users.len().to_string())];
    for (meter, value) in expected {
        let rows = client.usage(meter, &Query::default());
        assert_eq!(rows.len(), 1, "round {round}: {meter}");
        assert_eq!(rows[0].value, value, "round {round}: {meter}");
    }
    let by_subject = client.usage("count", &Query { by_subject: true, ..Query::default() });
    for row in by_subject {
        let subject = row.subject.expect("asked for");
        let counted = serials.iter().filter(|serial| format!("s{}", *serial % SUBJECTS) == subject).count();
        assert_eq!(row.value, counted.to_string(), "round {round}: {subject}");
    }
}

/// Every acknowledged event is there once, its data as it came. A hundred milliseconds hold a hundred events.
fn check_events(client: &Client, ledger: &Ledger) {
    let last = ledger.acknowledged.keys().last().copied().expect("events were acknowledged");
    for first in (0..=last).step_by(100) {
        let bound = |serial: u64| jiff::Timestamp::from_millisecond((*BASE_MS + serial) as i64).expect("of this era");
        let path = format!("/api/v1/events?limit=100&from={}&to={}", bound(first), bound(first + 100));
        let answer = client.get(&path).expect("weir runs");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let stored: BTreeMap<u64, String> = listed(&answer.body);
        let expected: BTreeMap<u64, String> =
            ledger.acknowledged.range(first..first + 100).map(|(serial, data)| (*serial, data.clone())).collect();
        assert_eq!(stored, expected, "events {first} and on");
    }
}

fn listed(body: &str) -> BTreeMap<u64, String> {
    #[derive(serde::Deserialize)]
    struct Item {
        event: Shown,
    }
    #[derive(serde::Deserialize)]
    struct Shown {
        id: String,
        data: Box<serde_json::value::RawValue>,
    }
    let items: Vec<Item> = serde_json::from_str(body).expect("the list is JSON");
    let count = items.len();
    let number = |id: &str| id.trim_start_matches("e-").parse().expect("our own id");
    let map: BTreeMap<u64, String> =
        items.into_iter().map(|item| (number(&item.event.id), item.event.data.get().to_string())).collect();
    assert_eq!(map.len(), count, "an event is listed twice");
    map
}

#[test]
fn no_acknowledged_event_is_lost_and_none_counts_twice_however_often_weir_is_killed() {
    let seed = support::seed("torture");
    let rounds = support::rounds(20);
    let mut draw = Draw(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = dir.path().join("data");
    let meters = meters_file(dir.path());
    let (serial, ledger) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Ledger::default())));
    let (mut with_work_in_flight, mut during_files, mut seals, mut merges) = (0, 0, 0, 0);
    for round in 0..rounds {
        let process = Process::start(&data_dir, &start(&meters));
        if round > 0 {
            during_files += u32::from(process.metric("weir_store_unfinished_files_dropped") > 0);
            with_work_in_flight += u32::from(settle(&process.client, &ledger) > 0);
            check_totals(&process.client, &ledger.lock().expect("no client panics"), round);
        }
        let (acked, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (client, mut draw) = (process.client.clone(), Draw(draw.next()));
                let (serial, acked, ledger, over) = (serial.clone(), acked.clone(), ledger.clone(), over.clone());
                std::thread::spawn(move || load(&client, &mut draw, &serial, &acked, &ledger, &over))
            })
            .collect();
        while acked.load(Ordering::SeqCst) < ACKED_BEFORE_KILL {
            std::thread::sleep(Duration::from_millis(1));
            assert!(!clients.iter().all(|client| client.is_finished()), "round {round}:\n{}", process.log_tail());
        }
        std::thread::sleep(Duration::from_millis(5 + draw.below(496)));
        seals += process.metric("weir_store_seals_total");
        merges += process.metric("weir_store_merges_total");
        process.kill();
        over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("a client ends");
        }
    }
    let process = Process::start(&data_dir, &start(&meters));
    with_work_in_flight += u32::from(settle(&process.client, &ledger) > 0);
    let ledger = ledger.lock().expect("no client panics");
    check_totals(&process.client, &ledger, rounds);
    check_events(&process.client, &ledger);
    println!(
        "torture: {rounds} kills, {} events, {with_work_in_flight} with work in flight, {during_files} during a seal or \
         merge, {seals} seals, {merges} merges seen",
        ledger.acknowledged.len()
    );
    assert!(seals > 0 && merges > 0, "no seal or merge happened: nothing was proved");
    assert!(with_work_in_flight * 2 >= rounds, "too few rounds died with work in flight");
    assert!(during_files * 3 >= rounds, "too few rounds died during a seal, a merge or a manifest");
    assert!(process.stop().success(), "an orderly stop ends with 0");
}
