//! Unions whose kind stands in the member `type`.
//!
//! serde's own way to read them keeps the members in a form of its own first, in which a number has lost its text.
//! Here the kind is read, and then the same text again as that kind.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Tag<K> {
    r#type: K,
}

/// The kind of what is read, and its text.
pub fn kind_and_text<'de, K: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<(K, &'de RawValue), D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?;
    let tag: Tag<K> = read(text)?;
    Ok((tag.r#type, text))
}

/// The text as a value of the kind it has.
pub fn read<T: DeserializeOwned, E: Error>(text: &RawValue) -> Result<T, E> {
    serde_json::from_str(text.get()).map_err(E::custom)
}
