//! A JSON schema, reduced to what a client depends on: one kind, its rules, and the same for what lies inside it.
//!
//! OpenAPI 3.0 and 3.1 say one thing in many ways (`nullable`, a type list, a union with null; `allOf` around a
//! reference, a reference with siblings; bounds as flags or numbers). Here each has one form, so that two documents
//! can be compared as text. Named schemas stay names. `oneOf` and `anyOf` are both a union: generated types do not
//! tell them apart.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Schema = Map<String, Value>;

/// References followed for one schema; more is a circle.
const ALIASES_MAX: usize = 32;

/// What stays of a schema, in the order in which it is written; everything else is prose.
const RULES: [&str; 18] = [
    "nullable",
    "readOnly",
    "writeOnly",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "pattern",
    "enum",
    "default",
];

/// What a schema allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// `string:date-time`, `array<Meter>`, `map<string>`, `object`, `A | B`, `any`.
    pub kind: String,
    /// `readOnly`, `minLength=1`; those of an element begin with `[]`, of a map's value with `{}`.
    pub rules: Vec<String>,
    /// Properties of unnamed objects inside, by path: `.id`, `[].code`.
    pub inside: Vec<(String, Shape)>,
}

/// Reads the schemas of one document.
pub struct Reader<'a> {
    document: &'a Value,
}

impl<'a> Reader<'a> {
    pub fn new(document: &'a Value) -> Self {
        Self { document }
    }

    /// What `$ref` in `value` points at, or `value` itself.
    pub fn resolve(&self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.target(reference),
            None => value,
        }
    }

    /// The shape of a schema where it is used: a reference is its target's name.
    pub fn shape(&self, schema: &Value) -> Shape {
        self.shape_of(&self.plain(schema))
    }

    /// The shape of a schema where it is defined: references at its root are followed.
    pub fn definition(&self, schema: &Value) -> Shape {
        self.shape_of(&self.expanded(schema))
    }

    fn target(&self, reference: &str) -> &'a Value {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}: not in this document"));
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference}: no such place"))
    }

    /// The schema with every reference at its root merged in.
    fn expanded(&self, schema: &Value) -> Schema {
        let mut plain = self.plain(schema);
        for _ in 0..ALIASES_MAX {
            let Some(reference) = plain.remove("$ref") else { return plain };
            let target = self.plain(self.target(reference.as_str().expect("a reference is text")));
            plain.remove("type");
            merge(&mut plain, target);
        }
        panic!("references in a circle: {schema}")
    }

    /// The schema in its one form: no `allOf`, no `anyOf`, no null among types or variants.
    fn plain(&self, schema: &Value) -> Schema {
        let mut plain = schema.as_object().cloned().unwrap_or_default();
        nulls_aside(&mut plain);
        bounds_as_numbers(&mut plain);
        if let Some(only) = plain.remove("const") {
            plain.insert("enum".into(), Value::Array(vec![only]));
        }
        let mut parts = taken(&mut plain, "allOf");
        let mut variants = taken(&mut plain, "oneOf");
        variants.extend(taken(&mut plain, "anyOf"));
        let given = variants.len();
        variants.retain(|variant| variant["type"] != "null");
        if variants.len() < given {
            plain.insert("nullable".into(), true.into());
        }
        match variants.len() {
            0 => {}
            1 => parts.append(&mut variants),
            _ => drop(plain.insert("oneOf".into(), variants.into())),
        }
        let alone = parts.len() == 1 && !["properties", "oneOf"].iter().any(|key| plain.contains_key(*key));
        for part in parts.iter().rev() {
            merge(&mut plain, if alone { self.plain(part) } else { self.expanded(part) });
        }
        plain
    }

    fn shape_of(&self, plain: &Schema) -> Shape {
        let rules = rules(plain);
        if let Some(reference) = plain.get("$ref") {
            let name = reference.as_str().and_then(|reference| reference.rsplit('/').next());
            return Shape { kind: name.expect("a reference is text").into(), rules, ..Shape::default() };
        }
        let mut shape = match kind(plain) {
            Kind::Union(variants) => self.union(variants),
            Kind::Array => self.wrapped("array", "[]", plain.get("items").unwrap_or(&Value::Null)),
            Kind::Map(values) => self.wrapped("map", "{}", values),
            Kind::Object => self.object(plain),
            Kind::Plain(kind) => Shape { kind, ..Shape::default() },
        };
        if let Some(tag) = plain.get("discriminator") {
            shape.rules.insert(0, discriminator(tag));
        }
        shape.rules.splice(0..0, rules);
        shape
    }

    fn wrapped(&self, what: &str, mark: &str, inner: &Value) -> Shape {
        let inner = self.shape(inner);
        Shape {
            kind: format!("{what}<{}>", inner.kind),
            rules: inner.rules.iter().map(|rule| format!("{mark}{rule}")).collect(),
            inside: inner.inside.into_iter().map(|(path, shape)| (format!("{mark}{path}"), shape)).collect(),
        }
    }

    fn object(&self, plain: &Schema) -> Shape {
        let mut object = Shape { kind: "object".into(), ..Shape::default() };
        let required: BTreeSet<&str> = texts(plain.get("required")).collect();
        for (name, schema) in plain.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut property = self.shape(schema);
            if required.contains(name.as_str()) {
                property.rules.insert(0, "required".into());
            }
            object.hold(&format!(".{name}"), property);
        }
        match plain.get("additionalProperties") {
            None => {}
            Some(Value::Bool(false)) => object.rules.push("closed".into()),
            Some(others) => object.hold("{}", self.shape(others)),
        }
        object
    }

    fn union(&self, variants: &[Value]) -> Shape {
        let mut union = Shape::default();
        let mut kinds = Vec::new();
        let mut objects = 0;
        for mut variant in variants.iter().map(|variant| self.shape(variant)) {
            let rules: Vec<String> = std::mem::take(&mut variant.rules);
            union.rules.extend(rules.iter().map(|rule| format!("{}:{rule}", variant.kind)));
            objects += usize::from(!variant.inside.is_empty());
            let mark = if objects > 1 { format!("|{objects}") } else { String::new() };
            union.inside.extend(variant.inside.into_iter().map(|(path, shape)| (format!("{mark}{path}"), shape)));
            kinds.push(variant.kind);
        }
        kinds.sort();
        union.kind = kinds.join(" | ");
        union.rules.sort();
        union
    }
}

impl Shape {
    /// Takes another shape in at a path, with what is inside that one.
    fn hold(&mut self, path: &str, mut shape: Shape) {
        let inside = std::mem::take(&mut shape.inside);
        self.inside.push((path.into(), shape));
        self.inside.extend(inside.into_iter().map(|(below, shape)| (format!("{path}{below}"), shape)));
    }
}

enum Kind<'a> {
    Union(&'a [Value]),
    Array,
    Map(&'a Value),
    Object,
    Plain(String),
}

fn kind(plain: &Schema) -> Kind<'_> {
    if let Some(Value::Array(variants)) = plain.get("oneOf") {
        return Kind::Union(variants);
    }
    let has = |key: &str| plain.contains_key(key);
    let types: Vec<&str> = match plain.get("type") {
        Some(Value::String(only)) => vec![only],
        several => texts(several).collect(),
    };
    match types.as_slice() {
        ["array"] => Kind::Array,
        [] if has("items") => Kind::Array,
        ["object"] | [] if has("properties") => Kind::Object,
        ["object"] | [] if has("additionalProperties") => match &plain["additionalProperties"] {
            Value::Bool(false) => Kind::Object,
            values => Kind::Map(values),
        },
        ["object"] => Kind::Map(&Value::Null),
        [] if has("enum") => Kind::Plain("string".into()),
        [] => Kind::Plain("any".into()),
        types => {
            let mut types = types.to_vec();
            types.sort_unstable();
            let format = plain.get("format").and_then(Value::as_str).map(|format| format!(":{format}"));
            Kind::Plain(types.join(" | ") + &format.unwrap_or_default())
        }
    }
}

fn rules(plain: &Schema) -> Vec<String> {
    let rule = |key: &&str| match plain.get(*key)? {
        Value::Null | Value::Bool(false) if *key != "default" => None,
        Value::Null => None,
        Value::Bool(true) if *key != "default" => Some((*key).to_string()),
        Value::Array(values) if *key == "enum" => {
            let values: BTreeSet<String> = values.iter().filter(|value| !value.is_null()).map(text).collect();
            Some(format!("enum={}", values.into_iter().collect::<Vec<_>>().join("|")))
        }
        value => Some(format!("{key}={}", text(value))),
    };
    RULES.iter().filter_map(rule).collect()
}

/// A value as a rule shows it: text without quotes, whole numbers without a fraction.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let number = number.to_string();
            number.strip_suffix(".0").map_or(number.clone(), str::to_string)
        }
        other => other.to_string(),
    }
}

fn discriminator(tag: &Value) -> String {
    let name = |reference: &Value| text(reference).rsplit('/').next().unwrap_or_default().to_string();
    let mapping = tag["mapping"].as_object().into_iter().flatten();
    let mut cases: Vec<String> = mapping.map(|(value, target)| format!("{value}:{}", name(target))).collect();
    cases.sort();
    format!("discriminator={}({})", text(&tag["propertyName"]), cases.join("|"))
}

/// Null among the types or the values of an enum becomes `nullable`.
fn nulls_aside(plain: &mut Schema) {
    let mut nullable = false;
    if let Some(Value::Array(types)) = plain.get_mut("type") {
        nullable |= types.iter().any(|kind| kind == "null");
        types.retain(|kind| kind != "null");
    }
    nullable |= plain.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null));
    if nullable {
        plain.insert("nullable".into(), true.into());
    }
}

/// `minimum: 0, exclusiveMinimum: true` becomes `exclusiveMinimum: 0`.
fn bounds_as_numbers(plain: &mut Schema) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if plain.get(exclusive) == Some(&Value::Bool(true))
            && let Some(value) = plain.remove(bound)
        {
            plain.insert(exclusive.into(), value);
        }
    }
}

/// Adds what `part` says and `plain` does not: what is nearer to the use wins.
fn merge(plain: &mut Schema, part: Schema) {
    for (key, value) in part {
        match (key.as_str(), plain.get_mut(&key), value) {
            ("properties", Some(Value::Object(known)), Value::Object(more)) => {
                for (name, schema) in more {
                    match (known.get_mut(&name), schema) {
                        (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
                        (Some(_), _) => {}
                        (None, schema) => drop(known.insert(name, schema)),
                    }
                }
            }
            ("required", Some(Value::Array(known)), Value::Array(mut more)) => known.append(&mut more),
            // Beside a reference a type says nothing new.
            ("$ref", None, reference) => {
                plain.remove("type");
                plain.insert(key, reference);
            }
            (_, Some(_), _) => {}
            (_, None, value) => drop(plain.insert(key, value)),
        }
    }
}

fn taken(plain: &mut Schema, key: &str) -> Vec<Value> {
    match plain.remove(key) {
        Some(Value::Array(schemas)) => schemas,
        _ => Vec::new(),
    }
}

fn texts(values: Option<&Value>) -> impl Iterator<Item = &str> {
    values.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
