//! The OpenAPI documents, made from the handlers and the types they take and answer.
//!
//! What `utoipa` cannot say is put right here, by rules: an optional member may be absent but not null, save for those
//! in `NULLABLE`; an object in a query that is not written member by member is JSON text; a whole number has no width.

pub mod problems;
mod v1;
mod v3;

use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;

/// The format of a query parameter whose text is JSON.
const IN_JSON: &str = "application/json";

/// The document of `/api/v1` and `/api/v2`.
pub fn v1() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&v1::Document::openapi(), v1::NULLABLE, None));
    &DOCUMENT
}

/// The document of `/api/v3`; its paths are relative to that.
pub fn v3() -> &'static Value {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| document(&v3::Document::openapi(), v3::NULLABLE, Some("/api/v3")));
    &DOCUMENT
}

/// A document as YAML.
pub fn yaml(document: &Value) -> String {
    serde_saphyr::to_string(document).expect("a document is plain data")
}

fn document(openapi: &utoipa::openapi::OpenApi, nullable: &[(&str, &str)], server: Option<&str>) -> Value {
    let mut document = serde_json::to_value(openapi).expect("a document is plain data");
    document["info"] = json!({"title": "weir", "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}});
    if let Some(url) = server {
        document["servers"] = json!([{"url": url}]);
    }
    for (name, schema) in members(&mut document["components"]["schemas"]) {
        settle(schema, &|property| nullable.contains(&(name, property)));
    }
    for (_, item) in members(&mut document["paths"]) {
        for (_, operation) in members(item) {
            operation["parameters"].as_array_mut().into_iter().flatten().for_each(in_json);
            if operation["parameters"].is_null() {
                operation.as_object_mut().expect("an operation is an object").remove("parameters");
            }
        }
    }
    document
}

/// Members of a named schema, however deep, that are not marked as nullable lose their null; widths are left out.
fn settle(schema: &mut Value, is_nullable: &dyn Fn(&str) -> bool) {
    if !schema.is_object() {
        return;
    }
    if schema["type"] == "integer" && matches!(schema["format"].as_str(), Some("int32" | "int64")) {
        schema.as_object_mut().expect("it has a type").remove("format");
    }
    for (property, schema) in members(&mut schema["properties"]) {
        if !is_nullable(property) {
            without_null(schema);
        }
        settle(schema, &|_| false);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        schema[key].as_array_mut().into_iter().flatten().for_each(|part| settle(part, is_nullable));
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            settle(&mut schema[key], &|_| false);
        }
    }
    // What is said of a list is put on its elements.
    if let Some(read_only) = schema["items"].as_object_mut().and_then(|items| items.remove("readOnly")) {
        schema["readOnly"] = read_only;
    }
    // Every name is a text.
    if schema["propertyNames"]["type"] == "string" {
        schema.as_object_mut().expect("it has members").remove("propertyNames");
    }
    // Whatever it is: the library does not read back a schema that says nothing.
    if schema["additionalProperties"].as_object().is_some_and(Map::is_empty) {
        schema["additionalProperties"] = true.into();
    }
    drop_missing(schema, &["type", "format", "properties", "allOf", "anyOf", "oneOf", "items", "additionalProperties"]);
}

/// Looking at a member that is missing makes a null of it.
fn drop_missing(schema: &mut Value, keys: &[&str]) {
    if let Some(schema) = schema.as_object_mut() {
        schema.retain(|key, value| !(value.is_null() && keys.contains(&key.as_str())));
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let members: Option<&mut Map<String, Value>> = value.as_object_mut();
    members.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// An `Option` is shown as a type or null; here it says that the member may be absent.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array_mut() {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if schema["type"].is_null() {
        schema.as_object_mut().map(|schema| schema.remove("type"));
    }
    let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    choices.retain(|choice| choice["type"] != "null");
    if choices.len() == 1 {
        let only = choices.remove(0);
        let schema = schema.as_object_mut().expect("it has oneOf");
        schema.remove("oneOf");
        schema.extend(only.as_object().cloned().unwrap_or_default());
    }
}

/// An object in a query that is not written member by member is written as JSON.
fn in_json(parameter: &mut Value) {
    settle(&mut parameter["schema"], &|_| false);
    let Some(parameter) = parameter.as_object_mut() else { return };
    if parameter["in"] == "query" && parameter["schema"]["type"] == "object" && parameter.get("style").is_none() {
        let mut schema = parameter.remove("schema").unwrap_or_default();
        schema["format"] = IN_JSON.into();
        parameter.insert("content".to_string(), json!({"application/json": {"schema": schema}}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_be_null_is_there() {
        for (document, nullable) in [(v1(), v1::NULLABLE), (v3(), v3::NULLABLE)] {
            for (schema, property) in nullable {
                let property_schema = &document["components"]["schemas"][schema]["properties"][property];
                assert!(property_schema.is_object(), "{schema}.{property} is in no document any more");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, into: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    into.extend(members.get("$ref").and_then(Value::as_str).map(str::to_string));
                    members.values().for_each(|value| references(value, into));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, into)),
                _ => {}
            }
        }
        for document in [v1(), v3()] {
            let mut found = Vec::new();
            references(document, &mut found);
            assert!(!found.is_empty());
            for reference in found {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
        }
    }

    #[test]
    fn the_documents_can_be_had_as_yaml() {
        for document in [v1(), v3()] {
            let back: Value = serde_saphyr::from_str(&yaml(document)).unwrap();
            assert_eq!(back["paths"].as_object().unwrap().len(), document["paths"].as_object().unwrap().len());
        }
    }
}
