//! Many customers at once: who may use which features, page by page.
//!
//! Customers are asked for by what their events name: a customer's key, or else a subject key. What nobody owns is
//! listed as an error on every page.

use super::pages::Page;
use crate::domain::customer::Customer;
use crate::domain::time::Instant;
use crate::http::contract::Body;
use crate::http::openapi::problems::V3Problems;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::times::DateTime;
use crate::http::v3::cursor_page::{CursorMeta, CursorPaginationQueryPage};
use crate::http::v3::customer_wire::BillingCustomer;
use crate::http::{DoorState, freshness, json};
use crate::services::balances::Standing;
use crate::services::entitlements::EntitlementsQuery;
use crate::services::page::PageAsk;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use ulid::Ulid;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Ref, Schema, Type};
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(post, path = "/openmeter/entitlement-access/query", operation_id = "query-entitlement-access",
    tag = "OpenMeter Entitlements", params(Query), request_body = EntitlementAccessQueryRequest,
    responses((status = 200, body = EntitlementAccessQueryResponse), V3Problems))]
pub async fn query(
    request: HttpRequest,
    body: Body<EntitlementAccessQueryRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let page = Page::read(&QueryString::of(&request, &state.settings)?)?;
    let seen = freshness::wait(&request, &state).await?;
    let (matches, errors) = found(&state, &body.value.customer.keys).await?;
    let (matches, meta) = page.cut(matches, |matched| (matched.customer.created_at, matched.customer.id));
    let data = answers(&state, matches, body.value.feature.map(|features| features.keys)).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &EntitlementAccessQueryResponse { data, errors, meta }))
}

/// A customer, and by which of the names that were asked for it was found.
struct Matched {
    customer: Customer,
    by: Vec<String>,
}

/// Whom the names stand for, in the order of their making.
async fn found(
    state: &DoorState,
    keys: &[String],
) -> Result<(Vec<Matched>, Vec<EntitlementAccessQueryError>), Problem> {
    let texts: Vec<&str> = keys.iter().map(String::as_str).collect();
    let owners = state.customers.owners(&state.namespace, &texts).await?;
    let mut matches: BTreeMap<Ulid, Matched> = BTreeMap::new();
    let mut errors = Vec::new();
    for key in keys {
        match owners.get(key) {
            Some(customer) => {
                let new = || Matched { customer: customer.clone(), by: Vec::new() };
                matches.entry(customer.id).or_insert_with(new).by.push(key.clone());
            }
            None => errors.push(EntitlementAccessQueryError::not_found(key)),
        }
    }
    let mut matches: Vec<Matched> = matches.into_values().collect();
    matches.sort_by_key(|matched| (matched.customer.created_at, matched.customer.id));
    Ok((matches, errors))
}

/// What each of these customers may use: of the features asked for, or of all.
async fn answers(
    state: &DoorState,
    matches: Vec<Matched>,
    asked: Option<Vec<String>>,
) -> Result<Vec<EntitlementAccessQueryResult>, Problem> {
    let now = state.balances.now();
    let live = match &asked {
        Some(keys) => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            state.features.by_keys(&state.namespace, &keys).await?
        }
        None => state.features.list(&state.namespace, false).await?,
    };
    let live: BTreeSet<String> = live.into_iter().map(|feature| feature.key).collect();
    let keys = asked.clone().unwrap_or_else(|| live.iter().cloned().collect());
    let standings = standings(state, &matches, asked.unwrap_or_default(), now).await?;
    let answer = |Matched { customer, by }: Matched| {
        let access = |key: &String| {
            let standing = standings.get(&(customer.id, key.clone()));
            (key.clone(), EntitlementFeatureAccess::of(standing, live.contains(key)))
        };
        let features = keys.iter().map(access).collect();
        EntitlementAccessQueryResult { matched: by, customer: (&customer).into(), features, updated_at: now.into() }
    };
    Ok(matches.into_iter().map(answer).collect())
}

/// What is active now for these customers, by customer and feature key. No features: of all.
async fn standings(
    state: &DoorState,
    matches: &[Matched],
    features: Vec<String>,
    now: Instant,
) -> Result<BTreeMap<(Ulid, String), Standing>, Problem> {
    if matches.is_empty() {
        return Ok(BTreeMap::new());
    }
    let customer_ids = matches.iter().map(|matched| matched.customer.id.to_string()).collect();
    let query = EntitlementsQuery { customer_ids, features, ..EntitlementsQuery::default() };
    let active = state.entitlements.list(&state.namespace, query, true, PageAsk::ALL).await?.items;
    let standings = state.balances.of_each(&state.namespace, &active, now).await?;
    let keyed = active.into_iter().zip(standings);
    Ok(keyed.map(|(shown, standing)| ((shown.entitlement.customer_id, shown.feature_key), standing)).collect())
}

/// Read with a grammar of its own.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    #[param(style = DeepObject, value_type = Option<CursorPaginationQueryPage>)]
    #[serde(rename = "page")]
    _page: Option<IgnoredAny>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntitlementAccessQueryRequest {
    customer: EntitlementAccessQueryRequestCustomers,
    feature: Option<EntitlementAccessQueryRequestFeatures>,
    /// Has no effect.
    #[serde(rename = "include_credits")]
    #[schema(default = false)]
    _include_credits: Option<bool>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EntitlementAccessQueryRequestCustomers {
    #[schema(min_items = 1, max_items = 100)]
    keys: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EntitlementAccessQueryRequestFeatures {
    #[schema(min_items = 1, max_items = 100)]
    keys: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EntitlementAccessQueryResponse {
    #[schema(read_only)]
    data: Vec<EntitlementAccessQueryResult>,
    #[schema(read_only)]
    errors: Vec<EntitlementAccessQueryError>,
    #[schema(read_only)]
    meta: CursorMeta,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EntitlementAccessQueryResult {
    #[schema(read_only)]
    customer: BillingCustomer,
    /// In the order of the request, as often as there.
    #[schema(read_only)]
    matched: Vec<String>,
    #[schema(schema_with = access_by_key)]
    features: BTreeMap<String, EntitlementFeatureAccess>,
    #[schema(read_only)]
    updated_at: DateTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntitlementFeatureAccess {
    #[schema(read_only)]
    has_access: bool,
    /// There when there is no access.
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<EntitlementFeatureAccessReason>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntitlementFeatureAccessReason {
    #[schema(read_only)]
    code: EntitlementFeatureAccessReasonCode,
    #[schema(read_only)]
    message: &'static str,
    #[schema(schema_with = read_only_map)]
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "not all of them are given yet")]
pub enum EntitlementFeatureAccessReasonCode {
    Unknown,
    UsageLimitReached,
    FeatureUnavailable,
    FeatureNotFound,
    NoCreditAvailable,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EntitlementAccessQueryError {
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[schema(read_only)]
    code: EntitlementAccessQueryErrorCode,
    #[schema(read_only)]
    message: &'static str,
    #[schema(schema_with = read_only_map)]
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "not all of them are given yet")]
enum EntitlementAccessQueryErrorCode {
    Unknown,
    CustomerNotFound,
}

impl EntitlementFeatureAccess {
    /// `standing`: of an active entitlement; `live`: whether the feature is there and not archived.
    fn of(standing: Option<&Standing>, live: bool) -> Self {
        let (code, message) = match standing {
            Some(standing) if standing.has_access => return Self { has_access: true, reason: None },
            Some(_) => (EntitlementFeatureAccessReasonCode::UsageLimitReached, "usage limit reached"),
            None if live => (EntitlementFeatureAccessReasonCode::FeatureUnavailable, "feature unavailable"),
            None => (EntitlementFeatureAccessReasonCode::FeatureNotFound, "feature not found"),
        };
        Self { has_access: false, reason: Some(EntitlementFeatureAccessReason { code, message, attributes: None }) }
    }
}

impl EntitlementAccessQueryError {
    fn not_found(key: &str) -> Self {
        Self {
            customer: Some(key.to_string()),
            code: EntitlementAccessQueryErrorCode::CustomerNotFound,
            message: "customer not found",
            attributes: None,
        }
    }
}

/// `read_only` has no effect on a map.
fn access_by_key() -> RefOr<Schema> {
    let access = Ref::from_schema_name("EntitlementFeatureAccess");
    ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(access)).read_only(true).into()
}

/// As [`access_by_key`].
fn read_only_map() -> RefOr<Schema> {
    let map = ObjectBuilder::new().schema_type(Type::Object);
    map.additional_properties(Some(AdditionalProperties::FreeForm(true))).read_only(true).into()
}
