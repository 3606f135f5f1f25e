//! `GET` and `POST /api/v1/meters/{meterIdOrSlug}/query`: a meter's usage, as JSON or as CSV.
//!
//! 200 rows · 400 a question that cannot be asked, in the words clients know · 404 no such meter, no such customer.
//! Values are exact numbers in plain notation. The answer sees everything accepted before the request, or says in its
//! headers how far it is behind. Usage of customers needs the business records: 503 while they are away.

mod answer;
mod ask;
mod csv;

pub use answer::{MeterQueryResult, Windows};
pub use ask::{MeterQueryRequest, Parameters, WindowSize, check_period, no_such_customer};
pub use csv::{download, is_asked as csv_is_asked};

use super::meters::MeterPath;
use crate::domain::metering::query::UsageRow;
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use std::collections::{BTreeMap, BTreeSet};

#[utoipa::path(get, path = "/api/v1/meters/{meterIdOrSlug}/query", operation_id = "queryMeter", tag = "Meters",
    params(MeterPath, Parameters),
    responses((status = 200, content((MeterQueryResult = "application/json"), (String = "text/csv"))),
        V1NotFound, V1Problems))]
pub async fn get(
    Params(path): Params<MeterPath>,
    Params(asked): Params<Parameters>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    ask::refuse_misplaced_brackets(&request, &state)?;
    answer(&request, &state, &path.meter_id_or_slug, asked.into()).await
}

#[utoipa::path(post, path = "/api/v1/meters/{meterIdOrSlug}/query", operation_id = "queryMeterPost", tag = "Meters",
    params(MeterPath), request_body = MeterQueryRequest,
    responses((status = 200, content((MeterQueryResult = "application/json"), (String = "text/csv"))),
        V1NotFound, V1Problems))]
pub async fn post(
    Params(path): Params<MeterPath>,
    request: HttpRequest,
    body: Body<MeterQueryRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    answer(&request, &state, &path.meter_id_or_slug, body.value).await
}

async fn answer(
    request: &HttpRequest,
    state: &DoorState,
    id_or_slug: &str,
    asked: MeterQueryRequest,
) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(request, state).await?;
    let meter = state.meters.known(&state.namespace, id_or_slug)?.meter;
    let mut query = asked.check(meter, state).await?;
    let watched = asked.client_id.as_deref().map(|id| state.progress.watch(id));
    query.progress = watched.as_ref().map(|watched| watched.progress());
    let rows = state.usage.query(query.clone()).await?.rows;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    if !csv::is_asked(request) {
        return Ok(json(response, &MeterQueryResult::of(&asked, &query, rows)));
    }
    let names = display_names(state, &rows).await?;
    download(response, &query.meter.slug, csv::table(&query, &asked.columns(), &rows, &names))
}

/// By key, for the rows' subjects that people know; "" where a subject has no name.
async fn display_names(state: &DoorState, rows: &[UsageRow]) -> Result<BTreeMap<String, String>, Problem> {
    let keys: BTreeSet<&str> = rows.iter().filter_map(|row| row.subject.as_deref()).collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let subjects = state.subjects.find_keys(&state.namespace, &Vec::from_iter(keys)).await?;
    Ok(subjects.into_iter().map(|subject| (subject.key, subject.display_name.unwrap_or_default())).collect())
}
