//! `GET /api/v1/meters/{meterIdOrSlug}/subjects` and `…/group-by/{groupByKey}/values`: which values a meter's events
//! have.
//!
//! 200 an array of texts, by byte order · 400 a period that cannot be asked, a dimension that the meter does not have ·
//! 404 no such meter. The meter's `eventFrom` does not matter; an event without the value has "".

use super::meter_query::check_period;
use super::meters::MeterPath;
use crate::domain::metering::query::{Dimension, ValuesQuery};
use crate::domain::time::Instant;
use crate::http::contract::Params;
use crate::http::openapi::problems::{V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, freshness, json};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;

const DAY_NS: i64 = 86_400_000_000_000;
/// What is looked through for a dimension's values when no period is asked for, in days.
const DEFAULT_DAYS: i64 = 1;
/// How old such a period may be, in days.
const AGE_DAYS_MAX: i64 = 90;
/// How long it may be, in days.
const PERIOD_DAYS_MAX: i64 = 30;

#[utoipa::path(get, path = "/api/v1/meters/{meterIdOrSlug}/subjects", operation_id = "listMeterSubjects",
    tag = "Meters", params(MeterPath, Period), responses((status = 200, body = Vec<String>), V1NotFound, V1Problems))]
pub async fn subjects(
    Params(path): Params<MeterPath>,
    Params(period): Params<Period>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    period.check()?;
    answer(&request, &state, &path.meter_id_or_slug, Dimension::Subject, period.bounds()).await
}

#[utoipa::path(get, path = "/api/v1/meters/{meterIdOrSlug}/group-by/{groupByKey}/values",
    operation_id = "listMeterGroupByValues", tag = "Meters", params(MeterPath, KeyPath, Period),
    responses((status = 200, body = Vec<String>), V1NotFound, V1Problems))]
pub async fn group_values(
    Params(path): Params<MeterPath>,
    Params(KeyPath { group_by_key: key }): Params<KeyPath>,
    Params(period): Params<Period>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    period.check()?;
    let bounds = period.recent(state.clock.now())?;
    answer(&request, &state, &path.meter_id_or_slug, Dimension::Group(key), bounds).await
}

async fn answer(
    request: &HttpRequest,
    state: &DoorState,
    id_or_slug: &str,
    dimension: Dimension,
    (from, to): Bounds,
) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(request, state).await?;
    let meter = state.meters.known(&state.namespace, id_or_slug)?.meter;
    if let Dimension::Group(key) = &dimension
        && !meter.group_by.contains_key(key)
    {
        return Err(Problem::validation("group by key is not valid for this meter"));
    }
    let values = state.usage.dimension_values(ValuesQuery { meter, dimension, from, to }).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &values))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct KeyPath {
    group_by_key: String,
}

/// Event time, `from` inclusive and `to` exclusive.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Period {
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<DateTime>,
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<DateTime>,
}

type Bounds = (Option<Instant>, Option<Instant>);

impl Period {
    fn check(&self) -> Result<(), Problem> {
        check_period(self.from.as_ref(), self.to.as_ref(), "from time must be before to time")
    }

    fn bounds(&self) -> Bounds {
        let instant = |time: &Option<DateTime>| time.as_ref().map(|time| time.instant);
        (instant(&self.from), instant(&self.to))
    }

    /// The last day where neither bound is given; neither long ago nor long.
    fn recent(&self, now: Instant) -> Result<Bounds, Problem> {
        let days_before = |days: i64| Instant::from_nanos(now.nanos().saturating_sub(days * DAY_NS));
        let (from, to) = self.bounds();
        if from.is_some_and(|from| from <= days_before(AGE_DAYS_MAX)) {
            return Err(Problem::validation("from time must not be more than 90 days ago"));
        }
        let span_ns = from.zip(to).map(|(from, to)| to.nanos().saturating_sub(from.nanos()));
        if span_ns.is_some_and(|span| span > PERIOD_DAYS_MAX * DAY_NS) {
            return Err(Problem::validation("time window must be less than 30 days"));
        }
        match (from, to) {
            (None, None) => Ok((Some(days_before(DEFAULT_DAYS)), None)),
            bounds => Ok(bounds),
        }
    }
}
