//! Labels: v3's view of what v1 calls metadata, under stricter rules.

use crate::http::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// Most labels of one entity.
const LABELS_MAX: usize = 50;
/// Longest key, and longest value, in characters.
const LABEL_CHARS_MAX: usize = 63;
const VALUE_PATTERN: &str = "^[a-z0-9A-Z]{1}([a-z0-9A-Z-._]*[a-z0-9A-Z]+)?$";
/// What no key may begin with: names that the system and its kin keep to themselves.
const RESERVED: [&str; 8] = ["_", "kong", "konnect", "insomnia", "mesh", "kic", "kuma", "openmeter"];

/// Texts by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(BTreeMap<String, String>);

/// The rule that a label breaks. Ordered: the first that applies is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KeyFormat,
    ValueFormat,
    KeyPrefix,
}

impl PartialSchema for Labels {
    fn schema() -> RefOr<Schema> {
        let value = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(VALUE_PATTERN))
            .min_length(Some(1))
            .max_length(Some(LABEL_CHARS_MAX));
        let labels = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(value));
        labels.max_properties(Some(LABELS_MAX)).into()
    }
}

impl ToSchema for Labels {}

impl Labels {
    /// As they are kept.
    pub fn check(self) -> Result<BTreeMap<String, String>, Problem> {
        match self.0.iter().find_map(|(key, value)| fault(key, value).map(|fault| (fault, key, value))) {
            Some((fault, key, value)) => Err(told(fault, key, value)),
            None => Ok(self.0),
        }
    }

    /// What can be shown of metadata: v1 sets it under no rules, and v3's clients rely on theirs.
    pub fn of(metadata: Option<&BTreeMap<String, String>>) -> Self {
        let labels = metadata.into_iter().flatten().filter(|(key, value)| fault(key, value).is_none());
        Self(labels.take(LABELS_MAX).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

fn fault(key: &str, value: &str) -> Option<Fault> {
    if !is_label(key) {
        Some(Fault::KeyFormat)
    } else if !is_label(value) {
        Some(Fault::ValueFormat)
    } else {
        RESERVED.iter().any(|reserved| key.starts_with(reserved)).then_some(Fault::KeyPrefix)
    }
}

/// Letters and digits, with single separators between them; each separator has a neighbour of its own on both sides,
/// so `a.bb-c` is a label and `a.b-c` is none.
fn is_label(text: &str) -> bool {
    let words: Vec<&str> = text.split(['.', '_', '-']).collect();
    let ends = words.len() - 1;
    let is_word = |(at, word): (usize, &&str)| {
        let neighbours = usize::from(at > 0) + usize::from(at < ends);
        word.len() >= neighbours.max(1) && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.len() <= LABEL_CHARS_MAX && words.iter().enumerate().all(is_word)
}

fn told(fault: Fault, key: &str, value: &str) -> Problem {
    let (code, message) = match fault {
        Fault::KeyFormat => ("invalid_label_key_format", format!("invalid label key {key:?}")),
        Fault::ValueFormat => ("invalid_label_value_format", format!("invalid value {value:?} of label {key:?}")),
        Fault::KeyPrefix => ("invalid_label_key_prefix", format!("label key {key:?} begins with a reserved prefix")),
    };
    Problem::validation(&message).with_issue(code, "$.labels", &message, [])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_the_rules() {
        let long = "x".repeat(63);
        #[rustfmt::skip]
        let table = [
            ("env", "prod", None),                        ("a.bb-c", "a.bb-c", None),
            (long.as_str(), long.as_str(), None),         ("a_b", "1", None),
            ("", "x", Some(Fault::KeyFormat)),            ("a.b-c", "x", Some(Fault::KeyFormat)),
            ("-a", "x", Some(Fault::KeyFormat)),          ("a.", "x", Some(Fault::KeyFormat)),
            ("a b", "x", Some(Fault::KeyFormat)),         ("é", "x", Some(Fault::KeyFormat)),
            ("a..b", "x", Some(Fault::KeyFormat)),        ("_a", "x", Some(Fault::KeyFormat)),
            ("env", "", Some(Fault::ValueFormat)),        ("env", "a b", Some(Fault::ValueFormat)),
            ("env", "a.b.c", Some(Fault::ValueFormat)),   ("kongs", "x", Some(Fault::KeyPrefix)),
            ("openmeter.a", "x", Some(Fault::KeyPrefix)), ("Kong", "x", None),
        ];
        for (key, value, expected) in table {
            assert_eq!(fault(key, value), expected, "{key}={value}");
        }
        assert_eq!(fault(&"x".repeat(64), "x"), Some(Fault::KeyFormat));
    }

    #[test]
    fn metadata_that_is_no_label_is_not_shown() {
        let mut metadata = BTreeMap::from([("env".to_string(), "two words".to_string())]);
        assert_eq!(Labels::of(Some(&metadata)), Labels::default());
        metadata.extend((0..60).map(|at| (format!("k{at:02}"), "v".to_string())));
        assert_eq!(Labels::of(Some(&metadata)).0.len(), LABELS_MAX);
        assert_eq!(Labels::of(None), Labels::default());
    }
}
