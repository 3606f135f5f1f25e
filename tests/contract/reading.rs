//! Facts of small documents: what becomes a fact, and that 3.0 and 3.1 say the same.

use crate::facts::{Facts, Owner};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A document with one schema, `It`.
fn schema(it: &Value) -> Value {
    json!({"paths": {}, "components": {"schemas": {"It": it, "Named": {"type": "string", "minLength": 1}}}})
}

/// The lines about `It`, without their owner.
fn lines(it: &Value) -> Vec<String> {
    let table = Facts::of(&schema(it), "").to_tsv();
    let about = table.lines().filter_map(|line| line.strip_prefix("schema It\t"));
    about.map(|line| line.replace('\t', " ").trim_end().to_string()).collect()
}

#[test]
fn a_schema_is_one_line_for_itself_and_one_for_each_property() {
    let it = json!({
        "type": "object", "description": "prose", "title": "It", "x-own": 1, "required": ["id", "tags"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z ]$", "minLength": 1, "maxLength": 64, "readOnly": true, "example": "a"},
            "at": {"type": "string", "format": "date-time"},
            "count": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 9.0, "default": 1},
            "tags": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": ["b", "a"]}},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
            "free": {"type": "object", "additionalProperties": {}},
            "whatever": {},
            "named": {"$ref": "#/components/schemas/Named"},
            "lists": {"type": "array", "items": {"type": "array", "items": {"$ref": "#/components/schemas/Named"}}},
            "inner": {"type": "array", "items": {"type": "object", "required": ["code"],
                "properties": {"code": {"type": "string"}}}},
        }
    });
    let expected = [
        ". object closed",
        ".at string:date-time",
        ".count integer:int64 minimum=0 maximum=9 default=1",
        ".free map<any>",
        ".id string required readOnly minLength=1 maxLength=64 pattern=^[a-z ]$",
        ".inner array<object>",
        ".inner[].code string required",
        ".labels map<string> {}maxLength=63",
        ".lists array<array<Named>>",
        ".named Named",
        ".tags array<string> required minItems=1 []enum=a|b",
        ".whatever any",
    ];
    assert_eq!(lines(&it), expected);
}

#[test]
fn both_versions_of_openapi_say_the_same() {
    let named = json!({"$ref": "#/components/schemas/Named"});
    let pairs = [
        ("null", json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
        ("not null", json!({"type": "string", "nullable": false}), json!({"type": ["string"]})),
        (
            "exclusive",
            json!({"type": "number", "minimum": 0, "exclusiveMinimum": true}),
            json!({"type": "number", "exclusiveMinimum": 0}),
        ),
        ("one value", json!({"type": "string", "enum": ["a"]}), json!({"type": "string", "const": "a"})),
        (
            "null in an enum",
            json!({"type": "string", "nullable": true, "enum": ["a", null]}),
            json!({"type": ["string", "null"], "enum": ["a"]}),
        ),
        (
            "beside a reference",
            json!({"properties": {"p": {"allOf": [named], "type": "string", "readOnly": true}}}),
            json!({"properties": {"p": {"$ref": named["$ref"], "readOnly": true}}}),
        ),
        (
            "a reference or null",
            json!({"properties": {"p": {"allOf": [named], "nullable": true}}}),
            json!({"properties": {"p": {"oneOf": [{"type": "null"}, named]}}}),
        ),
        (
            "a union or null",
            json!({"nullable": true, "oneOf": [named, {"type": "boolean"}]}),
            json!({"anyOf": [{"type": "boolean"}, named, {"type": "null"}]}),
        ),
        (
            "anything else",
            json!({"type": "object", "additionalProperties": {}}),
            json!({"type": "object", "additionalProperties": true}),
        ),
    ];
    for (what, older, newer) in pairs {
        assert_eq!(lines(&older), lines(&newer), "{what}");
        assert!(lines(&older).iter().all(|line| line != ". any"), "{what}: nothing was read");
    }
}

#[test]
fn all_of_is_read_as_the_sum_of_its_parts() {
    let part = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "readOnly": true}}});
    let sum = json!({"allOf": [part, {"type": "object", "required": ["b"],
        "properties": {"b": {"$ref": "#/components/schemas/Named"}, "a": {"description": "prose"}}}]});
    assert_eq!(lines(&sum), [". object", ".a integer required readOnly", ".b Named required"]);
    let alias = json!({"allOf": [{"$ref": "#/components/schemas/Named"}], "description": "prose"});
    assert_eq!(lines(&alias), [". string minLength=1"]);
}

#[test]
fn a_union_names_its_kinds_whatever_their_order() {
    let union = |variants: [Value; 2]| lines(&json!({"oneOf": variants, "type": "object"}));
    let named = json!({"$ref": "#/components/schemas/Named"});
    let inline = json!({"type": "object", "properties": {"eq": {"type": "string"}}});
    assert_eq!(union([inline.clone(), named.clone()]), [". Named | object", ".eq string"]);
    assert_eq!(union([named.clone(), inline.clone()]), union([inline.clone(), named]));
    let other = json!({"type": "object", "properties": {"eq": {"type": "boolean"}}});
    assert_eq!(union([inline, other]), [". object | object", ".eq string", "|2.eq boolean"]);
    let tagged = json!({"oneOf": [{"$ref": "#/components/schemas/Named"}, {"type": "string", "pattern": "^P"}],
        "discriminator": {"propertyName": "type", "mapping": {"n": "#/components/schemas/Named"}}});
    assert_eq!(lines(&tagged), [". Named | string discriminator=type(n:Named) string:pattern=^P"]);
}

/// Parameters of every kind, components for them, two bodies and three answers.
fn operation() -> Value {
    json!({
        "paths": {"/things/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "post": {
                "operationId": "changeThing", "summary": "prose", "tags": ["Things"],
                "parameters": [
                    {"in": "query", "name": "limit", "style": "form", "explode": false, "schema": {"type": "integer"}},
                    {"in": "query", "name": "key", "explode": true, "schema": {"type": "array", "items": {"type": "string"}}},
                    {"in": "query", "name": "flat", "explode": false, "schema": {"$ref": "#/components/schemas/List"}},
                    {"in": "query", "name": "page", "style": "deepObject",
                        "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    {"in": "query", "name": "filter", "content": {"application/json": {"schema":
                        {"properties": {"id": {"type": "string"}}, "format": "application/json"}}}},
                ],
                "requestBody": {"required": true, "content": {
                    "application/json": {"schema": {"properties": {"a": {"type": "string"}}}},
                    "text/csv": {"schema": {"type": "string"}}}},
                "responses": {
                    "200": {"description": "prose", "content": {"application/json": {"schema":
                        {"type": "array", "items": {"$ref": "#/components/schemas/List"}}}}},
                    "204": {"description": "prose"},
                    "404": {"$ref": "#/components/responses/Missing"}}}}},
        "components": {
            "parameters": {"Id": {"in": "path", "name": "id", "required": true, "schema": {"type": "string"}}},
            "responses": {"Missing": {"content": {"application/problem+json": {"schema":
                {"$ref": "#/components/schemas/Problem"}}}}},
            "schemas": {"List": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                "Item": {"properties": {"of": {"$ref": "#/components/schemas/List"}}},
                "Problem": {"type": "object"}, "Unheard": {"type": "object"}}}
    })
}

#[test]
fn an_operation_is_its_parameters_bodies_and_answers() {
    let table = Facts::of(&operation(), "/api").to_tsv();
    let about = table.lines().filter_map(|line| line.strip_prefix("POST /api/things/{id}\t"));
    let about: Vec<String> = about.map(|line| line.replace('\t', " : ").trim_end().to_string()).collect();
    let expected = [
        "200 application/json : array<List> :",
        "204 : nothing :",
        "404 application/problem+json : Problem :",
        "body application/json : object : required",
        "body application/json .a : string :",
        "body text/csv : string : required",
        "operation : id : changeThing",
        "path id : string : required",
        "query filter : object : as=application/json",
        "query filter.id : string :",
        "query flat : List : explode=false",
        "query key : array<string> :",
        "query limit : integer :",
        "query page : object : style=deepObject",
        "query page.size : integer :",
    ];
    assert_eq!(about, expected);
}

#[test]
fn schemas_that_no_operation_leads_to_are_left_out() {
    let facts = Facts::of(&operation(), "");
    let operations: BTreeSet<Owner> = facts.operations().cloned().collect();
    let schemas: Vec<Owner> =
        facts.reached_from(&operations).0.into_keys().filter(|o| !operations.contains(o)).collect();
    assert_eq!(schemas, ["Item", "List", "Problem"].map(|name| Owner::Schema(name.into())));
}

#[test]
fn the_table_reads_back_as_it_was_written() {
    let facts = Facts::of(&operation(), "/api");
    assert_eq!(Facts::from_tsv(&facts.to_tsv()), facts);
}
