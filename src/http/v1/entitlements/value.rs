//! What an entitlement gives at an instant, in both versions.

use crate::domain::entitlement::burndown::Balance;
use crate::domain::quantity::Quantity;
use crate::http::json_number::JsonNumber;
use crate::services::balances::Standing;
use serde::Serialize;
use std::collections::BTreeMap;
use ulid::Ulid;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};

/// The numbers are there for what is metered, `config` for what is static; neither for what gives nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementValue {
    #[schema(read_only)]
    has_access: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, value_type = Option<f64>)]
    balance: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, value_type = Option<f64>)]
    usage: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, value_type = Option<f64>)]
    overage: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, value_type = Option<f64>)]
    total_available_grant_amount: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    config: Option<String>,
}

/// As v1's, and what is left of each grant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementValueV2 {
    #[serde(flatten)]
    value: EntitlementValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = amounts_by_grant)]
    grant_balances: Option<BTreeMap<String, JsonNumber>>,
}

impl From<&Standing> for EntitlementValue {
    fn from(standing: &Standing) -> Self {
        let number =
            |of: fn(&Balance) -> Quantity| standing.metered.as_ref().map(|balance| JsonNumber::from(of(balance)));
        Self {
            has_access: standing.has_access,
            balance: number(|metered| metered.balance),
            usage: number(|metered| metered.usage),
            overage: number(|metered| metered.overage),
            total_available_grant_amount: number(|metered| metered.total_available),
            config: standing.config.clone(),
        }
    }
}

impl From<&Standing> for EntitlementValueV2 {
    fn from(standing: &Standing) -> Self {
        let grants = standing.metered.as_ref().map(|balance| by_grant(&balance.grants));
        Self { value: standing.into(), grant_balances: grants }
    }
}

/// `read_only` has no effect on a map.
pub fn amounts_by_grant() -> RefOr<Schema> {
    let amount =
        ObjectBuilder::new().schema_type(Type::Number).format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)));
    ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(amount)).read_only(true).into()
}

/// Amounts by the id of their grant.
pub fn by_grant(amounts: &[(Ulid, Quantity)]) -> BTreeMap<String, JsonNumber> {
    amounts.iter().map(|(id, amount)| (id.to_string(), JsonNumber::from(*amount))).collect()
}
