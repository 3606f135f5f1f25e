//! One question, every way there is to ask it: both versions, GET and POST, JSON and CSV.

use super::Draw;
use super::client::{Answer, Client, instant, nanos, parameters, rows};
use super::customers::Customer;
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

/// Asks a meter by its id, in one way by chance; rows in the model's order. `customers`: all, as they are now.
pub fn usage(client: &Client, draw: &mut Draw, id: &str, query: &Query, customers: &[Customer]) -> (Way, Vec<Row>) {
    let is_asked = |customer: &&Customer| query.customers.iter().flatten().any(|id| *id == customer.id);
    let any_gone = customers.iter().filter(is_asked).any(|customer| !customer.is_live());
    // To v1 a deleted customer is unknown.
    let way = if any_gone { *draw.pick(&[Way::V3Json, Way::V3Csv]) } else { *draw.pick(&WAYS) };
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
        Way::GetCsv | Way::PostCsv => rows_of_csv_v1(&answer, query),
        Way::V3Csv => rows_of_csv_v3(&answer, query, customers),
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
        ("filterCustomerId", query.customers.as_ref().map(|ids| json!(ids))),
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
    let customers = query.customers.iter().map(|ids| ("customer_id".to_string(), json!({"in": ids})));
    let filters = query.filters.iter().map(|(name, values)| (name.clone(), json!({"in": values})));
    object([
        ("from", query.from_ns.map(|ns| json!(instant(ns)))),
        ("to", query.to_ns.map(|ns| json!(instant(ns)))),
        ("granularity", query.window.as_ref().map(|(size, _)| json!(granularity(size)))),
        ("time_zone", query.window.as_ref().map(|(_, zone)| json!(zone))),
        ("group_by_dimensions", dimensions(query)),
        ("filters", Some(json!({"dimensions": subjects.chain(customers).chain(filters).collect::<Map<_, _>>()}))),
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
        customer: row.dimensions.remove("customer_id"),
        groups: row.dimensions,
        value: row.value,
    };
    wire.data.into_iter().map(row).collect()
}

/// A name of a subject is shown as soon as one is known; those that come with customers have none.
fn rows_of_csv_v1(answer: &Answer, query: &Query) -> Vec<Row> {
    let display_name = "subject_display_name";
    let name = answer.body.lines().next().is_some_and(|heads| heads.contains(display_name)).then_some(display_name);
    let subject = query.by_subject.then_some("subject").into_iter().chain(name);
    let customer = query.customers.as_ref().map(|_| "customer_id");
    let columns = subject.chain(query.group_by.iter().map(String::as_str)).chain(customer);
    rows_of_csv(answer, ["window_start", "window_end"], columns.collect(), six_decimals, |cells| {
        assert!(cells.remove(display_name).is_none_or(|name| name.is_empty()), "{cells:?}");
    })
}

fn rows_of_csv_v3(answer: &Answer, query: &Query, customers: &[Customer]) -> Vec<Row> {
    let subject = query.by_subject.then_some("subject").into_iter();
    let customer = query.customers.as_ref().map(|_| ["customer_id", "customer_key", "customer_name"]);
    let columns = subject.chain(customer.into_iter().flatten()).chain(query.group_by.iter().map(String::as_str));
    let plain = |value: &str| value.to_string();
    rows_of_csv(answer, ["from", "to"], columns.collect(), plain, |cells| {
        let Some(id) = cells.get("customer_id").cloned() else { return };
        let shown = [cells.remove("customer_key"), cells.remove("customer_name")].map(Option::unwrap_or_default);
        let customer = customers.iter().find(|customer| customer.id == id && customer.is_live());
        let expected = customer.map(|customer| [customer.key.clone().unwrap_or_default(), customer.name.clone()]);
        assert_eq!(shown, expected.unwrap_or_default(), "{id}");
    })
}

/// The table's rows. `shown`: how the table shows a value in plain notation. `others`: checks and takes the cells that
/// rows of the model do not have.
fn rows_of_csv(
    answer: &Answer,
    bounds: [&str; 2],
    columns: Vec<&str>,
    shown: fn(&str) -> String,
    others: impl Fn(&mut BTreeMap<String, String>),
) -> Vec<Row> {
    assert_eq!(answer.headers["content-type"], "text/csv");
    let heads: Vec<&str> = bounds.into_iter().chain(columns).chain(["value"]).collect();
    let mut reader = csv::Reader::from_reader(answer.body.as_bytes());
    assert_eq!(reader.headers().expect("a header"), heads);
    let row = |record: csv::StringRecord| {
        let mut cells: BTreeMap<String, String> =
            heads.iter().map(|head| head.to_string()).zip(record.iter().map(str::to_string)).collect();
        others(&mut cells);
        let mut take = |head: &str| cells.remove(head);
        let [start, end] = bounds.map(|head| nanos(&take(head).expect("as many cells as heads")));
        let text = take("value").expect("as many cells as heads");
        let value = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
            false => text.clone(),
        };
        assert_eq!(text, shown(&value));
        let (subject, customer) = (take("subject"), take("customer_id"));
        Row { start_ns: start, end_ns: end, subject, customer, groups: cells, value }
    };
    reader.records().map(|record| row(record.expect("a table"))).collect()
}

/// `7` is `7.000000`; further decimals stay.
fn six_decimals(value: &str) -> String {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    format!("{whole}.{decimals:0<6}")
}
