//! The judge and the binder over small documents, in both dialects; and both real documents as wholes.

use super::judge::Judge;
use super::operation::Operation;
use super::*;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::settings::HttpSettings;
use actix_web::test::TestRequest;
use serde_json::json;

fn registry(document: Value) -> Registry<'static> {
    Registry::new().add(DOCUMENT, document).unwrap().prepare().unwrap()
}

fn thing() -> Value {
    json!({"components": {"schemas": {"Thing": {
        "type": "object",
        "required": ["slug", "kind"],
        "properties": {
            "slug": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]*$"},
            "kind": {"type": "string", "enum": ["SUM", "COUNT"]},
            "at": {"type": "string", "format": "date-time"},
            "many": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
            "texts": {"type": "object", "additionalProperties": {"type": "string"}},
            "number": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "additionalProperties": false,
    }}}})
}

#[test]
fn every_rule_is_told_by_path_keyword_and_reason() {
    let judge = Judge::of(&json!({"$ref": "#/components/schemas/Thing"}), &registry(thing()));
    #[rustfmt::skip]
    let table = [
        (json!({"kind": "SUM"}), "slug", "required", "property \"slug\" is missing"),
        (json!({"slug": "", "kind": "SUM"}), "slug", "minLength", "minimum string length is 1"),
        (json!({"slug": "abcd", "kind": "SUM"}), "slug", "maxLength", "maximum string length is 3"),
        (json!({"slug": "A", "kind": "SUM"}), "slug", "pattern", "string doesn't match the regular expression \"^[a-z]*$\""),
        (json!({"slug": 7, "kind": "SUM"}), "slug", "type", "value must be a string"),
        (json!({"slug": null, "kind": "SUM"}), "slug", "nullable", "Value is not nullable"),
        (json!({"slug": "a", "kind": "sum"}), "kind", "enum", "value is not one of the allowed values [\"SUM\",\"COUNT\"]"),
        (json!({"slug": "a", "kind": "SUM", "at": "2025-02-30T00:00:00Z"}), "at", "format", "string doesn't match the format \"date-time\""),
        (json!({"slug": "a", "kind": "SUM", "at": "2025-02-03"}), "at", "format", "string doesn't match the format \"date-time\""),
        (json!({"slug": "a", "kind": "SUM", "many": ["a", 1]}), "many/1", "type", "value must be a string"),
        (json!({"slug": "a", "kind": "SUM", "many": ["a", "b", "c"]}), "many", "maxItems", "maximum number of items is 2"),
        (json!({"slug": "a", "kind": "SUM", "texts": {"x": []}}), "texts/x", "type", "value must be a string"),
        (json!({"slug": "a", "kind": "SUM", "number": 0}), "number", "minimum", "number must be at least 1"),
        (json!({"slug": "a", "kind": "SUM", "number": 10}), "number", "maximum", "number must be at most 9"),
        (json!({"slug": "a", "kind": "SUM", "other": 1}), "other", "properties", "property \"other\" is unsupported"),
        (json!([]), "", "type", "value must be an object"),
    ];
    for (value, path, rule, reason) in table {
        let found = judge.violations(&value);
        let shown: Vec<_> = found.iter().map(|it| (it.path.join("/"), it.rule, it.reason.as_str())).collect();
        assert_eq!(shown, [(path.to_string(), rule, reason)], "{value}");
    }
    assert!(judge.violations(&json!({"slug": "a", "kind": "SUM", "at": "2025-02-03T04:05:06.7+02:00"})).is_empty());
}

#[test]
fn a_union_is_judged_by_the_branch_that_its_tag_names() {
    let branch = |tag: &str, name: &str| {
        json!({"type": "object", "required": ["type", name],
            "properties": {"type": {"type": "string", "enum": [tag]}, name: {"type": "integer", "minimum": 0}}})
    };
    let union = json!({"oneOf": [branch("a", "size"), branch("b", "length"), branch("c", "size")]});
    let schema = json!({"type": "object", "properties": {"of": union}});
    let judge = Judge::of(&schema, &registry(json!({})));
    let none = "value doesn't match any schema from \"oneOf\"";
    #[rustfmt::skip]
    let table = [
        (json!({"type": "b"}), "of/length", "property \"length\" is missing"),
        (json!({"type": "a", "size": -1}), "of/size", "number must be at least 0"),
        (json!({"type": "c", "size": "x"}), "of/size", "value must be an integer"),
        (json!({"type": "d", "size": 1}), "of", none),
        (json!({"size": 1}), "of", none),
        (json!(7), "of", none),
    ];
    for (value, path, reason) in table {
        let found = judge.violations(&json!({"of": value}));
        let shown: Vec<_> = found.iter().map(|it| (it.path.join("/"), it.reason.as_str())).collect();
        assert_eq!(shown, [(path.to_string(), reason)], "{value}");
    }
    assert!(judge.violations(&json!({"of": {"type": "b", "length": 1}})).is_empty());
}

fn bound(query: &str, dialect: Dialect) -> Result<Value, Problem> {
    let operation = json!({"parameters": [
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 5}},
        {"name": "subject", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "from", "in": "query", "schema": {"type": "string", "format": "date-time"}},
        {"name": "deep", "in": "query", "style": "deepObject", "schema": {"type": "object",
            "properties": {"size": {"type": "integer"}}, "additionalProperties": false}},
        {"name": "open", "in": "query", "style": "deepObject", "schema": {"type": "object",
            "additionalProperties": {"type": "string"}}},
        {"name": "json", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
        {"name": "yes", "in": "query", "schema": {"type": "boolean"}},
    ]});
    let operation = Operation::of(&operation, &registry(json!({})));
    let request = TestRequest::get().uri(&format!("/x?{query}")).to_http_request();
    let query = QueryString::of(&request, &HttpSettings::default())?;
    bind::bind(&operation, &request, &query, dialect).map(Value::Object)
}

#[test]
fn texts_become_values_as_the_document_says() {
    #[rustfmt::skip]
    let table = [
        ("limit=3&unknown=x", json!({"limit": 3})),
        ("subject=a%2Cb&subject=c", json!({"subject": ["a,b", "c"]})),
        ("from=2025-01-01T00:00:00%2B02:00&from=x", json!({"from": "2025-01-01T00:00:00+02:00"})),
        ("deep[size]=2", json!({"deep": {"size": 2}})),
        ("deep=2", json!({})),
        ("open[a]=1&open%5Bb%5D=", json!({"open": {"a": "1", "b": ""}})),
        ("json=%7B%22a%22:1%7D&yes=T", json!({"json": {"a": 1}, "yes": true})),
    ];
    for (query, values) in table {
        assert_eq!(bound(query, Dialect::V1).unwrap(), values, "{query}");
    }
}

#[test]
fn what_does_not_fit_is_told_in_the_dialect_of_its_version() {
    #[rustfmt::skip]
    let table = [
        ("limit=", "invalid param format limit: Invalid format for parameter limit: must be a whole number", ("limit", "format")),
        ("limit=9", "parameter \"limit\" in query has an error: number must be at most 5", ("limit", "maximum")),
        ("limit=1&limit=2", "invalid param format limit: Invalid format for parameter limit: multiple values for single value parameter 'limit'", ("limit", "format")),
        ("deep[other]=2", "invalid param format deep: Invalid format for parameter deep: unknown member \"other\"", ("deep", "format")),
        ("open[a]=1&open[a]=2", "invalid param format open: Invalid format for parameter open: multiple values for 'open[a]'", ("open.a", "format")),
        ("json={", "unmarshaling param json: broken JSON: EOF while parsing an object at line 1 column 1", ("json", "format")),
        ("json=7", "parameter \"json\" in query has an error: value must be an object", ("json", "type")),
        ("from=2025-01-01", "invalid param format from: Invalid format for parameter from: ", ("from", "format")),
    ];
    for (query, detail, (field, rule)) in table {
        let v1 = bound(query, Dialect::V1).unwrap_err();
        assert!(v1.detail.as_deref().unwrap().starts_with(detail), "{query}: {v1}");
        let v3 = bound(query, Dialect::V3).unwrap_err().v3.unwrap();
        assert_eq!((v3[0].field.as_str(), v3[0].rule, v3[0].source), (field, Some(rule), "query"), "{query}");
    }
}

#[test]
fn a_path_tells_its_version() {
    for (path, dialect) in [
        ("/api/v1/meters", Dialect::V1),
        ("/api/v2/events", Dialect::V1),
        ("/health/live", Dialect::V1),
        ("/api/v3", Dialect::V3),
        ("/api/v3/openmeter/meters", Dialect::V3),
        ("/api/v31", Dialect::V1),
    ] {
        assert_eq!(Dialect::of(path), dialect, "{path}");
    }
}

#[test]
fn both_documents_can_be_judged_by() {
    assert!(contract(Dialect::V1).routes().count() > 0);
    assert!(contract(Dialect::V3).routes().count() > 0);
}
