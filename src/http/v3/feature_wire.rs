//! Features as v3 shows and takes them.

use super::labels::Labels;
use super::meter_query::QueryFilterStringMapItem;
use super::wire::{Numeric, ResourceKey, UlidText};
use crate::domain::catalog::unit_cost::{LlmCost, Source, UnitCost, UnitCostRefusal};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::v1::feature_wire::{LlmKind, ManualKind};
use crate::http::v1::subjects::present;
use crate::services::features::{Feature as Known, FeatureDraft, FeatureRefusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Type};

/// Most filters of one feature that can be sent.
const FILTERS_MAX: usize = 10;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFeatureRequest {
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(max_length = 1024)]
    description: Option<String>,
    labels: Option<Labels>,
    key: ResourceKey,
    meter: Option<FeatureMeterReference>,
    unit_cost: Option<BillingFeatureUnitCost>,
}

impl CreateFeatureRequest {
    /// The draft, and the id of its meter.
    pub fn draft(self) -> Result<(FeatureDraft, Option<String>), Problem> {
        let (meter_id, sent) = self.meter.map(|meter| (meter.id.0, meter.filters.unwrap_or_default())).unzip();
        let mut filters = BTreeMap::new();
        for (name, filter) in sent.unwrap_or_default() {
            filters.extend(filter.kept()?.map(|filter| (name, filter)));
        }
        let draft = FeatureDraft {
            key: self.key.0,
            name: self.name,
            description: self.description,
            metadata: self.labels.map(Labels::check).transpose()?.unwrap_or_default(),
            filters,
            unit_cost: self.unit_cost.map(UnitCost::try_from).transpose().map_err(FeatureRefusal::from)?,
        };
        Ok((draft, meter_id))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateFeatureRequest {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BillingFeatureUnitCost>)]
    unit_cost: Option<Option<BillingFeatureUnitCost>>,
}

impl UpdateFeatureRequest {
    /// `None` clears it. A unit cost must be sent, although the published contract does not say so: clients know it.
    pub fn unit_cost(self) -> Result<Option<UnitCost>, Problem> {
        let sent = self.unit_cost.ok_or_else(|| Problem::validation("unitCost is required"))?;
        Ok(sent.map(UnitCost::try_from).transpose().map_err(FeatureRefusal::from)?)
    }
}

/// A meter, and which of its events count.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureMeterReference {
    id: UlidText,
    #[schema(schema_with = filters)]
    #[serde(skip_serializing_if = "Option::is_none")]
    filters: Option<BTreeMap<String, QueryFilterStringMapItem>>,
}

fn filters() -> RefOr<Schema> {
    let filter = Ref::from_schema_name(QueryFilterStringMapItem::name());
    let filters = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(filter));
    filters.max_properties(Some(FILTERS_MAX)).into()
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "type", mapping(
    ("manual" = "#/components/schemas/BillingFeatureManualUnitCost"),
    ("llm" = "#/components/schemas/BillingFeatureLLMUnitCost"),
)))]
pub enum BillingFeatureUnitCost {
    Manual(BillingFeatureManualUnitCost),
    Llm(BillingFeatureLlmUnitCost),
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingFeatureManualUnitCost {
    #[schema(inline)]
    r#type: ManualKind,
    amount: Numeric,
}

/// Of each pair exactly one is set.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillingFeatureLLMUnitCost)]
pub struct BillingFeatureLlmUnitCost {
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
    #[schema(value_type = Option<BillingFeatureLlmTokenType>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillingFeatureLLMTokenType)]
#[allow(dead_code, reason = "it is only described: which there are is a rule of the domain")]
pub enum BillingFeatureLlmTokenType {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Reasoning,
    Request,
    Response,
}

impl TryFrom<BillingFeatureUnitCost> for UnitCost {
    type Error = UnitCostRefusal;

    fn try_from(sent: BillingFeatureUnitCost) -> Result<Self, UnitCostRefusal> {
        match sent {
            BillingFeatureUnitCost::Manual(manual) => UnitCost::manual(&manual.amount.0),
            BillingFeatureUnitCost::Llm(llm) => Ok(UnitCost::Llm(LlmCost {
                provider: Source::of("provider", llm.provider, llm.provider_property)?,
                model: Source::of("model", llm.model, llm.model_property)?,
                token_type: Source::of("token type", llm.token_type, llm.token_type_property)?,
            })),
        }
    }
}

impl From<&UnitCost> for BillingFeatureUnitCost {
    fn from(cost: &UnitCost) -> Self {
        let fixed = |source: &Source| source.fixed().map(str::to_string);
        let dimension = |source: &Source| source.dimension().map(str::to_string);
        match cost {
            UnitCost::Manual { amount } => {
                let amount = Numeric(amount.to_plain());
                Self::Manual(BillingFeatureManualUnitCost { r#type: ManualKind::Manual, amount })
            }
            UnitCost::Llm(LlmCost { provider, model, token_type }) => Self::Llm(BillingFeatureLlmUnitCost {
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

/// `labels` are always there; the rest is left out when unset.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    #[schema(read_only)]
    id: UlidText,
    /// Empty for one that was made in v1 with an empty name.
    #[schema(max_length = 256)]
    name: String,
    #[schema(max_length = 1024)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(required = false)]
    labels: Labels,
    #[schema(read_only)]
    created_at: DateTime,
    #[schema(read_only)]
    updated_at: DateTime,
    /// When it was archived.
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
    key: ResourceKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<FeatureMeterReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_cost: Option<BillingFeatureUnitCost>,
}

impl From<&Known> for Feature {
    fn from(feature: &Known) -> Self {
        let filters = || {
            let shown = feature.filters.iter().map(|(name, filter)| (name.clone(), filter.into()));
            (!feature.filters.is_empty()).then(|| shown.collect())
        };
        let meter = |id: ulid::Ulid| FeatureMeterReference { id: UlidText(id.to_string()), filters: filters() };
        Self {
            id: UlidText(feature.id.to_string()),
            name: feature.name.clone(),
            description: feature.description.clone(),
            labels: Labels::of(Some(&feature.metadata)),
            created_at: feature.created_at.into(),
            updated_at: feature.updated_at.into(),
            deleted_at: feature.archived_at.map(DateTime::from),
            key: ResourceKey(feature.key.clone()),
            meter: feature.meter_id.map(meter),
            unit_cost: feature.unit_cost.as_ref().map(BillingFeatureUnitCost::from),
        }
    }
}
