//! Features as v1 shows and takes them.

use super::filters::FilterString;
use super::wire::{Metadata, Numeric};
use crate::domain::catalog::feature::FeatureFilter;
use crate::domain::catalog::unit_cost::{LlmCost, Source, UnitCost, UnitCostRefusal};
use crate::domain::time::Instant;
use crate::http::problem::Problem;
use crate::services::features::{Feature as Known, FeatureDraft, FeatureRefusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A filter can be sent in two forms; the advanced one goes before the plain one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureCreateInputs {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    key: String,
    name: String,
    metadata: Option<Metadata>,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    meter_slug: Option<String>,
    meter_group_by_filters: Option<BTreeMap<String, String>>,
    advanced_meter_group_by_filters: Option<BTreeMap<String, FilterString>>,
    unit_cost: Option<FeatureUnitCost>,
}

impl FeatureCreateInputs {
    /// The draft, and the slug of its meter.
    pub fn draft(self, filter_depth_max: usize) -> Result<(FeatureDraft, Option<String>), Problem> {
        let plain = self.meter_group_by_filters.unwrap_or_default().into_iter();
        let plain: BTreeMap<String, FilterString> =
            plain.map(|(name, value)| (name, FilterString::equal_to(value))).collect();
        let advanced = self.advanced_meter_group_by_filters.filter(|filters| !filters.is_empty());
        let mut filters = BTreeMap::new();
        for (name, filter) in advanced.unwrap_or(plain) {
            filters.extend(filter.kept(filter_depth_max)?.map(|filter| (name, filter)));
        }
        let unit_cost = self.unit_cost.map(UnitCost::try_from).transpose().map_err(FeatureRefusal::from)?;
        let metadata = self.metadata.map(|metadata| metadata.0).unwrap_or_default();
        let (key, name) = (self.key, self.name);
        Ok((FeatureDraft { key, name, description: None, metadata, filters, unit_cost }, self.meter_slug))
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("manual" = "#/components/schemas/FeatureManualUnitCost"),
    ("llm" = "#/components/schemas/FeatureLLMUnitCost"),
)))]
pub enum FeatureUnitCost {
    Manual(FeatureManualUnitCost),
    Llm(FeatureLlmUnitCost),
}

#[derive(Serialize, Deserialize, ToSchema)]
pub struct FeatureManualUnitCost {
    #[schema(inline)]
    r#type: ManualKind,
    amount: Numeric,
}

/// Of each pair exactly one is set.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FeatureLLMUnitCost)]
pub struct FeatureLlmUnitCost {
    #[schema(inline)]
    r#type: LlmKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_property: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_property: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type_property: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<String>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ManualKind {
    Manual,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LlmKind {
    Llm,
}

impl TryFrom<FeatureUnitCost> for UnitCost {
    type Error = UnitCostRefusal;

    fn try_from(sent: FeatureUnitCost) -> Result<Self, UnitCostRefusal> {
        match sent {
            FeatureUnitCost::Manual(manual) => UnitCost::manual(&manual.amount.0),
            FeatureUnitCost::Llm(llm) => Ok(UnitCost::Llm(LlmCost {
                provider: Source::of("provider", llm.provider, llm.provider_property)?,
                model: Source::of("model", llm.model, llm.model_property)?,
                token_type: Source::of("token type", llm.token_type, llm.token_type_property)?,
            })),
        }
    }
}

impl From<&UnitCost> for FeatureUnitCost {
    fn from(cost: &UnitCost) -> Self {
        let fixed = |source: &Source| source.fixed().map(str::to_string);
        let dimension = |source: &Source| source.dimension().map(str::to_string);
        match cost {
            UnitCost::Manual { amount } => {
                Self::Manual(FeatureManualUnitCost { r#type: ManualKind::Manual, amount: Numeric(amount.to_plain()) })
            }
            UnitCost::Llm(LlmCost { provider, model, token_type }) => Self::Llm(FeatureLlmUnitCost {
                r#type: LlmKind::Llm,
                provider_property: dimension(provider),
                provider: fixed(provider),
                model_property: dimension(model),
                model: fixed(model),
                token_type_property: dimension(token_type),
                token_type: fixed(token_type),
            }),
        }
    }
}

/// What is unset or empty is left out; the plain form of the filters also when one asks for more than one value.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    #[schema(read_only, value_type = String, format = DateTime)]
    created_at: String,
    #[schema(read_only, value_type = String, format = DateTime)]
    updated_at: String,
    /// Never set: features are archived, not deleted.
    #[schema(read_only, value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    #[schema(read_only, value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<String>,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    key: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    meter_slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter_group_by_filters: Option<BTreeMap<String, String>>,
    #[schema(value_type = Option<BTreeMap<String, FilterString>>)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    advanced_meter_group_by_filters: BTreeMap<String, FeatureFilter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_cost: Option<FeatureUnitCost>,
    #[schema(read_only, pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    id: String,
}

impl From<&Known> for Feature {
    fn from(feature: &Known) -> Self {
        Self {
            created_at: feature.created_at.to_rfc3339(),
            updated_at: feature.updated_at.to_rfc3339(),
            deleted_at: None,
            archived_at: feature.archived_at.map(Instant::to_rfc3339),
            key: feature.key.clone(),
            name: feature.name.clone(),
            metadata: (!feature.metadata.is_empty()).then(|| Metadata(feature.metadata.clone())),
            meter_slug: feature.meter_slug.clone(),
            meter_group_by_filters: feature.equalities().filter(|filters| !filters.is_empty()),
            advanced_meter_group_by_filters: feature.filters.clone(),
            unit_cost: feature.unit_cost.as_ref().map(FeatureUnitCost::from),
            id: feature.id.to_string(),
        }
    }
}
