//! What entitlements look like: by subject in v1, by customer in v2.

use super::period::{Period, RecurringPeriod};
use crate::domain::entitlement::record::{Kind, Metered};
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use crate::http::json_number::JsonNumber;
use crate::http::v1::wire::{Annotations, Metadata};
use crate::services::entitlements::Shown;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What every kind has.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementRecord {
    #[schema(read_only, pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    id: String,
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    feature_id: String,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    feature_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, value_type = Option<Annotations>)]
    annotations: Option<BTreeMap<String, String>>,
    #[schema(format = DateTime)]
    active_from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    active_to: Option<String>,
    #[schema(read_only, format = DateTime)]
    created_at: String,
    #[schema(read_only, format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, format = DateTime)]
    deleted_at: Option<String>,
}

/// Whose it is, in v1: the first of the customer's subjects, empty when there is none.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubjectOwner {
    subject_key: String,
}

/// Whose it is, in v2.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerOwner {
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    customer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_key: Option<String>,
}

/// What is metered has, in both versions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeteredMembers {
    #[schema(required = false, default = false)]
    is_soft_limit: bool,
    #[schema(required = false, default = false)]
    preserve_overage_at_reset: bool,
    /// 0 when nothing is issued.
    #[schema(value_type = Option<f64>, minimum = 0)]
    issue_after_reset: JsonNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uint8", minimum = 1, maximum = 255, default = 1)]
    issue_after_reset_priority: Option<u8>,
    #[schema(read_only, format = DateTime)]
    last_reset: String,
    #[schema(read_only, format = DateTime)]
    measure_usage_from: String,
    #[schema(read_only)]
    current_usage_period: Period,
    #[schema(read_only)]
    usage_period: RecurringPeriod,
}

/// What is not metered may have periods of usage, which change nothing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodMembers {
    #[serde(skip_serializing_if = "Option::is_none")]
    current_usage_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_period: Option<RecurringPeriod>,
}

macro_rules! kind {
    ($($name:ident $word:ident)+) => {
        $(
            #[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
            #[serde(rename_all = "lowercase")]
            pub enum $name {
                $word,
            }
        )+
    };
}

kind! { MeteredKind Metered StaticKind Static BooleanKind Boolean }

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementMetered {
    #[schema(inline)]
    r#type: MeteredKind,
    #[serde(flatten)]
    record: EntitlementRecord,
    #[serde(flatten)]
    owner: SubjectOwner,
    #[serde(flatten)]
    metered: MeteredMembers,
    /// Never: what is not limited is boolean.
    #[schema(required = false, default = false)]
    is_unlimited: bool,
}

#[derive(Serialize, ToSchema)]
pub struct EntitlementStatic {
    #[schema(inline)]
    r#type: StaticKind,
    #[serde(flatten)]
    record: EntitlementRecord,
    #[serde(flatten)]
    owner: SubjectOwner,
    #[serde(flatten)]
    periods: PeriodMembers,
    #[schema(format = "json")]
    config: String,
}

#[derive(Serialize, ToSchema)]
pub struct EntitlementBoolean {
    #[schema(inline)]
    r#type: BooleanKind,
    #[serde(flatten)]
    record: EntitlementRecord,
    #[serde(flatten)]
    owner: SubjectOwner,
    #[serde(flatten)]
    periods: PeriodMembers,
}

/// v1's.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("metered" = "#/components/schemas/EntitlementMetered"),
    ("static" = "#/components/schemas/EntitlementStatic"),
    ("boolean" = "#/components/schemas/EntitlementBoolean"),
)))]
pub enum Entitlement {
    Metered(EntitlementMetered),
    Static(EntitlementStatic),
    Boolean(EntitlementBoolean),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementMeteredV2 {
    #[schema(inline)]
    r#type: MeteredKind,
    #[serde(flatten)]
    record: EntitlementRecord,
    #[serde(flatten)]
    owner: CustomerOwner,
    #[serde(flatten)]
    metered: MeteredMembers,
    #[schema(required = false)]
    issue: IssueAfterReset,
}

#[derive(Serialize, ToSchema)]
pub struct EntitlementStaticV2 {
    #[schema(inline)]
    r#type: StaticKind,
    #[serde(flatten)]
    record: EntitlementRecord,
    #[serde(flatten)]
    owner: CustomerOwner,
    #[serde(flatten)]
    periods: PeriodMembers,
    #[schema(format = "json")]
    config: String,
}

#[derive(Serialize, ToSchema)]
pub struct EntitlementBooleanV2 {
    #[schema(inline)]
    r#type: BooleanKind,
    #[serde(flatten)]
    record: EntitlementRecord,
    #[serde(flatten)]
    owner: CustomerOwner,
    #[serde(flatten)]
    periods: PeriodMembers,
}

/// v2's.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("metered" = "#/components/schemas/EntitlementMeteredV2"),
    ("static" = "#/components/schemas/EntitlementStaticV2"),
    ("boolean" = "#/components/schemas/EntitlementBooleanV2"),
)))]
pub enum EntitlementV2 {
    Metered(EntitlementMeteredV2),
    Static(EntitlementStaticV2),
    Boolean(EntitlementBooleanV2),
}

/// What is granted anew with every period: its amount, and when it is burnt among others.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssueAfterReset {
    #[schema(value_type = f64, minimum = 0)]
    pub amount: JsonNumber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uint8", minimum = 1, maximum = 255, default = 1)]
    pub priority: Option<u8>,
}

impl From<&Shown> for EntitlementRecord {
    fn from(shown: &Shown) -> Self {
        let it = &shown.entitlement;
        Self {
            id: it.id.to_string(),
            feature_id: it.feature_id.to_string(),
            feature_key: shown.feature_key.clone(),
            metadata: (!it.metadata.is_empty()).then(|| Metadata(it.metadata.clone())),
            annotations: (!it.annotations.is_empty()).then(|| it.annotations.clone()),
            active_from: it.active_from.to_rfc3339(),
            active_to: it.active_to.map(Instant::to_rfc3339),
            created_at: it.created_at.to_rfc3339(),
            updated_at: it.updated_at.to_rfc3339(),
            deleted_at: it.deleted_at.map(Instant::to_rfc3339),
        }
    }
}

impl From<&Shown> for SubjectOwner {
    fn from(shown: &Shown) -> Self {
        // They are kept in ascending order.
        Self { subject_key: shown.customer.subject_keys.first().cloned().unwrap_or_default() }
    }
}

impl From<&Shown> for CustomerOwner {
    fn from(shown: &Shown) -> Self {
        Self { customer_id: shown.entitlement.customer_id.to_string(), customer_key: shown.customer.key.clone() }
    }
}

/// Where each kind of one version takes its owner from; the rest is the same in both.
macro_rules! show {
    ($union:ident, $metered:ident, $fixed:ident, $boolean:ident, |$terms:ident| {$($own:ident: $value:expr),*}) => {
        impl From<&Shown> for $union {
            fn from(shown: &Shown) -> Self {
                let (record, owner) = (shown.into(), shown.into());
                match &shown.entitlement.kind {
                    Kind::Metered($terms) => {
                        let metered = metered(shown, $terms);
                        Self::Metered($metered { r#type: MeteredKind::Metered, record, owner, metered, $($own: $value),* })
                    }
                    Kind::Static { config, .. } => {
                        let (periods, config) = (shown.into(), config.clone());
                        Self::Static($fixed { r#type: StaticKind::Static, record, owner, periods, config })
                    }
                    Kind::Boolean { .. } => {
                        Self::Boolean($boolean { r#type: BooleanKind::Boolean, record, owner, periods: shown.into() })
                    }
                }
            }
        }
    };
}

show!(Entitlement, EntitlementMetered, EntitlementStatic, EntitlementBoolean, |terms| { is_unlimited: false });
show!(EntitlementV2, EntitlementMeteredV2, EntitlementStaticV2, EntitlementBooleanV2, |terms| { issue: issue(terms) });

fn issue(terms: &Metered) -> IssueAfterReset {
    IssueAfterReset { amount: issued(terms), priority: terms.issue_after_reset_priority }
}

fn issued(terms: &Metered) -> JsonNumber {
    terms.issue_after_reset.unwrap_or(Quantity::ZERO).into()
}

fn metered(shown: &Shown, terms: &Metered) -> MeteredMembers {
    MeteredMembers {
        is_soft_limit: terms.is_soft_limit,
        preserve_overage_at_reset: terms.preserve_overage_at_reset,
        issue_after_reset: issued(terms),
        issue_after_reset_priority: terms.issue_after_reset_priority,
        last_reset: shown.last_reset.unwrap_or(terms.measure_from).to_rfc3339(),
        measure_usage_from: terms.measure_from.to_rfc3339(),
        current_usage_period: shown.current_period.as_ref().expect("what is metered has periods").into(),
        usage_period: RecurringPeriod::from(&terms.usage_period),
    }
}

impl From<&Shown> for PeriodMembers {
    fn from(shown: &Shown) -> Self {
        Self {
            current_usage_period: shown.current_period.as_ref().map(Period::from),
            usage_period: shown.entitlement.kind.usage_period().map(RecurringPeriod::from),
        }
    }
}
