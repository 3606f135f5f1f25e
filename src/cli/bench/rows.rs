//! The rows of the performance table that one node has: 1 to 5, 13 to 15, and memory.

use super::BenchArgs;
use super::drive::{self, Pace, Seen, Shape};
use super::load::{Load, rfc3339};
use super::report::Row;
use super::server::{Server, cpu_ms};
use super::wire::{Answer, Wire};
use crate::cli::client::Failure;
use std::cell::RefCell;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SINGLE: Shape = Shape { connections: 64, events_per_request: 1 };
const BATCH: Shape = Shape { connections: 4, events_per_request: 1_000 };
/// Open-loop rate of row 1's latency, in requests per second.
const SINGLE_RATE: f64 = 10_000.0;
const MILLION: u64 = 1_000_000;
/// What row 3 measures; row 15 compares it.
const COST: &str = "CPU, batch, all in";
/// Gap between two probes of row 4, in milliseconds.
const PROBE_GAP_MS: u64 = 5;
/// Full load before each kill of row 13, in seconds.
const KILL_AFTER_S: u64 = 3;
/// Longest wait for an answer that is not behind, in seconds.
const FRESH_WITHIN_S: u64 = 120;

/// What is going on, and the rows so far.
struct Bench<'a> {
    args: &'a BenchArgs,
    server: Server,
    load: Rc<RefCell<Load>>,
    rows: Vec<Row>,
    runtime: tokio::runtime::Runtime,
    probes: u64,
    batch_rate: f64,
}

pub fn measure(args: &BenchArgs, data: &Path) -> Result<Vec<Row>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut bench = Bench {
        args,
        server: Server::start(data)?,
        load: Rc::new(RefCell::new(Load::new(args.seed))),
        rows: Vec::new(),
        runtime: runtime.map_err(|error| Failure::Said(error.to_string()))?,
        probes: 0,
        batch_rate: 0.0,
    };
    eprintln!("bench: {} runs of {} s a row; idle memory first", args.runs, args.run_s);
    bench.memory("11", "memory, idle", Some((60.0, 120.0)))?;
    for measure in [Bench::cost_in_time, Bench::month, Bench::singles, Bench::batches, Bench::visible] {
        bench.fresh(data, MILLION)?;
        measure(&mut bench)?;
    }
    bench.fresh(data, args.millions * MILLION)?;
    bench.cost_in_time()?;
    bench.cost(true)?;
    bench.month()?;
    bench.singles()?;
    bench.batches()?;
    bench.visible()?;
    bench.cost(false)?;
    bench.slope();
    bench.memory("11", "memory after the load", None)?;
    bench.bytes()?;
    bench.kills()?;
    let Bench { server, rows, .. } = bench;
    server.stop()?;
    Ok(rows)
}

impl Bench<'_> {
    fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(work)
    }

    fn stored_millions(&self) -> u64 {
        (self.load.borrow().ledger.events + MILLION / 2) / MILLION
    }

    /// A row that gets its runs one by one.
    fn row(&mut self, row: &str, what: &str, unit: &str, bounds: Option<(f64, f64)>, more_is_better: bool) -> usize {
        let stored_millions = self.stored_millions();
        let (goal, floor) = (bounds.map(|(goal, _)| goal), bounds.map(|(_, floor)| floor));
        let (row, what, unit) = (row.to_string(), what.to_string(), unit.to_string());
        self.rows.push(Row { row, what, stored_millions, unit, runs: Vec::new(), goal, floor, more_is_better });
        self.rows.len() - 1
    }

    fn note(&mut self, row: usize, figure: f64) {
        self.rows[row].runs.push(figure);
        let row = &self.rows[row];
        eprintln!("bench: {} {} at {} M: {figure:.3} {}", row.row, row.what, row.stored_millions, row.unit);
    }

    fn put(&self, shape: Shape, pace: Pace) -> Result<Seen, Failure> {
        self.wait(drive::put(&self.server.address, &self.load, shape, pace))
    }

    /// A new server on an empty directory that is then filled, so that a row says what it says at this many events.
    fn fresh(&mut self, data: &Path, events: u64) -> Result<(), Failure> {
        self.server.clear()?;
        self.server = Server::start(data)?;
        self.load = Rc::new(RefCell::new(Load::new(self.args.seed)));
        self.probes = 0;
        self.fill(events)
    }

    fn fill(&mut self, events: u64) -> Result<(), Failure> {
        let stored = self.load.borrow().ledger.events;
        if events > stored {
            eprintln!("bench: filling up from {stored} to {events} events");
            self.put(BATCH, Pace::Events(events - stored))?;
        }
        self.server.drain()?;
        self.check()
    }

    /// Every total equals the ledger, to the last digit.
    fn check(&self) -> Result<(), Failure> {
        let (sum, events, distinct) = {
            let load = self.load.borrow();
            (load.ledger.sum(), load.ledger.events, load.ledger.distinct_total())
        };
        let period = self.period();
        let asked = |meter: &str| format!("/api/v1/meters/{meter}/query?{period}");
        let paths = [
            (asked("bench_amount"), sum, "sum"),
            (asked("bench_requests"), u128::from(events), "count"),
            (asked("bench_users"), u128::from(distinct), "distinct users"),
        ];
        self.wait(async {
            let connected = Wire::connect(&self.server.address).await;
            let mut wire = connected.map_err(|error| Failure::Said(error.to_string()))?;
            for (path, expected, what) in paths {
                let answer = fresh(&mut wire, &path).await?;
                let text = String::from_utf8_lossy(&answer.body);
                let probes = u128::from(self.probes);
                if self.probes == 0 && !drive::has_value(&text, expected) {
                    return Err(Failure::Said(format!("the {what} is {expected}, but weir says {text}")));
                }
                if self.probes > 0 && what == "count" && !drive::has_value(&text, expected + probes) {
                    return Err(Failure::Said(format!("the {what} is {expected} + {probes}, but weir says {text}")));
                }
            }
            Ok(())
        })
    }

    /// The last thirty days and tomorrow, as query parameters.
    fn period(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        let today = now - now % 86_400;
        let (mut from, mut to) = (String::new(), String::new());
        rfc3339(today - 30 * 86_400, 0, &mut from);
        rfc3339(today + 86_400, 0, &mut to);
        format!("from={from}&to={to}")
    }

    fn run_length(&self) -> Duration {
        Duration::from_secs(self.args.run_s)
    }

    /// Row 1: single events, as fast as answers come; then at a fixed rate for the latency.
    fn singles(&mut self) -> Result<(), Failure> {
        let rate = self.row("1", "single-event POST, 64 connections", "req/s", Some((20_000.0, 10_000.0)), true);
        for _ in 0..self.args.runs {
            let seen = self.put(SINGLE, Pace::For(self.run_length()))?;
            self.note(rate, seen.rate());
        }
        let p99 = self.row("1", "the same at 10,000 req/s, p99", "ms", Some((5.0, 10.0)), false);
        let median = self.row("1", "the same at 10,000 req/s, p50", "ms", None, false);
        for _ in 0..self.args.runs {
            let seen = self.put(SINGLE, Pace::Rate(SINGLE_RATE, self.run_length()))?;
            self.note(p99, seen.percentile_ms(99.0));
            self.note(median, seen.percentile_ms(50.0));
        }
        self.server.drain()?;
        self.check()
    }

    /// Row 2: batches until a query shows the exact total.
    fn batches(&mut self) -> Result<(), Failure> {
        let row =
            self.row("2", "batch ingest, 1,000 a request, until exact", "events/s", Some((300_000.0, 150_000.0)), true);
        let own = self.row("2", "CPU of the generator meanwhile", "s per 1 M", None, false);
        for _ in 0..self.args.runs {
            let (started, before) = (Instant::now(), cpu_ms("self")?);
            let seen = self.put(BATCH, Pace::For(self.run_length()))?;
            self.check()?;
            self.note(row, seen.events as f64 / started.elapsed().as_secs_f64());
            self.note(own, (cpu_ms("self")? - before) as f64 / 1_000.0 / (seen.events as f64 / MILLION as f64));
        }
        self.batch_rate = self.rows[row].median();
        self.server.drain()
    }

    /// Row 3: CPU until merges and blocks are drained.
    fn cost(&mut self, late: bool) -> Result<(), Failure> {
        let what = if late { "CPU, batch, all in, 30 % late" } else { COST };
        let row = self.row("3", what, "s per 1 M", (!late).then_some((4.0, 8.0)), false);
        self.load.borrow_mut().late(late);
        for _ in 0..self.args.runs {
            let before = self.server.cpu_ms()?;
            self.put(BATCH, Pace::Events(MILLION))?;
            self.server.drain()?;
            self.note(row, (self.server.cpu_ms()? - before) as f64 / 1_000.0);
        }
        self.load.borrow_mut().late(false);
        self.check()
    }

    fn cost_in_time(&mut self) -> Result<(), Failure> {
        self.cost(false)
    }

    /// Row 4: the very next query, at half the load of row 2.
    fn visible(&mut self) -> Result<(), Failure> {
        let p99 = self.row("4", "POST → visible at half the load, p99", "ms", Some((10.0, 20.0)), false);
        let median = self.row("4", "POST → visible at half the load, p50", "ms", None, false);
        let requests_per_s = self.batch_rate / 2.0 / BATCH.events_per_request as f64;
        for _ in 0..self.args.runs {
            let length = self.run_length();
            let seen = {
                let load = drive::put(&self.server.address, &self.load, BATCH, Pace::Rate(requests_per_s, length));
                let probes =
                    drive::probe(&self.server.address, length, Duration::from_millis(PROBE_GAP_MS), self.probes);
                let both = async { futures::future::try_join(load, probes).await };
                self.wait(both)?.1
            };
            self.probes += seen.events;
            self.note(p99, seen.percentile_ms(99.0));
            self.note(median, seen.percentile_ms(50.0));
        }
        self.server.drain()?;
        self.check()
    }

    /// Row 5: one customer's month.
    fn month(&mut self) -> Result<(), Failure> {
        let p99 = self.row("5", "meter total, one customer and month, p99", "ms", Some((2.0, 4.0)), false);
        let median = self.row("5", "meter total, one customer and month, p50", "ms", None, false);
        let period = self.period();
        for _ in 0..self.args.runs {
            let seen = self.wait(drive::ask(&self.server.address, &self.load, &period, self.run_length()))?;
            self.note(p99, seen.percentile_ms(99.0));
            self.note(median, seen.percentile_ms(50.0));
        }
        Ok(())
    }

    fn memory(&mut self, row: &str, what: &str, bounds: Option<(f64, f64)>) -> Result<(), Failure> {
        let row = self.row(row, what, "MiB", bounds, false);
        let kib = self.server.memory_kib()?;
        self.note(row, kib as f64 / 1_024.0);
        Ok(())
    }

    /// Row 14: bytes stored per event, the whole data directory, after merging.
    fn bytes(&mut self) -> Result<(), Failure> {
        self.server.drain()?;
        let row = self.row("14", "bytes stored per event", "B", Some((150.0, 300.0)), false);
        let events = self.load.borrow().ledger.events;
        let bytes = self.server.disk_bytes()?;
        self.note(row, bytes as f64 / events as f64);
        Ok(())
    }

    /// Row 15: how the cost of an event grew.
    fn slope(&mut self) {
        let costs: Vec<f64> = self.rows.iter().filter(|row| row.what == COST).map(Row::median).collect();
        if let [small, .., large] = costs[..] {
            let row = self.row("15", "CPU per event against that at 1 M stored", "×", Some((1.1, 1.2)), false);
            self.note(row, large / small);
        }
    }

    /// Row 13: `kill -9` at full load, then how long until events are taken and reads are exact.
    fn kills(&mut self) -> Result<(), Failure> {
        let accepting = self.row("13", "kill -9 at full load → accepting", "s", Some((1.0, 2.0)), false);
        let exact = self.row("13", "kill -9 at full load → exact reads", "s", Some((5.0, 10.0)), false);
        for _ in 0..self.args.runs {
            let data = self.server.data.clone();
            let process = self.server.address.clone();
            let load = drive::put(&process, &self.load, BATCH, Pace::For(Duration::from_secs(2 * KILL_AFTER_S)));
            let server = &mut self.server;
            let kill = async {
                tokio::time::sleep(Duration::from_secs(KILL_AFTER_S)).await;
                server.kill()
            };
            let (seen, ()) = self.runtime.block_on(async { futures::future::try_join(load, kill).await })?;
            let started = Instant::now();
            self.server = Server::spawn(&data)?;
            self.server.wait_for("/health/ready")?;
            self.note(accepting, started.elapsed().as_secs_f64());
            let unanswered = seen.unanswered;
            if unanswered.is_empty() {
                return Err(Failure::Said("the kill hit no request: it proves nothing".into()));
            }
            self.server.wait_for("/health/records")?;
            self.wait(drive::send_again(&self.server.address, unanswered))?;
            self.check()?;
            self.note(exact, started.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Asks until the answer is not behind what was acknowledged: a bounded wait is part of the API.
async fn fresh(wire: &mut Wire, path: &str) -> Result<Answer, Failure> {
    let until = Instant::now() + Duration::from_secs(FRESH_WITHIN_S);
    while Instant::now() < until {
        let answer = wire.get(path).await.map_err(|error| Failure::Said(error.to_string()))?;
        if !answer.behind {
            return Ok(answer);
        }
    }
    Err(Failure::Said(format!("after {FRESH_WITHIN_S} s the answer is still behind")))
}
