//! One question, every way there is to ask it: both versions, GET and POST, JSON and CSV.

use super::Draw;
use super::client::{Answer, Client, instant, nanos, parameters, rows};
use super::model::{Query, Row};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A way to ask a meter for its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    GetJson,
    GetCsv,
    PostJson,
    PostCsv,
    V3Json,
    V3Csv,
}

pub const WAYS: [Way; 6] = [Way::GetJson, Way::GetCsv, Way::PostJson, Way::PostCsv, Way::V3Json, Way::V3Csv];

const CSV: (&str, &str) = ("Accept", "text/csv");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Asks a meter by its id, in one way by chance; rows in the model's order.
pub fn usage(client: &Client, draw: &mut Draw, id: &str, query: &Query) -> (Way, Vec<Row>) {
    let way = *draw.pick(&WAYS);
    let v1 = format!("/api/v1/meters/{id}/query");
    let v3 = format!("/api/v3/openmeter/meters/{id}/query");
    let by_get = format!("{v1}?{}", parameters(query));
    let post = |path: &str, body: Value, headers: &[_]| client.post_with(path, headers, body.to_string().as_bytes());
    let answer = match way {
        Way::GetJson => client.get(&by_get),
        Way::GetCsv => client.get_with(&by_get, &[CSV]),
        Way::PostJson => post(&v1, of_v1(query), &[JSON]),
        Way::PostCsv => post(&v1, of_v1(query), &[JSON, CSV]),
        Way::V3Json => post(&v3, of_v3(query), &[JSON]),
        Way::V3Csv => post(&v3, of_v3(query), &[JSON, CSV]),
    };
    let answer = answer.unwrap_or_else(|error| panic!("{way:?} {query:?}: {error}"));
    assert_eq!(answer.status, 200, "{way:?} {query:?}: {}", answer.body);
    assert!(!answer.headers.contains_key("x-weir-behind-events"), "{way:?} was not fresh: {:?}", answer.headers);
    let mut rows = match way {
        Way::GetJson | Way::PostJson => rows(&answer.body),
        Way::V3Json => rows_of_v3(&answer),
        Way::GetCsv | Way::PostCsv => rows_of_csv(&answer, ["window_start", "window_end"], query, six_decimals),
        Way::V3Csv => rows_of_csv(&answer, ["from", "to"], query, |value| value.to_string()),
    };
    rows.sort();
    (way, rows)
}

/// With what is there, and nothing else.
fn object(members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn dimensions(query: &Query) -> Option<Value> {
    let subject = query.by_subject.then(|| "subject".to_string());
    Some(query.group_by.iter().cloned().chain(subject).collect())
}

fn of_v1(query: &Query) -> Value {
    object([
        ("from", query.from_ns.map(|ns| json!(instant(ns)))),
        ("to", query.to_ns.map(|ns| json!(instant(ns)))),
        ("windowSize", query.window.as_ref().map(|(size, _)| json!(size))),
        ("windowTimeZone", query.window.as_ref().map(|(_, zone)| json!(zone))),
        ("subject", query.subjects.as_ref().map(|subjects| json!(subjects))),
        ("groupBy", dimensions(query)),
        ("filterGroupBy", Some(json!(query.filters))),
    ])
}

fn of_v3(query: &Query) -> Value {
    let granularity = |size: &str| match size {
        "MINUTE" => "PT1M",
        "HOUR" => "PT1H",
        "DAY" => "P1D",
        "MONTH" => "P1M",
        other => panic!("no such window: {other}"),
    };
    let subjects = query.subjects.iter().map(|subjects| ("subject".to_string(), json!({"in": subjects})));
    let filters = query.filters.iter().map(|(name, values)| (name.clone(), json!({"in": values})));
    object([
        ("from", query.from_ns.map(|ns| json!(instant(ns)))),
        ("to", query.to_ns.map(|ns| json!(instant(ns)))),
        ("granularity", query.window.as_ref().map(|(size, _)| json!(granularity(size)))),
        ("time_zone", query.window.as_ref().map(|(_, zone)| json!(zone))),
        ("group_by_dimensions", dimensions(query)),
        ("filters", Some(json!({"dimensions": subjects.chain(filters).collect::<Map<_, _>>()}))),
    ])
}

fn rows_of_v3(answer: &Answer) -> Vec<Row> {
    #[derive(serde::Deserialize)]
    struct Wire {
        data: Vec<WireRow>,
    }
    #[derive(serde::Deserialize)]
    struct WireRow {
        value: String,
        from: String,
        to: String,
        dimensions: BTreeMap<String, String>,
    }
    let wire: Wire = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
    let row = |mut row: WireRow| Row {
        start_ns: nanos(&row.from),
        end_ns: nanos(&row.to),
        subject: row.dimensions.remove("subject"),
        groups: row.dimensions,
        value: row.value,
    };
    wire.data.into_iter().map(row).collect()
}

/// The table's rows. `shown`: how the table shows a value in plain notation.
fn rows_of_csv(answer: &Answer, bounds: [&str; 2], query: &Query, shown: fn(&str) -> String) -> Vec<Row> {
    assert_eq!(answer.headers["content-type"], "text/csv");
    let subject = query.by_subject.then_some("subject");
    let groups = query.group_by.iter().map(String::as_str);
    let heads: Vec<&str> = bounds.into_iter().chain(subject).chain(groups).chain(["value"]).collect();
    let mut reader = csv::Reader::from_reader(answer.body.as_bytes());
    assert_eq!(reader.headers().expect("a header"), heads);
    let row = |record: csv::StringRecord| {
        let mut cells: BTreeMap<String, String> =
            heads.iter().map(|head| head.to_string()).zip(record.iter().map(str::to_string)).collect();
        let mut take = |head: &str| cells.remove(head).expect("as many cells as heads");
        let (start_ns, end_ns, text) = (nanos(&take(bounds[0])), nanos(&take(bounds[1])), take("value"));
        let value = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
            false => text.clone(),
        };
        assert_eq!(text, shown(&value));
        Row { start_ns, end_ns, subject: subject.map(take), groups: cells, value }
    };
    reader.records().map(|record| row(record.expect("a table"))).collect()
}

/// `7` is `7.000000`; further decimals stay.
fn six_decimals(value: &str) -> String {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    format!("{whole}.{decimals:0<6}")
}
