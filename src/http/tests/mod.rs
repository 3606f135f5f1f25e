//! The routes over a world in memory: statuses, bodies and headers. Over the real engine they are tested once more in
//! `tests/http/`.

mod audit;
mod by_customer;
mod corrections;
mod customers;
mod entitlements;
mod events;
mod events_v2;
mod features;
mod gone_clients;
mod grants;
mod info;
mod meters;
mod operators;
mod query;
mod subjects;
mod v3_customers;
mod v3_events;
mod v3_features;
mod v3_meters;
mod v3_query;
mod values;

use super::*;
use crate::domain::position::Position;
use crate::domain::time::Instant;
use crate::ports::usage_store::KnownMeter;
use crate::services::testing::World;
use actix_web::App;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::Value;

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: actix_web::http::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json()["status"], self.status);
        self.json()["detail"].as_str().unwrap_or("").to_string()
    }
}

struct Rendered;

impl MetricsText for Rendered {
    fn render(&self) -> String {
        "# EOF\n".to_string()
    }
}

/// A door whose records lead to a database that is not there.
fn door_with(world: &Arc<World>, settings: HttpSettings) -> Arc<DoorState> {
    door_over(world, settings, Database::new(&crate::store::Settings::default()))
}

fn door_over(world: &Arc<World>, settings: HttpSettings, database: Database) -> Arc<DoorState> {
    Arc::new(DoorState::new(Parts {
        log: world.clone(),
        store: world.clone(),
        records: world.records(database),
        freshness: world.clone(),
        line: world.clone(),
        trackers: world.clone(),
        clock: world.clone(),
        metrics: Arc::new(Rendered),
        stats: Arc::new(HttpStats::default()),
        settings,
        namespace: "default".to_string(),
    }))
}

/// A world and a door to it, with a database of their own.
struct House {
    world: Arc<World>,
    door: Arc<DoorState>,
}

impl House {
    async fn new() -> Self {
        let (world, database) = (world(), crate::store::tests::fresh().await);
        let door = door_over(&world, HttpSettings::default(), database);
        Self { world, door }
    }

    async fn ask(&self, request: TestRequest) -> Answer {
        ask_of(self.door.clone(), request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(TestRequest::get().uri(path)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask(TestRequest::delete().uri(path)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(TestRequest::post().uri(path).set_json(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(TestRequest::put().uri(path).set_json(body)).await
    }
}

async fn ask_of(state: Arc<DoorState>, request: TestRequest) -> Answer {
    let app = init_service(App::new().configure(move |config| configure(config, state))).await;
    let response = call_service(&app, request.to_request()).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: String::from_utf8(read_body(response).await.to_vec()).unwrap() }
}

async fn ask(world: &Arc<World>, request: TestRequest) -> Answer {
    ask_of(door_with(world, HttpSettings::default()), request).await
}

async fn get(world: &Arc<World>, path: &str) -> Answer {
    ask(world, TestRequest::get().uri(path)).await
}

async fn post(world: &Arc<World>, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = TestRequest::post().uri(path).insert_header(("content-type", content_type));
    ask(world, request.set_payload(body.into())).await
}

async fn post_json(world: &Arc<World>, path: &str, body: Value) -> Answer {
    post(world, path, "application/json", body.to_string()).await
}

fn world() -> Arc<World> {
    World::new("2025-03-01T12:00:00Z")
}

/// Makes a meter known to the line, as if its record had been applied.
fn live(world: &World, body: Value) -> String {
    use crate::domain::metering::meter::MeterDraft;
    let draft = MeterDraft::from(serde_json::from_value::<v1::meters::MeterCreate>(body).unwrap());
    world.with(|state| {
        let (at, id) = (Position::new(0, state.next), ulid::Ulid::from(u128::from(state.next) + 1));
        let meter = draft.check("default", id, id, Instant::from_nanos(state.now)).unwrap();
        state.next += 1;
        state.meters.push(KnownMeter { meter: Arc::new(meter), live_at: at, gone: None });
        id.to_string()
    })
}

fn event(id: &str) -> Value {
    serde_json::json!({"specversion": "1.0", "id": id, "source": "edge", "type": "job", "subject": "acme",
        "time": "2025-03-01T10:00:00Z", "data": {"seconds": 4, "region": "eu"}})
}

fn meter(slug: &str) -> Value {
    serde_json::json!({"slug": slug, "aggregation": "SUM", "eventType": "job", "valueProperty": "$.seconds",
        "groupBy": {"region": "$.region"}})
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_told_in_the_dialect_of_v1() {
    let world = world();
    for path in ["/", "/api/v1/event", "/api/v1/events/", "//api/v1/events", "/api/v1/meters//query"] {
        let answer = get(&world, path).await;
        assert_eq!((answer.status, answer.detail().as_str()), (404, "Not Found"), "{path}");
        assert!(answer.json()["instance"].as_str().unwrap().starts_with("urn:request:"), "{path}");
    }
    for method in [TestRequest::put(), TestRequest::delete(), TestRequest::patch()] {
        let answer = ask(&world, method.uri("/api/v1/events")).await;
        assert_eq!((answer.status, answer.detail().as_str()), (405, "Method Not Allowed"));
        assert_eq!(answer.header("allow"), "");
    }
    let head = ask(&world, TestRequest::default().method(actix_web::http::Method::HEAD).uri("/api/v1/meters")).await;
    assert_eq!(head.status, 405);
}

#[actix_web::test]
async fn a_request_keeps_its_own_id_when_it_is_short_and_printable() {
    let world = world();
    let with_id = |id: &str| TestRequest::get().uri("/x").insert_header(("X-Request-Id", id));
    assert_eq!(ask(&world, with_id("mine-1")).await.json()["instance"], "urn:request:mine-1");
    for id in ["", "has space", &"x".repeat(129)] {
        let instance = ask(&world, with_id(id)).await.json()["instance"].as_str().unwrap().to_string();
        assert!(instance.len() > 24 && !instance.contains("has"), "{instance}");
    }
}

#[actix_web::test]
async fn every_answer_says_who_gave_it() {
    let world = world();
    for path in ["/health/live", "/nothing", "/api/v1/meters", "/metrics"] {
        assert_eq!(get(&world, path).await.header("x-powered-by"), "weir", "{path}");
    }
}

#[actix_web::test]
async fn headers_are_bounded() {
    let world = world();
    let request = TestRequest::get().uri("/health/live").insert_header(("x-much", "x".repeat(40_000)));
    assert_eq!(ask(&world, request).await.status, 431);
}

#[actix_web::test]
async fn answers_are_counted_by_route() {
    let world = world();
    let state = door_with(&world, HttpSettings::default());
    ask_of(state.clone(), TestRequest::get().uri("/api/v1/meters/No-Slug")).await;
    ask_of(state.clone(), TestRequest::get().uri("/api/v1/meters/nope/query")).await;
    ask_of(state.clone(), TestRequest::get().uri("/random/1")).await;
    let shown: Vec<_> =
        state.stats.snapshot().routes.iter().map(|route| (route.method, route.route, route.by_class[3])).collect();
    assert_eq!(
        shown,
        [
            ("GET", "/api/v1/meters/{meterIdOrSlug}", 1),
            ("GET", "/api/v1/meters/{meterIdOrSlug}/query", 1),
            ("other", "unmatched", 1)
        ]
    );
}

#[actix_web::test]
async fn every_route_that_is_documented_is_served() {
    let world = world();
    for (method, pattern) in observe::routes() {
        let path = pattern.replace("{position}", "0:0").replace("{meterIdOrSlug}", "a");
        let path = path.replace(['{', '}'], "");
        let state = door_with(&world, HttpSettings::default());
        let method = actix_web::http::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = ask_of(state.clone(), TestRequest::default().method(method.clone()).uri(&path)).await;
        assert!(answer.status != 405, "{method} {path}");
        let counted = state.stats.snapshot().routes;
        assert!(counted.iter().all(|route| route.route == pattern && route.method == method.as_str()), "{counted:?}");
    }
}
