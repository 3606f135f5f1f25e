//! How usage and balance went, window by window and phase by phase; in both versions.

use super::period::Period;
use super::value::{amounts_by_grant, by_grant};
use crate::domain::entitlement::history::Segment;
use crate::domain::metering::window::zone;
use crate::http::json_number::JsonNumber;
use crate::http::problem::Problem;
use crate::http::times::{DateTime, in_zone};
use crate::http::v1::meter_query::WindowSize;
use crate::services::balances::{BalanceHistory, BalanceWindow, HistoryAsk};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Which stretch, in windows of which size on whose clock.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct HistoryParams {
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<DateTime>,
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<DateTime>,
    window_size: WindowSize,
    #[param(default = "UTC")]
    window_time_zone: Option<String>,
}

impl HistoryParams {
    pub fn ask(&self) -> Result<HistoryAsk, Problem> {
        let instant = |time: &Option<DateTime>| time.as_ref().map(|time| time.instant);
        Ok(HistoryAsk {
            from: instant(&self.from),
            to: instant(&self.to),
            size: self.window_size.into(),
            zone: zone(self.window_time_zone.as_deref().unwrap_or_default())
                .map_err(|unknown| Problem::validation(format!("invalid time zone: {unknown}")))?,
        })
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowedBalanceHistory {
    windowed_history: Vec<BalanceHistoryWindow>,
    burndown_history: Vec<GrantBurnDownHistorySegment>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceHistoryWindow {
    period: Period,
    #[schema(read_only, value_type = f64)]
    usage: JsonNumber,
    #[schema(read_only, value_type = f64)]
    balance_at_start: JsonNumber,
}

/// A stretch in which the same grants are burnt in the same order; of no length where a period begins.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantBurnDownHistorySegment {
    period: Period,
    #[schema(read_only, value_type = f64)]
    usage: JsonNumber,
    #[schema(read_only, value_type = f64)]
    overage: JsonNumber,
    #[schema(read_only, value_type = f64)]
    balance_at_start: JsonNumber,
    #[schema(schema_with = amounts_by_grant)]
    grant_balances_at_start: BTreeMap<String, JsonNumber>,
    #[schema(read_only, value_type = f64)]
    balance_at_end: JsonNumber,
    #[schema(schema_with = amounts_by_grant)]
    grant_balances_at_end: BTreeMap<String, JsonNumber>,
    #[schema(read_only)]
    grant_usages: Vec<GrantUsageRecord>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantUsageRecord {
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    grant_id: String,
    #[schema(value_type = f64)]
    usage: JsonNumber,
}

impl WindowedBalanceHistory {
    /// Windows on the clock that was asked for, stretches on UTC's.
    pub fn of(ask: &HistoryAsk, history: &BalanceHistory) -> Self {
        Self {
            windowed_history: history
                .windows
                .iter()
                .map(|window| BalanceHistoryWindow::on(&ask.zone, window))
                .collect(),
            burndown_history: history.segments.iter().map(GrantBurnDownHistorySegment::from).collect(),
        }
    }
}

impl BalanceHistoryWindow {
    fn on(clock: &TimeZone, told: &BalanceWindow) -> Self {
        let (from, to) = (in_zone(told.window.start, clock), in_zone(told.window.end, clock));
        Self { period: Period { from, to }, usage: told.usage.into(), balance_at_start: told.balance_at_start.into() }
    }
}

impl From<&Segment> for GrantBurnDownHistorySegment {
    fn from(segment: &Segment) -> Self {
        let usages = segment.grant_usages.iter();
        Self {
            period: Period::from(&(segment.from..segment.to)),
            usage: segment.usage.into(),
            overage: segment.overage.into(),
            balance_at_start: segment.balance_at_start.into(),
            grant_balances_at_start: by_grant(&segment.grants_at_start),
            balance_at_end: segment.balance_at_end.into(),
            grant_balances_at_end: by_grant(&segment.grants_at_end),
            grant_usages: usages
                .map(|(id, usage)| GrantUsageRecord { grant_id: id.to_string(), usage: (*usage).into() })
                .collect(),
        }
    }
}
