//! Unit costs: what one counted unit of a feature costs whoever offers it, in US dollars. Not what customers pay.
//!
//! `manual` is an amount: 200 tokens at 0.000003 cost 0.0006. `llm` names a price in the table of language models by
//! provider, model and token type, each fixed or read from a dimension of the meter.

use crate::domain::metering::Meter;
use crate::domain::number::Value;
use serde::{Deserialize, Serialize};

/// What kinds of tokens there are; `request` and `response` are other words for `input` and `output`.
const TOKEN_TYPES: [&str; 7] = ["input", "output", "cache_read", "cache_write", "reasoning", "request", "response"];

/// What one unit costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UnitCost {
    /// Always this, in US dollars.
    Manual {
        #[serde(with = "plain")]
        amount: Value,
    },
    Llm(LlmCost),
}

/// Where the price of a token is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlmCost {
    pub provider: Source,
    pub model: Source,
    pub token_type: Source,
}

/// Where a part of a price's name comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The same for every event.
    Fixed(String),
    /// The value of this dimension.
    Dimension(String),
}

/// Why a unit cost is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitCostRefusal {
    #[error("unit cost: amount is out of range: at most 28 digits after the point, below 2^96 without the point")]
    OutOfRange,
    #[error("unit cost: amount must not be negative")]
    Negative,
    #[error("unit cost: {0} and its property are mutually exclusive")]
    Both(&'static str),
    #[error("unit cost: {0} or its property is required")]
    Neither(&'static str),
    #[error("unit cost: {0} must not contain the character U+0000")]
    Nul(&'static str),
    #[error("unit cost: {0} is not a token type (known: {known})", known = TOKEN_TYPES.join(", "))]
    TokenType(String),
    #[error("unit cost: the llm type requires a meter")]
    NoMeter,
    #[error("unit cost: {part} property {dimension} is not a group by of meter {slug}")]
    UnknownDimension { part: &'static str, dimension: String, slug: String },
}

impl UnitCost {
    /// Always `amount`, in US dollars: decimal digits, not negative.
    pub fn manual(amount: &str) -> Result<Self, UnitCostRefusal> {
        let amount = Value::parse(amount).map_err(|_| UnitCostRefusal::OutOfRange)?;
        if amount.decimal().is_sign_negative() {
            return Err(UnitCostRefusal::Negative);
        }
        Ok(Self::Manual { amount })
    }

    /// The dimensions it is read from.
    pub(super) fn dimensions(&self) -> impl Iterator<Item = &str> {
        let sources = match self {
            Self::Manual { .. } => None,
            Self::Llm(LlmCost { provider, model, token_type }) => Some([provider, model, token_type]),
        };
        sources.into_iter().flatten().filter_map(Source::dimension)
    }

    /// The rules that a unit cost and the feature's meter keep together.
    pub(super) fn check(&self, meter: Option<&Meter>) -> Result<(), UnitCostRefusal> {
        let Self::Llm(cost) = self else { return Ok(()) };
        match &cost.token_type {
            Source::Fixed(token_type) if !TOKEN_TYPES.contains(&token_type.as_str()) => {
                return Err(UnitCostRefusal::TokenType(token_type.clone()));
            }
            _ => {}
        }
        let meter = meter.ok_or(UnitCostRefusal::NoMeter)?;
        let parts = [("provider", &cost.provider), ("model", &cost.model), ("token type", &cost.token_type)];
        parts.into_iter().try_for_each(|(part, source)| source.check(part, meter))
    }
}

impl Source {
    /// Exactly one of the two; an empty text is none.
    pub fn of(part: &'static str, fixed: Option<String>, dimension: Option<String>) -> Result<Self, UnitCostRefusal> {
        let given = |text: &String| !text.is_empty();
        let source = match (fixed.filter(given), dimension.filter(given)) {
            (Some(_), Some(_)) => return Err(UnitCostRefusal::Both(part)),
            (None, None) => return Err(UnitCostRefusal::Neither(part)),
            (Some(text), None) => Self::Fixed(text),
            (None, Some(text)) => Self::Dimension(text),
        };
        let (Self::Fixed(text) | Self::Dimension(text)) = &source;
        if text.contains('\0') { Err(UnitCostRefusal::Nul(part)) } else { Ok(source) }
    }

    /// The text that is the same for every event, where it is.
    pub fn fixed(&self) -> Option<&str> {
        match self {
            Self::Fixed(text) => Some(text),
            Self::Dimension(_) => None,
        }
    }

    /// The dimension it is read from, where it is.
    pub fn dimension(&self) -> Option<&str> {
        match self {
            Self::Fixed(_) => None,
            Self::Dimension(name) => Some(name),
        }
    }

    fn check(&self, part: &'static str, meter: &Meter) -> Result<(), UnitCostRefusal> {
        match self.dimension().filter(|dimension| !meter.group_by.contains_key(*dimension)) {
            None => Ok(()),
            Some(dimension) => {
                let (dimension, slug) = (dimension.to_string(), meter.slug.clone());
                Err(UnitCostRefusal::UnknownDimension { part, dimension, slug })
            }
        }
    }
}

/// An amount as its plain text.
mod plain {
    use crate::domain::number::Value;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(amount: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&amount.to_plain())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Value::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_manual_amount_is_kept_to_the_last_digit_and_shown_plainly() {
        for (sent, plain) in [("0.000003", "0.000003"), ("1.500", "1.5"), ("-0", "0"), ("007", "7")] {
            let UnitCost::Manual { amount } = UnitCost::manual(sent).unwrap() else { panic!("{sent}") };
            assert_eq!(amount.to_plain(), plain, "{sent}");
        }
        assert_eq!(UnitCost::manual("-0.01"), Err(UnitCostRefusal::Negative));
        assert_eq!(UnitCost::manual(&"9".repeat(40)), Err(UnitCostRefusal::OutOfRange));
        assert_eq!(UnitCost::manual(&format!("0.{}1", "0".repeat(28))), Err(UnitCostRefusal::OutOfRange));
    }

    #[test]
    fn a_part_is_fixed_or_read_from_a_dimension() {
        let text = |text: &str| Some(text.to_string());
        assert_eq!(Source::of("model", text("gpt-4"), None), Ok(Source::Fixed("gpt-4".into())));
        assert_eq!(Source::of("model", text(""), text("model")), Ok(Source::Dimension("model".into())));
        assert_eq!(Source::of("model", text("a"), text("b")), Err(UnitCostRefusal::Both("model")));
        assert_eq!(Source::of("model", None, text("")), Err(UnitCostRefusal::Neither("model")));
        assert_eq!(Source::of("model", text("a\0"), None), Err(UnitCostRefusal::Nul("model")));
    }

    proptest! {
        #[test]
        fn a_unit_cost_reads_back_as_it_was_kept(mantissa in 0u128..1 << 96, scale in 0u32..=28, fixed: bool) {
            let digits = format!("{mantissa:029}");
            let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
            let manual = UnitCost::manual(&format!("0{whole}.{fraction}")).unwrap();
            let source = if fixed { Source::Fixed(digits) } else { Source::Dimension(digits) };
            let llm = UnitCost::Llm(LlmCost { provider: source.clone(), model: source.clone(), token_type: source });
            for cost in [manual, llm] {
                let kept = serde_json::to_string(&cost).unwrap();
                prop_assert_eq!(serde_json::from_str::<UnitCost>(&kept).unwrap(), cost, "{}", kept);
            }
        }
    }
}
