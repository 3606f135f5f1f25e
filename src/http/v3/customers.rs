//! `/api/v3/openmeter/customers`: create, list, look at, replace, delete.
//!
//! 200, 201, 204 (also for one that is not there or deleted already) · 400 what breaks a rule, named · 404 no such
//! customer; an id finds deleted ones too · 409 a key or a subject key is another's, the customer still has
//! entitlements, or the idempotency key was another request's · 410 a deleted one is not replaced · 503 not accepted, or
//! unknown.

use super::customer_wire::{BillingCustomer, CreateCustomerRequest, UpsertCustomerRequest};
use super::field_filters::{StringFieldFilter, ULIDFieldFilter};
use super::filter::{Field, Filters, Kind};
use super::page::{Page, PageQuery, PaginatedMeta};
use super::sort::{self, SortQuery};
use super::wire::UlidText;
use crate::domain::customer::CustomerDraft;
use crate::domain::customer::query::{CustomerOrder, CustomersQuery};
use crate::http::caller::{answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V3Conflict, V3Gone, V3NotFound, V3Problems};
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::{DoorState, json};
use crate::services::customers::{Customer as Known, CustomerError, Named};
use crate::services::page;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const PLAN: &str = "plan_key";
const PROFILE: &str = "billing_profile_id";
const FILTERS: [Field; 6] = [
    ("key", Kind::Text),
    ("name", Kind::Text),
    ("primary_email", Kind::Text),
    ("usage_attribution_subject_key", Kind::Text),
    (PLAN, Kind::Text),
    (PROFILE, Kind::Ulid),
];

const SORTS: [(&str, CustomerOrder); 3] =
    [("id", CustomerOrder::Id), ("name", CustomerOrder::Name), ("created_at", CustomerOrder::CreatedAt)];

#[utoipa::path(get, path = "/openmeter/customers", operation_id = "list-customers", tag = "OpenMeter Customers",
    params(List), responses((status = 200, body = CustomerPagePaginatedResponse), V3Problems))]
pub async fn list(
    Params(asked): Params<List>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let page = Page::of(asked.page)?;
    let filters = Filters::read(&QueryString::of(&request, &state.settings)?, &FILTERS)?;
    let sorted = asked.sort.map(|sort| sort::read(&sort.0, &SORTS, false)).transpose()?;
    let query = query(&filters, sorted.unwrap_or_default());
    // Nobody has a plan or a billing profile yet.
    let found = match filters.accept(PLAN, None) && filters.accept(PROFILE, None) {
        true => state.customers.list(&state.namespace, &query, page.ask()).await?,
        false => page::Page { items: Vec::new(), total: 0 },
    };
    let data = found.items.iter().map(BillingCustomer::from).collect();
    Ok(json(HttpResponse::Ok(), &CustomerPagePaginatedResponse { data, meta: page.meta(found.total) }))
}

#[utoipa::path(post, path = "/openmeter/customers", operation_id = "create-customer", tag = "OpenMeter Customers",
    request_body = CreateCustomerRequest,
    responses((status = 201, body = BillingCustomer), V3Conflict, V3Problems))]
pub async fn create(
    request: HttpRequest,
    body: Body<CreateCustomerRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let draft = body.value.draft()?;
    let show = |customer: &Known| kept(StatusCode::CREATED, &BillingCustomer::from(customer));
    Ok(answer(state.customers.create(&caller, draft, show).await?))
}

#[utoipa::path(get, path = "/openmeter/customers/{customerId}", operation_id = "get-customer",
    tag = "OpenMeter Customers", params(CustomerPath),
    responses((status = 200, body = BillingCustomer), V3NotFound, V3Problems))]
pub async fn get(Params(path): Params<CustomerPath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let customer = state.customers.get(&state.namespace, path.named()).await?;
    Ok(json(HttpResponse::Ok(), &BillingCustomer::from(&customer)))
}

#[utoipa::path(put, path = "/openmeter/customers/{customerId}", operation_id = "upsert-customer",
    tag = "OpenMeter Customers", params(CustomerPath), request_body = UpsertCustomerRequest,
    responses((status = 200, body = BillingCustomer), V3NotFound, V3Gone, V3Conflict, V3Problems))]
pub async fn upsert(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    body: Body<UpsertCustomerRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let draft = body.value.draft()?;
    let wanted = |before: &Known| CustomerDraft { key: before.key.clone(), ..draft };
    let show = |customer: &Known| kept(StatusCode::OK, &BillingCustomer::from(customer));
    match state.customers.update(&caller, path.named(), wanted, show).await {
        Err(CustomerError::Deleted { .. }) => Err(Problem::in_v3(StatusCode::GONE, "customer is deleted")),
        written => Ok(answer(written?)),
    }
}

#[utoipa::path(delete, path = "/openmeter/customers/{customerId}", operation_id = "delete-customer",
    tag = "OpenMeter Customers", params(CustomerPath), responses((status = 204), V3NotFound, V3Conflict, V3Problems))]
pub async fn delete(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    match state.customers.delete(&caller, path.named(), nothing()).await {
        Err(CustomerError::NotFound { .. } | CustomerError::Deleted { .. }) => Ok(HttpResponse::NoContent().finish()),
        written => Ok(answer(written?)),
    }
}

/// The path's id.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct CustomerPath {
    pub customer_id: UlidText,
}

impl CustomerPath {
    pub fn named(&self) -> Named<'_> {
        Named::Id(&self.customer_id.0)
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(style = DeepObject, inline)]
    page: Option<PageQuery>,
    sort: Option<SortQuery>,
    #[param(style = DeepObject, value_type = Option<ListCustomersParamsFilter>)]
    #[serde(rename = "filter")]
    _filter: Option<IgnoredAny>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is only described")]
pub struct ListCustomersParamsFilter {
    key: Option<StringFieldFilter>,
    name: Option<StringFieldFilter>,
    primary_email: Option<StringFieldFilter>,
    usage_attribution_subject_key: Option<StringFieldFilter>,
    plan_key: Option<StringFieldFilter>,
    billing_profile_id: Option<ULIDFieldFilter>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CustomerPagePaginatedResponse {
    data: Vec<BillingCustomer>,
    meta: PaginatedMeta,
}

fn query(filters: &Filters, sort: sort::Sort<CustomerOrder>) -> CustomersQuery {
    CustomersQuery {
        key: filters.fields("key"),
        name: filters.fields("name"),
        primary_email: filters.fields("primary_email"),
        subject_key: filters.fields("usage_attribution_subject_key"),
        with_deleted: false,
        order: sort.by,
        descending: sort.descending,
    }
}
