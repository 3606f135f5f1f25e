//! What a handler takes: parameters and a JSON body that have passed the contract.

use super::judge::Violation;
use super::{Dialect, bind, contract};
use crate::http::DoorState;
use crate::http::body::{self, Bounds};
use crate::http::problem::{InvalidParameter, Problem};
use crate::http::query_string::QueryString;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::future::{Ready, ready};
use std::rc::Rc;
use std::time::Duration;

/// The path's and the query's parameters, as the document names them.
pub struct Params<T>(pub T);

/// A JSON body.
pub struct Body<T> {
    pub value: T,
    /// xxh3 of the bytes: tells one request from another under one idempotency key.
    pub hash: u128,
}

/// A JSON body with an event in it, which is read from its text alone: a tree of values cannot hold every number that
/// an event may have. Whoever takes it checks what the document promises.
pub struct Unjudged<T>(pub Body<T>);

fn state(request: &HttpRequest) -> &Data<DoorState> {
    request.app_data().expect("configured with the door's state")
}

impl<T: DeserializeOwned> FromRequest for Params<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(params(request).map(Self))
    }
}

/// Bound once per request, however many parts of it a handler takes.
#[derive(Clone)]
struct Bound(Rc<Map<String, Value>>);

fn params<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let dialect = Dialect::of(request.path());
    let known = request.extensions().get::<Bound>().cloned();
    let bound = match known {
        Some(bound) => bound,
        None => {
            let query = QueryString::of(request, &state(request).settings)?;
            let bound = bind::bind(contract(dialect).operation(request), request, &query, dialect)?;
            let bound = Bound(Rc::new(bound));
            request.extensions_mut().insert(bound.clone());
            bound
        }
    };
    T::deserialize(&*bound.0).map_err(|error| unreadable(&error, dialect))
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload));
        Box::pin(async move {
            let payload = payload.await.map_err(|error| Problem::bad_request(error.to_string()))?;
            read(&request, payload).await
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Unjudged<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload));
        Box::pin(async move {
            let payload = payload.await.map_err(|error| Problem::bad_request(error.to_string()))?;
            let body = receive(&request, payload).await?;
            typed(&body.bytes, Dialect::of(request.path())).map(Self)
        })
    }
}

async fn read<T: DeserializeOwned>(request: &HttpRequest, payload: web::Payload) -> Result<Body<T>, Problem> {
    let body = receive(request, payload).await?;
    parse(&body.bytes, request, Dialect::of(request.path()))
}

async fn receive(request: &HttpRequest, payload: web::Payload) -> Result<body::Body, Problem> {
    let dialect = Dialect::of(request.path());
    let sent = request.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let sent = sent.as_deref().unwrap_or("");
    if sent.split(';').next().map(str::trim) != Some("application/json") {
        return Err(whole(dialect, format!("header Content-Type has unexpected value {sent:?}")));
    }
    let state = state(request);
    let bounds = Bounds {
        bytes_max: state.settings.small_body_bytes_max,
        timeout: Duration::from_millis(state.settings.body_timeout_ms),
        budget: &state.budget,
    };
    body::read(payload, request.headers(), bounds).await?.decompress()
}

/// Judged as a tree of values, then read from the text: a number keeps its digits.
fn parse<T: DeserializeOwned>(bytes: &[u8], request: &HttpRequest, dialect: Dialect) -> Result<Body<T>, Problem> {
    if bytes.is_empty() {
        return Err(whole(dialect, "value is required but missing".to_string()));
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| whole(dialect, format!("broken JSON: {error}")))?;
    let operation = contract(dialect).operation(request);
    let rule = operation.body.as_ref().expect("a handler that takes a body is documented with it");
    let violations = rule.judge.violations(&value);
    if !violations.is_empty() {
        return Err(broken(&rule.schema, &violations, dialect));
    }
    typed(bytes, dialect)
}

fn typed<T: DeserializeOwned>(bytes: &[u8], dialect: Dialect) -> Result<Body<T>, Problem> {
    let value = serde_json::from_slice(bytes).map_err(|error| unreadable(&error, dialect))?;
    Ok(Body { value, hash: xxhash_rust::xxh3::xxh3_128(bytes) })
}

/// A body that is wrong as a whole.
fn whole(dialect: Dialect, reason: String) -> Problem {
    match dialect {
        Dialect::V1 => Problem::bad_request(format!("request body has an error: {reason}")),
        Dialect::V3 => Problem::invalid(vec![InvalidParameter::whole_body(reason)]),
    }
}

fn broken(schema: &str, violations: &[Violation], dialect: Dialect) -> Problem {
    match dialect {
        Dialect::V1 => {
            let first = &violations[0];
            let place =
                if first.path.is_empty() { String::new() } else { format!("Error at \"/{}\": ", first.path.join("/")) };
            let reason = format!("doesn't match schema #/components/schemas/{schema}: {place}{}", first.reason);
            whole(dialect, reason)
        }
        Dialect::V3 => {
            let all = violations.iter().map(|it| InvalidParameter::from_violation(it.path.join("."), it, ""));
            Problem::invalid(all.collect())
        }
    }
}

/// What the document allows and the code does not read: two equal members, a number beyond every type's range.
fn unreadable(error: &serde_json::Error, dialect: Dialect) -> Problem {
    whole(dialect, format!("it cannot be read: {error}"))
}
