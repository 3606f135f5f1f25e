//! Periods on the wire: `{"interval": "MONTH", "anchor": …}`, `{"from": …, "to": …}`.

use crate::domain::entitlement::interval::{Interval, IntervalError, NamedInterval};
use crate::domain::entitlement::recurrence::Recurrence;
use crate::domain::time::Instant;
use crate::http::times::DateTime;
use crate::services::entitlements::{MeasureFrom, PeriodDraft};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A duration of ISO 8601, as the published contract has it. Fractions pass it and are refused afterwards: what half
/// a month is nobody can say.
const ISO_PATTERN: &str = "^P(?:\\d+(?:\\.\\d+)?Y)?(?:\\d+(?:\\.\\d+)?M)?(?:\\d+(?:\\.\\d+)?W)?(?:\\d+(?:\\.\\d+)?D)?(?:T(?:\\d+(?:\\.\\d+)?H)?(?:\\d+(?:\\.\\d+)?M)?(?:\\d+(?:\\.\\d+)?S)?)?$";

#[derive(ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(dead_code, reason = "it is only described")]
pub enum RecurringPeriodIntervalEnum {
    Day,
    Week,
    Month,
    Year,
}

/// A name or a duration.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct RecurringPeriodInterval(pub Interval);

impl TryFrom<String> for RecurringPeriodInterval {
    type Error = IntervalError;

    fn try_from(text: String) -> Result<Self, IntervalError> {
        match NamedInterval::parse(&text) {
            Some(name) => Ok(Self(Interval::from_named(name))),
            None => Interval::parse(&text).map(Self),
        }
    }
}

impl PartialSchema for RecurringPeriodInterval {
    fn schema() -> RefOr<Schema> {
        let iso = ObjectBuilder::new().schema_type(Type::String).pattern(Some(ISO_PATTERN));
        let named = Ref::from_schema_name("RecurringPeriodIntervalEnum");
        Schema::AnyOf(AnyOfBuilder::new().item(iso).item(named).build()).into()
    }
}

impl ToSchema for RecurringPeriodInterval {}

#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct RecurringPeriodCreateInput {
    pub interval: RecurringPeriodInterval,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub anchor: Option<DateTime>,
}

impl From<RecurringPeriodCreateInput> for PeriodDraft {
    fn from(sent: RecurringPeriodCreateInput) -> Self {
        Self { interval: sent.interval.0, anchor: sent.anchor.map(|anchor| anchor.instant) }
    }
}

/// `interval` is a name where there is one for it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecurringPeriod {
    #[schema(value_type = String, format = DateTime)]
    anchor: String,
    #[schema(value_type = RecurringPeriodInterval)]
    interval: String,
    #[serde(rename = "intervalISO")]
    #[schema(format = Duration)]
    interval_iso: String,
}

impl From<&Recurrence> for RecurringPeriod {
    fn from(recurrence: &Recurrence) -> Self {
        let iso = recurrence.interval.as_str();
        let named = recurrence.interval.named().map(NamedInterval::as_str);
        Self {
            anchor: recurrence.anchor.to_rfc3339(),
            interval: named.unwrap_or(iso).to_string(),
            interval_iso: iso.to_string(),
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Period {
    #[schema(format = DateTime)]
    pub from: String,
    #[schema(format = DateTime)]
    pub to: String,
}

impl From<&Range<Instant>> for Period {
    fn from(period: &Range<Instant>) -> Self {
        Self { from: period.start.to_rfc3339(), to: period.end.to_rfc3339() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MeasureUsageFromPreset {
    CurrentPeriodStart,
    Now,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct MeasureUsageFromTime(pub DateTime);

/// From when on usage counts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MeasureUsageFrom {
    Preset(MeasureUsageFromPreset),
    Time(MeasureUsageFromTime),
}

impl From<MeasureUsageFrom> for MeasureFrom {
    fn from(sent: MeasureUsageFrom) -> Self {
        match sent {
            MeasureUsageFrom::Preset(MeasureUsageFromPreset::Now) => Self::Now,
            MeasureUsageFrom::Preset(MeasureUsageFromPreset::CurrentPeriodStart) => Self::CurrentPeriodStart,
            MeasureUsageFrom::Time(MeasureUsageFromTime(time)) => Self::At(time.instant),
        }
    }
}
