//! Who asks for a change, and under which idempotency key.

use super::DoorState;
use super::contract::Dialect;
use super::problem::{InvalidParameter, Problem};
use super::request::RequestId;
use crate::services::writes::{Answered, Caller, IdempotencyKey, Kept, WriteError};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Says that an answer is the kept one of an earlier, equal request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// `body` is the hash of the request's body; 0 where there is none.
pub fn caller(request: &HttpRequest, state: &DoorState, body: u128) -> Result<Caller, Problem> {
    let request_id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.0.clone());
    Ok(Caller {
        namespace: state.namespace.clone(),
        request_id,
        actor: "api".to_string(),
        idempotency: idempotency_key(request, body)?,
    })
}

fn idempotency_key(request: &HttpRequest, body: u128) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = request.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let printable = |text: &&str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let key = value.to_str().ok().filter(|text| (1..=KEY_BYTES_MAX).contains(&text.len())).filter(printable);
    let key = key.ok_or_else(|| bad_key(request))?;
    let mut hash = Xxh3::new();
    for part in [request.method().as_str().as_bytes(), b" ", request.uri().to_string().as_bytes(), b" "] {
        hash.update(part);
    }
    hash.update(&body.to_le_bytes());
    Ok(Some(IdempotencyKey { key: key.to_string(), request_hash: hash.digest128() }))
}

fn bad_key(request: &HttpRequest) -> Problem {
    let reason = format!("must have 1 to {KEY_BYTES_MAX} printable ASCII characters");
    match Dialect::of(request.path()) {
        Dialect::V1 => Problem::bad_request(format!("header Idempotency-Key {reason}")),
        Dialect::V3 => Problem::invalid(vec![InvalidParameter::of("Idempotency-Key", "format", reason, "header")]),
    }
}

/// An answer as it is kept for a repeat.
pub fn kept(status: StatusCode, body: &impl Serialize) -> Kept {
    let mut body = serde_json::to_string(body).expect("an answer is plain data");
    body.push('\n');
    Kept { status: status.as_u16(), body }
}

/// 204.
pub fn nothing() -> Kept {
    Kept { status: StatusCode::NO_CONTENT.as_u16(), body: String::new() }
}

/// The answer to a change, its position and freshness in the headers where the line is concerned.
pub fn answer(answered: Answered) -> HttpResponse {
    let status = StatusCode::from_u16(answered.kept.status).expect("weir kept it with a status");
    let mut response = HttpResponse::build(status);
    if answered.replayed {
        response.insert_header((REPLAYED, "true"));
    }
    if let Some(changed) = answered.effect {
        response.insert_header((super::POSITION, changed.appended.frontier.to_string()));
        super::freshness::Seen::of(changed.wait).mark(&mut response);
    }
    match answered.kept.body {
        body if body.is_empty() => response.finish(),
        body => response.insert_header((CONTENT_TYPE, "application/json")).body(body),
    }
}

/// What is not the operation's own refusal; that is told by `refused`.
pub fn told<E>(error: WriteError<E>, refused: impl FnOnce(E) -> Problem) -> Problem {
    const OUTCOME: &str = "outcome";
    let unavailable = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1);
    match error {
        WriteError::Refused(refusal) => refused(refusal),
        WriteError::KeyReused => Problem::conflict("this Idempotency-Key was used for another request"),
        WriteError::Fault(fault) => Problem::from(fault).with_extension(OUTCOME, "not_accepted"),
        WriteError::Unknown(fault) => {
            let detail =
                format!("{fault}: whether the change was made is not known; ask again with an Idempotency-Key");
            unavailable(detail).with_extension(OUTCOME, "unknown")
        }
        WriteError::NotLive(error) => {
            let detail = format!("the change is kept and takes effect as soon as the log can take it: {error}");
            unavailable(detail).with_extension(OUTCOME, "accepted")
        }
    }
}
