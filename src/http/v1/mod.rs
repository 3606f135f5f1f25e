//! The routes of v1, and weir's own beside them: one file per resource.

pub mod about;
pub mod access;
pub mod audit;
pub mod balances;
pub mod conflicts;
pub mod corrections;
pub mod customer_wire;
pub mod customers;
pub mod debug;
pub mod entitlements;
pub mod entitlements_v2;
mod event_wire;
pub mod events;
pub mod explain;
pub mod feature_wire;
pub mod features;
pub mod filters;
pub mod grants;
pub mod info;
pub mod ingest;
pub mod meter_query;
pub mod meter_values;
pub mod meters;
pub mod paging;
pub mod quarantine;
pub mod subjects;
pub mod wire;

use super::resource;
use actix_web::web::{ServiceConfig, delete, get, post, put};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/version").route(get().to(about::version)))
        .service(resource("/api/swagger.json").route(get().to(about::swagger)))
        .service(resource("/api/v1/events").route(get().to(events::list)).route(post().to(ingest::ingest)))
        .service(resource("/api/v2/events").route(get().to(events::list_v2)))
        .service(resource("/api/v1/events/explain").route(get().to(explain::explain)))
        .service(resource("/api/v1/events/void").route(post().to(corrections::void)))
        .service(resource("/api/v1/events/replace").route(post().to(corrections::replace)))
        .service(resource("/api/v1/conflicts").route(get().to(conflicts::list)))
        .service(resource("/api/v1/quarantine").route(get().to(quarantine::list)))
        .service(resource("/api/v1/quarantine/{position}").route(get().to(quarantine::get)))
        .service(resource("/api/v1/quarantine/{position}/redrive").route(post().to(quarantine::redrive)))
        .service(resource("/api/v1/quarantine/{position}/drop").route(post().to(quarantine::drop)))
        .service(resource("/api/v1/audit").route(get().to(audit::list)))
        .service(resource("/api/v1/debug/actors").route(get().to(debug::actors)))
        .service(resource("/api/v1/debug/metrics").route(get().to(debug::metrics)))
        .service(resource("/api/v1/info/currencies").route(get().to(info::currencies)))
        .service(resource("/api/v1/info/progress/{id}").route(get().to(info::progress)))
        .configure(of_meters)
        .configure(of_features)
        .configure(of_customers)
        .configure(of_entitlements)
        .configure(of_entitlements_v2)
        .configure(of_grants)
        .configure(of_subjects);
}

fn of_meters(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v1/meters").route(get().to(meters::list)).route(post().to(meters::create)))
        .service(
            resource("/api/v1/meters/{meterIdOrSlug}")
                .route(get().to(meters::get))
                .route(put().to(meters::update))
                .route(delete().to(meters::delete)),
        )
        .service(
            resource("/api/v1/meters/{meterIdOrSlug}/query")
                .route(get().to(meter_query::get))
                .route(post().to(meter_query::post)),
        )
        .service(resource("/api/v1/meters/{meterIdOrSlug}/subjects").route(get().to(meter_values::subjects)))
        .service(
            resource("/api/v1/meters/{meterIdOrSlug}/group-by/{groupByKey}/values")
                .route(get().to(meter_values::group_values)),
        );
}

fn of_features(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v1/features").route(get().to(features::list)).route(post().to(features::create)))
        .service(
            resource("/api/v1/features/{featureId}")
                .route(get().to(features::get))
                .route(delete().to(features::delete)),
        );
}

fn of_customers(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v1/customers").route(get().to(customers::list)).route(post().to(customers::create)))
        .service(
            resource("/api/v1/customers/{customerIdOrKey}")
                .route(get().to(customers::get))
                .route(put().to(customers::update))
                .route(delete().to(customers::delete)),
        )
        .service(resource("/api/v1/customers/{customerIdOrKey}/access").route(get().to(access::access)))
        .service(resource("/api/v1/customers/{customerIdOrKey}/balances").route(get().to(balances::get)))
        .service(
            resource("/api/v1/customers/{customerIdOrKey}/entitlements/{featureKey}/value")
                .route(get().to(access::value)),
        );
}

fn of_subjects(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v1/subjects").route(get().to(subjects::list)).route(post().to(subjects::upsert)))
        .service(
            resource("/api/v1/subjects/{subjectIdOrKey}")
                .route(get().to(subjects::get))
                .route(delete().to(subjects::delete)),
        );
}

fn of_entitlements(config: &mut ServiceConfig) {
    let below = |path: &str| resource(&format!("/api/v1/subjects/{{subjectIdOrKey}}/entitlements{path}"));
    config
        .service(below("").route(get().to(entitlements::list_of_subject)).route(post().to(entitlements::create)))
        .service(below("/{entitlementId}").route(get().to(entitlements::get)).route(delete().to(entitlements::delete)))
        .service(below("/{entitlementIdOrFeatureKey}/override").route(put().to(entitlements::replace)))
        .service(below("/{entitlementId}/reset").route(post().to(entitlements::reset)))
        .service(below("/{entitlementIdOrFeatureKey}/value").route(get().to(entitlements::value)))
        .service(below("/{entitlementId}/history").route(get().to(entitlements::history)))
        .service(
            below("/{entitlementIdOrFeatureKey}/grants")
                .route(get().to(grants::list_of_subject))
                .route(post().to(grants::create_of_subject)),
        )
        .service(resource("/api/v1/entitlements").route(get().to(entitlements::list)))
        .service(resource("/api/v1/entitlements/{entitlementId}").route(get().to(entitlements::get_by_id)));
}

fn of_entitlements_v2(config: &mut ServiceConfig) {
    let below = |path: &str| resource(&format!("/api/v2/customers/{{customerIdOrKey}}/entitlements{path}"));
    config
        .service(below("").route(get().to(entitlements_v2::list_of_customer)).route(post().to(entitlements_v2::create)))
        .service(
            below("/{entitlementIdOrFeatureKey}")
                .route(get().to(entitlements_v2::get))
                .route(delete().to(entitlements_v2::delete)),
        )
        .service(below("/{entitlementIdOrFeatureKey}/override").route(put().to(entitlements_v2::replace)))
        .service(below("/{entitlementIdOrFeatureKey}/reset").route(post().to(entitlements_v2::reset)))
        .service(below("/{entitlementIdOrFeatureKey}/value").route(get().to(entitlements_v2::value)))
        .service(below("/{entitlementIdOrFeatureKey}/history").route(get().to(entitlements_v2::history)))
        .service(
            below("/{entitlementIdOrFeatureKey}/grants")
                .route(get().to(grants::list_of_customer))
                .route(post().to(grants::create_of_customer)),
        )
        .service(resource("/api/v2/entitlements").route(get().to(entitlements_v2::list)))
        .service(resource("/api/v2/entitlements/{entitlementId}").route(get().to(entitlements_v2::get_by_id)));
}

fn of_grants(config: &mut ServiceConfig) {
    config
        .service(resource("/api/v1/grants").route(get().to(grants::list)))
        .service(resource("/api/v1/grants/{grantId}").route(delete().to(grants::void)))
        .service(resource("/api/v2/grants").route(get().to(grants::list_v2)));
}
