//! The door: HTTP in, services behind it, problems out.
//!
//! A handler answers in the order *read the request, ask the service, show the answer*. What happens to the wire's
//! bytes is here; what they mean is in `domain`, and what is done about them in `services`.

mod aggregation;
mod body;
mod budget;
mod caller;
pub mod contract;
mod cursor;
mod freshness;
mod health;
pub mod ingest;
pub mod json_number;
pub mod observe;
pub mod openapi;
pub mod problem;
mod progress;
mod query_string;
mod request;
mod settings;
mod tagged;
#[cfg(test)]
mod tests;
mod times;
pub mod v1;
pub mod v3;

pub use observe::{HttpSnapshot, HttpStats, RouteSnapshot};
pub use settings::HttpSettings;
/// As the settings tree names it.
pub use settings::HttpSettings as Settings;

use crate::ports::line::{Freshness, LineView, Trackers};
use crate::ports::{Clock, EventLog, UsageStore};
use crate::services::attribution::Attributions;
use crate::services::audit::Audit;
use crate::services::balances::Balances;
use crate::services::corrections::Corrections;
use crate::services::customers::Customers;
use crate::services::entitlements::Entitlements;
use crate::services::features::Features;
use crate::services::gate::Gate;
use crate::services::ingest::Ingest;
use crate::services::meters::Meters;
use crate::services::quarantine::Quarantine;
use crate::services::records::Records;
use crate::services::subjects::Subjects;
use crate::services::usage::Usage;
use crate::store::Database;
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpResponseBuilder, HttpServer};
use serde::Serialize;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Where what was just accepted ends, as a frontier: what a later read may wait for.
pub const POSITION: HeaderName = HeaderName::from_static("x-weir-position");

/// The text of `/metrics`, whoever makes it.
pub trait MetricsText: Send + Sync {
    /// In the OpenMetrics text format.
    fn render(&self) -> String;
}

/// What the door stands on.
pub struct Parts {
    pub log: Arc<dyn EventLog>,
    pub store: Arc<dyn UsageStore>,
    pub records: Arc<Records>,
    pub freshness: Arc<dyn Freshness>,
    pub line: Arc<dyn LineView>,
    pub trackers: Arc<dyn Trackers>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn MetricsText>,
    pub stats: Arc<HttpStats>,
    pub settings: HttpSettings,
    /// The one namespace that the API serves.
    pub namespace: String,
}

/// What every handler can reach.
pub struct DoorState {
    pub ingest: Ingest,
    pub meters: Arc<Meters>,
    pub customers: Arc<Customers>,
    pub subjects: Arc<Subjects>,
    pub features: Arc<Features>,
    pub entitlements: Arc<Entitlements>,
    pub balances: Arc<Balances>,
    pub attributions: Attributions,
    pub audit: Arc<Audit>,
    pub gate: Arc<Gate>,
    pub database: Database,
    pub usage: Usage,
    pub quarantine: Quarantine,
    pub corrections: Arc<Corrections>,
    pub freshness: Arc<dyn Freshness>,
    pub line: Arc<dyn LineView>,
    pub trackers: Arc<dyn Trackers>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn MetricsText>,
    pub stats: Arc<HttpStats>,
    pub settings: HttpSettings,
    pub namespace: String,
    pub progress: progress::ProgressBoard,
    budget: Arc<budget::Budget>,
}

impl DoorState {
    pub fn new(parts: Parts) -> Self {
        let records = &parts.records;
        Self {
            ingest: Ingest::new(parts.log),
            meters: records.meters.clone(),
            customers: records.customers.clone(),
            subjects: records.subjects.clone(),
            features: records.features.clone(),
            entitlements: records.entitlements.clone(),
            balances: records.balances.clone(),
            attributions: Attributions::new(records.database.clone(), records.gate.clone()),
            audit: records.audit.clone(),
            gate: records.gate.clone(),
            database: records.database.clone(),
            progress: progress::ProgressBoard::new(parts.clock.clone(), &parts.settings),
            usage: Usage::new(parts.store.clone()),
            quarantine: Quarantine::new(parts.store, records.controls.clone()),
            corrections: records.corrections.clone(),
            freshness: parts.freshness,
            line: parts.line,
            trackers: parts.trackers,
            clock: parts.clock,
            metrics: parts.metrics,
            stats: parts.stats,
            budget: budget::Budget::new(parts.settings.bodies_bytes_max, parts.settings.retry_after_s),
            settings: parts.settings,
            namespace: parts.namespace,
        }
    }
}

/// All routes, with what goes around every request.
pub fn configure(config: &mut ServiceConfig, state: Arc<DoorState>) {
    let no_route = web::to(request::no_such_route);
    config.app_data(Data::from(state)).service(
        web::scope("")
            .wrap(from_fn(request::around))
            .configure(v1::routes)
            .configure(v3::routes)
            .configure(health::routes)
            .default_service(no_route),
    );
}

/// A route that answers exactly these methods; any other is 405.
pub(crate) fn resource(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(request::no_such_method))
}

/// Serves on a listener that is already bound. The server does not look at signals: its owner stops it.
pub fn serve(state: Arc<DoorState>, listener: TcpListener) -> std::io::Result<Server> {
    let settings = state.settings.clone();
    let server = HttpServer::new(move || {
        let state = state.clone();
        App::new().configure(move |config| configure(config, state))
    });
    let server = if settings.workers == 0 { server } else { server.workers(settings.workers) };
    let server = server
        .max_connections(settings.connections_max)
        .keep_alive(Duration::from_secs(settings.keep_alive_s))
        .client_request_timeout(Duration::from_millis(settings.head_timeout_ms))
        .shutdown_timeout(settings.shutdown_timeout_s)
        .tcp_nodelay(true)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// A JSON answer: the content type without a charset and a newline at the end, as clients know it.
pub(crate) fn json(mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            response.insert_header((CONTENT_TYPE, "application/json")).body(bytes)
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            HttpResponse::new(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
