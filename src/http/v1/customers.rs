//! `/api/v1/customers`: create, list, look at, replace, delete.
//!
//! 200, 201, 204 · 400 what breaks a rule, named · 404 no such customer (a key finds live ones only, an id deleted ones
//! too) · 409 a key or a subject key is another's, the customer still has entitlements, or the idempotency key was
//! another request's · 412 the customer is deleted · 503 not accepted, or unknown.

use super::customer_wire::{Customer, CustomerCreate, CustomerReplaceUpdate};
use super::paging::{PageParams, Part, paginated};
use super::wire::{IdOrKey, SortOrder};
use crate::domain::customer::query::{CustomerOrder, CustomersQuery, FieldFilter};
use crate::domain::metering::query::TextFilter;
use crate::http::caller::{self, answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::v3::filter::containing;
use crate::http::{DoorState, json};
use crate::services::customers::{Customer as Known, CustomerError};
use crate::services::page::Page;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/customers", operation_id = "listCustomers", tag = "Customers",
    params(List, PageParams), responses((status = 200, body = CustomerPaginatedResponse), V1Problems))]
pub async fn list(
    Params(asked): Params<List>,
    Params(page): Params<PageParams>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let (query, part) = (asked.query()?, Part::page_or_first(&page));
    let found = match asked.plan_key {
        // Nobody has a plan yet.
        Some(_) => Page { items: Vec::new(), total: 0 },
        None => state.customers.list(&state.namespace, &query, part.ask()).await?,
    };
    Ok(json(HttpResponse::Ok(), &CustomerPaginatedResponse::of(part, &found)))
}

#[utoipa::path(post, path = "/api/v1/customers", operation_id = "createCustomer", tag = "Customers",
    request_body = CustomerCreate, responses((status = 201, body = Customer), V1Conflict, V1Problems))]
pub async fn create(
    request: HttpRequest,
    body: Body<CustomerCreate>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let show = |customer: &Known| kept(StatusCode::CREATED, &Customer::from(customer));
    Ok(answer(state.customers.create(&caller, body.value.into(), show).await?))
}

#[utoipa::path(get, path = "/api/v1/customers/{customerIdOrKey}", operation_id = "getCustomer", tag = "Customers",
    params(CustomerPath, Get), responses((status = 200, body = Customer), V1NotFound, V1Problems))]
pub async fn get(
    Params(path): Params<CustomerPath>,
    Params(_): Params<Get>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let customer = state.customers.get(&state.namespace, path.name()).await?;
    Ok(json(HttpResponse::Ok(), &Customer::from(&customer)))
}

#[utoipa::path(put, path = "/api/v1/customers/{customerIdOrKey}", operation_id = "updateCustomer", tag = "Customers",
    params(CustomerPath), request_body = CustomerReplaceUpdate,
    responses((status = 200, body = Customer), V1NotFound, V1Conflict, V1Problems))]
pub async fn update(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    body: Body<CustomerReplaceUpdate>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let wanted = |_: &Known| body.value.into();
    let show = |customer: &Known| kept(StatusCode::OK, &Customer::from(customer));
    Ok(answer(state.customers.update(&caller, path.name(), wanted, show).await?))
}

#[utoipa::path(delete, path = "/api/v1/customers/{customerIdOrKey}", operation_id = "deleteCustomer",
    tag = "Customers", params(CustomerPath), responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn delete(
    Params(path): Params<CustomerPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.customers.delete(&caller, path.name(), nothing()).await?))
}

paginated!(CustomerPaginatedResponse of Customer);

/// The path's id or key.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct CustomerPath {
    pub customer_id_or_key: IdOrKey,
}

impl CustomerPath {
    pub fn name(&self) -> &str {
        &self.customer_id_or_key.0
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct List {
    #[param(default = "ASC")]
    order: Option<SortOrder>,
    order_by: Option<CustomerOrderBy>,
    #[param(default = false)]
    include_deleted: Option<bool>,
    /// As are the three after it: a part of the text, in any case.
    key: Option<String>,
    name: Option<String>,
    primary_email: Option<String>,
    /// One of the subject keys.
    subject: Option<String>,
    plan_key: Option<String>,
    /// Checked; there is nothing to expand yet.
    #[serde(rename = "expand")]
    _expand: Option<Vec<CustomerExpand>>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Get {
    /// Checked; there is nothing to expand yet.
    #[serde(rename = "expand")]
    _expand: Option<Vec<CustomerExpand>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CustomerExpand {
    Subscriptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CustomerOrderBy {
    Id,
    Name,
    CreatedAt,
}

impl List {
    fn query(&self) -> Result<CustomersQuery, Problem> {
        contained("planKey", self.plan_key.as_deref())?;
        Ok(CustomersQuery {
            key: contained("key", self.key.as_deref())?,
            name: contained("name", self.name.as_deref())?,
            primary_email: contained("primaryEmail", self.primary_email.as_deref())?,
            subject_key: contained("subject", self.subject.as_deref())?,
            with_deleted: self.include_deleted.unwrap_or(false),
            order: self.order_by.map_or(CustomerOrder::default(), CustomerOrder::from),
            descending: self.order == Some(SortOrder::Desc),
        })
    }
}

/// An empty text cannot be asked for.
fn contained(parameter: &str, part: Option<&str>) -> Result<Vec<FieldFilter>, Problem> {
    match part {
        None => Ok(Vec::new()),
        Some("") => Err(Problem::validation(format!("{parameter} must not be empty"))),
        Some(part) => Ok(vec![FieldFilter::Text(TextFilter::Like(containing(part, true)))]),
    }
}

impl From<CustomerOrderBy> for CustomerOrder {
    fn from(by: CustomerOrderBy) -> Self {
        match by {
            CustomerOrderBy::Id => Self::Id,
            CustomerOrderBy::Name => Self::Name,
            CustomerOrderBy::CreatedAt => Self::CreatedAt,
        }
    }
}

impl From<CustomerError> for Problem {
    fn from(error: CustomerError) -> Self {
        match error {
            CustomerError::NotFound { .. } => Problem::not_found(error),
            CustomerError::Deleted { .. } => Problem::precondition_failed(error),
            CustomerError::StillEntitled(_) | CustomerError::Conflict(_) => Problem::conflict(error),
            CustomerError::Refused(refusal) => Problem::validation(refusal),
            CustomerError::Fault(fault) => fault.into(),
            CustomerError::Write(error) => caller::told(error, |never| match never {}),
        }
    }
}
