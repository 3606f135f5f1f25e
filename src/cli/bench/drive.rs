//! How load is put on: closed loops (as fast as answers come), open loops (at a rate, whatever comes back), and
//! probes that post an event and ask for it at once.

use super::load::Load;
use super::wire::Wire;
use crate::cli::client::Failure;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Pause before a refused request is sent again, in milliseconds.
const REFUSED_PAUSE_MS: u64 = 5;

fn broken(error: std::io::Error) -> Failure {
    Failure::Said(format!("a connection broke: {error}"))
}

/// What a loop saw.
#[derive(Default)]
pub struct Seen {
    /// Events acknowledged, those sent twice included.
    pub events: u64,
    pub took: Duration,
    /// Of each request, sorted; from the moment it was due in an open loop.
    pub latencies: Vec<Duration>,
    /// Requests answered 503 before they were taken in the end.
    pub refused: u64,
    /// Bodies without an answer when the server died.
    pub unanswered: Vec<String>,
}

impl Seen {
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * percent / 100.0).round() as usize;
        self.latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
    }
}

/// How many events a request carries, over how many connections.
#[derive(Clone, Copy)]
pub struct Shape {
    pub connections: usize,
    pub events_per_request: usize,
}

/// When a loop ends, and how fast it may go.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As fast as answers come, until so many events are acknowledged.
    Events(u64),
    /// As fast as answers come, for so long.
    For(Duration),
    /// So many requests a second in all, for so long.
    Rate(f64, Duration),
}

/// Puts events on; every one of them is acknowledged when this returns, unless the server died.
pub async fn put(address: &str, load: &Rc<RefCell<Load>>, shape: Shape, pace: Pace) -> Result<Seen, Failure> {
    let started = Instant::now();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let budget = Rc::new(RefCell::new(match pace {
        Pace::Events(events) => events,
        _ => u64::MAX,
    }));
    let connection = |index: usize| {
        let (load, seen, budget) = (load.clone(), seen.clone(), budget.clone());
        async move { one_connection(address, index, &load, shape, pace, started, &seen, &budget).await }
    };
    let outcomes = futures::future::join_all((0..shape.connections).map(connection)).await;
    outcomes.into_iter().collect::<Result<Vec<()>, Failure>>()?;
    let mut seen = Rc::try_unwrap(seen).map_err(|_| Failure::Said("a loop is still running".into()))?.into_inner();
    seen.took = started.elapsed();
    seen.latencies.sort_unstable();
    Ok(seen)
}

#[allow(clippy::too_many_arguments)]
async fn one_connection(
    address: &str,
    index: usize,
    load: &RefCell<Load>,
    shape: Shape,
    pace: Pace,
    started: Instant,
    seen: &RefCell<Seen>,
    budget: &RefCell<u64>,
) -> Result<(), Failure> {
    let mut wire = Wire::connect(address).await.map_err(broken)?;
    for request in 0u32.. {
        let due = match pace {
            Pace::Rate(per_second, _) => {
                let gap = Duration::from_secs_f64(shape.connections as f64 / per_second);
                let first = gap.mul_f64(index as f64 / shape.connections as f64);
                started + first + gap * request
            }
            _ => Instant::now(),
        };
        let over = match pace {
            Pace::Events(_) => *budget.borrow() == 0,
            Pace::For(length) | Pace::Rate(_, length) => due.duration_since(started) >= length,
        };
        if over {
            return Ok(());
        }
        tokio::time::sleep_until(due.into()).await;
        let events = (shape.events_per_request as u64).min(*budget.borrow());
        *budget.borrow_mut() -= events;
        let body = draw(&mut load.borrow_mut(), events as usize, shape.events_per_request > 1);
        if !send(&mut wire, &body, shape.events_per_request > 1, seen).await? {
            seen.borrow_mut().unanswered.push(body);
            return Ok(());
        }
        let mut seen = seen.borrow_mut();
        seen.events += events;
        seen.latencies.push(due.elapsed());
    }
    Ok(())
}

fn draw(load: &mut Load, events: usize, batch: bool) -> String {
    if batch {
        return load.batch(events);
    }
    let mut body = String::with_capacity(330);
    load.event(&mut body);
    body
}

/// Sends until it is taken; false when the server is gone.
async fn send(wire: &mut Wire, body: &str, batch: bool, seen: &RefCell<Seen>) -> Result<bool, Failure> {
    loop {
        let Ok(answer) = wire.post_events(batch, body).await else { return Ok(false) };
        match answer.status {
            204 => return Ok(true),
            503 => {
                seen.borrow_mut().refused += 1;
                tokio::time::sleep(Duration::from_millis(REFUSED_PAUSE_MS)).await;
            }
            status => {
                let text = String::from_utf8_lossy(&answer.body);
                return Err(Failure::Said(format!("events were answered {status}: {text}")));
            }
        }
    }
}

/// Sends bodies again that had no answer: the ids make that safe.
pub async fn send_again(address: &str, bodies: Vec<String>) -> Result<(), Failure> {
    let mut wire = Wire::connect(address).await.map_err(broken)?;
    let seen = RefCell::new(Seen::default());
    for body in bodies {
        if !send(&mut wire, &body, body.starts_with('['), &seen).await? {
            return Err(Failure::Said("the server is gone".into()));
        }
    }
    Ok(())
}

/// Posts one event of a subject of its own, asks for that subject at once, and checks the answer; until `length` is
/// over. The latencies are those of the query.
pub async fn probe(address: &str, length: Duration, gap: Duration, first: u64) -> Result<Seen, Failure> {
    let mut wire = Wire::connect(address).await.map_err(broken)?;
    let mut seen = Seen::default();
    let started = Instant::now();
    for probe in first.. {
        if started.elapsed() >= length {
            break;
        }
        let body = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"p-{probe}\",\"source\":\"probe\",\"type\":\"request\",\
             \"subject\":\"probe-{probe}\",\"data\":{{\"amount\":\"0.{probe}1\",\"user\":\"p\"}}}}"
        );
        let answer = wire.post_events(false, &body).await.map_err(broken)?;
        if answer.status != 204 {
            seen.refused += 1;
            continue;
        }
        let asked = Instant::now();
        let answer =
            wire.get(&format!("/api/v1/meters/bench_amount/query?subject=probe-{probe}")).await.map_err(broken)?;
        seen.latencies.push(asked.elapsed());
        let text = String::from_utf8_lossy(&answer.body);
        if !text.contains(&format!("\"value\":0.{probe}1")) {
            return Err(Failure::Said(format!("probe {probe} was acknowledged, but the next query says {text}")));
        }
        seen.events += 1;
        tokio::time::sleep(gap).await;
    }
    seen.took = started.elapsed();
    seen.latencies.sort_unstable();
    Ok(seen)
}

/// Asks for one customer's month over and over, one connection, and checks each answer.
pub async fn ask(address: &str, load: &Rc<RefCell<Load>>, period: &str, length: Duration) -> Result<Seen, Failure> {
    let mut wire = Wire::connect(address).await.map_err(broken)?;
    let mut seen = Seen::default();
    let started = Instant::now();
    let mut subjects: VecDeque<usize> = (0..1_000).map(|_| load.borrow_mut().subject()).collect();
    while started.elapsed() < length {
        let subject = subjects.pop_front().expect("refilled below");
        subjects.push_back(subject);
        let path = format!("/api/v1/meters/bench_amount/query?subject=customer-{subject:06}&{period}");
        let asked = Instant::now();
        let answer = wire.get(&path).await.map_err(broken)?;
        seen.latencies.push(asked.elapsed());
        seen.events += 1;
        let text = String::from_utf8_lossy(&answer.body);
        let sum = load.borrow().ledger.sums[subject];
        let none_yet = load.borrow().ledger.counts[subject] == 0 && text.contains("\"data\":[]");
        if !none_yet && !has_value(&text, sum) {
            return Err(Failure::Said(format!("customer {subject} used {sum}, but the meter says {text}")));
        }
    }
    seen.took = started.elapsed();
    seen.latencies.sort_unstable();
    Ok(seen)
}

/// True when the answer's (first) value is this number, and nothing after it.
pub fn has_value(answer: &str, value: u128) -> bool {
    let value = format!("\"value\":{value}");
    answer
        .find(&value)
        .is_some_and(|at| !answer[at + value.len()..].starts_with(|next: char| next.is_ascii_digit() || next == '.'))
}
