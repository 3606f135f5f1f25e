//! `/api/v1/customers/{customerIdOrKey}/balances`: every feature of a customer at once, now or at any instant.
//!
//! 200 · 404 no such customer · 412 the customer is deleted · 503 the business records are away.

use super::customers::CustomerPath;
use super::entitlements::period::Period;
use super::entitlements::{EntitlementType, by_grant};
use crate::domain::entitlement::burndown::Balance;
use crate::domain::quantity::Quantity;
use crate::http::contract::Params;
use crate::http::freshness::Seen;
use crate::http::json_number::JsonNumber;
use crate::http::openapi::problems::{V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, freshness, json};
use crate::ports::line::{Checked, Wait};
use crate::services::balances::Given;
use crate::services::entitlements::Owner;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/customers/{customerIdOrKey}/balances", operation_id = "getCustomerBalances",
    tag = "Entitlements", params(CustomerPath, BalancesParams),
    responses((status = 200, body = CustomerBalances), V1NotFound, V1Problems))]
pub async fn get(
    Params(path): Params<CustomerPath>,
    Params(asked): Params<BalancesParams>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let (seen, checked) = match asked.at {
        None => {
            let checked = state.balances.check(&freshness::check(&request, &state, path.name(), None)?).await?;
            (Seen::of(checked.wait.clone()), checked)
        }
        Some(at) => {
            let seen = freshness::wait(&request, &state).await?;
            let (at, applied) = (at.instant, state.balances.applied());
            let given = state.balances.given(&state.namespace, Owner::Customer(path.name()), None, at).await?;
            (seen, Checked { at, given, applied, wait: Wait::Reached })
        }
    };
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(json(response, &CustomerBalances::from(checked)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BalancesParams {
    /// Now, unless said otherwise.
    #[param(value_type = Option<String>, format = DateTime)]
    at: Option<DateTime>,
}

/// What a customer may use at an instant.
#[derive(Serialize, ToSchema)]
pub struct CustomerBalances {
    #[schema(format = DateTime)]
    at: String,
    /// Every event below it has its part in the numbers; a later read may ask for it by `X-Weir-After`.
    position: String,
    /// By feature key.
    balances: Vec<FeatureBalance>,
}

/// The numbers are there for what is metered, `config` for what is static.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureBalance {
    feature_key: String,
    entitlement_id: String,
    #[serde(rename = "type")]
    #[schema(value_type = EntitlementType)]
    entitlement_type: &'static str,
    has_access: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    /// In the usage period, up to `evaluatedAt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    usage: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    balance: Option<JsonNumber>,
    /// What was used and nothing was left for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    overage: Option<JsonNumber>,
    /// What the grants held in all in the usage period.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    limit: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, f64>>)]
    grant_balances: Option<BTreeMap<String, JsonNumber>>,
    /// The usage period.
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<Period>,
    /// When balances are rolled over: the period's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_reset: Option<String>,
    /// The full minute that the numbers are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    evaluated_at: Option<String>,
}

impl From<Checked> for CustomerBalances {
    fn from(checked: Checked) -> Self {
        let Checked { at, given, applied, .. } = checked;
        let balances = given.into_iter().map(FeatureBalance::from).collect();
        Self { at: at.to_rfc3339(), position: applied.to_string(), balances }
    }
}

impl From<Given> for FeatureBalance {
    fn from(given: Given) -> Self {
        let metered = given.standing.metered.as_ref();
        let number = |of: fn(&Balance) -> Quantity| metered.map(|balance| JsonNumber::from(of(balance)));
        Self {
            feature_key: given.feature_key,
            entitlement_id: given.entitlement_id.to_string(),
            entitlement_type: given.entitlement_type.as_str(),
            has_access: given.standing.has_access,
            usage: number(|balance| balance.usage),
            balance: number(|balance| balance.balance),
            overage: number(|balance| balance.overage),
            limit: number(|balance| balance.total_available),
            grant_balances: metered.map(|balance| by_grant(&balance.grants)),
            period: metered.map(|balance| Period::from(&balance.period)),
            next_reset: metered.map(|balance| balance.period.end.to_rfc3339()),
            evaluated_at: metered.map(|balance| balance.at.to_rfc3339()),
            config: given.standing.config,
        }
    }
}
