//! The door over the real engine: status and body of every route, for good and for bad input. One file per route.

mod support;

#[path = "http/balances.rs"]
mod balances;
#[path = "http/by_customer.rs"]
mod by_customer;
#[path = "http/customers.rs"]
mod customers;
#[path = "http/entitlements.rs"]
mod entitlements;
#[path = "http/events_list.rs"]
mod events_list;
#[path = "http/events_post.rs"]
mod events_post;
#[path = "http/features.rs"]
mod features;
#[path = "http/meter_query.rs"]
mod meter_query;
#[path = "http/meters.rs"]
mod meters;
#[path = "http/namespaces.rs"]
mod namespaces;
#[path = "http/numbers.rs"]
mod numbers;
#[path = "http/operators.rs"]
mod operators;

use serde_json::{Value, json};
use std::sync::Arc;
use support::client::{Answer, Client};
use support::clock::ManualClock;
use weir::app::{Settings, Weir};

/// 2025-03-01T12:00:00Z
const NOW_NS: i64 = 1_740_830_400_000_000_000;

/// A weir of one's own.
struct House {
    client: Client,
    clock: Arc<ManualClock>,
    weir: Option<Weir>,
    settings: Settings,
    _data: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let mut settings =
            Settings { data: data.path().join("weir"), listen: "127.0.0.1:0".into(), ..Settings::default() };
        settings.http.workers = 1;
        settings.database.url = Some(support::postgres::database().as_str().into());
        change(&mut settings);
        let clock = Arc::new(ManualClock::at(NOW_NS));
        let weir = support::start(&settings, clock.clone());
        let client = Client::new(&weir.address().to_string());
        Self { client, clock, weir: Some(weir), settings, _data: data }
    }

    fn restart(&mut self) {
        self.weir.take().expect("it runs").stop().unwrap_or_else(|error| panic!("{error}"));
        let weir = support::start(&self.settings, self.clock.clone());
        self.client = Client::new(&weir.address().to_string());
        self.weir = Some(weir);
    }

    fn get(&self, path: &str) -> Answer {
        self.client.get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        self.client.post(path, content_type, body.as_ref()).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string())
    }

    /// Events as a batch; they must be taken.
    fn send(&self, events: &[Value]) -> Answer {
        let answer = self.post("/api/v1/events", BATCH, Value::from(events).to_string());
        assert_eq!(answer.status, 204, "{}", answer.body);
        answer
    }

    fn create(&self, meter: &Value) -> Value {
        let answer = self.post_json("/api/v1/meters", meter);
        assert_eq!(answer.status, 201, "{meter}: {}", answer.body);
        answer.json()
    }
}

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const EITHER: &str = "application/json";

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "edge", "type": "job", "subject": "acme",
        "time": "2025-03-01T10:00:00Z", "data": {"seconds": 4, "region": "eu"}})
}

fn meter(slug: &str) -> Value {
    json!({"slug": slug, "aggregation": "SUM", "eventType": "job", "valueProperty": "$.seconds",
        "groupBy": {"region": "$.region"}})
}

/// Status and detail of a problem, whose shape is checked on the way.
fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.body);
    assert_eq!(answer.headers["x-powered-by"], "weir");
    let body = answer.json();
    assert_eq!((&body["type"], &body["status"]), (&json!("about:blank"), &json!(answer.status)));
    assert!(body["instance"].as_str().is_some_and(|instance| instance.starts_with("urn:request:")), "{body}");
    (answer.status, body["detail"].as_str().unwrap_or("").to_string())
}
