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

/// What a client asks for when it updates a meter. Everything else about a meter stays as it was created.
#[derive(Debug, Clone, PartialEq)]
pub struct MeterChanges {
    /// Absent: the slug again.
    pub name: Option<String>,
    /// Absent: kept. A description can be changed, not cleared.
    pub description: Option<String>,
    /// Absent: cleared.
    pub metadata: Option<BTreeMap<String, String>>,
    /// All dimensions from now on; empty: none.
    pub group_by: BTreeMap<String, String>,
}

/// Why a meter is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeterRefusal {
    /// The code that v3 shows, for the refusals that have one.
    pub code: Option<&'static str>,
    /// The wire name (v1); with a code, the path that v3 shows beside it.
    pub field: String,
    /// The text a v1 client sees after `validation error: `.
    pub message: String,
}

impl MeterRefusal {
    pub(super) fn of(field: &str, message: impl Into<String>) -> Self {
        Self { code: None, field: field.to_owned(), message: message.into() }
    }
}

impl MeterDraft {
    /// All rules of a v1 create, in the order of the reference: what the API's description bounds, then the paths,
    /// then how they go together; then the meter. Its instants are cut to microseconds.
    pub fn check(self, namespace: &str, id: Ulid, version: Ulid, now: Instant) -> Result<Meter, MeterRefusal> {
        check_texts("eventType", [&self.event_type])?;
        check_texts("valueProperty", &self.value_property)?;
        check_mutable_texts(&self.name, &self.description, &self.metadata, &self.group_by)?;
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
            event_from: self.event_from.map(Instant::floor_to_micros),
            value_property: self.value_property,
            group_by: self.group_by,
            metadata: self.metadata,
            created_at: now.floor_to_micros(),
            updated_at: now.floor_to_micros(),
        })
    }
}

impl MeterChanges {
    /// The meter from now on. Other dimensions make it another version, `version`: what it counted under the old ones
    /// cannot be told apart by the new ones. Any other change leaves the version as it is.
    pub fn apply(self, meter: &Meter, version: Ulid, now: Instant) -> Result<Meter, MeterRefusal> {
        check_mutable_texts(&self.name, &self.description, &self.metadata, &self.group_by)?;
        let name = self.name.unwrap_or_else(|| meter.slug.clone());
        check_name(&name)?;
        check_description(self.description.as_deref())?;
        check_group_by(&self.group_by, meter.value_property.as_deref())?;
        Ok(Meter {
            version: if self.group_by == meter.group_by { meter.version } else { version },
            name,
            description: self.description.or_else(|| meter.description.clone()),
            metadata: self.metadata,
            group_by: self.group_by,
            updated_at: now.floor_to_micros(),
            ..meter.clone()
        })
    }
}

/// No dimension may have a name that the caller's API gives another meaning.
pub fn check_reserved(group_by: &BTreeMap<String, String>, reserved: &[&str]) -> Result<(), MeterRefusal> {
    match group_by.keys().find(|name| reserved.contains(&name.as_str())) {
        Some(name) => Err(MeterRefusal {
            code: Some("reserved_dimension"),
            field: format!("$.dimensions.{name}"),
            message: format!("the dimension name {name} is reserved"),
        }),
        None => Ok(()),
    }
}

fn check_mutable_texts(
    name: &Option<String>,
    description: &Option<String>,
    metadata: &Option<BTreeMap<String, String>>,
    group_by: &BTreeMap<String, String>,
) -> Result<(), MeterRefusal> {
    check_texts("name", name)?;
    check_texts("description", description)?;
    check_texts("metadata", metadata.iter().flatten().flat_map(|(key, value)| [key, value]))?;
    check_texts("groupBy", group_by.iter().flat_map(|(name, path)| [name, path]))
}

/// Business records hold every character but this one.
fn check_texts<'a>(field: &str, texts: impl IntoIterator<Item = &'a String>) -> Result<(), MeterRefusal> {
    match texts.into_iter().any(|text| text.contains('\0')) {
        true => Err(MeterRefusal::of(field, format!("{field} must not contain the character U+0000"))),
        false => Ok(()),
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
        draft.check("default", Ulid::nil(), Ulid::nil(), Instant::from_nanos(5_999))
    }

    #[test]
    fn a_meter_without_a_name_is_named_by_its_slug() {
        let meter = check(draft()).unwrap();
        assert_eq!((meter.name.as_str(), meter.namespace.as_str()), ("job_seconds", "default"));
        assert_eq!((meter.created_at, meter.updated_at), (Instant::from_nanos(5_000), Instant::from_nanos(5_000)));
        assert_eq!(check(MeterDraft { name: Some("Jobs".into()), ..draft() }).unwrap().name, "Jobs");
    }

    #[test]
    fn every_rule_has_its_text() {
        type Change = fn(&mut MeterDraft);
        fn group(draft: &mut MeterDraft, name: &str, path: &str) {
            draft.group_by = BTreeMap::from([(name.into(), path.into())]);
        }
        #[rustfmt::skip]
        let table: [(&str, Change, &str); 25] = [
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
            ("eventType", |d| d.event_type = "a\0".into(), "eventType must not contain the character U+0000"),
            ("metadata", |d| d.metadata = Some(BTreeMap::from([("\0".into(), "x".into())])), "metadata must not contain the character U+0000"),
            ("groupBy", |d| group(d, "region", "$['\0']"), "groupBy must not contain the character U+0000"),
            // The paths are looked at before how they go together.
            ("groupBy", |d| { d.value_property = None; group(d, "region", "region") }, "invalid JSONPath for region group by: a path starts with $ (at character 0)"),
        ];
        for (field, change, message) in table {
            let mut draft = draft();
            change(&mut draft);
            assert_eq!(check(draft), Err(MeterRefusal::of(field, message)));
        }
    }

    #[test]
    fn event_from_is_cut_to_the_microsecond_before() {
        let meter = check(MeterDraft { event_from: Some(Instant::from_nanos(-1)), ..draft() }).unwrap();
        assert_eq!(meter.event_from, Some(Instant::from_nanos(-1_000)));
    }

    fn changes() -> MeterChanges {
        MeterChanges { name: None, description: None, metadata: None, group_by: draft().group_by }
    }

    fn apply(meter: &Meter, changes: MeterChanges) -> Result<Meter, MeterRefusal> {
        changes.apply(meter, Ulid(9), Instant::from_nanos(77_777))
    }

    #[test]
    fn an_update_resets_the_name_keeps_the_description_and_clears_the_rest() {
        let labels = BTreeMap::from([("team".to_string(), "core".to_string())]);
        let described = MeterDraft {
            name: Some("Jobs".into()),
            description: Some("Seconds of jobs".into()),
            metadata: Some(labels.clone()),
            ..draft()
        };
        let meter = check(described).unwrap();
        let bare = apply(&meter, MeterChanges { group_by: BTreeMap::new(), ..changes() }).unwrap();
        assert_eq!((bare.name.as_str(), bare.description.as_deref()), ("job_seconds", Some("Seconds of jobs")));
        assert_eq!((bare.metadata, bare.group_by.len()), (None, 0));
        assert_eq!((bare.created_at, bare.updated_at), (meter.created_at, Instant::from_nanos(77_000)));
        let full = MeterChanges {
            name: Some("Work".into()),
            description: Some("Work done".into()),
            metadata: Some(labels.clone()),
            ..changes()
        };
        let full = apply(&meter, full).unwrap();
        assert_eq!((full.name.as_str(), full.description.as_deref()), ("Work", Some("Work done")));
        assert_eq!(full.metadata, Some(labels));
    }

    #[test]
    fn only_other_dimensions_make_another_version() {
        let meter = check(draft()).unwrap();
        let renamed = MeterChanges { name: Some("Jobs".into()), description: Some("d".into()), ..changes() };
        assert_eq!(apply(&meter, renamed).unwrap().version, meter.version);
        for group_by in [BTreeMap::new(), BTreeMap::from([("region".into(), "$.zone".into())])] {
            let other = apply(&meter, MeterChanges { group_by: group_by.clone(), ..changes() }).unwrap();
            assert_eq!((other.version, other.id, other.group_by), (Ulid(9), meter.id, group_by));
        }
    }

    #[test]
    fn an_update_has_the_rules_of_a_create_without_its_prefix() {
        let meter = check(draft()).unwrap();
        let group = |name: &str, path: &str| BTreeMap::from([(name.to_string(), path.to_string())]);
        #[rustfmt::skip]
        let table = [
            ("name", MeterChanges { name: Some(String::new()), ..changes() }, "name must have 1 to 256 characters"),
            ("description", MeterChanges { description: Some(String::new()), ..changes() }, "description must not be empty string"),
            ("description", MeterChanges { description: Some("\0".into()), ..changes() }, "description must not contain the character U+0000"),
            ("groupBy", MeterChanges { group_by: group("region", "region"), ..changes() }, "invalid JSONPath for region group by: a path starts with $ (at character 0)"),
            ("groupBy", MeterChanges { group_by: group("1st", "$.x"), ..changes() }, "meter group by key 1st is invalid, only alphanumeric and underscore characters are allowed"),
            ("groupBy", MeterChanges { group_by: group("s", "$.seconds"), ..changes() }, "meter group by value s cannot be the same as value property"),
        ];
        for (field, changes, message) in table {
            assert_eq!(apply(&meter, changes), Err(MeterRefusal::of(field, message)));
        }
    }

    #[test]
    fn a_reserved_dimension_is_refused_with_its_code() {
        let group_by = BTreeMap::from([("region".into(), "$.region".into()), ("subject".into(), "$.who".into())]);
        assert_eq!(check_reserved(&group_by, &[]), Ok(()));
        assert_eq!(check_reserved(&draft().group_by, &["subject", "customer_id"]), Ok(()));
        let refusal = check_reserved(&group_by, &["subject", "customer_id"]).unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_str()), (Some("reserved_dimension"), "$.dimensions.subject"));
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
