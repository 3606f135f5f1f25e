//! The routes of v3: one file per resource, and one per part of the grammar that its lists have in common.
//!
//! The services are those of v1, and so is how they tell what they refuse: on v3 paths, too, that comes in the dialect
//! of v1, as clients know it. What is wrong with a parameter or a body is told in v3's own.

pub mod cursor_page;
mod customer_wire;
pub mod customers;
mod documents;
pub mod entitlement_access;
mod event_wire;
pub mod events;
mod feature_wire;
pub mod features;
pub mod field_filters;
pub mod filter;
pub mod ingest;
mod labels;
pub mod meter_query;
mod meter_wire;
pub mod meters;
mod page;
pub mod sort;
pub mod wire;

use super::problem::{InvalidParameter, Problem};
use super::resource;
use actix_web::web::{ServiceConfig, delete, get, patch, post, put};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v3/openmeter/events").route(get().to(events::list)).route(post().to(ingest::ingest)))
        .service(resource("/api/v3/openmeter/meters").route(get().to(meters::list)).route(post().to(meters::create)))
        .service(
            resource("/api/v3/openmeter/meters/{meterId}")
                .route(get().to(meters::get))
                .route(put().to(meters::update))
                .route(delete().to(meters::delete)),
        )
        .service(resource("/api/v3/openmeter/meters/{meterId}/query").route(post().to(meter_query::query)))
        .service(
            resource("/api/v3/openmeter/features").route(get().to(features::list)).route(post().to(features::create)),
        )
        .service(
            resource("/api/v3/openmeter/features/{featureId}")
                .route(get().to(features::get))
                .route(patch().to(features::update))
                .route(delete().to(features::delete)),
        )
        .configure(of_customers)
        .service(resource("/api/v3/openapi.json").route(get().to(documents::json)))
        .service(resource("/api/v3/openapi.yaml").route(get().to(documents::yaml)));
}

fn of_customers(config: &mut ServiceConfig) {
    config
        .service(
            resource("/api/v3/openmeter/customers")
                .route(get().to(customers::list))
                .route(post().to(customers::create)),
        )
        .service(
            resource("/api/v3/openmeter/customers/{customerId}")
                .route(get().to(customers::get))
                .route(put().to(customers::upsert))
                .route(delete().to(customers::delete)),
        )
        .service(
            resource("/api/v3/openmeter/customers/{customerId}/entitlement-access")
                .route(get().to(entitlement_access::list)),
        )
        .service(
            resource("/api/v3/openmeter/entitlement-access/query").route(post().to(entitlement_access::query::query)),
        );
}

/// 400: a query parameter that breaks a rule without a name.
fn refused(field: &str, reason: impl Into<String>) -> Problem {
    let reason = reason.into();
    let field = field.to_string();
    Problem::invalid(vec![InvalidParameter { field, rule: None, reason, source: "query", choices: Vec::new() }])
}

/// 400: a query parameter that breaks this rule.
fn refused_by(field: &str, rule: &'static str, reason: String) -> Problem {
    Problem::invalid(vec![InvalidParameter::of(field, rule, reason, "query")])
}
