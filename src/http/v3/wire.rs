//! What several resources of v3 have in common on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::http::v1::wire::Numeric;

/// An id, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ULID, pattern = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
pub struct UlidText(pub String);

/// A name for programs, unique among what is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9]+(?:_[a-z0-9]+)*$")]
pub struct ResourceKey(pub String);
