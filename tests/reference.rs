//! Meters, dedupe, windows and lists against the reference model, on random streams through real HTTP: each question
//! goes one of the ways that there are to ask it, by chance.
//!
//! The clock is moved by hand, thresholds are small: within one run memory is sealed and merged, minute rows are
//! dropped, ids expire, blocks are read and segments deleted, meters come and go under load, and weir is started
//! again. Each run counts all that, and fails when one of it did not happen: a proof that proved nothing.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use support::ask::{self, WAYS, Way};
use support::client::Client;
use support::clock::ManualClock;
use support::customers::{self, ATTEMPTS, Attempt, Customer};
use support::lists::{self, List};
use support::model::{self, Event, Meter};
use support::stream::{self, Stream};
use support::voids::{self, ENDINGS, Ending};
use weir::app::{Settings, Weir};

const DAY_NS: i64 = 86_400_000_000_000;
/// 2025-02-20T00:00:00Z: the run moves over a month end, a change of clocks in America and one in Europe.
const START_NS: i64 = 1_740_009_600_000_000_000;
const STEPS: u32 = 40;
const EVENTS_A_STEP: usize = 120;
const QUERIES_A_STEP: usize = 10;
const CUSTOMER_CHANGES_A_STEP: usize = 3;
const CORRECTIONS_A_STEP: usize = 4;
/// How long ids are remembered.
const WINDOW_NS: i128 = 35 * DAY_NS as i128;

struct Run {
    clock: Arc<ManualClock>,
    settings: Settings,
    weir: Option<Weir>,
    stream: Stream,
    /// slug → id and meter; the live ones.
    meters: BTreeMap<String, (String, Meter)>,
    /// All there ever were.
    customers: Vec<Customer>,
    /// Deleted ones: id, meter, and how many events had come by then.
    gone: Vec<(String, Meter, usize)>,
    /// Counters over all starts: a restart begins at 0.
    seen: Counted,
    compared: Compared,
}

/// What was compared with the model.
#[derive(Debug, Default)]
struct Compared {
    rows: BTreeMap<Way, usize>,
    /// Those of `rows` that are a customer's.
    of_customers: BTreeMap<Way, usize>,
    attempts: BTreeMap<Attempt, usize>,
    /// Steps at which a customer's key was another one's subject key.
    shadowed: usize,
    corrections: BTreeMap<Ending, usize>,
    values: usize,
    counts: usize,
    listed: usize,
}

#[derive(Debug, Default)]
struct Counted {
    seals: u64,
    merges: u64,
    hour_rows: u64,
    day_rows: u64,
    dropped_minute_runs: u64,
    expired_ids: u64,
    blocks_read: u64,
    deleted_segments: u64,
    backfills: u64,
}

fn settings(data: &std::path::Path) -> Settings {
    let mut settings = Settings { data: data.to_path_buf(), listen: "127.0.0.1:0".into(), ..Settings::default() };
    settings.embedded.usage.seal_events_max = 150;
    settings.embedded.log.segment_bytes_max = 65_536;
    settings.embedded.ids.hot_ids_max = 100;
    // A run covers a few days, so that some expire between any two starts.
    settings.embedded.ids.run_ids_max = 400;
    settings.http.workers = 2;
    settings.database.url = Some(support::postgres::database().as_str().into());
    settings
}

impl Run {
    fn new(seed: u64, data: &std::path::Path) -> Self {
        let clock = Arc::new(ManualClock::at(START_NS));
        let settings = settings(data);
        let mut run = Run {
            clock,
            settings,
            weir: None,
            stream: Stream::new(seed),
            meters: BTreeMap::new(),
            customers: Vec::new(),
            gone: Vec::new(),
            seen: Counted::default(),
            compared: Compared::default(),
        };
        run.start();
        run
    }

    fn start(&mut self) {
        self.weir = Some(support::start(&self.settings, self.clock.clone()));
    }

    fn client(&self) -> Client {
        Client::new(&self.weir.as_ref().expect("it runs").address().to_string())
    }

    /// An orderly stop and a new start on the same files.
    fn restart(&mut self) {
        self.count();
        self.weir.take().expect("it runs").stop().unwrap_or_else(|error| panic!("{error}"));
        self.start();
    }

    fn count(&mut self) {
        let weir = self.weir.as_ref().expect("it runs");
        let (log, ids, store) = weir.snapshots();
        self.seen.seals += store.seals;
        self.seen.merges += store.merges;
        self.seen.hour_rows += store.hour_rows;
        self.seen.day_rows += store.day_rows;
        self.seen.dropped_minute_runs += store.dropped_minute_runs;
        self.seen.expired_ids += ids.expired_ids;
        self.seen.blocks_read += store.blocks_read;
        self.seen.deleted_segments += log.deleted_segments;
        self.seen.backfills += store.jobs.iter().filter(|job| job.kind == "backfill" && job.total > 0).count() as u64;
    }

    fn create(&mut self, meter: &Meter) {
        let body = stream::create_body(meter);
        let answer = self.client().post("/api/v1/meters", "application/json", body.as_bytes()).expect("weir runs");
        assert_eq!(answer.status, 201, "{body}: {}", answer.body);
        let id = answer.json()["id"].as_str().expect("meters have ids").to_string();
        self.meters.insert(meter.slug.clone(), (id, meter.clone()));
    }

    fn delete(&mut self, slug: &str) {
        let answer = self.client().delete(&format!("/api/v1/meters/{slug}")).expect("weir runs");
        assert_eq!(answer.status, 204, "{slug}: {}", answer.body);
        let (id, meter) = self.meters.remove(slug).expect("only live meters are deleted");
        self.gone.push((id, meter, self.stream.events.len()));
    }

    fn send(&mut self) {
        let now = i128::from(self.clock.nanos());
        let events = self.stream.next(EVENTS_A_STEP, now);
        for part in events.chunks(1 + self.stream.draw.below(60) as usize) {
            let texts: Vec<String> = part.iter().map(Event::render).collect();
            let answer = self.client().send(&texts).expect("weir runs");
            assert_eq!(answer.status, 204, "{}", answer.body);
        }
    }

    /// Names move between customers, with all their history.
    fn change_customers(&mut self) {
        let client = self.client();
        for _ in 0..CUSTOMER_CHANGES_A_STEP {
            let attempt = customers::attempt(&client, &mut self.stream.draw, &mut self.customers);
            *self.compared.attempts.entry(attempt).or_default() += 1;
        }
        self.compared.shadowed += usize::from(customers::any_shadowed(&self.customers));
    }

    /// Events are voided and replaced.
    fn correct(&mut self) {
        let (client, now_ns) = (self.client(), self.now_ns());
        for _ in 0..CORRECTIONS_A_STEP {
            let ending = voids::attempt(&client, &mut self.stream, now_ns, WINDOW_NS);
            *self.compared.corrections.entry(ending).or_default() += 1;
        }
    }

    fn now_ns(&self) -> i128 {
        i128::from(self.clock.nanos())
    }

    fn compare(&mut self, seed: u64) {
        let winners = model::winners(&self.stream.events, WINDOW_NS);
        let counted = model::counting(&winners);
        let meters: Vec<(String, Meter)> = self.meters.values().cloned().collect();
        for _ in 0..QUERIES_A_STEP {
            let (id, meter) = self.stream.draw.pick(&meters).clone();
            self.compare_usage(seed, &id, &meter, &counted);
        }
        for (id, meter, events) in self.gone.clone() {
            let counted = model::counting(&model::winners(&self.stream.events[..events], WINDOW_NS));
            self.compare_usage(seed, &id, &meter, &counted);
            self.compare_values(seed, &id, &meter, &counted);
        }
        let (id, meter) = self.stream.draw.pick(&meters).clone();
        self.compare_values(seed, &id, &meter, &counted);
        self.compare_event_counts(seed, &counted);
        self.compare_lists(seed, &winners);
    }

    fn compare_usage(&mut self, seed: u64, id: &str, meter: &Meter, counted: &[Event]) {
        let (client, now_ns, draw) = (self.client(), self.now_ns(), &mut self.stream.draw);
        let mut query = stream::query(draw, meter, now_ns);
        query.customers = customers::some(draw, &self.customers);
        let expected = model::answer(counted, &self.customers, meter, &query);
        let (way, answered) = ask::usage(&client, draw, id, &query, &self.customers);
        assert_eq!(answered, expected, "seed {seed}: {} asked by {way:?}: {query:?}", meter.slug);
        *self.compared.rows.entry(way).or_default() += expected.len();
        let theirs = expected.iter().filter(|row| row.customer.is_some()).count();
        *self.compared.of_customers.entry(way).or_default() += theirs;
    }

    fn compare_values(&mut self, seed: u64, id: &str, meter: &Meter, counted: &[Event]) {
        let (client, now_ns, draw) = (self.client(), self.now_ns(), &mut self.stream.draw);
        let (from_ns, to_ns) = lists::period(draw, now_ns);
        for dimension in [None].into_iter().chain(meter.dimensions.keys().map(|name| Some(name.as_str()))) {
            // Without a period, the values of a dimension are those of the last day.
            let default_ns = dimension.filter(|_| to_ns.is_none()).map(|_| now_ns - i128::from(DAY_NS));
            let expected = model::values(counted, meter, dimension, from_ns.or(default_ns), to_ns);
            let answered = lists::values(&client, id, dimension, (from_ns, to_ns));
            assert_eq!(answered, expected, "seed {seed}: {} {dimension:?} {from_ns:?} {to_ns:?}", meter.slug);
            self.compared.values += expected.len();
        }
    }

    fn compare_event_counts(&mut self, seed: u64, counted: &[Event]) {
        let (client, now_ns) = (self.client(), self.now_ns());
        let expected = model::event_counts(counted, now_ns - now_ns.rem_euclid(i128::from(DAY_NS)));
        assert_eq!(lists::event_counts(&client), expected, "seed {seed}");
        self.compared.counts += expected.len();
    }

    /// What was voided is listed, too.
    fn compare_lists(&mut self, seed: u64, winners: &[Event]) {
        let (client, now_ns, draw) = (self.client(), self.now_ns(), &mut self.stream.draw);
        let list = *draw.pick(&[List::V2, List::V3]);
        let (query, limit) = (lists::query(draw, list, now_ns, &self.customers), 1 + draw.below(100) as usize);
        let expected = model::listed(winners, &self.customers, &query);
        let (shown, all) = lists::pages(&client, list, &query, limit);
        let expected_here = if all { &expected[..] } else { &expected[..shown.len().min(expected.len())] };
        let expected_here: Vec<lists::Shown> =
            expected_here.iter().map(|event| lists::Shown::of(event, &self.customers)).collect();
        assert_eq!(shown, expected_here, "seed {seed}: {list:?} {query:?} by {limit}");
        self.compared.listed += shown.len();
    }
}

fn run(seed: u64) -> (Counted, Compared) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = Run::new(seed, &dir.path().join("data"));
    let all = stream::meters();
    let (early, late) = all.split_at(3);
    for meter in early {
        run.create(meter);
    }
    let mut waiting: Vec<&Meter> = late.iter().collect();
    for step in 0..STEPS {
        run.send();
        if step % 5 == 4 {
            match waiting.pop() {
                Some(meter) => run.create(meter),
                // Deleted and created again: the new one counts the whole past, too.
                None => {
                    run.delete("count");
                    run.create(&all[1]);
                }
            }
        }
        run.change_customers();
        run.correct();
        run.compare(seed);
        if step % 9 == 8 {
            run.restart();
            run.compare(seed);
        }
        let hours = 1 + run.stream.draw.below(120) as i64;
        run.clock.advance(hours * DAY_NS / 24 + run.stream.draw.below(3_600_000) as i64 * 1_000_000);
    }
    run.count();
    let (seen, compared) = (std::mem::take(&mut run.seen), std::mem::take(&mut run.compared));
    run.weir.take().expect("it runs").stop().unwrap_or_else(|error| panic!("{error}"));
    (seen, compared)
}

#[test]
fn every_answer_is_the_reference_models_to_the_last_digit() {
    let seed = support::seed("reference");
    for round in 0..u64::from(support::rounds(3)) {
        let (seen, compared) = run(seed.wrapping_add(round));
        println!("reference: seed {}: {compared:?}, {seen:?}", seed.wrapping_add(round));
        for way in WAYS {
            assert!(compared.rows.get(&way).is_some_and(|rows| *rows > 0), "no rows compared by {way:?}");
            assert!(compared.of_customers[&way] > 0, "no customer's rows compared by {way:?}");
        }
        for ending in ENDINGS {
            assert!(compared.corrections.contains_key(&ending), "no correction ended with {ending:?}");
        }
        for attempt in ATTEMPTS {
            assert!(compared.attempts.contains_key(&attempt), "no customer was {attempt:?}");
        }
        let all = [
            ("values compared", compared.values as u64),
            ("event counts compared", compared.counts as u64),
            ("keys that were others' subject keys", compared.shadowed as u64),
            ("listed events compared", compared.listed as u64),
            ("seals", seen.seals),
            ("merges", seen.merges),
            ("hour rows", seen.hour_rows),
            ("day rows", seen.day_rows),
            ("dropped minute runs", seen.dropped_minute_runs),
            ("expired ids", seen.expired_ids),
            ("blocks read", seen.blocks_read),
            ("deleted segments", seen.deleted_segments),
            ("backfills", seen.backfills),
        ];
        for (what, count) in all {
            assert!(count > 0, "seed {}: no {what}: nothing was proved", seed.wrapping_add(round));
        }
    }
}
