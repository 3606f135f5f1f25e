//! Numbers, to the last digit: from what was sent to every field of both versions that shows one.

use super::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const AGGREGATIONS: [&str; 5] = ["SUM", "MIN", "MAX", "AVG", "LATEST"];

/// As sent, and as a value is shown.
#[rustfmt::skip]
const NUMBERS: [(&str, &str); 13] = [
    ("0.1",                                  "0.1"),
    ("1e2",                                  "100"),
    ("1.5E-3",                               "0.0015"),
    ("7.00",                                 "7"),
    ("-0",                                   "0"),
    ("-0.5",                                 "-0.5"),
    ("12345678901234567890.123456789",       "12345678901234567890.123456789"),
    ("-12345678901234567890.123456789",      "-12345678901234567890.123456789"),
    ("1234567890123456789012345678",         "1234567890123456789012345678"),
    ("9999999999999999999999999999",         "9999999999999999999999999999"),
    ("0.1234567890123456789012345678",       "0.1234567890123456789012345678"),
    ("-0.0000000000000000000000000001",      "-0.0000000000000000000000000001"),
    ("7.9228162514264337593543950335",       "7.9228162514264337593543950335"),
];

/// By subject, each with one event: what was sent as `data`, and the value it has.
fn sent() -> BTreeMap<String, (String, String)> {
    let forms = |at: usize, number: &str, value: &str| {
        let forms = [("plain", number.to_string()), ("quoted", format!("\"{number}\""))];
        forms.map(|(form, json)| {
            let data = format!("{{ \"seconds\":{json},\"of\":[{number}, {{\"b\":1,\"a\":1.0}}]}}");
            (format!("{form}-{at:02}"), (data, value.to_string()))
        })
    };
    NUMBERS.iter().enumerate().flat_map(|(at, (number, value))| forms(at, number, value)).collect()
}

/// A house that was sent them, half through each version.
fn house() -> House {
    let house = House::new();
    for aggregation in AGGREGATIONS {
        let slug = aggregation.to_lowercase();
        house.create(
            &json!({"slug": slug, "aggregation": aggregation, "eventType": "job", "valueProperty": "$.seconds"}),
        );
    }
    for (at, (subject, (data, _))) in sent().iter().enumerate() {
        let event = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{subject}\",\"source\":\"s\",\"type\":\"job\",\"subject\":\"{subject}\",\
             \"time\":\"2025-03-01T10:00:00Z\",\"data\":{data}}}"
        );
        let (path, status) = [("/api/v1/events", 204), ("/api/v3/openmeter/events", 202)][at % 2];
        let answer = house.post(path, ONE, event);
        assert_eq!(answer.status, status, "{data}: {}", answer.body);
    }
    house
}

/// Values by subject, as the text on the wire.
fn values<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    rows.map(|(subject, value)| (subject.to_string(), value.to_string())).collect()
}

/// As its column heads say.
fn table(csv: &str) -> BTreeMap<String, String> {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().expect("a header");
    let column = |name: &str| heads.iter().position(|head| *head == name).unwrap_or_else(|| panic!("{name}: {csv}"));
    let (subject, value) = (column("subject"), column("value"));
    values(lines.collect::<Vec<_>>().iter().map(|cells| (cells[subject], cells[value])))
}

/// `7` is `7.000000`, as CSV of v1 shows it.
fn with_six_decimals(value: &str) -> String {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    format!("{whole}.{decimals:0<6}")
}

#[test]
fn a_value_is_the_number_that_was_sent_in_every_answer() {
    #[derive(Deserialize)]
    struct OfV1<'a> {
        #[serde(borrow)]
        data: Vec<RowOfV1<'a>>,
    }
    #[derive(Deserialize)]
    struct RowOfV1<'a> {
        subject: &'a str,
        #[serde(borrow)]
        value: &'a RawValue,
    }
    let house = house();
    let expected = values(sent().iter().map(|(subject, (_, value))| (subject.as_str(), value.as_str())));
    let padded: BTreeMap<_, _> =
        expected.iter().map(|(subject, value)| (subject.clone(), with_six_decimals(value))).collect();
    let meters = house.get("/api/v1/meters").json();
    for meter in meters.as_array().unwrap() {
        let slug = meter["slug"].as_str().unwrap();
        let v1 = format!("/api/v1/meters/{slug}/query");
        let v3 = format!("/api/v3/openmeter/meters/{}/query", meter["id"].as_str().unwrap());
        let by_subject = json!({"groupBy": ["subject"]});
        for answer in [house.get(&format!("{v1}?groupBy=subject")), house.post_json(&v1, &by_subject)] {
            let read: OfV1 = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
            assert_eq!(values(read.data.iter().map(|row| (row.subject, row.value.get()))), expected, "{slug}");
        }
        let csv = house.client.get_with(&format!("{v1}?groupBy=subject"), &[("Accept", "text/csv")]).unwrap();
        assert_eq!(table(&csv.body), padded, "{slug}");

        let by_subject = json!({"group_by_dimensions": ["subject"]});
        let read = house.post_json(&v3, &by_subject).json();
        let row = |row: &Value| {
            let text = |value: &Value| value.as_str().expect("a text").to_string();
            (text(&row["dimensions"]["subject"]), text(&row["value"]))
        };
        assert_eq!(read["data"].as_array().unwrap().iter().map(row).collect::<BTreeMap<_, _>>(), expected, "{slug}");
        let headers = [("Content-Type", EITHER), ("Accept", "text/csv")];
        let csv = house.client.post_with(&v3, &headers, by_subject.to_string().as_bytes()).unwrap();
        assert_eq!(table(&csv.body), expected, "{slug}");
    }
    for (subject, value) in expected {
        let explained = house.get(&format!("/api/v1/events/explain?id={subject}")).json();
        for meter in explained[0]["meters"].as_array().unwrap() {
            assert_eq!(meter["value"], json!(value), "{explained}");
        }
    }
}

#[test]
fn data_is_listed_as_it_came() {
    #[derive(Deserialize)]
    struct Page {
        #[serde(alias = "items")]
        data: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        event: Shown,
    }
    #[derive(Deserialize)]
    struct Shown {
        id: String,
        data: Box<RawValue>,
    }
    let house = house();
    let expected: BTreeMap<_, _> = sent().into_iter().map(|(subject, (data, _))| (subject, data)).collect();
    let v1 = house.get("/api/v1/events").body;
    let lists = [
        format!("{{\"items\":{v1}}}"),
        house.get("/api/v2/events").body,
        house.get("/api/v3/openmeter/events?page[size]=100").body,
    ];
    for list in lists {
        let read: Page = serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"));
        let data: BTreeMap<_, _> =
            read.data.into_iter().map(|item| (item.event.id, item.event.data.get().to_string())).collect();
        assert_eq!(data, expected);
    }
}

#[test]
fn a_subjects_metadata_keeps_its_digits() {
    let house = House::new();
    let numbers = NUMBERS.map(|(number, _)| number).join(",");
    let metadata = format!("\"metadata\":{{\"n\":[{numbers}]}}");
    let body = format!("[{{\"key\":\"acme\",{metadata}}}]");
    let answers =
        [house.post("/api/v1/subjects", EITHER, body), house.get("/api/v1/subjects"), house.get("/api/v1/audit")];
    for answer in answers {
        assert!(answer.status == 200 && answer.body.contains(&metadata), "{answer:?}");
    }
}
