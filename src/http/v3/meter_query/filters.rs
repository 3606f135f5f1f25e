//! Filters on a dimension, in JSON: `{"in": ["a", "b"]}`, `{"or": [{"contains": "gpt"}, …]}`. One operator per object.

use crate::domain::catalog::feature::FeatureFilter;
use crate::domain::metering::query::TextFilter;
use crate::http::v1::filters::{Filter, FilterError, Operator, parts, text, texts};
use crate::http::v3::filter::{contained, containing, pattern_containing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How deep `and` and `or` may be nested.
const DEPTH_MAX: usize = 2;
/// What a dimension has that an event does not.
const MISSING: &str = "";

/// A condition on a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(no_recursion)]
pub struct QueryFilterString {
    #[serde(skip_serializing_if = "Option::is_none")]
    eq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 100)]
    r#in: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 100)]
    nin: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ncontains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10)]
    and: Option<Vec<QueryFilterString>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10)]
    or: Option<Vec<QueryFilterString>>,
}

/// A condition on a dimension, which an event may have or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryFilterStringMapItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 100)]
    r#in: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 100)]
    nin: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ncontains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10)]
    and: Option<Vec<QueryFilterString>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10)]
    or: Option<Vec<QueryFilterString>>,
}

/// Only these values.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    Values(Vec<String>),
    /// No operator is set.
    Nothing,
    /// Another operator is set, or several.
    Unsupported,
}

impl Filter for QueryFilterString {
    type Condition = TextFilter;

    fn operators(self) -> Vec<Operator<Self>> {
        let set = [
            text(self.eq, |text| TextFilter::In(vec![text])),
            text(self.neq, |text| TextFilter::NotIn(vec![text])),
            texts(self.r#in, TextFilter::In),
            texts(self.nin, TextFilter::NotIn),
            text(self.contains, |part| TextFilter::Like(containing(&part, false))),
            text(self.ncontains, |part| TextFilter::NotLike(containing(&part, false))),
            parts(self.and, TextFilter::And),
            parts(self.or, TextFilter::Or),
        ];
        set.into_iter().flatten().collect()
    }
}

impl QueryFilterString {
    /// As a feature keeps it. At most one operator is set.
    fn into_kept(self) -> Option<FeatureFilter> {
        let all = |parts: Vec<Self>| {
            let kept: Vec<FeatureFilter> = parts.into_iter().filter_map(Self::into_kept).collect();
            (!kept.is_empty()).then_some(kept)
        };
        let set = [
            self.eq.map(FeatureFilter::Eq),
            self.neq.map(FeatureFilter::Ne),
            self.r#in.map(FeatureFilter::In),
            self.nin.map(FeatureFilter::NotIn),
            self.contains.map(|part| FeatureFilter::Like(pattern_containing(&part))),
            self.ncontains.map(|part| FeatureFilter::NotLike(pattern_containing(&part))),
            self.and.and_then(all).map(FeatureFilter::And),
            self.or.and_then(all).map(FeatureFilter::Or),
        ];
        set.into_iter().flatten().next()
    }
}

/// What only v1 can say is left out, as clients know it.
impl From<&FeatureFilter> for QueryFilterString {
    fn from(kept: &FeatureFilter) -> Self {
        let all = |parts: &[FeatureFilter]| Some(parts.iter().map(Self::from).collect());
        let none = Self::default();
        match kept.clone() {
            FeatureFilter::Eq(text) => Self { eq: Some(text), ..none },
            FeatureFilter::Ne(text) => Self { neq: Some(text), ..none },
            FeatureFilter::In(texts) => Self { r#in: Some(texts), ..none },
            FeatureFilter::NotIn(texts) => Self { nin: Some(texts), ..none },
            FeatureFilter::Like(pattern) => Self { contains: contained(&pattern), ..none },
            FeatureFilter::NotLike(pattern) => Self { ncontains: contained(&pattern), ..none },
            FeatureFilter::And(parts) => Self { and: all(&parts), ..none },
            FeatureFilter::Or(parts) => Self { or: all(&parts), ..none },
            _ => none,
        }
    }
}

impl From<&FeatureFilter> for QueryFilterStringMapItem {
    fn from(kept: &FeatureFilter) -> Self {
        match kept {
            FeatureFilter::Ne(text) if text == MISSING => Self { exists: Some(true), ..Self::default() },
            FeatureFilter::Eq(text) if text == MISSING => Self { exists: Some(false), ..Self::default() },
            kept => {
                let QueryFilterString { eq, neq, r#in, nin, contains, ncontains, and, or } = kept.into();
                Self { exists: None, eq, neq, r#in, nin, contains, ncontains, and, or }
            }
        }
    }
}

impl QueryFilterStringMapItem {
    /// As a feature keeps it, by the rules of [`QueryFilterStringMapItem::condition`].
    pub fn kept(self) -> Result<Option<FeatureFilter>, FilterError> {
        self.clone().condition()?;
        let (exists, others) = self.parts();
        Ok(match exists {
            None => others.into_kept(),
            Some(true) => Some(FeatureFilter::Ne(MISSING.to_string())),
            Some(false) => Some(FeatureFilter::Eq(MISSING.to_string())),
        })
    }

    /// The condition; `None` when no operator is set, which filters nothing.
    pub fn condition(self) -> Result<Option<TextFilter>, FilterError> {
        let (exists, others) = self.parts();
        let missing = || vec![MISSING.to_string()];
        match exists {
            None => others.read(DEPTH_MAX),
            Some(_) if !others.operators().is_empty() => Err(FilterError::SeveralOperators),
            Some(true) => Ok(Some(TextFilter::NotIn(missing()))),
            Some(false) => Ok(Some(TextFilter::In(missing()))),
        }
    }

    /// The values that `eq` or `in` names.
    pub fn named(self) -> Named {
        let (exists, mut others) = self.parts();
        let one = others.eq.take().map(|value| vec![value]);
        match (one, others.r#in.take()) {
            _ if exists.is_some() || others != QueryFilterString::default() => Named::Unsupported,
            (Some(_), Some(_)) => Named::Unsupported,
            (Some(values), None) | (None, Some(values)) => Named::Values(values),
            (None, None) => Named::Nothing,
        }
    }

    fn parts(self) -> (Option<bool>, QueryFilterString) {
        let Self { exists, eq, neq, r#in, nin, contains, ncontains, and, or } = self;
        (exists, QueryFilterString { eq, neq, r#in, nin, contains, ncontains, and, or })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(json: &str) -> QueryFilterStringMapItem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_operator_accepts_what_it_says() {
        #[rustfmt::skip]
        let table = [
            (r#"{"eq":"m"}"#, "m", "n"),               (r#"{"neq":"m"}"#, "n", "m"),
            (r#"{"in":["a","m"]}"#, "m", "n"),         (r#"{"nin":["a","m"]}"#, "n", "m"),
            (r#"{"contains":"p%"}"#, "up%s", "ups"),   (r#"{"contains":"G"}"#, "aGb", "agb"),
            (r#"{"ncontains":"_"}"#, "ab", "a_b"),     (r#"{"exists":true}"#, "m", ""),
            (r#"{"exists":false}"#, "", "m"),
            (r#"{"and":[{"contains":"a"},{"neq":"ab"}]}"#, "a", "ab"),
            (r#"{"or":[{"eq":"a"},{"and":[{"contains":"b"},{"contains":"c"}]}]}"#, "cb", "b"),
            (r#"{"or":[{},{"eq":"a"}]}"#, "a", "b"),
        ];
        for (json, passes, fails) in table {
            let filter = item(json).condition().unwrap().unwrap();
            assert!(filter.accepts(passes), "{json} takes {passes}");
            assert!(!filter.accepts(fails), "{json} leaves {fails}");
        }
        assert_eq!(item("{}").condition(), Ok(None));
    }

    #[test]
    fn a_feature_keeps_what_a_query_would_ask_and_shows_it_again() {
        #[rustfmt::skip]
        let table = [
            r#"{"eq":"m"}"#, r#"{"neq":"m"}"#, r#"{"in":["a","m"]}"#, r#"{"nin":["a"]}"#, r#"{"contains":"p%_\\"}"#,
            r#"{"ncontains":"_"}"#, r#"{"exists":true}"#, r#"{"exists":false}"#,
            r#"{"or":[{"eq":"a"},{"and":[{"contains":"b"},{"ncontains":"c"}]}]}"#,
        ];
        for json in table {
            let kept = item(json).kept().unwrap().unwrap();
            assert_eq!(Some(kept.text_filter()), item(json).condition().unwrap(), "{json}");
            assert_eq!(QueryFilterStringMapItem::from(&kept), item(json));
            assert_eq!(serde_json::to_string(&QueryFilterStringMapItem::from(&kept)).unwrap(), json);
        }
        assert_eq!(item("{}").kept(), Ok(None));
        assert_eq!(item(r#"{"eq":"a","neq":"b"}"#).kept(), Err(FilterError::SeveralOperators));
    }

    #[test]
    fn what_only_v1_can_say_is_not_shown() {
        use FeatureFilter::*;
        let text = || "a%".to_string();
        for kept in [Like(text()), NotLike("%a_%".into()), LikeInAnyCase(text()), Gt(text()), Lte(text())] {
            assert_eq!(QueryFilterStringMapItem::from(&kept), QueryFilterStringMapItem::default(), "{kept:?}");
        }
        assert_eq!(QueryFilterStringMapItem::from(&Like("%a\\%".into())), QueryFilterStringMapItem::default());
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let deep = r#"{"or":[{"and":[{"or":[{"eq":"a"}]}]}]}"#;
        #[rustfmt::skip]
        let table = [
            (deep, FilterError::TooDeep),                           (r#"{"eq":""}"#, FilterError::EmptyOperand),
            (r#"{"eq":"a","neq":"b"}"#, FilterError::SeveralOperators), (r#"{"in":[""]}"#, FilterError::EmptyOperand),
            (r#"{"exists":true,"eq":"b"}"#, FilterError::SeveralOperators),
        ];
        for (json, error) in table {
            assert_eq!(item(json).condition(), Err(error), "{json}");
        }
    }

    #[test]
    fn values_are_named_by_one_operator_alone() {
        let values = |all: [&str; 2]| Named::Values(all.map(str::to_string).to_vec());
        assert_eq!(item(r#"{"in":["a","b"]}"#).named(), values(["a", "b"]));
        assert_eq!(item(r#"{"eq":"a"}"#).named(), Named::Values(vec!["a".to_string()]));
        assert_eq!(item("{}").named(), Named::Nothing);
        for json in [r#"{"neq":"a"}"#, r#"{"eq":"a","in":["a"]}"#, r#"{"exists":true}"#, r#"{"or":[{"eq":"a"}]}"#] {
            assert_eq!(item(json).named(), Named::Unsupported, "{json}");
        }
    }
}
