//! What a new entitlement is asked for with: by subject in v1, by customer in v2.

use super::period::{MeasureUsageFrom, RecurringPeriodCreateInput};
use super::shown::{BooleanKind, IssueAfterReset, MeteredKind, StaticKind};
use crate::domain::entitlement::record::EntitlementType as Named;
use crate::http::json_number::JsonNumber;
use crate::http::tagged::{kind_and_text, read};
use crate::http::v1::grants::wire::EntitlementGrantCreateInputV2;
use crate::http::v1::wire::Metadata;
use crate::services::entitlements::{EntitlementDraft, GrantDraft, KindDraft, MeasureFrom, MeteredDraft, PeriodDraft};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntitlementType {
    Metered,
    Boolean,
    Static,
}

/// v1's.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("metered" = "#/components/schemas/EntitlementMeteredCreateInputs"),
    ("static" = "#/components/schemas/EntitlementStaticCreateInputs"),
    ("boolean" = "#/components/schemas/EntitlementBooleanCreateInputs"),
)))]
pub enum EntitlementCreateInputs {
    Metered(EntitlementMeteredCreateInputs),
    Static(EntitlementStaticCreateInputs),
    Boolean(EntitlementBooleanCreateInputs),
}

/// v2's.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("metered" = "#/components/schemas/EntitlementMeteredV2CreateInputs"),
    ("static" = "#/components/schemas/EntitlementStaticCreateInputs"),
    ("boolean" = "#/components/schemas/EntitlementBooleanCreateInputs"),
)))]
pub enum EntitlementV2CreateInputs {
    Metered(EntitlementMeteredV2CreateInputs),
    Static(EntitlementStaticCreateInputs),
    Boolean(EntitlementBooleanCreateInputs),
}

/// An id before a key.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementMeteredCreateInputs {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    feature_key: Option<String>,
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    feature_id: Option<String>,
    metadata: Option<Metadata>,
    #[serde(rename = "type")]
    #[schema(inline)]
    _type: MeteredKind,
    #[schema(default = false)]
    is_soft_limit: Option<bool>,
    /// Has no effect.
    #[serde(rename = "isUnlimited")]
    #[schema(default = false)]
    _is_unlimited: Option<bool>,
    usage_period: RecurringPeriodCreateInput,
    measure_usage_from: Option<MeasureUsageFrom>,
    #[schema(value_type = Option<f64>, minimum = 0)]
    issue_after_reset: Option<JsonNumber>,
    #[schema(format = "uint8", minimum = 1, maximum = 255, default = 1)]
    issue_after_reset_priority: Option<u8>,
    #[schema(default = false)]
    preserve_overage_at_reset: Option<bool>,
}

/// `issue` before the two members that say the same.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementMeteredV2CreateInputs {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    feature_key: Option<String>,
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    feature_id: Option<String>,
    metadata: Option<Metadata>,
    #[serde(rename = "type")]
    #[schema(inline)]
    _type: MeteredKind,
    #[schema(default = false)]
    is_soft_limit: Option<bool>,
    usage_period: RecurringPeriodCreateInput,
    measure_usage_from: Option<MeasureUsageFrom>,
    #[schema(default = false)]
    preserve_overage_at_reset: Option<bool>,
    #[schema(value_type = Option<f64>, minimum = 0)]
    issue_after_reset: Option<JsonNumber>,
    #[schema(format = "uint8", minimum = 1, maximum = 255, default = 1)]
    issue_after_reset_priority: Option<u8>,
    issue: Option<IssueAfterReset>,
    grants: Option<Vec<EntitlementGrantCreateInputV2>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementStaticCreateInputs {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    feature_key: Option<String>,
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    feature_id: Option<String>,
    metadata: Option<Metadata>,
    usage_period: Option<RecurringPeriodCreateInput>,
    #[serde(rename = "type")]
    #[schema(inline)]
    _type: StaticKind,
    #[schema(format = "json")]
    config: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementBooleanCreateInputs {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    feature_key: Option<String>,
    #[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    feature_id: Option<String>,
    metadata: Option<Metadata>,
    #[serde(rename = "type")]
    #[schema(inline)]
    _type: BooleanKind,
    usage_period: Option<RecurringPeriodCreateInput>,
}

macro_rules! by_kind {
    ($($union:ident)+) => {
        $(
            impl<'de> Deserialize<'de> for $union {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let (kind, text) = kind_and_text(deserializer)?;
                    match kind {
                        EntitlementType::Metered => read(text).map(Self::Metered),
                        EntitlementType::Static => read(text).map(Self::Static),
                        EntitlementType::Boolean => read(text).map(Self::Boolean),
                    }
                }
            }
        )+
    };
}

by_kind! { EntitlementCreateInputs EntitlementV2CreateInputs }

impl From<EntitlementCreateInputs> for EntitlementDraft {
    fn from(sent: EntitlementCreateInputs) -> Self {
        match sent {
            EntitlementCreateInputs::Metered(sent) => sent.into(),
            EntitlementCreateInputs::Static(sent) => sent.into(),
            EntitlementCreateInputs::Boolean(sent) => sent.into(),
        }
    }
}

impl From<EntitlementV2CreateInputs> for EntitlementDraft {
    fn from(sent: EntitlementV2CreateInputs) -> Self {
        match sent {
            EntitlementV2CreateInputs::Metered(sent) => sent.into(),
            EntitlementV2CreateInputs::Static(sent) => sent.into(),
            EntitlementV2CreateInputs::Boolean(sent) => sent.into(),
        }
    }
}

impl From<EntitlementMeteredCreateInputs> for EntitlementDraft {
    fn from(sent: EntitlementMeteredCreateInputs) -> Self {
        let metered = MeteredDraft {
            is_soft_limit: sent.is_soft_limit.unwrap_or(false),
            usage_period: sent.usage_period.into(),
            measure_from: sent.measure_usage_from.map_or(MeasureFrom::Now, MeasureFrom::from),
            issue_after_reset: sent.issue_after_reset.map(|amount| amount.quantity()),
            issue_after_reset_priority: sent.issue_after_reset_priority,
            preserve_overage_at_reset: sent.preserve_overage_at_reset.unwrap_or(false),
            grants: Vec::new(),
        };
        draft(sent.feature_id, sent.feature_key, sent.metadata, KindDraft::Metered(metered))
    }
}

impl From<EntitlementMeteredV2CreateInputs> for EntitlementDraft {
    fn from(sent: EntitlementMeteredV2CreateInputs) -> Self {
        let (amount, priority) = match sent.issue {
            Some(issue) => (Some(issue.amount), issue.priority),
            None => (sent.issue_after_reset, sent.issue_after_reset_priority),
        };
        let metered = MeteredDraft {
            is_soft_limit: sent.is_soft_limit.unwrap_or(false),
            usage_period: sent.usage_period.into(),
            measure_from: sent.measure_usage_from.map_or(MeasureFrom::Now, MeasureFrom::from),
            issue_after_reset: amount.map(|amount| amount.quantity()),
            issue_after_reset_priority: priority,
            preserve_overage_at_reset: sent.preserve_overage_at_reset.unwrap_or(false),
            grants: sent.grants.into_iter().flatten().map(GrantDraft::from).collect(),
        };
        draft(sent.feature_id, sent.feature_key, sent.metadata, KindDraft::Metered(metered))
    }
}

impl From<EntitlementStaticCreateInputs> for EntitlementDraft {
    fn from(sent: EntitlementStaticCreateInputs) -> Self {
        let kind = KindDraft::Static { config: sent.config, usage_period: sent.usage_period.map(PeriodDraft::from) };
        draft(sent.feature_id, sent.feature_key, sent.metadata, kind)
    }
}

impl From<EntitlementBooleanCreateInputs> for EntitlementDraft {
    fn from(sent: EntitlementBooleanCreateInputs) -> Self {
        let kind = KindDraft::Boolean { usage_period: sent.usage_period.map(PeriodDraft::from) };
        draft(sent.feature_id, sent.feature_key, sent.metadata, kind)
    }
}

fn draft(
    feature_id: Option<String>,
    feature_key: Option<String>,
    metadata: Option<Metadata>,
    kind: KindDraft,
) -> EntitlementDraft {
    EntitlementDraft { feature_id, feature_key, metadata: metadata.map(|it| it.0).unwrap_or_default(), kind }
}

impl From<EntitlementType> for Named {
    fn from(kind: EntitlementType) -> Self {
        match kind {
            EntitlementType::Metered => Self::Metered,
            EntitlementType::Boolean => Self::Boolean,
            EntitlementType::Static => Self::Static,
        }
    }
}
