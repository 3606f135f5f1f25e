//! Two engines agree: the burn-down and a naive one that lives through every minute, on random histories. What becomes
//! known late, an event, a backdated grant, a void or a reset, changes both alike.

mod draw;
mod naive;

use super::burndown::{Balance, Burndown, Need, evaluation_instant, needs};
use super::history::{history, history_needs};
use super::phase_usage::PhaseUsage;
use super::testing::{Event, measure, read};
use crate::domain::metering::meter::Aggregation;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use draw::{Draw, Scale, Story, plus};
use naive::{Answer, Life};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Histories compared by one run of the test.
const HISTORIES: u32 = 10_000;
/// How many of them last for months.
const LONG_HISTORIES: u32 = 6;

const SHORT: Scale = Scale {
    periods: &["PT7M", "PT13M", "PT20M", "PT30M"],
    refills: &["PT3M", "PT5M", "PT7M", "PT10M", "PT45M"],
    span: 45..110,
};
const LONG: Scale = Scale {
    periods: &["P1M", "P1M", "P2W", "P10D", "P1M1DT1H"],
    refills: &["P1D", "P1W", "P1M", "PT7H"],
    span: 50 * 1_440..100 * 1_440,
};

/// Every kind must occur often enough to prove something.
#[rustfmt::skip]
const KINDS: [&str; 22] = [
    "SUM", "COUNT", "UNIQUE_COUNT", "LATEST", "overage", "negative usage", "a refill", "a grant ended",
    "a rollover cut", "a rollover filled up", "overage preserved", "a reset by hand on the end of a period",
    "a read in a period's last minute", "a read at a reset or refill", "a read before measuring began",
    "a late event changed a balance", "a backdated grant changed a balance", "a void changed a balance",
    "a late reset changed a balance", "a window began within a phase", "a run was carried on",
    "usage came late",
];
const OFTEN: u32 = 20;

#[derive(Default)]
struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    fn note(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }
}

/// The run's seed, printed; `WEIR_TEST_SEED` repeats a run.
fn seed() -> u64 {
    let given = std::env::var("WEIR_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("past 1970");
        now.as_nanos() as u64
    });
    println!("WEIR_TEST_SEED={seed}");
    seed
}

#[test]
fn the_burn_down_agrees_with_an_engine_that_lives_through_every_minute() {
    let mut draw = Draw(seed());
    let mut tally = Tally::default();
    let (mut compared, mut drawn) = (0, 0);
    while compared < HISTORIES + LONG_HISTORIES {
        let scale = if compared < HISTORIES { &SHORT } else { &LONG };
        let story = Story::draw(&mut draw, scale);
        drawn += 1;
        assert!(drawn < 4 * HISTORIES, "nearly all histories have three periods");
        let answers = compare(&story, &mut tally);
        compare_runs(&story, &answers, &mut tally);
        compare_followed(&story, &mut draw, &mut tally);
        compare_history(&story, &mut tally);
        compare_later(story, &answers, &mut draw, scale, &mut tally);
        compared += u32::from(answers.iter().any(|(_, life)| life.periods >= 3));
    }
    println!("{compared} histories: {:?}", tally.0);
    for kind in KINDS {
        assert!(tally.0.get(kind).is_some_and(|times| *times >= OFTEN), "{kind} hardly ever happened: {:?}", tally.0);
    }
}

/// Both engines, at every read.
fn compare(story: &Story, tally: &mut Tally) -> Vec<(Balance, Life)> {
    let Story { terms, events, reads, .. } = story;
    tally.note(terms.aggregation.as_str());
    let compared = reads.iter().map(|at| {
        let balance = read(terms, events, *at);
        let (expected, life) = naive::read(terms, events, *at);
        assert_eq!(answer(&balance), expected, "read at {}: {terms:?} {events:?}", at.to_rfc3339());
        check(story, *at, &balance);
        life.events.iter().for_each(|kind| tally.note(kind));
        if *at < terms.measure_from {
            tally.note("a read before measuring began");
        }
        (balance, life)
    });
    compared.collect()
}

fn answer(balance: &Balance) -> Answer {
    Answer {
        period_start: balance.period.start.minute(),
        usage: balance.usage,
        balance: balance.balance,
        overage: balance.overage,
        total_available: balance.total_available,
        grants: balance.grants.clone(),
    }
}

/// What holds of any balance.
fn check(story: &Story, at: Instant, balance: &Balance) {
    let Story { terms, events, .. } = story;
    let sum = balance.grants.iter().fold(Quantity::ZERO, |sum, (_, held)| sum.checked_add(*held).unwrap());
    assert_eq!(sum, balance.balance, "the balance is the sum over its grants");
    assert!(
        balance.balance >= Quantity::ZERO && (balance.balance == Quantity::ZERO || balance.overage <= Quantity::ZERO)
    );
    assert!(balance.period.contains(&at) || at < terms.measure_from);
    let covered = balance.total_available.checked_sub(balance.balance).unwrap();
    if !terms.preserve_overage_at_reset && terms.resets.iter().all(|reset| !reset.preserve_overage) {
        assert_eq!(covered.checked_add(balance.overage), Ok(balance.usage), "usage was taken or is owed");
    }
    if matches!(terms.aggregation, Aggregation::Sum | Aggregation::Count) && at >= terms.measure_from {
        let need = Need { from: balance.period.start, to: balance.at };
        assert_eq!(balance.usage, measure(terms.aggregation, events, &need), "usage is what the meter says");
    }
}

/// A run that is carried on from read to read gives what a run from the begin gives.
fn compare_runs(story: &Story, answers: &[(Balance, Life)], tally: &mut Tally) {
    let Story { terms, events, reads, .. } = story;
    if !matches!(terms.aggregation, Aggregation::Sum | Aggregation::Count) {
        return;
    }
    let burndown = Burndown::new(terms);
    let mut state = burndown.start();
    for (at, (expected, _)) in reads.iter().zip(answers) {
        let until = evaluation_instant(terms, *at);
        while state.phase().end < until {
            let phase = state.phase();
            let used = measure(terms.aggregation, events, &Need { from: phase.start, to: phase.end });
            burndown.close(&mut state, used).unwrap();
            tally.note("a run was carried on");
        }
        let used = measure(terms.aggregation, events, &Need { from: state.phase().start, to: until });
        assert_eq!(burndown.balance(&state, *at, used).as_ref(), Ok(expected));
    }
}

/// Usage that comes event by event, late or early, between reads gives what the meter gives at each of them.
fn compare_followed(story: &Story, draw: &mut Draw, tally: &mut Tally) {
    let Story { terms, events, reads, .. } = story;
    if !matches!(terms.aggregation, Aggregation::Sum | Aggregation::Count) {
        return;
    }
    let mut coming: Vec<Event> = events.clone();
    for place in (1..coming.len()).rev() {
        coming.swap(place, draw.below(place as i64 + 1) as usize);
    }
    let mut known = coming.split_off(draw.below(coming.len() as i64 + 1) as usize);
    let Some(first) = reads.first() else { return };
    let needed = needs(terms, *first).unwrap();
    let measured: Vec<_> = needed.iter().map(|need| measure(terms.aggregation, &known, need)).collect();
    let mut usage = PhaseUsage::new(terms, &needed, &measured);
    let one = |event: &Event| match terms.aggregation {
        Aggregation::Count => Quantity::from_count(1),
        _ => event.quantity,
    };
    let ahead = known.iter().filter(|event| event.at >= usage.until()).cloned().collect::<Vec<_>>();
    ahead.iter().for_each(|event| usage.add(event.at, one(event)).unwrap());
    for at in reads {
        for event in coming.split_off(coming.len() - draw.below(coming.len().min(4) as i64 + 1) as usize) {
            if event.at < usage.until() {
                tally.note("usage came late");
            }
            usage.add(event.at, one(&event)).unwrap();
            known.push(event);
        }
        match usage.read(terms, *at).unwrap() {
            Some(balance) => assert_eq!(balance, read(terms, &known, *at), "followed to {}", at.to_rfc3339()),
            None => assert!(evaluation_instant(terms, *at) < usage.until()),
        }
    }
}

/// The history tells what reads would have said.
fn compare_history(story: &Story, tally: &mut Tally) {
    let Story { terms, events, reads, .. } = story;
    let begun = || reads.iter().copied().filter(|at| *at >= terms.measure_from);
    let Some(from) = begun().next().map(Instant::floor_to_minute) else { return };
    let to = *reads.last().unwrap();
    let mut starts: Vec<_> = begun().map(Instant::floor_to_minute).filter(|start| *start < to).collect();
    starts.dedup();
    let needs = history_needs(terms, from, to, &starts).unwrap();
    let usage: Vec<_> = needs.iter().map(|need| measure(terms.aggregation, events, need)).collect();
    let told = history(terms, from, to, &starts, &usage).unwrap();

    let mut end = from;
    let mut used = Quantity::ZERO;
    for segment in &told.segments {
        assert_eq!(segment.from, end, "segments tile time");
        end = segment.to;
        used = used.checked_add(segment.usage).unwrap();
        let taken = segment.grant_usages.iter().fold(Quantity::ZERO, |sum, (_, part)| sum.checked_add(*part).unwrap());
        assert_eq!(segment.balance_at_start.checked_sub(taken), Ok(segment.balance_at_end), "{segment:?}");
    }
    assert_eq!(end, to.max(from));
    if let Some(last) = told.segments.last() {
        let now = read(terms, events, to);
        assert_eq!(last.overage, now.overage);
        // A grant that ends or begins exactly now is not in force or not yet full.
        if terms.grants.iter().all(|grant| grant.effective_at != to && grant.ends_at() != Some(to)) {
            assert_eq!(last.balance_at_end, now.balance);
        }
    }
    if matches!(terms.aggregation, Aggregation::Sum | Aggregation::Count) {
        assert_eq!(used, measure(terms.aggregation, events, &Need { from, to }), "all usage is told");
    }
    assert_eq!(told.starts.iter().map(|(start, _)| *start).collect::<Vec<_>>(), starts);
    for (start, balance) in &told.starts {
        let cut = told.segments.iter().find(|segment| segment.from == *start && segment.to > *start && *start > from);
        match cut {
            Some(segment) if terms.aggregation != Aggregation::Latest => assert_eq!(*balance, segment.balance_at_start),
            _ if *start == from => {}
            _ => {
                tally.note("a window began within a phase");
                assert_eq!(*balance, read(terms, events, *start).balance, "window at {}", start.to_rfc3339());
            }
        }
    }
}

/// Then something becomes known late, and both engines are asked the same again.
fn compare_later(mut story: Story, before: &[(Balance, Life)], draw: &mut Draw, scale: &Scale, tally: &mut Tally) {
    let kind = match draw.below(4) {
        0 => {
            story.draw_event(draw, false);
            "a late event changed a balance"
        }
        1 => {
            story.draw_grant(draw, scale);
            "a backdated grant changed a balance"
        }
        2 => {
            story.draw_void(draw);
            "a void changed a balance"
        }
        _ => {
            story.draw_reset(draw);
            "a late reset changed a balance"
        }
    };
    let after = compare(&story, tally);
    if before.iter().zip(&after).any(|((before, _), (after, _))| before != after) {
        tally.note(kind);
    }
}

proptest! {
    #[test]
    fn periods_agree_with_a_calendar_that_counts_days(
        year in 1_930i64..2_220,
        (month, day) in (1i64..=12, 1i64..=31),
        clock in 0i64..1_440,
        (interval, length) in prop_oneof![
            (1i64..30).prop_map(|n| (format!("P{n}M"), n * 31 * 1_440)),
            (1i64..=100).prop_map(|n| (format!("P{n}Y"), n * 366 * 1_440)),
            (1i64..300).prop_map(|n| (format!("PT{n}H"), n * 60)),
            (1i64..40).prop_map(|n| (format!("P{n}D"), n * 1_440)),
            (0i64..14, 1i64..40, 1i64..30).prop_map(|(m, d, h)| (format!("P{m}M{d}DT{h}H"), (m * 31 + d + 2) * 1_440)),
        ],
        steps in -200i64..200,
        off in 0i64..100_000,
    ) {
        let date = format!("{year}-{month:02}-{:02}", day.min(28 + i64::from(month != 2) * 2));
        let anchor = plus(super::testing::at(&date), clock);
        let interval = super::interval::Interval::parse(&interval).unwrap();
        let recurrence = super::recurrence::Recurrence { anchor, interval };
        // As many steps away as the calendar has room for.
        let at = anchor.minute() + (steps * length).clamp(-30 * 525_600, 30 * 525_600) + off % length;
        // A period that would end after the last minute there is ends with it.
        let last = Instant::from_nanos(i64::MAX).minute();
        let reach = length + 1_440;
        let mut found = naive::boundaries(&recurrence, at - reach, at + reach);
        found.iter_mut().for_each(|boundary| *boundary = last.min(*boundary));
        let next = found.partition_point(|boundary| *boundary <= at);
        let period = recurrence.period_at(Instant::from_nanos(at * MINUTE_NS));
        prop_assert_eq!((period.start.minute(), period.end.minute()), (found[next - 1], found[next]));
        let first = found[found.partition_point(|boundary| *boundary < at)];
        let after = recurrence.next_from(Instant::from_nanos(at * MINUTE_NS)).map(Instant::minute);
        prop_assert_eq!(after, Some(first).filter(|first| *first < last));
    }
}
