//! `POST /api/v3/openmeter/meters/{meterId}/query`: a meter's usage, as JSON or as CSV.
//!
//! 200 rows · 400 a question that cannot be asked, with the code of what is wrong · 404 no such meter, no such
//! customer. The answer sees everything accepted before the request, or says in its headers how far it is behind. Usage
//! of customers needs the business records: 503 while they are away.

mod answer;
mod ask;
mod csv;
mod filters;

pub use filters::{QueryFilterString, QueryFilterStringMapItem};

use super::meters::MeterPath;
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V3NotFound, V3Problems};
use crate::http::problem::Problem;
use crate::http::v1::meter_query::{csv_is_asked, download};
use crate::http::{DoorState, freshness, json};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use answer::MeterQueryResult;
use ask::{Checked, MeterQueryRequest};

#[utoipa::path(post, path = "/openmeter/meters/{meterId}/query", operation_id = "query-meter", tag = "Meters",
    params(MeterPath), request_body = MeterQueryRequest,
    responses((status = 200, content((MeterQueryResult = "application/json"), (String = "text/csv"))),
        V3NotFound, V3Problems))]
pub async fn query(
    Params(path): Params<MeterPath>,
    request: HttpRequest,
    body: Body<MeterQueryRequest>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(&request, &state).await?;
    let meter = state.meters.known(&state.namespace, &path.meter_id.0)?.meter;
    let Checked { query, customers } = body.value.check(meter, &state).await?;
    let rows = state.usage.query(query.clone()).await?.rows;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    match csv_is_asked(&request) {
        true => download(response, &query.meter.slug, csv::table(&query, &customers, &rows)),
        false => Ok(json(response, &MeterQueryResult::of(&body.value, &query, rows))),
    }
}
