//! Random streams of events: everything that makes metering hard, in one place.

use super::Draw;
use super::model::{Event, Json, Meter, Query};
use std::collections::BTreeMap;

pub const TYPES: [&str; 3] = ["request", "job", "unmetered"];
pub const SUBJECTS: [&str; 7] = ["acme", "globex", "initech", "umbrella", "ünïcode", "with space", "a/b"];
pub const ZONES: [&str; 9] = [
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Europe/Berlin",
    "America/St_Johns",
];
const DAY_NS: i128 = 86_400_000_000_000;

/// What has been sent so far, to be sent again or contradicted.
pub struct Stream {
    pub draw: Draw,
    pub events: Vec<Event>,
    serial: u64,
}

impl Stream {
    pub fn new(seed: u64) -> Self {
        Self { draw: Draw(seed), events: Vec::new(), serial: 0 }
    }

    /// The next events, accepted at `now_ns`: new ones, repeats, contradictions, late and future ones.
    pub fn next(&mut self, count: usize, now_ns: i128) -> Vec<Event> {
        (0..count).map(|_| self.one(now_ns)).collect()
    }

    fn one(&mut self, now_ns: i128) -> Event {
        let repeat = !self.events.is_empty() && self.draw.chance(6);
        let mut event = if repeat {
            let index = self.draw.below(self.events.len() as u64) as usize;
            let mut event = self.events[index].clone();
            if self.draw.chance(30) {
                event.data.insert("amount".into(), Json::Number("424242".into(), 424_242_000_000));
            }
            event
        } else {
            self.fresh(now_ns)
        };
        (event.accepted_ns, event.voided) = (now_ns, false);
        self.events.push(event.clone());
        event
    }

    pub fn fresh(&mut self, now_ns: i128) -> Event {
        self.serial += 1;
        let draw = &mut self.draw;
        let age_ns = match draw.below(20) {
            0 => -(draw.below(30) as i128) * DAY_NS / 3,
            1..=4 => draw.below(40) as i128 * DAY_NS + draw.below(86_400) as i128 * 1_000_000_000,
            5..=8 => draw.below(3 * 86_400) as i128 * 1_000_000_000,
            _ => draw.below(4_000) as i128 * 1_000_000_000,
        };
        // Now and then exactly on a minute, an hour, or a nanosecond beside one.
        let mut time_ns = now_ns - age_ns - draw.below(1_000_000_000) as i128;
        if draw.chance(10) {
            time_ns -= time_ns.rem_euclid(*draw.pick(&[60_000_000_000, 3_600_000_000_000]));
            time_ns -= draw.below(2) as i128;
        }
        let mut data = BTreeMap::new();
        data.insert("amount".to_string(), amount(draw));
        data.insert("user".to_string(), user(draw));
        data.insert("region".to_string(), dimension(draw, &["eu", "us", "ap"]));
        data.insert("model".to_string(), dimension(draw, &["small", "large"]));
        Event {
            accepted_ns: now_ns,
            id: format!("e-{}", self.serial),
            source: draw.pick(&["api", "worker"]).to_string(),
            event_type: draw.pick(&TYPES[..]).to_string(),
            subject: draw.pick(&SUBJECTS[..]).to_string(),
            time_ns,
            data,
            voided: false,
        }
    }
}

fn number(draw: &mut Draw) -> (String, i128) {
    match draw.below(6) {
        0 => ("0.1".into(), 100_000),
        1 => ("1e2".into(), 100_000_000),
        2 => ("-0".into(), 0),
        3 => ("7.00".into(), 7_000_000),
        4 => {
            let value = draw.below(2_000_000_000) as i128 - 1_000_000_000;
            (super::model::plain(value), value)
        }
        _ => {
            let whole = draw.below(1_000_000_000_000) as i128;
            (whole.to_string(), whole * 1_000_000)
        }
    }
}

fn amount(draw: &mut Draw) -> Json {
    match draw.below(20) {
        0 => Json::Missing,
        1 => Json::Null,
        2 => Json::Bool(true),
        3 => Json::Object,
        4 => Json::Word("NaN".into()),
        5 => Json::Huge("1e400".into()),
        6..=8 => {
            let (text, value) = number(draw);
            Json::Quoted(text, value)
        }
        _ => {
            let (text, value) = number(draw);
            Json::Number(text, value)
        }
    }
}

fn user(draw: &mut Draw) -> Json {
    match draw.below(20) {
        0 => Json::Missing,
        1 => Json::Null,
        2 => Json::Word("null".into()),
        3 => Json::Bool(false),
        4 => Json::Number("7.00".into(), 7_000_000),
        5 => Json::Quoted("7.00".into(), 7_000_000),
        6 => Json::Quoted("7".into(), 7_000_000),
        7 => Json::Huge("1e400".into()),
        _ => Json::Word(format!("u{}", draw.below(40))),
    }
}

fn dimension(draw: &mut Draw, of: &[&str]) -> Json {
    match draw.below(12) {
        0 => Json::Missing,
        1 => Json::Null,
        2 => Json::Number("5".into(), 5_000_000),
        _ => Json::Word(draw.pick(of).to_string()),
    }
}

/// One meter of each aggregation, over two event types.
pub fn meters() -> Vec<Meter> {
    let meter = |slug: &str, aggregation, event_type: &str, value: Option<&str>, dimensions: &[&str]| Meter {
        slug: slug.into(),
        aggregation,
        event_type: event_type.into(),
        value: value.map(str::to_string),
        dimensions: dimensions.iter().map(|name| (name.to_string(), name.to_string())).collect(),
        event_from_ns: None,
    };
    vec![
        meter("sum", "SUM", "request", Some("amount"), &["region", "model"]),
        meter("count", "COUNT", "request", None, &["region"]),
        meter("avg", "AVG", "request", Some("amount"), &[]),
        meter("min", "MIN", "request", Some("amount"), &["model"]),
        meter("max", "MAX", "job", Some("amount"), &["region"]),
        meter("latest", "LATEST", "job", Some("amount"), &[]),
        meter("users", "UNIQUE_COUNT", "request", Some("user"), &["region"]),
    ]
}

/// The meter as a client creates it.
pub fn create_body(meter: &Meter) -> String {
    let groups = meter.dimensions.iter().map(|(name, member)| (name.clone(), format!("$.{member}")));
    let mut body = serde_json::json!({
        "slug": meter.slug,
        "aggregation": meter.aggregation,
        "eventType": meter.event_type,
        "groupBy": groups.collect::<BTreeMap<_, _>>(),
    });
    if let Some(value) = &meter.value {
        body["valueProperty"] = format!("$.{value}").into();
    }
    body.to_string()
}

/// A random question to a meter.
pub fn query(draw: &mut Draw, meter: &Meter, now_ns: i128) -> Query {
    let mut query = Query::default();
    if draw.chance(75) {
        let length = *draw.pick(&[1_000_000_000, 90_000_000_000, DAY_NS / 24, DAY_NS, 40 * DAY_NS]);
        let from = now_ns - draw.below(45 * 86_400) as i128 * 1_000_000_000 - draw.below(1_000_000_000) as i128;
        let aligned = *draw.pick(&[1, 1_000_000_000, 60_000_000_000, 3_600_000_000_000, DAY_NS]);
        query.from_ns = Some(from - from.rem_euclid(aligned));
        let to = from + length + draw.below(1_000_000_000) as i128;
        query.to_ns = Some((to - to.rem_euclid(aligned)).max(query.from_ns.expect("just set") + 1));
        if draw.chance(15) {
            query.from_ns = None;
        } else if draw.chance(15) {
            query.to_ns = None;
        }
    }
    if draw.chance(70) {
        let short = query.from_ns.zip(query.to_ns).is_some_and(|(from, to)| to - from <= 2 * DAY_NS);
        let sizes: &[&'static str] =
            if short { &["MINUTE", "HOUR", "DAY", "MONTH"] } else { &["HOUR", "DAY", "MONTH"] };
        query.window = Some((*draw.pick(sizes), draw.pick(&ZONES[..]).to_string()));
    }
    if draw.chance(35) {
        let count = 1 + draw.below(2);
        query.subjects = Some((0..count).map(|_| draw.pick(&SUBJECTS[..]).to_string()).collect());
        query.by_subject = true;
    } else if draw.chance(30) {
        query.by_subject = true;
    }
    for name in meter.dimensions.keys() {
        if draw.chance(35) {
            query.group_by.push(name.clone());
        }
        if draw.chance(15) {
            query.filters.insert(name.clone(), vec![draw.pick(&["eu", "small", "null", "5"]).to_string()]);
        }
    }
    query
}
