//! Grants on the wire, in both versions.

use crate::domain::entitlement::grant::{Expiration, ExpirationUnit};
use crate::domain::entitlement::record::GrantRecord;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use crate::http::json_number::JsonNumber;
use crate::http::times::{DateTime, in_zone};
use crate::http::v1::entitlements::period::{RecurringPeriod, RecurringPeriodCreateInput};
use crate::http::v1::wire::{Annotations, Metadata};
use crate::services::entitlements::{GrantDraft, PeriodDraft, ShownGrant};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExpirationDuration {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpirationPeriod {
    duration: ExpirationDuration,
    #[schema(format = "uint32", minimum = 1, maximum = 1000)]
    count: u32,
}

/// v1 shows a grant without an end as one that ends in so many years.
const ENDLESS: ExpirationPeriod = ExpirationPeriod { duration: ExpirationDuration::Year, count: 100 };

/// v1's.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementGrantCreateInput {
    #[schema(value_type = f64, minimum = 0)]
    amount: JsonNumber,
    #[schema(format = "uint8", minimum = 1, maximum = 255)]
    priority: Option<u8>,
    #[schema(value_type = String, format = DateTime)]
    effective_at: DateTime,
    expiration: ExpirationPeriod,
    #[schema(value_type = Option<f64>, default = 0)]
    min_rollover_amount: Option<JsonNumber>,
    #[schema(value_type = Option<f64>, default = 0)]
    max_rollover_amount: Option<JsonNumber>,
    metadata: Option<Metadata>,
    recurrence: Option<RecurringPeriodCreateInput>,
}

/// v2's: it need not end, and rolls over whole unless it says otherwise.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementGrantCreateInputV2 {
    #[schema(value_type = f64, minimum = 0)]
    amount: JsonNumber,
    #[schema(format = "uint8", minimum = 1, maximum = 255)]
    priority: Option<u8>,
    #[schema(value_type = String, format = DateTime)]
    effective_at: DateTime,
    expiration: Option<ExpirationPeriod>,
    #[schema(value_type = Option<f64>, default = 0)]
    min_rollover_amount: Option<JsonNumber>,
    #[schema(value_type = Option<f64>)]
    max_rollover_amount: Option<JsonNumber>,
    metadata: Option<Metadata>,
    /// Kept as it came.
    #[schema(value_type = Option<Annotations>)]
    annotations: Option<Box<RawValue>>,
    recurrence: Option<RecurringPeriodCreateInput>,
}

/// What both versions show.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantMembers {
    #[schema(read_only, pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    id: String,
    #[schema(read_only)]
    entitlement_id: String,
    #[schema(value_type = f64, minimum = 0)]
    amount: JsonNumber,
    #[schema(required = false, format = "uint8", maximum = 255)]
    priority: u8,
    #[schema(format = DateTime)]
    effective_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, format = DateTime)]
    expires_at: Option<String>,
    #[schema(value_type = Option<f64>, default = 0)]
    min_rollover_amount: JsonNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Annotations>)]
    annotations: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurrence: Option<RecurringPeriod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_recurrence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    voided_at: Option<String>,
    #[schema(read_only, format = DateTime)]
    created_at: String,
    #[schema(read_only, format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, format = DateTime)]
    deleted_at: Option<String>,
}

/// v1's.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementGrant {
    #[serde(flatten)]
    members: GrantMembers,
    expiration: ExpirationPeriod,
    #[schema(value_type = Option<f64>, default = 0)]
    max_rollover_amount: JsonNumber,
}

/// v2's.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementGrantV2 {
    #[serde(flatten)]
    members: GrantMembers,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<ExpirationPeriod>,
    #[schema(value_type = Option<f64>)]
    max_rollover_amount: JsonNumber,
}

impl From<ExpirationDuration> for ExpirationUnit {
    fn from(duration: ExpirationDuration) -> Self {
        match duration {
            ExpirationDuration::Hour => Self::Hour,
            ExpirationDuration::Day => Self::Day,
            ExpirationDuration::Week => Self::Week,
            ExpirationDuration::Month => Self::Month,
            ExpirationDuration::Year => Self::Year,
        }
    }
}

impl From<ExpirationUnit> for ExpirationDuration {
    fn from(unit: ExpirationUnit) -> Self {
        match unit {
            ExpirationUnit::Hour => Self::Hour,
            ExpirationUnit::Day => Self::Day,
            ExpirationUnit::Week => Self::Week,
            ExpirationUnit::Month => Self::Month,
            ExpirationUnit::Year => Self::Year,
        }
    }
}

impl From<ExpirationPeriod> for Expiration {
    fn from(period: ExpirationPeriod) -> Self {
        Self { count: period.count, unit: period.duration.into() }
    }
}

impl From<Expiration> for ExpirationPeriod {
    fn from(expiration: Expiration) -> Self {
        Self { count: expiration.count, duration: expiration.unit.into() }
    }
}

impl From<EntitlementGrantCreateInput> for GrantDraft {
    fn from(sent: EntitlementGrantCreateInput) -> Self {
        let rollover = |amount: Option<JsonNumber>| amount.map_or(Quantity::ZERO, |amount| amount.quantity());
        Self {
            amount: sent.amount.quantity(),
            priority: sent.priority.unwrap_or(0),
            effective_at: sent.effective_at.instant,
            offset_s: sent.effective_at.offset().seconds(),
            expiration: Some(sent.expiration.into()),
            min_rollover: rollover(sent.min_rollover_amount),
            max_rollover: rollover(sent.max_rollover_amount),
            recurrence: sent.recurrence.map(PeriodDraft::from),
            metadata: sent.metadata.map(|metadata| metadata.0).unwrap_or_default(),
            annotations: None,
        }
    }
}

impl From<EntitlementGrantCreateInputV2> for GrantDraft {
    fn from(sent: EntitlementGrantCreateInputV2) -> Self {
        let amount = sent.amount.quantity();
        Self {
            amount,
            priority: sent.priority.unwrap_or(0),
            effective_at: sent.effective_at.instant,
            offset_s: sent.effective_at.offset().seconds(),
            expiration: sent.expiration.map(Expiration::from),
            min_rollover: sent.min_rollover_amount.map_or(Quantity::ZERO, |amount| amount.quantity()),
            max_rollover: sent.max_rollover_amount.map_or(amount, |amount| amount.quantity()),
            recurrence: sent.recurrence.map(PeriodDraft::from),
            metadata: sent.metadata.map(|metadata| metadata.0).unwrap_or_default(),
            annotations: sent.annotations.map(|json| json.get().to_string()),
        }
    }
}

impl EntitlementGrantCreateInput {
    /// The clock on which it was sent, and on which the answer to it shows when it takes effect and expires.
    pub fn clock(&self) -> TimeZone {
        self.effective_at.offset().to_time_zone()
    }
}

impl EntitlementGrantCreateInputV2 {
    /// As v1's.
    pub fn clock(&self) -> TimeZone {
        self.effective_at.offset().to_time_zone()
    }
}

impl EntitlementGrant {
    /// On a clock.
    pub fn on(clock: &TimeZone, shown: &ShownGrant) -> Self {
        let grant = &shown.record.grant;
        let expiration = shown.record.expiration;
        let expires_at = match expiration {
            Some(_) => grant.expires_at,
            None => Expiration::from(ENDLESS).after(grant.effective_at, 0),
        };
        Self {
            members: GrantMembers::on(clock, shown, expires_at),
            expiration: expiration.map_or(ENDLESS, ExpirationPeriod::from),
            max_rollover_amount: grant.max_rollover.into(),
        }
    }
}

impl EntitlementGrantV2 {
    /// On a clock.
    pub fn on(clock: &TimeZone, shown: &ShownGrant) -> Self {
        let grant = &shown.record.grant;
        Self {
            members: GrantMembers::on(clock, shown, grant.expires_at),
            expiration: shown.record.expiration.map(ExpirationPeriod::from),
            max_rollover_amount: grant.max_rollover.into(),
        }
    }
}

impl From<&ShownGrant> for EntitlementGrant {
    fn from(shown: &ShownGrant) -> Self {
        Self::on(&TimeZone::UTC, shown)
    }
}

impl From<&ShownGrant> for EntitlementGrantV2 {
    fn from(shown: &ShownGrant) -> Self {
        Self::on(&TimeZone::UTC, shown)
    }
}

impl GrantMembers {
    fn on(clock: &TimeZone, shown: &ShownGrant, expires_at: Option<Instant>) -> Self {
        let GrantRecord { grant, entitlement_id, metadata, annotations, updated_at, .. } = &shown.record;
        Self {
            id: grant.id.to_string(),
            entitlement_id: entitlement_id.to_string(),
            amount: grant.amount.into(),
            priority: grant.priority,
            effective_at: in_zone(grant.effective_at, clock),
            expires_at: expires_at.map(|at| in_zone(at, clock)),
            min_rollover_amount: grant.min_rollover.into(),
            metadata: (!metadata.is_empty()).then(|| Metadata(metadata.clone())),
            // It was a JSON object when it was stored.
            annotations: annotations.clone().and_then(|json| RawValue::from_string(json).ok()),
            recurrence: grant.recurrence.as_ref().map(RecurringPeriod::from),
            next_recurrence: shown.next_recurrence.map(Instant::to_rfc3339),
            voided_at: grant.voided_at.map(Instant::to_rfc3339),
            created_at: grant.created_at.to_rfc3339(),
            updated_at: updated_at.to_rfc3339(),
            deleted_at: grant.deleted_at.map(Instant::to_rfc3339),
        }
    }
}
