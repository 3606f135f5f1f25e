//! `GET` and `POST /api/v1/meters/{meterIdOrSlug}/query`: a meter's usage.
//!
//! 200 rows · 400 a question that cannot be asked, in the words clients know · 404 no such meter, no such customer.
//! Values are exact JSON numbers in plain notation. The answer sees everything accepted before the request, or says in
//! its headers how far it is behind.

mod answer;
mod ask;

use super::meters::id_or_slug;
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json, json_body};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use answer::Answer;
use ask::Ask;

pub async fn get(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let id_or_slug = id_or_slug(&request)?;
    let ask = Ask::from_query(&request, &state.settings)?;
    answer(&request, &state, &id_or_slug, ask).await
}

pub async fn post(request: HttpRequest, payload: Payload, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let id_or_slug = id_or_slug(&request)?;
    let body = json_body::read(&request, payload, &state, "MeterQueryRequest").await?;
    let ask = Ask::from_body(&body)?;
    answer(&request, &state, &id_or_slug, ask).await
}

async fn answer(request: &HttpRequest, state: &DoorState, id_or_slug: &str, ask: Ask) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(request, state).await?;
    let meter = state.meters.find(&state.namespace, id_or_slug)?.meter;
    let query = ask.check(meter, state.settings.filter_depth_max)?;
    let usage = state.usage.query(query.clone()).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &Answer::of(&ask, &query, usage.rows)))
}
