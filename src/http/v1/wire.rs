//! What several resources of v1 have in common on the wire.

use crate::domain::position::{NotAPosition, Position};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// Free texts by name, the client's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Metadata(pub BTreeMap<String, String>);

/// Notes of the system, by name. None are made yet for what is metered.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Annotations(pub serde_json::Map<String, serde_json::Value>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SortOrder {
    Asc,
    Desc,
}

/// ISO 4217.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, min_length = 3, max_length = 3, pattern = "^[A-Z]{3}$")]
pub struct CurrencyCode(pub String);

/// The id of an entity or a key that its owner chose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IdOrKey(pub String);

impl PartialSchema for IdOrKey {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let id = text().pattern(Some("^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"));
        let key = text().min_length(Some(1)).max_length(Some(256));
        RefOr::T(Schema::AnyOf(AnyOfBuilder::new().item(id).item(key).build()))
    }
}

impl ToSchema for IdOrKey {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ULIDOrExternalKey")
    }
}

/// A ULID as a client wrote it: ids are looked up by these very letters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
pub struct UlidText(pub String);

/// A number in plain decimal notation: no exponent; as weir writes it, no trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(pattern = "^\\-?[0-9]+(\\.[0-9]+)?$")]
pub struct Numeric(pub String);

/// Where a record stands in the log: `0:412`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[0-9]{1,9}:[0-9]{1,18}$")]
pub struct PositionText(pub Position);

impl TryFrom<String> for PositionText {
    type Error = NotAPosition;

    fn try_from(text: String) -> Result<Self, NotAPosition> {
        text.parse().map(Self)
    }
}
