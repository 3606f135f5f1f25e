//! `GET /api/v1/audit`: who changed what among the business records, newest first.
//!
//! 200 a page · 400 a filter that cannot be read · 503 the records cannot be reached. `nextCursor` pages.

use super::wire::UlidText;
use crate::http::contract::Params;
use crate::http::openapi::problems::V1Problems;
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, json};
use crate::services::audit::{AuditEntry, AuditQuery};
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

/// Most entries in one answer, and how many when none is asked for.
const LIMIT_MAX: usize = 100;

#[utoipa::path(get, path = "/api/v1/audit", operation_id = "listAudit", tag = "weir", params(List),
    responses((status = 200, body = AuditPage), V1Problems))]
pub async fn list(Params(asked): Params<List>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let found = state.audit.list(asked.read(&state.namespace)).await?;
    let page = AuditPage {
        items: found.entries.iter().map(AuditItem::from).collect(),
        next_cursor: found.next.map(|id| id.to_string()),
    };
    Ok(json(HttpResponse::Ok(), &page))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct List {
    /// `meter`, `subject`.
    entity_kind: Option<String>,
    entity_id: Option<String>,
    /// `meter.create`
    operation: Option<String>,
    /// Inclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<DateTime>,
    /// Exclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<DateTime>,
    /// `nextCursor` of the page before.
    #[param(inline)]
    cursor: Option<UlidText>,
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<usize>,
}

impl List {
    fn read(self, namespace: &str) -> AuditQuery {
        AuditQuery {
            namespace: namespace.to_string(),
            entity_kind: self.entity_kind,
            entity_id: self.entity_id,
            operation: self.operation,
            from: self.from.map(|time| time.instant),
            to: self.to.map(|time| time.instant),
            before: self.cursor.map(|UlidText(id)| Ulid::from_string(&id).expect("its pattern is that of a ULID")),
            limit: self.limit.unwrap_or(LIMIT_MAX),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage<'a> {
    #[schema(max_items = 100)]
    items: Vec<AuditItem<'a>>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditItem<'a> {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    actor: &'a str,
    request_id: &'a str,
    operation: &'a str,
    entity_kind: &'a str,
    entity_id: &'a str,
    /// The entity before; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Map<String, Value>>)]
    before: Option<&'a RawValue>,
    /// The entity after; absent when there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Map<String, Value>>)]
    after: Option<&'a RawValue>,
}

impl<'a> From<&'a AuditEntry> for AuditItem<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        // Both were JSON when they were stored, and the database keeps them as the text that came.
        let entity = |json: &'a Option<String>| json.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self {
            id: entry.id.to_string(),
            at: entry.at.to_rfc3339(),
            actor: &entry.actor,
            request_id: &entry.request_id,
            operation: &entry.operation,
            entity_kind: &entry.entity_kind,
            entity_id: &entry.entity_id,
            before: entity(&entry.before),
            after: entity(&entry.after),
        }
    }
}
