//! An OpenAPI document as facts: for each operation its parameters, bodies and answers, for each schema its
//! properties. No prose. The facts of the published documents are kept in `v1.tsv` and `v3.tsv`.

use crate::shape::{Reader, Shape};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
const HEADER: &str = "owner\tplace\tkind\trules";

/// Whom a fact is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Operation { path: String, method: String },
    Schema(String),
}

/// What is said at one place: a kind and its rules, as [`Shape`] writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub kind: String,
    pub rules: String,
}

/// Place → what is said there. Places: `operation`, `query limit`, `body application/json`, `200 text/csv`, `204`;
/// in a schema `.` for itself and `.name` for a property.
pub type Places = BTreeMap<String, Said>;

/// All facts of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<Owner, Places>);

impl Facts {
    /// The facts of a document whose paths are below `base`.
    pub fn of(document: &Value, base: &str) -> Self {
        let reader = Reader::new(document);
        let mut facts = BTreeMap::new();
        for (path, item) in entries(&document["paths"]) {
            for (method, operation) in METHODS.iter().filter_map(|method| Some((method, item.get(method)?))) {
                let full = if path.starts_with(base) { path.clone() } else { format!("{base}{path}") };
                let owner = Owner::Operation { path: full, method: method.to_uppercase() };
                facts.insert(owner, operation_places(&reader, item, operation));
            }
        }
        for (name, schema) in entries(&document["components"]["schemas"]) {
            let mut places = Places::new();
            put(&mut places, "", reader.definition(schema));
            facts.insert(Owner::Schema(name.clone()), places);
        }
        Self(facts)
    }

    /// Reads what [`Facts::to_tsv`] wrote.
    pub fn from_tsv(table: &str) -> Self {
        let mut facts = Self::default();
        for line in table.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let [owner, place, kind, rules] = cells[..] else { panic!("not four cells: {line}") };
            let said = Said { kind: kind.into(), rules: rules.into() };
            facts.0.entry(Owner::read(owner)).or_default().insert(place.into(), said);
        }
        facts
    }

    /// One line per fact, sorted.
    pub fn to_tsv(&self) -> String {
        let lines = self.0.iter().flat_map(|(owner, places)| {
            places.iter().map(move |(place, said)| format!("{owner}\t{place}\t{}\t{}\n", said.kind, said.rules))
        });
        format!("{HEADER}\n{}", lines.collect::<String>())
    }

    pub fn operations(&self) -> impl Iterator<Item = &Owner> {
        self.0.keys().filter(|owner| matches!(owner, Owner::Operation { .. }))
    }

    /// These operations, and every schema that they lead to.
    pub fn reached_from(&self, operations: &BTreeSet<Owner>) -> Self {
        let mut reached = BTreeMap::new();
        let mut ahead: Vec<Owner> = operations.iter().cloned().collect();
        while let Some(owner) = ahead.pop() {
            let Some(places) = self.0.get(&owner).filter(|_| !reached.contains_key(&owner)) else { continue };
            ahead.extend(places.values().flat_map(|said| said.schemas()).map(Owner::Schema));
            reached.insert(owner, places.clone());
        }
        Self(reached)
    }
}

impl Owner {
    fn read(text: &str) -> Self {
        match text.split_once(' ') {
            Some(("schema", name)) => Self::Schema(name.into()),
            Some((method, path)) => Self::Operation { path: path.into(), method: method.into() },
            None => panic!("neither an operation nor a schema: {text}"),
        }
    }
}

impl Display for Owner {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation { path, method } => write!(to, "{method} {path}"),
            Self::Schema(name) => write!(to, "schema {name}"),
        }
    }
}

impl Said {
    /// The schemas that the kind names: types of the language are in small letters, schemas begin with a capital.
    fn schemas(&self) -> impl Iterator<Item = String> {
        let words = self.kind.split(['<', '>', '|', ' ']);
        words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())).map(str::to_string)
    }
}

impl Display for Said {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.kind)?;
        if self.rules.is_empty() { Ok(()) } else { write!(to, " {}", self.rules) }
    }
}

fn operation_places(reader: &Reader<'_>, item: &Value, operation: &Value) -> Places {
    let mut places = Places::new();
    let id = operation["operationId"].as_str().unwrap_or_default();
    put(&mut places, "operation", Shape { kind: "id".into(), rules: vec![id.into()], ..Shape::default() });
    // An operation's own parameter replaces the one that its path has under the same name.
    for parameter in [item, operation].into_iter().flat_map(|holder| listed(&holder["parameters"])) {
        let parameter = reader.resolve(parameter);
        let place = format!("{} {}", word(&parameter["in"]), word(&parameter["name"]));
        put(&mut places, &place, parameter_shape(reader, parameter));
    }
    let body = reader.resolve(&operation["requestBody"]);
    for (media, content) in entries(&body["content"]) {
        let mut shape = reader.shape(&content["schema"]);
        require(&mut shape, body);
        put(&mut places, &format!("body {media}"), shape);
    }
    for (status, answer) in entries(&operation["responses"]) {
        let answer = reader.resolve(answer);
        if entries(&answer["content"]).next().is_none() {
            put(&mut places, status, Shape { kind: "nothing".into(), ..Shape::default() });
        }
        for (media, content) in entries(&answer["content"]) {
            put(&mut places, &format!("{status} {media}"), reader.shape(&content["schema"]));
        }
    }
    places
}

fn parameter_shape(reader: &Reader<'_>, parameter: &Value) -> Shape {
    if let Some((media, content)) = entries(&parameter["content"]).next() {
        let mut shape = reader.shape(&content["schema"]);
        shape.rules.insert(0, format!("as={media}"));
        require(&mut shape, parameter);
        return shape;
    }
    let mut shape = reader.shape(&parameter["schema"]);
    // How a list or an object is written; a plain value is written the same in every style.
    let kind = reader.definition(&parameter["schema"]).kind;
    if ["array", "map", "object"].iter().any(|compound| kind.contains(compound)) {
        let usual = if matches!(parameter["in"].as_str(), Some("query" | "cookie")) { "form" } else { "simple" };
        let style = parameter["style"].as_str().unwrap_or(usual);
        let explode = parameter["explode"].as_bool().unwrap_or(style == "form");
        if style != usual {
            shape.rules.insert(0, format!("style={style}"));
        } else if explode != (style == "form") {
            shape.rules.insert(0, format!("explode={explode}"));
        }
    }
    require(&mut shape, parameter);
    shape
}

fn require(shape: &mut Shape, holder: &Value) {
    if holder["required"] == true {
        shape.rules.insert(0, "required".into());
    }
}

/// A shape becomes a fact, and each shape inside it another.
fn put(places: &mut Places, place: &str, shape: Shape) {
    for (path, inner) in shape.inside {
        // `query page.size`, `body application/json .id`: a media type has dots of its own.
        let gap = if place.contains('/') { " " } else { "" };
        put(places, &format!("{place}{gap}{path}"), inner);
    }
    let said = Said { kind: shape.kind, rules: shape.rules.join(" ") };
    assert!(!format!("{said}").contains(['\t', '\n']), "{place}: {said:?} breaks the table");
    places.insert(if place.is_empty() { ".".into() } else { place.into() }, said);
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
