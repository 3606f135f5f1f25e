//! What is wrong with a value, by the schema it claims to have.

use super::DOCUMENT;
use crate::domain::time::Instant;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, Registry, ValidationError, Validator};
use serde_json::{Value, json};

/// Most faults told of one value.
const FAULTS_MAX: usize = 100;

/// The rule that a value breaks, as the schema's keyword.
pub type Rule = &'static str;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: the names and indices that lead there; empty: the value itself.
    pub path: Vec<String>,
    pub rule: Rule,
    /// What the rule says, in the words that v1 clients know.
    pub reason: String,
    /// What would have been allowed, where that is a list.
    pub choices: Vec<Value>,
}

/// Judges values of one schema.
pub struct Judge(Validator);

impl Judge {
    /// `schema` stands in the document that `registry` holds, and may refer into it.
    pub fn of(schema: &Value, registry: &Registry<'_>) -> Self {
        let schema = rooted(schema);
        let options = jsonschema::options()
            .with_registry(registry)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_format("date-time", |text: &str| Instant::parse(text).is_ok());
        Self(options.build(&schema).expect("the document's schemas are schemas"))
    }

    /// Everything that is wrong, within a bound; in the order of the schema.
    pub fn violations(&self, value: &Value) -> Vec<Violation> {
        self.0.iter_errors(value).flat_map(|error| Violation::of(&error)).take(FAULTS_MAX).collect()
    }
}

/// References within the document become references to it.
fn rooted(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) if to.starts_with('#') => (key.clone(), json!(format!("{DOCUMENT}{to}"))),
                _ => (key.clone(), rooted(value)),
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(rooted).collect()),
        other => other.clone(),
    }
}

impl Violation {
    fn of(error: &ValidationError<'_>) -> Vec<Self> {
        let at: Vec<String> = error.instance_path().iter().map(|segment| segment.to_string()).collect();
        let below = |name: &str| at.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        let one = |path: Vec<String>, rule, reason: String| vec![Self { path, rule, reason, choices: Vec::new() }];
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                one(below(name), "required", format!("property {name:?} is missing"))
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
                .iter()
                .flat_map(|name| one(below(name), "properties", format!("property {name:?} is unsupported")))
                .collect(),
            ValidationErrorKind::Enum { options } => {
                let reason = format!("value is not one of the allowed values {options}");
                let choices = options.as_array().cloned().unwrap_or_default();
                vec![Self { path: at, rule: "enum", reason, choices }]
            }
            ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context }
                if let Some(branch) = meant(context, at.len()) =>
            {
                branch.iter().flat_map(Self::of).collect()
            }
            kind => {
                let (rule, reason) = rule_and_reason(kind, error);
                one(at, rule, reason)
            }
        }
    }
}

/// What is wrong by the one branch of a union that a value's tag stands for: a member, such as `type`, for which each
/// branch allows other words. `depth`: how deep the union's value lies.
fn meant<'a>(branches: &'a [Vec<ValidationError<'static>>], depth: usize) -> Option<&'a Vec<ValidationError<'static>>> {
    let of_tag = |error: &ValidationError<'_>| {
        let word = matches!(error.kind(), ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. });
        word && error.instance_path().iter().count() == depth + 1
    };
    let mut fitting = branches.iter().filter(|branch| !branch.iter().any(of_tag));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) if branches.len() > 1 => Some(only),
        _ => None,
    }
}

fn rule_and_reason(kind: &ValidationErrorKind, error: &ValidationError<'_>) -> (Rule, String) {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { .. } if error.instance().is_null() => ("nullable", "Value is not nullable".to_string()),
        Kind::Type { kind } => ("type", format!("value must be {}", types(kind))),
        Kind::MinLength { limit } => ("minLength", format!("minimum string length is {limit}")),
        Kind::MaxLength { limit } => ("maxLength", format!("maximum string length is {limit}")),
        Kind::MinItems { limit } => ("minItems", format!("minimum number of items is {limit}")),
        Kind::MaxItems { limit } => ("maxItems", format!("maximum number of items is {limit}")),
        Kind::MinProperties { limit } => ("minProperties", format!("there must be at least {limit} properties")),
        Kind::MaxProperties { limit } => ("maxProperties", format!("there must be at most {limit} properties")),
        Kind::Minimum { limit } => ("minimum", format!("number must be at least {limit}")),
        Kind::Maximum { limit } => ("maximum", format!("number must be at most {limit}")),
        Kind::ExclusiveMinimum { limit } => ("exclusiveMinimum", format!("number must be more than {limit}")),
        Kind::ExclusiveMaximum { limit } => ("exclusiveMaximum", format!("number must be less than {limit}")),
        Kind::Pattern { pattern } => ("pattern", format!("string doesn't match the regular expression {pattern:?}")),
        Kind::Format { format } => ("format", format!("string doesn't match the format {format:?}")),
        Kind::UniqueItems => ("uniqueItems", "duplicate items found".to_string()),
        Kind::AnyOf { .. } => ("anyOf", "value doesn't match any schema from \"anyOf\"".to_string()),
        Kind::OneOfNotValid { .. } => ("oneOf", "value doesn't match any schema from \"oneOf\"".to_string()),
        Kind::OneOfMultipleValid { .. } => ("oneOf", "value matches more than one schema from \"oneOf\"".to_string()),
        _ => ("schema", error.to_string()),
    }
}

/// `a string`, `an integer`, `a string or null`.
fn types(kind: &TypeKind) -> String {
    let name = |of: JsonType| match of {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    };
    match kind {
        TypeKind::Single(of) => name(*of).to_string(),
        // Whether null is allowed as well helps nobody who sent something else again.
        TypeKind::Multiple(all) => {
            let names: Vec<&str> = all.iter().filter(|of| *of != JsonType::Null).map(name).collect();
            names.join(" or ")
        }
    }
}
