//! A client of weir's API, as simple as one can be: statuses, headers, bodies.

use super::model::{Query, Row};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone)]
pub struct Client {
    pub base: String,
    agent: ureq::Agent,
}

/// An answer with what tests look at.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

impl Client {
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build();
        Self { base: format!("http://{address}"), agent: config.into() }
    }

    /// `Err` when no answer came: refused, reset, cut off.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
        self.post_with(path, &[("Content-Type", content_type)], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body))
    }

    pub fn get(&self, path: &str) -> Result<Answer, String> {
        read(self.agent.get(format!("{}{path}", self.base)).call())
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call())
    }

    pub fn put(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
        read(self.agent.put(format!("{}{path}", self.base)).header("Content-Type", content_type).send(body))
    }

    pub fn delete(&self, path: &str) -> Result<Answer, String> {
        read(self.agent.delete(format!("{}{path}", self.base)).call())
    }

    /// Events as a batch.
    pub fn send(&self, events: &[String]) -> Result<Answer, String> {
        self.post("/api/v1/events", "application/cloudevents-batch+json", format!("[{}]", events.join(",")).as_bytes())
    }

    /// A meter query by GET, as rows in the model's order.
    pub fn usage(&self, meter: &str, query: &Query) -> Vec<Row> {
        let path = format!("/api/v1/meters/{meter}/query?{}", parameters(query));
        let answer = self.get(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.headers.contains_key("x-weir-behind-events"), "{path} was not fresh: {:?}", answer.headers);
        rows(&answer.body)
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let text = |value: &ureq::http::HeaderValue| value.to_str().expect("headers are text").to_string();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = answer.body_mut().with_config().limit(1 << 30).read_to_string().map_err(|error| error.to_string())?;
    Ok(Answer { status: answer.status().as_u16(), headers, body })
}

pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// RFC 3339, to be put into a URL or a body.
pub fn instant(ns: i128) -> String {
    jiff::Timestamp::from_nanosecond(ns).expect("of this era").to_string()
}

/// The instant of an RFC 3339 time, in nanoseconds since 1970.
pub fn nanos(text: &str) -> i128 {
    text.parse::<jiff::Timestamp>().expect("an RFC 3339 time").as_nanosecond()
}

/// A usage query as the parameters of a GET.
pub fn parameters(query: &Query) -> String {
    let instant = |ns: i128| encode(&instant(ns));
    let mut parts = Vec::new();
    parts.extend(query.from_ns.map(|ns| format!("from={}", instant(ns))));
    parts.extend(query.to_ns.map(|ns| format!("to={}", instant(ns))));
    if let Some((size, zone)) = &query.window {
        parts.push(format!("windowSize={size}&windowTimeZone={}", encode(zone)));
    }
    parts.extend(query.subjects.iter().flatten().map(|subject| format!("subject={}", encode(subject))));
    parts.extend(query.by_subject.then(|| "groupBy=subject".to_string()));
    parts.extend(query.customers.iter().flatten().map(|id| format!("filterCustomerId={id}")));
    parts.extend(query.group_by.iter().map(|group| format!("groupBy={}", encode(group))));
    for (name, values) in &query.filters {
        parts.extend(values.iter().map(|value| format!("filterGroupBy[{name}]={}", encode(value))));
    }
    parts.join("&")
}

/// Rows of an answer of v1; values as the text on the wire.
pub fn rows(body: &str) -> Vec<Row> {
    #[derive(serde::Deserialize)]
    struct Wire {
        data: Vec<WireRow>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct WireRow {
        value: Box<serde_json::value::RawValue>,
        window_start: String,
        window_end: String,
        subject: Option<String>,
        customer_id: Option<String>,
        group_by: BTreeMap<String, String>,
    }
    let wire: Wire = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let row = |row: WireRow| Row {
        start_ns: nanos(&row.window_start),
        end_ns: nanos(&row.window_end),
        subject: row.subject,
        customer: row.customer_id,
        groups: row.group_by.into_iter().filter(|(name, _)| name != "subject").collect(),
        value: row.value.get().to_string(),
    };
    let mut rows: Vec<Row> = wire.data.into_iter().map(row).collect();
    rows.sort();
    rows
}
