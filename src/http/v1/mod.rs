//! The routes of v1, and weir's own beside them: one file per resource.

mod conflicts;
mod debug;
mod event_wire;
mod events;
mod explain;
mod filters;
mod ingest;
mod meter_query;
mod meters;
mod quarantine;

use super::resource;
use actix_web::web::{ServiceConfig, delete, get, post};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v1/events").route(get().to(events::list)).route(post().to(ingest::ingest)))
        .service(resource("/api/v1/events/explain").route(get().to(explain::explain)))
        .service(resource("/api/v1/conflicts").route(get().to(conflicts::list)))
        .service(resource("/api/v1/quarantine").route(get().to(quarantine::list)))
        .service(resource("/api/v1/quarantine/{position}").route(get().to(quarantine::get)))
        .service(resource("/api/v1/quarantine/{position}/redrive").route(post().to(quarantine::redrive)))
        .service(resource("/api/v1/quarantine/{position}/drop").route(post().to(quarantine::drop)))
        .service(resource("/api/v1/meters").route(get().to(meters::list)).route(post().to(meters::create)))
        .service(
            resource("/api/v1/meters/{meterIdOrSlug}").route(get().to(meters::get)).route(delete().to(meters::delete)),
        )
        .service(
            resource("/api/v1/meters/{meterIdOrSlug}/query")
                .route(get().to(meter_query::get))
                .route(post().to(meter_query::post)),
        )
        .service(resource("/api/v1/debug/actors").route(get().to(debug::actors)));
}
