//! Meters that come and go under load, with `kill -9` while their past is being counted: exact at every moment.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::Draw;
use support::client::Client;
use support::model::Query;
use support::process::{Process, Start};

/// Sends batches until told to stop or the server dies; serials are acknowledged in order.
fn load(client: Client, acked: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::SeqCst) {
        let first = acked.load(Ordering::SeqCst);
        let events: Vec<String> = (first..first + 200).map(event).collect();
        match client.send(&events) {
            Ok(answer) if answer.status == 204 => acked.store(first + 200, Ordering::SeqCst),
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
            Err(_) => return,
        }
    }
}

fn event(serial: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{serial}\",\"source\":\"backfill\",\"type\":\"request\",\"subject\":\"s{}\",\
         \"time\":\"2026-0{}-01T00:00:{:02}Z\",\"data\":{{\"amount\":{serial}}}}}",
        serial % 50,
        1 + serial % 9,
        serial % 60
    )
}

/// The meter's COUNT lies between what was acknowledged before the question and what was sent until the answer.
fn check(client: &Client, slug: &str, acked: &AtomicU64) {
    let before = acked.load(Ordering::SeqCst);
    let rows = client.usage(slug, &Query::default());
    let after = acked.load(Ordering::SeqCst) + 200;
    let counted: u64 = rows[0].value.parse().expect("a count");
    assert!((before..=after).contains(&counted), "{slug}: {counted} is not in {before}..={after}");
}

fn create(client: &Client, slug: &str, aggregation: &str) {
    let value = if aggregation == "COUNT" { "" } else { ",\"valueProperty\":\"$.amount\"" };
    let body = format!("{{\"slug\":\"{slug}\",\"aggregation\":\"{aggregation}\",\"eventType\":\"request\"{value}}}");
    let answer = client.post("/api/v1/meters", "application/json", body.as_bytes()).expect("weir runs");
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[test]
fn a_meter_created_later_is_exact_while_its_past_is_counted_and_after_every_kill() {
    let seed = support::seed("backfill");
    let mut draw = Draw(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let start = Start::default()
        .set("WEIR_EMBEDDED__USAGE__SEAL_EVENTS_MAX", 2_000)
        .set("WEIR_EMBEDDED__USAGE__BACKFILL_ROWS_MAX", 100)
        .set("WEIR_EMBEDDED__LOG__SEGMENT_BYTES_MAX", 1_048_576);
    let acked = Arc::new(AtomicU64::new(0));
    let (mut killed_during, mut rounds) = (0, 0);
    let mut process = Process::start(&data, &start);
    let events: Vec<String> = (0..20_000).map(event).collect();
    for part in events.chunks(2_000) {
        assert_eq!(process.client.send(part).expect("weir runs").status, 204);
    }
    acked.store(20_000, Ordering::SeqCst);
    for round in 0..6 {
        let slug = format!("late_{round}");
        let over = Arc::new(AtomicBool::new(false));
        let loader = {
            let (client, acked, over) = (process.client.clone(), acked.clone(), over.clone());
            std::thread::spawn(move || load(client, acked, over))
        };
        create(&process.client, &slug, "COUNT");
        check(&process.client, &slug, &acked);
        if round % 2 == 1 {
            let gone = format!("late_{}", round - 1);
            assert_eq!(process.client.delete(&format!("/api/v1/meters/{gone}")).expect("weir runs").status, 204);
            assert_eq!(process.client.get(&format!("/api/v1/meters/{gone}/query")).expect("weir runs").status, 404);
        }
        std::thread::sleep(Duration::from_millis(draw.below(60)));
        let job = process.client.get("/metrics").expect("weir runs").body;
        let figure = |name: &str| {
            let line = job.lines().find(|line| line.starts_with(name) && line.contains(&format!("\"{slug}\"")));
            line.and_then(|line| line.rsplit(' ').next()).and_then(|text| text.parse::<u64>().ok())
        };
        let unfinished = figure("weir_meter_job_done") < figure("weir_meter_job_size");
        killed_during += u32::from(unfinished);
        process.kill();
        loader.join().expect("the loader ends");
        over.store(true, Ordering::SeqCst);
        process = Process::start(&data, &start);
        check(&process.client, &slug, &acked);
        rounds += 1;
    }
    // Settled: what is sent again counts no more, and every live meter says the same, by subject and in all.
    let sent = acked.load(Ordering::SeqCst) + 200;
    let rest: Vec<String> = (0..sent).map(event).collect();
    for part in rest.chunks(5_000) {
        assert_eq!(process.client.send(part).expect("weir runs").status, 204);
    }
    create(&process.client, "last_sum", "SUM");
    for round in [1, 3, 5] {
        let slug = format!("late_{round}");
        assert_eq!(process.client.usage(&slug, &Query::default())[0].value, sent.to_string(), "{slug}");
        let by_subject = process.client.usage(&slug, &Query { by_subject: true, ..Query::default() });
        assert_eq!(by_subject.len(), 50);
        for row in by_subject {
            let subject: u64 = row.subject.expect("asked for")[1..].parse().expect("our own");
            let expected = (0..sent).filter(|serial| serial % 50 == subject).count();
            assert_eq!(row.value, expected.to_string(), "{slug} s{subject}");
        }
    }
    let sum = (sent - 1) * sent / 2;
    assert_eq!(process.client.usage("last_sum", &Query::default())[0].value, sum.to_string());
    // What was deleted on the way is removed, and says so.
    let removals = |name: &str| -> Vec<u64> {
        let text = process.client.get("/metrics").expect("weir runs").body;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains("kind=\"removal\""));
        lines.map(|line| line.rsplit(' ').next().and_then(|figure| figure.parse().ok()).expect("a figure")).collect()
    };
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while removals("weir_meter_job_done") != removals("weir_meter_job_size") {
        assert!(std::time::Instant::now() < until, "a removal does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(removals("weir_meter_job_size").len() >= 2, "{:?}", removals("weir_meter_job_size"));
    println!("backfill: {rounds} kills, {killed_during} while a job was visible, {sent} events");
    assert!(killed_during > 0, "no kill hit a backfill: nothing was proved");
    assert!(process.stop().success());
}
