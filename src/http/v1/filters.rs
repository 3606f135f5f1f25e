//! Filters as v1 writes them in JSON: `{"$in": ["a", "b"]}`, `{"$or": [{"$like": "gpt-%"}, …]}`.
//!
//! One operator per object; null is absent; unknown names are left alone. Patterns are SQL's `LIKE`.

use super::wire::UlidText;
use crate::domain::catalog::feature::FeatureFilter;
use crate::domain::metering::query::{Pattern, TextFilter};
use crate::domain::metering::time_filter::TimeFilter;
use crate::http::times::DateTime;
use serde::Deserialize;
use utoipa::ToSchema;

/// Why a filter is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("filter is invalid: multiple operators are set")]
    SeveralOperators,
    #[error("filter complexity exceeds maximum allowed depth")]
    TooDeep,
    /// An empty text cannot be asked for.
    #[error("filter is invalid: format mismatch")]
    EmptyOperand,
}

/// A condition on a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(no_recursion)]
pub struct FilterString {
    #[serde(rename = "$eq")]
    eq: Option<String>,
    #[serde(rename = "$ne")]
    ne: Option<String>,
    #[serde(rename = "$in")]
    is_in: Option<Vec<String>>,
    #[serde(rename = "$nin")]
    nin: Option<Vec<String>>,
    #[serde(rename = "$like")]
    like: Option<String>,
    #[serde(rename = "$nlike")]
    nlike: Option<String>,
    #[serde(rename = "$ilike")]
    ilike: Option<String>,
    #[serde(rename = "$nilike")]
    nilike: Option<String>,
    #[serde(rename = "$gt")]
    gt: Option<String>,
    #[serde(rename = "$gte")]
    gte: Option<String>,
    #[serde(rename = "$lt")]
    lt: Option<String>,
    #[serde(rename = "$lte")]
    lte: Option<String>,
    #[serde(rename = "$and")]
    and: Option<Vec<FilterString>>,
    #[serde(rename = "$or")]
    or: Option<Vec<FilterString>>,
}

/// A condition on an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(no_recursion)]
pub struct FilterTime {
    #[serde(rename = "$gt")]
    #[schema(value_type = Option<String>, format = DateTime)]
    gt: Option<DateTime>,
    #[serde(rename = "$gte")]
    #[schema(value_type = Option<String>, format = DateTime)]
    gte: Option<DateTime>,
    #[serde(rename = "$lt")]
    #[schema(value_type = Option<String>, format = DateTime)]
    lt: Option<DateTime>,
    #[serde(rename = "$lte")]
    #[schema(value_type = Option<String>, format = DateTime)]
    lte: Option<DateTime>,
    #[serde(rename = "$and")]
    and: Option<Vec<FilterTime>>,
    #[serde(rename = "$or")]
    or: Option<Vec<FilterTime>>,
}

/// One of some ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = FilterIDExact)]
pub struct FilterIdExact {
    #[serde(rename = "$in")]
    #[schema(inline)]
    pub is_in: Option<Vec<UlidText>>,
}

/// An operator with its operand: a condition by itself, or parts to be joined to one.
pub enum Operator<F: Filter> {
    Condition(Result<F::Condition, FilterError>),
    Parts(Vec<F>, fn(Vec<F::Condition>) -> F::Condition),
}

/// A filter on the wire.
pub trait Filter: Sized {
    /// What it means.
    type Condition;

    /// The operators that are set.
    fn operators(self) -> Vec<Operator<Self>>;

    /// The condition; `None` when no operator is set, here or in any part: that filters nothing. `$and` and `$or` may
    /// be nested `depth_max` deep.
    fn read(self, depth_max: usize) -> Result<Option<Self::Condition>, FilterError> {
        let mut operators = self.operators();
        let Some(operator) = operators.pop() else { return Ok(None) };
        if !operators.is_empty() {
            return Err(FilterError::SeveralOperators);
        }
        match operator {
            Operator::Condition(condition) => condition.map(Some),
            Operator::Parts(parts, join) => {
                let depth_left = depth_max.checked_sub(1).ok_or(FilterError::TooDeep)?;
                let conditions = parts.into_iter().filter_map(|part| part.read(depth_left).transpose());
                let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
                Ok((!conditions.is_empty()).then(|| join(conditions)))
            }
        }
    }
}

/// An operator whose operand is a text.
pub fn text<F: Filter<Condition = TextFilter>>(
    operand: Option<String>,
    of: fn(String) -> TextFilter,
) -> Option<Operator<F>> {
    operand.map(|text| Operator::Condition(not_empty(text).map(of)))
}

/// An operator whose operand is a list of texts.
pub fn texts<F: Filter<Condition = TextFilter>>(
    operand: Option<Vec<String>>,
    of: fn(Vec<String>) -> TextFilter,
) -> Option<Operator<F>> {
    operand.map(|texts| {
        let texts: Result<Vec<String>, _> = texts.into_iter().map(not_empty).collect();
        Operator::Condition(texts.map(of))
    })
}

/// An operator whose operands are filters.
pub fn parts<F: Filter>(operand: Option<Vec<F>>, join: fn(Vec<F::Condition>) -> F::Condition) -> Option<Operator<F>> {
    operand.map(|parts| Operator::Parts(parts, join))
}

impl Filter for FilterString {
    type Condition = TextFilter;

    fn operators(self) -> Vec<Operator<Self>> {
        let set = [
            text(self.eq, |text| TextFilter::In(vec![text])),
            text(self.ne, |text| TextFilter::NotIn(vec![text])),
            texts(self.is_in, TextFilter::In),
            texts(self.nin, TextFilter::NotIn),
            text(self.like, |text| TextFilter::Like(Pattern::new(&text, false))),
            text(self.nlike, |text| TextFilter::NotLike(Pattern::new(&text, false))),
            text(self.ilike, |text| TextFilter::Like(Pattern::new(&text, true))),
            text(self.nilike, |text| TextFilter::NotLike(Pattern::new(&text, true))),
            text(self.gt, |bound| TextFilter::Above { bound, inclusive: false }),
            text(self.gte, |bound| TextFilter::Above { bound, inclusive: true }),
            text(self.lt, |bound| TextFilter::Below { bound, inclusive: false }),
            text(self.lte, |bound| TextFilter::Below { bound, inclusive: true }),
            parts(self.and, TextFilter::And),
            parts(self.or, TextFilter::Or),
        ];
        set.into_iter().flatten().collect()
    }
}

impl FilterString {
    /// `{"$eq": text}`
    pub fn equal_to(text: String) -> Self {
        Self { eq: Some(text), ..Self::default() }
    }

    /// As a feature keeps it, by the rules of [`Filter::read`].
    pub fn kept(self, depth_max: usize) -> Result<Option<FeatureFilter>, FilterError> {
        self.clone().read(depth_max)?;
        Ok(self.into_kept())
    }

    /// At most one operator is set.
    fn into_kept(self) -> Option<FeatureFilter> {
        let all = |parts: Vec<Self>| {
            let kept: Vec<FeatureFilter> = parts.into_iter().filter_map(Self::into_kept).collect();
            (!kept.is_empty()).then_some(kept)
        };
        let set = [
            self.eq.map(FeatureFilter::Eq),
            self.ne.map(FeatureFilter::Ne),
            self.is_in.map(FeatureFilter::In),
            self.nin.map(FeatureFilter::NotIn),
            self.like.map(FeatureFilter::Like),
            self.nlike.map(FeatureFilter::NotLike),
            self.ilike.map(FeatureFilter::LikeInAnyCase),
            self.nilike.map(FeatureFilter::NotLikeInAnyCase),
            self.gt.map(FeatureFilter::Gt),
            self.gte.map(FeatureFilter::Gte),
            self.lt.map(FeatureFilter::Lt),
            self.lte.map(FeatureFilter::Lte),
            self.and.and_then(all).map(FeatureFilter::And),
            self.or.and_then(all).map(FeatureFilter::Or),
        ];
        set.into_iter().flatten().next()
    }
}

impl Filter for FilterTime {
    type Condition = TimeFilter;

    fn operators(self) -> Vec<Operator<Self>> {
        let above = |operand: Option<DateTime>, inclusive| {
            operand.map(|time| Operator::Condition(Ok(TimeFilter::Above { bound: time.instant, inclusive })))
        };
        let below = |operand: Option<DateTime>, inclusive| {
            operand.map(|time| Operator::Condition(Ok(TimeFilter::Below { bound: time.instant, inclusive })))
        };
        let parts = |operand: Option<Vec<Self>>, join| operand.map(|parts| Operator::Parts(parts, join));
        let set = [
            above(self.gt, false),
            above(self.gte, true),
            below(self.lt, false),
            below(self.lte, true),
            parts(self.and, TimeFilter::And),
            parts(self.or, TimeFilter::Or),
        ];
        set.into_iter().flatten().collect()
    }
}

/// An operand that says something.
pub fn not_empty(operand: String) -> Result<String, FilterError> {
    if operand.is_empty() { Err(FilterError::EmptyOperand) } else { Ok(operand) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Instant;

    fn text_filter(json: &str) -> Result<Option<TextFilter>, FilterError> {
        serde_json::from_str::<FilterString>(json).unwrap().read(2)
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
            (r#"{"$or":[{},{"$eq":"a"}]}"#, "a", "b"), (r#"{"$eq":"m","$ne":null,"$unknown":1}"#, "m", "n"),
        ];
        for (json, passes, fails) in table {
            let filter = text_filter(json).unwrap().unwrap();
            assert!(filter.accepts(passes), "{json} takes {passes}");
            assert!(!filter.accepts(fails), "{json} leaves {fails}");
        }
        for json in ["{}", r#"{"$and":[]}"#, r#"{"$or":[{}]}"#] {
            assert_eq!(text_filter(json), Ok(None), "{json}");
        }
    }

    #[test]
    fn a_feature_keeps_what_a_query_would_ask() {
        for operator in ["$eq", "$ne", "$like", "$nlike", "$ilike", "$nilike", "$gt", "$gte", "$lt", "$lte"] {
            let json =
                format!(r#"{{"$or":[{{}},{{"$and":[{{"{operator}":"m%"}},{{"$in":["M1","m"]}}]}},{{"$and":[]}}]}}"#);
            let filter: FilterString = serde_json::from_str(&json).unwrap();
            let kept = filter.clone().kept(2).unwrap().unwrap();
            assert_eq!(kept.text_filter(), filter.read(2).unwrap().unwrap(), "{json}");
        }
        let nin: FilterString = serde_json::from_str(r#"{"$nin":["a"],"$eq":null}"#).unwrap();
        assert_eq!(nin.kept(0), Ok(Some(FeatureFilter::NotIn(vec!["a".into()]))));
        assert_eq!(FilterString::default().kept(0), Ok(None));
        assert_eq!(FilterString::equal_to(String::new()).kept(0), Err(FilterError::EmptyOperand));
    }

    #[test]
    fn every_operator_on_instants_accepts_what_it_says() {
        let at = |day: u32| format!("2025-03-0{day}T00:00:00Z");
        let instant = |day| Instant::parse(&at(day)).unwrap();
        #[rustfmt::skip]
        let table = [
            (format!(r#"{{"$gt":"{}"}}"#, at(2)), [false, false, true]), (format!(r#"{{"$gte":"{}"}}"#, at(2)), [false, true, true]),
            (format!(r#"{{"$lt":"{}"}}"#, at(2)), [true, false, false]), (format!(r#"{{"$lte":"{}"}}"#, at(2)), [true, true, false]),
            (format!(r#"{{"$and":[{{"$gt":"{}"}},{{"$lt":"{}"}}]}}"#, at(1), at(3)), [false, true, false]),
            (format!(r#"{{"$or":[{{"$lte":"{}"}},{{"$gte":"{}"}}]}}"#, at(1), at(3)), [true, false, true]),
        ];
        for (json, passes) in table {
            let filter = serde_json::from_str::<FilterTime>(&json).unwrap().read(1).unwrap().unwrap();
            assert_eq!([1, 2, 3].map(|day| filter.accepts(instant(day))), passes, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let deep = r#"{"$or":[{"$or":[{"$or":[{"$eq":"a"}]}]}]}"#;
        assert_eq!(text_filter(deep), Err(FilterError::TooDeep));
        assert_eq!(text_filter(r#"{"$eq":"a","$ne":"b"}"#), Err(FilterError::SeveralOperators));
        for json in [r#"{"$eq":""}"#, r#"{"$in":["a",""]}"#, r#"{"$and":[{"$like":""}]}"#] {
            assert_eq!(text_filter(json), Err(FilterError::EmptyOperand), "{json}");
        }
    }
}
