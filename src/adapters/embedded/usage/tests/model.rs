//! The naive answer: every event of the story, one by one, without rows, files or plans.

use super::story::{DAY, Dice, NAMESPACE, START_MINUTE, Story, Told};
use crate::domain::metering::query::{TextFilter, UsageQuery, UsageRow, order_rows};
use crate::domain::metering::window::{WindowSize, Windows, zone};
use crate::domain::metering::{Aggregation, Fate, Meter};
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ulid::Ulid;

/// What the rows of an answer are told apart by: window, subject, customer, region.
type Key = (Option<(Instant, Instant)>, Option<String>, Option<Ulid>, Vec<String>);

/// The exact answer, of the events below `applied`.
pub fn answer(story: &Story, applied: u64, query: &UsageQuery) -> Vec<UsageRow> {
    let voided = story.voided(applied);
    let below = story.gone_at(&query.meter).unwrap_or(u64::MAX).min(applied);
    let mut groups: BTreeMap<Key, Vec<&Told>> = BTreeMap::new();
    for told in
        story.events().filter(|told| told.offset < below && !voided.contains(&told.offset) && counts(told, query))
    {
        let time = Instant::from_nanos(told.time);
        let window = query.window.as_ref().map(|windows| windows.window_at(time));
        let subject = query.group_by_subject.then(|| told.subject.clone());
        let customer = query.customers.as_ref().map(|owners| owners[&told.subject]);
        let regions = query.group_by.iter().map(|_| told.region.unwrap_or("").to_string()).collect();
        groups.entry((window.map(|w| (w.start, w.end)), subject, customer, regions)).or_default().push(told);
    }
    let mut rows: Vec<UsageRow> = groups.into_iter().filter_map(|(key, events)| row(query, key, &events)).collect();
    let lone = query.window.is_none()
        && !query.group_by_subject
        && query.customers.is_none()
        && query.subjects.is_none()
        && query.group_by.is_empty();
    let counted = matches!(query.meter.aggregation, Aggregation::Count | Aggregation::UniqueCount);
    if rows.is_empty() && lone && counted {
        let (window_start, window_end) =
            (query.from.unwrap_or(Instant::from_nanos(0)), query.to.unwrap_or(Instant::from_nanos(MINUTE_NS)));
        let value = Quantity::ZERO;
        rows.push(UsageRow { window_start, window_end, subject: None, customer: None, groups: vec![], value });
    }
    order_rows(&mut rows);
    rows
}

fn counts(told: &Told, query: &UsageQuery) -> bool {
    let time = Instant::from_nanos(told.time);
    told.fate == Fate::Counts
        && told.event_type == query.meter.event_type
        && query.from.is_none_or(|from| from <= time)
        && query.meter.event_from.is_none_or(|from| from <= time)
        && query.to.is_none_or(|to| time < to)
        && query.subjects.as_ref().is_none_or(|subjects| subjects.contains(&told.subject))
        && query.customers.as_ref().is_none_or(|owners| owners.contains_key(&told.subject))
        && query.filters.get("region").is_none_or(|filter| filter.accepts(told.region.unwrap_or("")))
}

fn row(query: &UsageQuery, (window, subject, customer, groups): Key, events: &[&Told]) -> Option<UsageRow> {
    let minutes = || events.iter().map(|told| told.time.div_euclid(MINUTE_NS));
    let first = Instant::from_nanos(minutes().min()? * MINUTE_NS);
    let last = Instant::from_nanos((minutes().max()? + 1) * MINUTE_NS);
    let (window_start, window_end) = window.unwrap_or((query.from.unwrap_or(first), query.to.unwrap_or(last)));
    let value = value(query.meter.aggregation, events)?;
    Some(UsageRow { window_start, window_end, subject, customer, groups, value })
}

fn value(aggregation: Aggregation, events: &[&Told]) -> Option<Quantity> {
    let hundredths = |value: i64| {
        let sign = if value < 0 { "-" } else { "" };
        let text = format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100);
        Quantity::parse(&text).expect("a plain decimal")
    };
    let values = || events.iter().filter_map(|told| told.value);
    match aggregation {
        Aggregation::Count => Some(Quantity::from_count(events.len() as u64)),
        Aggregation::UniqueCount => {
            // A value that is not a number is the text "many", a value of its own.
            let different: BTreeSet<Option<i64>> = events.iter().map(|told| told.value).collect();
            Some(Quantity::from_count(different.len() as u64))
        }
        Aggregation::Sum => values().next().map(|_| hundredths(values().sum())),
        Aggregation::Avg => values().next().map(|_| hundredths(values().sum()).average_over(values().count() as u64)),
        Aggregation::Min => values().min().map(hundredths),
        Aggregation::Max => values().max().map(hundredths),
        Aggregation::Latest => {
            let latest = events.iter().filter(|told| told.value.is_some()).max_by_key(|told| (told.time, told.offset));
            latest.and_then(|told| told.value).map(hundredths)
        }
    }
}

/// Any question one may ask of this meter.
pub fn question(dice: &mut Dice, meter: &Arc<Meter>, days: i64) -> UsageQuery {
    let span_ns = days * DAY * MINUTE_NS;
    let mut instant = || {
        let at = START_MINUTE * MINUTE_NS + dice.roll(span_ns as u64) as i64;
        let unit = *dice.pick(&[1, MINUTE_NS, 60 * MINUTE_NS, 60 * MINUTE_NS, DAY * MINUTE_NS]);
        (!dice.one_in(3)).then(|| Instant::from_nanos(at.div_euclid(unit) * unit))
    };
    let (mut from, mut to) = (instant(), instant());
    if let (Some(a), Some(b)) = (from, to) {
        (from, to) = (Some(a.min(b)), Some(a.max(b)).filter(|_| a != b));
    }
    let size =
        *dice.pick(&[WindowSize::Minute, WindowSize::Hour, WindowSize::Hour, WindowSize::Day, WindowSize::Month]);
    let zones = ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"];
    let zone = zone(dice.pick::<&str>(&zones)).expect("a zone that exists");
    let filters = match dice.roll(4) {
        0 => BTreeMap::from([("region".to_string(), TextFilter::In(vec!["eu".into(), "".into()]))]),
        _ => BTreeMap::new(),
    };
    assert_eq!(meter.namespace, NAMESPACE);
    let owners = dice.one_in(3).then(|| owners(dice));
    let asked = UsageQuery {
        meter: meter.clone(),
        from,
        to,
        window: dice.one_in(2).then_some(Windows::Calendar(size, zone)),
        subjects: dice.one_in(3).then(|| (0..3).map(|_| format!("subject-{}", dice.roll(11))).collect()),
        group_by_subject: dice.one_in(3),
        customers: None,
        group_by: if dice.one_in(2) { vec!["region".into()] } else { vec![] },
        filters,
        progress: None,
    };
    match owners {
        Some(owners) => asked.of_customers(Arc::new(owners)),
        None => asked,
    }
}

/// Three customers, or fewer, and whose some of the subjects are.
fn owners(dice: &mut Dice) -> BTreeMap<String, Ulid> {
    let mut owners = BTreeMap::new();
    while !dice.one_in(6) {
        owners.insert(format!("subject-{}", dice.roll(11)), Ulid::from(1 + u128::from(dice.roll(3))));
    }
    owners
}

/// A question that is told apart by cuts, most of them on whole minutes, and the same one stretch at a time.
pub fn question_by_cuts(dice: &mut Dice, meter: &Arc<Meter>, days: i64) -> (UsageQuery, Vec<UsageQuery>) {
    let mut cuts = BTreeSet::new();
    while cuts.len() < 2 || !dice.one_in(6) {
        let at = START_MINUTE * MINUTE_NS + dice.roll((days * DAY * MINUTE_NS) as u64) as i64;
        let unit = *dice.pick(&[1, MINUTE_NS, MINUTE_NS, 60 * MINUTE_NS, DAY * MINUTE_NS]);
        cuts.insert(Instant::from_nanos(at.div_euclid(unit) * unit));
    }
    let cuts: Arc<[Instant]> = cuts.into_iter().collect();
    let asked = question(dice, meter, days);
    let each = |ends: &[Instant]| UsageQuery { from: Some(ends[0]), to: Some(ends[1]), window: None, ..asked.clone() };
    let each = cuts.windows(2).map(each).collect();
    let (from, to) = (cuts.first().copied(), cuts.last().copied());
    (UsageQuery { from, to, window: Some(Windows::Cuts(cuts)), ..asked }, each)
}
