//! The reference model: what weir must answer, computed the slow and obvious way from the list of everything that was
//! accepted. It shares no code with weir; numbers are integers of millionths, windows are found by walking minutes.

use super::customers::{Customer, asked_owner};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A member of `data` as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Json {
    Missing,
    Null,
    Bool(bool),
    Object,
    /// A number that counts: its text and its value in millionths.
    Number(String, i128),
    /// A number in quotes.
    Quoted(String, i128),
    /// A number beyond what a value can hold.
    Huge(String),
    Word(String),
}

impl Json {
    pub fn render(&self) -> Option<String> {
        match self {
            Json::Missing => None,
            Json::Null => Some("null".into()),
            Json::Bool(value) => Some(value.to_string()),
            Json::Object => Some("{\"deep\":[1]}".into()),
            Json::Number(text, _) | Json::Huge(text) => Some(text.clone()),
            Json::Quoted(text, _) | Json::Word(text) => Some(format!("\"{text}\"")),
        }
    }

    fn millionths(&self) -> Option<i128> {
        match self {
            Json::Number(_, value) | Json::Quoted(_, value) => Some(*value),
            _ => None,
        }
    }

    /// What UNIQUE_COUNT tells apart.
    fn distinct(&self) -> Option<String> {
        match self {
            Json::Missing | Json::Object => Some(String::new()),
            Json::Null => None,
            Json::Bool(value) => Some(value.to_string()),
            Json::Number(_, value) => Some(plain(*value)),
            Json::Huge(text) | Json::Quoted(text, _) => Some(text.clone()),
            Json::Word(text) => (text != "null").then(|| text.clone()),
        }
    }

    /// What a dimension shows.
    fn dimension(&self) -> String {
        match self {
            Json::Missing | Json::Object => String::new(),
            Json::Null => "null".into(),
            Json::Bool(value) => value.to_string(),
            Json::Number(text, _) | Json::Huge(text) | Json::Quoted(text, _) | Json::Word(text) => text.clone(),
        }
    }
}

/// Millionths as plain decimal text.
pub fn plain(millionths: i128) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let (whole, part) = (millionths.unsigned_abs() / 1_000_000, millionths.unsigned_abs() % 1_000_000);
    let text = format!("{sign}{whole}.{part:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Millionths divided by a count, to 28 digits after the point, rounded half away from zero: long division.
pub fn average(millionths: i128, count: i128) -> String {
    let (negative, value) = (millionths < 0, millionths.abs());
    let divisor = count * 1_000_000;
    let (mut whole, mut rest) = (value / divisor, value % divisor);
    let mut digits = Vec::new();
    for _ in 0..28 {
        rest *= 10;
        digits.push((rest / divisor) as u8);
        rest %= divisor;
    }
    if rest * 2 >= divisor {
        let mut carry = true;
        for digit in digits.iter_mut().rev() {
            *digit = if carry { (*digit + 1) % 10 } else { *digit };
            carry = carry && *digit == 0;
        }
        whole += i128::from(carry);
    }
    let fraction: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let text = format!("{whole}.{fraction}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if negative && text != "0" { format!("-{text}") } else { text.to_string() }
}

/// One accepted event, in the order of positions.
#[derive(Debug, Clone)]
pub struct Event {
    pub accepted_ns: i128,
    pub id: String,
    pub source: String,
    pub event_type: String,
    pub subject: String,
    /// Nanoseconds since 1970.
    pub time_ns: i128,
    pub data: BTreeMap<String, Json>,
    /// It counts no longer; its id stays taken.
    pub voided: bool,
}

impl Event {
    pub fn render(&self) -> String {
        let time = Timestamp::from_nanosecond(self.time_ns).expect("a time of this era");
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"{}\",\"type\":\"{}\",\"subject\":\"{}\",\
             \"time\":\"{time}\",\"data\":{}}}",
            self.id,
            self.source,
            self.event_type,
            self.subject,
            self.render_data()
        )
    }

    /// `data` as it is sent, and as it must come back.
    pub fn render_data(&self) -> String {
        let members = self.data.iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value.render()?)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    fn member(&self, name: &str) -> &Json {
        self.data.get(name).unwrap_or(&Json::Missing)
    }
}

#[derive(Debug, Clone)]
pub struct Meter {
    pub slug: String,
    pub aggregation: &'static str,
    pub event_type: String,
    /// Name of the member of `data` that is the value.
    pub value: Option<String>,
    /// Dimension → member of `data`.
    pub dimensions: BTreeMap<String, String>,
    pub event_from_ns: Option<i128>,
}

#[derive(Debug, Clone, Default)]
pub struct Query {
    pub from_ns: Option<i128>,
    pub to_ns: Option<i128>,
    /// Size and zone.
    pub window: Option<(&'static str, String)>,
    pub subjects: Option<Vec<String>>,
    pub by_subject: bool,
    /// Ids: only usage of these customers, told apart.
    pub customers: Option<Vec<String>>,
    pub group_by: Vec<String>,
    pub filters: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub start_ns: i128,
    pub end_ns: i128,
    pub subject: Option<String>,
    /// Its id.
    pub customer: Option<String>,
    pub groups: BTreeMap<String, String>,
    pub value: String,
}

const MINUTE_NS: i128 = 60_000_000_000;

/// The events that won their ids, voided ones too: the first under each (source, id), until `window_ns` have passed.
pub fn winners(events: &[Event], window_ns: i128) -> Vec<Event> {
    winners_at(events, window_ns).into_iter().map(|index| events[index].clone()).collect()
}

/// Where they are in the list.
pub fn winners_at(events: &[Event], window_ns: i128) -> Vec<usize> {
    let mut owners: HashMap<(&str, &str), i128> = HashMap::new();
    let mut winners = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let key = (event.source.as_str(), event.id.as_str());
        if owners.get(&key).is_some_and(|accepted| event.accepted_ns - accepted < window_ns) {
            continue;
        }
        owners.insert(key, event.accepted_ns);
        winners.push(index);
    }
    winners
}

/// Those of the winners that count.
pub fn counting(winners: &[Event]) -> Vec<Event> {
    winners.iter().filter(|event| !event.voided).cloned().collect()
}

/// What rows are told apart by: window, subject, customer, dimensions.
type Key = (i128, i128, Option<String>, Option<String>, BTreeMap<String, String>);

/// The answer, rows in order of their fields. `events` are those that count, `customers` all as they are now.
pub fn answer(events: &[Event], customers: &[Customer], meter: &Meter, query: &Query) -> Vec<Row> {
    let mut groups: BTreeMap<Key, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| concerned(event, meter, query)) {
        let customer = match &query.customers {
            None => None,
            Some(asked) => match asked_owner(customers, asked, &event.subject) {
                None => continue,
                Some(owner) => Some(owner.to_string()),
            },
        };
        let (start, end) = match &query.window {
            Some((size, zone)) => window(event.time_ns, size, zone),
            None => (0, 0),
        };
        let dimension = |name: &String| (name.clone(), event.member(&meter.dimensions[name]).dimension());
        let subject = query.by_subject.then(|| event.subject.clone());
        let key = (start, end, subject, customer, query.group_by.iter().map(dimension).collect());
        groups.entry(key).or_default().push(event);
    }
    let mut rows = Vec::new();
    for ((start, end, subject, customer, dimensions), events) in groups {
        let Some(value) = value(&events, meter) else { continue };
        let (start_ns, end_ns) = if query.window.is_some() { (start, end) } else { bounds(&events, query) };
        rows.push(Row { start_ns, end_ns, subject, customer, groups: dimensions, value });
    }
    let counts = ["COUNT", "UNIQUE_COUNT"].contains(&meter.aggregation);
    let ungrouped = query.group_by.is_empty() && !query.by_subject && query.customers.is_none();
    if rows.is_empty() && counts && ungrouped && query.window.is_none() {
        let (start_ns, end_ns) = (query.from_ns.unwrap_or(0), query.to_ns.unwrap_or(MINUTE_NS));
        let (groups, value) = (BTreeMap::new(), "0".into());
        rows.push(Row { start_ns, end_ns, subject: None, customer: None, groups, value });
    }
    rows.sort();
    rows
}

/// The subjects of a meter's events in a period, or the values of a dimension, each once, by byte order. The meter's
/// `eventFrom` does not matter, nor whether the value can be read. `events` are those that count.
pub fn values(
    events: &[Event],
    meter: &Meter,
    dimension: Option<&str>,
    from_ns: Option<i128>,
    to_ns: Option<i128>,
) -> Vec<String> {
    let is_asked = |event: &&Event| {
        event.event_type == meter.event_type
            && from_ns.is_none_or(|from| event.time_ns >= from)
            && to_ns.is_none_or(|to| event.time_ns < to)
    };
    let value = |event: &Event| match dimension {
        None => event.subject.clone(),
        Some(name) => event.member(&meter.dimensions[name]).dimension(),
    };
    let found: BTreeSet<String> = events.iter().filter(is_asked).map(value).collect();
    found.into_iter().collect()
}

/// How many events happened at an instant or later, by subject. `events` are those that count.
pub fn event_counts(events: &[Event], from_ns: i128) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in events.iter().filter(|event| event.time_ns >= from_ns) {
        *counts.entry(event.subject.clone()).or_default() += 1;
    }
    counts
}

/// What a list asks of an event, and how it is ordered. All that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    pub subjects: Option<Vec<String>>,
    /// Ids of live ones: only events of these customers.
    pub customers: Option<Vec<String>>,
    pub event_type: Option<String>,
    pub not_source: Option<String>,
    pub time_from_ns: Option<i128>,
    pub accepted_before_ns: Option<i128>,
    /// Ordered by when it was accepted, not by when it happened.
    pub by_acceptance: bool,
    pub ascending: bool,
}

/// The events of a list, all of them, in its order: by their instant, then by position. `events` are those that count,
/// `customers` all as they are now.
pub fn listed<'a>(events: &'a [Event], customers: &[Customer], query: &ListQuery) -> Vec<&'a Event> {
    let theirs = |asked: &Vec<String>, event: &Event| asked_owner(customers, asked, &event.subject).is_some();
    let passes = |event: &&Event| {
        query.subjects.as_ref().is_none_or(|subjects| subjects.contains(&event.subject))
            && query.customers.as_ref().is_none_or(|asked| theirs(asked, event))
            && query.event_type.as_ref().is_none_or(|event_type| event.event_type == *event_type)
            && query.not_source.as_ref().is_none_or(|source| event.source != *source)
            && query.time_from_ns.is_none_or(|from| event.time_ns >= from)
            && query.accepted_before_ns.is_none_or(|before| event.accepted_ns < before)
    };
    let mut listed: Vec<&Event> = events.iter().filter(passes).collect();
    // A stable sort: equal instants stay in the order of positions.
    listed.sort_by_key(|event| if query.by_acceptance { event.accepted_ns } else { event.time_ns });
    if !query.ascending {
        listed.reverse();
    }
    listed
}

fn concerned(event: &Event, meter: &Meter, query: &Query) -> bool {
    let passes =
        |(name, values): (&String, &Vec<String>)| values.contains(&event.member(&meter.dimensions[name]).dimension());
    event.event_type == meter.event_type
        && meter.event_from_ns.is_none_or(|from| event.time_ns >= from)
        && query.from_ns.is_none_or(|from| event.time_ns >= from)
        && query.to_ns.is_none_or(|to| event.time_ns < to)
        && query.subjects.as_ref().is_none_or(|subjects| subjects.contains(&event.subject))
        && query.filters.iter().all(passes)
}

/// Without windows: from the first event's minute to the end of the last one's, unless bounds were asked for.
fn bounds(events: &[&Event], query: &Query) -> (i128, i128) {
    let minutes = || events.iter().map(|event| event.time_ns.div_euclid(MINUTE_NS));
    let first = minutes().min().expect("a group has events") * MINUTE_NS;
    let last = (minutes().max().expect("a group has events") + 1) * MINUTE_NS;
    (query.from_ns.unwrap_or(first), query.to_ns.unwrap_or(last))
}

fn value(events: &[&Event], meter: &Meter) -> Option<String> {
    let member = |event: &&&Event| meter.value.as_ref().map(|name| event.member(name).clone());
    let numbers: Vec<i128> = events.iter().filter_map(|event| member(&event)?.millionths()).collect();
    match meter.aggregation {
        "COUNT" => Some(events.len().to_string()),
        "UNIQUE_COUNT" => {
            let distinct: BTreeSet<String> = events.iter().filter_map(|event| member(&event)?.distinct()).collect();
            Some(distinct.len().to_string())
        }
        _ if numbers.is_empty() => None,
        "SUM" => Some(plain(numbers.iter().sum())),
        "AVG" => Some(average(numbers.iter().sum(), numbers.len() as i128)),
        "MIN" => numbers.iter().min().map(|least| plain(*least)),
        "MAX" => numbers.iter().max().map(|greatest| plain(*greatest)),
        "LATEST" => {
            // Of equal times the one accepted last: max_by_key keeps the last of equals.
            let counted = events.iter().filter(|event| member(event).is_some_and(|value| value.millionths().is_some()));
            let latest = counted.max_by_key(|event| event.time_ns)?;
            Some(plain(member(&latest)?.millionths()?))
        }
        other => panic!("no such aggregation: {other}"),
    }
}

/// The calendar window that holds the instant, in a zone.
pub fn window(at_ns: i128, size: &str, zone: &str) -> (i128, i128) {
    let zone = TimeZone::get(zone).expect("a zone of the database");
    let at = Timestamp::from_nanosecond(at_ns).expect("a time of this era").to_zoned_datetime(zone);
    let (start, end) = match size {
        "DAY" => {
            let start = at.start_of_day().expect("days of this era start");
            let next = at.date().tomorrow().expect("days of this era have a next one");
            (start, next.to_zoned_datetime(at.time_zone().clone()).expect("midnight").start_of_day().expect("midnight"))
        }
        "MONTH" => {
            let first = at.date().first_of_month();
            let next = at.date().last_of_month().tomorrow().expect("months of this era have a next one");
            let start = |date: jiff::civil::Date| {
                date.to_zoned_datetime(at.time_zone().clone()).and_then(|zoned| zoned.start_of_day()).expect("midnight")
            };
            (start(first), start(next))
        }
        "HOUR" => (walk(&at, -1, 60), walk(&at, 1, 60)),
        "MINUTE" => (walk(&at, -1, 1), walk(&at, 1, 1)),
        other => panic!("no such window: {other}"),
    };
    (start.timestamp().as_nanosecond(), end.timestamp().as_nanosecond())
}

/// From the instant back to (or forth to the next) start of a clock stretch of so many minutes: local time is a
/// multiple of it there, or the clocks have just been changed by something that is not.
fn walk(at: &ZonedDateTime, step: i64, minutes: i64) -> ZonedDateTime {
    let seconds = |zoned: &ZonedDateTime| i64::from(zoned.minute()) * 60 + i64::from(zoned.second());
    let length = minutes * 60;
    let whole = at.timestamp().as_second();
    let mut now = whole + i64::from(step > 0);
    loop {
        let here = Timestamp::from_second(now).expect("a time of this era").to_zoned_datetime(at.time_zone().clone());
        let before =
            Timestamp::from_second(now - 1).expect("a time of this era").to_zoned_datetime(at.time_zone().clone());
        let change = i64::from(here.offset().seconds()) - i64::from(before.offset().seconds());
        if seconds(&here) % length == 0 || change % length != 0 {
            return here;
        }
        now += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> i128 {
        text.parse::<Timestamp>().unwrap().as_nanosecond()
    }

    #[test]
    fn the_model_does_the_worked_examples() {
        assert_eq!(average(1_000_000, 3), "0.3333333333333333333333333333");
        assert_eq!(average(2_000_000, 3), "0.6666666666666666666666666667");
        assert_eq!(average(-5_000_000, 2), "-2.5");
        assert_eq!(plain(-1_500_000), "-1.5");
        let day = window(utc("2025-03-09T12:00:00Z"), "DAY", "America/Los_Angeles");
        assert_eq!(day, (utc("2025-03-09T08:00:00Z"), utc("2025-03-10T07:00:00Z")));
        let hour = window(utc("2025-06-01T10:20:00Z"), "HOUR", "Asia/Kathmandu");
        assert_eq!(hour, (utc("2025-06-01T10:15:00Z"), utc("2025-06-01T11:15:00Z")));
    }

    #[test]
    fn the_model_knows_what_there_is() {
        let event = |id: &str, subject: &str, time_ns: i128, region: Json| Event {
            accepted_ns: 0,
            id: id.into(),
            source: "s".into(),
            event_type: "call".into(),
            subject: subject.into(),
            time_ns,
            data: BTreeMap::from([("region".to_string(), region)]),
            voided: false,
        };
        let events = [
            event("1", "b", 10, Json::Word("eu".into())),
            event("2", "a", 20, Json::Missing),
            event("3", "b", 30, Json::Word("us".into())),
        ];
        let meter = Meter {
            slug: "m".into(),
            aggregation: "SUM",
            event_type: "call".into(),
            value: Some("value".into()),
            dimensions: BTreeMap::from([("where".to_string(), "region".to_string())]),
            event_from_ns: Some(25),
        };
        assert_eq!(values(&events, &meter, None, None, Some(30)), ["a", "b"]);
        assert_eq!(values(&events, &meter, None, Some(11), None), ["a", "b"]);
        assert_eq!(values(&events, &meter, Some("where"), None, None), ["", "eu", "us"]);
        assert_eq!(event_counts(&events, 20), BTreeMap::from([("a".to_string(), 1), ("b".to_string(), 1)]));
    }
}
