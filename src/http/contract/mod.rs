//! The contract: requests are judged by the very schemas that the OpenAPI documents show.
//!
//! One document per wire version is made from the code (`super::openapi`). From it comes, per operation, which
//! parameters there are, how each is written in a URL, and what a body must look like. A handler says what it takes as
//! [`Params`] and [`Body`]; whatever reaches it has passed the document, and what does not is told in the words and the
//! dialect of that version. So document, validation and code cannot come apart.

mod bind;
mod extract;
mod judge;
mod operation;
#[cfg(test)]
mod tests;

pub use extract::{Body, Params, Unjudged};
pub use judge::{Rule, Violation};

use crate::http::openapi;
use actix_web::HttpRequest;
use jsonschema::Registry;
use operation::Operation;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The two wire versions, each with its own way to say what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `/api/v1` and `/api/v2`.
    V1,
    /// `/api/v3`.
    V3,
}

/// Paths below this speak v3.
pub const V3_PREFIX: &str = "/api/v3";
/// The name that validators know the document by.
const DOCUMENT: &str = "weir:document";

impl Dialect {
    /// By the path of a request.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix(V3_PREFIX) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::V3,
            _ => Self::V1,
        }
    }
}

/// Every operation of one document.
pub struct Contract {
    operations: HashMap<(String, String), Operation>,
}

impl Contract {
    /// Reads a document that this binary made itself: a fault in it is a bug, found by the first test that runs.
    fn of(document: &Value, prefix: &str) -> Self {
        let registry = Registry::new().add(DOCUMENT, document.clone()).and_then(|builder| builder.prepare());
        let registry = registry.expect("the document is a JSON document");
        let paths = document["paths"].as_object().expect("a document has paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().expect("a path has methods").iter();
            let registry = &registry;
            methods.map(move |(method, operation)| {
                let key = (method.to_ascii_uppercase(), format!("{prefix}{path}"));
                (key, Operation::of(operation, registry))
            })
        });
        Self { operations: operations.collect() }
    }

    /// The operation that a request was routed to.
    fn operation(&self, request: &HttpRequest) -> &Operation {
        let key = (request.method().to_string(), request.match_pattern().unwrap_or_default());
        self.operations.get(&key).unwrap_or_else(|| panic!("{} {} is in no document", key.0, key.1))
    }

    /// Every operation's method and path.
    pub fn routes(&'static self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.operations.keys().map(|(method, path)| (method.as_str(), path.as_str()))
    }
}

static V1: LazyLock<Contract> = LazyLock::new(|| Contract::of(openapi::v1(), ""));
static V3: LazyLock<Contract> = LazyLock::new(|| Contract::of(openapi::v3(), V3_PREFIX));

/// The contract of a wire version; read once.
pub fn contract(dialect: Dialect) -> &'static Contract {
    match dialect {
        Dialect::V1 => &V1,
        Dialect::V3 => &V3,
    }
}
