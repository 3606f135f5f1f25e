//! `/api/v1/info`: the currencies there are, and how far a read or a backfill is.
//!
//! 200 · 404 nothing is known under this id.

use super::wire::CurrencyCode;
use crate::domain::metering::progress::ProgressSnapshot;
use crate::domain::time::Instant;
use crate::http::contract::Params;
use crate::http::openapi::problems::{V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::{DoorState, json};
use actix_web::HttpResponse;
use actix_web::web::Data;
use iso_currency::IntoEnumIterator;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Listed before all others, in this order.
const FIRST: [&str; 6] = ["USD", "EUR", "GBP", "AUD", "CAD", "JPY"];
/// What the library has for a currency without a sign of its own.
const NO_SYMBOL: &str = "¤";

#[utoipa::path(get, path = "/api/v1/info/currencies", operation_id = "listCurrencies", tag = "Lookup Information",
    responses((status = 200, body = Vec<Currency>), V1Problems))]
pub async fn currencies() -> HttpResponse {
    let mut currencies: Vec<Currency> = iso_currency::Currency::iter().map(Currency::from).collect();
    let place = |code: &str| FIRST.iter().position(|first| *first == code).unwrap_or(FIRST.len());
    currencies.sort_by(|a, b| (place(&a.code.0), &a.code.0).cmp(&(place(&b.code.0), &b.code.0)));
    json(HttpResponse::Ok(), &currencies)
}

#[utoipa::path(get, path = "/api/v1/info/progress/{id}", operation_id = "getProgress", tag = "Lookup Information",
    params(ProgressPath), responses((status = 200, body = Progress), V1NotFound, V1Problems))]
pub async fn progress(
    Params(ProgressPath { id }): Params<ProgressPath>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let backfill = || {
        state.meters.known(&state.namespace, &id).ok()?;
        Some((state.usage.backfill(&id)?, state.clock.now()))
    };
    let shown = state.progress.shown(&id).or_else(backfill);
    let shown = shown.ok_or_else(|| Problem::not_found(format!("progress not found for id: {id}")))?;
    Ok(json(HttpResponse::Ok(), &Progress::from(shown)))
}

/// A currency of ISO 4217, those of the past and of no country among them.
#[derive(Serialize, ToSchema)]
pub struct Currency {
    code: CurrencyCode,
    name: String,
    /// How many decimals an amount has.
    #[schema(value_type = i64, format = "uint32")]
    subunits: u16,
    /// May be empty.
    symbol: String,
}

impl From<iso_currency::Currency> for Currency {
    fn from(currency: iso_currency::Currency) -> Self {
        let symbol = currency.symbol().symbol;
        Self {
            code: CurrencyCode(currency.code().to_string()),
            name: capitalised(currency.name()),
            subunits: currency.exponent().unwrap_or_default(),
            symbol: if symbol == NO_SYMBOL { String::new() } else { symbol },
        }
    }
}

/// `United States dollar` → `United States Dollar`.
fn capitalised(name: &str) -> String {
    let word = |word: &str| match (word, word.chars().next()) {
        ("and" | "of" | "the" | "de", _) | (_, None) => word.to_string(),
        (_, Some(first)) => first.to_uppercase().chain(word.chars().skip(1)).collect(),
    };
    name.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ProgressPath {
    /// A `clientId` that was sent with a read, or the id of a meter that is being counted from its beginning.
    id: String,
}

/// Events read, out of those that are to be read.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// No event is ever given up.
    #[schema(value_type = i64, format = "uint64")]
    failed: u64,
    #[schema(value_type = i64, format = "uint64")]
    success: u64,
    #[schema(value_type = i64, format = "uint64")]
    total: u64,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<(ProgressSnapshot, Instant)> for Progress {
    fn from((shown, at): (ProgressSnapshot, Instant)) -> Self {
        Self { failed: 0, success: shown.done_events, total: shown.total_events, updated_at: at.to_rfc3339() }
    }
}
