//! Numbers on the wire: read from their text and written as plain text, exactly. No float on the way.

use crate::domain::number::{Value, ValueError};
use crate::domain::quantity::Quantity;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON number as its plain text: no exponent, no trailing zeros, no `-0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonNumber(String);

impl JsonNumber {
    /// The number as a value that counts; `None` where it came from a quantity too large for one.
    pub fn value(&self) -> Option<Value> {
        Value::parse(&self.0).ok()
    }

    /// The number as an amount.
    pub fn quantity(&self) -> Quantity {
        Quantity::parse(&self.0).expect("it was a value or a quantity, and every value is a quantity")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Quantity> for JsonNumber {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_plain())
    }
}

impl From<Value> for JsonNumber {
    fn from(value: Value) -> Self {
        Self(value.to_plain())
    }
}

impl Serialize for JsonNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Takes a JSON number only: `"7"` and `null` are refused.
impl<'de> Deserialize<'de> for JsonNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let value = if number { Value::parse(raw.get()) } else { Err(ValueError::NotANumber) };
        value.map(Self::from).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_through_unchanged_but_for_its_spelling() {
        #[rustfmt::skip]
        let table = [
            ("0.1", "0.1"), ("1e2", "100"), ("-0", "0"), ("7.00", "7"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ];
        for (sent, shown) in table {
            let number: JsonNumber = serde_json::from_str(sent).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), shown, "{sent}");
        }
    }

    #[test]
    fn what_is_no_number_or_no_value_is_refused() {
        for text in ["\"7\"", "null", "true", "[1]", "1e400", "1e-30"] {
            assert!(serde_json::from_str::<JsonNumber>(text).is_err(), "{text}");
        }
    }
}
