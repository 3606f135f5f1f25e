//! From a URL's texts to values, as the document says: `limit=7` is a number, `subject=a&subject=b` a list,
//! `page[size]=5` an object.

use super::Dialect;
use super::judge::Violation;
use super::operation::{Operation, Parameter, Place, Shape};
use crate::domain::time::Instant;
use crate::http::problem::{InvalidParameter, Problem};
use crate::http::query_string::{QueryString, path_parameter};
use actix_web::HttpRequest;
use serde_json::{Map, Value};

/// A text that is not what its parameter takes: which, and why.
struct Misfit {
    field: String,
    reason: String,
}

/// Every declared parameter that was sent, by name, judged.
pub fn bind(
    operation: &Operation,
    request: &HttpRequest,
    query: &QueryString,
    dialect: Dialect,
) -> Result<Map<String, Value>, Problem> {
    let mut bound = Map::new();
    for parameter in &operation.parameters {
        let value = match parameter.place {
            Place::Path => Some(Value::String(path_parameter(request, &parameter.name)?)),
            Place::Query => value_of(parameter, query).map_err(|misfit| told(parameter, misfit, dialect))?,
        };
        match value {
            Some(value) => _ = bound.insert(parameter.name.clone(), value),
            None if parameter.required => return Err(missing(parameter, dialect)),
            None => {}
        }
    }
    judge(operation, &bound, dialect)?;
    Ok(bound)
}

fn value_of(parameter: &Parameter, query: &QueryString) -> Result<Option<Value>, Misfit> {
    let name = parameter.name.as_str();
    match &parameter.shape {
        Shape::Own => Ok(None),
        Shape::Texts => {
            let texts: Vec<Value> = query.all(name).map(|text| Value::String(text.to_string())).collect();
            Ok((!texts.is_empty()).then_some(Value::Array(texts)))
        }
        // Of several date-times the first counts, as clients know it.
        Shape::Time => query.all(name).next().map(|text| scalar(name, text, &Shape::Time)).transpose(),
        Shape::Members { known, others } => members(name, query, known, *others),
        shape => once(name, query.all(name))?.map(|text| scalar(name, text, shape)).transpose(),
    }
}

fn once<'a>(name: &str, mut values: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, Misfit> {
    let first = values.next();
    match values.next() {
        Some(_) => Err(misfit(name, format!("multiple values for single value parameter '{name}'"))),
        None => Ok(first),
    }
}

fn members(name: &str, query: &QueryString, known: &[(String, Shape)], others: bool) -> Result<Option<Value>, Misfit> {
    let mut found = Map::new();
    for (key, text) in query.members(name) {
        let shape = known.iter().find(|(other, _)| other == key).map(|(_, shape)| shape);
        let shape = shape.or(others.then_some(&Shape::Text));
        let shape = shape.ok_or_else(|| misfit(name, format!("unknown member {key:?}")))?;
        let field = format!("{name}.{key}");
        if found.insert(key.to_string(), scalar(&field, text, shape)?).is_some() {
            return Err(misfit(&field, format!("multiple values for '{name}[{key}]'")));
        }
    }
    Ok((!found.is_empty()).then_some(Value::Object(found)))
}

fn scalar(field: &str, text: &str, shape: &Shape) -> Result<Value, Misfit> {
    let refuse = |reason: &str| misfit(field, reason.to_string());
    match shape {
        Shape::Whole => text.parse::<i64>().map(Value::from).map_err(|_| refuse("must be a whole number")),
        Shape::Truth => match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(refuse("must be true or false")),
        },
        Shape::Time => match Instant::parse(text) {
            Ok(_) => Ok(Value::String(text.to_string())),
            Err(error) => Err(refuse(&error.to_string())),
        },
        Shape::Json => serde_json::from_str(text).map_err(|error| refuse(&format!("broken JSON: {error}"))),
        _ => Ok(Value::String(text.to_string())),
    }
}

fn misfit(field: &str, reason: String) -> Misfit {
    Misfit { field: field.to_string(), reason }
}

fn told(parameter: &Parameter, misfit: Misfit, dialect: Dialect) -> Problem {
    let (name, reason) = (&parameter.name, &misfit.reason);
    match (dialect, &parameter.shape) {
        (Dialect::V1, Shape::Json) => Problem::bad_request(format!("unmarshaling param {name}: {reason}")),
        (Dialect::V1, _) => crate::http::query_string::format_fault(name, reason),
        (Dialect::V3, _) => {
            Problem::invalid(vec![InvalidParameter::of(misfit.field, "format", misfit.reason, "query")])
        }
    }
}

fn missing(parameter: &Parameter, dialect: Dialect) -> Problem {
    let name = &parameter.name;
    let reason = "value is required but missing";
    match dialect {
        Dialect::V1 => Problem::parameter(name, "query", reason),
        Dialect::V3 => Problem::invalid(vec![InvalidParameter::of(name, "required", reason, "query")]),
    }
}

/// v1 is told the first fault, v3 all; on v3 a path that no entity can have is not found.
fn judge(operation: &Operation, bound: &Map<String, Value>, dialect: Dialect) -> Result<(), Problem> {
    let mut faults = Vec::new();
    for parameter in &operation.parameters {
        let Some(value) = bound.get(&parameter.name) else { continue };
        for violation in parameter.judge.violations(value) {
            match (dialect, parameter.place) {
                (Dialect::V1, place) => {
                    let place = if place == Place::Path { "path" } else { "query" };
                    return Err(Problem::parameter(&parameter.name, place, in_parameter(&violation)));
                }
                (Dialect::V3, Place::Path) => return Err(Problem::no_such_entity()),
                (Dialect::V3, Place::Query) => {
                    let field: Vec<&str> = [parameter.name.as_str()]
                        .into_iter()
                        .chain(violation.path.iter().map(String::as_str))
                        .collect();
                    faults.push(InvalidParameter::from_violation(field.join("."), &violation, "query"));
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

fn in_parameter(violation: &Violation) -> String {
    match violation.path.is_empty() {
        true => violation.reason.clone(),
        false => format!("Error at \"/{}\": {}", violation.path.join("/"), violation.reason),
    }
}
