//! Filters on text, as v1 writes them in JSON: `{"$in": ["a", "b"]}`, `{"$or": [{"$like": "gpt-%"}, …]}`.
//!
//! One operator per object; null is absent; unknown names are left alone. Patterns are SQL's `LIKE`.

use crate::domain::metering::query::{Pattern, TextFilter};
use serde_json::{Map, Value};

/// Why a filter is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not the shape of a filter at all.
    #[error("{operator}: {expected}")]
    Shape { operator: String, expected: &'static str },
    #[error("filter complexity exceeds maximum allowed depth")]
    TooDeep,
    #[error("filter is invalid: multiple operators are set")]
    SeveralOperators,
    /// An empty text cannot be asked for.
    #[error("filter is invalid: format mismatch")]
    EmptyOperand,
}

const OPERATORS: [&str; 14] =
    ["$eq", "$ne", "$in", "$nin", "$like", "$nlike", "$ilike", "$nilike", "$gt", "$gte", "$lt", "$lte", "$and", "$or"];

/// Reads one filter; `None` when no operator is set, which filters nothing.
pub fn read(filter: &Value, depth_max: usize) -> Result<Option<TextFilter>, FilterError> {
    let Value::Object(members) = filter else {
        return Err(FilterError::Shape { operator: "filter".to_string(), expected: "value must be an object" });
    };
    let mut set = OPERATORS.into_iter().filter_map(|operator| Some((operator, given(members, operator)?)));
    let Some((operator, operand)) = set.next() else { return Ok(None) };
    if set.next().is_some() {
        return Err(FilterError::SeveralOperators);
    }
    match operator {
        "$and" => all(operator, operand, depth_max).map(TextFilter::And).map(Some),
        "$or" => all(operator, operand, depth_max).map(TextFilter::Or).map(Some),
        "$in" => texts(operator, operand).map(TextFilter::In).map(Some),
        "$nin" => texts(operator, operand).map(TextFilter::NotIn).map(Some),
        _ => text(operator, operand).map(|text| Some(comparison(operator, text))),
    }
}

fn given<'a>(members: &'a Map<String, Value>, operator: &str) -> Option<&'a Value> {
    members.get(operator).filter(|operand| !operand.is_null())
}

fn comparison(operator: &str, text: String) -> TextFilter {
    match operator {
        "$eq" => TextFilter::In(vec![text]),
        "$ne" => TextFilter::NotIn(vec![text]),
        "$like" => TextFilter::Like(Pattern::new(&text, false)),
        "$nlike" => TextFilter::NotLike(Pattern::new(&text, false)),
        "$ilike" => TextFilter::Like(Pattern::new(&text, true)),
        "$nilike" => TextFilter::NotLike(Pattern::new(&text, true)),
        "$gt" => TextFilter::Above { bound: text, inclusive: false },
        "$gte" => TextFilter::Above { bound: text, inclusive: true },
        "$lt" => TextFilter::Below { bound: text, inclusive: false },
        "$lte" => TextFilter::Below { bound: text, inclusive: true },
        other => unreachable!("{other} is not a comparison"),
    }
}

/// The parts of `$and` and `$or`; a part without an operator says nothing.
fn all(operator: &str, operand: &Value, depth_max: usize) -> Result<Vec<TextFilter>, FilterError> {
    let parts = array(operator, operand)?;
    let depth_left = depth_max.checked_sub(1).ok_or(FilterError::TooDeep)?;
    let mut filters = Vec::with_capacity(parts.len());
    for part in parts {
        filters.extend(read(part, depth_left)?);
    }
    Ok(filters)
}

fn texts(operator: &str, operand: &Value) -> Result<Vec<String>, FilterError> {
    array(operator, operand)?.iter().map(|element| text(operator, element)).collect()
}

fn array<'a>(operator: &str, operand: &'a Value) -> Result<&'a Vec<Value>, FilterError> {
    let fault = || FilterError::Shape { operator: operator.to_string(), expected: "value must be an array" };
    operand.as_array().ok_or_else(fault)
}

fn text(operator: &str, operand: &Value) -> Result<String, FilterError> {
    match operand {
        Value::String(text) if text.is_empty() => Err(FilterError::EmptyOperand),
        Value::String(text) => Ok(text.clone()),
        _ => Err(FilterError::Shape { operator: operator.to_string(), expected: "value must be a string" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<Option<TextFilter>, FilterError> {
        read(&serde_json::from_str(json).unwrap(), 2)
    }

    #[test]
    fn every_operator_accepts_what_it_says() {
        #[rustfmt::skip]
        let table = [
            (r#"{"$eq":"m"}"#, "m", "n"), (r#"{"$ne":"m"}"#, "n", "m"), (r#"{"$in":["a","m"]}"#, "m", "n"),
            (r#"{"$nin":["a","m"]}"#, "n", "m"), (r#"{"$like":"m%"}"#, "mx", "Mx"), (r#"{"$nlike":"m%"}"#, "Mx", "mx"),
            (r#"{"$ilike":"m%"}"#, "Mx", "n"), (r#"{"$nilike":"m%"}"#, "n", "Mx"), (r#"{"$gt":"m"}"#, "n", "m"),
            (r#"{"$gte":"m"}"#, "m", "l"), (r#"{"$lt":"m"}"#, "l", "m"), (r#"{"$lte":"m"}"#, "m", "n"),
            (r#"{"$and":[{"$gt":"a"},{"$lt":"c"}]}"#, "b", "c"), (r#"{"$or":[{"$eq":"a"},{"$eq":"c"}]}"#, "c", "b"),
            (r#"{"$eq":"m","$ne":null,"$unknown":1}"#, "m", "n"),
        ];
        for (json, passes, fails) in table {
            let filter = filter(json).unwrap().unwrap();
            assert!(filter.accepts(passes), "{json} takes {passes}");
            assert!(!filter.accepts(fails), "{json} leaves {fails}");
        }
        assert_eq!(filter("{}"), Ok(None));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let deep = r#"{"$or":[{"$or":[{"$or":[{"$eq":"a"}]}]}]}"#;
        assert_eq!(filter(deep), Err(FilterError::TooDeep));
        assert_eq!(filter(r#"{"$eq":"a","$ne":"b"}"#), Err(FilterError::SeveralOperators));
        assert_eq!(filter(r#"{"$eq":""}"#), Err(FilterError::EmptyOperand));
        for json in ["[]", r#"{"$eq":1}"#, r#"{"$in":"a"}"#, r#"{"$in":[1]}"#, r#"{"$and":{}}"#, r#"{"$or":["a"]}"#] {
            assert!(matches!(filter(json), Err(FilterError::Shape { .. })), "{json}");
        }
    }
}
