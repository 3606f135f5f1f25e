//! Health, in four questions, and the metrics. `/health/live`: does the process run? `/health/ready`: can this node
//! make events durable (what a load balancer asks)? `/health/line`: do accepted events get counted (what alerts ask)?
//! `/health/records`: can business records be read and changed, or is PostgreSQL away?

use super::{DoorState, json, resource};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, ServiceConfig};
use serde::Serialize;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/health/live").route(web::get().to(live)))
        .service(resource("/health/ready").route(web::get().to(ready)))
        .service(resource("/health/line").route(web::get().to(line)))
        .service(resource("/health/records").route(web::get().to(records)))
        .service(resource("/metrics").route(web::get().to(metrics)));
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// 200 without a reason against it, else 503 with it.
fn answer(sickness: Option<String>) -> HttpResponse {
    let (code, status) = match sickness {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    json(HttpResponse::build(code), &Health { status, reason: sickness })
}

async fn live() -> HttpResponse {
    answer(None)
}

async fn ready(state: Data<DoorState>) -> HttpResponse {
    answer(state.ingest.room().err().map(|error| error.to_string()))
}

async fn line(state: Data<DoorState>) -> HttpResponse {
    answer(state.line.health())
}

async fn records(state: Data<DoorState>) -> HttpResponse {
    let sickness = match state.gate.check() {
        Ok(()) => state.database.ping().await.err(),
        closed => closed.err(),
    };
    answer(sickness.map(|fault| fault.to_string()))
}

async fn metrics(state: Data<DoorState>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, OPEN_METRICS)).body(state.metrics.render())
}
