//! Random entitlements with their usage, and what becomes known of them later.

use crate::domain::entitlement::grant::Grant;
use crate::domain::entitlement::interval::Interval;
use crate::domain::entitlement::recurrence::Recurrence;
use crate::domain::entitlement::terms::{Reset, Terms};
use crate::domain::entitlement::testing::{Event, at, quantity};
use crate::domain::metering::meter::Aggregation;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Instant, MINUTE_NS};
use ulid::Ulid;

/// SplitMix64.
pub struct Draw(pub u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: i64) -> i64 {
        (self.next() % bound as u64) as i64
    }

    pub fn chance(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as i64) as usize]
    }

    /// A positive amount, now and then with all the digits that a quantity has.
    fn amount(&mut self, bound: i64) -> Quantity {
        let whole = 1 + self.below(bound);
        match self.below(10) {
            0 => quantity(&format!("{whole}.{:028}", self.below(i64::MAX))),
            1..4 => quantity(&format!("{whole}.{:02}", self.below(100))),
            _ => quantity(&whole.to_string()),
        }
    }
}

/// How long the stretches of a story are, in minutes.
pub struct Scale {
    /// Usage periods.
    pub periods: &'static [&'static str],
    /// Between two refills.
    pub refills: &'static [&'static str],
    /// From the begin of measuring to the last read.
    pub span: std::ops::Range<i64>,
}

/// An entitlement, its usage and the instants at which it is read.
pub struct Story {
    pub terms: Terms,
    pub events: Vec<Event>,
    pub reads: Vec<Instant>,
    begin: Instant,
    span: i64,
}

pub fn plus(instant: Instant, minutes: i64) -> Instant {
    Instant::from_nanos(instant.nanos() + minutes * MINUTE_NS)
}

impl Story {
    pub fn draw(draw: &mut Draw, scale: &Scale) -> Self {
        let begin =
            plus(at(draw.pick(&["2025-01-31", "2024-02-28 23:00", "1969-12-31 22:30", "2027-12-31"])), draw.below(60));
        let span = scale.span.start + draw.below(scale.span.end - scale.span.start);
        let anchor = if draw.chance(40) { begin } else { plus(begin, draw.below(1_000) - 500) };
        let terms = Terms {
            aggregation: draw.pick(&[
                Aggregation::Sum,
                Aggregation::Sum,
                Aggregation::Sum,
                Aggregation::Count,
                Aggregation::UniqueCount,
                Aggregation::Latest,
            ]),
            measure_from: begin,
            period: Recurrence { anchor, interval: interval(draw.pick(scale.periods)) },
            preserve_overage_at_reset: draw.chance(50),
            resets: Vec::new(),
            grants: Vec::new(),
        };
        let mut story = Self { terms, events: Vec::new(), reads: Vec::new(), begin, span };
        for _ in 0..1 + draw.below(2) {
            story.draw_reset(draw);
        }
        for _ in 0..3 + draw.below(4) {
            story.draw_grant(draw, scale);
        }
        let may_be_negative = draw.chance(30);
        for _ in 0..draw.below(40) {
            story.draw_event(draw, may_be_negative);
        }
        story.draw_reads(draw);
        story
    }

    fn instant(&self, draw: &mut Draw) -> Instant {
        plus(self.begin, draw.below(self.span))
    }

    /// On any minute, or exactly where a period ends.
    pub fn draw_reset(&mut self, draw: &mut Draw) {
        let mut when = plus(self.instant(draw), 1);
        if draw.chance(30) {
            when = self.terms.period.period_at(when).start.max(plus(self.begin, 1));
        }
        let anchor = draw.chance(50).then_some(when);
        self.terms.resets.retain(|reset| reset.at != when);
        self.terms.resets.push(Reset { at: when, anchor, preserve_overage: draw.chance(50) });
        self.terms.resets.sort_by_key(|reset| reset.at);
    }

    pub fn draw_grant(&mut self, draw: &mut Draw, scale: &Scale) {
        let amount = draw.amount(60);
        let effective_at = match draw.below(10) {
            0..4 => self.begin,
            4 => plus(self.begin, -draw.below(100)),
            5 => self.terms.resets[0].at,
            _ => self.instant(draw),
        };
        let end = |story: &Self, draw: &mut Draw, percent| draw.chance(percent).then(|| story.instant(draw));
        let rollover = |draw: &mut Draw| match draw.below(4) {
            0 => Quantity::ZERO,
            1 => amount,
            _ => draw.amount(60),
        };
        let (min_rollover, max_rollover) = (rollover(draw).min(amount), rollover(draw));
        let recurrence = draw.chance(40).then(|| Recurrence {
            anchor: if draw.chance(60) { effective_at } else { plus(effective_at, draw.below(300) - 150) },
            interval: interval(draw.pick(scale.refills)),
        });
        self.terms.grants.push(Grant {
            id: Ulid(u128::from(draw.next())),
            amount,
            priority: draw.pick(&[0, 1, 1, 2, 255]),
            effective_at,
            expires_at: end(self, draw, 40),
            voided_at: end(self, draw, 15),
            deleted_at: end(self, draw, 8).map(|when| Instant::from_nanos(when.nanos() + draw.below(MINUTE_NS))),
            min_rollover,
            max_rollover,
            recurrence,
            created_at: plus(effective_at, draw.below(3)),
        });
    }

    pub fn draw_event(&mut self, draw: &mut Draw, may_be_negative: bool) {
        let minute = if draw.chance(4) { plus(self.begin, -1 - draw.below(10)) } else { self.instant(draw) };
        let when = Instant::from_nanos(minute.nanos() + draw.below(MINUTE_NS));
        let sign = if may_be_negative && draw.chance(40) { "-" } else { "" };
        let text = match self.terms.aggregation {
            Aggregation::UniqueCount => draw.below(12).to_string(),
            Aggregation::Sum | Aggregation::Latest => format!("{sign}{}", draw.amount(25)),
            _ => String::new(),
        };
        self.events.push(Event::new(when, text));
        self.events.sort_by_key(|event| event.at);
    }

    /// Voids a grant that was in force.
    pub fn draw_void(&mut self, draw: &mut Draw) {
        let when = self.instant(draw);
        let which = draw.below(self.terms.grants.len() as i64) as usize;
        self.terms.grants[which].voided_at = Some(when);
    }

    /// Wherever something may happen, a little earlier and a little later, and at the end of the story.
    fn draw_reads(&mut self, draw: &mut Draw) {
        let turns: Vec<_> = self.terms.resets.iter().map(|reset| reset.at).collect();
        for _ in 0..3 {
            let instant = self.instant(draw);
            let turn = match draw.below(5) {
                0 => draw.pick(&turns),
                1 => self.terms.grants[0].effective_at,
                2 => self.terms.period.period_at(instant).end,
                _ => instant,
            };
            let off = draw.pick(&[0, 0, -30, -1, 1, 59]) * 1_000_000_000;
            self.reads.push(Instant::from_nanos(turn.nanos() + off).min(plus(self.begin, self.span)));
        }
        self.reads.push(plus(self.begin, self.span));
        self.reads.sort_unstable();
    }
}

fn interval(text: &str) -> Interval {
    Interval::parse(text).expect(text)
}
