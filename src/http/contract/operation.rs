//! One operation of the document: its parameters and its body.

use super::judge::Judge;
use jsonschema::Registry;
use serde_json::Value;

/// What an operation takes.
pub struct Operation {
    pub parameters: Vec<Parameter>,
    /// The body that is `application/json`, where there is one.
    pub body: Option<BodyRule>,
}

/// A JSON body's rules.
pub struct BodyRule {
    /// The schema's name, as v1 clients are told.
    pub schema: String,
    pub judge: Judge,
}

/// A parameter in the path or the query.
pub struct Parameter {
    pub name: String,
    pub place: Place,
    pub required: bool,
    pub shape: Shape,
    pub judge: Judge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
}

/// How a parameter's text becomes a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Text,
    Whole,
    Truth,
    Time,
    /// The parameter is repeated.
    Texts,
    /// `name[key]=value`: the keys with a shape of their own, and whether others are taken as texts.
    Members {
        known: Vec<(String, Shape)>,
        others: bool,
    },
    /// JSON text.
    Json,
    /// A grammar of its own, read by the handler.
    Own,
}

impl Operation {
    pub fn of(operation: &Value, registry: &Registry<'_>) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let body = operation["requestBody"]["content"]["application/json"].get("schema");
        Self {
            parameters: parameters.map(|parameter| Parameter::of(parameter, registry)).collect(),
            body: body.map(|schema| BodyRule { schema: schema_name(schema), judge: Judge::of(schema, registry) }),
        }
    }
}

/// The last part of a reference; of a list, its elements'.
fn schema_name(schema: &Value) -> String {
    let of = schema.get("$ref").or_else(|| schema.pointer("/items/$ref"));
    let reference = of.and_then(Value::as_str).unwrap_or_default();
    reference.rsplit('/').next().unwrap_or_default().to_string()
}

impl Parameter {
    fn of(parameter: &Value, registry: &Registry<'_>) -> Self {
        let text = |key: &str| parameter[key].as_str().unwrap_or_default();
        let in_json = parameter.pointer("/content/application~1json/schema");
        let schema = in_json.unwrap_or(&parameter["schema"]);
        let shape = match (in_json, text("style")) {
            (Some(_), _) => Shape::Json,
            (None, "deepObject") => members(schema),
            (None, _) => shape(schema),
        };
        Self {
            name: text("name").to_string(),
            place: if text("in") == "path" { Place::Path } else { Place::Query },
            required: parameter["required"].as_bool().unwrap_or(false),
            shape,
            judge: Judge::of(schema, registry),
        }
    }
}

fn shape(schema: &Value) -> Shape {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => Shape::Whole,
        (Some("boolean"), _) => Shape::Truth,
        (Some("array"), _) => Shape::Texts,
        (_, Some("date-time")) => Shape::Time,
        _ => Shape::Text,
    }
}

/// An object of plain members; one behind a reference has a grammar of its own.
fn members(schema: &Value) -> Shape {
    if schema.get("$ref").is_some() {
        return Shape::Own;
    }
    let known = schema["properties"].as_object().into_iter().flatten();
    let known = known.map(|(name, schema)| (name.clone(), shape(schema))).collect();
    Shape::Members { known, others: schema["additionalProperties"].is_object() }
}
