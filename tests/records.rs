//! The business records when things go wrong: PostgreSQL killed, weir killed, the database another one.
//!
//! Each test has weirs as processes of their own. What is asserted at the end is what the clients were told.

mod support;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::client::{Answer, Client, encode};
use support::model::Query;
use support::postgres::{block_on, database, end_left_behind, open_folder};
use support::process::{Process, Start};
use tokio_postgres::NoTls;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events in one request.
const BATCH: u64 = 20;
const JSON: &str = "application/json";
/// A customer's id.
const NOBODY: &str = "01JN8T4Q6Z0000000000000CVS";

fn event(serial: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{serial}\",\"source\":\"edge\",\"type\":\"job\",\"subject\":\"s{}\",\
         \"data\":{{\"seconds\":{serial},\"region\":\"{}\"}}}}",
        serial % 7,
        ["eu", "us"][serial as usize % 2]
    )
}

fn send(client: &Client, first: u64, count: u64) {
    let answer = client.send(&(first..first + count).map(event).collect::<Vec<_>>()).expect("weir runs");
    assert_eq!(answer.status, 204, "{}", answer.body);
}

fn meter(slug: &str, aggregation: &str) -> Value {
    let mut meter = json!({"slug": slug, "aggregation": aggregation, "eventType": "job",
        "groupBy": {"region": "$.region"}});
    if aggregation != "COUNT" {
        meter["valueProperty"] = json!("$.seconds");
    }
    meter
}

/// Posts what must succeed.
fn post(client: &Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, JSON, body.to_string().as_bytes()).expect("weir runs");
    assert!(matches!(answer.status, 200 | 201), "{path} {body}: {} {}", answer.status, answer.body);
    answer.json()
}

fn create(client: &Client, slug: &str, aggregation: &str) -> Value {
    post(client, "/api/v1/meters", &meter(slug, aggregation))
}

fn get(client: &Client, path: &str) -> Value {
    let answer = client.get(path).expect("weir runs");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// A meter's one value over everything.
fn total(client: &Client, meter: &str) -> String {
    client.usage(meter, &Query::default())[0].value.clone()
}

fn wait_until(what: &str, mut seen: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !seen() {
        assert!(Instant::now() < until, "{what}: still not so");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid_of(pid: &str) -> Option<Pid> {
    Pid::from_raw(pid.parse().ok()?)
}

/// A weir's own PostgreSQL. Whatever it leaves running is ended with the test.
struct Private {
    data: PathBuf,
    _folder: tempfile::TempDir,
}

impl Private {
    fn new() -> Self {
        let folder = open_folder();
        Self { data: folder.path().join("data"), _folder: folder }
    }

    fn start(&self) -> Process {
        Process::start(&self.data, &Start::default().set("WEIR_DATABASE__URL", ""))
    }

    fn cluster(&self) -> PathBuf {
        self.data.join("postgres/cluster")
    }

    /// The postmaster's process id; `None`: there is none.
    fn pid(&self) -> Option<String> {
        let file = std::fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?;
        let runs = |pid: &String| pid_of(pid).is_some_and(|pid| test_kill_process(pid).is_ok());
        Some(file.lines().next()?.to_string()).filter(runs)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        end_left_behind(&self.data);
    }
}

/// While it lives, PostgreSQL cannot be started.
struct Unstartable(PathBuf);

impl Unstartable {
    fn make(cluster: &Path) -> Self {
        let file = cluster.join("postgresql.conf");
        std::fs::rename(&file, file.with_extension("away")).expect("a cluster has its settings");
        Self(file)
    }
}

impl Drop for Unstartable {
    fn drop(&mut self) {
        std::fs::rename(self.0.with_extension("away"), &self.0).expect("it was put there");
    }
}

/// Sends batch after batch; each must be taken. `acknowledged`: how many events were.
fn ingest(client: &Client, acknowledged: &AtomicU64, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let first = acknowledged.load(Ordering::SeqCst);
        send(client, first, BATCH);
        acknowledged.store(first + BATCH, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the load also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Every route that needs the database says so.
fn assert_records_are_away(client: &Client, meter_id: &str) {
    let new = meter("new", "COUNT").to_string();
    let new_v3 = json!({"key": "new", "name": "New", "aggregation": "count", "event_type": "job"}).to_string();
    let ask = |method: &str, path: &str, body: &str| -> Answer {
        let asked = match method {
            "GET" => client.get(path),
            "DELETE" => client.delete(path),
            "PUT" => client.put(path, JSON, body.as_bytes()),
            _ => client.post(path, JSON, body.as_bytes()),
        };
        asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    };
    let v3 = format!("/api/v3/openmeter/meters/{meter_id}");
    let of_customer = format!("/api/v1/meters/sum/query?filterCustomerId={NOBODY}");
    let by_customer = json!({"filterCustomerId": [NOBODY]}).to_string();
    let query_v3 = format!("{v3}/query");
    let by_customer_v3 = json!({"filters": {"dimensions": {"customer_id": {"eq": NOBODY}}}}).to_string();
    let events_of = format!("/api/v1/events?customerId={NOBODY}");
    let filter = json!({"customerId": {"$in": [NOBODY]}}).to_string();
    let events_of_v2 = format!("/api/v2/events?filter={}", encode(&filter));
    let events_of_v3 = format!("/api/v3/openmeter/events?filter[customer_id]={NOBODY}");
    #[rustfmt::skip]
    let table = [
        ("GET",    "/api/v1/meters",            ""),
        ("POST",   "/api/v1/meters",            new.as_str()),
        ("GET",    "/api/v1/meters/sum",        ""),
        ("PUT",    "/api/v1/meters/sum",        r#"{"description":"changed"}"#),
        ("DELETE", "/api/v1/meters/sum",        ""),
        ("GET",    "/api/v1/subjects",          ""),
        ("POST",   "/api/v1/subjects",          r#"[{"key":"s2"}]"#),
        ("GET",    "/api/v1/subjects/s1",       ""),
        ("DELETE", "/api/v1/subjects/s1",       ""),
        ("GET",    "/api/v1/audit",             ""),
        ("GET",    "/api/v3/openmeter/meters",  ""),
        ("POST",   "/api/v3/openmeter/meters",  new_v3.as_str()),
        ("GET",    v3.as_str(),                 ""),
        ("PUT",    v3.as_str(),                 r#"{"name":"Changed"}"#),
        ("DELETE", v3.as_str(),                 ""),
        ("GET",    of_customer.as_str(),        ""),
        ("POST",   "/api/v1/meters/sum/query",  by_customer.as_str()),
        ("POST",   query_v3.as_str(),           by_customer_v3.as_str()),
        ("GET",    events_of.as_str(),          ""),
        ("GET",    events_of_v2.as_str(),       ""),
        ("GET",    events_of_v3.as_str(),       ""),
    ];
    for (method, path, body) in table {
        let answer = ask(method, path, body);
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
        assert!(answer.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
        assert_eq!(answer.json()["status"], 503, "{method} {path}");
    }
}

/// What is answered without the database.
fn assert_usage_goes_on(client: &Client, meter_id: &str, acknowledged: &AtomicU64) {
    let before = acknowledged.load(Ordering::SeqCst);
    let counted: u64 = total(client, "count").parse().expect("a count");
    assert!(counted >= before, "{counted} of {before} acknowledged events are counted");
    assert_eq!(get(client, "/api/v1/meters/sum/subjects").as_array().expect("a list").len(), 7);
    assert_eq!(get(client, "/api/v1/meters/sum/group-by/region/values"), json!(["eu", "us"]));
    let listed = client.get("/api/v1/events?limit=5").expect("weir runs");
    assert_eq!((listed.status, listed.json().as_array().expect("a list").len()), (200, 5));
    assert_eq!(listed.headers["x-weir-customers"], "unknown");
    assert_eq!(get(client, "/api/v3/openmeter/events?page[size]=5")["data"].as_array().expect("a list").len(), 5);
    let by_region = json!({"group_by_dimensions": ["region"]});
    let rows = post(client, &format!("/api/v3/openmeter/meters/{meter_id}/query"), &by_region);
    assert_eq!(rows["data"].as_array().expect("rows").len(), 2);
}

#[test]
fn ingest_and_usage_never_notice_that_postgresql_is_away_and_the_rest_recovers() {
    let private = Private::new();
    let process = private.start();
    let client = &process.client;
    let id = create(client, "sum", "SUM")["id"].as_str().expect("an id").to_string();
    create(client, "count", "COUNT");
    post(client, "/api/v1/subjects", &json!([{"key": "s1", "displayName": "One"}]));
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _over = Over(&over);
        let load = scope.spawn(|| ingest(client, &acknowledged, &over));
        let more = |events: u64| {
            let first = acknowledged.load(Ordering::SeqCst);
            wait_until("events are acknowledged", || {
                load.is_finished() || acknowledged.load(Ordering::SeqCst) >= first + events
            });
        };
        more(200);
        for round in 0..2 {
            let killed = private.pid().expect("it runs");
            let unstartable = Unstartable::make(&private.cluster());
            kill_process(pid_of(&killed).expect("a process id"), Signal::KILL).expect("it runs");
            wait_until("weir sees it", || client.get("/health/records").is_ok_and(|answer| answer.status == 503));
            assert_eq!(get(client, "/health/ready"), json!({"status": "ok"}));
            more(200);
            assert_records_are_away(client, &id);
            assert_usage_goes_on(client, &id, &acknowledged);
            more(200);
            drop(unstartable);
            wait_until("it is back", || client.get("/health/records").is_ok_and(|answer| answer.status == 200));
            assert_ne!(private.pid().expect("it runs"), killed);
            create(client, &format!("after_{round}"), "SUM");
            assert_eq!(get(client, "/api/v1/subjects/s1")["displayName"], "One");
            more(200);
        }
    });
    let events = acknowledged.load(Ordering::SeqCst);
    println!("records: {events} events, none refused");
    let sum = (events * (events - 1) / 2).to_string();
    for (slug, value) in [("count", &events.to_string()), ("sum", &sum), ("after_0", &sum), ("after_1", &sum)] {
        assert_eq!(&total(client, slug), value, "{slug}");
    }
    let operations = get(client, "/api/v1/audit");
    let operations: Vec<&str> = operations["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["operation"].as_str().expect("a text"))
        .collect();
    assert_eq!(operations.len(), 5, "what was refused left no trace: {operations:?}");
    assert!(process.stop().success());
    assert_eq!(private.pid(), None, "a stopped weir leaves no PostgreSQL");
}

#[test]
fn a_killed_weir_leaves_its_postgresql_to_the_next_one() {
    let private = Private::new();
    let process = private.start();
    let sum = create(&process.client, "sum", "SUM");
    post(&process.client, "/api/v1/subjects", &json!([{"key": "s1", "displayName": "One"}]));
    send(&process.client, 0, 100);
    let lists = ["/api/v1/meters", "/api/v1/subjects", "/api/v1/audit", "/api/v1/events"];
    let before = lists.map(|path| get(&process.client, path));
    let pid = private.pid().expect("it runs");
    process.kill();
    assert_eq!(private.pid().as_ref(), Some(&pid), "it lives on");

    let process = private.start();
    assert_eq!(private.pid(), Some(pid), "it is the same one");
    assert_eq!(lists.map(|path| get(&process.client, path)), before);
    assert_eq!(get(&process.client, "/api/v1/meters/sum"), sum);
    assert_eq!(total(&process.client, "sum"), "4950");
    create(&process.client, "count", "COUNT");
    assert_eq!(total(&process.client, "count"), "100");
    assert!(process.stop().success());
    assert_eq!(private.pid(), None, "one that was adopted is stopped as well");
}

/// Holds the lock of those who publish, as a slow publisher would, while `work` runs. `work` may ask for one number.
fn while_nobody_can_publish<T: Send>(url: &str, work: impl FnOnce(&dyn Fn(&str) -> i64) -> T + Send) -> T {
    const LOCK: &str = "SELECT pg_advisory_lock($1)";
    let key = i64::from_be_bytes(*b"weiroutb");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server runs");
        tokio::spawn(connection);
        client.execute(LOCK, &[&key]).await.expect("nobody publishes");
        client
    });
    let number = |sql: &str| runtime.block_on(async { client.query_one(sql, &[]).await.expect("a number").get(0) });
    work(&number)
}

/// One number, asked of a database.
fn number(url: &str, sql: &str) -> i64 {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server runs");
        tokio::spawn(connection);
        client.query_one(sql, &[]).await.expect("a number").get(0)
    })
}

#[test]
fn a_meter_that_was_committed_when_weir_was_killed_is_published_by_the_next_start() {
    const OPEN_ROWS: &str = "SELECT count(*) FROM outbox";
    const LATE_METERS: &str = "SELECT count(*) FROM meters WHERE slug = 'late'";
    const WAITING: &str = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let waiting = format!("SELECT count(*) {WAITING}");
    let end_waiting = format!("SELECT count(pg_terminate_backend(pid)) {WAITING}");
    let dir = tempfile::tempdir().expect("a directory");
    let (data, url) = (dir.path().join("data"), database());
    let start = Start::default().set("WEIR_DATABASE__URL", &url);
    let late = meter("late", "SUM").to_string();
    let keyed = [("Content-Type", JSON), ("Idempotency-Key", "once")];
    let process = Process::start(&data, &start);
    create(&process.client, "early", "COUNT");
    send(&process.client, 0, 100);

    let mut process = while_nobody_can_publish(&url, |number| {
        let client = process.client.clone();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| client.post_with("/api/v1/meters", &keyed, late.as_bytes()));
            wait_until("it is committed", || number(OPEN_ROWS) == 1);
            wait_until("it waits to be published", || number(&waiting) == 1);
            assert_eq!(number(LATE_METERS), 1);
            assert_eq!(client.get("/api/v1/meters/late/query").expect("weir runs").status, 404, "not in effect yet");
            process.kill();
            asked.join().expect("no panic").expect_err("weir was gone before it could answer");
        });
        // The server has not noticed yet that the killed weir's publisher is gone.
        assert_eq!(number(&end_waiting), 1);
        wait_until("nobody waits to publish", || number(&waiting) == 0);
        let mut process = Process::spawn(&data, &start);
        process.wait_ready();
        send(&process.client, 100, 100);
        wait_until("the next weir waits to publish", || number(&waiting) == 1);
        for path in ["/health/records", "/api/v1/meters", "/api/v1/meters/late/query", "/api/v1/meters/early/query"] {
            let answer = process.client.get(path).expect("weir runs");
            assert_eq!(answer.status, 503, "{path} before the open row is published: {}", answer.body);
        }
        assert_eq!((number(OPEN_ROWS), number(LATE_METERS)), (1, 1));
        process
    });
    process.wait_healthy("/health/records");
    assert_eq!(number(&url, OPEN_ROWS), 0);
    let sum = (200 * 199 / 2).to_string();
    assert_eq!(total(&process.client, "late"), sum, "it counts the whole past");

    let listed = get(&process.client, "/api/v1/meters");
    let repeated = process.client.post_with("/api/v1/meters", &keyed, late.as_bytes()).expect("weir runs");
    assert_eq!((repeated.status, repeated.headers.get("idempotency-replayed")), (201, Some(&"true".to_string())));
    assert_eq!(repeated.json(), listed[1]);
    assert_eq!(get(&process.client, "/api/v1/meters"), listed);
    assert_eq!((number(&url, LATE_METERS), total(&process.client, "late")), (1, sum));
    let other = process.client.post_with("/api/v1/meters", &keyed, meter("other", "SUM").to_string().as_bytes());
    assert_eq!(other.expect("weir runs").status, 409, "the key belongs to another request");
    assert!(process.stop().success());
}

#[test]
fn meters_that_only_the_log_knows_are_taken_over_as_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let on_a_fresh_database = || Process::start(&data, &Start::default().set("WEIR_DATABASE__URL", database()));
    let process = on_a_fresh_database();
    send(&process.client, 0, 50);
    for aggregation in ["SUM", "COUNT", "AVG", "MIN", "MAX", "UNIQUE_COUNT", "LATEST"] {
        create(&process.client, &aggregation.to_lowercase(), aggregation);
    }
    // Other dimensions make another version of it, and versions are what the log has.
    let change = json!({"description": "changed", "metadata": {"a": "b"}, "groupBy": {"place": "$.region"}});
    let changed = process.client.put("/api/v1/meters/avg", JSON, change.to_string().as_bytes()).expect("weir runs");
    assert_eq!(changed.status, 200, "{}", changed.body);
    create(&process.client, "gone", "SUM");
    assert_eq!(process.client.delete("/api/v1/meters/gone").expect("weir runs").status, 204);
    create(&process.client, "gone", "MAX");
    send(&process.client, 50, 50);
    let known = get(&process.client, "/api/v1/meters?includeDeleted=true");
    let known = known.as_array().expect("a list");
    let query =
        |meter: &Value| format!("/api/v1/meters/{}/query?groupBy=subject", meter["id"].as_str().expect("an id"));
    let values: Vec<Value> = known.iter().map(|meter| get(&process.client, &query(meter))).collect();
    assert!(process.stop().success());

    let process = on_a_fresh_database();
    let taken_over = get(&process.client, "/api/v1/meters?includeDeleted=true");
    assert_eq!(taken_over.as_array().expect("a list"), known);
    for (meter, values) in known.iter().zip(values) {
        assert_eq!(get(&process.client, &query(meter)), values, "{meter}");
    }
    // They are whole: each can be changed and deleted, and a slug is free afterwards.
    for slug in ["sum", "gone"] {
        assert_eq!(process.client.delete(&format!("/api/v1/meters/{slug}")).expect("weir runs").status, 204);
        create(&process.client, slug, "COUNT");
        assert_eq!(total(&process.client, slug), "100");
    }
    assert!(process.stop().success());
}
