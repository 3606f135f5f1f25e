//! Features: what a customer may use, by the part of a meter that counts as its use.
//!
//! The feature `gpt_4_tokens` is the meter `tokens` where its dimension `model` is `gpt-4`: of 300 tokens, 200 of them
//! with that model, it counts 200. A feature without a meter is only switched on and off. With a unit cost of
//! 0.000003, in US dollars, those 200 cost 0.0006.

use super::unit_cost::{UnitCost, UnitCostRefusal};
use crate::domain::metering::query::{Pattern, TextFilter};
use crate::domain::metering::{Aggregation, Meter};
use crate::domain::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ulid::Ulid;

/// A feature as it is kept. Only its unit cost ever changes; whoever wants another one archives it and takes the key
/// again.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub id: Ulid,
    pub namespace: String,
    /// Unique among those of a namespace that are not archived.
    pub key: String,
    pub name: String,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Absent: its use is not counted.
    pub meter_id: Option<Ulid>,
    /// The slug of that meter, which never changes.
    pub meter_slug: Option<String>,
    /// Dimension → what its value must be for an event to count.
    pub filters: BTreeMap<String, FeatureFilter>,
    pub unit_cost: Option<UnitCost>,
    pub created_at: Instant,
    pub updated_at: Instant,
    /// Absent: live. Archived, it serves what stands on it already, and nothing new.
    pub archived_at: Option<Instant>,
}

/// A condition on the value of a dimension. Serialised as v1 writes it: `{"$in": ["a", "b"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeatureFilter {
    #[serde(rename = "$eq")]
    Eq(String),
    #[serde(rename = "$ne")]
    Ne(String),
    #[serde(rename = "$in")]
    In(Vec<String>),
    #[serde(rename = "$nin")]
    NotIn(Vec<String>),
    /// An SQL `LIKE` pattern, as are the next three.
    #[serde(rename = "$like")]
    Like(String),
    #[serde(rename = "$nlike")]
    NotLike(String),
    /// Without regard to case.
    #[serde(rename = "$ilike")]
    LikeInAnyCase(String),
    #[serde(rename = "$nilike")]
    NotLikeInAnyCase(String),
    /// By byte order, as are the next three.
    #[serde(rename = "$gt")]
    Gt(String),
    #[serde(rename = "$gte")]
    Gte(String),
    #[serde(rename = "$lt")]
    Lt(String),
    #[serde(rename = "$lte")]
    Lte(String),
    #[serde(rename = "$and")]
    And(Vec<FeatureFilter>),
    #[serde(rename = "$or")]
    Or(Vec<FeatureFilter>),
}

impl FeatureFilter {
    /// The same condition as usage queries take it.
    pub fn text_filter(&self) -> TextFilter {
        let all = |parts: &[Self]| parts.iter().map(Self::text_filter).collect();
        let above = |bound: &String, inclusive| TextFilter::Above { bound: bound.clone(), inclusive };
        let below = |bound: &String, inclusive| TextFilter::Below { bound: bound.clone(), inclusive };
        match self {
            Self::Eq(text) => TextFilter::In(vec![text.clone()]),
            Self::Ne(text) => TextFilter::NotIn(vec![text.clone()]),
            Self::In(texts) => TextFilter::In(texts.clone()),
            Self::NotIn(texts) => TextFilter::NotIn(texts.clone()),
            Self::Like(pattern) => TextFilter::Like(Pattern::new(pattern, false)),
            Self::NotLike(pattern) => TextFilter::NotLike(Pattern::new(pattern, false)),
            Self::LikeInAnyCase(pattern) => TextFilter::Like(Pattern::new(pattern, true)),
            Self::NotLikeInAnyCase(pattern) => TextFilter::NotLike(Pattern::new(pattern, true)),
            Self::Gt(bound) => above(bound, false),
            Self::Gte(bound) => above(bound, true),
            Self::Lt(bound) => below(bound, false),
            Self::Lte(bound) => below(bound, true),
            Self::And(parts) => TextFilter::And(all(parts)),
            Self::Or(parts) => TextFilter::Or(all(parts)),
        }
    }

    fn holds_nul(&self) -> bool {
        match self {
            Self::In(texts) | Self::NotIn(texts) => texts.iter().any(|text| text.contains('\0')),
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::holds_nul),
            Self::Eq(text) | Self::Ne(text) => text.contains('\0'),
            Self::Like(text) | Self::NotLike(text) => text.contains('\0'),
            Self::LikeInAnyCase(text) | Self::NotLikeInAnyCase(text) => text.contains('\0'),
            Self::Gt(text) | Self::Gte(text) | Self::Lt(text) | Self::Lte(text) => text.contains('\0'),
        }
    }
}

impl Feature {
    /// The filters as usage queries take them.
    pub fn text_filters(&self) -> BTreeMap<String, TextFilter> {
        self.filters.iter().map(|(dimension, filter)| (dimension.clone(), filter.text_filter())).collect()
    }

    /// Dimension → its value, when each filter asks for exactly one; else nothing. An empty value is that of an event
    /// without the dimension.
    pub fn equalities(&self) -> Option<BTreeMap<String, String>> {
        let one = |(dimension, filter): (&String, &FeatureFilter)| match filter {
            FeatureFilter::Eq(value) => Some((dimension.clone(), value.clone())),
            _ => None,
        };
        self.filters.iter().map(one).collect()
    }

    /// The dimensions it needs its meter to have.
    pub fn dimensions(&self) -> impl Iterator<Item = &str> {
        let of_cost = self.unit_cost.iter().flat_map(UnitCost::dimensions);
        self.filters.keys().map(String::as_str).chain(of_cost)
    }

    /// The feature with this unit cost from now on; `meter` is its meter.
    pub fn with_unit_cost(
        &self,
        unit_cost: Option<UnitCost>,
        meter: Option<&Meter>,
        now: Instant,
    ) -> Result<Self, FeatureRefusal> {
        if let Some(unit_cost) = &unit_cost {
            unit_cost.check(meter)?;
        }
        Ok(Self { unit_cost, updated_at: now.floor_to_micros(), ..self.clone() })
    }
}

/// What a client asks for; checked by [`FeatureDraft::check`].
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureDraft {
    pub key: String,
    pub name: String,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub filters: BTreeMap<String, FeatureFilter>,
    pub unit_cost: Option<UnitCost>,
}

/// Why a feature is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureRefusal {
    #[error("{0} must not contain the character U+0000")]
    Nul(&'static str),
    /// It would be mistaken for an id.
    #[error("feature key {0} must not be a ULID")]
    UlidKey(String),
    #[error(
        "meter {slug} aggregates by {aggregation}, and features can only be created for SUM, COUNT, UNIQUE_COUNT and LATEST"
    )]
    Aggregation { slug: String, aggregation: &'static str },
    #[error("{dimension} is not a group by of meter {slug} (known: {known})")]
    UnknownDimension { dimension: String, slug: String, known: String },
    #[error(transparent)]
    UnitCost(#[from] UnitCostRefusal),
}

impl FeatureDraft {
    /// All rules, then the feature; `meter` is the meter it counts by. Its instants are cut to microseconds.
    pub fn check(
        self,
        namespace: &str,
        id: Ulid,
        meter: Option<&Meter>,
        now: Instant,
    ) -> Result<Feature, FeatureRefusal> {
        self.check_texts()?;
        if is_ulid(&self.key) {
            return Err(FeatureRefusal::UlidKey(self.key));
        }
        if let Some(meter) = meter {
            check_aggregation(meter)?;
            check_dimensions(&self.filters, meter)?;
        }
        if let Some(unit_cost) = &self.unit_cost {
            unit_cost.check(meter)?;
        }
        let now = now.floor_to_micros();
        Ok(Feature {
            id,
            namespace: namespace.to_string(),
            key: self.key,
            name: self.name,
            description: self.description,
            metadata: self.metadata,
            meter_id: meter.map(|meter| meter.id),
            meter_slug: meter.map(|meter| meter.slug.clone()),
            filters: self.filters,
            unit_cost: self.unit_cost,
            created_at: now,
            updated_at: now,
            archived_at: None,
        })
    }

    /// Business records hold every character but one.
    fn check_texts(&self) -> Result<(), FeatureRefusal> {
        let nul = |text: &String| text.contains('\0');
        let pairs = |(key, value): (&String, &String)| nul(key) || nul(value);
        let places = [
            ("key", nul(&self.key)),
            ("name", nul(&self.name)),
            ("description", self.description.as_ref().is_some_and(nul)),
            ("metadata", self.metadata.iter().any(pairs)),
            ("filters", self.filters.iter().any(|(dimension, filter)| nul(dimension) || filter.holds_nul())),
        ];
        match places.into_iter().find(|(_, holds_nul)| *holds_nul) {
            Some((field, _)) => Err(FeatureRefusal::Nul(field)),
            None => Ok(()),
        }
    }
}

fn is_ulid(key: &str) -> bool {
    let upper = key.to_ascii_uppercase();
    Ulid::from_string(&upper).is_ok_and(|id| id.to_string() == upper)
}

/// Entitlements meter what adds up, and levels; an average of two periods is not the sum of their averages.
fn check_aggregation(meter: &Meter) -> Result<(), FeatureRefusal> {
    use Aggregation::*;
    match meter.aggregation {
        Sum | Count | UniqueCount | Latest => Ok(()),
        Avg | Min | Max => {
            let aggregation = meter.aggregation.as_str();
            Err(FeatureRefusal::Aggregation { slug: meter.slug.clone(), aggregation })
        }
    }
}

fn check_dimensions(filters: &BTreeMap<String, FeatureFilter>, meter: &Meter) -> Result<(), FeatureRefusal> {
    match filters.keys().find(|dimension| !meter.group_by.contains_key(*dimension)) {
        None => Ok(()),
        Some(dimension) => {
            let known: Vec<&str> = meter.group_by.keys().map(String::as_str).collect();
            let (dimension, slug, known) = (dimension.clone(), meter.slug.clone(), known.join(", "));
            Err(FeatureRefusal::UnknownDimension { dimension, slug, known })
        }
    }
}

#[cfg(test)]
mod tests;
