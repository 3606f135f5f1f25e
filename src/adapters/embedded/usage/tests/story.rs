//! Random stories for the store: a log with holes in which events of every fate, late ones, and meters that come and
//! go follow each other; cut into batches wherever one likes, as the line would.

use crate::domain::digest::HashKey;
use crate::domain::metering::extract::NotCounted;
use crate::domain::metering::{Aggregation, Batch, Catalog, Chunk, Event, Fate, Measure, Meter};
use crate::domain::position::{Position, Range};
use crate::domain::record::{Control, EventView, Void, encode_event};
use crate::domain::time::{Instant, MINUTE_NS};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ulid::Ulid;

pub const KEY: HashKey = HashKey(11, 23);
pub const NAMESPACE: &str = "default";
/// 2025-03-01T00:00:00Z, in minutes: the clocks of New York change eight days later.
pub const START_MINUTE: i64 = 29_013_120;
pub const DAY: i64 = 1_440;

/// xorshift: the same numbers for the same seed, everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}

/// One event as the story tells it.
#[derive(Debug, Clone)]
pub struct Told {
    pub offset: u64,
    pub event_type: &'static str,
    pub subject: String,
    /// Nanoseconds.
    pub time: i64,
    pub accepted_at: Instant,
    /// Hundredths; `None`: the value is not a number.
    pub value: Option<i64>,
    /// `None`: the dimension is missing, and reads as "".
    pub region: Option<&'static str>,
    pub fate: Fate,
    pub id: String,
}

impl Told {
    pub fn data(&self) -> String {
        let value = self.value.map_or("\"many\"".to_string(), |value| format!("{value}e-2"));
        let region = self.region.map_or(String::new(), |region| format!(",\"region\":\"{region}\""));
        format!("{{\"value\":{value}{region}}}")
    }

    /// Appends its record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (data, time) = (self.data(), Instant::from_nanos(self.time));
        let view = EventView {
            namespace: NAMESPACE,
            id: &self.id,
            source: "test",
            event_type: self.event_type,
            subject: &self.subject,
            specversion: "1.0",
            time_text: Some(&time.to_rfc3339()),
            time: Some(time),
            dataschema: None,
            datacontenttype: None,
            extensions: "",
            data: Some(&data),
        };
        encode_event(&view, out);
    }
}

#[derive(Debug, Clone)]
pub enum Line {
    Event(Told),
    Control(u64, Control),
}

/// A log of one partition, and the catalog from each control record on.
pub struct Story {
    pub partition: u32,
    pub lines: Vec<Line>,
    /// One past the last offset, holes included.
    pub end: u64,
    pub meters: Vec<Arc<Meter>>,
}

const AGGREGATIONS: [Aggregation; 7] = [
    Aggregation::Sum,
    Aggregation::Count,
    Aggregation::Avg,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::UniqueCount,
    Aggregation::Latest,
];

pub fn meter(number: u128, event_type: &str, aggregation: Aggregation, event_from: Option<Instant>) -> Arc<Meter> {
    Arc::new(Meter {
        id: Ulid(1_000 + number),
        version: Ulid(2_000 + number),
        namespace: NAMESPACE.into(),
        slug: format!("meter-{number}"),
        name: format!("meter-{number}"),
        description: None,
        aggregation,
        event_type: event_type.into(),
        event_from,
        value_property: (aggregation != Aggregation::Count).then(|| "$.value".into()),
        group_by: BTreeMap::from([("region".into(), "$.region".into())]),
        metadata: None,
        created_at: Instant::from_nanos(0),
        updated_at: Instant::from_nanos(0),
    })
}

impl Story {
    /// `events` records over about `days` days; meters of every aggregation, some live from the start, some later, some
    /// deleted on the way; now and then a record of a meter comes once more.
    pub fn random(seed: u64, events: u64, days: i64) -> Self {
        let mut dice = Dice::new(seed);
        let mut story = Self { partition: 0, lines: Vec::new(), end: 0, meters: Vec::new() };
        let first = dice.roll(7);
        for number in 0..4 {
            story.create_meter(&mut dice, number, first);
        }
        let step_ns = days * DAY * MINUTE_NS / events as i64;
        let mut now = START_MINUTE * MINUTE_NS;
        for told in 0..events {
            now += dice.roll(2 * step_ns as u64) as i64;
            story.tell_event(&mut dice, told, Instant::from_nanos(now), days);
            if dice.one_in(events / 5) {
                let number = story.meters.len() as u128;
                story.create_meter(&mut dice, number, first);
            }
            if dice.one_in(events / 2) {
                let version = dice.pick(&story.meters).version;
                let (namespace, at) = (NAMESPACE.to_string(), Instant::from_nanos(now));
                story.control(Control::MeterGone { namespace, version, at });
            }
            if dice.one_in(events / 4) {
                story.repeat_a_control(&mut dice);
            }
            if dice.one_in(40) {
                story.void_an_event(&mut dice);
            }
        }
        story
    }

    /// What a publisher does that did not hear of its success.
    fn repeat_a_control(&mut self, dice: &mut Dice) {
        let control = |line: &Line| match line {
            Line::Control(_, control) => Some(control.clone()),
            Line::Event(_) => None,
        };
        let told: Vec<Control> = self.lines.iter().filter_map(control).collect();
        self.control(dice.pick(&told).clone());
    }

    /// Any event that counted, many of them among the last; some a second time.
    fn void_an_event(&mut self, dice: &mut Dice) {
        let counted: Vec<&Told> = self.events().filter(|told| told.fate == Fate::Counts).collect();
        let recent = if dice.one_in(2) { &counted[counted.len().saturating_sub(20)..] } else { &counted[..] };
        if recent.is_empty() {
            return;
        }
        let told = *dice.pick(recent);
        self.control(Control::Void(Arc::new(Void {
            position: Position::new(self.partition, told.offset),
            namespace: NAMESPACE.into(),
            source: "test".into(),
            id: told.id.clone(),
            event_type: told.event_type.into(),
            subject: told.subject.clone(),
            time: Instant::from_nanos(told.time),
            reason: "it was wrong".into(),
            replacement: None,
        })));
    }

    fn create_meter(&mut self, dice: &mut Dice, number: u128, first: u64) {
        let aggregation = AGGREGATIONS[((number as u64 + first) % 7) as usize];
        let event_from = dice.one_in(3).then(|| Instant::from_nanos((START_MINUTE + 700) * MINUTE_NS + 17_000_000_000));
        let event_type = if dice.one_in(3) { "other" } else { "call" };
        let meter = meter(number, event_type, aggregation, event_from);
        self.meters.push(meter.clone());
        self.control(Control::MeterLive(meter));
    }

    pub fn control(&mut self, control: Control) {
        self.lines.push(Line::Control(self.end, control));
        self.end += 1;
    }

    fn tell_event(&mut self, dice: &mut Dice, number: u64, accepted_at: Instant, days: i64) {
        self.end += if dice.one_in(20) { dice.roll(5) } else { 0 };
        let late = match dice.roll(10) {
            0 => dice.roll((3 * DAY * MINUTE_NS) as u64) as i64,
            1 => dice.roll((days * DAY * MINUTE_NS) as u64) as i64,
            2 => -(dice.roll((30 * MINUTE_NS) as u64) as i64),
            _ => dice.roll(MINUTE_NS as u64) as i64,
        };
        let winner = Position::new(self.partition, dice.roll(self.end.max(1)));
        let fate = match dice.roll(20) {
            0 => Fate::Duplicate { winner },
            1 => Fate::Conflict { winner },
            2 => Fate::Quarantined,
            _ => Fate::Counts,
        };
        self.lines.push(Line::Event(Told {
            offset: self.end,
            event_type: dice.pick::<&str>(&["call", "call", "other", "nobody"]),
            subject: format!("subject-{}", dice.roll(9)),
            time: accepted_at.nanos() - late,
            accepted_at,
            value: (!dice.one_in(15)).then(|| dice.roll(2_000) as i64 - 500),
            region: *dice.pick(&[Some("eu"), Some("us"), None]),
            fate,
            id: format!("event-{number}"),
        }));
        self.end += 1;
    }

    pub fn events(&self) -> impl Iterator<Item = &Told> {
        self.lines.iter().filter_map(|line| match line {
            Line::Event(told) => Some(told),
            Line::Control(..) => None,
        })
    }

    /// The offsets of the events that records below `applied` have voided.
    pub fn voided(&self, applied: u64) -> BTreeSet<u64> {
        let voided = |line: &Line| match line {
            Line::Control(offset, Control::Void(void)) if *offset < applied => Some(void.position.offset),
            _ => None,
        };
        self.lines.iter().filter_map(voided).collect()
    }

    /// Where this meter's record of going stands.
    pub fn gone_at(&self, meter: &Meter) -> Option<u64> {
        self.lines.iter().find_map(|line| match line {
            Line::Control(offset, Control::MeterGone { version, .. }) if *version == meter.version => Some(*offset),
            _ => None,
        })
    }

    /// The batch of `[from, to)`, as it comes out of the line.
    pub fn batch(&self, from: u64, to: u64) -> Batch {
        self.batch_under(Arc::new(Catalog::empty(KEY)), from, to)
    }

    /// The same, where this catalog was in force before the story began.
    pub fn batch_under(&self, mut catalog: Arc<Catalog>, from: u64, to: u64) -> Batch {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut open = Pen::default();
        for line in &self.lines {
            match line {
                Line::Event(told) if (from..to).contains(&told.offset) => open.write(told, self.partition, &catalog),
                Line::Control(offset, control) if *offset < to => {
                    let position = Position::new(self.partition, *offset);
                    if let Some(next) = catalog.with(position, control).map(Arc::new) {
                        chunks.extend(std::mem::take(&mut open).close(&catalog));
                        catalog = next;
                    }
                    if *offset >= from {
                        open.controls.push((position, control.clone()));
                    }
                }
                _ => {}
            }
        }
        chunks.extend(open.close(&catalog));
        Batch { generation: 1, range: Range::new(self.partition, from, to), chunks }
    }
}

/// A chunk being written.
#[derive(Default)]
struct Pen {
    bytes: Vec<u8>,
    events: Vec<Event>,
    controls: Vec<(Position, Control)>,
    measures: Vec<Measure>,
    texts: Vec<u8>,
}

impl Pen {
    fn write(&mut self, told: &Told, partition: u32, catalog: &Catalog) {
        let (data, time) = (told.data(), Instant::from_nanos(told.time));
        let (start, event) = (self.bytes.len() as u32, self.events.len() as u32);
        told.encode(&mut self.bytes);
        let (end, position) = (self.bytes.len() as u32, Position::new(partition, told.offset));
        let (at, accepted_at, fate) = (told.offset, told.accepted_at, told.fate);
        self.events.push(Event { start, end, at, position, accepted_at, fate });
        let Some(readers) = catalog.readers(NAMESPACE, told.event_type) else { return };
        readers.extractor.read(Some(&data), &catalog.key, &mut self.texts, |which, reading, groups| {
            let meter = readers.meters[which];
            let from = catalog.meters[meter as usize].meter.event_from;
            let reading = if from.is_some_and(|from| time < from) { Err(NotCounted::BeforeEventFrom) } else { reading };
            let groups = (groups.start as u32, groups.end as u32);
            self.measures.push(Measure { event, meter, reading, groups });
        });
    }

    fn close(self, catalog: &Arc<Catalog>) -> Option<Chunk> {
        if self.events.is_empty() && self.controls.is_empty() {
            return None;
        }
        let mut chunk = Chunk::new(Bytes::from(self.bytes), catalog.clone());
        (chunk.events, chunk.controls) = (self.events, self.controls);
        (chunk.measures, chunk.texts) = (self.measures, self.texts);
        Some(chunk)
    }
}
