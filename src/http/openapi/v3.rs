//! The document of `/api/v3`; paths are relative to that.

use super::problems;
use crate::http::v3;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(
    v3::customers::list,
    v3::customers::create,
    v3::customers::get,
    v3::customers::upsert,
    v3::customers::delete,
    v3::entitlement_access::list,
    v3::entitlement_access::query::query,
    v3::events::list,
    v3::ingest::ingest,
    v3::meters::list,
    v3::meters::create,
    v3::meters::get,
    v3::meters::update,
    v3::meters::delete,
    v3::meter_query::query,
    v3::features::list,
    v3::features::create,
    v3::features::get,
    v3::features::update,
    v3::features::delete,
), components(schemas(
    // What parameters and problems alone refer to is not found by itself.
    crate::http::times::DateTime,
    v3::customers::ListCustomersParamsFilter,
    v3::cursor_page::CursorPaginationQueryPage,
    v3::entitlement_access::query::EntitlementFeatureAccess,
    v3::entitlement_access::query::EntitlementFeatureAccessReason,
    v3::entitlement_access::query::EntitlementFeatureAccessReasonCode,
    v3::events::ListEventsParamsFilter,
    v3::features::ListFeatureParamsFilter,
    v3::field_filters::DateTimeFieldFilter,
    v3::field_filters::StringFieldFilter,
    v3::field_filters::ULIDFieldFilter,
    v3::meter_query::QueryFilterString,
    v3::meter_query::QueryFilterStringMapItem,
    v3::meters::ListMetersParamsFilter,
    v3::sort::SortQuery,
    v3::wire::UlidText,
    problems::BadRequestError,
    problems::BaseError,
    problems::ConflictError,
    problems::ForbiddenError,
    problems::GoneError,
    problems::InternalError,
    problems::InvalidParameter,
    problems::NotFoundError,
    problems::UnauthorizedError,
    problems::UnavailableError,
)))]
pub struct Document;

/// What may be null: schema and property.
pub const NULLABLE: &[(&str, &str)] = &[
    ("CursorMetaPage", "next"),
    ("CursorMetaPage", "previous"),
    ("MeteringEvent", "data"),
    ("MeteringEvent", "datacontenttype"),
    ("MeteringEvent", "dataschema"),
    ("MeteringEvent", "time"),
    ("UpdateFeatureRequest", "unit_cost"),
];
