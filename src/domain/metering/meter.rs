//! Meters: which events are counted, how, and by what they can be grouped.

use super::path::Path;
use crate::domain::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ulid::Ulid;

/// How readings become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Aggregation {
    Sum,
    Count,
    Avg,
    Min,
    Max,
    UniqueCount,
    Latest,
}

/// Longest slug, in characters.
pub const SLUG_CHARS_MAX: usize = 64;
/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 256;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// Most dimensions of one meter.
pub const GROUP_BY_MAX: usize = 64;
/// Longest path, in characters.
pub const PATH_CHARS_MAX: usize = 1_024;

impl Aggregation {
    pub const ALL: [Aggregation; 7] =
        [Self::Sum, Self::Count, Self::Avg, Self::Min, Self::Max, Self::UniqueCount, Self::Latest];

    /// The wire text of v1; v3 writes it in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "SUM",
            Self::Count => "COUNT",
            Self::Avg => "AVG",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::UniqueCount => "UNIQUE_COUNT",
            Self::Latest => "LATEST",
        }
    }

    /// Reads [`Aggregation::as_str`], exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aggregation| aggregation.as_str() == text)
    }
}

/// One version of a meter. What decides how it counts never changes within a version.
/// Serialised as the log's `meter_live` record holds it; the wire form is the door's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// The meter's id as the API shows it; the same over all versions.
    pub id: Ulid,
    /// This version's own id: what rollups are kept under.
    pub version: Ulid,
    pub namespace: String,
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub aggregation: Aggregation,
    pub event_type: String,
    /// A lower bound under every query: earlier events do not count.
    pub event_from: Option<Instant>,
    /// JSONPath of the value; `None` exactly for COUNT.
    pub value_property: Option<String>,
    /// Dimension name → JSONPath.
    pub group_by: BTreeMap<String, String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub created_at: Instant,
    pub updated_at: Instant,
}

/// What a client asks for when it creates a meter; checked by [`MeterDraft::check`].
#[derive(Debug, Clone, PartialEq)]
pub struct MeterDraft {
    pub slug: String,
    /// Absent: the slug.
    pub name: Option<String>,
    pub description: Option<String>,
    pub aggregation: Aggregation,
    pub event_type: String,
    pub event_from: Option<Instant>,
    pub value_property: Option<String>,
    pub group_by: BTreeMap<String, String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Why a meter is refused. Ordered: the first that applies is reported. `field` is the wire name (v1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeterRefusal {
    pub field: String,
    /// The text a v1 client sees after `validation error: ` (wire-details-metering section 8).
    pub message: String,
}

impl MeterRefusal {
    fn of(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

impl MeterDraft {
    /// All rules of a v1 create, in the order of the reference: what the API's description bounds, then the paths,
    /// then how they go together; then the meter.
    pub fn check(self, namespace: &str, id: Ulid, version: Ulid, now: Instant) -> Result<Meter, MeterRefusal> {
        check_slug(&self.slug)?;
        let name = self.name.unwrap_or_else(|| self.slug.clone());
        check_name(&name)?;
        check_description(self.description.as_deref())?;
        if self.event_type.is_empty() {
            return Err(MeterRefusal::of("eventType", "event type must not be empty"));
        }
        check_value_path(self.value_property.as_deref())?;
        check_group_paths(&self.group_by)?;
        check_value(self.aggregation, self.value_property.as_deref())?;
        check_groups(&self.group_by, self.value_property.as_deref())
            .map_err(|refusal| MeterRefusal { message: format!("invalid meter group by: {refusal}"), ..refusal })?;
        Ok(Meter {
            id,
            version,
            namespace: namespace.to_owned(),
            slug: self.slug,
            name,
            description: self.description,
            aggregation: self.aggregation,
            event_type: self.event_type,
            event_from: self.event_from,
            value_property: self.value_property,
            group_by: self.group_by,
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
        })
    }
}

/// `^[a-z0-9]+(?:_[a-z0-9]+)*$`, 1 to 64 characters.
fn check_slug(slug: &str) -> Result<(), MeterRefusal> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if slug.len() <= SLUG_CHARS_MAX && slug.split('_').all(is_word) {
        return Ok(());
    }
    let rule =
        "slug must have 1 to 64 characters: lower-case letters and digits, in words joined by single underscores";
    Err(MeterRefusal::of("slug", rule))
}

/// A name has 1 to 256 characters.
pub fn check_name(name: &str) -> Result<(), MeterRefusal> {
    if (1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(MeterRefusal::of("name", format!("name must have 1 to {NAME_CHARS_MAX} characters")))
}

/// A description, where there is one, has 1 to 1,024 characters.
pub fn check_description(description: Option<&str>) -> Result<(), MeterRefusal> {
    let refuse = |message: String| Err(MeterRefusal::of("description", message));
    match description.map(|text| text.chars().count()) {
        Some(0) => refuse("description must not be empty string".to_owned()),
        Some(length) if length > DESCRIPTION_CHARS_MAX => {
            refuse(format!("description must have at most {DESCRIPTION_CHARS_MAX} characters"))
        }
        _ => Ok(()),
    }
}

/// The rules for dimensions, as they stand for an update too (a create puts `invalid meter group by: ` in front of
/// the second half): first every path, then names and values.
pub fn check_group_by(group_by: &BTreeMap<String, String>, value_property: Option<&str>) -> Result<(), MeterRefusal> {
    check_group_paths(group_by)?;
    check_groups(group_by, value_property)
}

fn check_value_path(value_property: Option<&str>) -> Result<(), MeterRefusal> {
    match value_property.map(path_fault) {
        Some(Some(fault)) => Err(MeterRefusal::of("valueProperty", format!("invalid JSONPath: {fault}"))),
        _ => Ok(()),
    }
}

fn check_group_paths(group_by: &BTreeMap<String, String>) -> Result<(), MeterRefusal> {
    if group_by.len() > GROUP_BY_MAX {
        return Err(MeterRefusal::of("groupBy", format!("a meter has at most {GROUP_BY_MAX} group bys")));
    }
    for (name, path) in group_by {
        if let Some(fault) = path_fault(path) {
            return Err(MeterRefusal::of("groupBy", format!("invalid JSONPath for {name} group by: {fault}")));
        }
    }
    Ok(())
}

fn path_fault(path: &str) -> Option<String> {
    if path.chars().count() > PATH_CHARS_MAX {
        return Some(format!("a path has at most {PATH_CHARS_MAX} characters"));
    }
    Path::parse(path).err().map(|error| format!("{} (at character {})", error.reason, error.at))
}

/// COUNT takes no value, all others need one.
fn check_value(aggregation: Aggregation, value_property: Option<&str>) -> Result<(), MeterRefusal> {
    let fault = match (aggregation, value_property) {
        (Aggregation::Count, Some(_)) => "is not allowed when the aggregation is count",
        (Aggregation::Count, None) | (_, Some(_)) => return Ok(()),
        (_, None) => "is required when the aggregation is not count",
    };
    let message = format!("invalid meter aggregation: meter value property {fault}");
    Err(MeterRefusal::of("valueProperty", message))
}

/// Names are `^[a-zA-Z_][0-9a-zA-Z_]*$`, and no dimension is the value itself.
fn check_groups(group_by: &BTreeMap<String, String>, value_property: Option<&str>) -> Result<(), MeterRefusal> {
    for (name, path) in group_by {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(word) {
            let rule = "only alphanumeric and underscore characters are allowed";
            return Err(MeterRefusal::of("groupBy", format!("meter group by key {name} is invalid, {rule}")));
        }
        if value_property == Some(path) {
            let message = format!("meter group by value {name} cannot be the same as value property");
            return Err(MeterRefusal::of("groupBy", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft() -> MeterDraft {
        MeterDraft {
            slug: "job_seconds".into(),
            name: None,
            description: None,
            aggregation: Aggregation::Sum,
            event_type: "job".into(),
            event_from: None,
            value_property: Some("$.seconds".into()),
            group_by: BTreeMap::from([("region".into(), "$.region".into())]),
            metadata: None,
        }
    }

    fn check(draft: MeterDraft) -> Result<Meter, MeterRefusal> {
        draft.check("default", Ulid::nil(), Ulid::nil(), Instant::from_nanos(5))
    }

    #[test]
    fn a_meter_without_a_name_is_named_by_its_slug() {
        let meter = check(draft()).unwrap();
        assert_eq!((meter.name.as_str(), meter.namespace.as_str()), ("job_seconds", "default"));
        assert_eq!((meter.created_at, meter.updated_at), (Instant::from_nanos(5), Instant::from_nanos(5)));
        assert_eq!(check(MeterDraft { name: Some("Jobs".into()), ..draft() }).unwrap().name, "Jobs");
    }

    #[test]
    fn every_rule_has_its_text() {
        type Change = fn(&mut MeterDraft);
        fn group(draft: &mut MeterDraft, name: &str, path: &str) {
            draft.group_by = BTreeMap::from([(name.into(), path.into())]);
        }
        #[rustfmt::skip]
        let table: [(&str, Change, &str); 22] = [
            ("slug", |d| d.slug = String::new(), "slug must have 1 to 64 characters: lower-case letters and digits, in words joined by single underscores"),
            ("slug", |d| d.slug = "Job".into(),  "slug must have 1 to 64 characters: lower-case letters and digits, in words joined by single underscores"),
            ("slug", |d| d.slug = "a__b".into(), "slug must have 1 to 64 characters: lower-case letters and digits, in words joined by single underscores"),
            ("slug", |d| d.slug = "a".repeat(65), "slug must have 1 to 64 characters: lower-case letters and digits, in words joined by single underscores"),
            ("name", |d| d.name = Some(String::new()), "name must have 1 to 256 characters"),
            ("name", |d| d.name = Some("é".repeat(257)), "name must have 1 to 256 characters"),
            ("description", |d| d.description = Some(String::new()), "description must not be empty string"),
            ("description", |d| d.description = Some("é".repeat(1_025)), "description must have at most 1024 characters"),
            ("eventType", |d| d.event_type = String::new(), "event type must not be empty"),
            ("valueProperty", |d| d.value_property = None, "invalid meter aggregation: meter value property is required when the aggregation is not count"),
            ("valueProperty", |d| d.aggregation = Aggregation::Count, "invalid meter aggregation: meter value property is not allowed when the aggregation is count"),
            ("valueProperty", |d| d.value_property = Some("seconds".into()), "invalid JSONPath: a path starts with $ (at character 0)"),
            ("valueProperty", |d| d.value_property = Some("$.a[".into()), "invalid JSONPath: expected a quoted name or an index within [ ] (at character 4)"),
            ("valueProperty", |d| d.value_property = Some(format!("$.{}", "a".repeat(1_023))), "invalid JSONPath: a path has at most 1024 characters"),
            ("groupBy", |d| group(d, "region", "region"), "invalid JSONPath for region group by: a path starts with $ (at character 0)"),
            ("groupBy", |d| group(d, "region", "$..x"), "invalid JSONPath for region group by: a search (..) names many values; a meter reads one (at character 2)"),
            ("groupBy", |d| group(d, "1st", "$.x"), "invalid meter group by: meter group by key 1st is invalid, only alphanumeric and underscore characters are allowed"),
            ("groupBy", |d| group(d, "", "$.x"), "invalid meter group by: meter group by key  is invalid, only alphanumeric and underscore characters are allowed"),
            ("groupBy", |d| group(d, "größe", "$.x"), "invalid meter group by: meter group by key größe is invalid, only alphanumeric and underscore characters are allowed"),
            ("groupBy", |d| group(d, "seconds", "$.seconds"), "invalid meter group by: meter group by value seconds cannot be the same as value property"),
            ("groupBy", |d| d.group_by = (0..65).map(|i| (format!("d{i}"), "$.x".into())).collect(), "a meter has at most 64 group bys"),
            // The paths are looked at before how they go together.
            ("groupBy", |d| { d.value_property = None; group(d, "region", "region") }, "invalid JSONPath for region group by: a path starts with $ (at character 0)"),
        ];
        for (field, change, message) in table {
            let mut draft = draft();
            change(&mut draft);
            let expected = MeterRefusal { field: field.into(), message: message.into() };
            assert_eq!(check(draft), Err(expected));
        }
    }

    #[test]
    fn what_is_just_allowed_is_taken() {
        let count = MeterDraft { aggregation: Aggregation::Count, value_property: None, ..draft() };
        let longest = MeterDraft {
            slug: format!("{}_9", "a".repeat(62)),
            name: Some("é".repeat(256)),
            description: Some("é".repeat(1_024)),
            value_property: Some(format!("$.{}", "é".repeat(1_022))),
            group_by: (0..64).map(|i| (format!("_D{i}"), "$['x y'][0]".into())).collect(),
            ..draft()
        };
        for draft in [count, longest] {
            assert!(check(draft.clone()).is_ok(), "{draft:?}");
        }
    }

    #[test]
    fn an_aggregation_has_one_wire_text() {
        for aggregation in Aggregation::ALL {
            assert_eq!(Aggregation::parse(aggregation.as_str()), Some(aggregation));
            assert_eq!(serde_json::to_value(aggregation).unwrap(), aggregation.as_str());
        }
        assert_eq!(Aggregation::parse("sum"), None);
    }

    proptest! {
        #[test]
        fn a_meter_that_passed_reads_back_from_its_record(draft_name in proptest::option::of(".{0,20}"), slug in "[a-z0-9_]{0,6}", path in "\\$?[.a\\[\\]'0]{0,6}") {
            let draft = MeterDraft { name: draft_name, slug, value_property: Some(path), ..draft() };
            if let Ok(meter) = check(draft) {
                let text = serde_json::to_string(&meter).unwrap();
                prop_assert_eq!(serde_json::from_str::<Meter>(&text).unwrap(), meter);
            }
        }
    }
}
