//! `weir events`: send events safely, watch what comes in, and ask why one counted or did not.

use super::Server;
use super::client::{Client, Failure};
use super::text;
use clap::{Args, Subcommand};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Send CloudEvents from a file or standard input: one JSON object a line. What was refused or stayed without a
    /// clear answer is sent again with the same ids, which is safe
    Send(SendArgs),
    /// Print events as they come in, newest last; Ctrl-C ends it
    Tail(TailArgs),
    /// Say what became of an event: what it counts in, or why it does not
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    server: Server,
    /// File with one event a line; `-` or nothing is standard input
    file: Option<PathBuf>,
    /// Events per request
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch_events: u32,
    /// How often a batch is tried before giving up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    attempts_max: u32,
}

#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    server: Server,
    /// Only this subject
    #[arg(long)]
    subject: Option<String>,
    /// How often to look, in milliseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    every_ms: u64,
    /// Print what there is and end
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    server: Server,
    /// The event's id
    id: String,
    /// The event's source; every source when absent
    #[arg(long)]
    source: Option<String>,
}

pub fn run(command: EventsCommand) -> Result<(), Failure> {
    match command {
        EventsCommand::Send(args) => send(&args),
        EventsCommand::Tail(args) => tail(&args),
        EventsCommand::Explain(args) => explain(&args),
    }
}

/// Longest pause between two attempts, in milliseconds.
const PAUSE_MS_MAX: u64 = 10_000;
/// Longest line read, in bytes.
const LINE_BYTES_MAX: u64 = 32 << 20;
/// Events fetched per look of `tail`: the API's own limit.
const TAIL_EVENTS_MAX: &str = "100";
/// Events remembered by `tail` so that none is printed twice.
const TAIL_SEEN_MAX: usize = 10_000;

fn send(args: &SendArgs) -> Result<(), Failure> {
    let input: Box<dyn Read> = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let opened = std::fs::File::open(path);
            Box::new(opened.map_err(|error| Failure::Said(format!("cannot read {}: {error}", path.display())))?)
        }
        _ => Box::new(std::io::stdin()),
    };
    let client = Client::new(&args.server);
    let mut lines = BufReader::new(input);
    let (mut sent, mut line_number) = (0u64, 0u64);
    loop {
        let batch = next_batch(&mut lines, args.batch_events as usize, &mut line_number)?;
        if batch.is_empty() {
            eprintln!("\rsent {sent} events: all durable");
            return Ok(());
        }
        deliver(&client, &format!("[{}]", batch.join(",")), args.attempts_max).map_err(|failure| {
            Failure::Said(format!("the batch that ends at line {line_number} was not taken: {failure}"))
        })?;
        sent += batch.len() as u64;
        eprint!("\rsent {sent} events");
        std::io::stderr().flush().map_err(|error| Failure::Said(error.to_string()))?;
    }
}

/// Up to `count` events, one a line; blank lines are passed over.
fn next_batch(lines: &mut impl BufRead, count: usize, line_number: &mut u64) -> Result<Vec<String>, Failure> {
    let mut batch = Vec::new();
    while batch.len() < count {
        let mut line = String::new();
        let read = lines.take(LINE_BYTES_MAX).read_line(&mut line);
        if read.map_err(|error| Failure::Said(format!("line {}: {error}", *line_number + 1)))? == 0 {
            break;
        }
        *line_number += 1;
        if line.trim().is_empty() {
            continue;
        }
        serde_json::from_str::<&RawValue>(line.trim())
            .map_err(|error| Failure::Said(format!("line {line_number} is not JSON: {error}")))?;
        batch.push(line.trim().to_string());
    }
    Ok(batch)
}

/// Tries until the batch is durable. Refused and unknown outcomes are tried again: the ids make that safe.
fn deliver(client: &Client, body: &str, attempts_max: u32) -> Result<(), Failure> {
    let mut pause_ms = 100;
    for attempt in 1.. {
        let failure = match client.post("/api/v1/events", "application/cloudevents-batch+json", body.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        let again = match &failure {
            Failure::Unreachable { .. } => true,
            Failure::Problem { status, .. } => *status == 503 || *status == 429,
            _ => false,
        };
        if !again || attempt >= attempts_max {
            return Err(failure);
        }
        let asked_ms = match &failure {
            Failure::Problem { retry_after_s: Some(seconds), .. } => seconds.saturating_mul(1_000),
            _ => pause_ms,
        };
        std::thread::sleep(Duration::from_millis(asked_ms.clamp(pause_ms, PAUSE_MS_MAX)));
        pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
    }
    unreachable!("the loop returns")
}

fn tail(args: &TailArgs) -> Result<(), Failure> {
    let client = Client::new(&args.server);
    let mut query = vec![("limit", TAIL_EVENTS_MAX)];
    query.extend(args.subject.as_deref().map(|subject| ("subject", subject)));
    let mut seen: VecDeque<(String, String)> = VecDeque::new();
    loop {
        let rows: Vec<text::Members> = client.get_as("/api/v1/events", &query)?;
        for row in rows.iter().rev() {
            let event = text::inner(row, "event");
            let identity = (text::cell(&event, "source"), text::cell(&event, "id"));
            if seen.contains(&identity) {
                continue;
            }
            let shown = ["time", "type", "subject", "source", "id", "data"].map(|name| text::cell(&event, name));
            match text::cell(row, "validationError") {
                why if why.is_empty() => println!("{}", shown.join("  ")),
                why => println!("{}  ! {}", shown.join("  "), why.replace('\n', "; ")),
            }
            seen.push_back(identity);
            if seen.len() > TAIL_SEEN_MAX {
                seen.pop_front();
            }
        }
        if args.once {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(args.every_ms));
    }
}

fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let mut query = vec![("id", args.id.as_str())];
    query.extend(args.source.as_deref().map(|source| ("source", source)));
    let found: Vec<Box<RawValue>> = Client::new(&args.server).get_as("/api/v1/events/explain", &query)?;
    if found.is_empty() {
        return Err(Failure::Said(format!("no event has the id {:?}; was it accepted (204)?", args.id)));
    }
    found.iter().for_each(|event| println!("{event}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_at_its_size_and_names_the_line_that_is_not_json() {
        let mut lines = "{\"a\":1}\n\n{\"b\":2}\n{\"c\":3}\nnot json\n".as_bytes();
        let mut at = 0;
        assert_eq!(next_batch(&mut lines, 2, &mut at).unwrap(), ["{\"a\":1}", "{\"b\":2}"]);
        let failure = next_batch(&mut lines, 2, &mut at).unwrap_err().to_string();
        assert!(failure.starts_with("line 5 is not JSON"), "{failure}");
    }
}
