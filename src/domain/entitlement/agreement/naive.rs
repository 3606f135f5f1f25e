//! A second engine: it lives through every minute, knows no phases, steps through the calendar one boundary after the
//! other and adds days up by hand. It shares nothing with the first but the types of what it is asked.

use crate::domain::entitlement::grant::Grant;
use crate::domain::entitlement::recurrence::Recurrence;
use crate::domain::entitlement::terms::Terms;
use crate::domain::entitlement::testing::Event;
use crate::domain::metering::meter::Aggregation;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use ulid::Ulid;

type Minute = i64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub period_start: Minute,
    pub usage: Quantity,
    pub balance: Quantity,
    pub overage: Quantity,
    pub total_available: Quantity,
    pub grants: Vec<(Ulid, Quantity)>,
}

/// What was lived through on the way to an answer.
#[derive(Debug, Default)]
pub struct Life {
    pub periods: u32,
    pub events: BTreeSet<&'static str>,
}

struct Held<'a> {
    grant: &'a Grant,
    begin: Minute,
    end: Minute,
    ticks: Vec<Minute>,
    balance: Quantity,
}

impl Held<'_> {
    fn is_alive(&self, minute: Minute) -> bool {
        self.begin <= minute && minute < self.end
    }

    fn ticks_at(&self, minute: Minute) -> bool {
        self.is_alive(minute) && self.ticks.binary_search(&minute).is_ok()
    }
}

struct World<'a> {
    terms: &'a Terms,
    grants: Vec<Held<'a>>,
    usage: Quantity,
    overage: Quantity,
    taken: Quantity,
    /// Usage that is not yet taken from the grants.
    pending: Quantity,
    level: Quantity,
    seen: HashSet<&'a str>,
    period_start: Minute,
    life: Life,
}

pub fn read(terms: &Terms, events: &[Event], at: Instant) -> (Answer, Life) {
    let first = terms.measure_from.nanos().div_euclid(MINUTE_NS);
    let last = at.nanos().div_euclid(MINUTE_NS) + i64::from(at.nanos().rem_euclid(MINUTE_NS) != 0);
    let mut world = World::new(terms, first, last);
    if at < terms.measure_from {
        return (world.answer(None), world.life);
    }
    let mut by_minute: BTreeMap<Minute, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_minute.entry(event.at.nanos().div_euclid(MINUTE_NS)).or_default().push(event);
    }
    let manual: HashMap<Minute, _> = terms.resets.iter().map(|r| (r.at.nanos() / MINUTE_NS, r)).collect();
    let has_negative = events.iter().any(|event| event.quantity < Quantity::ZERO);
    let is_level = terms.aggregation == Aggregation::Latest;
    let mut boundaries = boundaries(&terms.period, first, last);
    for minute in first..=last {
        let by_hand = manual.get(&minute).filter(|_| minute > first);
        let automatic = minute > first && boundaries.binary_search(&minute).is_ok();
        let is_reset = by_hand.is_some() || automatic;
        if minute == last && is_reset && at.nanos() < last * MINUTE_NS {
            world.life.events.insert("a read in a period's last minute");
            world.settle();
            return (world.answer(Some(last - 1)), world.life);
        }
        let ticks = !is_level && world.grants.iter().any(|held| held.ticks_at(minute));
        let turns = world.grants.iter().any(|held| held.is_alive(minute - 1) != held.is_alive(minute));
        if minute == last && minute > first && !is_reset && !ticks {
            world.settle();
            return (world.answer(Some(last)), world.life);
        }
        if is_reset || ticks || turns || !has_negative {
            world.settle();
        }
        if is_reset {
            let keeps = by_hand.map_or(terms.preserve_overage_at_reset, |reset| reset.preserve_overage);
            world.reset(minute, keeps);
            if by_hand.is_some() && automatic {
                world.life.events.insert("a reset by hand on the end of a period");
            }
            if let Some(anchor) = by_hand.and_then(|reset| reset.anchor) {
                let moved = Recurrence { anchor, interval: terms.period.interval.clone() };
                boundaries = self::boundaries(&moved, first, last);
            }
        }
        world.begin(minute, minute == first, ticks);
        if minute == last {
            world.life.events.insert("a read at a reset or refill");
            world.settle();
            return (world.answer(Some(last)), world.life);
        }
        for event in by_minute.get(&minute).into_iter().flatten() {
            world.count(event);
        }
    }
    unreachable!("the last minute answers")
}

impl<'a> World<'a> {
    fn new(terms: &'a Terms, first: Minute, last: Minute) -> Self {
        let mut order: Vec<&Grant> = terms.grants.iter().collect();
        let expiry = |grant: &Grant| grant.expires_at.map_or(i64::MAX, Instant::nanos);
        order.sort_by_key(|grant| (grant.priority, expiry(grant), grant.created_at.nanos(), grant.id));
        let held = order.into_iter().map(|grant| {
            let mut end = i64::MAX;
            for other in [grant.expires_at, grant.voided_at, grant.deleted_at].into_iter().flatten() {
                end = end.min(other.nanos().div_euclid(MINUTE_NS));
            }
            let ticks =
                grant.recurrence.as_ref().map(|recurrence| boundaries(recurrence, first, last)).unwrap_or_default();
            Held { grant, begin: grant.effective_at.nanos() / MINUTE_NS, end, ticks, balance: Quantity::ZERO }
        });
        Self {
            terms,
            grants: held.collect(),
            usage: Quantity::ZERO,
            overage: Quantity::ZERO,
            taken: Quantity::ZERO,
            pending: Quantity::ZERO,
            level: Quantity::ZERO,
            seen: HashSet::new(),
            period_start: first,
            life: Life { periods: 1, events: BTreeSet::new() },
        }
    }

    fn count(&mut self, event: &'a Event) {
        let used = match self.terms.aggregation {
            Aggregation::Sum => event.quantity,
            Aggregation::Count => Quantity::from_count(1),
            Aggregation::UniqueCount if self.seen.insert(&event.text) => Quantity::from_count(1),
            Aggregation::UniqueCount => Quantity::ZERO,
            Aggregation::Latest => {
                self.level = event.quantity;
                return;
            }
            other => panic!("{other:?}"),
        };
        self.pending = plus(self.pending, used);
        self.usage = plus(self.usage, used);
        if used < Quantity::ZERO {
            self.life.events.insert("negative usage");
        }
    }

    /// Takes what is pending and what is owed from the grants.
    fn settle(&mut self) {
        let mut due = plus(self.overage, self.pending);
        for held in &mut self.grants {
            if held.balance == Quantity::ZERO {
                continue;
            }
            let part = if due < Quantity::ZERO || due < held.balance { due } else { held.balance };
            held.balance = minus(held.balance, part);
            due = minus(due, part);
            self.taken = plus(self.taken, part);
        }
        self.pending = Quantity::ZERO;
        self.overage = due;
    }

    fn reset(&mut self, minute: Minute, keeps_overage: bool) {
        self.life.periods += 1;
        self.period_start = minute;
        for held in &mut self.grants {
            if !held.is_alive(minute) || held.begin == minute {
                held.balance = Quantity::ZERO;
                continue;
            }
            if held.balance < held.grant.min_rollover {
                held.balance = held.grant.min_rollover;
                self.life.events.insert("a rollover filled up");
            }
            if held.balance > held.grant.max_rollover {
                held.balance = held.grant.max_rollover;
                self.life.events.insert("a rollover cut");
            }
        }
        (self.usage, self.taken, self.level) = (Quantity::ZERO, Quantity::ZERO, Quantity::ZERO);
        self.seen.clear();
        if !keeps_overage {
            self.overage = Quantity::ZERO;
        } else if self.overage > Quantity::ZERO {
            self.life.events.insert("overage preserved");
        }
        self.settle();
    }

    fn begin(&mut self, minute: Minute, is_first: bool, ticks: bool) {
        for held in &mut self.grants {
            if !held.is_alive(minute) {
                if held.is_alive(minute - 1) {
                    self.life.events.insert("a grant ended");
                }
                held.balance = Quantity::ZERO;
            } else if is_first || held.begin == minute {
                held.balance = held.grant.amount;
            } else if ticks && held.ticks_at(minute) {
                held.balance = held.grant.amount;
                self.life.events.insert("a refill");
            }
        }
    }

    /// With the grants alive at `standing`; before measuring begins without any.
    fn answer(&mut self, standing: Option<Minute>) -> Answer {
        let alive = |held: &Held| standing.is_some_and(|minute| held.is_alive(minute));
        if self.terms.aggregation == Aggregation::Latest {
            for held in &mut self.grants {
                held.balance = if alive(held) { held.grant.amount } else { Quantity::ZERO };
            }
            (self.overage, self.taken, self.usage) = (Quantity::ZERO, Quantity::ZERO, self.level);
            self.pending = self.level;
            self.settle();
        }
        let grants: Vec<_> = self.grants.iter().filter(|h| alive(h)).map(|h| (h.grant.id, h.balance)).collect();
        let balance = grants.iter().fold(Quantity::ZERO, |sum, (_, balance)| plus(sum, *balance));
        if self.overage > Quantity::ZERO {
            self.life.events.insert("overage");
        }
        Answer {
            period_start: self.period_start,
            usage: self.usage,
            balance,
            overage: self.overage,
            total_available: plus(self.taken, balance),
            grants,
        }
    }
}

fn plus(a: Quantity, b: Quantity) -> Quantity {
    a.checked_add(b).expect("small amounts")
}

fn minus(a: Quantity, b: Quantity) -> Quantity {
    a.checked_sub(b).expect("small amounts")
}

/// The boundaries of a recurrence from `first` to `last`, ascending, found by stepping away from the anchor in both
/// directions.
pub fn boundaries(recurrence: &Recurrence, first: Minute, last: Minute) -> Vec<Minute> {
    let anchor = recurrence.anchor.nanos().div_euclid(MINUTE_NS);
    let (months, minutes) = length(recurrence.interval.as_str());
    let mut found = Vec::new();
    for (start, step) in [(0, 1), (-1, -1)] {
        let mut n = start;
        loop {
            let boundary = add_months(anchor, months * n) + minutes * n;
            if (first..=last).contains(&boundary) {
                found.push(boundary);
            }
            if if step > 0 { boundary > last } else { boundary < first } {
                break;
            }
            n += step;
        }
    }
    found.sort_unstable();
    found
}

/// Months and minutes of `PT7M`, `P1M`, `P2W`, `P1M3DT2H`.
pub fn length(interval: &str) -> (i64, i64) {
    let (mut months, mut minutes, mut number, mut in_clock) = (0, 0, 0, false);
    for letter in interval.chars() {
        match letter {
            '0'..='9' => number = number * 10 + i64::from(letter as u8 - b'0'),
            'T' => in_clock = true,
            'Y' => months += number * 12,
            'M' if in_clock => minutes += number,
            'M' => months += number,
            'W' => minutes += number * 7 * 24 * 60,
            'D' => minutes += number * 24 * 60,
            'H' => minutes += number * 60,
            _ => assert_eq!(letter, 'P'),
        }
        if !letter.is_ascii_digit() {
            number = 0;
        }
    }
    (months, minutes)
}

const DAY_MINUTES: i64 = 24 * 60;

fn month_days(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Adds months on the calendar, month by month; a day beyond the month's end becomes its last.
fn add_months(minute: Minute, months: i64) -> Minute {
    if months == 0 {
        return minute;
    }
    let (mut day, clock) = (minute.div_euclid(DAY_MINUTES), minute.rem_euclid(DAY_MINUTES));
    let (mut year, mut month) = (1970, 1);
    while day < 0 {
        (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
        day += month_days(year, month);
    }
    while day >= month_days(year, month) {
        day -= month_days(year, month);
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    let target = year * 12 + month - 1 + months;
    let (year, month) = (target.div_euclid(12), target.rem_euclid(12) + 1);
    let mut days = day.min(month_days(year, month) - 1);
    let (mut y, mut m) = (1970, 1);
    while (y, m) < (year, month) {
        days += month_days(y, m);
        (y, m) = if m == 12 { (y + 1, 1) } else { (y, m + 1) };
    }
    while (y, m) > (year, month) {
        (y, m) = if m == 1 { (y - 1, 12) } else { (y, m - 1) };
        days -= month_days(y, m);
    }
    days * DAY_MINUTES + clock
}
