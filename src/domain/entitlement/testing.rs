//! What the tests of balances share: terms in few words, usage as events, and balances as text.

use super::burndown::{Balance, Need, balance, needs};
use super::grant::Grant;
use super::interval::Interval;
use super::recurrence::Recurrence;
use super::terms::{Reset, Terms};
use crate::domain::metering::meter::Aggregation;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use std::collections::HashSet;
use ulid::Ulid;

/// `01-31 23:59` of 2025 in UTC, also with a year or with seconds.
pub fn at(text: &str) -> Instant {
    let (date, clock) = text.split_once(' ').unwrap_or((text, "00:00"));
    let date = if date.len() == 5 { format!("2025-{date}") } else { date.to_owned() };
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    Instant::parse(&format!("{date}T{clock}Z")).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).expect(text)
}

pub fn recurrence(anchor: &str, interval: &str) -> Recurrence {
    Recurrence { anchor: at(anchor), interval: Interval::parse(interval).expect(interval) }
}

/// A short name as an id; ids are in the order of such names of one length.
pub fn id(name: &str) -> Ulid {
    Ulid(name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

fn name(id: Ulid) -> String {
    let bytes = id.0.to_be_bytes().into_iter().filter(|byte| *byte != 0).collect();
    String::from_utf8(bytes).expect("made from a name")
}

/// From January 1, months anchored there.
pub fn terms(aggregation: Aggregation, grants: Vec<Grant>) -> Terms {
    Terms {
        aggregation,
        measure_from: at("01-01"),
        period: recurrence("01-01", "P1M"),
        preserve_overage_at_reset: false,
        resets: Vec::new(),
        grants,
    }
}

/// Without expiry, from January 1, as v2 makes them: a reset keeps up to the whole amount.
pub fn grant(name: &str, amount: &str, priority: u8) -> Grant {
    Grant {
        id: id(name),
        amount: quantity(amount),
        priority,
        effective_at: at("01-01"),
        expires_at: None,
        voided_at: None,
        deleted_at: None,
        min_rollover: Quantity::ZERO,
        max_rollover: quantity(amount),
        recurrence: None,
        created_at: at("01-01"),
    }
}

/// What a reset fills up again.
pub fn issue(name: &str, amount: &str, priority: u8) -> Grant {
    Grant { min_rollover: quantity(amount), ..grant(name, amount, priority) }
}

pub fn reset(when: &str, preserve_overage: bool) -> Reset {
    Reset { at: at(when), anchor: None, preserve_overage }
}

/// Usage at an instant: SUM and LATEST take its quantity, UNIQUE_COUNT its text.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: Instant,
    pub text: String,
    pub quantity: Quantity,
}

impl Event {
    /// A text that is no number has no quantity.
    pub fn new(at: Instant, text: String) -> Self {
        Self { at, quantity: Quantity::parse(&text).unwrap_or(Quantity::ZERO), text }
    }
}

pub fn events(table: &[(&str, &str)]) -> Vec<Event> {
    table.iter().map(|(when, text)| Event::new(at(when), (*text).to_owned())).collect()
}

/// The meter: the quantity that a need asks for.
pub fn measure(aggregation: Aggregation, events: &[Event], need: &Need) -> Quantity {
    let within = || events.iter().filter(|event| need.from <= event.at && event.at < need.to);
    match aggregation {
        Aggregation::Sum => within().fold(Quantity::ZERO, |sum, event| sum.checked_add(event.quantity).unwrap()),
        Aggregation::Count => Quantity::from_count(within().count() as u64),
        Aggregation::UniqueCount => {
            Quantity::from_count(within().map(|event| &event.text).collect::<HashSet<_>>().len() as u64)
        }
        Aggregation::Latest => within().max_by_key(|event| event.at).map_or(Quantity::ZERO, |event| event.quantity),
        other => panic!("{other:?} has no balance"),
    }
}

/// Measures what is needed and reads.
pub fn read(terms: &Terms, events: &[Event], at: Instant) -> Balance {
    let needs = needs(terms, at).unwrap();
    let usage: Vec<_> = needs.iter().map(|need| measure(terms.aggregation, events, need)).collect();
    balance(terms, at, &usage).unwrap()
}

/// `balance/usage/overage/total {grant balance, …}`.
pub fn shown(balance: &Balance) -> String {
    let Balance { balance: left, usage, overage, total_available, grants, .. } = balance;
    format!("{left}/{usage}/{overage}/{total_available} {{{}}}", held(grants))
}

pub fn held(grants: &[(Ulid, Quantity)]) -> String {
    let held: Vec<_> = grants.iter().map(|(id, balance)| format!("{} {balance}", name(*id))).collect();
    held.join(", ")
}

/// Reads at every instant of a table and compares.
pub fn assert_reads(terms: &Terms, events: &[Event], table: &[(&str, &str)]) {
    for (when, expected) in table {
        assert_eq!(shown(&read(terms, events, at(when))), *expected, "{when}");
    }
}
